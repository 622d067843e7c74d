package keys

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

var passphrase = []byte("correct horse") // of every fixture (testdata/make.sh)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// opensslFingerprint is the SHA-256 of the public key that openssl wrote.
func opensslFingerprint(t testing.TB) string {
	sum := sha256.Sum256(fixture(t, "public.der"))
	return hex.EncodeToString(sum[:])
}

// TestReadable reads every form in which people have their private key, and
// compares it with the public key that openssl made of it.
func TestReadable(t *testing.T) {
	want := opensslFingerprint(t)
	for _, name := range []string{
		"rsa2048.pkcs8.pem", "rsa2048.pkcs8.der", "rsa2048.pkcs1.pem", "rsa2048.pkcs1.der",
		"rsa2048.bag-attributes.pem", "certificate-and-key.pem",
		"encrypted.pbkdf2-sha1-aes128.pem", "encrypted.pbkdf2-sha256-aes256.pem", "encrypted.pbkdf2-sha512-aes192.pem",
		"encrypted.pbkdf2-3des.pem", "encrypted.pbkdf2.der", "encrypted.scrypt.pem",
	} {
		t.Run(name, func(t *testing.T) {
			list, err := ParsePrivate(name, fixture(t, name), []byte("not this one"), passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != 1 || list[0].Fingerprint() != want || list[0].Bits() != 2048 || list[0].Size() != 256 {
				t.Errorf("read %d keys, first %s, want %s", len(list), list[0].Fingerprint(), want)
			}
			if got := list[0].Encrypted; got != strings.HasPrefix(name, "encrypted") {
				t.Errorf("Encrypted = %v", got)
			}
		})
	}
}

// TestMangledText reads a key after what editors, mail and shells do to text.
func TestMangledText(t *testing.T) {
	whole := string(fixture(t, "rsa2048.pkcs8.pem"))
	utf16le := []byte{0xff, 0xfe}
	utf16be := []byte{0xfe, 0xff}
	for _, u := range utf16.Encode([]rune(strings.ReplaceAll(whole, "\n", "\r\n"))) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
		utf16be = append(utf16be, byte(u>>8), byte(u))
	}
	block, _ := pem.Decode([]byte(whole))
	for name, text := range map[string]string{
		"CR LF":                 strings.ReplaceAll(whole, "\n", "\r\n"),
		"CR":                    strings.ReplaceAll(whole, "\n", "\r"),
		"byte order mark":       "\ufeff" + whole,
		"UTF-16 little endian":  string(utf16le),
		"UTF-16 big endian":     string(utf16be),
		"indented":              "    " + strings.ReplaceAll(whole, "\n", "\n    "),
		"blanks at line ends":   strings.ReplaceAll(whole, "\n", "  \t\n"),
		"text around":           "Here it is:\n\n" + whole + "\nRegards\n",
		"no line end at end":    strings.TrimSpace(whole),
		"wrong label":           strings.ReplaceAll(whole, "PRIVATE KEY", "RSA PRIVATE KEY"),
		"Base64 without armour": base64.StdEncoding.EncodeToString(block.Bytes) + "\n",
	} {
		list, err := ParsePrivate(name, []byte(text))
		if err != nil || len(list) != 1 || list[0].Fingerprint() != opensslFingerprint(t) {
			t.Errorf("%s: %d keys, %v", name, len(list), err)
		}
	}
}

// TestSeveralKeys reads all keys of one file.
func TestSeveralKeys(t *testing.T) {
	both := append(fixture(t, "rsa2048.pkcs8.pem"), fixture(t, "rsa1024.pkcs8.pem")...)
	list, err := ParsePrivate("both.pem", both)
	if err != nil || len(list) != 2 || list[0].Bits() != 2048 || list[1].Bits() != 1024 || !list[1].Weak() || list[0].Weak() {
		t.Errorf("%v %v", list, err)
	}
}

func TestPassphrase(t *testing.T) {
	data := fixture(t, "encrypted.scrypt.pem")
	_, err := ParsePrivate("key.pem", data)
	if !errors.Is(err, ErrNeedPassphrase) || problem.ClassOf(err) != problem.Passphrase {
		t.Errorf("without a passphrase: %v", err)
	}
	for _, wrong := range [][][]byte{{[]byte("battery")}, {{}}, {[]byte("a"), []byte("correct horse\n")}} {
		list, err := ParsePrivate("key.pem", data, wrong...)
		if list != nil || errors.Is(err, ErrNeedPassphrase) || problem.ClassOf(err) != problem.Passphrase {
			t.Errorf("with %q: %v, %v", wrong, list, err)
		}
	}
}

