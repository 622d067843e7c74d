package oracle

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sijms/go-ora/v2/network"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// batchBytes is the text of an ordinary batch, in bytes; maxKept bounds the
// buffers that are used again.
const (
	batchBytes = 256 << 10
	maxKept    = 4 * batchBytes
)

// Scan gives every row in the order of a full scan.
func (s *Source) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	rows, whole, err := s.scan(ctx, o, "", nil, nil, emit)
	if err != nil || !whole {
		return err
	}
	// One transaction sees one state. Anything else is no reading to rely on.
	if s.rows >= 0 && rows != s.rows {
		return problem.New(problem.Failed, s.object, fmt.Sprintf("the table had %d rows when it was read first, and %d now", s.rows, rows), "export the table, and report this")
	}
	s.rows = rows
	return nil
}

// Find is Scan for the rows that l looks for, through an index where the server
// has a suitable one. Where an address is no VARCHAR2, the table is read whole.
func (s *Source) Find(ctx context.Context, l cisco.Lookup, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	fields, searchable := s.addresses()
	if !searchable {
		_, _, err := s.scan(ctx, o, "", nil, &l, emit)
		return err
	}
	condition, arguments := where(fields, &l)
	if !s.table.view {
		condition += " ORDER BY ROWID" // an index may give another order the next time
	}
	_, _, err := s.scan(ctx, o, condition, arguments, nil, emit)
	return err
}

// scan reads the rows that a condition names, or only those that match l. It
// tells how many came, and whether emit wanted all.
func (s *Source) scan(ctx context.Context, o cisco.ScanOptions, condition string, arguments []any, l *cisco.Lookup, emit func(cisco.Batch) bool) (rows int64, whole bool, err error) {
	size := o.BatchBytes
	if size == 0 {
		size = batchBytes
	}
	b, width := s.buffer(), len(s.fields)
	if o.Short {
		width++
	}
	whole = true
	err = s.read(ctx, s.selectSQL(o.Short, condition), arguments, width, func(values []driver.Value) bool {
		if l != nil && !s.matches(l, values) {
			return true
		}
		rows++
		s.add(b, rows, values, o.Short)
		if b.Bytes() < size {
			return true
		}
		full := b
		b = s.buffer()
		whole = emit(full)
		return whole
	})
	if err == nil && whole && b.Len() > 0 {
		emit(b)
	}
	return rows, whole, err
}

// matches compares the addresses of a row here.
func (s *Source) matches(l *cisco.Lookup, values []driver.Value) bool {
	for i, f := range s.fields {
		if f.column != cisco.ToJID && f.column != cisco.FromJID {
			continue
		}
		if cell, ok := appendValue(nil, values[i]); ok && len(cell) > 0 && l.Match(cell) {
			return true
		}
	}
	return false
}

// add puts a row into b.
func (s *Source) add(b *cisco.RowBuffer, number int64, values []driver.Value, short bool) {
	b.Begin(number, 0)
	if short && values[len(s.fields)] == "Y" {
		b.SetShort()
	}
	for i, f := range s.fields {
		if isNull(values[i]) {
			continue
		}
		known := true
		b.SetBy(f.column, func(to []byte) []byte {
			from := len(to)
			to, known = appendValue(to, values[i])
			if short && s.cuts(f) {
				to = to[:from+firstChars(to[from:], cisco.ShortChars)]
			}
			return to
		})
		if !known {
			b.SetProblem("the driver gives no text for the column " + f.column.String())
		}
	}
}

// isNull tells NULL, and what Oracle takes for it: an empty text.
func isNull(v driver.Value) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []byte:
		return len(v) == 0
	}
	return false
}

// appendValue writes a value as text. known is false if it is none.
func appendValue(to []byte, v driver.Value) (_ []byte, known bool) {
	switch v := v.(type) {
	case nil:
	case string:
		return appendText(to, v), true
	case []byte:
		return append(to, v...), true
	default:
		return to, false
	}
	return to, true
}

// appendText writes text as UTF-8. Databases in the older character set UTF8
// hold a character beyond the first plane as two surrogates of three bytes each
// (Globalization Support Guide, appendix A: CESU-8), and the driver leaves them
// so.
func appendText(to []byte, text string) []byte {
	for {
		i := strings.IndexByte(text, 0xed)
		if i < 0 {
			return append(to, text...)
		}
		if r := surrogates(text[i:]); r > 0 {
			to = utf8.AppendRune(append(to, text[:i]...), r)
			text = text[i+6:]
			continue
		}
		to = append(to, text[:i+1]...)
		text = text[i+1:]
	}
}

