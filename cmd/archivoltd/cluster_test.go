//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"archivolt/internal/testenv"
)

// clustered is a daemon of a cluster, on a machine of its own.
type clustered struct {
	*daemon
	address string // where it answers the others
	pin     string
	path    string // PATH with the program
	alone   string // its configuration without the cluster
}

// newClustered writes a configuration with Cisco's format, without a cluster.
func newClustered(t testing.TB, database string, s server) *clustered {
	t.Helper()
	d := newDaemon(t, freePort(t), s)
	c := &clustered{daemon: d, address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), path: asCommand(t)}
	c.alone, _ = d.ciscoConfig(database)
	d.env = []string{"ARCHIVOLT_PASSPHRASE=" + tablePassword}
	c.pin = strings.TrimSpace(c.shell(block1(t, "sh pin")))
	return c
}

func (c *clustered) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// block1 is the block with the info in docs/ops/cisco.md, of which there is one.
func block1(t testing.TB, info string) string {
	t.Helper()
	blocks := ciscoBlocks(t, "", info)
	if len(blocks) != 1 {
		t.Fatalf("the manual has %d blocks %q", len(blocks), info)
	}
	return blocks[0]
}

// shell runs a script in the daemon's folder and returns its standard output.
func (c *clustered) shell(script string) string {
	c.t.Helper()
	command := exec.Command("sh", "-euc", script)
	command.Dir = c.dir
	command.Env = append(os.Environ(), "PATH="+c.path+":"+os.Getenv("PATH"), "ARCHIVOLT_PASSPHRASE="+tablePassword)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	if strings.Contains(stderr.String(), tablePassword) {
		c.t.Error("the password is in the log")
	}
	return string(out)
}

// of writes the manual's configuration for a role, with another daemon as peer.
func (c *clustered) of(role string, peer *clustered) {
	c.t.Helper()
	listen, other, digit := "10.0.0.1:9281", "10.0.0.2:9281", "2"
	if role == "secondary" {
		listen, other, digit = other, listen, "1"
	}
	text := strings.NewReplacer("listen: "+listen, "listen: "+c.address, "address: "+other, "address: "+peer.address, strings.Repeat(digit, 64), peer.pin).Replace(block1(c.t, "yaml "+role))
	if strings.Contains(text, "10.0.0") || strings.Contains(text, strings.Repeat(digit, 64)) {
		c.t.Fatalf("the manual's configuration has other addresses:\n%s", text)
	}
	c.write("archivoltd.yaml", c.alone+text)
}

// refused runs a command that must fail.
func (c *clustered) refused(code int, words string, args ...string) {
	c.t.Helper()
	args = append(args, "--config", c.config(), "--passphrase-file", filepath.Join(c.dir, "password"))
	if stdout, stderr, got := archivoltd(c.t, args...); got != code || !strings.Contains(stderr, words) || stdout != "" {
		c.t.Errorf("%q: code %d, want %d and %q\n%s", args, got, code, words, stderr)
	}
}

