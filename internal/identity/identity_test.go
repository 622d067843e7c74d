package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// The key pair of RFC 8032 section 7.1, test 1.
const (
	rfcSeed   = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	rfcPublic = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
)

// The key pair of RFC 7748 section 6.1, Alice's, in the form of age.
const (
	ageSecret    = "AGE-SECRET-KEY-1WURK6ZNNRZJH60QKC9E9RVNXGH05CTU8A0QFJ243WLA628DE9S4QRFH26J"
	ageRecipient = "age1s5s0qzvfxzn4gayt0hwtg0hhtgxm7wsdycup4a8t5j5ca25mfe4qt4hs7q"
)

// TestDecryption has age itself open what is encrypted to each kind of
// identity, with the lines of the two files.
func TestDecryption(t *testing.T) {
	for _, classic := range []bool{false, true} {
		i, err := New(classic)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ParseVerifier("F.pub", i.Verifier().Marshal())
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse("F", i.Marshal())
		if err != nil || len(parsed.Decryption) != 1 || len(v.Recipients) != 1 || strings.HasPrefix(v.Recipients[0], "age1pq1") == classic {
			t.Fatalf("%v, %.20q", err, v.Recipients)
		}
		to, err := age.ParseRecipients(strings.NewReader(v.Recipients[0]))
		if err != nil {
			t.Fatal(err)
		}
		with, err := age.ParseIdentities(strings.NewReader(parsed.Decryption[0]))
		if err != nil {
			t.Fatal(err)
		}
		var sealed bytes.Buffer
		w, err := age.Encrypt(&sealed, to...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "data key"); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		r, err := age.Decrypt(&sealed, with...)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(r); err != nil || string(plain) != "data key" {
			t.Errorf("%q, %v", plain, err)
		}
		if bytes.Contains(i.Verifier().Marshal(), []byte("SECRET")) {
			t.Error("the public half holds a secret")
		}
	}
}

func TestRFC8032(t *testing.T) {
	i, err := Parse("F", []byte("# mine\r\n\r\nsigning-key: ed25519:"+rfcSeed+"\r\ndecryption-key: "+ageSecret+"\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	v := i.Verifier()
	if Text(v.Key) != "ed25519:"+rfcPublic || len(i.Decryption) != 1 || len(v.Recipients) != 1 || v.Recipients[0] != ageRecipient {
		t.Errorf("%s, %q", Text(v.Key), v.Recipients)
	}
	again, err := ParseVerifier("F.pub", v.Marshal())
	if err != nil || !again.Key.Equal(v.Key) || !slices.Equal(again.Recipients, v.Recipients) {
		t.Errorf("%v, %v", again, err)
	}
	old, err := Parse("F", []byte("signing-key: ed25519:"+rfcSeed+"\n"))
	if err != nil || old.Decryption != nil || old.Verifier().Recipients != nil {
		t.Errorf("one of an older version: %v, %v", old, err)
	}
}

// TestFingerprint has openssl compute it.
func TestFingerprint(t *testing.T) {
	openssl := testenv.Command(t, "openssl")
	raw, err := base64.StdEncoding.DecodeString(rfcPublic)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(openssl, "dgst", "-sha256", "-binary")
	cmd.Stdin = bytes.NewReader(raw)
	sum, err := cmd.Output()
	if want := "SHA256:" + strings.TrimRight(base64.StdEncoding.EncodeToString(sum), "="); err != nil || Fingerprint(raw) != want {
		t.Errorf("%s, want %s, %v", Fingerprint(raw), want, err)
	}
}

// TestSigned has openssl verify what an identity signs.
func TestSigned(t *testing.T) {
	openssl := testenv.Command(t, "openssl")
	i, err := New(false)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// SubjectPublicKeyInfo of Ed25519 (RFC 8410 section 4) is a fixed head and the key.
	spki := append([]byte("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"), i.Verifier().Key...)
	for name, data := range map[string][]byte{"pub": spki, "text": []byte("text"), "sig": ed25519.Sign(i.Signing, []byte("text"))} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", "pub", "-in", "text", "-sigfile", "sig")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestEncrypted(t *testing.T) {
	i, err := New(false)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := Encrypt(i.Marshal(), []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("signing-key")) || !bytes.HasPrefix(sealed, []byte("-----BEGIN AGE ENCRYPTED FILE-----\n")) {
		t.Errorf("%.80q", sealed)
	}
	if got, err := Parse("F", sealed, []byte(""), []byte("battery"), []byte("correct horse")); err != nil || !got.Signing.Equal(i.Signing) {
		t.Errorf("%v", err)
	}
	for _, passphrases := range [][][]byte{nil, {[]byte("battery")}} {
		if _, err := Parse("F", sealed, passphrases...); problem.ClassOf(err) != problem.Passphrase {
			t.Errorf("%q: %v", passphrases, err)
		}
	}
	cut := append(bytes.Clone(sealed[:len(sealed)-120]), "-----END AGE ENCRYPTED FILE-----\n"...)
	if _, err := Parse("F", cut, []byte("correct horse")); err == nil || problem.ClassOf(err) == problem.Passphrase {
		t.Errorf("cut off: %v", err)
	}
}

func TestRefused(t *testing.T) {
	good := "signing-key: ed25519:" + rfcSeed + "\n"
	for text, want := range map[string]string{
		"":                               "empty",
		"hello\n":                        "not an identity",
		"verifier: ed25519:" + rfcPublic: "not an identity",
		good + good:                      "2 lines",
		good + "other: x\n":              "line 2",
		good + "verifier: ed25519:x\n":   "line 2",
		good + "nonsense\n":              "line 2",
		"signing-key: ed25519:AAAA\n":    "damaged",
		"signing-key: rsa:" + rfcSeed:    "damaged",
		good + "decryption-key: " + ageSecret[:40] + "\n": "decryption key of this identity is damaged",
		strings.Replace(good, "=", "", 1):                 "damaged",
	} {
		_, err := Parse("F", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), rfcSeed[:8]) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ParseVerifier("F", []byte("verifier: ed25519:"+rfcPublic+"\nrecipient: age1qqqq\n")); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged recipient: %v", err)
	}
	if _, err := ParseVerifier("F", []byte(good)); err == nil || strings.Contains(err.Error(), rfcSeed[:8]) {
		t.Errorf("an identity as a verifier: %v", err)
	}
}

// FuzzParse: no panic, and what is read survives being written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte("signing-key: ed25519:" + rfcSeed + "\n"))
	f.Add([]byte("signing-key: ed25519:" + rfcSeed + "\ndecryption-key: " + ageSecret + "\n"))
	f.Add([]byte("verifier: ed25519:" + rfcPublic + "\nrecipient: " + ageRecipient + "\n"))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if i, err := Parse("F", data); err == nil {
			if again, err := Parse("F", i.Marshal()); err != nil || !again.Signing.Equal(i.Signing) || !slices.Equal(again.Decryption, i.Decryption) {
				t.Fatal(err)
			}
		}
		if v, err := ParseVerifier("F", data); err == nil {
			if again, err := ParseVerifier("F", v.Marshal()); err != nil || !again.Key.Equal(v.Key) {
				t.Fatal(err)
			}
		}
	})
}
