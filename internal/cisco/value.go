package cisco

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// Encoding is how a ciphertext is written down.
type Encoding int

const (
	Auto   Encoding = iota // find out
	Base64                 // RFC 4648 section 4, as in the database
	Hex                    // either case, also after 0x (SQL Server) or \x (PostgreSQL)
	Raw                    // the bytes themselves, as in Cisco document 225039
)

var encodingNames = [...]string{"auto", "base64", "hex", "raw"}

// String returns the name that ParseEncoding takes.
func (e Encoding) String() string { return encodingNames[e] }

// ParseEncoding reads auto, base64, hex or raw.
func ParseEncoding(name string) (Encoding, error) {
	for i, n := range encodingNames {
		if n == name {
			return Encoding(i), nil
		}
	}
	return 0, fmt.Errorf("unknown encoding %q", name)
}

// Encode writes down a ciphertext; Auto means Base64.
func (e Encoding) Encode(ciphertext []byte) []byte {
	switch e {
	case Hex:
		return hex.AppendEncode(nil, ciphertext)
	case Raw:
		return ciphertext
	}
	return base64.StdEncoding.AppendEncode(nil, ciphertext)
}

// strict refuses Base64 whose last character holds bits that no encoder sets,
// so that each ciphertext has one spelling.
var strict = base64.StdEncoding.Strict()

// DecodeValue appends to dst the ciphertext in data, one value that may be
// wrapped over lines and surrounded by blanks, and returns the encoding found.
// The ciphertext is a positive multiple of BlockSize. object names the value
// in errors, which never quote it.
func DecodeValue(dst []byte, object string, data []byte, e Encoding) ([]byte, Encoding, error) {
	if e == Auto || e == Base64 {
		if out, ok := decodeBase64(dst, data); ok {
			return out, Base64, nil
		}
	}
	ciphertext, found, err := decodeValue(object, data, e)
	if err != nil || len(ciphertext)%BlockSize != 0 {
		if n := countValues(data); n > 1 {
			return dst, found, problem.New(problem.Failed, object,
				fmt.Sprintf("this is not one value but %d, one on each line", n), "add --lines")
		}
	}
	if err != nil {
		return dst, found, err
	}
	if bytes.HasPrefix(ciphertext, salted) {
		return dst, found, problem.New(problem.Failed, object,
			"this value was encrypted by openssl with a password (it begins with Salted__), not with IM&P's key",
			"openssl enc -d with the cipher and password it was made with")
	}
	if inner, ok := base64Text(ciphertext); ok && len(inner)%BlockSize == 0 {
		return dst, found, problem.New(problem.Failed, object, "this value is Base64 twice over",
			"undo one encoding with: openssl base64 -d -A")
	}
	if n := len(ciphertext); n == 0 || n%BlockSize != 0 {
		return dst, found, badLength(object, ciphertext, found)
	}
	return append(dst, ciphertext...), found, nil
}

// decodeBase64 is DecodeValue for what nearly every value is: plain Base64 that
// nothing else could be meant by. All else is left to a closer look.
func decodeBase64(dst, data []byte) (out []byte, ok bool) {
	if allHex(data) {
		return dst, false
	}
	n := strict.DecodedLen(len(data))
	out = slices.Grow(dst, n)[:len(dst)+n]
	n, err := strict.Decode(out[len(dst):], data)
	if err != nil || n == 0 || n%BlockSize != 0 || bytes.HasPrefix(out[len(dst):], salted) || allBase64(out[len(dst):len(dst)+n]) {
		return dst, false
	}
	return out[:len(dst)+n], true
}

