// Package sqlite keeps an archive of ours in one SQLite file. The schema is
// documented in docs/format/store.md.
//
// The file is in WAL mode with synchronous=FULL: a batch is durable when Append
// returns (sqlite.org/pragma.html#pragma_synchronous). Beside it lie the -wal
// and -shm files of SQLite while it is open.
package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/store"
)

// Store is an open archive. It is not safe for concurrent use.
type Store struct {
	conn    *sqlite.Conn
	path    string
	still   fs.FileInfo      // of a file that is read without locks, as it was before; nil otherwise
	sources map[string]int64 // by name
	posting map[posting]*list
	order   []posting
	buf     []byte
}

// posting names a row of postings, but for its first record.
type posting struct{ epoch, token uint64 }

// list is a row of postings on its way.
type list struct {
	first, last int64
	differences []byte
}

// Create makes an archive in the file path, which must not exist, readable by
// its owner alone. It is made under another name and appears whole: of two
// processes that make one at the same time, one fails.
func Create(path string, id ledger.ID) (*Store, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return nil, err
	}
	name := f.Name()
	f.Close()
	defer removeAll(name) // linked, or of no use
	s, err := open(name, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.create(id), s.Close()); err != nil { // closing brings the log into the file
		return nil, err
	}
	if err := syncFile(name); err != nil {
		return nil, err
	}
	if err := os.Link(name, path); err != nil {
		return nil, err
	}
	if err := syncFile(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return Open(path)
}

// syncFile makes a file, or the names in a folder, durable.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && runtime.GOOS != "windows" { // which syncs neither folders nor what is open for reading
		return err
	}
	return nil
}

func (s *Store) create(id ledger.ID) (err error) {
	if err := sqlitex.ExecuteTransient(s.conn, "PRAGMA journal_mode=WAL", nil); err != nil {
		return err
	}
	defer sqlitex.Save(s.conn)(&err)
	if err := sqlitex.ExecuteScript(s.conn, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d;%s", applicationID, store.Version, schema), nil); err != nil {
		return err
	}
	tree, err := ledger.NewTree(0, nil)
	if err != nil {
		return err
	}
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return sqlitex.Execute(s.conn, "INSERT INTO head VALUES (1, ?, 0, ?, 0, 0, 0)", &sqlitex.ExecOptions{Args: []any{id[:], root[:]}})
}

