package cisco

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// ErrNoKey is returned for a value that no key of a Ring opens.
var ErrNoKey = errors.New("no key opens it")

// ErrAmbiguous is returned for a value that two keys of a Ring open equally
// well. A short value does so by chance once in some 255.
var ErrAmbiguous = errors.New("more than one key opens it")

// Ring tries several keys on single values. It is not safe for concurrent use.
type Ring struct {
	decrypters []*Decrypter
	spare      []byte
}

// NewRing makes a Ring of at least one key. Keys given twice count once.
func NewRing(list ...*Key) *Ring {
	r := &Ring{}
	seen := map[string]bool{}
	for _, k := range list {
		if fp := k.Fingerprint(); !seen[fp] {
			seen[fp] = true
			r.decrypters = append(r.decrypters, k.NewDecrypter())
		}
	}
	return r
}

// Decrypt appends the plaintext of ciphertext to dst and returns the key that
// opened it. With one key nothing but the padding is asked for, as openssl
// does. With several, a key whose plaintext is UTF-8 goes before one whose
// plaintext is not; if that leaves two, the error is ErrAmbiguous.
func (r *Ring) Decrypt(dst, ciphertext []byte) ([]byte, *Key, error) {
	if len(r.decrypters) == 1 {
		out, err := r.decrypters[0].Decrypt(dst, ciphertext)
		if errors.Is(err, ErrPadding) {
			return dst, nil, ErrNoKey
		} else if err != nil {
			return dst, nil, err
		}
		return out, r.decrypters[0].key, nil
	}
	var texts, others []*Decrypter
	for _, d := range r.decrypters {
		plain, err := d.Decrypt(r.spare[:0], ciphertext)
		r.spare = plain
		switch {
		case errors.Is(err, ErrPadding):
		case err != nil:
			return dst, nil, err
		case utf8.Valid(plain):
			texts = append(texts, d)
		default:
			others = append(others, d)
		}
	}
	if len(texts) == 0 {
		texts = others
	}
	switch len(texts) {
	case 0:
		return dst, nil, ErrNoKey
	case 1:
		out, err := texts[0].Decrypt(dst, ciphertext)
		return out, texts[0].key, err
	}
	return dst, nil, ErrAmbiguous
}

// FirstBlockGarbled tells whether only the first 16 bytes of a plaintext are
// not text. The key is right then, and either the iv is wrong or that block
// was damaged: CBC mixes the iv into the first block alone.
func FirstBlockGarbled(plain []byte) bool {
	if len(plain) <= BlockSize {
		return false
	}
	rest := plain[BlockSize:]
	for i := 0; i < utf8.UTFMax-1 && len(rest) > 0 && !utf8.RuneStart(rest[0]); i++ {
		rest = rest[1:] // a character that the block boundary cuts
	}
	return IsText(rest) && !IsText(plain)
}

// IsText tells whether p is UTF-8 without the control characters that no
// message holds (XML 1.0 section 2.2). A wrong key opens one value in 255 by
// chance; what comes out then is hardly ever text.
func IsText(p []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	rest := p
	for len(rest) >= 8 {
		// A byte below 0x20 leaves its high bit set here; so may one after it,
		// which only costs a closer look.
		x := binary.LittleEndian.Uint64(rest)
		if (x-0x20*ones)&^x&high != 0 && hasControl(rest[:8]) {
			return false
		}
		rest = rest[8:]
	}
	return !hasControl(rest) && utf8.Valid(p)
}

func hasControl(p []byte) bool {
	for _, c := range p {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return true
		}
	}
	return false
}
