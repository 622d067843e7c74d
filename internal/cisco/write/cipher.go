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
	mode        cipher.BlockMode
	fingerprint string
	padded, out []byte // used again for the next value
}

// cbc is what the standard library's CBC modes are: they can be set back to
// the initialisation vector, which saves an allocation per value.
type cbc interface {
	cipher.BlockMode
	SetIV([]byte)
}

func newEncrypter(key [KeySize]byte, iv [IVSize]byte) encrypter {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // cannot happen: the key has 32 bytes
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "key = %x\niv = %x\n", key, iv))
	return encrypter{block: block, iv: iv, mode: cipher.NewCBCEncrypter(block, iv[:]), fingerprint: hex.EncodeToString(sum[:])[:16]}
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
	if mode, ok := e.mode.(cbc); ok {
		mode.SetIV(e.iv[:])
	} else {
		e.mode = cipher.NewCBCEncrypter(e.block, e.iv[:])
	}
	e.mode.CryptBlocks(e.padded, e.padded)
	e.out = base64.StdEncoding.AppendEncode(e.out[:0], e.padded)
	return string(e.out)
}

// mostFor is the longest text, in bytes, whose value has at most chars
// characters.
func mostFor(chars int) int {
	blocks := chars / 4 * 3 / aes.BlockSize
	return blocks*aes.BlockSize - 1 // at least one byte is padding
}
