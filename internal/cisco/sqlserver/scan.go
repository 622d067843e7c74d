package sqlserver

import (
	"context"
	"database/sql/driver"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

const (
	defaultBatchBytes = 256 << 10
	// queueBytes is how much text may wait for emit, so that a slow consumer
	// does not at once slow down the server.
	queueBytes = 8 << 20
)

// newBuffer returns an empty buffer, perhaps a used one.
func (s *Source) newBuffer() *cisco.RowBuffer {
	if b, ok := s.buffers.Get().(*cisco.RowBuffer); ok {
		return b
	}
	return cisco.NewRowBuffer(func(b *cisco.RowBuffer) { s.buffers.Put(b) })
}

// Scan gives every row once: in the order of the key along which the table is
// read, or as the server sends them. The place of a row is its number. If
// emit returns false Scan gives up the statement and returns nil.
//
// A later Scan goes as far as the first complete one went, and ends with an
// error (Unavailable) if the rows are not the same. A connection that is lost
// is not opened again: Unavailable, with the number of rows until then.
func (s *Source) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	return s.scan(ctx, s.jm, &s.witness, o, emit)
}

func (s *Source) scan(ctx context.Context, t *table, w *witness, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	full := o.BatchBytes
	if full <= 0 {
		full = defaultBatchBytes
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *cisco.RowBuffer, max(2, queueBytes/full))
	f := filler{source: s, table: t, witness: w, short: o.Short, full: full, sum: w.begin(), send: func(b *cisco.RowBuffer) bool {
		select {
		case queue <- b:
			return true
		case <-inner.Done():
			b.Release()
			return false
		}
	}}
	var err error
	go func() {
		defer close(queue)
		err = f.run(inner)
	}()
	stopped := false
	for b := range queue {
		if stopped || ctx.Err() != nil {
			b.Release()
		} else if !emit(b) {
			stopped = true
			cancel()
		}
	}
	if stopped {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// filler makes batches of the rows of one reading.
type filler struct {
	source  *Source
	table   *table
	witness *witness
	short   bool
	full    int // bytes
	sum     reading
	send    func(*cisco.RowBuffer) bool
	buffer  *cisco.RowBuffer
	number  int64
	err     error // why a row was not taken
}

func (f *filler) run(ctx context.Context) error {
	s := f.source
	list := s.plan.full
	if f.short {
		list = s.plan.short
	}
	done, err := s.read(ctx, f.table, list, f.witness.reach, f.row)
	if f.buffer != nil && f.buffer.Len() > 0 && !f.send(f.buffer) {
		return ctx.Err()
	}
	switch {
	case err != nil:
		return err
	case f.err != nil:
		return f.err
	case !done.known:
		return ctx.Err() // given up, because nobody takes the rows
	}
	if !f.witness.end(&f.sum, done) {
		return s.changed()
	}
	return nil
}

func (s *Source) changed() error {
	return problem.New(problem.Unavailable, s.session.object, "the table changed between two readings of it",
		"try again when less is written, or read a restored copy; a database that allows snapshot isolation does not show this (docs/sqlserver.md)")
}

// row takes one row and tells whether more are wanted.
func (f *filler) row(values []driver.Value) bool {
	s := f.source
	f.number++
	if !f.witness.agrees(&f.sum, values[:cisco.SentDate+1], f.number) {
		f.err = s.changed()
		return false
	}
	size := 0
	for _, v := range values {
		if text, ok := v.(string); ok {
			size += len(text)
		}
	}
	if f.buffer != nil && f.buffer.Len() > 0 && f.buffer.Bytes()+size > max(f.full, defaultBatchBytes) && !f.flush() {
		return false
	}
	if f.buffer == nil {
		f.buffer = s.newBuffer()
	}
	f.buffer.Begin(f.number, cisco.Place(f.number))
	if size > cisco.MaxBufferBytes/2 {
		f.buffer.SetProblem("holds more text than can be read at once (512 MiB)")
		return f.flush()
	}
	for i, c := range s.plan.columns {
		if v := values[i]; v != nil {
			f.buffer.SetBy(c, func(to []byte) []byte { return appendValue(to, v) })
		}
	}
	if f.short && values[len(s.plan.columns)] == true {
		f.buffer.SetShort()
	}
	if f.buffer.Bytes() >= f.full {
		return f.flush()
	}
	return true
}

func (f *filler) flush() bool {
	b := f.buffer
	f.buffer = nil
	return f.send(b)
}
