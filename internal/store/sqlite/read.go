package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/store"
)

// OpenReader opens an archive for reading, in one snapshot that lasts until
// Close. It may be written to meanwhile; but where nobody was writing when it
// was opened, it is read without locks, which would need files beside it, and
// when somebody begins to write each method gives store.ErrChanged, in a problem
// of class Unavailable.
func OpenReader(path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, store.ErrNone
	}
	s, err := open(path, sqlite.OpenReadOnly)
	if err != nil {
		return nil, err
	}
	err = s.check()
	if err == nil {
		err = sqlitex.ExecuteTransient(s.conn, "BEGIN", nil)
	}
	if s.whole(&err); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// whole makes *err the reason why what was read may be of two states: in a file
// that is read without locks, pages are put under the reader's hands once
// somebody writes. It is called after reading, so that what came before is known
// to be of one state, and goes before any other error, which may be the result.
func (s *Store) whole(err *error) {
	if s.still == nil || errors.Is(*err, context.Canceled) {
		return
	}
	now, failed := os.Stat(s.path)
	wal, none := os.Stat(s.path + "-wal")
	if failed == nil && os.SameFile(now, s.still) && now.Size() == s.still.Size() && now.ModTime().Equal(s.still.ModTime()) && (none != nil || wal.Size() == 0) {
		return
	}
	*err = &problem.Error{Class: problem.Unavailable, Object: s.path, What: store.ErrChanged.Error(), Try: "run the command again", Err: store.ErrChanged}
}

// Recognise tells whether a file is an archive of ours: by its application id
// in the header (SQLite file format, section 1.3), or in the -wal file beside it
// where nothing was copied into the header yet.
func Recognise(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var header [72]byte
	if _, err := io.ReadFull(f, header[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if !bytes.HasPrefix(header[:], []byte("SQLite format 3\x00")) {
		return false, nil
	}
	if binary.BigEndian.Uint32(header[68:]) == applicationID {
		return true, nil
	}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		return false, nil
	}
	s, err := open(path, sqlite.OpenReadOnly)
	if err != nil {
		return false, nil
	}
	id, err := s.pragma("application_id")
	return err == nil && id == applicationID, s.Close()
}

// Times gives the index and the time of every record, in the order of the
// ledger, without reading what is sealed.
func (s *Store) Times(ctx context.Context, fn func(index, time int64) error) (err error) {
	defer s.whole(&err)
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	err = sqlitex.Execute(s.conn, "SELECT idx, time FROM records WHERE idx >= 0 ORDER BY idx", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		return fn(row.ColumnInt64(0), row.ColumnInt64(1))
	}})
	return interrupted(ctx, err)
}

// Wraps gives the wrapped keys of every epoch, also of one that the ledger has
// no entry of.
func (s *Store) Wraps(ctx context.Context) (wraps map[uint64][][]byte, err error) {
	defer s.whole(&err)
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	wraps = map[uint64][][]byte{}
	err = sqlitex.Execute(s.conn, "SELECT epoch, wrap FROM wraps ORDER BY epoch, part", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		epoch := uint64(row.ColumnInt64(0))
		wraps[epoch] = append(wraps[epoch], column(row, 1))
		return nil
	}})
	return wraps, interrupted(ctx, err)
}

// Tile returns the hashes of a tile of the ledger's tree, however many there
// are.
func (s *Store) Tile(level int, n int64, width int) (hashes []byte, err error) {
	defer s.whole(&err)
	err = sqlitex.Execute(s.conn, "SELECT hashes FROM tiles WHERE tile = ?", &sqlitex.ExecOptions{Args: []any{int64(level)<<levelShift | n}, ResultFunc: func(row *sqlite.Stmt) error {
		hashes = column(row, 0)
		return nil
	}})
	return hashes, err
}

func column(row *sqlite.Stmt, i int) []byte {
	b := make([]byte, row.ColumnLen(i))
	row.ColumnBytes(i, b)
	return b
}

// Checkpoint returns the last one that was saved, nil if there is none.
func (s *Store) Checkpoint() (text []byte, err error) {
	defer s.whole(&err)
	err = sqlitex.Execute(s.conn, "SELECT text FROM checkpoint", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		text = column(row, 0)
		return nil
	}})
	return text, err
}

// Others gives the entries that are no records, in order. Their Wraps are those
// that the store has.
func (s *Store) Others(ctx context.Context, fn func(*store.Entry) error) (err error) {
	defer s.whole(&err)
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	wraps := map[int64][]wrap{}
	err = sqlitex.Execute(s.conn, "SELECT idx, epoch, wrap FROM wraps ORDER BY epoch, part", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		idx := row.ColumnInt64(0)
		wraps[idx] = append(wraps[idx], wrap{uint64(row.ColumnInt64(1)), column(row, 2)})
		return nil
	}})
	if err != nil {
		return interrupted(ctx, err)
	}
	var e store.Entry
	err = sqlitex.Execute(s.conn, "SELECT idx, entry FROM entries ORDER BY idx", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		e = store.Entry{Index: row.ColumnInt64(0), Other: column(row, 1)}
		for _, w := range wraps[e.Index] {
			e.Epoch = w.epoch
			e.Wraps = append(e.Wraps, w.wrap)
		}
		return fn(&e)
	}})
	return interrupted(ctx, err)
}

