package keystore

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/argon2"

	"archivolt/internal/cisco"
	"archivolt/internal/keys"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

const good = "plumb otter ninety fable crate"

// TestMain makes opening cheap.
func TestMain(m *testing.M) {
	recommended = defaults
	defaults = kdf{time: 1, memory: 1024, threads: 2}
	os.Exit(m.Run())
}

var recommended kdf

// create makes a keystore whose clock stands at a time.
func create(t testing.TB) (*Keystore, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keystore")
	k, err := Create(path, []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	k.now = func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 999, time.UTC) }
	return k, path
}

func pair(t testing.TB, bits int) (*keys.Private, *keys.Public) {
	t.Helper()
	out, err := exec.Command(testenv.Command(t, "openssl"), "genrsa", strconv.Itoa(bits)).Output()
	if err != nil {
		t.Fatal(err)
	}
	private, err := keys.ParsePrivate("private_key.pem", out)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("openssl", "rsa", "-pubout")
	c.Stdin = bytes.NewReader(out)
	pub, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.Identify(pub).Main().Public("public_key.pem")
	if err != nil {
		t.Fatal(err)
	}
	return private[0], public
}

func open(t testing.TB, path, password string) *Keystore {
	t.Helper()
	k, err := Open(path, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// isProblem tells whether err is a problem of the class that says what.
func isProblem(err error, class problem.Class, what string) bool {
	var p *problem.Error
	return errors.As(err, &p) && p.Class == class && strings.Contains(p.What, what)
}

func TestCreateAndOpen(t *testing.T) {
	k, path := create(t)
	key, iv, err := k.Current()
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, path, good)
	key2, iv2, err := other.Current()
	if err != nil || key != key2 || iv != iv2 || key == [32]byte{} || iv == [16]byte{} {
		t.Error("another key comes out", err)
	}
	c, err := cisco.NewKey(key[:], iv[:])
	if err != nil || other.Known().Keys[0].Fingerprint != c.Fingerprint() || !other.Known().Keys[0].Enabled() {
		t.Errorf("%+v, %v", other.Known(), err)
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	if _, err := Create(path, []byte(good)); !isProblem(err, problem.Failed, "already exists") {
		t.Errorf("a second time: %v", err)
	}
	for _, wrong := range []string{"", good + " ", "Plumb otter ninety fable crate"} {
		if _, err := Open(path, []byte(wrong)); !isProblem(err, problem.Passphrase, "the password does not open") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	// The daemon encrypts without the password, and opens with it.
	public, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := age.ParseHybridRecipient(public.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := age.ParseHybridIdentity(other.Identity())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, recipient)
	if err == nil {
		_, err = w.Write([]byte("spool"))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(&b, identity)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || string(plain) != "spool" {
		t.Errorf("%q, %v", plain, err)
	}
	// Nothing secret in the file or in what is printed.
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{string(key[:]), base64.StdEncoding.EncodeToString(key[:]), other.Identity(), good} {
		if bytes.Contains(data, []byte(secret)) || strings.Contains(other.String()+other.GoString(), secret) {
			t.Error("a secret stands in clear")
		}
	}
}

// TestChanged: whatever is changed in the file, it does not open.
func TestChanged(t *testing.T) {
	k, path := create(t)
	_, public := pair(t, 2048)
	if _, err := k.Download(public, ""); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name string, changed []byte) {
		if bytes.Equal(changed, data) {
			t.Fatalf("%s: nothing changed", name)
		}
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := Open(path, []byte(good)); err == nil {
			t.Errorf("%s: it opens", name)
			k.Close()
		} else if c := problem.ClassOf(err); c != problem.Passphrase && c != problem.Failed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range data {
		if i%7 == 0 || i < 200 {
			changed := bytes.Clone(data)
			changed[i] ^= 1
			change("a bit", changed)
		}
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	change("another recipient", bytes.Replace(data, []byte(k.Recipient), []byte(identity.Recipient().String()), 1))
	change("a line that is gone", regexp.MustCompile(`handed: .*\n`).ReplaceAll(data, nil))
	change("a line more", append(bytes.Clone(data), '\n'))
	change("cut off", data[:len(data)-1])
	change("Windows line ends", bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")))
}

// TestDownload: what is handed out is what openssl opens and cisco's reader
// reads, and the file says who got it.
func TestDownload(t *testing.T) {
	k, path := create(t)
	private, public := pair(t, 2048)
	wrapped, err := k.Download(public, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(wrapped) != 344 || bytes.ContainsAny(wrapped, "\r\n") {
		t.Errorf("%d characters: %q", len(wrapped), wrapped)
	}
	file, err := cisco.ParseKeyFile("encrypted_key.pem", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	u, err := file.Unwrap([]*keys.Private{private}, cisco.TextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^key = [0-9a-f]{64}\niv  = [0-9a-f]{32}\n$`).Match(u.Text) || u.Key.Fingerprint() != k.Keys[0].Fingerprint {
		t.Error("the text is not IM&P's, or another key")
	}
	known := open(t, path, good).Known()
	want := Handed{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), k.Keys[0].Fingerprint, public.Fingerprint()}
	if len(known.Handed) != 1 || known.Handed[0] != want {
		t.Errorf("%+v, want %+v", known.Handed, want)
	}
	if _, err := k.Download(public, "0123456789abcdef"); !isProblem(err, problem.Usage, "there is no key 0123456789abcdef") {
		t.Errorf("an unknown key: %v", err)
	}
	_, weak := pair(t, 1024)
	if _, err := k.Download(weak, ""); !isProblem(err, problem.Usage, "RSA-1024 key is too weak") {
		t.Errorf("a weak key: %v", err)
	}
	if n := len(open(t, path, good).Handed); n != 1 {
		t.Errorf("%d lines", n)
	}
}

func TestChangePassword(t *testing.T) {
	k, path := create(t)
	before := k.Keys[0].Fingerprint
	const other = "seven quiet harbours under snow"
	if err := k.ChangePassword([]byte("not the password"), []byte(other)); !isProblem(err, problem.Passphrase, "old password") {
		t.Errorf("a wrong old one: %v", err)
	}
	if err := k.ChangePassword([]byte(good), []byte("short")); !isProblem(err, problem.Usage, "it has 5 characters") {
		t.Errorf("a weak new one: %v", err)
	}
	salt := bytes.Clone(k.salt)
	if err := k.ChangePassword([]byte(good), []byte(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, []byte(good)); problem.ClassOf(err) != problem.Passphrase {
		t.Errorf("the old one still opens it: %v", err)
	}
	if o := open(t, path, other); o.Keys[0].Fingerprint != before || bytes.Equal(o.salt, salt) {
		t.Error("another key, or the same salt")
	}
}

// TestDisableAndEnable: no key goes away, and there is no new one before the
// old one is in an officer's hands.
func TestDisableAndEnable(t *testing.T) {
	k, path := create(t)
	private, public := pair(t, 3072)
	escrow := filepath.Join(t.TempDir(), "old.key")
	if err := k.Enable(public, escrow); !isProblem(err, problem.Failed, "encryption is enabled already") {
		t.Errorf("enabled twice: %v", err)
	}
	if err := k.Disable(); err != nil {
		t.Fatal(err)
	}
	if err := k.Disable(); !isProblem(err, problem.Failed, "disabled already") {
		t.Errorf("disabled twice: %v", err)
	}
	if _, _, err := k.Current(); !isProblem(err, problem.Failed, "encryption is disabled") {
		t.Errorf("%v", err)
	}
	if _, err := k.Download(public, ""); !isProblem(err, problem.Failed, "no key to download") {
		t.Errorf("%v", err)
	}
	first := k.Keys[0]
	if first.Enabled() || !first.Disabled.Equal(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", first)
	}
	_, weak := pair(t, 1024)
	for name, try := range map[string]func() error{
		"nobody":               func() error { return k.Enable(nil, escrow) },
		"no file":              func() error { return k.Enable(public, "") },
		"a weak key":           func() error { return k.Enable(weak, escrow) },
		"no folder":            func() error { return k.Enable(public, filepath.Join(escrow, "x", "y")) },
		"a file that is there": func() error { return k.Enable(public, path) },
	} {
		if err := try(); err == nil || len(k.Keys) != 1 || len(open(t, path, good).Keys) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := k.Enable(public, escrow); err != nil {
		t.Fatal(err)
	}
	o := open(t, path, good)
	if len(o.Keys) != 2 || o.Keys[0] != first || !o.Keys[1].Enabled() || o.Keys[1].Fingerprint == first.Fingerprint {
		t.Errorf("%+v", o.Keys)
	}
	if len(o.Handed) != 1 || o.Handed[0].Key != first.Fingerprint || o.Handed[0].PublicKey != public.Fingerprint() {
		t.Errorf("%+v", o.Handed)
	}
	for name, wrapped := range map[string]func() ([]byte, error){"the copy": func() ([]byte, error) { return os.ReadFile(escrow) },
		"the earlier key": func() ([]byte, error) { return o.Download(public, first.Fingerprint) }} {
		data, err := wrapped()
		if err != nil {
			t.Fatal(err)
		}
		file, err := cisco.ParseKeyFile(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := file.Unwrap([]*keys.Private{private}, cisco.TextOptions{}); err != nil || u.Key.Fingerprint() != first.Fingerprint {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTwoAtOnce: a change by somebody else is not written over, and an
// unfinished file of a killed run is named.
func TestTwoAtOnce(t *testing.T) {
	k, path := create(t)
	other := open(t, path, good)
	if err := other.Disable(); err != nil {
		t.Fatal(err)
	}
	if err := k.Disable(); !isProblem(err, problem.Failed, "another archivoltd has changed this keystore") || !k.Keys[0].Enabled() {
		t.Errorf("%v, %+v", err, k.Keys)
	}
	if err := os.WriteFile(path+".partial", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, public := pair(t, 2048)
	if err := other.Enable(public, path+".old"); !isProblem(err, problem.Failed, "unfinished") {
		t.Errorf("%v", err)
	}
}

func TestPasswords(t *testing.T) {
	for password, what := range map[string]string{
		"": "empty", "short": "it has 5 characters, and needs 12", "elevenchars": "it has 11 characters", "ééééééééééé": "it has 11",
		"aaaaaaaaaaaaaaaa": "over and over", "ababababababab": "over and over", "123456789012": "a sequence", "abcdefghijklmnop": "a sequence", "987654321098": "a sequence",
		"password1234": "guessed first", "PasswordPassword": "guessed first", "Welcome-2026!": "guessed first", "correct horse battery staple": "guessed first", "AdministratoR1": "guessed first",
		strings.Repeat("long enough ", 100): "more than 1024",
	} {
		if err := CheckPassword([]byte(password)); !isProblem(err, problem.Usage, what) {
			t.Errorf("%q: %v", password, err)
		}
		var p *problem.Error
		if err := CheckPassword([]byte(password)); errors.As(err, &p) && (p.Try == "" || password != "" && strings.Contains(p.What+p.Try, password)) {
			t.Errorf("%q: %+v", password, p)
		}
	}
	for _, password := range []string{good, "k7#mQz!pW2rT", "пять слов наугад из книги", "password of mine, and a mountain", "\xff\xfe binary \x01 thing"} {
		if err := CheckPassword([]byte(password)); err != nil {
			t.Errorf("%q: %v", password, err)
		}
	}
	if _, err := Create(filepath.Join(t.TempDir(), "k"), []byte("weak")); problem.ClassOf(err) != problem.Usage {
		t.Errorf("%v", err)
	}
}

// TestDefaults: what is written is within the limits, and the limits are the
// documented ones. Argon2id itself TestPython holds against another
// implementation.
func TestDefaults(t *testing.T) {
	real := recommended
	real.salt = make([]byte, minSalt)
	if !real.check() {
		t.Error("the defaults are beyond the limits")
	}
	if !bytes.Equal(real.derive([]byte("x")), argon2.IDKey([]byte("x"), real.salt, 3, 65536, 4, 32)) {
		t.Error("the parameters are mixed up")
	}
	for name, k := range map[string]kdf{"no passes": {0, 1024, 1, real.salt}, "many passes": {65, 1024, 1, real.salt}, "much memory": {1, 1<<20 + 1, 1, real.salt}, "much of both": {9, 1 << 20, 1, real.salt},
		"no lanes": {1, 1024, 0, real.salt}, "many lanes": {1, 1 << 16, 65, real.salt}, "too little memory": {1, 31, 4, real.salt}, "a short salt": {1, 1024, 1, real.salt[1:]}} {
		if k.check() {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestNotKeystore: other files are named as what they are not.
func TestNotKeystore(t *testing.T) {
	_, path := create(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, what string }{
		"empty":       {"", "this is no keystore"},
		"another":     {"profiles: {}\n", "this is no keystore"},
		"newer":       {strings.Replace(string(data), magic, "archivolt keystore 2", 1), "a version that this program does not know"},
		"huge memory": {strings.Replace(string(data), "memory=1024", "memory=999999999", 1), "would cost more time or memory"},
		"huge lanes":  {strings.Replace(string(data), "threads=2", "threads=258", 1), "would cost more time or memory"},
		"a line more": {strings.Replace(string(data), "recipient:", "x: y\nrecipient:", 1), "line 3 is not what a keystore has there"},
		"no key":      {regexp.MustCompile(`key: .*\n`).ReplaceAllString(string(data), ""), "line 4 is not"},
		"two enabled": {strings.Replace(string(data), "key: ", "key: 0123456789abcdef made 2026-11-24T12:00:00Z\nkey: ", 1), "line 5 is not"},
		"a time":      {regexp.MustCompile(`made \S+`).ReplaceAllString(string(data), "made 2026-11-24T12:00:00+01:00"), "line 4 is not"},
		"no seal":     {string(data[:bytes.Index(data, []byte("sealed: "))]), "line 5 is not"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, []byte(good)); !isProblem(err, problem.Failed, c.what) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(path+".none", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// byDocument prints the enabled key with the program of docs/format/keystore.md,
// which shares nothing with this package.
func byDocument(t testing.TB, path, password string) (string, error) {
	t.Helper()
	python := testenv.Python(t, "argon2, cryptography")
	doc, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "format", "keystore.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```python\n(.*?)```").FindSubmatch(doc)
	if program == nil {
		t.Fatal("the page has no program")
	}
	c := exec.Command(python, "-c", string(program[1]), path)
	c.Stdin = strings.NewReader(password + "\n")
	out, err := c.Output()
	return string(out), err
}

func TestPython(t *testing.T) {
	k, path := create(t)
	private, public := pair(t, 2048)
	wrapped, err := k.Download(public, "")
	if err != nil {
		t.Fatal(err)
	}
	file, err := cisco.ParseKeyFile("wrapped", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	u, err := file.Unwrap([]*keys.Private{private}, cisco.TextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]string{good: string(u.Text), good + "x": ""} {
		if out, err := byDocument(t, path, password); out != want || (err == nil) != (want != "") {
			t.Errorf("%q: another text comes out, %v", password, err)
		}
	}
}

// FuzzParse: no panic; what is taken is written again byte for byte, and costs
// no more than the limits.
func FuzzParse(f *testing.F) {
	k, path := create(f)
	_, public := pair(f, 2048)
	if _, err := k.Download(public, ""); err != nil {
		f.Fatal(err)
	}
	if _, err := k.Share(k.Recipient); err != nil {
		f.Fatal(err)
	}
	for range 2 {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		if err := k.Disable(); err != nil {
			break
		}
	}
	f.Add([]byte(magic + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse(data)
		if err != nil {
			return
		}
		if !bytes.Equal(file.marshal(), data) || !file.kdf.check() || len(file.Keys) == 0 {
			t.Fatalf("%q comes back as %q", data, file.marshal())
		}
	})
}
