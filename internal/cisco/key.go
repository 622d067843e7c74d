package cisco

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// Sizes in bytes.
const (
	KeySize   = 32            // AES-256
	IVSize    = aes.BlockSize // CBC's initialisation vector
	BlockSize = aes.BlockSize // every ciphertext is a multiple of this
)

// FingerprintDigits is the length of a key's fingerprint, in hex digits: 64
// bits tell any realistic number of keys apart and reveal nothing of a random
// 256-bit key.
const FingerprintDigits = 16

// Key is one AES-256 key with its initialisation vector. IM&P has one of them
// at a time, for every message (Cisco document 225039). It is safe for
// concurrent use.
type Key struct {
	key   [KeySize]byte
	iv    [IVSize]byte
	block cipher.Block
}

// NewKey makes a Key of 32 bytes of key and 16 of initialisation vector.
func NewKey(key, iv []byte) (*Key, error) {
	if len(key) != KeySize || len(iv) != IVSize {
		return nil, fmt.Errorf("a key has %d bytes and an iv %d, not %d and %d", KeySize, IVSize, len(key), len(iv))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	k := &Key{block: block}
	copy(k.key[:], key)
	copy(k.iv[:], iv)
	return k, nil
}

// Fingerprint names the key without revealing it: the first 16 hex digits of
// the SHA-256 of "key = HEX\niv = HEX\n", both in lower case, so that anybody
// who holds the key can compute it with sha256sum.
func (k *Key) Fingerprint() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "key = %x\niv = %x\n", k.key, k.iv))
	return hex.EncodeToString(sum[:])[:FingerprintDigits]
}

// String keeps a key out of every %v: it gives the fingerprint.
func (k *Key) String() string { return "key " + k.Fingerprint() }

// GoString does the same for %#v.
func (k *Key) GoString() string { return k.String() }

// TextOptions loosen the reading of a key text.
type TextOptions struct {
	// PadShortHex fills a short key or iv with zeros on the right, as openssl
	// enc -K and -iv do. The values printed in Cisco's guide are short (29 and
	// 23 digits); those of real systems are not known to be.
	PadShortHex bool
}

// keyLine is one line of a key text: a name, "=", hex digits.
var keyLine = regexp.MustCompile(`(?i)^[\s\x{A0}]*(key|iv)[\s\x{A0}]*=[\s\x{A0}]*(.*?)[\s\x{A0}]*$`)

// ParseKeyText reads "key = <64 hex>" and "iv = <32 hex>" in any order, case
// and indentation, among any other lines. object is what the text is about,
// for errors, which never quote the text.
func ParseKeyText(object string, text []byte, opt TextOptions) (*Key, error) {
	decoded, ok := keys.DecodeText(text)
	if !ok {
		return nil, problem.New(problem.Failed, object, "this is not a key text: it has bytes that are not text", keyAgain)
	}
	if len(strings.TrimSpace(string(decoded.Data))) == 0 {
		return nil, problem.New(problem.Failed, object, "this is not a key text: it is empty", keyAgain)
	}
	var found struct{ key, iv string }
	for _, line := range strings.Split(string(decoded.Data), "\n") {
		m := keyLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name, digits := strings.ToLower(m[1]), strings.ToLower(m[2])
		at := &found.key
		if name == "iv" {
			at = &found.iv
		}
		if *at != "" && *at != digits {
			return nil, problem.New(problem.Failed, object, "this text has two different "+name+" lines",
				"keep one key with its iv in each file, and pass each file with its own --key")
		}
		if digits == "" {
			return nil, problem.New(problem.Failed, object, "the "+name+" line is empty", keyAgain)
		}
		*at = digits
	}
	if found.key == "" || found.iv == "" {
		missing := "key"
		if found.key != "" {
			missing = "iv"
		}
		if found.key == "" && found.iv == "" {
			return nil, problem.New(problem.Failed, object, "this is not a key text: it has no lines \"key = ...\" and \"iv = ...\"", keyAgain)
		}
		return nil, problem.New(problem.Failed, object, "this text has no "+missing+" line", keyAgain)
	}
	key, err := parseHex(object, "key", found.key, KeySize, opt)
	if err != nil {
		return nil, err
	}
	iv, err := parseHex(object, "iv", found.iv, IVSize, opt)
	if err != nil {
		return nil, err
	}
	return NewKey(key, iv)
}

const keyAgain = "download the key again from IM&P and unwrap it with: archivolt key unwrap"

// parseHex reads size bytes of hex.
func parseHex(object, name, digits string, size int, opt TextOptions) ([]byte, error) {
	for i, c := range digits {
		if !strings.ContainsRune("0123456789abcdef", c) {
			return nil, problem.New(problem.Failed, object,
				fmt.Sprintf("the %s is not hexadecimal: its character %d is none of 0-9 and a-f", name, i+1), keyAgain)
		}
	}
	want := 2 * size
	switch n := len(digits); {
	case n > want:
		return nil, problem.New(problem.Failed, object,
			fmt.Sprintf("the %s is too long: %d hex digits instead of %d", name, n, want), keyAgain)
	case n < want && opt.PadShortHex:
		digits += strings.Repeat("0", want-n)
	case name == "key" && n == 32:
		return nil, problem.New(problem.Failed, object,
			"the key has the size of AES-128 (32 hex digits): IM&P's is AES-256 (64)",
			"check that this text is from IM&P, and that neither line was cut")
	case n < want:
		return nil, problem.New(problem.Failed, object,
			fmt.Sprintf("the %s is too short: %d hex digits instead of %d", name, n, want),
			"copy it again in full; if it really is that short, --pad-short-hex fills it with zeros on the right, as openssl does")
	}
	return hex.DecodeString(digits)
}
