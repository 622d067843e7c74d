package proof

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Builder gathers what a manifest says of the files while they are written.
// Its memory grows with the number of files, not with that of records.
type Builder struct {
	tree   tree
	status ByStatus
	files  []File
}

// NewBuilder returns an empty Builder.
func NewBuilder() *Builder { return &Builder{} }

// Record takes the next line of messages.jsonl, without its LF, and the status
// that it states.
func (b *Builder) Record(line []byte, status string) error {
	n := b.status.count(status)
	if n == nil {
		return fmt.Errorf("a record has no status that is known")
	}
	*n++
	b.tree.add(tlog.RecordHash(line))
	return nil
}

// File takes a file that is complete.
func (b *Builder) File(name string, bytes int64, sha256 [32]byte) {
	b.files = append(b.files, File{Name: name, Bytes: bytes, SHA256: hex.EncodeToString(sha256[:])})
}

// Files returns how many files there are.
func (b *Builder) Files() int { return len(b.files) }

// Manifest completes m with what the Builder knows, Format, Files, Records and
// Signer, and returns the bytes of manifest.json, and those of manifest.sig if
// key is not nil.
func (b *Builder) Manifest(m Manifest, key ed25519.PrivateKey) (manifest, signature []byte, err error) {
	m.Format = Format
	m.Files = slices.SortedFunc(slices.Values(b.files), func(x, y File) int { return cmp.Compare(x.Name, y.Name) })
	root := b.tree.root()
	m.Records = Records{Count: b.tree.n, Status: b.status, Root: base64.StdEncoding.EncodeToString(root[:])}
	m.Signer = nil
	if key != nil {
		signer := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
		m.Signer = &signer
	}
	f := &m.Filter
	for _, list := range []*[]string{&f.Users, &f.With, &f.Rooms, &f.Words} {
		*list = orEmpty(*list)
	}
	m.Archives, m.Keys = orEmpty(m.Archives), orEmpty(m.Keys)
	if manifest, err = m.bytes(); err != nil {
		return nil, nil, fmt.Errorf("no manifest: %w", err)
	}
	if key != nil {
		signature = sign(manifest, key)
	}
	return manifest, signature, nil
}

// orEmpty makes the list that JSON writes as [] of one that it writes as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Hasher passes on what is written to it and sums it up.
type Hasher struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

// NewHasher returns a Hasher that writes to w.
func NewHasher(w io.Writer) *Hasher { return &Hasher{w: w, sum: sha256.New()} }

// Write writes to the writer behind; what that took is summed.
func (h *Hasher) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.sum.Write(p[:n])
	h.n += int64(n)
	return n, err
}

// Sum returns how many bytes were written, and their SHA-256.
func (h *Hasher) Sum() (bytes int64, sha256 [32]byte) {
	return h.n, [32]byte(h.sum.Sum(nil))
}

// tree is a Merkle tree (RFC 6962 section 2.1) that only grows: it keeps the
// hashes of the complete subtrees that stand side by side, largest first, one
// for each bit of n.
type tree struct {
	n     int64
	roots []tlog.Hash
}

func (t *tree) add(leaf tlog.Hash) {
	t.n++
	for range bits.TrailingZeros64(uint64(t.n)) {
		last := len(t.roots) - 1
		leaf = tlog.NodeHash(t.roots[last], leaf)
		t.roots = t.roots[:last]
	}
	t.roots = append(t.roots, leaf)
}

func (t *tree) root() tlog.Hash {
	if t.n == 0 {
		return sha256.Sum256(nil)
	}
	last := len(t.roots) - 1
	h := t.roots[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(t.roots[i], h)
	}
	return h
}