// TestHostileEncryption gives parameters that would make the library panic,
// or work for hours.
func TestHostileEncryption(t *testing.T) {
	good := readPBES2(t)
	for _, c := range []struct {
		name, want string
		spoil      func()
	}{
		{"iterations", "iterations", func() { good.Algorithm.Params.KDF.Params.Iterations = 1 << 40 }},
		{"negative iterations", "damaged", func() { good.Algorithm.Params.KDF.Params.Iterations = -1 }},
		{"short iv", "damaged", func() { good.Algorithm.Params.Cipher.IV = []byte{1, 2, 3} }},
		{"no data", "cut off", func() { good.Data = nil }},
		{"half a block", "cut off", func() { good.Data = good.Data[:len(good.Data)-5] }},
		{"unknown hash", "1.2.3", func() {
			good.Algorithm.Params.KDF.Params.PRF = asn1.RawValue{FullBytes: []byte{0x30, 4, 6, 2, 0x2a, 3}}
		}},
		{"unknown function", "1.2.3", func() { good.Algorithm.Params.KDF.ID = asn1.ObjectIdentifier{1, 2, 3} }},
		{"unknown cipher", "1.2.3", func() { good.Algorithm.Params.Cipher.ID = asn1.ObjectIdentifier{1, 2, 3} }},
	} {
		saved := good
		c.spoil()
		bad, err := asn1.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		good = saved
		list, err := ParsePrivate(c.name, bad, passphrase)
		if err == nil || list != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error about %q", c.name, err, c.want)
		}
	}
	// scrypt's numbers: N 16384, r 8, p 1 in the fixture.
	der := fixtureDER(t, "encrypted.scrypt.pem")
	numbers := []byte{2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1}
	for name, c := range map[string]struct {
		numbers []byte
		want    string
	}{
		"N no power of two": {[]byte{2, 2, 0x40, 1, 2, 1, 8, 2, 1, 1}, "damaged"},
		"N 1":               {[]byte{2, 2, 0, 1, 2, 1, 8, 2, 1, 1}, "damaged"},
		"r 0":               {[]byte{2, 2, 0x40, 0, 2, 1, 0, 2, 1, 1}, "damaged"},
		"too much memory":   {[]byte{2, 2, 0x40, 0, 2, 2, 0x7f, 0xff, 2, 0}, "damaged"},
		"p negative":        {[]byte{2, 2, 0x40, 0, 2, 1, 8, 2, 1, 0xff}, "damaged"},
	} {
		bad := bytes.Replace(der, numbers, c.numbers, 1)
		if _, err := ParsePrivate("scrypt", bad, passphrase); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("scrypt, %s: %v", name, err)
		}
	}
	for _, n := range []scryptParams{{N: 1 << 40, R: 8, P: 1}, {N: 1 << 14, R: 1 << 20, P: 1}, {N: 1 << 14, R: 8, P: 1 << 12}, {N: 1 << 62, R: 1 << 30, P: 1 << 30}} {
		params, err := asn1.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		_, problem := describeKDF(pkix.AlgorithmIdentifier{Algorithm: oidScrypt, Parameters: asn1.RawValue{FullBytes: params}})
		if !strings.Contains(problem, "more scrypt work than is allowed") {
			t.Errorf("scrypt with N %d, r %d, p %d: %q", n.N, n.R, n.P, problem)
		}
	}
}

// TestBrokenBlockBeforeGoodOne finds the good key behind a damaged block, and
// names the damage where there is nothing else.
func TestBrokenBlockBeforeGoodOne(t *testing.T) {
	broken := "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n"
	list, err := ParsePrivate("key.pem", append([]byte(broken), fixture(t, "rsa2048.pkcs8.pem")...))
	if err != nil || len(list) != 1 {
		t.Errorf("%d keys, %v", len(list), err)
	}
	file := Identify(append([]byte(broken), fixture(t, "public.pem")...))
	if len(file.Items) != 2 || file.Items[0].Kind != BrokenPEM || file.Items[1].Kind != RSAPublic {
		t.Errorf("%v", file.Items)
	}
}

func fixtureDER(t testing.TB, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(fixture(t, name))
	return block.Bytes
}

