//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"archivolt/internal/archive"
	"archivolt/internal/capture"
	"archivolt/internal/cisco"
	"archivolt/internal/message"
	"archivolt/internal/testenv"
)

// tablePassword is that of the keystores of these tests.
const tablePassword = "tulip ferry anvil mosaic quartz"

// ciscoConfig writes Cisco's format into the configuration, with the table in
// the database that url names, and the keystore's password beside it.
func (d *daemon) ciscoConfig(url string) (config, password string) {
	d.t.Helper()
	config = strings.NewReplacer("archive: archive.db", "format: cisco\nkeystore: keystore\narchive: "+url, "recipients: [officer.pub]\n", "", "anchors: [anchors.txt]\n", "").Replace(read(d.t, d.config()))
	password = filepath.Join(d.dir, "password")
	for name, content := range map[string]string{d.config(): config, password: tablePassword + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	return config, password
}

// useCisco does the same and makes the keystore. The daemon starts locked unless
// it is given the password.
func (d *daemon) useCisco(url string) {
	d.t.Helper()
	_, password := d.ciscoConfig(url)
	if _, stderr, code := archivoltd(d.t, "key", "enable", "--config", d.config(), "--passphrase-file", password); code != 0 {
		d.t.Fatal(stderr)
	}
}

// TestCiscoArchiveGone: where the file of a table is gone, or a PostgreSQL
// database is empty, no new one is begun.
func TestCiscoArchiveGone(t *testing.T) {
	pg := testenv.StartPostgres(t, "fsync=on")
	pg.SQL("postgres", "CREATE DATABASE im")
	for database, lose := range map[string]func(d *daemon){
		"archive.db": func(d *daemon) {
			if err := os.Remove(filepath.Join(d.dir, "archive.db")); err != nil {
				t.Fatal(err)
			}
		},
		pg.URL("postgres", "im"): func(*daemon) {
			pg.SQL("postgres", "DROP DATABASE im")
			pg.SQL("postgres", "CREATE DATABASE im")
		},
	} {
		d := newDaemon(t, freePort(t), server{"prosody", "archive.example.org", "s", 1, []string{"example.org"}})
		d.useCisco(database)
		d.launch()
		d.until("begun", func() bool { return capture.HasTable(filepath.Join(d.dir, "state")) })
		d.until("in control", func() bool { return d.status().Archive != "" })
		d.stop()
		lose(d)
		for range 2 {
			if _, stderr, code := archivoltd(t, "run", "--config", d.config()); code != 10 || !strings.Contains(stderr, "try: ") {
				t.Errorf("%s: code %d\n%s", database, code, stderr)
			}
		}
	}
}

// TestCiscoFormat captures from a real ejabberd and a real Prosody into a real
// PostgreSQL, locked for a while, and kills PostgreSQL and the daemon in
// between. Then psql, base64 and openssl alone print a message, beginning with
// what key download hands out; and Archivolt opens every row.
func TestCiscoFormat(t *testing.T) {
	openssl := testenv.Command(t, "openssl")
	pg := testenv.StartPostgres(t, "fsync=on", "synchronous_commit=on")
	pg.SQL("postgres", "CREATE DATABASE im")
	e := testenv.StartEjabberd(t, "anna", "ben")
	p := testenv.StartProsody(t, testenv.ProsodySetup{Domain: "example.net", Users: []string{"cleo", "dan"}})
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain, e.Rooms}},
		server{"prosody", p.Component, p.Secret, p.ComponentPort, []string{p.Domain, p.Rooms}})
	d.useCisco(pg.URL("postgres", "im"))

	// Locked: what comes waits.
	d.launch()
	d.until("connected", func() bool { return d.status().Connected == 2 })
	anna := testenv.StartXMPPClient(t, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
	anna.Send(testenv.XMPPMessage{To: ben.JID, Body: "the first message, which waits"})
	ben.Wait(testenv.XMPPMatch{Prefix: "the first message", Count: 1})
	d.recorded(2)
	d.stop()
	if n := pg.SQL("im", "SELECT count(*) FROM jm"); n != "0" {
		t.Errorf("%s rows although the keystore is locked", n)
	}

	t.Setenv("ARCHIVOLT_PASSPHRASE", tablePassword)
	d.start()
	cleo := testenv.StartXMPPClient(t, "cleo@"+p.Domain+"/desk", testenv.Password, "127.0.0.1", p.ClientPort)
	dan := testenv.StartXMPPClient(t, "dan@"+p.Domain+"/phone", testenv.Password, "127.0.0.1", p.ClientPort)
	const n = 500
	flood := func(prefix string) {
		t.Helper()
		cleo.Flood(dan.JID, "chat", prefix, n)
		dan.Wait(testenv.XMPPMatch{Prefix: prefix, Count: n})
	}
	anna.Flood(ben.JID, "chat", "ejabberd ", n)
	ben.Wait(testenv.XMPPMatch{Prefix: "ejabberd ", Count: n})
	d.recorded(2 * n)
	flood("one ")
	pg.Kill()
	flood("two ")
	d.kill()
	pg.Start()
	d.start()
	flood("three ")
	want := 2 + 2*n + 3*2*n
	d.until("done", func() bool { return pg.SQL("im", "SELECT count(*) FROM jm") == fmt.Sprint(want) })
	d.stop()

	// The run that waited, the one that was killed, and the last one.
	start := "started configuration connected connected "
	if got := pg.SQL("im", "SELECT string_agg(name, ' ' ORDER BY entry) FROM archivolt_events WHERE name <> 'heartbeat'"); got != "created "+start+"lost lost stopped "+start+start+"lost lost stopped" {
		t.Errorf("the events are %s", got)
	}
	if got := pg.SQL("im", "SELECT count(*), count(DISTINCT split_part(source, '/', 3)), bool_and(detail LIKE substr(source, 12) || '%') FROM archivolt_events WHERE name IN ('connected', 'lost')"); got != "10|2|t" {
		t.Errorf("of connections: %s", got)
	}
	if got := pg.SQL("im", "SELECT count(*) FROM archivolt_events e WHERE e::text ~ 'cleo@|dan@|anna@|ben@|the first message|<message'"); got != "0" {
		t.Errorf("%s events hold something of a message", got)
	}

	// The documented steps.
	officer := filepath.Join(d.dir, "private.pem")
	steps := fmt.Sprintf(`set -eu
cd '%[1]s'
'%[2]s' genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private.pem 2>/dev/null
'%[2]s' pkey -in private.pem -pubout -out public.pem
%[3]s=1 '%[4]s' key download --config archivoltd.yaml --public-key public.pem > wrapped.b64
base64 -d wrapped.b64 > wrapped
'%[2]s' pkeyutl -decrypt -inkey private.pem -in wrapped > key.txt
key=$(sed -n 's/^ *key *= *//p' key.txt)
iv=$(sed -n 's/^ *iv *= *//p' key.txt)
psql -X -A -t -h 127.0.0.1 -p %[5]d -U postgres -d im -c "SELECT body_string FROM jm ORDER BY sent_date LIMIT 1" | base64 -d | '%[2]s' enc -d -aes-256-cbc -K "$key" -iv "$iv"
`, d.dir, openssl, asDaemon, os.Args[0], pg.Port)
	out, err := exec.Command("sh", "-c", steps).Output()
	if err != nil || string(out) != "the first message, which waits" {
		t.Errorf("openssl prints %q, %v", out, err)
	}

	keyText, err := os.ReadFile(filepath.Join(filepath.Dir(officer), "key.txt"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := cisco.ParseKeyText("key.txt", keyText, cisco.TextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(context.Background(), []string{pg.URL("postgres", "im")}, archive.Keys{Cisco: []*cisco.Key{key}}, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	copies := map[string]int{}
	rows := 0
	err = a.ByTime(context.Background(), func(m *message.Message) error {
		rows++
		text, _ := m.Shown()
		if m.Status != message.OK {
			t.Errorf("row %d is %v: %s", m.Row, m.Status, m.Reason)
		}
		copies[text.Text]++
		return nil
	})
	if err != nil || rows != want {
		t.Errorf("%d rows, %v, want %d", rows, err, want)
	}
	for body, n := range copies {
		if n != 2 {
			t.Errorf("%q has %d rows", body, n)
		}
	}
	if log := d.log.String(); !strings.Contains(log, "equal messages look equal") || !strings.Contains(log, "the keystore is locked") || strings.Contains(log, "anvil mosaic") || strings.Contains(log, "cleo@") {
		t.Error("the log lacks what it must say, or says what it must not")
	}
}
