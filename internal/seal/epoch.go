// Package seal is the envelope of our own archives: data keys, each the life of
// one epoch, wrapped to the officers with age; records sealed under them; the
// tokens by which an officer finds a person's records without opening the
// others; and the commitment that ties a plaintext to the ledger.
// docs/format/envelope.md is normative.
//
// Who seals needs public recipients only. A data key is never stored in clear:
// Epoch.Forget drops it, and from then on only a recipient can open the
// epoch. Forgetting is best effort, since Go cannot promise that no copy of a
// key is left in memory.
//
// Compatibility: what version 1 has sealed is opened for ever.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"filippo.io/age"

	"archivolt/internal/ledger"
)

// Limits of an epoch.
const (
	KeySize     = 32      // of a data key, in bytes
	MaxRecords  = 1 << 20 // in one epoch; random nonces of 96 bits allow 2^32 (NIST SP 800-38D section 8.3)
	nonceSize   = 12
	tagSize     = 16
	MinSealed   = nonceSize + tagSize + 2
	keyVersion  = "archivolt v1 "
	aadVersion  = "archivolt record v1"
	textVersion = 1
)

// Unknown stands among the participants of a message of which not all could be
// read: whoever looks for a person by token looks for Unknown too.
const Unknown = "\x00"

// Header is what of a record stands in clear.
type Header struct {
	Source string
	Number uint64
	Time   int64 // milliseconds since 1970 in UTC
	Tokens []byte
}

// Content is what of a record is sealed.
type Content struct {
	Direction byte   // 'I' delivered to a local user, 'O' sent by one, 0 if the source does not say
	Stanza    []byte // the <message/>, byte for byte
}

// marshal writes the canonical plaintext.
func (c *Content) marshal(buf []byte) []byte {
	return append(append(buf, textVersion, c.Direction), c.Stanza...)
}

// ParseContent reads a canonical plaintext. The stanza is a part of it.
func ParseContent(plain []byte) (Content, error) {
	if len(plain) < 2 || plain[0] != textVersion {
		return Content{}, errors.New("the record is of a version that this program does not know")
	}
	return Content{Direction: plain[1], Stanza: plain[2:]}, nil
}

// Epoch holds a data key while it is in use. It is not safe for concurrent use.
type Epoch struct {
	Number uint64

	id         ledger.ID
	content    cipher.AEAD
	token      hash.Hash // HMAC under the token key
	commit     hash.Hash // HMAC under the commitment key
	commitment [ledger.HashSize]byte
	keys       struct{ token, commit []byte } // of the two HMACs
	scratch    struct{ aad, plain, sum []byte }
}

// NewEpoch makes the data key of an epoch and wraps it to the recipients. The
// wraps must be durable before anything sealed under the key is acknowledged.
func NewEpoch(id ledger.ID, number uint64, to *Recipients) (e *Epoch, wraps [][]byte, err error) {
	key := make([]byte, KeySize)
	rand.Read(key)
	defer clear(key)
	for _, group := range to.groups {
		var b bytes.Buffer
		w, err := age.Encrypt(&b, group...)
		if err != nil {
			return nil, nil, err
		}
		_, err = w.Write(key)
		if err := errors.Join(err, w.Close()); err != nil {
			return nil, nil, err
		}
		wraps = append(wraps, b.Bytes())
	}
	e, err = FromKey(id, number, key)
	return e, wraps, err
}

// Errors of OpenEpoch.
var (
	ErrNotRecipient = errors.New("the epoch's key is not wrapped to any of the identities")
	ErrWrap         = errors.New("the wrapped key of the epoch is damaged")
)

// OpenEpoch unwraps the data key of an epoch with whichever identity opens one
// of its wraps. Whether it is the key that the ledger speaks of, Commitment
// tells.
func OpenEpoch(id ledger.ID, number uint64, wraps [][]byte, identities ...age.Identity) (*Epoch, error) {
	if len(identities) == 0 {
		return nil, ErrNotRecipient
	}
	result := error(ErrNotRecipient)
	for _, w := range wraps {
		r, err := age.Decrypt(bytes.NewReader(w), identities...)
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			continue
		}
		var key []byte
		if err == nil {
			key, err = io.ReadAll(io.LimitReader(r, KeySize+1))
		}
		if err != nil || len(key) != KeySize {
			result = ErrWrap
			continue
		}
		defer clear(key)
		return FromKey(id, number, key)
	}
	return nil, result
}

// FromKey is the epoch of a data key of KeySize bytes, which stays the caller's.
func FromKey(id ledger.ID, number uint64, key []byte) (*Epoch, error) {
	salt := binary.BigEndian.AppendUint64(slices.Clone(id[:]), number)
	secret, err := hkdf.Extract(sha256.New, key, salt)
	if err != nil {
		return nil, err
	}
	defer clear(secret) // everything follows from it
	expand := func(purpose string) []byte {
		k, failed := hkdf.Expand(sha256.New, secret, keyVersion+purpose, KeySize)
		err = errors.Join(err, failed)
		return k
	}
	content := expand("content")
	defer clear(content) // the cipher has it
	e := &Epoch{Number: number, id: id}
	e.keys.token, e.keys.commit = expand("token"), expand("commitment")
	e.token, e.commit = hmac.New(sha256.New, e.keys.token), hmac.New(sha256.New, e.keys.commit)
	copy(e.commitment[:], expand("key commitment"))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(content)
	if err != nil {
		return nil, err
	}
	e.content, err = cipher.NewGCMWithRandomNonce(block)
	return e, err
}

