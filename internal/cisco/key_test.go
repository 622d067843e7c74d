package cisco

import (
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"archivolt/internal/testenv"
)

const (
	keyHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	ivHex  = "f0e0d0c0b0a090807060504030201000"
)

func testKey(t testing.TB) *Key {
	t.Helper()
	k, err := ParseKeyText("key.txt", []byte("key = "+keyHex+"\niv = "+ivHex+"\n"), TextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// textOf spells a key as IM&P does.
func textOf(k *Key) string { return fmt.Sprintf("key = %x\niv  = %x\n", k.key, k.iv) }

// TestKeyText reads every spelling of one key.
func TestKeyText(t *testing.T) {
	want := textOf(testKey(t))
	for name, text := range map[string]string{
		"as IM&P writes it":    "key = " + keyHex + "\niv  = " + ivHex + "\n",
		"no line end":          "key = " + keyHex + "\niv  = " + ivHex,
		"no blanks":            "key=" + keyHex + "\niv=" + ivHex,
		"many blanks":          "\t key \t =   " + keyHex + " \n   iv=\t" + ivHex + "  \n",
		"other order":          "iv = " + ivHex + "\nkey = " + keyHex,
		"upper case":           "KEY = " + strings.ToUpper(keyHex) + "\nIV = " + strings.ToUpper(ivHex),
		"mixed case":           "Key = " + strings.ToUpper(keyHex[:30]) + keyHex[30:] + "\nIv = " + ivHex,
		"CR LF":                "key = " + keyHex + "\r\niv = " + ivHex + "\r\n",
		"CR":                   "key = " + keyHex + "\riv = " + ivHex,
		"byte order mark":      "\ufeffkey = " + keyHex + "\niv = " + ivHex,
		"blank lines":          "\n\nkey = " + keyHex + "\n\n\niv = " + ivHex + "\n\n",
		"other lines":          "# of June\nsalt=0011223344556677\nkey = " + keyHex + "\niv = " + ivHex + "\nend\n",
		"no-break blanks":      "key\u00a0=\u00a0" + keyHex + "\u00a0\niv =\u00a0" + ivHex,
		"the same twice":       "key = " + keyHex + "\niv = " + ivHex + "\nKEY = " + strings.ToUpper(keyHex) + "\n",
		"what openssl -P says": "salt=A1B2\nkey=" + strings.ToUpper(keyHex) + "\niv =" + strings.ToUpper(ivHex),
	} {
		k, err := ParseKeyText(name, []byte(text), TextOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if textOf(k) != want {
			t.Errorf("%s: read as another key", name)
		}
	}
	if want != "key = "+keyHex+"\niv  = "+ivHex+"\n" {
		t.Errorf("the text is %q", want)
	}
}

// TestPadShortHex is openssl's rule, on the digits of the vendor's printed
// sample. Its result was made with "openssl enc" (docs/format/cisco.md).
func TestPadShortHex(t *testing.T) {
	text := []byte("key = 0ec39f2a22abf63d4452b932f12de\niv  = 6683bb3d7e59e82e3fa9f42\n")
	if k, err := ParseKeyText("key.txt", text, TextOptions{}); err == nil || k != nil {
		t.Error("a short key was taken without being asked for")
	}
	k, err := ParseKeyText("key.txt", text, TextOptions{PadShortHex: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(k.Encrypt(nil, []byte("hello"))); got != "044d8dd3ec02b3b072af2b2c44af3a88" {
		t.Errorf("encrypts to %s", got)
	}
}

// TestFingerprint compares with sha256sum of the text that the documentation
// names, and shows that printing a key prints nothing else.
func TestFingerprint(t *testing.T) {
	k := testKey(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); got != "key "+k.Fingerprint() {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	testenv.Command(t, "openssl")
	cmd := exec.Command("openssl", "dgst", "-sha256", "-r")
	cmd.Stdin = strings.NewReader("key = " + keyHex + "\niv = " + ivHex + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Fingerprint(); got != string(out[:16]) {
		t.Errorf("fingerprint %s, openssl says %s", got, out)
	}
}
