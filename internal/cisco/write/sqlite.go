package write

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/problem"
)

// SQLite is an archive in one SQLite file, which is in WAL mode with
// synchronous=FULL: a batch is durable when Append returns
// (sqlite.org/pragma.html#pragma_synchronous). It is not safe for concurrent
// use.
type SQLite struct {
	conn *sqlite.Conn
	path string
}

// sqliteSchema makes the tables beside JM. Marks are text of 20 digits, which
// compares as the numbers do: they may have 64 bits.
const sqliteSchema = `
CREATE TABLE IF NOT EXISTS archivolt_head (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, id TEXT NOT NULL,
	spool INTEGER NOT NULL, generation INTEGER NOT NULL, key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS archivolt_marks (source TEXT PRIMARY KEY, mark TEXT NOT NULL) WITHOUT ROWID;`

// sqliteEvents makes the table of events.
func sqliteEvents() string {
	return "CREATE TABLE IF NOT EXISTS archivolt_events (" + eventColumnsSQL() + ");"
}

// ownArchive marks a file in Archivolt's own format (package store/sqlite).
const ownArchive = 0x41764c74

// OpenSQLite opens the archive in the file path.
func OpenSQLite(path string, o DatabaseOptions) (*SQLite, error) {
	if o.Create && !o.Begun {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			err = f.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path // a drive of Windows
	}
	s := &SQLite{path: path}
	if s.conn, err = sqlite.OpenConn(u.String(), sqlite.OpenReadWrite|sqlite.OpenURI); err != nil {
		return nil, s.failed(err)
	}
	if err := s.begin(o); err != nil {
		return nil, errors.Join(s.failed(err), s.conn.Close())
	}
	return s, nil
}

func (s *SQLite) begin(o DatabaseOptions) error {
	for _, pragma := range []string{"busy_timeout=10000", "synchronous=FULL", "cache_size=-32768"} {
		if err := sqlitex.ExecuteTransient(s.conn, "PRAGMA "+pragma, nil); err != nil {
			return err
		}
	}
	id, err := s.number("PRAGMA application_id")
	if err != nil {
		return err
	}
	if id == ownArchive {
		return problem.New(problem.Failed, s.path, "this archive has Archivolt's own format, not Cisco's", "name another file, or leave format: cisco out")
	}
	if err := sqlitex.ExecuteTransient(s.conn, "PRAGMA journal_mode=WAL", nil); err != nil {
		return err
	}
	create := o.Create
	if o.Begun {
		n, err := s.number("SELECT count(*) FROM sqlite_schema WHERE name = 'archivolt_head'")
		if err != nil {
			return err
		}
		create = create && n > 0
	}
	if create {
		if err := s.create(); err != nil {
			return err
		}
	}
	have := map[string]bool{}
	err = sqlitex.Execute(s.conn, "SELECT lower(name) FROM pragma_table_info('jm')", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		have[row.ColumnText(0)] = true
		return nil
	}})
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return problem.New(problem.NoArchive, s.path, "there is no table jm in this file", "name the right file, or a new one")
	}
	for _, c := range Columns {
		if !have[c] {
			return problem.New(problem.Failed, s.path, "the table jm has no column "+c, "name a file whose table jm has the documented columns, or a new one")
		}
	}
	version, err := s.number("SELECT version FROM archivolt_head")
	if err != nil {
		return err
	}
	if version != schemaVersion {
		return wrongVersion(s.path, version)
	}
	if n, err := s.number("SELECT count(*) FROM sqlite_schema WHERE name = 'archivolt_events'"); n == 0 || err != nil {
		return errors.Join(err, problem.New(problem.NoArchive, s.path, "there is no table archivolt_events in this file", "name the right file, or a new one"))
	}
	return nil
}

// number runs a query for one number.
func (s *SQLite) number(query string) (n int64, err error) {
	err = sqlitex.Execute(s.conn, query, &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		n = row.ColumnInt64(0)
		return nil
	}})
	return n, err
}

func wrongVersion(object string, version int64) error {
	return problem.New(problem.Failed, object, fmt.Sprintf("the table archivolt_head has version %d, and this program knows version %d", version, schemaVersion), "use the version of archivoltd that made it, or a newer one")
}

func (s *SQLite) create() (err error) {
	end, err := sqlitex.ImmediateTransaction(s.conn)
	if err != nil {
		return err
	}
	defer end(&err)
	if err := sqlitex.ExecuteScript(s.conn, "CREATE TABLE IF NOT EXISTS jm ("+columnsSQL()+");"+sqliteSchema+sqliteEvents(), nil); err != nil {
		return err
	}
	return sqlitex.Execute(s.conn, "INSERT INTO archivolt_head VALUES (1, ?, ?, 0, 0, '') ON CONFLICT DO NOTHING", &sqlitex.ExecOptions{Args: []any{schemaVersion, newID()}})
}

