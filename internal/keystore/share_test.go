package keystore

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"archivolt/internal/problem"
)

// TestJoin: a second keystore has the same keys afterwards, opened by the
// program in docs/format/keystore.md; the first one says to whom they went, and
// what was on the way shows nothing.
func TestJoin(t *testing.T) {
	primary, path := create(t)
	_, officer := pair(t, 2048)
	if err := primary.Disable(); err != nil {
		t.Fatal(err)
	}
	if err := primary.Enable(officer, filepath.Join(t.TempDir(), "escrow")); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "keystore")
	var sent []byte
	var recipient string
	joined, err := Join(second, []byte(good), func(r string) (_ []byte, err error) {
		recipient = r
		sent, err = primary.Share(r)
		return sent, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer joined.Close()
	if _, err := os.Stat(second); err != nil {
		t.Fatal(err)
	}
	same := func() string {
		t.Helper()
		one, err := byDocument(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if two, err := byDocument(t, second, good); err != nil || two != one {
			t.Errorf("the second keystore has another key: %v", err)
		}
		return one
	}
	key := same()
	if joined.Identity() == primary.Identity() {
		t.Error("both have one identity")
	}
	text := read(t, path)
	fingerprint := shell(t, "printf %s '"+recipient+"' | sha256sum | cut -c 1-64")
	if !strings.Contains(text, "\nshared: 2026-11-24T12:00:00Z to "+fingerprint+"\nsealed: ") {
		t.Errorf("the primary's file has no line of it:\n%s", text)
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "key: ") && !strings.Contains(read(t, second), line+"\n") {
			t.Errorf("the second file has no line %q", line)
		}
	}
	for _, hexadecimal := range regexp.MustCompile("[0-9a-f]{32,}").FindAllString(key, -1) {
		raw, err := hex.DecodeString(hexadecimal)
		if err != nil || len(key) != 110 {
			t.Fatalf("%d characters, %v", len(key), err)
		}
		if bytes.Contains(sent, raw) || bytes.Contains(sent, []byte(hexadecimal)) || bytes.Contains(sent, []byte(base64.StdEncoding.EncodeToString(raw))) {
			t.Error("the key is sent in clear")
		}
	}
	if again := open(t, path, good); len(again.Known().Sharings) != 1 || again.Known().Sharings[0].Recipient != fingerprint {
		t.Errorf("%+v", again.Known().Sharings)
	}

	// The primary gets a new key; joining again brings it.
	if err := primary.Disable(); err != nil {
		t.Fatal(err)
	}
	if _, err := primary.Share(recipient); !isProblem(err, problem.Failed, "encryption is disabled") {
		t.Errorf("sharing although disabled: %v", err)
	}
	if err := primary.Enable(officer, filepath.Join(t.TempDir(), "escrow")); err != nil {
		t.Fatal(err)
	}
	again, err := Join(second, []byte(good), primary.Share)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if same() == key || len(again.Known().Keys) != 3 || again.Identity() != joined.Identity() {
		t.Errorf("joining again has not brought the third key, or changed the identity: %+v", again.Known().Keys)
	}
}

// TestJoinKeepsKeys: a keystore that had a key of its own, which some messages
// need, keeps it, disabled, and its identity, which opens the spool.
func TestJoinKeepsKeys(t *testing.T) {
	primary, _ := create(t)
	other, path := create(t)
	own := other.Known().Keys[0].Fingerprint
	key, iv, err := other.Current()
	if err != nil {
		t.Fatal(err)
	}
	identity := other.Identity()
	joined, err := Join(path, []byte(good), primary.Share)
	if err != nil {
		t.Fatal(err)
	}
	defer joined.Close()
	k := open(t, path, good)
	known := k.Known().Keys
	if len(known) != 2 || known[0].Fingerprint != own || known[0].Enabled() || known[1].Fingerprint != primary.Known().Keys[0].Fingerprint || !known[1].Enabled() {
		t.Errorf("%+v", known)
	}
	if k.Identity() != identity || !bytes.Equal(k.Material[0].Key, key[:]) || !bytes.Equal(k.Material[0].IV, iv[:]) {
		t.Error("the own key or the identity is gone")
	}
}

// TestJoinRefused: whatever comes from the other side, the file stays as it is.
func TestJoinRefused(t *testing.T) {
	primary, _ := create(t)
	_, path := create(t)
	before := read(t, path)
	stranger, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	encrypted := func(recipient, text string) []byte {
		to, err := age.ParseHybridRecipient(recipient)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := age.Encrypt(&b, to)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	const key, iv = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "8ODQwLCgkIBwYFBAMCAQAA=="
	entry := func(key, iv, more string) string {
		return `{"key":"` + key + `","iv":"` + iv + `","made":"2026-11-24T12:00:00Z"` + more + `}`
	}
	for name, c := range map[string]struct {
		exchange func(string) ([]byte, error)
		want     string
	}{
		"another's":     {func(string) ([]byte, error) { return primary.Share(stranger.Recipient().String()) }, "not encrypted for this keystore"},
		"nothing":       {func(string) ([]byte, error) { return nil, nil }, "not encrypted for this keystore"},
		"cut":           {func(r string) ([]byte, error) { b, err := primary.Share(r); return b[:len(b)-1], err }, "damaged on the way"},
		"no list":       {func(r string) ([]byte, error) { return encrypted(r, "{}"), nil }, "no list of keys"},
		"an empty list": {func(r string) ([]byte, error) { return encrypted(r, "[]"), nil }, "no list of keys"},
		"a short key":   {func(r string) ([]byte, error) { return encrypted(r, "["+entry("AAEC", iv, "")+"]"), nil }, "is none"},
		"a short iv":    {func(r string) ([]byte, error) { return encrypted(r, "["+entry(key, "8ODQ", "")+"]"), nil }, "is none"},
		"two enabled": {func(r string) ([]byte, error) {
			return encrypted(r, "["+entry(key, iv, "")+","+entry(key, iv, "")+"]"), nil
		}, "not just the last one"},
		"none enabled": {func(r string) ([]byte, error) {
			return encrypted(r, "["+entry(key, iv, `,"disabled":"2026-11-24T12:00:00Z"`)+"]"), nil
		}, "not just the last one"},
		"made never": {func(r string) ([]byte, error) {
			return encrypted(r, `[{"key":"`+key+`","iv":"`+iv+`","made":"0001-01-01T00:00:00Z"}]`), nil
		}, "a time that no keystore has"},
		"made too late": {func(r string) ([]byte, error) {
			return encrypted(r, `[{"key":"`+key+`","iv":"`+iv+`","made":"9999-12-31T23:59:59-23:00"}]`), nil
		}, "a time that no keystore has"},
		"made too early": {func(r string) ([]byte, error) {
			return encrypted(r, `[{"key":"`+key+`","iv":"`+iv+`","made":"0000-01-01T00:00:00+23:00"}]`), nil
		}, "a time that no keystore has"},
		"disabled and not": {func(r string) ([]byte, error) {
			return encrypted(r, "["+entry("B"+key[1:], iv, `,"disabled":"0001-01-01T00:00:00.5Z"`)+","+entry(key, iv, "")+"]"), nil
		}, "a time that no keystore has"},
		"more than a file holds": {func(r string) ([]byte, error) {
			return encrypted(r, "["+strings.Repeat(entry(key, iv, `,"disabled":"2026-11-24T12:00:00Z"`)+",", 25_000)+entry(key, iv, "")+"]"), nil
		}, "could not be read again"},
		"far too much":   {func(r string) ([]byte, error) { return encrypted(r, strings.Repeat(" ", maxShared+1)), nil }, "damaged on the way"},
		"the other's no": {func(string) ([]byte, error) { return nil, errors.New("no") }, "no"},
		"no recipient":   {func(string) ([]byte, error) { return primary.Share("age1pq1nothing") }, "no recipient of a keystore"},
		"a class refused": {func(string) ([]byte, error) {
			return primary.Share("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")
		}, "no recipient of a keystore"},
	} {
		if _, err := Join(path, []byte(good), c.exchange); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", name, err)
		}
		if read(t, path) != before {
			t.Fatalf("%s: the file has changed", name)
		}
		fresh := filepath.Join(t.TempDir(), "keystore")
		if _, err := Join(fresh, []byte(good), c.exchange); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, a new file: %v", name, err)
		}
		if _, err := os.Lstat(fresh); err == nil {
			t.Errorf("%s: a keystore was made", name)
		}
	}
	if _, err := Join(path, []byte("quilt banjo seventy orbit"), primary.Share); !isProblem(err, problem.Passphrase, "does not open") {
		t.Errorf("another password: %v", err)
	}
	if _, err := Join(filepath.Join(t.TempDir(), "keystore"), []byte("123456"), primary.Share); err == nil {
		t.Error("a weak password is taken")
	}
	if n := len(primary.Known().Sharings); n == 0 {
		t.Error("what was shared is not recorded")
	}
	if primary.Known().Sharings[0].Time != time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) {
		t.Errorf("%v", primary.Known().Sharings[0])
	}
}

