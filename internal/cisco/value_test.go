package cisco

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestDecodeValue finds the encoding of one ciphertext written in many ways.
func TestDecodeValue(t *testing.T) {
	ct := testKey(t).Encrypt(nil, []byte("Prices are up"))
	ct = append(ct, testKey(t).Encrypt(nil, []byte("a second one, so that the Base64 is longer than a line"))...)
	b64, hx := base64.StdEncoding.EncodeToString(ct), hex.EncodeToString(ct)
	for name, c := range map[string]struct {
		data string
		want Encoding
	}{
		"Base64":                 {b64, Base64},
		"Base64, line end":       {b64 + "\n", Base64},
		"Base64, CR LF":          {b64 + "\r\n", Base64},
		"Base64, wrapped":        {b64[:64] + "\n" + b64[64:] + "\n", Base64},
		"Base64, blanks":         {"  " + b64[:7] + " \t " + b64[7:] + " ", Base64},
		"Base64, mark":           {"\ufeff" + b64, Base64},
		"hex":                    {hx, Hex},
		"HEX":                    {strings.ToUpper(hx), Hex},
		"hex, wrapped":           {hx[:50] + "\r\n" + hx[50:] + "\r\n", Hex},
		"SQL Server binary":      {"0x" + strings.ToUpper(hx), Hex},
		"PostgreSQL bytea":       {`\x` + hx, Hex},
		"hex with mark":          {"\ufeff" + hx, Hex},
		"hex that Base64 allows": {strings.Repeat("ab", 32), Hex},
		"raw":                    {string(ct), Raw},
	} {
		got, e, err := DecodeValue([]byte("dst"), name, []byte(c.data), Auto)
		want := ct
		if name == "hex that Base64 allows" {
			want = bytes.Repeat([]byte{0xab}, 32)
		}
		if err != nil || e != c.want || !bytes.Equal(got, append([]byte("dst"), want...)) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		if got, e, err := DecodeValue(nil, name, []byte(c.data), c.want); err != nil || e != c.want || !bytes.Equal(got, want) {
			t.Errorf("%s, named: %v, %v", name, e, err)
		}
	}
}

