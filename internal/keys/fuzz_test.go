package keys

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seed adds every fixture, and every half of one.
func seed(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) < 40 {
		f.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
}

// FuzzParsePrivate: no panic; an error returns no key and tells nothing of the
// file; a key that was read survives being written and read again.
func FuzzParsePrivate(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file := Identify(data)
		if len(file.Items) == 0 || file.Main().Describe() == "" {
			t.Fatal("nothing is said about the file")
		}
		var passphrases [][]byte
		if quick(file) {
			passphrases = append(passphrases, []byte("correct horse"))
		}
		list, err := ParsePrivate("FILE", data, passphrases...)
		if err != nil {
			if list != nil {
				t.Fatal("an error with a key")
			}
			leaks(t, err.Error(), data)
			return
		}
		for _, key := range list {
			again, err := key.MarshalPEM(nil)
			if err != nil {
				t.Fatal(err)
			}
			same, err := ParsePrivate("FILE", again)
			if err != nil || len(same) != 1 || same[0].Fingerprint() != key.Fingerprint() {
				t.Fatalf("a key does not survive writing: %v", err)
			}
		}
	})
}

// quick tells whether trying a passphrase takes milliseconds: the parameters
// that are allowed go up to seconds.
func quick(file File) bool {
	for _, i := range file.Items {
		var hash string
		var iterations int
		if i.Kind != EncryptedPrivate {
			continue
		}
		if _, err := fmt.Sscanf(i.Encryption.KDF, "PBKDF2-HMAC-%s %d", &hash, &iterations); err != nil || iterations > 5000 {
			return false
		}
	}
	return true
}

// FuzzParsePublic is the same for public keys.
func FuzzParsePublic(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		pub, err := ParsePublic("FILE", data)
		if err != nil {
			if pub != nil {
				t.Fatal("an error with a key")
			}
			return
		}
		again, err := pub.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		same, err := ParsePublic("FILE", again)
		if err != nil || same.Fingerprint() != pub.Fingerprint() {
			t.Fatalf("a key does not survive writing: %v", err)
		}
	})
}

// FuzzDecodeText: what is taken for text is UTF-8 without carriage returns,
// and reading it again changes nothing.
func FuzzDecodeText(f *testing.F) {
	f.Add([]byte("\xff\xfea\x00b\x00"))
	f.Add([]byte("\xef\xbb\xbfa\r\nb\rc\n"))
	f.Add([]byte("key = 00\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, ok := DecodeText(data)
		if !ok {
			if text.Data != nil || text.Notes != nil {
				t.Fatal("no text, but a result")
			}
			return
		}
		again, ok := DecodeText(text.Data)
		if bytes.HasPrefix(text.Data, []byte("\xef\xbb\xbf")) {
			return // two byte order marks
		}
		if !ok || !bytes.Equal(again.Data, text.Data) || len(again.Notes) != 0 {
			t.Fatal("reading twice differs from reading once")
		}
	})
}

// leaks fails when message quotes the file: eight or more bytes of it in a row
// that no fixed message holds.
func leaks(t *testing.T, message string, data []byte) {
	t.Helper()
	const window = 12
	for i := 0; i+window <= len(data); i++ {
		part := string(data[i : i+window])
		if strings.Contains(message, part) && !knownWords(part) {
			t.Fatalf("the message %q quotes the file: %q", message, part)
		}
	}
}

// knownWords tells whether part stands in this package's own texts, so that a
// file which happens to hold it proves nothing.
func knownWords(part string) bool {
	for _, name := range []string{"kind.go", "mistakes.go", "pbes.go", "private.go", "der.go"} {
		source, err := os.ReadFile(name)
		if err == nil && bytes.Contains(source, []byte(part)) {
			return true
		}
	}
	return false
}