// FuzzShared: no panic; with a list that is taken the file can be read again,
// holds all keys of both, and encrypts with the list's last one.
func FuzzShared(f *testing.F) {
	primary, _ := create(f)
	other, _ := create(f)
	seed := func(keys ...shared) {
		data, err := json.Marshal(keys)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	one, two := shared{other.Material[0], at, at}, shared{primary.Material[0], at, time.Time{}}
	seed(two)
	seed(one, two)
	seed(one, one, two)
	f.Add([]byte(`[{"made":"0001-01-01T00:00:00.5Z"}]`))
	f.Fuzz(func(t *testing.T, plain []byte) {
		list, what := parseShared(plain)
		if what != "" {
			return
		}
		k := *primary
		if err := k.merge(list); err != nil {
			t.Fatal(err)
		}
		data, err := k.seal()
		if err != nil {
			t.Fatal(err)
		}
		file, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		held := map[string]bool{}
		for _, key := range file.Keys {
			held[key.Fingerprint] = true
		}
		for _, s := range list {
			if fp, _ := s.fingerprint(); !held[fp] {
				t.Fatalf("the key %s is lost", fp)
			}
		}
		last, _ := list[len(list)-1].fingerprint()
		if end := file.Keys[len(file.Keys)-1]; !held[primary.Keys[0].Fingerprint] || end.Fingerprint != last || !end.Enabled() || !k.consistent() {
			t.Fatalf("%+v", file.Keys)
		}
	})
}

func shell(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