// Clone returns the epoch for use by another goroutine. Several may call it at
// the same time, while nobody uses e for anything else but Commitment.
func (e *Epoch) Clone() *Epoch {
	return &Epoch{Number: e.Number, id: e.id, content: e.content, commitment: e.commitment, keys: e.keys,
		token: hmac.New(sha256.New, e.keys.token), commit: hmac.New(sha256.New, e.keys.commit)}
}

// Commitment is what the ledger says of the data key, without showing it.
func (e *Epoch) Commitment() [ledger.HashSize]byte { return e.commitment }

// Fingerprint is a short name of a data key: the first 16 hex digits of its
// commitment.
func Fingerprint(commitment [ledger.HashSize]byte) string { return hex.EncodeToString(commitment[:8]) }

// Forget drops the keys. Everything but Commitment panics from then on.
func (e *Epoch) Forget() {
	clear(e.keys.token)
	clear(e.keys.commit)
	e.keys.token, e.keys.commit = nil, nil
	e.content, e.token, e.commit = nil, nil, nil
}

// Token is what stands for an address, in comparable bare form, in the records
// of this epoch.
func (e *Epoch) Token(bare string) (t [ledger.TokenSize]byte) {
	e.token.Reset()
	io.WriteString(e.token, bare)
	e.scratch.sum = e.token.Sum(e.scratch.sum[:0])
	return [ledger.TokenSize]byte(e.scratch.sum)
}

// Tokens are the tokens of several addresses, as a Header has them. Empty
// addresses have none, and none stands twice.
func (e *Epoch) Tokens(bare ...string) []byte {
	list := make([][ledger.TokenSize]byte, 0, len(bare))
	for _, b := range bare {
		if b != "" && len(list) < ledger.MaxTokens {
			list = append(list, e.Token(b))
		}
	}
	slices.SortFunc(list, func(a, b [ledger.TokenSize]byte) int { return bytes.Compare(a[:], b[:]) })
	list = slices.Compact(list)
	tokens := make([]byte, 0, len(list)*ledger.TokenSize)
	for _, t := range list {
		tokens = append(tokens, t[:]...)
	}
	return tokens
}

// Seal seals a record, and returns it with its entry for the ledger. The result
// is to be stored as it is: sealing again would make another record.
func (e *Epoch) Seal(h *Header, c *Content) (sealed []byte, entry *ledger.Record, err error) {
	if len(h.Source) > ledger.MaxSource || len(h.Tokens)%ledger.TokenSize != 0 || len(h.Tokens) > ledger.MaxTokens*ledger.TokenSize {
		return nil, nil, fmt.Errorf("the header of a record is not valid: a source of %d bytes, tokens of %d", len(h.Source), len(h.Tokens))
	}
	plain := c.marshal(e.scratch.plain[:0])
	e.scratch.plain = plain
	sealed = e.content.Seal(nil, nil, plain, e.aad(h))
	entry = &ledger.Record{Epoch: e.Number, Source: h.Source, Number: h.Number, Time: h.Time, Tokens: h.Tokens,
		Commitment: Commit(e.RecordKey(h), plain), Sealed: sha256.Sum256(sealed)}
	clear(plain)
	return sealed, entry, nil
}

// ErrSealed says that a record does not open: it, or what stands beside it in
// clear, is not what was sealed.
var ErrSealed = errors.New("the record is not what was sealed")

// Open opens a record. Its plaintext is appended to buf.
func (e *Epoch) Open(buf []byte, h *Header, sealed []byte) ([]byte, error) {
	if len(sealed) < MinSealed {
		return nil, ErrSealed
	}
	plain, err := e.content.Open(buf, nil, sealed, e.aad(h))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// aad is what is authenticated with a record.
func (e *Epoch) aad(h *Header) []byte {
	b := field(e.scratch.aad[:0], []byte(aadVersion))
	b = field(b, e.id[:])
	b = number(b, e.Number)
	b = field(b, []byte(h.Source))
	b = number(b, h.Number)
	b = number(b, uint64(h.Time))
	b = field(b, h.Tokens)
	e.scratch.aad = b
	return b
}

func field(buf, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32(buf, uint32(len(value))), value...)
}

func number(buf []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(buf, 8), n)
}

// RecordKey is the key of one record's commitment. An export shows it for the
// records that it holds; it opens nothing.
func (e *Epoch) RecordKey(h *Header) [KeySize]byte {
	e.commit.Reset()
	b := number(field(e.scratch.sum[:0], []byte(h.Source)), h.Number)
	e.commit.Write(b)
	e.scratch.sum = e.commit.Sum(b[:0])
	return [KeySize]byte(e.scratch.sum)
}

// Commit is the commitment to a plaintext under a record's key.
func Commit(key [KeySize]byte, plain []byte) [ledger.HashSize]byte {
	m := hmac.New(sha256.New, key[:])
	m.Write(plain)
	return [ledger.HashSize]byte(m.Sum(nil))
}
