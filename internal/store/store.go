// Package store says what a store of our own archives holds and what it must
// do. Package storetest is the same as a test, which every store passes.
//
// A store is append-only. One writer extends it, in batches that are there
// wholly or not at all; readers may read at the same time and see whole batches
// only. Nothing in it is secret: what is sealed is sealed before it comes here,
// and what is in clear docs/format/envelope.md lists. Nor is it trusted: the
// ledger tells whether it is what was written.
package store

import (
	"encoding/binary"
	"errors"

	"archivolt/internal/ledger"
)

// Version is that of the schema. A store of another version is refused.
const Version = 1

// Head is the state of a store after its last batch.
type Head struct {
	ID         ledger.ID
	Size       int64 // entries of the ledger
	Root       ledger.Hash
	Spool      uint64 // number of the last entry of the spool that is stored
	Epoch      uint64 // last epoch, 0 before the first
	Generation uint64 // of the writer: who takes over counts it up
}

// Entry is one entry of the ledger with what belongs to it.
type Entry struct {
	Index  int64          // in the ledger, from 0
	Record *ledger.Record // of a record; Sealed is then set
	Sealed []byte         // nonce and ciphertext; nil if it was erased
	Other  []byte         // canonical bytes of an epoch or event
	Epoch  uint64         // of an epoch's entry: its number
	Wraps  [][]byte       // of an epoch's entry: its wrapped keys
}

// Batch extends a store.
type Batch struct {
	Head    Head    // after it; its Generation is the writer's
	Entries []Entry // those from the size before it on
	Tiles   []ledger.Tile
	Marks   map[string]uint64 // by source: the highest delivery number in this batch
}

// Errors of stores.
var (
	// ErrFenced says that another writer has taken over. Nothing was written.
	ErrFenced = errors.New("another archivoltd writes to this archive now")
	// ErrNone says that there is no archive yet.
	ErrNone = errors.New("there is no archive here yet")
	// ErrChanged says that a reader's snapshot broke, because a writer began
	// while nobody was expected to write. What was read is not to be used.
	ErrChanged = errors.New("archivoltd has begun to write to this archive while it was read")
)

// Query chooses records to read. Its zero value chooses all.
type Query struct {
	From, To int64               // indexes in the ledger; To is exclusive, 0 for the end
	Tokens   map[uint64][]uint64 // by epoch: records that have one of these; nil for all records
}

// TokenNumber is a token as Query has it.
func TokenNumber(token [ledger.TokenSize]byte) uint64 { return binary.BigEndian.Uint64(token[:]) }