// Open opens an archive for writing. A path where there is none gives
// store.ErrNone.
func Open(path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, store.ErrNone
	}
	s, err := open(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	if err = s.check(); err == nil { // a copy that was made with VACUUM INTO has lost it
		err = sqlitex.ExecuteTransient(s.conn, "PRAGMA journal_mode=WAL", nil)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func removeAll(path string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// busy is how long a writer waits for a lock that another program holds, in
// milliseconds. It is short: who writes keeps what it could not write and tries
// again, and must not be held up at its end.
const busy = 2000

func open(path string, flags sqlite.OpenFlags) (*Store, error) {
	uri := "file:" + escape(path)
	still, err := os.Stat(path) // before looking for the -wal: whoever makes one now is seen later
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path + "-wal"); flags&sqlite.OpenReadOnly != 0 && errors.Is(err, fs.ErrNotExist) {
		uri += "?immutable=1" // nobody writes, and no file is put beside the archive
	} else {
		still = nil
	}
	conn, err := sqlite.OpenConn(uri, flags|sqlite.OpenURI)
	if err != nil {
		return nil, err
	}
	s := &Store{conn: conn, path: path, still: still, sources: map[string]int64{}, posting: map[posting]*list{}}
	if flags&sqlite.OpenReadWrite != 0 {
		for _, pragma := range []string{"synchronous=FULL", fmt.Sprint("busy_timeout=", busy), "cache_size=-32768"} {
			err = errors.Join(err, sqlitex.ExecuteTransient(conn, "PRAGMA "+pragma, nil))
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// escape writes a path for a URI of SQLite.
func escape(path string) string {
	path = filepath.ToSlash(path)
	var b []byte
	for i := range len(path) {
		switch c := path[i]; c {
		case '%', '?', '#':
			b = fmt.Appendf(b, "%%%02x", c)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// check refuses what is no archive of ours, and one of another version.
func (s *Store) check() error {
	id, err := s.pragma("application_id")
	if err != nil {
		return err
	}
	version, err := s.pragma("user_version")
	if err != nil {
		return err
	}
	switch {
	case id != applicationID:
		return problem.New(problem.Failed, s.path, "this is a SQLite file, but no Archivolt archive", "name another file")
	case version != store.Version:
		return problem.New(problem.Failed, s.path, fmt.Sprintf("this is an archive of version %d, and this program knows version %d", version, store.Version), "use the version of the program that made it, or a newer one")
	}
	return nil
}

// pragma returns a number out of the header. The file may be anything.
func (s *Store) pragma(name string) (int64, error) {
	st, _, err := s.conn.PrepareTransient("PRAGMA " + name)
	if err != nil {
		return 0, err
	}
	n, err := sqlitex.ResultInt64(st)
	return n, errors.Join(err, st.Finalize())
}

// Close closes the file.
func (s *Store) Close() error { return s.conn.Close() }

// Head returns the state of the store.
func (s *Store) Head() (h store.Head, err error) {
	defer s.whole(&err)
	found := false
	err = sqlitex.Execute(s.conn, "SELECT id, size, root, spool, epoch, generation FROM head", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		found = row.ColumnBytes(0, h.ID[:]) == len(h.ID) && row.ColumnBytes(2, h.Root[:]) == len(h.Root) && row.ColumnLen(0) == len(h.ID) && row.ColumnLen(2) == len(h.Root)
		h.Size, h.Spool, h.Epoch, h.Generation = row.ColumnInt64(1), uint64(row.ColumnInt64(3)), uint64(row.ColumnInt64(4)), uint64(row.ColumnInt64(5))
		return nil
	}})
	if err == nil && (!found || h.Size < 0 || h.Size > ledger.MaxSize) {
		err = fmt.Errorf("the head of %s is damaged", s.path)
	}
	return h, err
}

// TakeOver makes this writer the only one and returns the head with its
// generation: whoever wrote before gets store.ErrFenced. Its epoch is the last
// of which there are wraps, whatever the head has said.
func (s *Store) TakeOver() (h store.Head, err error) {
	defer sqlitex.Save(s.conn)(&err)
	if err := sqlitex.Execute(s.conn, "UPDATE head SET generation = generation + 1, epoch = max(epoch, (SELECT ifnull(max(epoch), 0) FROM wraps))", nil); err != nil {
		return h, err
	}
	return s.Head()
}

// Marks returns the highest delivery number of each source.
func (s *Store) Marks() (marks map[string]uint64, err error) {
	defer s.whole(&err)
	marks = map[string]uint64{}
	err = sqlitex.Execute(s.conn, "SELECT name, mark FROM sources", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		marks[row.ColumnText(0)] = uint64(row.ColumnInt64(1))
		return nil
	}})
	return marks, err
}

// Append adds a batch. It is durable when Append returns nil, and not there at
// all when it returns an error.
func (s *Store) Append(b *store.Batch) (err error) {
	end, err := sqlitex.ImmediateTransaction(s.conn)
	if err != nil {
		return err
	}
	defer func() {
		end(&err)
		if err != nil { // a source that was new is so again
			clear(s.sources)
		}
	}()
	// What a batch that failed half-way has gathered is not this one's.
	clear(s.posting)
	s.order = s.order[:0]
	if err := s.swapHead(b); err != nil {
		return err
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Record != nil {
			err = s.addRecord(e)
		} else {
			err = s.addOther(e)
		}
		if err != nil {
			return err
		}
	}
	if err := s.addPostings(); err != nil {
		return err
	}
	st, err := s.conn.Prepare("INSERT OR REPLACE INTO tiles VALUES (?, ?)")
	if err != nil {
		return err
	}
	for _, t := range b.Tiles {
		st.BindInt64(1, int64(t.Level)<<levelShift|t.N)
		st.BindBytes(2, t.Hashes)
		if err := step(st); err != nil {
			return err
		}
	}
	if st, err = s.conn.Prepare("UPDATE sources SET mark = max(mark, ?) WHERE name = ?"); err != nil {
		return err
	}
	for name, mark := range b.Marks {
		st.BindInt64(1, int64(mark))
		st.BindText(2, name)
		if err := step(st); err != nil {
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

// swapHead replaces the head, if it is still the one that the batch was made
// for.
func (s *Store) swapHead(b *store.Batch) error {
	st, err := s.conn.Prepare("UPDATE head SET size = ?, root = ?, spool = ?, epoch = ? WHERE generation = ? AND size = ?")
	if err != nil {
		return err
	}
	st.BindInt64(1, b.Head.Size)
	st.BindBytes(2, b.Head.Root[:])
	st.BindInt64(3, int64(b.Head.Spool))
	st.BindInt64(4, int64(b.Head.Epoch))
	st.BindInt64(5, int64(b.Head.Generation))
	st.BindInt64(6, b.Head.Size-int64(len(b.Entries)))
	if err := step(st); err != nil {
		return err
	}
	if s.conn.Changes() != 1 {
		return store.ErrFenced
	}
	return nil
}

func (s *Store) addRecord(e *store.Entry) error {
	source, err := s.source(e.Record.Source)
	if err != nil {
		return err
	}
	r := e.Record
	st, err := s.conn.Prepare("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	st.BindInt64(1, e.Index)
	st.BindInt64(2, r.Time)
	st.BindInt64(3, int64(r.Epoch))
	st.BindInt64(4, source)
	st.BindInt64(5, int64(r.Number))
	st.BindBytes(6, r.Tokens)
	st.BindBytes(7, r.Commitment[:])
	st.BindBytes(8, r.Sealed[:])
	st.BindBytes(9, e.Sealed)
	if err := step(st); err != nil {
		return err
	}
	for token := range slices.Chunk(r.Tokens, ledger.TokenSize) {
		key := posting{r.Epoch, binary.BigEndian.Uint64(token)}
		l := s.posting[key]
		if l == nil {
			s.posting[key] = &list{first: e.Index, last: e.Index}
			s.order = append(s.order, key)
			continue
		}
		l.differences = binary.AppendUvarint(l.differences, uint64(e.Index-l.last))
		l.last = e.Index
	}
	return nil
}

// source returns the number of a source, which is given one if it is new.
func (s *Store) source(name string) (int64, error) {
	if n, ok := s.sources[name]; ok {
		return n, nil
	}
	if err := sqlitex.Execute(s.conn, "INSERT INTO sources (name, mark) VALUES (?, 0) ON CONFLICT DO NOTHING", &sqlitex.ExecOptions{Args: []any{name}}); err != nil {
		return 0, err
	}
	var n int64
	err := sqlitex.Execute(s.conn, "SELECT source FROM sources WHERE name = ?", &sqlitex.ExecOptions{Args: []any{name}, ResultFunc: func(row *sqlite.Stmt) error {
		n = row.ColumnInt64(0)
		return nil
	}})
	if err == nil {
		s.sources[name] = n
	}
	return n, err
}

func (s *Store) addOther(e *store.Entry) error {
	if err := sqlitex.Execute(s.conn, "INSERT INTO entries VALUES (?, ?)", &sqlitex.ExecOptions{Args: []any{e.Index, e.Other}}); err != nil {
		return err
	}
	for part, w := range e.Wraps {
		if err := sqlitex.Execute(s.conn, "INSERT INTO wraps VALUES (?, ?, ?, ?)", &sqlitex.ExecOptions{Args: []any{int64(e.Epoch), part, e.Index, w}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) addPostings() error {
	st, err := s.conn.Prepare("INSERT INTO postings VALUES (?, ?, ?, ?)")
	if err != nil {
		return err
	}
	for _, key := range s.order {
		l := s.posting[key]
		st.BindInt64(1, int64(key.epoch))
		st.BindInt64(2, int64(key.token))
		st.BindInt64(3, l.first)
		st.BindBytes(4, l.differences)
		if err := step(st); err != nil {
			return err
		}
	}
	return nil
}

// SaveCheckpoint keeps a signed checkpoint, for who reads the archive.
func (s *Store) SaveCheckpoint(text []byte) error {
	return sqlitex.Execute(s.conn, "INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", &sqlitex.ExecOptions{Args: []any{text}})
}
