package audit

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"slices"

	"archivolt/internal/ledger"
	"archivolt/internal/store"
)

// index compares the index of participants with the tokens of the records, in
// memory that does not grow: it adds up a hash of each pair, under a key that
// nobody can know before. Two sums are equal only if the pairs are.
type index struct {
	seed    maphash.Seed
	records [2]uint64 // sum of the hashes, and their number
	entries [2]uint64
}

func newIndex() *index { return &index{seed: maphash.MakeSeed()} }

func (x *index) hash(epoch, token uint64, entry int64) uint64 {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:], epoch)
	binary.BigEndian.PutUint64(b[8:], token)
	binary.BigEndian.PutUint64(b[16:], uint64(entry))
	return maphash.Bytes(x.seed, b[:])
}

func (x *index) record(epoch, token uint64, entry int64) {
	x.records[0] += x.hash(epoch, token, entry)
	x.records[1]++
}

// postings compares the index of participants with the records.
func (v *verifier) postings() error {
	x := v.index
	err := v.s.Postings(v.ctx, func(epoch, token uint64, indexes []int64) error {
		for _, i := range indexes {
			x.entries[0] += x.hash(epoch, token, i)
			x.entries[1]++
		}
		return nil
	})
	if v.ctx.Err() != nil {
		return v.ctx.Err()
	}
	if errors.Is(err, store.ErrChanged) { // it could not be read, which is no fault of the archive's
		return err
	}
	if err != nil {
		return v.wrong("%v", err)
	}
	if x.records == x.entries {
		return nil
	}
	return v.locate()
}

// locate names the first record that the index is wrong about.
func (v *verifier) locate() error {
	sums := map[int64]uint64{}
	first := int64(-1)
	err := v.s.Postings(v.ctx, func(epoch, token uint64, indexes []int64) error {
		for _, i := range indexes {
			sums[i] += v.index.hash(epoch, token, i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = v.s.Records(v.ctx, store.Query{}, func(e *store.Entry) error {
		want := uint64(0)
		for token := range slices.Chunk(e.Record.Tokens, ledger.TokenSize) {
			if len(token) == ledger.TokenSize {
				want += v.index.hash(e.Record.Epoch, store.TokenNumber([ledger.TokenSize]byte(token)), e.Index)
			}
		}
		if sums[e.Index] != want && first < 0 {
			first = e.Index
		}
		delete(sums, e.Index)
		return nil
	})
	if err != nil {
		return err
	}
	if first >= 0 {
		return v.wrongEntry(first, "the index of participants does not say of it what its own tokens say: it would not be found, or found for somebody else")
	}
	for i := range sums {
		return v.wrong("the index of participants has entry %d, which is no record", i)
	}
	return v.wrong("the index of participants is not what the records say")
}