// foreign knows the ASCII characters that no ciphertext has in any encoding,
// blanks and prefixes included.
var foreign = func() (t [256]bool) {
	for c := byte('!'); c < 0x7f; c++ {
		t[c] = strings.IndexByte(base64Alphabet+`=\`, c) < 0
	}
	return t
}()

// hasForeign tells whether data holds such a character, so that DecodeValue
// finds no encoding in it. In UTF-16 it may be half of another one.
func hasForeign(data []byte) bool {
	if len(data) == 0 || data[0] >= 0xfe {
		return false
	}
	for _, c := range data {
		if foreign[c] {
			return true
		}
	}
	return false
}

// countValues returns the number of lines that are values by themselves, or 0
// when any line is something else.
func countValues(data []byte) int { return len(SplitValues(data)) }

// SplitValues returns the ciphertexts of the lines of data, or nil when any
// line is no value by itself.
func SplitValues(data []byte) (values [][]byte) {
	text, ok := keys.DecodeText(data)
	if !ok {
		return nil
	}
	for _, line := range bytes.Split(text.Data, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		ciphertext, err := hex.DecodeString(string(hexDigits(line)))
		if err != nil {
			ciphertext, err = strict.DecodeString(string(line))
		}
		if err != nil || len(ciphertext)%BlockSize != 0 {
			return nil
		}
		values = append(values, ciphertext)
	}
	return values
}

// salted begins what "openssl enc" writes when it is given a password.
var salted = []byte("Salted__")

// allBase64 tells whether data could be Base64 text. Of a ciphertext the first
// few bytes already show that it is not.
func allBase64(data []byte) bool {
	for _, c := range data {
		if strings.IndexByte(base64Alphabet+"=\r\n", c) < 0 {
			return false
		}
	}
	return true
}

// allHex tells whether data could be hexadecimal rather than Base64.
func allHex(data []byte) bool {
	for i, c := range data {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F', c <= ' ':
		case i == 1 && (c == 'x' || c == 'X'):
		default:
			return false
		}
	}
	return true
}

func decodeValue(object string, data []byte, e Encoding) ([]byte, Encoding, error) {
	if len(data) == 0 {
		return nil, e, problem.New(problem.Failed, object, "this value is empty", "")
	}
	if e == Raw {
		return data, Raw, nil
	}
	text, isText := keys.DecodeText(data)
	if !isText {
		if e == Auto {
			return data, Raw, nil
		}
		return nil, e, problem.New(problem.Failed, object,
			"this value has bytes that no "+e.String()+" has", "try --encoding raw")
	}
	joined := bytes.Join(bytes.Fields(text.Data), nil)
	if len(joined) == 0 {
		return nil, e, problem.New(problem.Failed, object, "this value is empty", "")
	}
	if e != Base64 {
		if ciphertext, err := hex.DecodeString(string(hexDigits(joined))); err == nil {
			return ciphertext, Hex, nil
		}
		if e == Hex {
			return nil, Hex, problem.New(problem.Failed, object, "this value is not hexadecimal", autoEncoding)
		}
	}
	ciphertext := make([]byte, strict.DecodedLen(len(joined)))
	n, err := strict.Decode(ciphertext, joined)
	if err != nil {
		return nil, Base64, notBase64(object, joined, e)
	}
	return ciphertext[:n], Base64, nil
}

const autoEncoding = "leave --encoding out to have the encoding found"

// hexDigits takes off the prefix that databases put before a binary value.
func hexDigits(joined []byte) []byte {
	for _, prefix := range []string{"0x", "0X", `\x`} {
		if rest, ok := bytes.CutPrefix(joined, []byte(prefix)); ok {
			return rest
		}
	}
	return joined
}

func notBase64(object string, joined []byte, e Encoding) error {
	if bytes.HasPrefix(joined, []byte("<")) || bytes.ContainsRune(joined, '@') {
		return problem.New(problem.Failed, object, "this value is not encrypted: it is plain text", "read it as it is")
	}
	if strings.Trim(string(joined), base64Alphabet+"=") == "" {
		return problem.New(problem.Failed, object,
			fmt.Sprintf("this Base64 is cut off or damaged (%d characters)", len(joined)), "copy the value again in full")
	}
	if e == Base64 {
		return problem.New(problem.Failed, object, "this value is not Base64", autoEncoding)
	}
	return problem.New(problem.Failed, object, "this value is neither Base64 nor hexadecimal: it may be plain text",
		"read it as it is; if it is the ciphertext itself, add --encoding raw")
}

func badLength(object string, ciphertext []byte, e Encoding) error {
	try := "copy the value again in full"
	if e == Raw {
		try += "; with --encoding raw not even a line end may follow it"
	}
	return problem.New(problem.Failed, object,
		fmt.Sprintf("this value is cut off, or not a ciphertext: %d bytes are not a whole number of 16-byte blocks", len(ciphertext)), try)
}