// TestForeign writes ciphertexts with characters strewn in: where one of them
// is foreign, there is no encoding in which the value is a ciphertext.
func TestForeign(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	strewn := []string{"", "", "", " ", "\n", "\r\n", "=", `\`, "x", "-", ".", ",", "(", "<", "@", "\x7f", "\x00", "\u2028", "\u3000", "\u00a0", "\ufeff", "é", "\xff"}
	found := 0
	for range 50_000 {
		value := Encoding(1 + random.IntN(2)).Encode(testKey(t).Encrypt(nil, make([]byte, random.IntN(40))))
		for range random.IntN(3) {
			at := random.IntN(len(value) + 1)
			value = slices.Insert(value, at, []byte(strewn[random.IntN(len(strewn))])...)
		}
		if random.IntN(4) == 0 {
			text := utf16.Encode([]rune("\ufeff" + string(value)))
			order := []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}[random.IntN(2)]
			value = value[:0]
			for _, unit := range text {
				value = order.AppendUint16(value, unit)
			}
		}
		_, e, err := DecodeValue(nil, "", value, Auto)
		if err == nil && e != Raw {
			found++
			if hasForeign(value) {
				t.Fatalf("%q is %v", value, e)
			}
		}
	}
	if found < 5000 {
		t.Fatalf("%d ciphertexts", found)
	}
}

// TestDecodeValueRefuses gives what is no ciphertext. The message is checked
// by docs/mistakes.md.
func TestDecodeValueRefuses(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	for name, data := range map[string]string{
		"nothing":              "",
		"blanks":               " \n\t\r\n",
		"one byte":             "A",
		"15 bytes":             b64(make([]byte, 15)),
		"17 bytes":             b64(make([]byte, 17)),
		"no padding":           strings.TrimRight(b64(make([]byte, 16)), "="),
		"stray bits":           "AAAAAAAAAAAAAAAAAAAAAB==",
		"URL alphabet":         strings.Repeat("_-", 32),
		"padding in between":   b64(make([]byte, 16)) + b64(make([]byte, 16)),
		"JID":                  "anna@example.com/desk",
		"stanza":               "<message/>",
		"prose":                "see you at noon",
		"15 raw bytes":         strings.Repeat("\xff", 15),
		"openssl's own format": b64([]byte("Salted__12345678" + strings.Repeat("x", 16))),
		"Base64 twice":         b64([]byte(b64(make([]byte, 16)))),
		"odd hex":              strings.Repeat("0", 33),
		"hex prefix alone":     "0x",
	} {
		dst := []byte("before")
		got, _, err := DecodeValue(dst, name, []byte(data), Auto)
		if err == nil || string(got) != "before" {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// FuzzDecodeValue: no panic; an error returns nothing and quotes nothing; what
// was decoded is whole blocks and, encoded again, is the value without blanks
// and letter case.
func FuzzDecodeValue(f *testing.F) {
	ct := testKey(f).Encrypt(nil, []byte("Prices are up"))
	for e := Auto; e <= Raw; e++ {
		f.Add(e.Encode(ct), uint8(Auto))
		f.Add(e.Encode(ct), uint8(e))
	}
	f.Add([]byte("\ufeff"+base64.StdEncoding.EncodeToString(ct)+"\r\n"), uint8(Auto))
	f.Add([]byte("0x00112233445566778899aabbccddeeff"), uint8(Auto))
	f.Add([]byte("<message to='anna@example.com'/>"), uint8(Auto))
	f.Add([]byte("U2FsdGVkX18="), uint8(Base64))
	f.Fuzz(func(t *testing.T, data []byte, encoding uint8) {
		e := Encoding(encoding % 4)
		got, found, err := DecodeValue([]byte("dst"), "VALUE", data, e)
		if err != nil {
			if string(got) != "dst" {
				t.Fatal("an error with a result")
			}
			quotes(t, err, data)
			return
		}
		got = got[len("dst"):]
		if len(got) == 0 || len(got)%BlockSize != 0 || found == Auto || e != Auto && e != found {
			t.Fatalf("%d bytes as %v", len(got), found)
		}
		squeeze := func(p []byte) string {
			s := strings.Join(strings.Fields(strings.TrimPrefix(string(p), "\ufeff")), "")
			if found == Hex {
				s = strings.ToLower(s)
				s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), `\x`)
			}
			return s
		}
		written := found.Encode(got)
		if found == Raw && !bytes.Equal(written, data) || found != Raw && data[0] < 0x80 && squeeze(written) != squeeze(data) {
			t.Fatalf("decoding and encoding changes the value (%v)", found)
		}
		again, _, err := DecodeValue(nil, "VALUE", written, found)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("our own spelling is not read: %v", err)
		}
		plain, key, err := NewRing(testKey(t)).Decrypt(nil, got)
		if err != nil {
			if len(plain) != 0 || key != nil {
				t.Fatal("an error with a plaintext")
			}
			return
		}
		if !bytes.Equal(key.Encrypt(nil, plain), got) {
			t.Fatal("decrypting and encrypting changes the value")
		}
	})
}

// FuzzKeyText: no panic; an error returns no key and quotes nothing; a key
// that was read is read from its own text.
func FuzzKeyText(f *testing.F) {
	f.Add([]byte(keyText), false)
	f.Add([]byte("IV=00\r\nKEY=0"), true)
	f.Add([]byte("key = \niv = 0"), true)
	f.Fuzz(func(t *testing.T, text []byte, pad bool) {
		k, err := ParseKeyText("TEXT", text, TextOptions{PadShortHex: pad})
		if err != nil {
			if k != nil {
				t.Fatal("an error with a key")
			}
			quotes(t, err, text)
			return
		}
		same, err := ParseKeyText("TEXT", []byte(textOf(k)), TextOptions{})
		if err != nil || same.Fingerprint() != k.Fingerprint() {
			t.Fatalf("%v", err)
		}
	})
}
