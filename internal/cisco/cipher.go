package cisco

import (
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"slices"
)

// ErrPadding is returned when a ciphertext does not end in PKCS #7 padding
// under the key tried: another key, or damage. Of random data, 1 in 255 passes
// by chance.
var ErrPadding = errors.New("no valid padding under this key")

// ErrLength is returned for a ciphertext that is empty or not a whole number
// of 16-byte blocks.
var ErrLength = errors.New("not a whole number of 16-byte blocks")

// cbc is what the standard library's CBC modes are: they can be set back to
// the initialisation vector, which saves an allocation per value.
type cbc interface {
	cipher.BlockMode
	SetIV([]byte)
}

// Decrypter decrypts values under one key. It is not safe for concurrent use;
// make one for each goroutine.
type Decrypter struct {
	key     *Key
	mode    cipher.BlockMode
	scratch [BlockSize]byte
}

// NewDecrypter returns a Decrypter for k.
func (k *Key) NewDecrypter() *Decrypter {
	return &Decrypter{key: k, mode: cipher.NewCBCDecrypter(k.block, k.iv[:])}
}

// Decrypt appends the plaintext of ciphertext to dst: AES-256-CBC with PKCS #7
// padding, what "openssl enc -d -aes-256-cbc -K -iv" writes. On error dst is
// returned as it was. dst and ciphertext must not overlap.
func (d *Decrypter) Decrypt(dst, ciphertext []byte) ([]byte, error) {
	if mode, ok := d.mode.(cbc); ok {
		mode.SetIV(d.key.iv[:])
	} else {
		d.mode = cipher.NewCBCDecrypter(d.key.block, d.key.iv[:])
	}
	return decryptCBC(d.mode, dst, ciphertext)
}

// endsPadded tells whether ciphertext, which is whole blocks, ends in padding,
// without which Decrypt fails. Of a long value that spares nearly all the work.
func (d *Decrypter) endsPadded(ciphertext []byte) bool {
	last := len(ciphertext) - BlockSize
	before := d.key.iv[:]
	if last > 0 {
		before = ciphertext[last-BlockSize : last]
	}
	d.key.block.Decrypt(d.scratch[:], ciphertext[last:])
	subtle.XORBytes(d.scratch[:], d.scratch[:], before)
	_, ok := unpad(d.scratch[:])
	return ok
}

// decryptBlocks appends the plaintext of whole blocks to dst, the padding
// included: for looking at what is left of a damaged value.
func (d *Decrypter) decryptBlocks(dst, ciphertext []byte) []byte {
	out := slices.Grow(dst, len(ciphertext))[:len(dst)+len(ciphertext)]
	cipher.NewCBCDecrypter(d.key.block, d.key.iv[:]).CryptBlocks(out[len(dst):], ciphertext)
	return out
}

func decryptCBC(mode cipher.BlockMode, dst, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) == 0 || len(ciphertext)%BlockSize != 0 {
		return dst, ErrLength
	}
	out := slices.Grow(dst, len(ciphertext))[:len(dst)+len(ciphertext)]
	plain := out[len(dst):]
	mode.CryptBlocks(plain, ciphertext)
	n, ok := unpad(plain)
	if !ok {
		clear(plain)
		return dst, ErrPadding
	}
	return out[:len(dst)+n], nil
}

// unpad returns the length of a padded text without its PKCS #7 padding (RFC
// 5652 section 6.3): 1 to 16 bytes, each holding their number. The time it
// takes tells nothing to an attacker: values are decrypted offline by their
// owner, and no result is sent anywhere.
func unpad(padded []byte) (n int, ok bool) {
	if len(padded) == 0 || len(padded)%BlockSize != 0 {
		return 0, false
	}
	pad := padded[len(padded)-1]
	if pad == 0 || pad > BlockSize {
		return 0, false
	}
	n = len(padded) - int(pad)
	for _, c := range padded[n:] {
		if c != pad {
			return 0, false
		}
	}
	return n, true
}

// Encrypt appends the ciphertext of plaintext to dst: what "openssl enc
// -aes-256-cbc -K -iv" writes.
func (k *Key) Encrypt(dst, plaintext []byte) []byte {
	pad := BlockSize - len(plaintext)%BlockSize
	size := len(plaintext) + pad
	out := slices.Grow(dst, size)[:len(dst)+size]
	padded := out[len(dst):]
	copy(padded, plaintext)
	for i := len(plaintext); i < size; i++ {
		padded[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(k.block, k.iv[:]).CryptBlocks(padded, padded)
	return out
}
