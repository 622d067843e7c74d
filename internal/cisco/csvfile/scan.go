package csvfile

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// MaxRecord bounds one record, in bytes of its UTF-8 text with its line end.
// It also bounds how far a quoted cell is searched for its end.
const MaxRecord = 256 << 20

// batchSize is the text of an ordinary batch, in bytes.
const batchSize = 256 << 10

// Record is one record of the file, not yet split into cells.
type Record struct {
	Offset int64  // of its first byte in the file
	Length int32  // bytes in the file, without the line end
	Text   []byte // the same as UTF-8
}

// Batch is a run of records.
type Batch struct {
	First   int64 // number of the first row, from 1
	Records []Record

	buf   []byte
	owner *Scanner
}

// Release gives the memory of the batch and of its records back to the
// scanner. It may be called from any goroutine, once.
func (b *Batch) Release() {
	if cap(b.buf) <= 4*max(b.owner.batchSize, minFree) {
		b.buf, b.Records = b.buf[:0], b.Records[:0]
		b.owner.pool.Put(b)
	}
}

// Scanner reads the records of a file in order.
type Scanner struct {
	f      *File
	src    source
	pool   sync.Pool
	next   *Batch // begins with the text that is read and not delivered; may be nil
	rows   int64  // delivered
	offset int64  // of the first byte not delivered, in the file
	text   int64  // the same in the text that follows the header
	doomed int64  // in the text: see window.doomed
	err    error  // what Next returns from now on

	batchSize int                    // of the text of a batch, in bytes
	isRow     func(line []byte) bool // see window.isRow
}

// Records reads the file once, from its first row. A scanner is not safe for
// concurrent use; its batches are, each by one goroutine at a time.
func (f *File) Records() *Scanner {
	s := &Scanner{f: f, offset: f.begin, batchSize: f.batchSize,
		src: source{file: f.file, name: f.name, encoding: f.encoding, off: f.begin, end: f.end}}
	// Where cells are quoted, a message that looks like a row must not become one.
	if !f.dialect.Quoted {
		s.isRow = f.looksLikeRow
	}
	return s
}

// Next returns the next batch, which has at least one record. At the end the
// error is io.EOF; others mean that the file cannot be read, or that a record
// is longer than MaxRecord. An error stays.
func (s *Scanner) Next() (*Batch, error) {
	if s.err != nil {
		return nil, s.err
	}
	b := s.next
	if s.next = nil; b == nil {
		b = s.batch()
	}
	for {
		if b.buf, s.err = s.src.fill(b.buf); s.err != nil {
			return nil, s.err
		}
		used := s.split(b)
		rest := b.buf[used:]
		switch {
		case len(b.Records) > 0:
			if len(rest) > 0 && s.err == nil {
				s.next = s.batch()
				s.next.buf = append(s.next.buf, rest...)
			}
			b.First = s.rows + 1
			s.rows += int64(len(b.Records))
			return b, nil
		case s.err != nil:
			return nil, s.err
		case used > 0:
			b.buf = b.buf[:copy(b.buf, rest)]
		case s.src.off == s.src.end:
			s.err = io.EOF
			b.Release()
			return nil, s.err
		default:
			// A record is looked at again from its beginning whenever the
			// space for it has doubled, which costs as much as two looks.
			b.buf = append(make([]byte, 0, 2*cap(b.buf)+minFree), b.buf...)
		}
	}
}

// batch returns an empty batch.
func (s *Scanner) batch() *Batch {
	if b, ok := s.pool.Get().(*Batch); ok {
		return b
	}
	return &Batch{owner: s, buf: make([]byte, 0, s.batchSize)}
}

// split appends the complete records of b.buf and returns the text they took.
func (s *Scanner) split(b *Batch) (used int) {
	f, t := s.f, b.buf
	sep, quotes := f.dialect.Separator, f.dialect.quotes()
	final := s.src.off == s.src.end
	quote := len(t)
	if quotes {
		quote = nextQuote(t, 0, len(t))
	}
	for used < len(t) {
		if quote < used {
			quote = nextQuote(t, used, len(t))
		}
		w := window{text: t[used:], doomed: int(min(max(s.doomed-s.text, 0), int64(len(t)))), final: final, isRow: s.isRow}
		if len(w.text) > f.maxRecord {
			w.text, w.final, w.full = w.text[:f.maxRecord], false, true
		} else if len(w.text) == f.maxRecord {
			w.full = !final
		}
		w.quote = min(quote-used, len(w.text))
		end, reached, v := w.end(sep)
		switch v {
		case more:
			return used
		case tooLong:
			s.err = problem.New(problem.Failed, f.name,
				fmt.Sprintf("the record at byte %d has no end within %d bytes", s.offset, f.maxRecord),
				"export the table again; a row of the archiver is far smaller")
			return used
		case broken:
			s.doomed = max(s.doomed, s.text+int64(reached))
		}
		text := bytes.TrimSuffix(w.text[:end], cr)
		size := f.encoding.size(text)
		if f.isRow(text) {
			b.Records = append(b.Records, Record{Offset: s.offset,
				Length: int32(min(size, f.end-s.offset)), Text: text[:len(text):len(text)]})
		}
		next := min(end+1, len(w.text))
		used += next
		s.text += int64(next)
		s.offset += size + int64(next-len(text))*f.encoding.unit()
		if v == broken && len(t)-used > 2*s.batchSize {
			// The search filled the memory. What it read is read again, so
			// that the batches stay small.
			s.src.off = s.offset
			b.buf = t[:used]
			return used
		}
	}
	return used
}

var cr = []byte{'\r'}

// looksLikeRow tells whether a line has as many fields as the header, and a
// date where one belongs.
func (f *File) looksLikeRow(line []byte) bool {
	sep := []byte{f.dialect.Separator}
	if bytes.Count(line, sep) != len(f.columns)-1 {
		return false
	}
	for range slices.Index(f.columns, cisco.SentDate) {
		_, line, _ = bytes.Cut(line, sep)
	}
	cell, _, _ := bytes.Cut(line, sep)
	return looksLikeDate(bytes.Trim(cell, `"`))
}

// isRow tells a record from an empty line, and in sqlcmd's output from a
// repeated header.
func (f *File) isRow(text []byte) bool {
	return len(text) > 0 && (f.underline == nil || !bytes.Equal(text, f.underline) && !bytes.Equal(text, f.header))
}
