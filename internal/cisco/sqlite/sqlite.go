// Package sqlite reads table JM of the Message Archiver from an SQLite file, a
// copy that somebody imported. The file is opened for reading only, in one
// transaction. Programs that import tables give them types of their own; a
// value of any type is read as text. A SENT_DATE that was turned into a number
// is not understood.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	driver "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// Magic begins every SQLite file (SQLite file format, 1.3).
const Magic = "SQLite format 3\x00"

// Source is a table JM in an SQLite file. Its methods must not be used at the
// same time.
type Source struct {
	path   string
	conn   *driver.Conn
	table  string
	rowid  bool // rows have one, and are found by it
	notes  []string
	size   int64
	fields []field
	free   sync.Pool
}

type field struct {
	column cisco.Column
	name   string // quoted
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Open opens the file at path and finds the table: the one that is named, jm if
// none is, in any letter case. Where there is no jm, the only table with its
// columns is taken.
func Open(path, table string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, problem.New(problem.Failed, path, "this is no file", "name the SQLite file itself")
	}
	name, err := location(path)
	if err != nil {
		return nil, err
	}
	s := &Source{path: path, size: info.Size()}
	if s.conn, err = driver.OpenConn(name, driver.OpenReadOnly|driver.OpenURI); err != nil {
		return nil, s.failed(context.Background(), err, 0)
	}
	if err := s.open(table); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// location is what SQLite is told to open. A file in the mode of a write-ahead
// log would make SQLite put files beside it even to read: where there is no
// such log, nobody is writing, and the file is opened as one that cannot change.
func location(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	real, err := filepath.EvalSymlinks(path) // the log lies beside the file, not beside the link
	if err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(real)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path // a drive of Windows
	}
	var header [20]byte
	n, _ := file.ReadAt(header[:], 0)                                  // a short file is told by SQLite
	if n == len(header) && header[18] == 2 && empty(absolute+"-wal") { // the version to write with (SQLite file format, 1.3.3)
		u.RawQuery = "immutable=1"
	}
	return u.String(), nil
}

func empty(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Size() == 0
}

func (s *Source) open(table string) error {
	for _, statement := range []string{"PRAGMA busy_timeout = 5000", "PRAGMA query_only = ON", "BEGIN"} {
		if _, err := s.texts(statement); err != nil {
			return err
		}
	}
	named := table
	if named == "" {
		named = "jm"
	}
	tables, err := s.texts("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
	if err != nil {
		return err
	}
	var alike []string
	for _, t := range tables {
		if strings.EqualFold(t, named) {
			return s.introspect(t)
		}
		if table == "" && s.introspect(t) == nil {
			alike = append(alike, t)
		}
	}
	switch len(alike) {
	case 1:
		if err := s.introspect(alike[0]); err != nil {
			return err
		}
		s.notes = append([]string{"has no table jm; " + alike[0] + " has its columns, and is read"}, s.notes...)
		return nil
	case 0:
		return problem.New(problem.NoArchive, s.path, "this SQLite file has no table "+named, "name the table with --table; sqlite3 FILE .tables lists them")
	}
	return problem.New(problem.Usage, s.path, "this SQLite file has no table jm, and more than one with its columns: "+strings.Join(alike, ", "), "name the table with --table")
}

func (s *Source) introspect(table string) error {
	names, err := s.texts("SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		return err
	}
	var columns []cisco.Column
	var fields []field
	for _, n := range names {
		c := cisco.ColumnNamed(n)
		columns = append(columns, c)
		if c != cisco.UnknownColumn {
			fields = append(fields, field{c, quote(n)})
		}
	}
	notes, err := cisco.CheckColumns(s.path+", table "+table, columns, "name the right table with --table")
	if err != nil {
		return err
	}
	s.table, s.fields, s.notes = table, fields, notes
	kind, err := s.texts("SELECT type || wr FROM pragma_table_list(?)", table)
	if err != nil {
		return err
	}
	s.rowid = len(kind) == 1 && kind[0] == "table0"
	return nil
}

// texts returns the first column of a small answer.
func (s *Source) texts(sql string, arguments ...any) (list []string, err error) {
	err = sqlitex.Execute(s.conn, sql, &sqlitex.ExecOptions{Args: arguments, ResultFunc: func(stmt *driver.Stmt) error {
		list = append(list, stmt.ColumnText(0))
		return nil
	}})
	if err != nil {
		return nil, s.failed(context.Background(), err, 0)
	}
	return list, nil
}

// Describe names the format and the table.
func (s *Source) Describe() string { return "SQLite, table " + s.table }

// Notes tells what is unusual about the table.
func (s *Source) Notes() []string { return s.notes }

// Size is the length of the file in bytes.
func (s *Source) Size() int64 { return s.size }

// Close closes the file.
func (s *Source) Close() error { return s.conn.Close() }

// batchBytes is the text of an ordinary batch, in bytes.
const batchBytes = 256 << 10

// selectSQL reads the table: the rowid, whether something was cut, the columns.
func (s *Source) selectSQL(short bool, where string) string {
	list := []string{"0", "0"}
	if s.rowid {
		list[0] = "rowid"
	}
	var long []string
	for _, f := range s.fields {
		e := f.name
		switch f.column {
		case cisco.BodyString, cisco.MessageString, cisco.BodyText, cisco.MessageText:
			if short {
				long = append(long, fmt.Sprintf("ifnull(octet_length(%s) > %d, 0)", e, cisco.ShortChars))
				e = fmt.Sprintf("substr(%s, 1, %d)", e, cisco.ShortChars)
			}
		}
		list = append(list, e)
	}
	if len(long) > 0 {
		list[1] = strings.Join(long, " OR ")
	}
	from := " FROM " + quote(s.table)
	if s.rowid && where == "" {
		from += " NOT INDEXED" // an index may give another order
	}
	return "SELECT " + strings.Join(list, ", ") + from + where
}

// Scan gives every row in the order of the table.
func (s *Source) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	return s.scan(ctx, o, "", nil, emit)
}

