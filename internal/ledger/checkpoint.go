package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is the head of a ledger, which its writer signs: a note of C2SP's
// tlog-checkpoint with one extension line for the time.
type Checkpoint struct {
	ID   ID
	Size int64 // entries
	Root Hash
	Time time.Time // when it was signed, UTC, to the millisecond
}

const (
	originPrefix = "archivolt/"
	timePrefix   = "time "
	timeLayout   = "2006-01-02T15:04:05.000Z"
)

// Origin names the ledger of an archive in its checkpoints, and the key that
// signs them.
func Origin(id ID) string { return originPrefix + id.String() }

// NewSigningKey makes the key for the checkpoints of archive id: its secret and
// its public text, as signed notes have them.
func NewSigningKey(random io.Reader, id ID) (secret, verifier string, err error) {
	return note.GenerateKey(random, Origin(id))
}

// Verifier is the public text of a secret one of NewSigningKey.
func Verifier(secret string) (string, error) {
	fields := strings.SplitN(secret, "+", 5) // PRIVATE+KEY+name+hash+Base64 of the algorithm and the seed
	if len(fields) != 5 {
		return "", errors.New("this is no key for checkpoints")
	}
	seed, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("this is no key for checkpoints")
	}
	return note.NewEd25519VerifierKey(fields[2], ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey))
}

// Sign makes the checkpoint's text with its signature. The key is the secret
// text of NewSigningKey.
func (c *Checkpoint) Sign(key string) ([]byte, error) {
	signer, err := note.NewSigner(key)
	if err != nil || signer.Name() != Origin(c.ID) {
		return nil, errors.New("this is no key for checkpoints of this archive")
	}
	return note.Sign(&note.Note{Text: c.body()}, signer)
}

func (c *Checkpoint) body() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%s\n", Origin(c.ID), c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), timePrefix, c.Time.UTC().Format(timeLayout))
}

// ErrSignature says that a checkpoint was not signed by the key at hand.
var ErrSignature = errors.New("the checkpoint is not signed by this archive's key")

// OpenCheckpoint reads a signed checkpoint and checks its signature by the
// verifier's text.
func OpenCheckpoint(text []byte, verifier string) (*Checkpoint, error) {
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return nil, errors.New("this is no verifier of checkpoints")
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		return nil, ErrSignature
	}
	c, err := parseBody(n.Text)
	if err == nil && v.Name() != Origin(c.ID) {
		return nil, errors.New("the checkpoint is of another archive than its key")
	}
	return c, err
}

// ReadCheckpoint reads a signed checkpoint without looking at its signature.
func ReadCheckpoint(text []byte) (*Checkpoint, error) {
	body, _, found := strings.Cut(string(text), "\n\n")
	if !found {
		return nil, errors.New("this is no signed checkpoint")
	}
	return parseBody(body + "\n")
}

func parseBody(body string) (*Checkpoint, error) {
	lines := strings.Split(body, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return nil, errors.New("a checkpoint has four lines: origin, size, root, time")
	}
	c := &Checkpoint{}
	var err error
	name, ours := strings.CutPrefix(lines[0], originPrefix)
	if c.ID, err = ParseID(name); err != nil || !ours {
		return nil, errors.New("the checkpoint is not one of an Archivolt archive")
	}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || c.Size > MaxSize {
		return nil, errors.New("the size in the checkpoint is none that a ledger has")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != HashSize {
		return nil, errors.New("the root in the checkpoint is no SHA-256")
	}
	c.Root = Hash(root)
	stamp, found := strings.CutPrefix(lines[3], timePrefix)
	if c.Time, err = time.Parse(timeLayout, stamp); err != nil || !found {
		return nil, errors.New("the time in the checkpoint cannot be read")
	}
	if c.body() != body {
		return nil, errors.New("the checkpoint is not in the one form that it has")
	}
	return c, nil
}
