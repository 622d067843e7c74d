package cisco

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"archivolt/internal/keys"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

const keyText = "key = " + keyHex + "\niv  = " + ivHex + "\n"

func officer(t testing.TB) (*keys.Private, *rsa.PrivateKey) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(t), "internal", "keys", "testdata", "rsa2048.pkcs8.pem"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := keys.ParsePrivate("private_key.pem", data)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return list[0], key.(*rsa.PrivateKey)
}

// wrapStd wraps with the standard library alone.
func wrapStd(t testing.TB, key *rsa.PrivateKey, text string) []byte {
	t.Helper()
	//lint:ignore SA1019 the format under test
	block, err := rsa.EncryptPKCS1v15(nil, &key.PublicKey, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// TestKeyFileForms opens one wrapped key in every form in which people have
// it, and says how it had to be read.
func TestKeyFileForms(t *testing.T) {
	private, key := officer(t)
	block := wrapStd(t, key, keyText)
	line := base64.StdEncoding.EncodeToString(block)
	var wrapped strings.Builder
	for rest := line; rest != ""; {
		n := min(64, len(rest))
		wrapped.WriteString(rest[:n] + "\n")
		rest = rest[n:]
	}
	utf16le := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(line + "\r\n")) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
	}
	type notes = []string
	const bom, crlf, armour = "begins with a UTF-8 byte order mark", "has Windows line ends", "has PEM armour around the Base64"
	for name, c := range map[string]struct {
		data  string
		notes notes
	}{
		"as IM&P hands it out":    {line, nil},
		"line end":                {line + "\n", nil},
		"CR LF":                   {line + "\r\n", notes{crlf}},
		"wrapped":                 {wrapped.String(), nil},
		"wrapped CR LF":           {strings.ReplaceAll(wrapped.String(), "\n", "\r\n"), notes{crlf}},
		"byte order mark":         {"\ufeff" + line, notes{bom}},
		"UTF-16":                  {string(utf16le), notes{"is UTF-16 text, as PowerShell writes it", crlf}},
		"blanks":                  {"  " + line[:100] + " \t " + line[100:] + "  \n\n", nil},
		"raw block":               {string(block), nil},
		"hexadecimal":             {hex.EncodeToString(block) + "\n", notes{"is hexadecimal"}},
		"HEXADECIMAL":             {strings.ToUpper(hex.EncodeToString(block)), notes{"is hexadecimal"}},
		"twice Base64":            {base64.StdEncoding.EncodeToString([]byte(line)), notes{"is Base64 twice over"}},
		"twice Base64, wrapped":   {base64.StdEncoding.EncodeToString([]byte(wrapped.String())) + "\n", notes{"is Base64 twice over"}},
		"PEM armour":              {string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED KEY", Bytes: block})), notes{armour}},
		"PEM armour, one line":    {"-----BEGIN ENCRYPTED KEY-----\n" + line + "\n-----END ENCRYPTED KEY-----\n", notes{armour}},
		"PEM armour, no lines":    {"-----BEGIN KEY----- " + line + " -----END KEY-----", notes{armour}},
		"PEM armour, dashes":      {"—–BEGIN KEY–—\n" + line + "\n—–END KEY–—\n", notes{armour}},
		"PEM armour, key label":   {"-----BEGIN PRIVATE KEY-----\n" + wrapped.String() + "-----END PRIVATE KEY-----\n", notes{armour}},
		"PEM armour, public":      {"-----BEGIN PUBLIC KEY-----\n" + wrapped.String() + "-----END PUBLIC KEY-----\n", notes{armour}},
		"PEM armour, odd dashes":  {"------BEGIN KEY------\n" + line + "\n------END KEY------\n", notes{armour}},
		"PEM armour, CR LF":       {"-----BEGIN KEY-----\r\n" + line + "\r\n-----END KEY-----\r\n", notes{crlf, armour}},
		"double Base64 in armour": {string(pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: []byte(line)})), notes{armour, "is Base64 twice over"}},
		"unwrapped":               {keyText, nil},
		"unwrapped CR LF":         {strings.ReplaceAll(keyText, "\n", "\r\n"), notes{crlf}},
	} {
		f, err := ParseKeyFile(name, []byte(c.data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		u, err := f.Unwrap([]*keys.Private{private}, TextOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if textOf(u.Key) != keyText {
			t.Errorf("%s: another key", name)
		}
		if !reflect.DeepEqual(f.Notes, []string(c.notes)) {
			t.Errorf("%s: notes %q, want %q", name, f.Notes, c.notes)
		}
		if f.Wrapped() == strings.HasPrefix(name, "unwrapped") || f.Wrapped() != (u.By == private) {
			t.Errorf("%s: Wrapped() = %v, opened by %v", name, f.Wrapped(), u.By)
		}
	}
}

// TestEachPrivateKeyIsTried opens a key with the right one of several.
func TestEachPrivateKeyIsTried(t *testing.T) {
	private, key := officer(t)
	other, err := keys.Generate(2048)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseKeyFile("encrypted_key.pem", []byte(base64.StdEncoding.EncodeToString(wrapStd(t, key, keyText))))
	if err != nil {
		t.Fatal(err)
	}
	u, err := f.Unwrap([]*keys.Private{other, private, other}, TextOptions{})
	if err != nil || u.By != private || string(u.Text) != keyText {
		t.Errorf("%v, %v", u, err)
	}
	u, err = f.Unwrap([]*keys.Private{other}, TextOptions{})
	if u != nil || problem.ClassOf(err) != problem.WrongKey {
		t.Errorf("%v, %v", u, err)
	}
}

// TestWeakKeyIsRead opens what was wrapped for an RSA-1024 key long ago.
func TestWeakKeyIsRead(t *testing.T) {
	key, err := rsa.GenerateKey(nil, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private, err := keys.ParsePrivate("old.der", x509.MarshalPKCS1PrivateKey(key))
	if err != nil || !private[0].Weak() {
		t.Fatal(err)
	}
	f, err := ParseKeyFile("encrypted_key.pem", []byte(base64.StdEncoding.EncodeToString(wrapStd(t, key, keyText))))
	if err != nil {
		t.Fatal(err)
	}
	if u, err := f.Unwrap(private, TextOptions{}); err != nil || textOf(u.Key) != keyText {
		t.Errorf("%v", err)
	}
}

// TestOrderOfPrivateKeys: a wrong private key that passes the padding by chance
// neither hides the right one nor makes the file look broken.
func TestOrderOfPrivateKeys(t *testing.T) {
	private, key := officer(t)
	other, err := keys.Generate(2048)
	if err != nil {
		t.Fatal(err)
	}
	// Blocks that open under both keys are rare; one that opens under a wrong
	// key to bytes is made by wrapping bytes for that key.
	for _, inside := range []string{"\x01\x02\xff", ""} {
		f, err := ParseKeyFile("encrypted_key.pem", wrapStd(t, key, inside))
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range [][]*keys.Private{{private, other}, {other, private}, {private}} {
			if u, err := f.Unwrap(list, TextOptions{}); u != nil || problem.ClassOf(err) != problem.WrongKey {
				t.Errorf("%q: %v", inside, err)
			}
		}
	}
}

// TestGarbageIsNoKey plays an RSA implementation that answers a wrong key with
// random bytes (OpenSSL 3.2 and later): what opens but is no key text fails.
func TestGarbageIsNoKey(t *testing.T) {
	private, key := officer(t)
	for _, inside := range []string{"", "\x8f\x01\xfe garbage", "key", "key = ", strings.Repeat("a", 100)} {
		f, err := ParseKeyFile("encrypted_key.pem", wrapStd(t, key, inside))
		if err != nil {
			t.Fatal(err)
		}
		if u, err := f.Unwrap([]*keys.Private{private}, TextOptions{}); err == nil || u != nil {
			t.Errorf("%q was taken for a key", inside)
		}
	}
}

// TestWrap opens our wrapped key with the standard library.
func TestWrap(t *testing.T) {
	private, key := officer(t)
	text := "\t" + strings.ReplaceAll(keyText, "\n", "\r\n") + "# byte for byte\r\n"
	got, err := Wrap("key.txt", []byte(text), private.Public(), TextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 344 || strings.ContainsAny(got, " \r\n") {
		t.Errorf("%d characters", len(got))
	}
	block, err := base64.StdEncoding.DecodeString(got)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the format under test
	inside, err := rsa.DecryptPKCS1v15(nil, key, block)
	if err != nil || string(inside) != text {
		t.Errorf("holds %d bytes, %v", len(inside), err)
	}
	for _, bad := range []string{"", "key = 00", keyText + strings.Repeat(" ", 245)} {
		if got, err := Wrap("key.txt", []byte(bad), private.Public(), TextOptions{}); err == nil || got != "" {
			t.Errorf("%d bytes were wrapped", len(bad))
		}
	}
}

// FuzzKeyFile: no panic; an error returns nothing and tells nothing of the
// file; a key that opens can be wrapped again and opens as the same key.
func FuzzKeyFile(f *testing.F) {
	private, key := officer(f)
	block := wrapStd(f, key, keyText)
	line := base64.StdEncoding.EncodeToString(block)
	f.Add([]byte(line))
	f.Add([]byte(line[:200]))
	f.Add(block)
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(line))))
	f.Add([]byte(hex.EncodeToString(block)))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: block}))
	f.Add([]byte("\ufeff" + line + "\r\n"))
	f.Add([]byte(keyText))
	f.Add([]byte("IV=" + ivHex + "\r\nKEY=" + keyHex))
	f.Add([]byte("key = 0ec39f2a22abf63d4452b932f12de\niv  = 6683bb3d7e59e82e3fa9f42\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, pad := range []bool{false, true} {
			file, err := ParseKeyFile("FILE", data)
			if err != nil {
				if file != nil {
					t.Fatal("an error with a file")
				}
				quotes(t, err, data)
				return
			}
			u, err := file.Unwrap([]*keys.Private{private}, TextOptions{PadShortHex: pad})
			if err != nil {
				if u != nil {
					t.Fatal("an error with a key")
				}
				quotes(t, err, data)
				continue
			}
			if len(u.Text) > private.Public().MaxText() {
				continue
			}
			again, err := Wrap("FILE", u.Text, private.Public(), TextOptions{PadShortHex: pad})
			if err != nil {
				t.Fatal(err)
			}
			file, err = ParseKeyFile("FILE", []byte(again))
			if err != nil {
				t.Fatal(err)
			}
			same, err := file.Unwrap([]*keys.Private{private}, TextOptions{PadShortHex: pad})
			if err != nil || textOf(same.Key) != textOf(u.Key) || !bytes.Equal(same.Text, u.Text) {
				t.Fatalf("wrapping changes the key: %v", err)
			}
		}
	})
}

// quotes fails when an error holds eight hex digits of the data in a row.
func quotes(t *testing.T, err error, data []byte) {
	t.Helper()
	run := 0
	for i, c := range data {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' {
			run++
		} else {
			run = 0
		}
		if run >= 8 && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(string(data[i-7:i+1]))) {
			t.Fatalf("the message %q quotes the file", err)
		}
	}
}
