package cisco

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"archivolt/internal/testenv"
)

// TestVector is the documented cipher's vector, made with openssl.
func TestVector(t *testing.T) {
	const plain = "Prices are up — see <memo>"
	const value = "bcRZmqMLHcFGDEfVmdD/jiTReIVml36K5LoxL496WeA="
	k := testKey(t)
	if got := base64.StdEncoding.EncodeToString(k.Encrypt(nil, []byte(plain))); got != value {
		t.Errorf("encrypts to %s", got)
	}
	ct, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.NewDecrypter().Decrypt(nil, ct); err != nil || string(got) != plain {
		t.Errorf("decrypts to %q, %v", got, err)
	}
}

// TestWycheproofCBC runs other people's AES-CBC vectors through the same CBC
// and padding code, all key sizes; those of 256 bits also through a Key.
func TestWycheproofCBC(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(testenv.Material(t, "wycheproof"), "aes_cbc_pkcs5_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			Tests []struct {
				TcID                     int
				Key, Iv, Msg, Ct, Result string
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	run := 0
	check := func(id int, result, msg string, got []byte, err error) {
		t.Helper()
		switch result {
		case "valid":
			if err != nil || hex.EncodeToString(got) != msg {
				t.Errorf("%d: does not open exactly: %v", id, err)
			}
		case "invalid":
			if err == nil || len(got) != 0 {
				t.Errorf("%d: an invalid value opened", id)
			}
		default:
			t.Errorf("%d: unknown result %q", id, result)
		}
	}
	for _, g := range file.TestGroups {
		for _, v := range g.Tests {
			run++
			key, iv, msg, ct := unhex(t, v.Key), unhex(t, v.Iv), unhex(t, v.Msg), unhex(t, v.Ct)
			block, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decryptCBC(cipher.NewCBCDecrypter(block, iv), nil, ct)
			check(v.TcID, v.Result, v.Msg, got, err)
			if len(key) != KeySize {
				continue
			}
			k, err := NewKey(key, iv)
			if err != nil {
				t.Fatal(err)
			}
			got, err = k.NewDecrypter().Decrypt(nil, ct)
			check(v.TcID, v.Result, v.Msg, got, err)
			if v.Result == "valid" && !bytes.Equal(k.Encrypt(nil, msg), ct) {
				t.Errorf("%d: does not encrypt to the vector", v.TcID)
			}
		}
	}
	if run != file.NumberOfTests || run == 0 {
		t.Errorf("ran %d of %d vectors", run, file.NumberOfTests)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUnpad goes through every last byte and every kind of damage.
func TestUnpad(t *testing.T) {
	for pad := range 256 {
		padded := bytes.Repeat([]byte{byte(pad)}, 32)
		n, ok := unpad(padded)
		if valid := pad >= 1 && pad <= 16; ok != valid || valid && n != 32-pad {
			t.Errorf("last byte %d: %d, %v", pad, n, ok)
		}
		for at := 32 - pad; pad <= 16 && at < 31; at++ {
			bad := bytes.Clone(padded)
			bad[at] ^= 0x80
			if _, ok := unpad(bad); ok {
				t.Errorf("padding of %d, damaged at %d, was taken", pad, at)
			}
		}
	}
	for _, n := range []int{0, 1, 15, 17} {
		if _, ok := unpad(bytes.Repeat([]byte{1}, n)); ok {
			t.Errorf("%d bytes were taken", n)
		}
	}
}

// TestEndsPadded compares the look at the last block with the whole way.
func TestEndsPadded(t *testing.T) {
	d := testKey(t).NewDecrypter()
	random := rand.New(rand.NewPCG(1, 2))
	padded := 0
	for range 5000 {
		ciphertext := make([]byte, BlockSize*(1+random.IntN(3)))
		for i := range ciphertext {
			ciphertext[i] = byte(random.Uint32())
		}
		_, err := d.Decrypt(nil, ciphertext)
		if got := d.endsPadded(ciphertext); got != (err == nil) {
			t.Fatalf("%x: %v, %v", ciphertext, got, err)
		}
		if err == nil {
			padded++
		}
	}
	if padded == 0 || padded == 5000 {
		t.Fatalf("%d of 5000", padded)
	}
}

// TestDecryptLeavesDst shows that a failure returns nothing new.
func TestDecryptLeavesDst(t *testing.T) {
	d := testKey(t).NewDecrypter()
	dst := []byte("before")
	for _, ct := range [][]byte{nil, make([]byte, 15), make([]byte, 32)} {
		got, err := d.Decrypt(dst, ct)
		if err == nil || string(got) != "before" {
			t.Errorf("%d bytes: %q, %v", len(ct), got, err)
		}
	}
	ct := testKey(t).Encrypt(nil, []byte(" and after"))
	if got, err := d.Decrypt(dst, ct); err != nil || string(got) != "before and after" {
		t.Errorf("after failures: %q, %v", got, err)
	}
}

// TestAgainstOpenSSL encrypts with one and decrypts with the other, for texts
// of every length around the block.
func TestAgainstOpenSSL(t *testing.T) {
	openssl := testenv.Command(t, "openssl")
	k := testKey(t)
	d := k.NewDecrypter()
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 4000} {
		plain := bytes.Repeat([]byte("ž"), n)[:n]
		theirs := pipe(t, plain, openssl, "enc", "-aes-256-cbc", "-K", keyHex, "-iv", ivHex)
		if !bytes.Equal(k.Encrypt(nil, plain), theirs) {
			t.Errorf("%d bytes: our ciphertext differs from openssl's", n)
		}
		if got, err := d.Decrypt(nil, theirs); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: openssl's ciphertext does not open: %v", n, err)
		}
	}
}

func pipe(t testing.TB, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return out
}

// TestRoundTrip: what is encrypted and written down comes back, in every
// encoding; a ring with other keys finds the right one or says that it cannot.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		keys := make([]*Key, rapid.IntRange(1, 3).Draw(r, "keys"))
		for i := range keys {
			k, err := NewKey(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(r, "key"), rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "iv"))
			if err != nil {
				r.Fatal(err)
			}
			keys[i] = k
		}
		plain := rapid.SliceOf(rapid.Byte()).Draw(r, "plain")
		e := rapid.SampledFrom([]Encoding{Base64, Hex, Raw}).Draw(r, "encoding")
		written := e.Encode(keys[0].Encrypt(nil, plain))
		ct, found, err := DecodeValue(nil, "value", written, e)
		if err != nil || found != e {
			r.Fatalf("%v as %v, %v", e, found, err)
		}
		if !bytes.Equal(e.Encode(ct), written) {
			r.Fatal("decoding and encoding changes the value")
		}
		got, by, err := NewRing(keys...).Decrypt(nil, ct)
		switch {
		case errors.Is(err, ErrAmbiguous):
			if len(keys) == 1 || got != nil || by != nil {
				r.Fatal("ambiguous without a second key, or with a result")
			}
		case err != nil:
			r.Fatal(err)
		case by.Fingerprint() == keys[0].Fingerprint() && !bytes.Equal(got, plain):
			r.Fatal("opened as another text")
		}
	})
}