// surrogates reads a pair of surrogates at the beginning of text; 0 is none.
func surrogates(text string) rune {
	if len(text) < 6 || text[1]&0xf0 != 0xa0 || text[3] != 0xed || text[4]&0xf0 != 0xb0 || text[2]&0xc0 != 0x80 || text[5]&0xc0 != 0x80 {
		return 0
	}
	high := 0xd000 | rune(text[1]&0x3f)<<6 | rune(text[2]&0x3f)
	low := 0xd000 | rune(text[4]&0x3f)<<6 | rune(text[5]&0x3f)
	return utf16.DecodeRune(high, low)
}

// firstChars returns how many bytes the first n characters take.
func firstChars(text []byte, n int) int {
	at := 0
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at
}

func (s *Source) buffer() *cisco.RowBuffer {
	if b, ok := s.free.Get().(*cisco.RowBuffer); ok {
		return b
	}
	return cisco.NewRowBuffer(func(b *cisco.RowBuffer) {
		if b.Bytes() <= maxKept {
			s.free.Put(b)
		}
	})
}

// HasTable tells whether the schema has another table that may be read.
func (s *Source) HasTable(ctx context.Context, name string) (bool, error) {
	r, err := s.find(ctx, s.table.owner, name)
	return r != nil, err
}

// Table gives columns of another table of the same schema as text.
func (s *Source) Table(ctx context.Context, name string, columns []string, fn func(cells [][]byte) error) (found bool, err error) {
	r, err := s.find(ctx, s.table.owner, name)
	if r == nil || err != nil {
		return false, err
	}
	has, err := s.query(ctx, columnsSQL, r.owner, r.name)
	if err != nil {
		return true, err
	}
	list, at := []string{"1"}, make([]int, len(columns)) // at 0 stands what is in every row
	for i, want := range columns {
		for _, c := range has {
			if !strings.EqualFold(c[0], want) {
				continue
			}
			f := newField(c[0], c[1])
			if f.kind == unreadable {
				return true, s.typeProblem(*r, c[0], c[1])
			}
			at[i] = len(list)
			list = append(list, f.expression())
		}
	}
	var stopped error
	cells := make([][]byte, len(columns))
	err = s.read(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+r.quoted(), nil, len(list), func(values []driver.Value) bool {
		for i, column := range at {
			cells[i] = nil
			if column == 0 || isNull(values[column]) {
				continue
			}
			cells[i], _ = appendValue(nil, values[column])
		}
		stopped = fn(cells)
		return stopped == nil
	})
	if stopped != nil {
		return true, stopped
	}
	return true, err
}

// read runs a query and gives each row to fn until that returns false. The
// values are fn's until it returns: so many, unless width is 0.
func (s *Source) read(ctx context.Context, sql string, arguments []any, width int, fn func(values []driver.Value) bool) error {
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	var rows driver.Rows
	if err := guarded(func() (err error) {
		rows, err = s.conn.QueryContext(context.WithoutCancel(ctx), sql, named(arguments))
		return err
	}); err != nil {
		return s.failed(ctx, err, 0)
	}
	defer func() { _ = guarded(rows.Close) }()
	values := make([]driver.Value, len(rows.Columns()))
	if width > 0 && len(values) != width {
		return s.failed(ctx, errNotOracle, 0)
	}
	for count := int64(0); ; count++ {
		err := ctx.Err()
		if err == nil {
			err = guarded(func() error { return rows.Next(values) })
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return s.failed(ctx, err, count)
		}
		if !fn(values) {
			return nil
		}
	}
}

// exec runs a statement that gives nothing.
func (s *Source) exec(ctx context.Context, sql string) error {
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	if err := guarded(func() error {
		_, err := s.conn.ExecContext(context.WithoutCancel(ctx), sql, nil)
		return err
	}); err != nil {
		return s.failed(ctx, err, 0)
	}
	return nil
}

// query runs a query of which the answer is small. NULL is empty.
func (s *Source) query(ctx context.Context, sql string, arguments ...any) (rows [][]string, err error) {
	err = s.read(ctx, sql, arguments, 0, func(values []driver.Value) bool {
		row := make([]string, len(values))
		for i, v := range values {
			cell, _ := appendValue(nil, v)
			row[i] = string(cell)
		}
		rows = append(rows, row)
		return true
	})
	return rows, err
}

// allowed forgives that the server refuses a query that can be done without.
func (s *Source) allowed(rows [][]string, err error) ([][]string, error) {
	var p *problem.Error
	if errors.As(err, &p) && p.Class == problem.Failed && errors.As(err, new(*network.OracleError)) {
		return nil, nil
	}
	return rows, err
}
