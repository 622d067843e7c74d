package proof

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// Keys with fixed seeds: the officer's and an attacker's.
var (
	officer  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	attacker = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// line is a record of messages.jsonl.
func line(n int, status string) string {
	return fmt.Sprintf(`{"time":"2024-01-02T03:04:05.%03dZ","from":"a@example.com","body":"Grüße \u2028 %d","recipients":[],"status":"%s","row":"jm.csv:%d"}`, n, n, status, n)
}

func threeLines() []string { return []string{line(1, "ok"), line(2, "ok"), line(3, "damaged")} }

// makeExport writes an export of these lines into dir, signed with key unless
// it is nil.
func makeExport(t *testing.T, dir string, lines []string, key ed25519.PrivateKey, change func(*Manifest)) {
	t.Helper()
	b := NewBuilder()
	for _, l := range lines {
		status := "ok"
		for _, s := range []string{"damaged", "no-key"} {
			if strings.Contains(l, `"status":"`+s) {
				status = s
			}
		}
		if err := b.Record([]byte(l), status); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		h := NewHasher(f)
		if _, err := io.WriteString(h, text); err != nil {
			t.Fatal(err)
		}
		n, sum := h.Sum()
		b.File(name, n, sum)
		f.Close()
	}
	write("messages.jsonl", strings.Join(lines, "\n")+strings.Repeat("\n", min(1, len(lines))))
	write("messages.csv", "time,from\r\n2024,a\r\n")
	write("2024-01-02_a@example.com_0123456789ab.eml", "Subject: x\r\n\r\nhello\r\n")
	asOf := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	name, since, n := "Müller ./. \u202eShip <&> Co\x7f \"\\", "2024-01-01", int64(3)
	m := Manifest{Tool: Tool{"archivolt", "test"}, AsOf: &asOf, Case: &name, TimeZone: "Europe/Berlin",
		Archives: []Archive{{Name: "jm.csv", Description: "comma-separated", Rows: 5}}, Filter: Filter{Users: []string{"a@*"}, Since: &since},
		Counts: Counts{Rows: ByStatus{OK: 4, Damaged: 1}, Messages: &n}, Keys: []Key{{"07c7e18f7b8e6945", 4}}}
	if change != nil {
		change(&m)
	}
	manifest, signature, err := b.Manifest(m, key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, ManifestName), manifest)
	if signature != nil {
		put(t, filepath.Join(dir, SignatureName), signature)
	}
}

func put(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// second is the second verifier, contrib/verify, at work in one process.
type second struct {
	t      *testing.T
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	dir    string
}

const driver = `
import importlib.util, sys
spec = importlib.util.spec_from_file_location("v", sys.argv[1])
v = importlib.util.module_from_spec(spec)
spec.loader.exec_module(v)
for line in sys.stdin:
    folder, *signers = line.rstrip("\n").split("\t")
    try:
        print("0", v.verify(folder, [v.signer(s) for s in signers]), flush=True)
    except v.Wrong as e:
        print("13", e.args[0], flush=True)
    except OSError:
        print("1", flush=True)
`

func startSecond(t *testing.T, dir string) *second {
	t.Helper()
	cmd := exec.Command(testenv.Python(t, "cryptography"), "-c", driver, filepath.Join(testenv.Root(t), "contrib", "verify", "archivolt_verify.py"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the second verifier: %v", err)
		}
	})
	return &second{t: t, stdin: stdin, stdout: bufio.NewScanner(stdout), dir: dir}
}

// both runs both verifiers, which must agree, and returns what they say: the
// exit code with the result in words, or with the object that is wrong.
func (s *second) both(what string, trusted ...ed25519.PublicKey) string {
	s.t.Helper()
	first := s.first(trusted)
	question := s.dir
	for _, k := range trusted {
		question += "\ted25519:" + base64.StdEncoding.EncodeToString(k)
	}
	if _, err := io.WriteString(s.stdin, question+"\n"); err != nil || !s.stdout.Scan() {
		s.t.Fatalf("%s: the second verifier is gone: %v", what, err)
	}
	if got := s.stdout.Text(); got != first {
		s.t.Errorf("%s: the verifiers disagree: %q and %q", what, first, got)
	}
	return first
}

