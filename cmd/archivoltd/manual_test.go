//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/testenv"
)

// machine plays the one of a manual: its folders lie below root, programs that
// need root or systemd are played.
type machine struct {
	t       *testing.T
	root    string
	release string // folder of the unpacked release
	officer string // the officer's own folder
	blocks  []block
	paths   *strings.Replacer
	env     []string
	daemon  *daemon
}

// newMachine makes one for a file in docs/ops, whose names stand for those here.
func newMachine(t *testing.T, manual string, names ...string) *machine {
	t.Helper()
	testenv.Command(t, "sqlite3")
	testenv.Command(t, "promtool")
	gotool := testenv.Command(t, "go")
	dir := t.TempDir()
	m := &machine{t: t, root: filepath.Join(dir, "root"), release: filepath.Join(dir, "release"), officer: filepath.Join(dir, "officer"), blocks: manualBlocks(t, manual)}
	m.called(names...)
	for _, d := range []string{"root/usr/local/bin", "root/etc/systemd/system", "root/etc/prometheus", "root/var/lib", "root/mnt", "officer", "played"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(m.release, "contrib"), os.DirFS(contrib(t))); err != nil {
		t.Fatal(err)
	}
	build := exec.Command(gotool, "build", "-buildvcs=false", "-o", filepath.Join(m.release, "archivolt"), "./cmd/archivolt")
	build.Dir = testenv.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, script := range map[string]string{
		"release/archivoltd": fmt.Sprintf("%s=1 exec %s \"$@\"", asDaemon, os.Args[0]),
		"played/useradd":     "exit 0",
		"played/chown":       "exit 0",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.env = append(os.Environ(), "ARCHIVOLT_PASSPHRASE=correct horse",
		"PATH="+strings.Join([]string{filepath.Join(dir, "played"), m.root + "/usr/local/bin", m.release, os.Getenv("PATH")}, ":"))
	listen := freePort(t)
	m.daemon = &daemon{t: t, file: m.root + "/etc/archivolt/archivoltd.yaml", url: fmt.Sprintf("http://127.0.0.1:%d", listen)}
	t.Cleanup(func() {
		if m.daemon.cmd != nil {
			m.daemon.kill()
		}
		if t.Failed() && m.daemon.log != nil {
			t.Logf("the daemon has logged:\n%s", m.daemon.log)
		}
	})
	return m
}

// called says what names of the manual stand for here, beside its folders.
func (m *machine) called(names ...string) {
	m.paths = strings.NewReplacer(append(names, "/usr/local/bin", m.root+"/usr/local/bin", "/etc/", m.root+"/etc/", "/var/lib/archivolt", m.root+"/var/lib/archivolt", "/mnt/", m.root+"/mnt/")...)
}

// configuration writes the manual's archivoltd.yaml, for servers of the test.
func (m *machine) configuration(p *testenv.Prosody, e *testenv.Ejabberd) {
	m.t.Helper()
	for _, b := range m.blocks {
		if b.section != "Install" || b.info != "yaml" {
			continue
		}
		text := m.paths.Replace(b.text)
		for old, new := range map[string]string{
			"127.0.0.1:5347": fmt.Sprintf("127.0.0.1:%d", p.ComponentPort),
			"conference.example.org]\n": fmt.Sprintf("conference.example.org]\n  - {server: ejabberd, address: '127.0.0.1:%d', component: %s, secret_file: component.secret, local_domains: [%s]}\n",
				e.ComponentPort, e.Component, e.Domain),
		} {
			if strings.Count(text, old) != 1 {
				m.t.Fatalf("the manual's configuration does not hold %q once", old)
			}
			text = strings.Replace(text, old, new, 1)
		}
		text += "listen: " + strings.TrimPrefix(m.daemon.url, "http://") + "\n"
		if err := os.WriteFile(m.daemon.file, []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
		return
	}
	m.t.Fatal("the manual has no configuration")
}

var systemctl = regexp.MustCompile(`^systemctl (daemon-reload|stop archivoltd|enable --now archivoltd)$`)

// start starts the daemon as systemd would, with the credentials that the
// unit's drop-ins name.
func (m *machine) start() {
	m.t.Helper()
	if err := os.MkdirAll(m.root+"/var/lib/archivolt", 0o700); err != nil { // as StateDirectory does
		m.t.Fatal(err)
	}
	m.daemon.env = nil
	dropins, _ := filepath.Glob(m.root + "/etc/systemd/system/archivoltd.service.d/*.conf")
	for _, file := range dropins {
		for _, c := range regexp.MustCompile(`(?m)^LoadCredential=(.+?):(.+)$`).FindAllStringSubmatch(read(m.t, file), -1) {
			dir := m.t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c[1]), []byte(read(m.t, c[2])), 0o600); err != nil {
				m.t.Fatal(err)
			}
			m.daemon.env = append(m.daemon.env, "CREDENTIALS_DIRECTORY="+dir)
		}
	}
	m.daemon.start()
}