// TestRing is the choice among several keys.
func TestRing(t *testing.T) {
	a := testKey(t)
	b, err := NewKey(bytes.Repeat([]byte{7}, 32), make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("a message long enough for two blocks")
	got, by, err := NewRing(b, a, b, a).Decrypt(nil, a.Encrypt(nil, text))
	if err != nil || !bytes.Equal(got, text) || by != a {
		t.Errorf("%q by %v, %v", got, by, err)
	}
	if got, by, err := NewRing(b).Decrypt(nil, a.Encrypt(nil, text)); !errors.Is(err, ErrNoKey) || got != nil || by != nil {
		t.Errorf("with the wrong key: %q by %v, %v", got, by, err)
	}
	// A value that both keys open, one to text and one to other bytes, goes to
	// the text; found by trying, since 1 in 255 opens by chance. UTF-8 is the
	// test, so a plaintext of control characters counts as text here.
	bytesUnderA := 0
	for i := range 40000 {
		ct := b.Encrypt(nil, []byte{'m', byte('a' + i%26), byte('a' + i/26%26), byte('a' + i/676%26), byte('0' + i/17576)})
		other, err := a.NewDecrypter().Decrypt(nil, ct)
		if err != nil {
			continue
		}
		got, by, err := NewRing(a, b).Decrypt(nil, ct)
		if utf8.Valid(other) {
			if !errors.Is(err, ErrAmbiguous) || got != nil {
				t.Errorf("two texts, and one was chosen: %q", got)
			}
			continue
		}
		bytesUnderA++
		if err != nil || by != b {
			t.Errorf("by %v, %v", by, err)
		}
	}
	if bytesUnderA == 0 {
		t.Error("no value opened under both keys")
	}
}

// TestFirstBlockGarbled damages what CBC cannot detect.
func TestFirstBlockGarbled(t *testing.T) {
	k := testKey(t)
	text := []byte("Grüße aus Köönln, wir sehen uns morgen früh um acht.") // a character lies across byte 16
	wrongIV, err := NewKey(unhex(t, keyHex), bytes.Repeat([]byte{0xa5}, 16))
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*Decrypter{"right iv": k.NewDecrypter(), "wrong iv": wrongIV.NewDecrypter()} {
		got, err := d.Decrypt(nil, k.Encrypt(nil, text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if FirstBlockGarbled(got) != (name == "wrong iv") || !bytes.Equal(got[16:], text[16:]) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, plain := range []string{"", "short", "exactly sixteen.", "\xff\xff and\xffso on, no text at all \xff\xff", "plain text of more than one block"} {
		if FirstBlockGarbled([]byte(plain)) {
			t.Errorf("%q", plain)
		}
	}
}