func (s *second) first(trusted []ed25519.PublicKey) string {
	r, err := Verify(context.Background(), s.dir, trusted)
	var p *problem.Error
	switch {
	case err == nil:
		return "0 " + r.Trust.String()
	case errors.As(err, &p) && p.Class == problem.Unverified:
		return "13 " + strings.TrimPrefix(p.Object, s.dir+string(filepath.Separator))
	}
	return "1"
}

// want fails unless both verifiers say this.
func (s *second) want(what, want string, trusted ...ed25519.PublicKey) {
	s.t.Helper()
	if got := s.both(what, trusted...); got != want {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

const (
	trustedWords    = "0 intact since signing; signer trusted"
	notCheckedWords = "0 intact since signing; signer not checked"
	notSignedWords  = "0 intact as the manifest says; not signed: anybody could have made it"
)

func TestIntact(t *testing.T) {
	for _, lines := range [][]string{threeLines(), nil, {line(1, "no-key")}} {
		dir := t.TempDir()
		s := startSecond(t, dir)
		makeExport(t, dir, lines, nil, nil)
		s.want("not signed", notSignedWords)
		s.want("not signed, and asked for", "13 manifest.json", public(officer))
		makeExport(t, dir, lines, officer, nil)
		s.want("signed", notCheckedWords)
		s.want("trusted", trustedWords, public(attacker), public(officer))
		s.want("not trusted", "13 manifest.sig", public(attacker))
	}
}

// TestEveryByte changes each byte of each file.
func TestEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := startSecond(t, dir)
	makeExport(t, dir, threeLines(), officer, nil)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Fatal(len(entries), err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		whole := get(t, path)
		for i := range whole {
			for _, c := range []byte{whole[i] ^ 1, '\n'} {
				if c == whole[i] {
					continue
				}
				changed := bytes.Clone(whole)
				changed[i] = c
				put(t, path, changed)
				got := s.both(fmt.Sprintf("%s byte %d becomes %q", e.Name(), i, c))
				if got != "13 "+e.Name() && !(e.Name() == ManifestName && got == "13 "+SignatureName) {
					t.Errorf("%s byte %d: %q", e.Name(), i, got)
				}
			}
		}
		for i := range whole { // cut off
			put(t, path, whole[:i])
			if got := s.both(fmt.Sprintf("%s of %d bytes", e.Name(), i)); got != "13 "+e.Name() {
				t.Errorf("%s of %d bytes: %q", e.Name(), i, got)
			}
		}
		put(t, path, whole)
	}
	s.want("restored", notCheckedWords)
}

// TestEveryByteSignedAgain changes each byte of the manifest and signs it
// again: whatever one verifier takes for a manifest, the other does too.
func TestEveryByteSignedAgain(t *testing.T) {
	dir := t.TempDir()
	s := startSecond(t, dir)
	makeExport(t, dir, threeLines(), attacker, nil)
	whole := get(t, filepath.Join(dir, ManifestName))
	passed := 0
	for i := range whole {
		for _, c := range []byte{whole[i] ^ 1, '"', 0xff} {
			changed := bytes.Clone(whole)
			changed[i] = c
			put(t, filepath.Join(dir, ManifestName), changed)
			put(t, filepath.Join(dir, SignatureName), sign(changed, attacker))
			if s.both(fmt.Sprintf("byte %d becomes %q, signed again", i, c)) == notCheckedWords {
				passed++
			}
		}
	}
	if passed < 30 || passed > len(whole) { // only free text and counts may change
		t.Errorf("%d of %d changed manifests are manifests", passed, 3*len(whole))
	}
}

// TestFiles removes, renames and adds.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	s := startSecond(t, dir)
	makeExport(t, dir, threeLines(), officer, nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	must(err)
	for _, e := range entries {
		name := e.Name()
		must(os.Rename(at(name), at("zz")))
		s.want(name+" renamed", "13 "+name)
		must(os.Rename(at("zz"), filepath.Join(t.TempDir(), "x")))
		s.want(name+" removed", "13 "+name)
		must(os.Mkdir(at(name), 0o700))
		s.want(name+" is a folder", "13 "+name)
		must(os.Remove(at(name)))
		elsewhere := t.TempDir()
		makeExport(t, elsewhere, threeLines(), officer, nil)
		if os.Symlink(filepath.Join(elsewhere, name), at(name)) == nil {
			s.want(name+" is a link", "13 "+name)
			must(os.Remove(at(name)))
		}
		makeExport(t, dir, threeLines(), officer, nil)
		s.want("restored", notCheckedWords)
	}
	for _, name := range []string{"extra.eml", ".hidden", "manifest.json.bak", "Messages.jsonl.gz"} {
		put(t, at(name), nil)
		s.want(name+" added", "13 "+name)
		must(os.Remove(at(name)))
	}
	must(os.Mkdir(at("folder"), 0o700))
	s.want("a folder added", "13 folder")
	must(os.Remove(at("folder")))
	if os.Symlink("messages.csv", at("link.csv")) == nil {
		s.want("a link added", "13 link.csv")
		must(os.Remove(at("link.csv")))
	}
	put(t, at("b.eml"), nil)
	put(t, at("a.eml"), nil)
	s.want("two added", "13 a.eml")
	put(t, at("messages.csv"), []byte("other"))
	s.want("two added and one changed", "13 messages.csv")
	if runtime.GOOS != "windows" {
		s.dir = at("messages.csv")
		s.want("a file in place of the folder", "1")
		s.dir = at("missing")
		s.want("no folder", "1")
	}
}

// TestRecordsChanged is an attacker who changes the records, recomputes every
// hash and signs with a key of his own. Only --signer tells; without it the
// verifiers say that nobody has checked the signer.
func TestRecordsChanged(t *testing.T) {
	dir := t.TempDir()
	s := startSecond(t, dir)
	l := threeLines()
	for what, lines := range map[string][]string{
		"swapped":    {l[1], l[0], l[2]},
		"duplicated": {l[0], l[0], l[1], l[2]},
		"dropped":    {l[0], l[2]},
		"altered":    {l[0], strings.Replace(l[1], "Gr", "Br", 1), l[2]},
	} {
		makeExport(t, dir, lines, attacker, nil)
		s.want(what+", signed again", notCheckedWords)
		s.want(what+", signed again", "13 manifest.sig", public(officer))
		// He who only has the manifest of the original cannot do it.
		original := t.TempDir()
		makeExport(t, original, threeLines(), officer, nil)
		put(t, filepath.Join(dir, ManifestName), get(t, filepath.Join(original, ManifestName)))
		put(t, filepath.Join(dir, SignatureName), get(t, filepath.Join(original, SignatureName)))
		s.want(what+", manifest kept", "13 messages.jsonl")
	}
	// The signature of another export, by the same officer.
	other := t.TempDir()
	makeExport(t, other, l[:2], officer, nil)
	makeExport(t, dir, l, officer, nil)
	put(t, filepath.Join(dir, SignatureName), get(t, filepath.Join(other, SignatureName)))
	s.want("signature of another export", "13 manifest.sig")
}

// TestManifestFalse is an attacker who lies in the manifest and signs it.
func TestManifestFalse(t *testing.T) {
	dir := t.TempDir()
	s := startSecond(t, dir)
	makeExport(t, dir, threeLines(), attacker, nil)
	whole := string(get(t, filepath.Join(dir, ManifestName)))
	deep := strings.Repeat("[", 100_000)
	for _, c := range []struct{ old, new, want string }{
		{`"count": 3`, `"count": 4`, "13 manifest.json"},
		{"\"count\": 3,\n    \"status\": {\n      \"ok\": 2", "\"count\": 4,\n    \"status\": {\n      \"ok\": 3", "13 messages.jsonl"},
		{"\"ok\": 2,\n      \"plain\": 0", "\"ok\": 1,\n      \"plain\": 1", "13 messages.jsonl"},
		{`"root": "`, `"root": "AAAA`, "13 manifest.json"},
		{`"format": "archivolt-export/1"`, `"format": "archivolt-export/2"`, "13 manifest.json"},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": null`, notCheckedWords},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": "2023-02-29T12:00:00Z"`, "13 manifest.json"},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": "0000-03-01T12:00:00Z"`, "13 manifest.json"},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": "2024-03-01T12:00:60Z"`, "13 manifest.json"},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": "2024-03-01T24:00:00Z"`, "13 manifest.json"},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": "2024-03-01T12:00:00.5Z"`, "13 manifest.json"},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": "2024-03-01T12:00:00+01:00"`, "13 manifest.json"},
		{`"as_of": "2024-03-01T12:00:00Z"`, `"as_of": "٢٠24-03-01T12:00:00Z"`, "13 manifest.json"},
		{`"reason": null`, `"reason": "because"`, notCheckedWords},
		{`"reason": null`, `"reason": ["because"]`, "13 manifest.json"},
		{`"reason": null`, `"reason": "\ud800"`, "13 manifest.json"},
		{`"reason": null`, `"reason": "\ufffd"`, "13 manifest.json"},
		{`"reason": null`, `"reason": "�\u2029😀\u0001\t\b\f"`, notCheckedWords},
		{`"reason": null`, `"reason": "�\u2029😀\u0001\u061c\t\b\f\r\n\u0000"`, notCheckedWords},
		{`"reason": null`, `"reason": "�\u2029😀\u0001\u061c\t"`, notCheckedWords},
		{`"reason": null`, `"reason": "\/"`, "13 manifest.json"},
		{`"reason": null`, `"reason": ` + deep, "13 manifest.json"},
		{`"reason": null`, `"reason": null, "more": 1`, "13 manifest.json"},
		{`"reason": null`, "\"reason\": null,\n  \"reason\": null", "13 manifest.json"},
		{`"reason": null`, `"Reason": null`, "13 manifest.json"},
		{`  "reason": null,` + "\n", ``, "13 manifest.json"},
		{`"undated": 0`, `"undated": 9007199254740991`, notCheckedWords},
		{`"undated": 0`, `"undated": 9007199254740992`, "13 manifest.json"},
		{`"undated": 0`, `"undated": -1`, "13 manifest.json"},
		{`"undated": 0`, `"undated": -0`, "13 manifest.json"},
		{`"undated": 0`, `"undated": 0.0`, "13 manifest.json"},
		{`"undated": 0`, `"undated": 1e2`, "13 manifest.json"},
		{`"undated": 0`, `"undated": true`, "13 manifest.json"},
		{`"undated": 0`, `"undated": null`, "13 manifest.json"},
		{`"undated": 0`, `"undated": ` + strings.Repeat("9", 5000), "13 manifest.json"},
		{`"words": []`, `"words": null`, "13 manifest.json"},
		{`"words": []`, "\"words\": [\n      null\n    ]", "13 manifest.json"},
		{`"fast": false`, `"fast": 0`, "13 manifest.json"},
		{`"name": "messages.csv"`, `"name": "messages.cs"`, "13 messages.cs"},
		{`"name": "messages.csv"`, `"name": "../messages.csv"`, "13 manifest.json"},
		{`"name": "messages.csv"`, `"name": "manifest.sig"`, "13 manifest.json"},
		{`"name": "messages.csv"`, `"name": "messages.jsonl"`, "13 manifest.json"},
		{`"name": "messages.csv"`, `"name": "zz.csv"`, "13 manifest.json"},
		{`"name": "messages.jsonl"`, `"name": "messages.jsonm"`, "13 manifest.json"},
		{`"name": "messages.csv"`, `"name": ".csv"`, "13 manifest.json"},
		{`"bytes": 19`, `"bytes": 20`, "13 messages.csv"},
		{"}\n", "}", "13 manifest.json"},
		{"}\n", "}\n\n", "13 manifest.json"},
		{"}\n", "}\n{}", "13 manifest.json"},
		{"{\n  \"format\"", "\ufeff{\n  \"format\"", "13 manifest.json"},
		{"  \"format\"", "\t\"format\"", "13 manifest.json"},
	} {
		at := strings.LastIndex(whole, c.old)
		if at < 0 {
			t.Fatalf("no %q in\n%s", c.old, whole)
		}
		changed := []byte(whole[:at] + c.new + whole[at+len(c.old):])
		put(t, filepath.Join(dir, ManifestName), changed)
		put(t, filepath.Join(dir, SignatureName), sign(changed, attacker))
		s.want(fmt.Sprintf("%.60q", c.new), c.want)
	}
	put(t, filepath.Join(dir, ManifestName), []byte(whole))
	for _, changed := range []string{"", "\n\n\n", strings.Repeat("x", 5000)} {
		put(t, filepath.Join(dir, SignatureName), []byte(changed))
		s.want("signature "+changed[:min(9, len(changed))], "13 manifest.sig")
	}
	// The manifest names no signer, and a signature lies there.
	makeExport(t, dir, threeLines(), nil, nil)
	s.want("a signature too many", "13 manifest.sig")
}

