package archive

import (
	"slices"
	"time"
)

// index knows of each row of a file when it was sent and how it opens: 8 bytes
// a row. If the file is not in the order of time it also knows where each row
// lies, and the order: 12 bytes more.
type index struct {
	rows   chunked           // time and key, see pack
	places chunked           // offset and length of the record, see place; empty if the file is in order
	long   map[uint32]uint32 // lengths that do not fit into a place, by row
	order  []uint32          // row indexes by time; nil if the file is in that order
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
	keyFirst = 2
)

// noDate sorts rows whose date cannot be read before all others.
const noDate = -1 << 47

// pack puts the milliseconds since 1970 (47 bits and a sign reach beyond the
// year 4000 in both directions) before the key's number.
func pack(t time.Time, key uint8) uint64 {
	ms := int64(noDate)
	if !t.IsZero() {
		ms = t.UnixMilli()
	}
	return uint64(ms<<8 | int64(key))
}

func (x *index) time(row int) int64 { return int64(x.rows.at(row)) >> 8 }
func (x *index) key(row int) uint8  { return uint8(x.rows.at(row)) }
func (x *index) len() int           { return x.rows.n }

// A place is an offset of 40 bits (1 TiB) before a length of 24 bits (16 MiB).
const lengthBits = 24

func (x *index) add(t time.Time, key uint8) { x.rows.add(pack(t, key)) }

// addPlace tells where the next row lies, in the order of add.
func (x *index) addPlace(offset int64, length int32) {
	const maxLength = 1<<lengthBits - 1
	if length >= maxLength {
		if x.long == nil {
			x.long = map[uint32]uint32{}
		}
		x.long[uint32(x.places.n)] = uint32(length)
		length = maxLength
	}
	x.places.add(uint64(offset)<<lengthBits | uint64(length))
}

// place returns where a row's record lies in the file, in bytes.
func (x *index) place(row int) (offset int64, length int32) {
	v := x.places.at(row)
	if n, ok := x.long[uint32(row)]; ok {
		return int64(v >> lengthBits), int32(n)
	}
	return int64(v >> lengthBits), int32(v & (1<<lengthBits - 1))
}

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
		ta, tb := x.time(int(a)), x.time(int(b))
		switch {
		case ta < tb || ta == tb && a < b:
			return -1
		}
		return 1
	})
}

// byTime returns the index of the i-th row in the order of time.
func (x *index) byTime(i int) int {
	if x.order == nil {
		return i
	}
	return int(x.order[i])
}