// TestCluster: a second daemon gets the key of the first by the manual's
// commands, each writes what its own XMPP server sends into its own database,
// and one downloaded key opens both with openssl alone. A second primary is
// refused, and what it captures waits until it is none.
func TestCluster(t *testing.T) {
	testenv.Command(t, "openssl")
	testenv.Command(t, "psql")
	pg := testenv.StartPostgres(t, "fsync=on")
	for _, name := range []string{"first", "second", "third"} {
		pg.SQL("postgres", "CREATE DATABASE "+name)
	}
	e := testenv.StartEjabberd(t, "anna", "ben")
	p := testenv.StartProsody(t, testenv.ProsodySetup{Domain: "example.net", Users: []string{"cleo", "dan"}})
	prosody := server{"prosody", p.Component, p.Secret, p.ComponentPort, []string{p.Domain}}
	a := newClustered(t, pg.URL("postgres", "first"), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain}})
	b := newClustered(t, pg.URL("postgres", "second"), prosody)
	c := newClustered(t, pg.URL("postgres", "third"), prosody)
	anna := testenv.StartXMPPClient(t, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
	cleo := testenv.StartXMPPClient(t, "cleo@"+p.Domain+"/desk", testenv.Password, "127.0.0.1", p.ClientPort)
	dan := testenv.StartXMPPClient(t, "dan@"+p.Domain+"/phone", testenv.Password, "127.0.0.1", p.ClientPort)
	send := func(from, to *testenv.XMPPClient, body string) {
		t.Helper()
		from.Send(testenv.XMPPMessage{To: to.JID, Body: body})
		to.Wait(testenv.XMPPMatch{Prefix: body, Count: 1})
	}
	rows := func(database string) string { return pg.SQL(database, "SELECT count(*) FROM jm") }

	a.of("primary", b)
	b.of("secondary", a)
	b.refused(1, "there is no keystore yet\n  try: archivoltd key join --config ", "run")
	b.refused(14, "none of the peers is the primary", "key", "join")
	a.shell("archivoltd key enable --config archivoltd.yaml")
	if out := a.shell("archivoltd check-config --config archivoltd.yaml"); !strings.Contains(out, "primary of 2 daemons with this key, answers the others at "+a.address+"\n") {
		t.Errorf("check-config prints\n%s", out)
	}
	a.start()
	b.shell(block1(t, "sh join"))
	b.start()
	if one, two := a.status().Cluster, b.status().Cluster; one.Key == "" || one.Key != two.Key || one.Primaries != 1 || two.Primaries != 1 || len(two.Peers) != 1 || !two.Peers[0].Up {
		t.Errorf("%+v\n%+v", one, two)
	}
	send(anna, ben, "the harbour at five")
	send(cleo, dan, "the lighthouse at six")
	a.until("done", func() bool { return rows("first") == "2" })
	b.until("done", func() bool { return rows("second") == "2" })

	// What the primary alone does.
	b.shell("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private.pem; openssl pkey -in private.pem -pubout -out public.pem")
	b.refused(2, "this daemon is a secondary", "key", "download", "--public-key", filepath.Join(b.dir, "public.pem"))
	b.refused(2, "this daemon is a secondary", "key", "enable")
	b.refused(2, "this daemon is a secondary", "key", "disable")
	a.refused(2, "this daemon is no secondary", "key", "join")

	// A second primary: it can make no key, and with one it encrypts nothing.
	c.of("primary", a)
	c.refused(1, a.address+" is the primary already", "key", "enable")
	if _, err := os.Lstat(filepath.Join(c.dir, "keystore")); err == nil {
		t.Error("it has a keystore all the same")
	}
	c.write("archivoltd.yaml", c.alone)
	c.shell("archivoltd key enable --config archivoltd.yaml")
	c.of("primary", a)
	b.stop()
	c.launch()
	c.until("held", func() bool {
		s := c.status()
		return s.Connected == 1 && s.Cluster != nil && s.Cluster.Held != ""
	})
	send(dan, cleo, "the ferry at seven")
	c.recorded(2)
	if stdout, stderr, code := archivoltd(t, "status", "--config", c.config()); code != 1 || !strings.Contains(stderr, "does not capture everything") || !strings.Contains(stdout, "  try: write role: secondary") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	if answer, err := http.Get(c.url + "/readyz"); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v %v", answer, err)
	}
	_, samples := c.scrape()
	for name, want := range map[string]string{"held": "1", "primaries": "2", "peers": "1", "peers_down": "0", "ready": "0"} {
		if samples["archivoltd_"+name] != want {
			t.Errorf("%s is %q", name, samples["archivoltd_"+name])
		}
	}
	c.until("at the database", func() bool { return c.status().StoreFails > 1 })
	c.stop()
	if n := rows("third"); n != "0" {
		t.Errorf("the second primary has written %s rows", n)
	}
	if n := c.log.lines("this is a second primary: " + a.address); n == 0 {
		t.Error("the log does not say so")
	}
	if s := a.status(); !s.Ready {
		t.Errorf("the first primary is not ready: %q", s.Why)
	}

	// As a secondary it brings in what has waited.
	c.of("secondary", a)
	c.shell(block1(t, "sh join"))
	c.start()
	c.until("done", func() bool { return rows("third") == "2" })
	c.stop()
	a.stop()

	// One key, three databases, openssl.
	a.shell("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private.pem; openssl pkey -in private.pem -pubout -out public.pem")
	for database, want := range map[string]string{"first": "the harbour at five", "second": "the lighthouse at six", "third": "the ferry at seven"} {
		got := a.shell(`archivoltd key download --config archivoltd.yaml --public-key public.pem | base64 -d | openssl pkeyutl -decrypt -inkey private.pem > key.txt
key=$(sed -n 's/^key *= *//p' key.txt); iv=$(sed -n 's/^iv *= *//p' key.txt)
psql -X -A -t '` + pg.URL("postgres", database) + `' -c "SELECT body_string FROM jm LIMIT 1" | base64 -d | openssl enc -d -aes-256-cbc -K "$key" -iv "$iv"`)
		if got != want {
			t.Errorf("%s holds %q, want %q", database, got, want)
		}
	}
	// The primary is gone: a secondary takes its place, and hands out the key.
	b.of("primary", a)
	b.start()
	b.shell("archivoltd key download --config archivoltd.yaml --public-key public.pem | base64 -d | openssl pkeyutl -decrypt -inkey private.pem > key.txt")
	if one, two := read(t, filepath.Join(a.dir, "key.txt")), read(t, filepath.Join(b.dir, "key.txt")); one != two || len(one) != 110 {
		t.Error("the new primary hands out another key")
	}
	b.stop()
	if list := a.shell("archivoltd key list --config archivoltd.yaml"); strings.Count(list, "with the keystore of another daemon") != 2 {
		t.Errorf("key list prints\n%s", list)
	}
}

// TestDisabled: a daemon whose key is disabled starts, captures and says what
// it waits for; a new key and a start bring in what has waited.
func TestDisabled(t *testing.T) {
	testenv.Command(t, "openssl")
	testenv.Command(t, "sqlite3")
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "ben"}})
	d := newClustered(t, "archive.db", server{"prosody", p.Component, p.Secret, p.ComponentPort, []string{p.Domain}})
	d.shell("archivoltd key enable --config archivoltd.yaml; archivoltd key disable --config archivoltd.yaml")
	d.launch()
	d.until("held", func() bool {
		s := d.status()
		return s.Connected == 1 && s.Cluster != nil && strings.HasSuffix(s.Cluster.Held, "keystore: encryption is disabled")
	})
	anna := testenv.StartXMPPClient(t, "anna@"+p.Domain+"/desk", testenv.Password, "127.0.0.1", p.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+p.Domain+"/phone", testenv.Password, "127.0.0.1", p.ClientPort)
	anna.Send(testenv.XMPPMessage{To: ben.JID, Body: "the tide at eight"})
	d.recorded(2)
	d.stop()
	rows := func() string { return strings.TrimSpace(d.shell("sqlite3 archive.db 'SELECT count(*) FROM jm'")) }
	if n := rows(); n != "0" {
		t.Errorf("%s rows are encrypted with a key that is disabled", n)
	}
	d.shell("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private.pem; openssl pkey -in private.pem -pubout -out public.pem")
	d.shell("archivoltd key enable --config archivoltd.yaml --public-key public.pem --escrow escrow.pem")
	d.start()
	d.until("done", func() bool { return rows() == "2" })
	d.stop()
}
