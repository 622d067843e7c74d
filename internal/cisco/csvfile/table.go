package csvfile

import (
	"context"
	"errors"
	"io"

	"archivolt/internal/cisco"
)

// Describe says how the file is written, for people.
func (f *File) Describe() string { return f.dialect.String() }

// Scan gives every row of the file in order; see cisco.ScanOptions. Nothing is
// ever cut. It ends with nil when emit returns false.
func (f *File) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	s := f.Records()
	if o.BatchBytes > 0 {
		s.batchSize = o.BatchBytes
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !emit(b) {
			return nil
		}
	}
}

// Len returns how many rows the batch has.
func (b *Batch) Len() int { return len(b.Records) }

// Row splits the i-th record into row.
func (b *Batch) Row(i int, row *cisco.Row) {
	f, rec := b.owner.f, &b.Records[i]
	f.Row(rec, b.First+int64(i), row)
	row.Place, row.Size = f.place(rec), int64(rec.Length)
}

// A place is an offset of 40 bits (1 TiB) before a length of 24 bits (16 MiB);
// longer lengths are remembered.
const (
	lengthBits = 24
	maxLength  = 1<<lengthBits - 1
)

func (f *File) place(rec *Record) cisco.Place {
	length := rec.Length
	if length >= maxLength {
		f.long.Store(rec.Offset, length)
		length = maxLength
	}
	return cisco.Place(rec.Offset)<<lengthBits | cisco.Place(length)
}

func (f *File) at(p cisco.Place) (offset int64, length int32) {
	offset, length = int64(p>>lengthBits), int32(p&maxLength)
	if n, ok := f.long.Load(offset); ok {
		length = n.(int32)
	}
	return offset, length
}

// fetched is a batch of records that lie apart.
type fetched struct {
	f       *File
	records []Record
	buffers [][]byte // that hold the records
}

// Fetches tells that rows are found again.
func (f *File) Fetches() bool { return true }

// Fetch reads the rows at places, in that order. Their numbers are 0.
func (f *File) Fetch(ctx context.Context, places []cisco.Place) (cisco.Batch, error) {
	b, ok := f.fetched.Get().(*fetched)
	if !ok {
		b = &fetched{f: f}
	}
	for i, p := range places {
		if i == len(b.buffers) {
			b.buffers = append(b.buffers, nil)
		}
		offset, length := f.at(p)
		rec, buffer, err := f.ReadRecord(offset, length, b.buffers[i])
		if err != nil {
			return nil, err
		}
		b.buffers[i] = buffer
		b.records = append(b.records, rec)
	}
	return b, ctx.Err()
}

// Len returns how many rows the batch has.
func (b *fetched) Len() int { return len(b.records) }

// Row splits the i-th record into row.
func (b *fetched) Row(i int, row *cisco.Row) {
	b.f.Row(&b.records[i], 0, row)
	row.Size = int64(b.records[i].Length)
}

// Release gives the memory back.
func (b *fetched) Release() {
	b.records = b.records[:0]
	b.f.fetched.Put(b)
}