type wrap struct {
	epoch uint64
	wrap  []byte
}

// interrupted is the context's error where that is why reading ended.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Records gives the records that the query chooses, in the order of the ledger.
// The entry and all in it are fn's until it returns.
func (s *Store) Records(ctx context.Context, q store.Query, fn func(*store.Entry) error) (err error) {
	defer s.whole(&err)
	names := map[int64]string{}
	err = sqlitex.Execute(s.conn, "SELECT source, name FROM sources", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		names[row.ColumnInt64(0)] = row.ColumnText(1)
		return nil
	}})
	if err != nil {
		return err
	}
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	to := q.To
	if to == 0 {
		to = 1<<63 - 1
	}
	const columns = "SELECT idx, time, epoch, source, number, tokens, commitment, digest, sealed FROM records WHERE "
	if q.Tokens == nil {
		st, err := s.conn.Prepare(columns + "idx >= ? AND idx < ? ORDER BY idx")
		if err != nil {
			return err
		}
		st.BindInt64(1, q.From)
		st.BindInt64(2, to)
		return interrupted(ctx, s.each(st, names, fn))
	}
	chosen, err := s.chosen(&q)
	if err != nil {
		return interrupted(ctx, err)
	}
	st, err := s.conn.Prepare(columns + "idx = ?")
	if err != nil {
		return err
	}
	for _, idx := range chosen {
		if idx < q.From || idx >= to {
			continue
		}
		st.BindInt64(1, idx)
		if err := s.each(st, names, fn); err != nil {
			return interrupted(ctx, err)
		}
	}
	return nil
}

func (s *Store) each(st *sqlite.Stmt, names map[int64]string, fn func(*store.Entry) error) error {
	defer st.Reset()
	var record ledger.Record
	e := store.Entry{Record: &record}
	for {
		more, err := st.Step()
		if err != nil || !more {
			return err
		}
		sizes := [...]int{st.ColumnLen(5), st.ColumnLen(6), st.ColumnLen(7), st.ColumnLen(8)}
		total := sizes[0] + sizes[3]
		if cap(s.buf) < total {
			s.buf = make([]byte, total*2)
		}
		buf := s.buf[:total]
		record = ledger.Record{Epoch: uint64(st.ColumnInt64(2)), Source: names[st.ColumnInt64(3)], Number: uint64(st.ColumnInt64(4)), Time: st.ColumnInt64(1), Tokens: buf[:sizes[0]]}
		e.Index, e.Sealed = st.ColumnInt64(0), buf[sizes[0]:]
		st.ColumnBytes(5, record.Tokens)
		if sizes[1] == len(record.Commitment) && sizes[2] == len(record.Sealed) { // otherwise zeros, which are wrong
			st.ColumnBytes(6, record.Commitment[:])
			st.ColumnBytes(7, record.Sealed[:])
		}
		st.ColumnBytes(8, e.Sealed)
		if st.ColumnType(8) == sqlite.TypeNull {
			e.Sealed = nil
		}
		if err := fn(&e); err != nil {
			return err
		}
	}
}

// chosen returns the indexes of the records that have one of the tokens,
// ascending.
func (s *Store) chosen(q *store.Query) (indexes []int64, err error) {
	st, err := s.conn.Prepare("SELECT first, list FROM postings WHERE epoch = ? AND token = ?")
	if err != nil {
		return nil, err
	}
	defer st.Reset()
	for epoch, tokens := range q.Tokens {
		for _, token := range tokens {
			st.BindInt64(1, int64(epoch))
			st.BindInt64(2, int64(token))
			for {
				more, err := st.Step()
				if err != nil {
					return nil, err
				}
				if !more {
					break
				}
				if indexes, err = unpack(indexes, st.ColumnInt64(0), column(st, 1)); err != nil {
					return nil, err
				}
			}
			if err := st.Reset(); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(indexes)
	return slices.Compact(indexes), nil
}

var errPostings = errors.New("the index of participants is damaged; archivolt verify says more")

// unpack appends the indexes of a row of postings.
func unpack(indexes []int64, first int64, list []byte) ([]int64, error) {
	indexes = append(indexes, first)
	for len(list) > 0 {
		d, n := binary.Uvarint(list)
		if n <= 0 || d == 0 || d > uint64(1<<62-first) {
			return nil, errPostings
		}
		first += int64(d)
		indexes = append(indexes, first)
		list = list[n:]
	}
	return indexes, nil
}

// Postings gives what the index of participants says: for each epoch and token
// the records that have it. A reader who relies on the index compares it with
// the tokens of the records.
func (s *Store) Postings(ctx context.Context, fn func(epoch, token uint64, indexes []int64) error) (err error) {
	defer s.whole(&err)
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	var indexes []int64
	err = sqlitex.Execute(s.conn, "SELECT epoch, token, first, list FROM postings", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) (err error) {
		if indexes, err = unpack(indexes[:0], row.ColumnInt64(2), column(row, 3)); err != nil {
			return err
		}
		return fn(uint64(row.ColumnInt64(0)), uint64(row.ColumnInt64(1)), indexes)
	}})
	return interrupted(ctx, err)
}