// pbes2File is an encrypted PKCS #8 file with PBKDF2, written out so that the
// tests can spoil any part of it.
type pbes2File struct {
	Algorithm struct {
		ID     asn1.ObjectIdentifier
		Params struct {
			KDF struct {
				ID     asn1.ObjectIdentifier
				Params struct {
					Salt       []byte
					Iterations int
					KeyLength  int `asn1:"optional"`
					PRF        asn1.RawValue
				}
			}
			Cipher struct {
				ID asn1.ObjectIdentifier
				IV []byte
			}
		}
	}
	Data []byte
}

func readPBES2(t *testing.T) (f pbes2File) {
	t.Helper()
	if _, err := asn1.Unmarshal(fixture(t, "encrypted.pbkdf2.der"), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestPBKDF2KeyLength reads parameters with the optional key length, which
// openssl does not write but other programs do.
func TestPBKDF2KeyLength(t *testing.T) {
	f := readPBES2(t)
	f.Algorithm.Params.KDF.Params.KeyLength = 32
	der, err := asn1.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	list, err := ParsePrivate("key.der", der, passphrase)
	if err != nil || list[0].Fingerprint() != opensslFingerprint(t) {
		t.Errorf("%v", err)
	}
}

// TestWycheproof opens other people's RSA PKCS #1 v1.5 vectors with keys read
// by ParsePrivate. Every valid one opens exactly, every invalid one fails.
func TestWycheproof(t *testing.T) {
	folder := testenv.Material(t, "wycheproof")
	for _, name := range []string{"rsa_pkcs1_2048_test.json", "rsa_pkcs1_3072_test.json", "rsa_pkcs1_4096_test.json"} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			NumberOfTests int
			TestGroups    []struct {
				PrivateKeyPem string
				Tests         []struct {
					TcID            int
					Msg, Ct, Result string
				}
			}
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		run := 0
		for _, g := range file.TestGroups {
			list, err := ParsePrivate(name, []byte(g.PrivateKeyPem))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range g.Tests {
				run++
				ct, _ := hex.DecodeString(v.Ct)
				got, err := list[0].DecryptPKCS1v15(ct)
				switch v.Result {
				case "valid":
					if err != nil || hex.EncodeToString(got) != v.Msg {
						t.Errorf("%s %d: does not open exactly: %v", name, v.TcID, err)
					}
				case "invalid":
					if err == nil || got != nil {
						t.Errorf("%s %d: an invalid block opened", name, v.TcID)
					}
				default:
					t.Errorf("%s %d: unknown result %q", name, v.TcID, v.Result)
				}
			}
		}
		if run != file.NumberOfTests || run == 0 {
			t.Errorf("%s: ran %d of %d vectors", name, run, file.NumberOfTests)
		}
	}
}

// TestGenerate makes a pair and reads it with the standard library.
func TestGenerate(t *testing.T) {
	for _, bits := range []int{0, 1024, 2047, 16385, -1} {
		if key, err := Generate(bits); err == nil || key != nil {
			t.Errorf("%d bits were not refused", bits)
		}
	}
	pair, err := Generate(2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := pair.MarshalPEM(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.Public().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	pb, rest := pem.Decode(public)
	if pb.Type != "PUBLIC KEY" || len(rest) != 0 {
		t.Errorf("public key is %q", pb.Type)
	}
	key, err := x509.ParsePKIXPublicKey(pb.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	b, rest := pem.Decode(private)
	if b.Type != "PRIVATE KEY" || len(rest) != 0 {
		t.Errorf("private key is %q", b.Type)
	}
	other, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil || !other.(*rsa.PrivateKey).PublicKey.Equal(key) {
		t.Errorf("the halves do not belong together: %v", err)
	}
}

// TestParsePublic reads what openssl wrote.
func TestParsePublic(t *testing.T) {
	for _, name := range []string{"public.pem", "public.der", "public.pkcs1.pem"} {
		pub, err := ParsePublic(name, fixture(t, name))
		if err != nil || pub.Fingerprint() != opensslFingerprint(t) || pub.Bits() != 2048 || pub.MaxText() != 245 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"public1024.pem", "ec.public.pem", "rsa2048.pkcs8.pem", "certificate.pem", "openssh-rsa.public"} {
		if pub, err := ParsePublic(name, fixture(t, name)); err == nil || pub != nil {
			t.Errorf("%s was taken", name)
		}
	}
}
