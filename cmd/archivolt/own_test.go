package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archivolt/internal/capture/capturetest"
	"archivolt/internal/ledger"
	"archivolt/internal/testenv"
)

const (
	anna, ben, carl = "anna@example.org", "ben@example.org", "carl@example.net"
	ops             = "ops@conference.example.org"
)

// ownArchive makes an archive of ours in the current folder, sealed for the
// identity officer.id.
func ownArchive(t *testing.T) *capturetest.Place {
	t.Helper()
	t.Chdir(t.TempDir())
	if _, stderr, code := runApp(t, "", "identity", "new", "--out", "officer.id"); code != 0 {
		t.Fatal(stderr)
	}
	p := capturetest.New(t)
	p.MoveTo(".")
	p.SealForFile(t, "officer.id.pub")
	s := &capturetest.Server{Numbered: true, Now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	id := s.Chat(anna, ben, "Has the shipment to Rotterdam left?", "")
	s.Chat(ben, anna, "Not yet.", "")
	s.Chat(ben, anna, "Not yet!", "<replace xmlns='urn:xmpp:message-correct:0' id='id2'/>")
	s.Chat(ben, anna, "", "<reactions xmlns='urn:xmpp:reactions:0' id='"+id+"'><reaction>👍</reaction></reactions>")
	s.Chat(carl, ben, "Rotterdam is none of your business", "")
	s.Say(ops, anna, "Anna", "the yard is closed", "", anna, ben)
	p.Run(t, s.Copies())
	return p
}

// TestOwnArchive asks an archive of ours what people ask.
func TestOwnArchive(t *testing.T) {
	p := ownArchive(t)
	recipient, _, _ := runApp(t, "", "--json", "identity", "show", "officer.id.pub")
	var shown struct {
		Recipients []struct{ Fingerprint string }
	}
	if err := json.Unmarshal([]byte(recipient), &shown); err != nil || len(shown.Recipients) != 1 {
		t.Fatalf("%s, %v", recipient, err)
	}
	for _, c := range []struct {
		args       string
		code       int
		out, notes []string
	}{
		{"check archive.db --private-key officer.id", 0, []string{"archive " + p.ID.String() + " of archivoltd", "12 rows", "6 messages, the same in 6 further copies", "ledger of archive.db: 19 entries, the last checkpoint over 19", "1 data key, each sealed for", "epoch 1, from", shown.Recipients[0].Fingerprint, "source queue/example.org/q1: delivered until number 12", "1 start of archivoltd; the last run has stopped in order", "connections that were lost"}, nil},
		{"check archive.db", 3, []string{"12 rows", "without a key", shown.Recipients[0].Fingerprint}, []string{"12 rows could not be read", "add --private-key FILE, the identity of an officer for whom it was sealed"}},
		{"users archive.db --private-key officer.id", 0, []string{"anna@example.org", "ben@example.org", "carl@example.net"}, []string{"12 rows: 12 opened; 6 messages"}},
		{"users archive.db", 12, nil, []string{"the archive is encrypted, and no key was given"}},
		{"rooms archive.db --private-key officer.id", 0, []string{"ops@conference.example.org  1 "}, nil},
		{"search archive.db rotterdam --private-key officer.id --context 0", 0, []string{"anna@example.org: Has the shipment", "carl@example.net: Rotterdam is none"}, []string{"2 messages found"}},
		{"search archive.db rotterdam --private-key officer.id --context 0 --user Anna@example.org", 0, []string{"anna@example.org: Has the shipment"}, []string{"only records of the people named were opened", "10 rows: 10 opened", "1 message found"}},
		{"search archive.db rotterdam --private-key officer.id --context 0 --user anna@example.org --no-fast", 0, nil, []string{"12 rows: 12 opened", "1 message found"}},
		{"search --no-fast archive.db --user anna@example.org has --private-key officer.id --context 0 rotterdam", 0, nil, []string{"12 rows: 12 opened", "1 message found"}},
		{"search archive.db rotterdam --private-key officer.id --context 0 --user anna@*", 0, nil, []string{"12 rows: 12 opened", "1 message found"}},
		{"search archive.db --private-key officer.id --fast", 2, nil, []string{"there is no address to look up"}},
		{"show archive.db --private-key officer.id --with anna@example.org --with ben@example.org", 0, []string{"Not yet!", "corrects id2", "reaction to id1"}, []string{"4 messages shown"}},
		{"show archive.db --private-key officer.id --room ops@conference.example.org", 0, []string{"room ops@conference.example.org", "anna@example.org: the yard is closed"}, []string{"only records of the rooms named were opened", "3 rows: 3 opened", "1 message shown"}},
		{"export archive.db --private-key officer.id --format csv --format html --format rsmf --out case", 0, nil, []string{"wrote case"}},
		{"verify case", 0, []string{"intact as the manifest says", "12 stored records, 12 of them in its ledger by the checkpoint of 20", "signer is not checked", "12 with the text that was committed to"}, nil},
		{"verify case --signer state/checkpoint.pub", 0, []string{"signed by the archive's key; 12 with"}, nil},
		{"export archive.db --private-key officer.id --format jsonl --rows --out rows --user carl@example.net", 0, nil, []string{"1 record tied"}},
		{"verify archive.db", 0, []string{"archive.db: consistent; signer not checked; freshness not proven\n", "19 entries, 12 records under 1 data key", "records at the end may have been cut off together with their checkpoint"}, nil},
		{"verify archive.db --signer state/checkpoint.pub --anchor anchors.txt --private-key officer.id", 0, []string{"archive.db: consistent; signed by the archive's key; complete until 20", "12 records opened, and what they hold is what was committed to"}, nil},
		{"verify .", 0, []string{"archive.db: consistent"}, nil},
		{"verify archive.db --signer officer.id.pub", 2, nil, []string{"this is the verifier of an officer"}},
		{"verify archive.db --anchor officer.id.pub", 1, nil, []string{"officer.id.pub: this is no file of signed checkpoints"}},
		{"verify case --anchor anchors.txt", 2, nil, []string{"--anchor: an export is verified without it"}},
		{"verify officer.id", 1, nil, []string{"neither the folder of an export nor an archive"}},
		{"check archive.db --private-key officer.id.pub", 1, nil, []string{"officer.id.pub: this is the public half of an identity"}},
	} {
		out, stderr, code := runApp(t, "", strings.Split(c.args, " ")...)
		if code != c.code {
			t.Errorf("%s: exit %d, %s", c.args, code, stderr)
		}
		for _, want := range c.out {
			if !strings.Contains(out, want) {
				t.Errorf("%s prints\n%s\nwithout %q", c.args, out, want)
			}
		}
		for _, want := range c.notes {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s says\n%s\nwithout %q", c.args, stderr, want)
			}
		}
	}
	for _, command := range []string{"search archive.db rotterdam", "show archive.db --user anna@*"} {
		_, stderr, code := runApp(t, "", strings.Split(command, " ")...)
		if code != 12 || strings.Contains(stderr, "0 messages") {
			t.Errorf("%s, without a key: code %d\n%s", command, code, stderr)
		}
	}
	if m := readFile(t, "rows/manifest.json"); !strings.Contains(m, `"fast": true`) {
		t.Error("the manifest does not say that not everything was read")
	}
	if left, err := filepath.Glob("archive.db?*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestKindsOfPrivateKey: an identity under a passphrase, one of age itself, and
// an RSA key open what was sealed for them.
func TestKindsOfPrivateKey(t *testing.T) {
	p := ownArchive(t)
	write := func(name, content string) {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pass.txt", "correct horse\n")
	write("age.txt", "# created by age-keygen\n"+p.Officer.String()+"\n")
	if _, stderr, code := runApp(t, "", "identity", "new", "--out", "sealed.id", "--classic", "--encrypt", "--passphrase-file", "pass.txt"); code != 0 {
		t.Fatal(stderr)
	}
	keys := filepath.Join(testenv.Root(t), "internal", "keys", "testdata")
	for _, name := range []string{"rsa2048.pkcs8.pem", "public.pem"} {
		data, err := os.ReadFile(filepath.Join(keys, name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, string(bytes.TrimSpace(data))+"\n")
	}
	write("age.pub", p.Officer.Recipient().String()+"\n")
	s := &capturetest.Server{Now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	for _, c := range []struct{ public, private string }{{"sealed.id.pub", "sealed.id"}, {"age.pub", "age.txt"}, {"public.pem", "rsa2048.pkcs8.pem"}} {
		p.SealForFile(t, c.public)
		s.Chat(anna, carl, "for "+c.public, "")
		p.Run(t, s.Copies())
		out, stderr, code := runApp(t, "", "search", "archive.db", c.public, "--context", "0", "--private-key", c.private, "--passphrase-file", "pass.txt")
		if code != 3 || !strings.Contains(out, "for "+c.public) {
			t.Errorf("%s: exit %d, %s, %s", c.private, code, out, stderr)
		}
	}
	all := []string{"check", "archive.db", "--passphrase-file", "pass.txt", "--private-key", "officer.id", "--private-key", "sealed.id", "--private-key", "age.txt", "--private-key", "rsa2048.pkcs8.pem"}
	if out, stderr, code := runApp(t, "", all...); code != 0 {
		t.Errorf("exit %d, %s, %s", code, out, stderr)
	}
	if _, stderr, code := runApp(t, "", "check", "archive.db", "--private-key", "sealed.id"); code != 11 {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// TestEvidence has both verifiers look at the evidence of an export, as it is
// and changed.
func TestEvidence(t *testing.T) {
	python := testenv.Python(t, "cryptography")
	scripts := filepath.Join(testenv.Root(t), "contrib", "verify")
	p := ownArchive(t)
	other := capturetest.New(t)
	other.ID = ledger.ID{7}
	other.SealForFile(t, "officer.id.pub")
	s := &capturetest.Server{Now: time.Date(2026, 3, 1, 9, 0, 2, 0, time.UTC)}
	s.Chat(anna, carl, "in another ledger", "")
	other.Run(t, s.Copies())
	export := func(out string, more ...string) {
		t.Helper()
		if _, stderr, code := runApp(t, "", append([]string{"export", "archive.db", "--also", other.Archive(), "--private-key", "officer.id", "--format", "jsonl", "--out", out}, more...)...); code != 0 {
			t.Fatalf("exit %d, %s", code, stderr)
		}
	}
	export("all")
	export("again")
	export("rows", "--rows")
	export("some", "--user", ben, "--identity", "officer.id")
	for _, name := range []string{"ledger.jsonl", "manifest.json"} {
		if readFile(t, "all/"+name) != readFile(t, "again/"+name) {
			t.Errorf("two exports differ in %s", name)
		}
	}
	ours := func(folder string) (string, int) {
		out, stderr, code := runApp(t, "", "verify", folder, "--signer", "state/checkpoint.pub", "--signer", other.VerifierFile())
		return out + stderr, code
	}
	theirs := func(script, folder string, more ...string) (string, int) {
		out, err := exec.Command(python, append([]string{filepath.Join(scripts, script), folder}, more...)...).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return string(out), exit.ExitCode()
		}
		return string(out), 0
	}
	signers := []string{"--signer", p.VerifierFile(), "--signer", other.VerifierFile()}
	for folder, records := range map[string]int{"all": 13, "rows": 13, "some": 10} {
		if out, code := ours(folder); code != 0 || strings.Count(out, "signed by the archive's key") != 2 {
			t.Errorf("%s: exit %d, %s", folder, code, out)
		}
		if out, code := theirs("archivolt_verify.py", folder); code != 0 {
			t.Errorf("%s: exit %d, %s", folder, code, out)
		}
		want := fmt.Sprintf("%s: %d records; %d in the ledger; %d with the text committed to; checkpoint signer trusted", folder, records, records, records)
		if out, code := theirs("archivolt_ledger.py", folder, signers...); code != 0 || !strings.HasPrefix(out, want) {
			t.Errorf("%s: exit %d, %s, want %s", folder, code, out, want)
		}
	}

	lines := strings.SplitAfter(readFile(t, "all/ledger.jsonl"), "\n")
	field := func(line, name string) string {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(e[name])
	}
	for name, change := range map[string]func() string{
		"another text":        func() string { return strings.Replace(lines[0], field(lines[0], "plain"), field(lines[2], "plain"), 1) },
		"another key":         func() string { return strings.Replace(lines[0], field(lines[0], "key"), field(lines[2], "key"), 1) },
		"another entry":       func() string { return strings.Replace(lines[0], field(lines[0], "entry"), field(lines[2], "entry"), 1) },
		"another number":      func() string { return strings.Replace(lines[0], `"index":`, `"index":1`, 1) },
		"no proof's hashes":   func() string { return lines[0][:strings.Index(lines[0], `"proof":`)] + "\"proof\":[]}\n" },
		"twice":               func() string { return lines[0] + lines[0] },
		"missing":             func() string { return "" },
		"of no message":       func() string { return strings.Replace(lines[0], `"message":1`, `"message":2`, 1) },
		"one of key and text": func() string { return strings.Replace(lines[0], `"`+field(lines[0], "plain")+`"`, "null", 1) },
		"no JSON":             func() string { return "x\n" },
	} {
		text := change() + strings.Join(lines[1:], "")
		rewrite(t, "all", "changed", text)
		if out, code := ours("changed"); code != 13 || !strings.Contains(out, "changed/ledger.jsonl:") {
			t.Errorf("%s: exit %d, %s", name, code, out)
		}
		if out, code := theirs("archivolt_verify.py", "changed"); code != 0 {
			t.Errorf("%s: the manifest fits, and yet exit %d, %s", name, code, out)
		}
		if out, code := theirs("archivolt_ledger.py", "changed", signers...); code != 13 {
			t.Errorf("%s: exit %d, %s", name, code, out)
		}
	}
	rewrite(t, "all", "changed", lines[0])
	if out, code := ours("changed"); code != 13 {
		t.Errorf("cut off: exit %d, %s", code, out)
	}
	if out, code := theirs("archivolt_ledger.py", "changed"); code != 13 {
		t.Errorf("cut off: exit %d, %s", code, out)
	}
	// A verifier of the same archive under another key.
	forged := capturetest.New(t)
	forged.Run(t)
	if out, stderr, code := runApp(t, "", "verify", "all", "--signer", forged.VerifierFile()); code != 13 || !strings.Contains(stderr, "is not signed by the verifier that is trusted") {
		t.Errorf("exit %d, %s, %s", code, out, stderr)
	}
	if out, code := theirs("archivolt_ledger.py", "all", "--signer", forged.VerifierFile()); code != 13 {
		t.Errorf("exit %d, %s", code, out)
	}
}

// rewrite makes a copy of an export with another ledger.jsonl, and a manifest
// that fits it: whoever does not sign can.
func rewrite(t *testing.T, from, to, text string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	old := readFile(t, from+"/ledger.jsonl")
	manifest := readFile(t, from+"/manifest.json")
	for _, r := range [][2]string{
		{fmt.Sprintf(`"bytes": %d,`, len(old)), fmt.Sprintf(`"bytes": %d,`, len(text))},
		{fmt.Sprintf("%x", sha256.Sum256([]byte(old))), fmt.Sprintf("%x", sha256.Sum256([]byte(text)))},
	} {
		if !strings.Contains(manifest, r[0]) {
			t.Fatalf("the manifest lacks %s", r[0])
		}
		manifest = strings.Replace(manifest, r[0], r[1], 1)
	}
	for name, content := range map[string]string{"manifest.json": manifest, "ledger.jsonl": text, "messages.jsonl": readFile(t, from+"/messages.jsonl")} {
		if err := os.WriteFile(filepath.Join(to, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