// failed says what keeps the file from being used.
func (s *SQLite) failed(err error) error {
	var p *problem.Error
	if err == nil || errors.As(err, &p) || errors.Is(err, ErrFenced) || errors.Is(err, ErrMoved) {
		return err
	}
	p = problem.New(problem.Unavailable, s.path, "SQLite says: "+err.Error(), "see that there is room on the disk, and that nobody else holds the file")
	if sqlite.ErrCode(err) == sqlite.ResultNotADB {
		p = problem.New(problem.Failed, s.path, "this is no SQLite file", "name another file, which may not exist yet")
	}
	p.Err = err
	return p
}

// Close closes the file.
func (s *SQLite) Close() error { return s.conn.Close() }

// until has statements end with ctx.
func (s *SQLite) until(ctx context.Context) (free func()) {
	old := s.conn.SetInterrupt(ctx.Done())
	return func() { s.conn.SetInterrupt(old) }
}

// Head returns the state of the archive.
func (s *SQLite) Head(ctx context.Context) (Head, error) {
	defer s.until(ctx)()
	h, err := s.head()
	return h, s.failed(err)
}

func (s *SQLite) head() (h Head, err error) {
	found := false
	err = sqlitex.Execute(s.conn, "SELECT id, spool, generation, key FROM archivolt_head", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		found = true
		h.Spool, h.Generation, h.Key = uint64(row.ColumnInt64(1)), uint64(row.ColumnInt64(2)), row.ColumnText(3)
		return h.setID(row.ColumnText(0))
	}})
	if err == nil && !found {
		err = errNoHead
	}
	return h, err
}

// TakeOver makes this writer the only one, and returns the head with its
// generation: whoever wrote before gets ErrFenced.
func (s *SQLite) TakeOver(ctx context.Context) (h Head, err error) {
	defer s.until(ctx)()
	end, err := sqlitex.ImmediateTransaction(s.conn)
	if err != nil {
		return h, s.failed(err)
	}
	defer func() {
		end(&err)
		err = s.failed(err)
	}()
	if err := sqlitex.Execute(s.conn, "UPDATE archivolt_head SET generation = generation + 1", nil); err != nil {
		return h, err
	}
	return s.head()
}

// Marks returns the highest delivery number of each source.
func (s *SQLite) Marks(ctx context.Context) (map[string]uint64, error) {
	defer s.until(ctx)()
	marks := map[string]uint64{}
	err := sqlitex.Execute(s.conn, "SELECT source, mark FROM archivolt_marks", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) (err error) {
		marks[row.ColumnText(0)], err = strconv.ParseUint(row.ColumnText(1), 10, 64)
		return err
	}})
	return marks, s.failed(err)
}

// Append adds a batch. It is durable when Append returns nil, and not there at
// all when it returns an error.
func (s *SQLite) Append(ctx context.Context, b *Batch) (err error) {
	if err := b.check(); err != nil {
		return err
	}
	defer s.until(ctx)()
	end, err := sqlitex.ImmediateTransaction(s.conn)
	if err != nil {
		return s.failed(err)
	}
	defer func() {
		end(&err)
		err = s.failed(err)
	}()
	err = sqlitex.Execute(s.conn, "UPDATE archivolt_head SET spool = ?, key = ? WHERE generation = ? AND spool = ?",
		&sqlitex.ExecOptions{Args: []any{int64(b.Spool), b.Key, int64(b.Generation), int64(b.After)}})
	if err != nil {
		return err
	}
	if s.conn.Changes() != 1 {
		h, err := s.head()
		if err == nil {
			err = notNow(h, b)
		}
		return err
	}
	if err := s.insert("jm", Columns, len(b.Rows), func(i int) []Text { cells := b.Rows[i].cells(); return cells[:] }); err != nil {
		return err
	}
	if err := s.insert("archivolt_events", EventColumns, len(b.Events), func(i int) []Text { return b.Events[i].cells() }); err != nil {
		return err
	}
	mark, err := s.conn.Prepare("INSERT INTO archivolt_marks VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET mark = max(mark, excluded.mark)")
	if err != nil {
		return err
	}
	for source, number := range b.Marks {
		mark.BindText(1, storable(source))
		mark.BindText(2, fmt.Sprintf("%020d", number))
		if err := step(mark); err != nil {
			return err
		}
	}
	return nil
}

// insert brings n rows into a table.
func (s *SQLite) insert(table string, columns []string, n int, row func(i int) []Text) error {
	if n == 0 {
		return nil
	}
	insert, err := s.conn.Prepare("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")")
	if err != nil {
		return err
	}
	for i := range n {
		for j, c := range row(i) {
			if c.Valid {
				insert.BindText(j+1, c.Text)
			} else {
				insert.BindNull(j + 1)
			}
		}
		if err := step(insert); err != nil {
			return err
		}
	}
	return nil
}

// step runs a statement that returns no rows.
func step(st *sqlite.Stmt) error {
	_, err := st.Step()
	return errors.Join(err, st.Reset())
}