func (s *Source) scan(ctx context.Context, o cisco.ScanOptions, where string, arguments []string, emit func(cisco.Batch) bool) error {
	size := o.BatchBytes
	if size == 0 {
		size = batchBytes
	}
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	stmt, _, err := s.conn.PrepareTransient(s.selectSQL(o.Short, where))
	if err != nil {
		return s.failed(ctx, err, 0)
	}
	defer stmt.Finalize()
	for i, a := range arguments {
		stmt.BindText(i+1, a)
	}
	b, number, last := s.buffer(), int64(0), int64(0)
	for {
		more, err := stmt.Step()
		if err != nil {
			return s.failed(ctx, err, number)
		}
		if !more {
			break
		}
		number++
		if id := stmt.ColumnInt64(0); s.rowid && number > 1 && id <= last {
			return s.damaged(number - 1)
		} else {
			last = id
		}
		s.add(b, stmt, number)
		if b.Bytes() >= size {
			if !emit(b) {
				return nil
			}
			b = s.buffer()
		}
	}
	if b.Len() > 0 {
		emit(b)
	}
	return ctx.Err()
}

// Fetches tells whether rows are found again: those of a view are not.
func (s *Source) Fetches() bool { return s.rowid }

// Fetch gives the rows at places, in that order.
func (s *Source) Fetch(ctx context.Context, places []cisco.Place) (cisco.Batch, error) {
	stmt, err := s.conn.Prepare(s.selectSQL(false, " WHERE rowid = ?"))
	if err != nil {
		return nil, s.failed(ctx, err, 0)
	}
	b := s.buffer()
	for i, p := range places {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		stmt.BindInt64(1, int64(p))
		found, err := stmt.Step()
		if err != nil {
			return nil, s.failed(ctx, err, int64(i))
		}
		if !found {
			return nil, problem.New(problem.Failed, s.path, "a row is not found again", "run the command again when nobody writes to the file")
		}
		s.add(b, stmt, 0)
		if err := stmt.Reset(); err != nil {
			return nil, s.failed(ctx, err, int64(i))
		}
	}
	return b, nil
}

