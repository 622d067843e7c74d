package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"archivolt/internal/config"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/xmpp"
)

// TestCheckConfig: what is wrong is said with what mends it, by run too, and
// nothing is made on the disk.
func TestCheckConfig(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"officer.pub": hybrid.Recipient().String(), "old.pub": classic.Recipient().String(), "officer.id": hybrid.String(), "secret": "s3cret\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := strings.Join([]string{
		"archive: archive.db", "state_dir: state", "recipients: [officer.pub]", "listen: none",
		"xmpp: [{server: prosody, address: '127.0.0.1:5347', component: archive.example.org, secret_file: secret, local_domains: [example.org]}]", ""}, "\n")
	for _, c := range []struct {
		name, old, new string // of the good one
		code           int
		want           string // in what is printed
	}{
		{"good", "", "", 0, "prosody at 127.0.0.1:5347 as archive.example.org for example.org: each copy is acknowledged once it is durable"},
		{"class", "", "", 0, "sealed for 1 recipients, class pq"},
		{"no anchors", "", "", 0, "can cut off its end without a trace"},
		{"ejabberd", "server: prosody", "server: ejabberd", 0, "best effort: ejabberd does not wait"},
		{"mixed, refused", "[officer.pub]", "[officer.pub, old.pub]", 2, "old.pub: this recipient is not post-quantum"},
		{"mixed, allowed", "recipients: [officer.pub]", "allow_mixed: true\nrecipients: [officer.pub, old.pub]", 0, "not post-quantum, because of"},
		{"a private key", "[officer.pub]", "[officer.id]", 2, "officer.id: this is a private key, which must not lie where messages are captured"},
		{"no recipients", "recipients: [officer.pub]\n", "", 2, "recipients: is missing: there is nobody to seal for"},
		{"a recipient that is not there", "[officer.pub]", "[nobody.pub]", 1, "nobody.pub: there is no such file"},
		{"no archive", "archive: archive.db\n", "", 2, "archive: is missing"},
		{"a database", "archive: archive.db", "archive: postgres://db/x", 2, "archive: is a URL"},
		{"no such format", "listen: none", "listen: none\nformat: zip", 2, "format: zip is not one that this version writes"},
		{"a keystore", "listen: none", "listen: none\nkeystore: keys", 2, "keystore:, per_message:, clear_subjects: and cluster: are for format: cisco alone"},
		{"Cisco's format with recipients", "listen: none", "listen: none\nformat: cisco\nkeystore: keys", 2, "recipients: and allow_mixed: mean nothing with format: cisco"},
		{"Cisco's format without a keystore", "recipients: [officer.pub]", "format: cisco", 2, "keystore: is missing"},
		{"Cisco's format with anchors", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\nanchors: [a]", 2, "anchors: mean nothing with format: cisco"},
		{"a cluster without Cisco's format", "listen: none", "listen: none\ncluster: {role: primary, listen: '127.0.0.1:9281'}", 2, "cluster: are for format: cisco alone"},
		{"a cluster without a role", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {listen: '127.0.0.1:9281'}", 2, "cluster: role: is neither primary nor secondary"},
		{"a cluster without an address", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: primary}", 2, "cluster: listen: is no host:port"},
		{"a cluster at no port", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: primary, listen: '127.0.0.1:'}", 2, "cluster: listen: is no host:port"},
		{"a peer on no machine", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: secondary, listen: 'h:9281', peers: [{address: ':9281', pin: " + strings.Repeat("0f", 32) + "}]}", 2, "cluster: peer 1: address: is no host:port"},
		{"a cluster with a wrong name", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {roll: primary}", 2, "line 5: field roll is unknown\n  try: compare it with docs/ops/archivoltd.md, and with docs/ops/cisco.md"},
		{"a peer that is a word", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: primary, listen: 'h:9281', peers: [a]}", 2, "line 5: one value stands where a group of names with values belongs"},
		{"a word for true", "listen: none", "listen: none\nallow_mixed: perhaps", 2, "one value stands where true or false belongs"},
		{"one server for a list", "listen: none", "listen: none\nanchors: {a: b}", 2, "a group of names stands where a list belongs"},
		{"a secondary alone", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: secondary, listen: 'h:9281'}", 2, "cluster: peers: is missing"},
		{"a peer without an address", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: secondary, listen: 'h:9281', peers: [{pin: x}]}", 2, "cluster: peer 1: address: is no host:port"},
		{"a peer without a pin", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: secondary, listen: 'h:9281', peers: [{address: 'i:9281', pin: 00FF}]}", 2, "cluster: peer 1: pin: is none"},
		{"a peer twice", "recipients: [officer.pub]", "format: cisco\nkeystore: keys\ncluster: {role: primary, listen: 'h:9281', peers: [{address: 'i:9281', pin: " + strings.Repeat("0f", 32) + "}, {address: 'i:9281', pin: " + strings.Repeat("0f", 32) + "}]}", 2, "cluster: peer 2: is named twice"},
		{"Cisco's format, the keystore is not there", "recipients: [officer.pub]", "format: cisco\nkeystore: keys", 1, "keys: there is no keystore yet\n  try: archivoltd key enable --config "},
		{"Cisco's format, a password", "archive: archive.db\nstate_dir: state\nrecipients: [officer.pub]", "archive: postgres://u:s3cret@db/x\nstate_dir: state\nformat: cisco\nkeystore: keys", 2, "archive: holds a password"},
		{"Cisco's format, SQL Server", "archive: archive.db\nstate_dir: state\nrecipients: [officer.pub]", "archive: sqlserver://u@db/x\nstate_dir: state\nformat: cisco\nkeystore: keys", 2, "sqlserver:// is read by archivolt, and not written"},
		{"Cisco's format, no database", "archive: archive.db\nstate_dir: state\nrecipients: [officer.pub]", "archive: mysql://u@db/x\nstate_dir: state\nformat: cisco\nkeystore: keys", 2, "mysql:// is no kind of database"},
		{"no state", "state_dir: state\n", "", 2, "state_dir: is missing"},
		{"no server", "xmpp:", "# xmpp:", 2, "xmpp: is missing"},
		{"another server", "server: prosody", "server: openfire", 2, "server 1: server: is neither ejabberd nor prosody"},
		{"an address without port", "127.0.0.1:5347", "127.0.0.1", 2, "address: is no host:port"},
		{"in clear over the network", "127.0.0.1:5347", "xmpp.example.org:5347", 2, "cross the network in clear"},
		{"TLS over the network", "address: '127.0.0.1:5347'", "tls: true, address: 'xmpp.example.org:5347'", 0, "xmpp.example.org:5347"},
		{"an empty secret", "secret_file: secret", "secret_file: empty", 2, "the secret is empty"},
		{"no domains", "local_domains: [example.org]", "local_domains: []", 2, "local_domains: is missing"},
		{"a component's name", "component: archive.example.org", "component: archive@example.org", 2, "archive@example.org: this is no name for a component"},
		{"a domain that is none", "local_domains: [example.org]", "local_domains: [example.org, 'example.org/chat']", 2, "example.org/chat: this is no local domain"},
		{"an empty domain", "local_domains: [example.org]", "local_domains: ['']", 2, "this is no local domain"},
		{"an address without host", "address: '127.0.0.1:5347'", "tls: true, address: ':5347'", 2, ":5347: this is no address of a component listener"},
		{"a server twice", "local_domains: [example.org]}]", "local_domains: [example.org]}, {server: prosody, address: '127.0.0.1:5347', component: archive.example.org, secret_file: secret, local_domains: [example.com]}]", 2, "server 2: is named twice"},
		{"a typing mistake", "listen:", "lisen:", 2, "line 4: field lisen is unknown"},
		{"a size", "listen: none", "listen: none\nspool_max: 16 gigs", 2, `"16 gigs" is no size such as 16GiB`},
		{"a small size", "listen: none", "listen: none\nspool_max: 1MiB", 2, "spool_max: is too small"},
		{"an address to listen at", "listen: none", "listen: 9280", 2, "listen: 9280 is no address"},
		{"an anchor", "listen: none", "listen: none\nanchors: ['ftp://x/y']", 2, "neither a file nor an http(s) URL"},
		{"an anchor with a password", "listen: none", "listen: none\nanchors: [a.txt, 'https://me:s3cret@x.example/y']", 2, "anchors: URL 2 holds a user or a password"},
		{"an anchor with a user", "listen: none", "listen: none\nanchors: ['https://me@x.example/y']", 2, "anchors: URL 1 holds a user or a password"},
		{"another anchor with a password", "listen: none", "listen: none\nanchors: ['ftp://me:s3cret@x/y']", 2, "anchors: URL 1 holds a user or a password"},
		{"a bad anchor with a password", "listen: none", "listen: none\nanchors: ['https://me:s3cret%zz@x/y']", 2, "anchors: URL 1 holds a user or a password"},
		{"an anchor with @ in its path", "listen: none", "listen: none\nanchors: ['https://x.example/@y']", 0, "sealed for"},
	} {
		text := good
		if c.old != "" {
			text = strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatalf("%s: nothing was replaced", c.name)
			}
		}
		name := filepath.Join(dir, "archivoltd.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := archivoltd(t, "check-config", "--config", name)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: code %d\n%s%s", c.name, code, stdout, stderr)
		}
		if code != 0 && (!strings.Contains(stderr, "\n  try: ") || strings.Contains(stdout+stderr, "s3cret")) {
			t.Errorf("%s: code %d\n%s%s", c.name, code, stdout, stderr)
		}
		if code == 0 {
			continue // run would run
		}
		if stdout, stderr, code := archivoltd(t, "run", "--config", name); code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: run ends with code %d\n%s%s", c.name, code, stdout, stderr)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 6 {
		t.Errorf("there are %d files, and 6 were made here", len(entries))
	}
	if _, stderr, code := archivoltd(t, "status", "--config", filepath.Join(dir, "archivoltd.yaml")); code != 2 {
		t.Errorf("status with a bad configuration: %d %s", code, stderr)
	}
}

// TestComponentEnds: a component that cannot run ends the daemon, and not as if
// somebody had asked for it.
func TestComponentEnds(t *testing.T) {
	dir := t.TempDir()
	officer, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := seal.ParseRecipients(false, seal.File{Name: "officer.pub", Data: []byte(officer.Recipient().String())})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a := &app{ctx: t.Context(), out: io.Discard, err: &log}
	d := &config.Daemon{Archive: filepath.Join(dir, "archive.db"), StateDir: filepath.Join(dir, "state"), Listen: config.NoListen, XMPP: []config.XMPPServer{{Server: config.Prosody}}}
	err = (&runCmd{}).capture(a, d, &parts{recipients: recipients, components: []*xmpp.Component{{Address: "127.0.0.1:1", Name: "no name", Secret: []byte("s"), Domains: []string{"example.org"}}}})
	if problem.ClassOf(err) != problem.Usage || !strings.Contains(err.Error(), "this is no name for a component") {
		t.Errorf("it ends with %v\n%s", err, log.String())
	}
}