// TestLines: an attacker whose hashes fit, and whose lines are no records.
func TestLines(t *testing.T) {
	dir := t.TempDir()
	s := startSecond(t, dir)
	ok := line(1, "ok")
	for _, bad := range []string{
		``, `{}`, `[]`, `7`, `"status"`, `{"status":"ok"`, `{"status":"OK"}`, `{"status":"ok","status":"ok"}`, `{"status":"ok","a":{}}`,
		`{"status":"ok","a":[1]}`, `{"status":"ok","a":[[]]}`, `{"status":"ok","a":NaN}`, `{"status":"ok","a":-Infinity}`, "{\"status\":\"ok\",\"a\":\"\xff\"}",
		"{\"status\":\"ok\",\"a\":\"\x01\"}", "\ufeff{\"status\":\"ok\"}", `{"status":"ok","a":01}`, `{"status":"ok",}`, `{"status":["ok"]}`,
		strings.Repeat(`{"a":`, 5000), strings.Repeat(`[`, 200_000), `{"status":"ok"} x`,
	} {
		makeExport(t, dir, []string{ok, bad, ok}, attacker, nil)
		s.want(fmt.Sprintf("%.60q", bad), "13 messages.jsonl:2")
	}
	for _, good := range []string{` {"status" : "ok" } ` + "\r", `{"st\u0061tus":"o\u006b"}`, `{"status":"ok","a":` + strings.Repeat("9", 5000) + `}`, `{"status":"ok","a":"\ud800"}`, `{"a":["x" , "y"],"b":[ ],"status":"ok","c":1e999}`} {
		makeExport(t, dir, []string{ok, good, ok}, attacker, nil)
		s.want(fmt.Sprintf("%.60q", good), notCheckedWords)
	}
	// Without the last line feed.
	b := NewBuilder()
	_ = b.Record([]byte(ok), "ok")
	h := NewHasher(io.Discard)
	_, _ = io.WriteString(h, ok)
	n, sum := h.Sum()
	b.File(RecordsName, n, sum)
	manifest, signature, err := b.Manifest(Manifest{}, attacker)
	if err != nil {
		t.Fatal(err)
	}
	small := t.TempDir()
	for name, text := range map[string][]byte{RecordsName: []byte(ok), ManifestName: manifest, SignatureName: signature} {
		put(t, filepath.Join(small, name), text)
	}
	s.dir = small
	s.want("no line feed at the end", "13 messages.jsonl:1")
}
