package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// batchBytes is the text of an ordinary batch, in bytes.
const batchBytes = 256 << 10

// binaryFormat and textFormat are how the server sends a value (protocol,
// "Formats and Format Codes").
const (
	textFormat   = 0
	binaryFormat = 1
)

// Scan gives every row in the order in which the table stores them.
func (s *Source) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	return s.scan(ctx, o, "", emit)
}

// Find is Scan for the rows that l looks for, through an index where the server
// has a suitable one.
func (s *Source) Find(ctx context.Context, l cisco.Lookup, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	l, err := s.representable(ctx, l)
	if err != nil {
		return err
	}
	where := s.where(&l)
	if s.table.heap {
		where += " ORDER BY ctid" // an index may give another order the next time
	}
	return s.scan(ctx, o, where, emit)
}

// representable leaves out what no row of the database can hold, because its
// encoding has not the characters: to ask for it would be an error.
func (s *Source) representable(ctx context.Context, l cisco.Lookup) (cisco.Lookup, error) {
	if s.encoding == "UTF8" || s.encoding == "SQL_ASCII" {
		return l, nil
	}
	var failed error
	keep := func(list []string) (kept []string) {
		for _, v := range list {
			if strings.IndexFunc(v, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
				kept = append(kept, v)
				continue
			}
			_, err := s.query(ctx, "SAVEPOINT archivolt")
			failed = errors.Join(failed, err)
			if s.conn.ExecParams(ctx, "SELECT $1::pg_catalog.text", [][]byte{[]byte(v)}, nil, nil, nil).Read().Err == nil {
				kept = append(kept, v)
			}
			_, err = s.query(ctx, "ROLLBACK TO SAVEPOINT archivolt")
			failed = errors.Join(failed, err)
		}
		return kept
	}
	return cisco.Lookup{Starts: keep(l.Starts), Equals: keep(l.Equals)}, failed
}

func (s *Source) scan(ctx context.Context, o cisco.ScanOptions, where string, emit func(cisco.Batch) bool) error {
	size := o.BatchBytes
	if size == 0 {
		size = batchBytes
	}
	b, number := s.buffer(), int64(0)
	stopped := false
	err := s.read(ctx, s.selectSQL(o.Short, where), nil, func(values [][]byte) bool {
		number++
		s.add(b, number, values)
		if b.Bytes() < size {
			return true
		}
		full := b
		b = s.buffer()
		stopped = !emit(full)
		return !stopped
	})
	if err != nil || stopped {
		return err
	}
	if b.Len() > 0 {
		emit(b)
	}
	return nil
}

// Fetches tells whether rows are found again: those of a table, not of a view.
func (s *Source) Fetches() bool { return s.table.heap }

// Fetch gives the rows at places, in that order.
func (s *Source) Fetch(ctx context.Context, places []cisco.Place) (cisco.Batch, error) {
	var list strings.Builder
	list.WriteByte('{')
	order := make(map[cisco.Place]int, len(places))
	for i, p := range places {
		if i > 0 {
			list.WriteByte(',')
		}
		fmt.Fprintf(&list, `"(%d,%d)"`, p>>16, p&0xffff)
		order[p] = i
	}
	list.WriteByte('}')
	b := s.buffer()
	err := s.read(ctx, s.selectSQL(false, " WHERE ctid = ANY($1::pg_catalog.tid[])"), [][]byte{[]byte(list.String())}, func(values [][]byte) bool {
		s.add(b, 0, values)
		return true
	})
	if err != nil {
		return nil, err
	}
	if b.Len() != len(places) {
		return nil, problem.New(problem.Failed, s.object, fmt.Sprintf("of %d rows only %d are found again", len(places), b.Len()), "run the command again; if it stays so, export the table")
	}
	b.Sort(func(x, y cisco.Place) int { return order[x] - order[y] })
	return b, nil
}