// run runs the blocks of a section that do (or do not) match, line by line as
// one shell would, and returns what they print.
func (m *machine) run(section, only string) (output string) {
	m.t.Helper()
	found := false
	for _, b := range m.blocks {
		if b.section != section || !strings.HasPrefix(b.info, "sh") || !strings.Contains(b.text, only) {
			continue
		}
		found = true
		dir := m.release
		if b.info == "sh officer" || section == "Verifying and reading" || section == "Without Archivolt" {
			dir = m.officer
		}
		var script strings.Builder
		flush := func() {
			if script.Len() == 0 {
				return
			}
			c := exec.Command("sh", "-euc", m.paths.Replace(script.String()))
			c.Dir, c.Env = dir, m.env
			out, err := c.CombinedOutput()
			output += string(out)
			if (err != nil) != (b.info == "sh fails") {
				m.t.Fatalf("%s: %s\nprints\n%s%v", section, script.String(), out, err)
			}
			script.Reset()
		}
		for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
			word := systemctl.FindStringSubmatch(line)
			if word == nil {
				if strings.Contains(line, "systemctl") {
					m.t.Fatalf("%s: the test cannot play %q", section, line)
				}
				script.WriteString(line + "\n")
				continue
			}
			flush()
			switch word[1] {
			case "stop archivoltd":
				m.daemon.stop()
			case "enable --now archivoltd":
				m.start()
			}
		}
		flush()
	}
	if !found {
		m.t.Fatalf("the manual has no commands in %q with %q", section, only)
	}
	return output
}

