package sqlserver

import (
	"database/sql/driver"
	"hash/maphash"
)

// sumEvery is after how many rows a reading is compared with the first one.
const sumEvery = 1000

// witness remembers the first complete reading of JM: how far it went, and
// sums over its rows, so that a later one can tell whether it sees the same
// rows in the same order.
type witness struct {
	reach reach
	seed  maphash.Seed
	sums  []uint64 // after each sumEvery rows
	total uint64   // after all rows
}

// reading is one reading as the witness sees it.
type reading struct {
	hash    maphash.Hash
	scratch []byte
	sums    []uint64
}

// begin begins a reading.
func (w *witness) begin() (r reading) {
	if w.seed == (maphash.Seed{}) {
		w.seed = maphash.MakeSeed()
	}
	r.hash.SetSeed(w.seed)
	return r
}

// agrees adds a row, by its number from 1 and by values that every reading
// selects whole. It is false if the first reading saw other rows so far.
func (w *witness) agrees(r *reading, values []driver.Value, n int64) bool {
	r.scratch = r.scratch[:0]
	for _, v := range values {
		r.scratch = append(appendValue(r.scratch, v), 0)
	}
	_, _ = r.hash.Write(r.scratch) // never fails
	if n%sumEvery != 0 {
		return true
	}
	i := n/sumEvery - 1
	r.sums = append(r.sums, r.hash.Sum64())
	return !w.reach.known || i < int64(len(w.sums)) && w.sums[i] == r.sums[i]
}

// end takes a complete reading as the first one, or tells whether it saw the
// same as the first one.
func (w *witness) end(r *reading, to reach) bool {
	if !w.reach.known {
		w.reach, w.sums, w.total = to, r.sums, r.hash.Sum64()
		return true
	}
	return to.rows == w.reach.rows && r.hash.Sum64() == w.total
}