// read runs a statement of selectSQL and gives each row to fn until that
// returns false.
func (s *Source) read(ctx context.Context, sql string, arguments [][]byte, fn func(values [][]byte) bool) error {
	formats := make([]int16, 2+len(s.fields))
	if s.table.heap {
		formats[0] = binaryFormat
	}
	for i, f := range s.fields {
		if f.stamp {
			formats[2+i] = binaryFormat
		}
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	result := s.conn.ExecParams(inner, sql, arguments, nil, nil, formats)
	rows := int64(0)
	for result.NextRow() {
		rows++
		if !fn(result.Values()) {
			// The rest of the answer is on its way: only closing the
			// connection spares it. The reading has ended then.
			cancel()
			_, _ = result.Close()
			return nil
		}
	}
	if _, err := result.Close(); err != nil {
		return s.failed(ctx, err, rows)
	}
	return nil
}

// add puts a row into b.
func (s *Source) add(b *cisco.RowBuffer, number int64, values [][]byte) {
	place := cisco.Place(0)
	if ctid := values[0]; s.table.heap && len(ctid) == 6 { // block, 4 bytes, and item, 2 bytes
		place = cisco.Place(binary.BigEndian.Uint32(ctid))<<16 | cisco.Place(binary.BigEndian.Uint16(ctid[4:]))
	}
	b.Begin(number, place)
	if string(values[1]) == "t" {
		b.SetShort()
	}
	for i, f := range s.fields {
		v := values[2+i]
		switch {
		case v == nil:
		case f.stamp && len(v) == 8:
			b.SetBy(f.column, func(to []byte) []byte { return appendStamp(to, int64(binary.BigEndian.Uint64(v))) })
		default:
			b.Set(f.column, v)
		}
	}
}

// epoch is what timestamps count from, in microseconds since 1970.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// appendStamp writes a timestamp, microseconds since 2000 (PostgreSQL's
// timestamp_send), as text. Infinite ones become words that are no dates.
func appendStamp(to []byte, us int64) []byte {
	switch us {
	case 1<<63 - 1:
		return append(to, "infinity"...)
	case -1 << 63:
		return append(to, "-infinity"...)
	}
	return time.UnixMicro(epoch+us).UTC().AppendFormat(to, "2006-01-02 15:04:05.000000")
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

// maxKept bounds the buffers that are used again, in bytes.
const maxKept = 4 * batchBytes

// HasTable tells whether the schema has another table, one that may be read.
func (s *Source) HasTable(ctx context.Context, name string) (bool, error) {
	r, err := s.readable(ctx, name)
	return r != nil, err
}

func (s *Source) readable(ctx context.Context, name string) (*relation, error) {
	r, err := s.find(ctx, s.table.schema, name)
	if r == nil || err != nil {
		return nil, err
	}
	may, err := s.query(ctx, mayReadSQL, r.oid)
	if err != nil || may[0][0] != "t" {
		return nil, err
	}
	return r, nil
}

// Table gives columns of another table of the same schema as text.
func (s *Source) Table(ctx context.Context, name string, columns []string, fn func(cells [][]byte) error) (found bool, err error) {
	r, err := s.readable(ctx, name)
	if r == nil || err != nil {
		return false, err
	}
	has, err := s.query(ctx, columnsSQL, r.oid)
	if err != nil {
		return true, err
	}
	list := make([]string, len(columns))
	for i, want := range columns {
		list[i] = "NULL"
		for _, c := range has {
			if strings.EqualFold(c[0], want) {
				list[i] = quote(c[0]) + "::pg_catalog.text"
			}
		}
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	result := s.conn.ExecParams(inner, "SELECT "+strings.Join(list, ", ")+" FROM "+r.quoted(), nil, nil, nil, nil)
	rows := int64(0)
	for result.NextRow() {
		rows++
		if err := fn(result.Values()); err != nil {
			cancel()
			_, _ = result.Close()
			return true, err
		}
	}
	if _, err := result.Close(); err != nil {
		return true, s.failed(ctx, err, rows)
	}
	return true, nil
}

// failed says why a statement ended early, after some rows.
func (s *Source) failed(ctx context.Context, err error, rows int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var server *pgconn.PgError
	switch {
	case errors.As(err, &server) && server.Code == "42501" && strings.Contains(server.Message, "row-level security"):
		return problem.New(problem.Failed, s.object, "a policy hides rows of a table from this user ("+server.Message+")",
			"let an administrator grant a user that sees all rows (ALTER ROLE … BYPASSRLS), or read a copy")
	case errors.As(err, &server) && server.Code == "42501":
		return problem.New(problem.Failed, s.object, "this user may not read a table ("+server.Message+")",
			"GRANT SELECT ON the table TO the user; docs/postgresql.md has the statements")
	case errors.As(err, &server) && server.Code == "55P03":
		return problem.New(problem.Unavailable, s.object, "somebody is changing the table, and holds it locked", "try again later")
	case errors.As(err, &server) && !s.conn.IsClosed() && !strings.HasPrefix(server.Code, "57"):
		return problem.New(problem.Failed, s.object, "the server says: "+server.Message, "")
	}
	p := problem.New(problem.Unavailable, s.object, fmt.Sprintf("the connection was lost after %d rows", rows), "run the command again when the server is back")
	p.Err = err
	return p
}