// bodies counts the texts of all records of an archive, which is read with keys.
func (m *machine) bodies(archive string, keys ...string) map[string]int {
	m.t.Helper()
	c := exec.Command(filepath.Join(m.release, "archivolt"), append([]string{"export", archive, "--format", "jsonl", "--rows", "--out", "-", "--quiet"}, keys...)...)
	c.Dir, c.Env = m.officer, m.env
	out, err := c.Output()
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	count := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var r struct {
			Body *string `json:"stanza_body"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			m.t.Fatalf("%v: %s", err, line)
		}
		if r.Body != nil {
			count[*r.Body]++
		}
	}
	return count
}

// crowd are clients of both servers.
type crowd struct {
	d       *daemon
	clients []*testenv.XMPPClient
}

// inWave is how many messages a wave has on each server.
const inWave = 20

func newCrowd(t *testing.T, d *daemon, p *testenv.Prosody, e *testenv.Ejabberd) *crowd {
	c := &crowd{d: d}
	for _, port := range []int{p.ClientPort, e.ClientPort} {
		c.clients = append(c.clients, testenv.StartXMPPClient(t, "anna@example.org/desk", testenv.Password, "127.0.0.1", port),
			testenv.StartXMPPClient(t, "ben@example.org/phone", testenv.Password, "127.0.0.1", port))
	}
	return c
}

// wave sends messages on each server, of which each is copied twice.
func (c *crowd) wave(name string) {
	c.d.t.Helper()
	before := c.d.status().Recorded
	for i, server := range []string{"prosody", "ejabberd"} {
		prefix := fmt.Sprintf("%s by %s", name, server)
		c.clients[2*i].Flood(c.clients[2*i+1].JID, "chat", prefix, inWave)
		c.clients[2*i+1].Wait(testenv.XMPPMatch{Prefix: prefix, Count: inWave})
	}
	c.d.recorded(before + 4*inWave)
}

// stored waits until everything is in the archive.
func (c *crowd) stored() {
	c.d.t.Helper()
	c.d.until("done with its spool", func() bool { return c.d.status().Queued == 0 })
}

// wantWaves wants each copy of each message of waves once, and nothing else but
// others.
func wantWaves(t *testing.T, got, others map[string]int, waves ...string) {
	t.Helper()
	want := maps.Clone(others)
	for _, w := range waves {
		for i := range inWave {
			want[fmt.Sprintf("%s by prosody %d", w, i)], want[fmt.Sprintf("%s by ejabberd %d", w, i)] = 2, 2
		}
	}
	for body, times := range got {
		if want[body] != times {
			t.Errorf("%q is there %d times, want %d", body, times, want[body])
		}
	}
	for body := range want {
		if got[body] == 0 {
			t.Errorf("%q is missing", body)
		}
	}
}

// TestManual installs by the manual's text, captures from real servers, backs
// up while messages wait in the spool, loses the machine, restores by the
// manual's text, goes on, and reads: what was there at the backup is there
// once, and what was captured after it is named as missing.
func TestManual(t *testing.T) {
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "ben"}})
	e := testenv.StartEjabberd(t, "anna", "ben")
	m := newMachine(t, "archivoltd.md")
	d := m.daemon

	m.run("Install", "identity new")
	if err := os.WriteFile(filepath.Join(m.release, "officer.id.pub"), []byte(read(t, m.officer+"/officer.id.pub")), 0o644); err != nil {
		t.Fatal(err)
	}
	if p.Secret != e.Secret {
		t.Fatal("the servers of this test have one secret")
	}
	if err := os.WriteFile(filepath.Join(m.release, "component.secret"), []byte(p.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run("Install", "useradd")
	m.run("Install", "anchors.conf")
	m.configuration(p, e)
	if out := m.run("Install", "check-config"); !strings.Contains(out, "prosody archive.example.org: connected\n") || !strings.Contains(out, "ejabberd archive.example.org: connected, best effort\n") {
		t.Errorf("after the installation: %s", out)
	}
	m.run("Connect the XMPP servers", "")
	m.run("Watch it", "")

	c := newCrowd(t, d, p, e)
	wave, stored := c.wave, c.stored
	wave("first")
	stored()
	// Another program holds the archive: what comes waits in the spool.
	lock, err := sqlite.OpenConn(m.root+"/var/lib/archivolt/archive.db", sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := sqlitex.ExecuteTransient(lock, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	wave("second")
	if waiting := d.status().Queued; waiting != 4*inWave {
		t.Errorf("%d entries wait in the spool", waiting)
	}
	m.run("Back up", "")
	if err := sqlitex.ExecuteTransient(lock, "ROLLBACK", nil); err != nil {
		t.Fatal(err)
	}
	wave("third")
	stored()
	d.stop()

	// The archive's disk alone is lost.
	whole := filepath.Join(t.TempDir(), "whole")
	if err := os.Rename(m.root+"/var/lib/archivolt", whole); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(m.root+"/var/lib/archivolt/state", os.DirFS(whole+"/state")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.root+"/var/lib/archivolt/archive.db", []byte(read(t, m.root+"/mnt/backup/last/archive.db")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := archivoltd(t, "run", "--config", d.file); code != 13 || !strings.Contains(stderr, "an older copy was put back") {
		t.Errorf("an archive older than its state: code %d\n%s", code, stderr)
	}

	// An empty machine.
	for _, path := range []string{"/var/lib/archivolt", "/etc/archivolt", "/etc/systemd/system/archivoltd.service", "/usr/local/bin/archivolt", "/usr/local/bin/archivoltd"} {
		if err := os.RemoveAll(m.root + path); err != nil {
			t.Fatal(err)
		}
	}
	m.run("Install", "useradd")
	m.run("Restore", "state /mnt/backup/last/archive.db")
	if out := m.run("Restore", "--anchor"); !strings.Contains(out, "it ends with entry ") {
		t.Errorf("verifying with the anchors from before: %s", out)
	}
	m.run("Restore", "enable --now")
	if d.log.lines("the last run did not end in order") != 1 {
		t.Error("the log does not tell of a disorderly end")
	}
	wave("fourth")
	c.clients[0].Send(testenv.XMPPMessage{To: c.clients[1].JID, Body: "the invoice"})
	bodies := func() map[string]int {
		return m.bodies(m.root+"/var/lib/archivolt/archive.db", "--private-key", "officer.id")
	}
	d.until("done with the last", func() bool { return bodies()["the invoice"] == 2 })
	out := m.run("Verifying and reading", "")
	if !strings.Contains(out, "the invoice") || !strings.Contains(out, "were never delivered") {
		t.Errorf("verifying and reading: %s", out)
	}
	once := func(waves ...string) {
		t.Helper()
		wantWaves(t, bodies(), map[string]int{"the invoice": 2}, waves...)
	}
	once("first", "second", "fourth")
	// The gap is exactly the third wave of Prosody's.
	gap := regexp.MustCompile(`the numbers (\d+) to (\d+) were never delivered`).FindAllStringSubmatch(out, -1)
	var from, to int
	if len(gap) == 1 {
		fmt.Sscan(gap[0][1]+" "+gap[0][2], &from, &to)
	}
	if to-from+1 != 2*inWave {
		t.Errorf("the gaps are %q, want one of %d numbers", gap, 2*inWave)
	}

	// state_dir alone is lost.
	m.run("Back up", "")
	wave("fifth")
	stored()
	d.stop()
	if err := os.RemoveAll(m.root + "/var/lib/archivolt/state"); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(m.root+"/var/lib/archivolt/state", os.DirFS(m.root+"/mnt/backup/last/state")); err != nil {
		t.Fatal(err)
	}
	d.start()
	wave("sixth")
	stored()
	once("first", "second", "fourth", "fifth", "sixth")
	m.run("Verifying and reading", "--anchor")
	d.stop()
}
