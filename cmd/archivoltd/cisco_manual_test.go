//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/testenv"
)

// opened decrypts every body of the table with psql, base64 and openssl alone,
// with the key that the ten steps have left in key.txt, and counts the texts.
func (m *machine) opened(database string) map[string]int {
	m.t.Helper()
	c := exec.Command("sh", "-euc", `key=$(sed -n 's/^key *= *//p' key.txt)
iv=$(sed -n 's/^iv *= *//p' key.txt)
psql -X -A -t "$0" -c "SELECT coalesce(body_string, body_text) FROM jm WHERE body_len > 0" > bodies.txt
while read -r value; do
	printf %s "$value" | base64 -d | openssl enc -d -aes-256-cbc -K "$key" -iv "$iv"
	echo
done < bodies.txt`, database)
	c.Dir, c.Env = m.officer, m.env
	out, err := c.Output()
	if err != nil {
		m.t.Fatal(err)
	}
	count := map[string]int{}
	for _, body := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		count[body]++
	}
	return count
}

// hold keeps everybody from writing into the table, as an administrator's
// transaction would, until free is called.
func hold(t *testing.T, p *testenv.Postgres) (free func()) {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), p.URL("postgres", "tcmadb"))
	if err == nil {
		_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE jm IN EXCLUSIVE MODE").ReadAll()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// TestCiscoManual installs by the text of docs/ops/cisco.md, captures from real
// servers into a real PostgreSQL, backs up while messages wait in the spool,
// loses the machine and the database server, restores by the text, goes on, and
// reads, with archivolt and with openssl: what was acknowledged at the backup is
// there once. Then the database alone is lost, and then state_dir alone.
func TestCiscoManual(t *testing.T) {
	for _, name := range []string{"openssl", "psql", "pg_dump", "pg_restore", "createdb"} {
		testenv.Command(t, name)
	}
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "ben"}})
	e := testenv.StartEjabberd(t, "anna", "ben")
	pg1, pg2 := testenv.StartPostgres(t, "fsync=on"), testenv.StartPostgres(t, "fsync=on")
	m := newMachine(t, "cisco.md", servers(pg1, pg2)...)
	general := *m
	general.blocks = manualBlocks(t, "archivoltd.md")
	d := m.daemon
	if p.Secret != e.Secret {
		t.Fatal("the servers of this test have one secret")
	}
	for name, text := range map[string]string{"password": tablePassword + "\n", "component.secret": p.Secret + "\n"} {
		if err := os.WriteFile(filepath.Join(m.release, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := func() { // again after everything was lost
		t.Helper()
		general.run("Install", "useradd")
		m.run("Install", "LoadCredential")
	}

	install()
	m.run("Install", "createdb")
	pg1.SQL("tcmadb", strings.Join(ciscoBlocks(t, "PostgreSQL", "sql"), ""))
	m.configuration(p, e)
	if out := m.run("Install", "check-config"); !strings.Contains(out, "prosody archive.example.org: connected\n") || !strings.Contains(out, "ejabberd archive.example.org: connected, best effort\n") {
		t.Errorf("after the installation: %s", out)
	}
	c := newCrowd(t, d, p, e)

	c.wave("first")
	c.stored()
	free := hold(t, pg1)
	c.wave("second")
	if waiting := d.status().Queued; waiting != 4*inWave {
		t.Errorf("%d entries wait in the spool", waiting)
	}
	m.run("Back up", "")
	if n := pg1.SQL("tcmadb", "SELECT count(*) FROM jm"); n != fmt.Sprint(4*inWave) {
		t.Errorf("%s rows at the backup", n)
	}
	free()
	c.wave("third")
	c.stored()

	// The machine and the database server are lost.
	d.kill()
	pg1.Kill()
	for _, path := range []string{"/var/lib/archivolt", "/etc/archivolt", "/etc/credstore", "/etc/systemd/system/archivoltd.service", "/etc/systemd/system/archivoltd.service.d", "/usr/local/bin/archivolt", "/usr/local/bin/archivoltd"} {
		if err := os.RemoveAll(m.root + path); err != nil {
			t.Fatal(err)
		}
	}
	install()
	m.run("Restore", "pg_restore")
	m.run("Restore", "/mnt/backup/last/keystore")
	m.run("Restore", "enable --now")
	c.wave("fourth")
	c.stored()

	// The ten steps, for the officer; then all rows in both ways.
	if err := os.Symlink(d.file, filepath.Join(m.officer, "archivoltd.yaml")); err != nil {
		t.Fatal(err)
	}
	db2 := pg2.URL("postgres", "tcmadb")
	m.env = append(m.env, "ARCHIVOLT_PASSPHRASE="+tablePassword, "DATABASE="+db2, "DAY="+time.Now().UTC().Format(time.DateOnly))
	if out := m.run("Without Archivolt", ""); !strings.Contains(out, "<body>first by prosody 0</body>") {
		t.Errorf("the ten steps print %s", out)
	}
	if out := m.run("Restore", "archivolt check"); !regexp.MustCompile(fmt.Sprintf(`%d +100\.0 %% opened`, 3*4*inWave)).MatchString(out) {
		t.Errorf("check prints %s", out)
	}
	once := func(database string, waves ...string) {
		t.Helper()
		wantWaves(t, m.bodies(database, "--key", "encrypted_key.pem", "--private-key", "private_key.pem"), map[string]int{}, waves...)
		wantWaves(t, m.opened(database), map[string]int{}, waves...)
	}
	once(db2, "first", "second", "fourth")
	m.everyCommand(db2, 3*2*inWave)
	// The gap is exactly the third wave of Prosody's.
	gaps := regexp.MustCompile(`"gap in delivery numbers".*"from":(\d+),"to":(\d+)`).FindAllStringSubmatch(d.log.String(), -1)
	var from, to int
	if len(gaps) == 1 {
		fmt.Sscan(gaps[0][1]+" "+gaps[0][2], &from, &to)
	}
	if to-from+1 != 2*inWave {
		t.Errorf("the gaps are %q, want one of %d numbers", gaps, 2*inWave)
	}
	if s := d.status(); !s.Disorderly || s.Gaps != 1 {
		t.Errorf("%+v", s)
	}

	// The database alone is lost, while messages come in. The first server takes
	// its place, empty.
	m.called(servers(pg2, pg1)...)
	empty := func() {
		t.Helper()
		pg1.SQL("postgres", "DROP DATABASE tcmadb")
		pg1.SQL("postgres", "DROP ROLE archivoltd")
	}
	pg1.Start()
	empty()
	db1 := pg1.URL("postgres", "tcmadb")
	m.run("Back up", "")
	c.wave("fifth")
	c.stored()
	pg2.Kill()
	c.wave("sixth")
	d.kill()
	m.run("Restore", "pg_restore")
	m.run("Restore", "enable --now")
	c.stored()
	if d.log.lines("an older copy of the table was put back") != 1 {
		t.Error("the log does not tell that the table is an older one")
	}
	once(db1, "first", "second", "fourth", "fifth", "sixth")

	// The same again, and the spool is lost too: the start is refused until the
	// administrator says that it shall go on.
	d.stop()
	empty()
	m.run("Restore", "pg_restore")
	state := m.root + "/var/lib/archivolt/state"
	if err := os.RemoveAll(state + "/spool"); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := archivoltd(t, "run", "--config", d.file); code != 13 || !strings.Contains(stderr, "an older copy of the database was put back") || !strings.Contains(stderr, "table.json") {
		t.Errorf("a table with a hole: code %d\n%s", code, stderr)
	}
	if err := os.Rename(state+"/table.json", state+"/table.json.away"); err != nil {
		t.Fatal(err)
	}
	m.start()
	c.wave("seventh")
	c.stored()
	once(db1, "first", "second", "fourth", "seventh")

	// state_dir alone is lost.
	m.called(servers(pg1, pg2)...)
	m.run("Back up", "")
	c.wave("eighth")
	c.stored()
	d.stop()
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(state, os.DirFS(m.root+"/mnt/backup/last/state")); err != nil {
		t.Fatal(err)
	}
	m.start()
	c.wave("ninth")
	c.stored()
	once(db1, "first", "second", "fourth", "seventh", "eighth", "ninth")
	d.stop()
	checkLog(t, d.log.String())
}

// everyCommand opens a database of n messages, all between two people, with each
// command of archivolt.
func (m *machine) everyCommand(database string, n int) {
	m.t.Helper()
	for _, c := range []struct {
		args string
		want []string // in what it prints or notes
	}{
		{"check", []string{fmt.Sprintf("%d messages, the same in %d further copies", n, n), "archivoltd has filled"}},
		{"users", []string{"anna@example.org", "ben@example.org"}},
		{"rooms", []string{fmt.Sprintf("%d rows: %d opened", 2*n, 2*n)}},
		{"search second ejabberd 17 --context 0", []string{"second by ejabberd 17", "1 message found"}},
		{"search second --fast --user ben@example.org --context 0", []string{"messages found"}},
		{"show --with anna@example.org --with ben@example.org", []string{"first by prosody 0", "fourth by ejabberd 0", fmt.Sprintf("%d messages shown", n)}},
		{"export --format csv --format eml --out case", []string{"wrote case"}},
	} {
		name, flags, _ := strings.Cut(c.args, " ")
		args := append([]string{name, database, "--key", "encrypted_key.pem", "--private-key", "private_key.pem"}, strings.Fields(flags)...)
		command := exec.Command(filepath.Join(m.release, "archivolt"), args...)
		command.Dir, command.Env = m.officer, m.env
		out, err := command.CombinedOutput()
		if err != nil {
			m.t.Errorf("archivolt %s: %v\n%s", c.args, err, out)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				m.t.Errorf("archivolt %s prints\n%.2000s\nwithout %q", c.args, out, want)
			}
		}
	}
	verify := exec.Command(filepath.Join(m.release, "archivolt"), "verify", "case")
	verify.Dir, verify.Env = m.officer, m.env
	if out, err := verify.CombinedOutput(); err != nil {
		m.t.Errorf("archivolt verify: %v\n%s", err, out)
	}
}

// servers are the names of the manual's database servers: the one that was
// installed, and the one that takes its place.
func servers(db, db2 *testenv.Postgres) []string {
	return []string{"db.example.org:5432", fmt.Sprintf("127.0.0.1:%d", db.Port), "db2.example.org:5432", fmt.Sprintf("127.0.0.1:%d", db2.Port), "sslmode=verify-full", "sslmode=disable"}
}
