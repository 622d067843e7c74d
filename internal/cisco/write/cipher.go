package write

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

// Sizes of AES-256 in CBC mode, in bytes.
const (
	KeySize = 32
	IVSize  = aes.BlockSize
)

// encrypter writes values as the archiver stores them: Base64 of AES-256-CBC
// with PKCS #7 padding (RFC 5652 section 6.3), one key and one initialisation
// vector for all of them.
type encrypter struct {
	block       cipher.Block
	iv          [IVSize]byte
	fingerprint string
	padded      []byte // used again for the next value
}

func newEncrypter(key [KeySize]byte, iv [IVSize]byte) encrypter {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // cannot happen: the key has 32 bytes
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "key = %x\niv = %x\n", key, iv))
	return encrypter{block: block, iv: iv, fingerprint: hex.EncodeToString(sum[:])[:16]}
}

// value encrypts text. An empty one stays empty: its ciphertext would be the
// same everywhere, and hide nothing.
func (e *encrypter) value(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	n := aes.BlockSize - len(text)%aes.BlockSize
	e.padded = append(e.padded[:0], text...)
	for range n {
		e.padded = append(e.padded, byte(n))
	}
	cipher.NewCBCEncrypter(e.block, e.iv[:]).CryptBlocks(e.padded, e.padded)
	return base64.StdEncoding.EncodeToString(e.padded)
}

// mostFor is the longest text, in bytes, whose value has at most chars
// characters.
func mostFor(chars int) int {
	blocks := chars / 4 * 3 / aes.BlockSize
	return blocks*aes.BlockSize - 1 // at least one byte is padding
}