// add puts the statement's row into b.
func (s *Source) add(b *cisco.RowBuffer, stmt *driver.Stmt, number int64) {
	b.Begin(number, cisco.Place(stmt.ColumnInt64(0)))
	if stmt.ColumnBool(1) {
		b.SetShort()
	}
	for i, f := range s.fields {
		switch at := 2 + i; stmt.ColumnType(at) {
		case driver.TypeNull:
		case driver.TypeText, driver.TypeBlob:
			n := stmt.ColumnLen(at)
			b.SetBy(f.column, func(to []byte) []byte {
				to = slices.Grow(to, n)
				return to[:len(to)+stmt.ColumnBytes(at, to[len(to):len(to)+n])]
			})
		default:
			b.Set(f.column, []byte(stmt.ColumnText(at)))
		}
	}
}

func (s *Source) buffer() *cisco.RowBuffer {
	if b, ok := s.free.Get().(*cisco.RowBuffer); ok {
		return b
	}
	return cisco.NewRowBuffer(func(b *cisco.RowBuffer) { s.free.Put(b) })
}

// HasTable tells whether the file has another table.
func (s *Source) HasTable(_ context.Context, name string) (bool, error) {
	tables, err := s.texts("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?)", name)
	return len(tables) > 0, err
}

// Table gives columns of another table as text.
func (s *Source) Table(ctx context.Context, name string, columns []string, fn func(cells [][]byte) error) (found bool, err error) {
	tables, err := s.texts("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?)", name)
	if len(tables) == 0 || err != nil {
		return false, err
	}
	has, err := s.texts("SELECT name FROM pragma_table_info(?)", tables[0])
	if err != nil {
		return true, err
	}
	list := make([]string, len(columns))
	for i, want := range columns {
		list[i] = "NULL"
		for _, h := range has {
			if strings.EqualFold(h, want) {
				list[i] = "CAST(" + quote(h) + " AS TEXT)"
			}
		}
	}
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	cells := make([][]byte, len(columns))
	var stopped error
	rows := int64(0)
	err = sqlitex.Execute(s.conn, "SELECT "+strings.Join(list, ", ")+" FROM "+quote(tables[0]), &sqlitex.ExecOptions{ResultFunc: func(stmt *driver.Stmt) error {
		rows++
		for i := range cells {
			cells[i] = nil
			if stmt.ColumnType(i) != driver.TypeNull {
				cells[i] = append([]byte{}, stmt.ColumnText(i)...)
			}
		}
		stopped = fn(cells)
		return stopped
	}})
	switch {
	case stopped != nil:
		return true, stopped
	case err != nil:
		return true, s.failed(ctx, err, rows)
	}
	return true, nil
}

// damaged says that the file cannot be trusted from a row on.
func (s *Source) damaged(rows int64) error {
	return problem.New(problem.Failed, s.path, fmt.Sprintf("this SQLite file is damaged, and ends after %d rows", rows), "sqlite3 FILE .recover saves what is left into a new file")
}

// TableName is the table that was opened.
func (s *Source) TableName() (schema, table string) { return "", s.table }

// failed says why the file could not be read on, after some rows.
func (s *Source) failed(ctx context.Context, err error, rows int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p := problem.New(problem.Failed, s.path, "", "")
	p.Err = err
	switch driver.ErrCode(err).ToPrimary() {
	case driver.ResultNotADB:
		p.What, p.Try = "this is no SQLite file, or it is encrypted", "see with archivolt key inspect, or file, what it is"
	case driver.ResultCorrupt:
		return s.damaged(rows)
	case driver.ResultBusy, driver.ResultLocked:
		p.What, p.Try = "another program is writing to this SQLite file", "try again when it has finished, or copy the file"
	case driver.ResultCantOpen, driver.ResultReadOnly:
		p.What, p.Try = "this SQLite file has a log beside it (-wal or -journal) that cannot be used here", "copy the file together with its -wal and -journal to a folder of your own, and name that"
		if errors.Is(err, fs.ErrPermission) {
			p.What = "this file may not be read"
		}
	default:
		p.What = "SQLite cannot read this file on (" + driver.ErrCode(err).Message() + ")"
	}
	return p
}
