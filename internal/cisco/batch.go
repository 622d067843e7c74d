package cisco

import "slices"

// Place names where a row lies in its source. Only the source knows what the
// number means; it holds for as long as the source is open.
type Place uint64

// ScanOptions tell a source how it is going to be read.
type ScanOptions struct {
	// Short allows the source to cut BODY_* and MESSAGE_* to their first
	// ShortChars characters, where that spares work. Row.Short marks a row of
	// which something was cut.
	Short bool
	// BatchBytes is about how much text a batch should hold, in bytes; 0 leaves
	// it to the source.
	BatchBytes int
}

// ShortChars is how many characters of a long value a short scan must give, a
// few cipher blocks in Base64; a source may count in UTF-16 units.
const ShortChars = 128

// Batch is a run of stored rows. Different batches may be used at the same
// time; one batch by one goroutine at a time.
type Batch interface {
	// Len returns how many rows the batch has.
	Len() int
	// Row puts the i-th row into row, which is overwritten. Its cells lie in
	// the batch. A row can be taken once.
	Row(i int, row *Row)
	// Release gives the memory back. It is called once, by any goroutine; the
	// rows must not be used any more.
	Release()
}

// RowBuffer is the Batch of sources that give rows cell by cell. The zero value
// is empty and ready. Each row is begun and then filled; cells that are not
// set are NULL.
type RowBuffer struct {
	text []byte
	rows []bufferedRow
	free func(*RowBuffer)
}

type bufferedRow struct {
	number  int64
	place   Place
	size    int32
	cells   [NumColumns]struct{ from, to int32 } // in text; to 0 is NULL
	short   bool
	problem string
}

// MaxBufferBytes bounds the text of a RowBuffer, in bytes.
const MaxBufferBytes = 1 << 30

// NewRowBuffer returns an empty buffer that Release hands to free, emptied.
func NewRowBuffer(free func(*RowBuffer)) *RowBuffer { return &RowBuffer{free: free} }

// Begin starts the next row. Number counts the rows of the source from 1.
func (b *RowBuffer) Begin(number int64, place Place) {
	b.rows = append(b.rows, bufferedRow{number: number, place: place})
}

// Set copies text into the row begun last. Empty text is an empty cell, not
// NULL.
func (b *RowBuffer) Set(c Column, text []byte) {
	b.SetBy(c, func(to []byte) []byte { return append(to, text...) })
}

// SetBy is Set, with the text appended by the function.
func (b *RowBuffer) SetBy(c Column, appendTo func([]byte) []byte) {
	if len(b.text) == 0 {
		b.text = append(b.text, 0) // so that no cell ends at 0, which is NULL
	}
	from := len(b.text)
	b.text = appendTo(b.text)
	row := &b.rows[len(b.rows)-1]
	row.cells[c].from, row.cells[c].to = int32(from), int32(len(b.text))
	row.size += int32(len(b.text) - from)
}

// DropLast takes the row begun last away.
func (b *RowBuffer) DropLast() { b.rows = b.rows[:len(b.rows)-1] }

// SetShort tells that a value of the row begun last was cut.
func (b *RowBuffer) SetShort() { b.rows[len(b.rows)-1].short = true }

// SetProblem tells why the row begun last cannot be read.
func (b *RowBuffer) SetProblem(why string) { b.rows[len(b.rows)-1].problem = why }

// Bytes returns how much text the buffer holds.
func (b *RowBuffer) Bytes() int { return len(b.text) }

// Len returns how many rows were begun.
func (b *RowBuffer) Len() int { return len(b.rows) }

// Row gives the i-th row.
func (b *RowBuffer) Row(i int, row *Row) {
	r := &b.rows[i]
	*row = Row{Number: r.number, Place: r.place, Size: int64(r.size), Short: r.short, Problem: r.problem}
	for c, cell := range r.cells {
		if cell.to > 0 {
			row.Cells[c] = b.text[cell.from:cell.to:cell.to]
		}
	}
}

// Sort puts the rows into the order that cmp gives to their places.
func (b *RowBuffer) Sort(cmp func(a, b Place) int) {
	slices.SortStableFunc(b.rows, func(x, y bufferedRow) int { return cmp(x.place, y.place) })
}

// Release empties the buffer and hands it on.
func (b *RowBuffer) Release() {
	b.text, b.rows = b.text[:0], b.rows[:0]
	if b.free != nil {
		b.free(b)
	}
}
