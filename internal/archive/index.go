package archive

import (
	"slices"
	"time"

	"archivolt/internal/cisco"
)

// index knows of each row of a table when it was sent and how it opens: 8
// bytes a row. If the table is not in the order of time it also knows the
// order, 4 bytes more, and where its rows are fetched one by one, where each
// lies, another 8.
type index struct {
	rows   chunked  // time and key, see pack
	places chunked  // cisco.Place of each row; empty unless rows are fetched
	order  []uint32 // row indexes by time; nil if the table is in that order
}

// chunked is a slice that grows without being copied, so that growing does not
// double the memory.
type chunked struct {
	chunks [][]uint64
	n      int
}

const chunkRows = 1 << 16

func (c *chunked) add(v uint64) {
	if c.n%chunkRows == 0 {
		c.chunks = append(c.chunks, make([]uint64, 0, chunkRows))
	}
	last := len(c.chunks) - 1
	c.chunks[last] = append(c.chunks[last], v)
	c.n++
}

func (c *chunked) at(i int) uint64 { return c.chunks[i/chunkRows][i%chunkRows] }

// What the survey knows of a row's key; from keyFirst on, the key's number.
const (
	keyNone  = 0 // nothing opens it, or nothing is certain
	keyPlain = 1
	keyOpen  = 2 // not known yet: a short scan does not tell
	keyFirst = 3
)

// noDate sorts rows whose date cannot be read before all others.
const noDate = -1 << 47

// pack puts the milliseconds since 1970 (47 bits and a sign reach beyond the
// year 4000 in both directions) before the key's number.
func pack(t time.Time, key uint8) uint64 {
	return uint64(milliseconds(t)<<8 | int64(key))
}

// milliseconds gives the time since 1970, and noDate for none.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return noDate
	}
	return t.UnixMilli()
}

func (x *index) time(row int) int64 { return int64(x.rows.at(row)) >> 8 }
func (x *index) key(row int) uint8  { return uint8(x.rows.at(row)) }
func (x *index) len() int           { return x.rows.n }

func (x *index) add(t time.Time, key uint8) { x.rows.add(pack(t, key)) }

func (x *index) setKey(row int, key uint8) {
	v := &x.rows.chunks[row/chunkRows][row%chunkRows]
	*v = *v&^0xff | uint64(key)
}

// addPlace tells where the next row lies, in the order of add.
func (x *index) addPlace(p cisco.Place) { x.places.add(uint64(p)) }

func (x *index) place(row int) cisco.Place { return cisco.Place(x.places.at(row)) }

// sorted tells whether the file is in the order of time.
func (x *index) sorted() bool {
	for i := 1; i < x.len(); i++ {
		if x.time(i-1) > x.time(i) {
			return false
		}
	}
	return true
}

// sort finds the order of time.
func (x *index) sort() {
	x.order = make([]uint32, x.len())
	for i := range x.order {
		x.order[i] = uint32(i)
	}
	slices.SortFunc(x.order, func(a, b uint32) int {
		if x.before(int(a), int(b)) {
			return -1
		}
		return 1
	})
}

// before tells whether row a comes before row b in the order of time.
func (x *index) before(a, b int) bool {
	ta, tb := x.time(a), x.time(b)
	return ta < tb || ta == tb && a < b
}

// displaced returns how many rows wait for their turn at most, when the table
// is read from its beginning.
func (x *index) displaced() (most int) {
	next := 0
	for i := range x.order {
		for next < len(x.order) && int(x.order[next]) <= i {
			next++
		}
		most = max(most, i+1-next)
	}
	return most
}

// byTime returns the index of the i-th row in the order of time.
func (x *index) byTime(i int) int {
	if x.order == nil {
		return i
	}
	return int(x.order[i])
}
