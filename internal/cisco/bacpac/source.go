package bacpac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// Options say which table to read.
type Options struct {
	Schema string // empty: whichever has the table
	Table  string // empty: JM. Both match in any letter case
}

// Source is the table JM of a bacpac.
type Source struct {
	file  *File
	table *table
	notes []string
	size  int64

	pool sync.Pool
}

// batchSize is the text of an ordinary batch, in bytes; batchRows bounds its
// rows, since those of NULL have no text.
const (
	batchSize = 256 << 10
	batchRows = 4096
)

// Open opens a bacpac and finds its table JM. See OpenFile for the errors; a
// table that is not there, or lacks a column that is needed, is of class
// Failed, and one that several schemas have of class Usage.
func Open(path string, o Options) (*Source, error) {
	f, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	s, err := newSource(f, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func newSource(f *File, o Options) (*Source, error) {
	if o.Table == "" {
		o.Table = "JM"
	}
	t, err := f.find(o.Schema, o.Table)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, f.noTable(o)
	}
	s := &Source{file: f, table: t, notes: slices.Clone(f.notes)}
	if err := s.setColumns(); err != nil {
		return nil, err
	}
	r, note, err := f.reader(context.Background(), t, target)
	if err != nil {
		return nil, err
	}
	if note != "" {
		s.notes = append(s.notes, note)
	}
	if gap(r.parts) {
		s.notes = append(s.notes, "has parts whose numbers have a gap: one may be missing")
	}
	for _, p := range r.parts {
		s.size += p.size / 2
	}
	return s, nil
}

// find looks for a table; nil is none.
func (f *File) find(schema, name string) (*table, error) {
	var found []*table
	for _, t := range f.model.tables {
		if strings.EqualFold(t.name, name) && (schema == "" || strings.EqualFold(t.schema, schema)) {
			found = append(found, t)
		}
	}
	// A database may tell JM from jm. Of two schemas, nothing says which is meant.
	one := !slices.ContainsFunc(found, func(t *table) bool { return !strings.EqualFold(t.schema, found[0].schema) })
	if len(found) > 1 && one {
		exact := slices.DeleteFunc(slices.Clone(found), func(t *table) bool { return t.name != name || schema != "" && t.schema != schema })
		if len(exact) == 1 {
			found = exact
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	var names []string
	for _, t := range found[:min(len(found), 10)] {
		names = append(names, t.String())
	}
	return nil, problem.New(problem.Usage, f.name, fmt.Sprintf("this bacpac has the table %s %d times: %s", printable(name), len(found), strings.Join(names, ", ")),
		"name the schema of the one that is meant")
}

// noTable says that the table is missing, and what is there.
func (f *File) noTable(o Options) error {
	const most = 8
	want := o.Table
	if o.Schema != "" {
		want = o.Schema + "." + o.Table
	}
	var names []string
	for _, t := range f.model.tables[:min(len(f.model.tables), most)] {
		names = append(names, t.String())
	}
	has := "it has no table at all"
	if len(names) > 0 {
		has = "it has " + strings.Join(names, ", ")
	}
	if more := len(f.model.tables) - len(names); more > 0 {
		has += fmt.Sprintf(" and %d more", more)
	}
	return f.fault("this bacpac has no table "+printable(want)+": "+has,
		"name the table if it has another name, or export the database of the message archiver", nil)
}

// setColumns checks that the table has the columns of JM.
func (s *Source) setColumns() error {
	var columns []cisco.Column
	for i := range s.table.columns {
		if c := &s.table.columns[i]; !c.computed() {
			columns = append(columns, cisco.ColumnNamed(c.name))
		}
	}
	notes, err := cisco.CheckColumns(s.file.name+", table "+s.table.String(), columns, "name the table of the message archiver, or export the database with all its columns")
	s.notes = append(s.notes, notes...)
	return err
}

// isText4 tells the four columns that hold what was said.
func isText4(c cisco.Column) bool { return c >= cisco.BodyString && c <= cisco.MessageText }

// target returns the column of JM that a name means, -1 for none.
func target(name string) int { return int(cisco.ColumnNamed(name)) }

// Describe returns what the source is, in one line for people.
func (s *Source) Describe() string {
	text := "bacpac, table " + s.table.String()
	server, _, _ := strings.Cut(strings.TrimSpace(s.file.origin.Server), "\n")
	if server = strings.TrimSpace(server); server != "" {
		text += ", from " + printable(server)
	}
	if day, _, ok := strings.Cut(s.file.origin.Start, "T"); ok && len(day) == len("2006-01-02") {
		text += ", exported " + printable(day)
	}
	return text
}

// TableName is the table that was opened.
func (s *Source) TableName() (schema, table string) { return s.table.schema, s.table.name }

// Notes returns what is unusual: "lacks the column THREAD_ID".
func (s *Source) Notes() []string { return slices.Clone(s.notes) }

// Size returns half the bytes of the rows before compression: UTF-16 text
// takes half of its bytes as UTF-8, which Row.Size counts.
func (s *Source) Size() int64 { return s.size }

// Tables returns the tables of the file.
func (s *Source) Tables() []TableInfo { return s.file.Tables() }

// Close closes the file.
func (s *Source) Close() error { return s.file.Close() }

// HasTable tells whether the file has another table, in the schema of JM or
// elsewhere.
func (s *Source) HasTable(_ context.Context, name string) (bool, error) {
	t, err := s.file.find(s.table.schema, name)
	if t == nil && err == nil {
		t, err = s.file.find("", name)
	}
	return t != nil, err
}

// Table gives the named columns of another table of the file, row by row. The
// table is looked for in the schema of JM first.
func (s *Source) Table(ctx context.Context, name string, columns []string, fn func(cells [][]byte) error) (found bool, err error) {
	schema := s.table.schema
	if t, err := s.file.find(schema, name); t == nil && err == nil {
		schema = ""
	}
	if columns == nil {
		columns = []string{}
	}
	return s.file.Rows(ctx, schema, name, columns, fn)
}

// bigBatch is a batch whose memory is not kept.
type bigBatch struct{ *cisco.RowBuffer }

// Release does nothing: the memory is too much to be kept.
func (bigBatch) Release() {}

// Scan gives all rows of the table in the order in which they lie in the file.
// Row.Place is the row's number. The checksum of a part is known at its end: if
// an error says that it differs, rows given before may be wrong.
func (s *Source) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	r, _, err := s.file.reader(ctx, s.table, target)
	if err != nil {
		return err
	}
	defer r.close()
	size := o.BatchBytes
	if size <= 0 {
		size = batchSize
	}
	send := func(b *cisco.RowBuffer) bool {
		switch {
		case b.Len() == 0:
			b.Release()
			return true
		case b.Bytes() > 4*size:
			return emit(bigBatch{b})
		}
		return emit(b)
	}
	for {
		b, first := s.buffer(), r.rows
		done, err := s.fill(r, b, o.Short, size)
		if err != nil && ctx.Err() == nil {
			if int64(b.Len()) > r.rows-first { // the row at whose middle the reading failed
				b.DropLast()
			}
			send(b) // what was read before is given; that more is wanted does not matter
		}
		if err != nil {
			return err
		}
		if !send(b) || done {
			return nil
		}
	}
}

// buffer returns an empty batch.
func (s *Source) buffer() *cisco.RowBuffer {
	if b, ok := s.pool.Get().(*cisco.RowBuffer); ok {
		return b
	}
	return cisco.NewRowBuffer(func(b *cisco.RowBuffer) { s.pool.Put(b) })
}

// fill reads rows until the batch is full. done tells the end of the table.
func (s *Source) fill(r *rowReader, b *cisco.RowBuffer, short bool, size int) (done bool, err error) {
	for b.Bytes() < size && b.Len() < batchRows {
		ok, err := r.begin()
		if !ok || err != nil {
			return true, err
		}
		b.Begin(r.rows+1, cisco.Place(r.rows+1))
		for i := range r.fields {
			f := &r.fields[i]
			n, err := r.length(f)
			switch {
			case err != nil:
				return true, err
			case n < 0:
			case f.target < 0:
				err = r.skip(n)
			default:
				err = set(r, b, f, n, short)
			}
			if err != nil {
				return true, err
			}
		}
		r.end()
	}
	return false, nil
}

// set puts one value into the row begun last.
func set(r *rowReader, b *cisco.RowBuffer, f *field, n int64, short bool) (err error) {
	c := cisco.Column(f.target)
	cut := false
	b.SetBy(c, func(to []byte) []byte {
		if short && f.kind == kindUTF16 && isText4(c) {
			to, cut, err = r.firstText(to, f, n, cisco.ShortChars)
		} else {
			to, err = r.text(to, f, n)
		}
		return to
	})
	if cut {
		b.SetShort()
	}
	if errors.Is(err, errValue) {
		b.SetProblem("the column " + c.String() + " has a value that its type does not have")
		err = nil
	}
	return err
}
