package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	lib "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/store"
	"archivolt/internal/store/sqlite"
	"archivolt/internal/store/storetest"
)

// run runs statements on a file, as somebody with the tools of SQLite would.
func run(t *testing.T, path, statements string) {
	t.Helper()
	conn, err := lib.OpenConn(path, lib.OpenReadWrite)
	if err == nil {
		err = errors.Join(sqlitex.ExecuteScript(conn, statements, nil), conn.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// methods are all that reads or writes, with the tables that each cannot do
// without.
var methods = []struct {
	name   string
	tables []string
	call   func(s *sqlite.Store, b *store.Batch) error
}{
	{"Head", []string{"head"}, func(s *sqlite.Store, _ *store.Batch) error { _, err := s.Head(); return err }},
	{"Marks", []string{"sources"}, func(s *sqlite.Store, _ *store.Batch) error { _, err := s.Marks(); return err }},
	{"Times", []string{"records"}, func(s *sqlite.Store, _ *store.Batch) error {
		return s.Times(context.Background(), func(_, _ int64) error { return nil })
	}},
	{"Wraps", []string{"wraps"}, func(s *sqlite.Store, _ *store.Batch) error { _, err := s.Wraps(context.Background()); return err }},
	{"Tile", []string{"tiles"}, func(s *sqlite.Store, _ *store.Batch) error { _, err := s.Tile(0, 0, 1); return err }},
	{"Checkpoint", []string{"checkpoint"}, func(s *sqlite.Store, _ *store.Batch) error { _, err := s.Checkpoint(); return err }},
	{"Others", []string{"entries", "wraps"}, func(s *sqlite.Store, _ *store.Batch) error {
		return s.Others(context.Background(), func(*store.Entry) error { return nil })
	}},
	{"Records", []string{"records", "sources"}, func(s *sqlite.Store, _ *store.Batch) error {
		return s.Records(context.Background(), store.Query{}, func(*store.Entry) error { return nil })
	}},
	{"Records by token", []string{"records", "sources", "postings"}, func(s *sqlite.Store, _ *store.Batch) error {
		return s.Records(context.Background(), store.Query{Tokens: map[uint64][]uint64{0: {0x1111111111111111}}}, func(*store.Entry) error { return nil })
	}},
	{"Postings", []string{"postings"}, func(s *sqlite.Store, _ *store.Batch) error {
		return s.Postings(context.Background(), func(_, _ uint64, _ []int64) error { return nil })
	}},
	{"SaveCheckpoint", []string{"checkpoint"}, func(s *sqlite.Store, _ *store.Batch) error { return s.SaveCheckpoint([]byte("x")) }},
	{"Append", []string{"head", "records", "entries", "wraps", "postings", "tiles", "sources"}, func(s *sqlite.Store, b *store.Batch) error { return s.Append(b) }},
	{"TakeOver", []string{"head", "wraps"}, func(s *sqlite.Store, _ *store.Batch) error { _, err := s.TakeOver(); return err }},
}

// TestMissingTables: who can write to the file can remove a table, before it is
// opened or while it is open. Every method then gives an error.
func TestMissingTables(t *testing.T) {
	for _, table := range []string{"head", "records", "entries", "wraps", "postings", "tiles", "sources", "checkpoint"} {
		for _, when := range []string{"before it is opened", "while it is open"} {
			t.Run(table+" "+when, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "archive.db")
				s, err := sqlite.Create(path, storetest.ID)
				if err != nil {
					t.Fatal(err)
				}
				head, err := s.TakeOver()
				if err != nil {
					t.Fatal(err)
				}
				g := storetest.NewGenerator(head, 3)
				if err := s.Append(g.Batch(300)); err != nil { // one batch, so that there is an epoch
					t.Fatal(err)
				}
				for _, m := range methods { // so that there are statements prepared for tables that are there
					if m.name != "TakeOver" && m.name != "Append" {
						if err := m.call(s, nil); err != nil {
							t.Fatal(m.name, err)
						}
					}
				}
				b := g.Batch(300)
				if when == "before it is opened" {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				run(t, path, "DROP TABLE "+table)
				if when == "before it is opened" {
					if s, err = sqlite.Open(path); err != nil {
						t.Fatal(err)
					}
				}
				defer s.Close()
				for _, m := range methods {
					err := calm(t, m.name, func() error { return m.call(s, b) })
					if err == nil && slices.Contains(m.tables, table) { // what else a method needs is its own affair
						t.Errorf("%s reads an archive without the table %s", m.name, table)
					}
					if m.name == "Append" && err == nil {
						b = g.Batch(1)
					}
				}
			})
		}
	}
}

// calm calls f and takes a panic for what it is.
func calm(t *testing.T, name string, f func() error) error {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s panics: %v", name, p)
		}
	}()
	return f()
}

// TestForeignTables: tables of the right names that are not ours.
func TestForeignTables(t *testing.T) {
	path, g := filled(t)
	run(t, path, `DROP TABLE records; CREATE TABLE records (a); DROP TABLE head; CREATE TABLE head (b);
		DROP TABLE postings; CREATE TABLE postings (c); DROP TABLE tiles; CREATE VIEW tiles AS SELECT 1 AS tile, 'x' AS hashes;
		DROP TABLE sources; CREATE TABLE sources (name, mark); DROP TABLE checkpoint; CREATE TABLE checkpoint (d);
		DROP TABLE entries; CREATE TABLE entries (e); DROP TABLE wraps; CREATE TABLE wraps (f);`)
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := g.Batch(300)
	for _, m := range methods {
		err := calm(t, m.name, func() error { return m.call(s, b) })
		if err == nil && m.name != "Marks" && m.name != "Tile" {
			t.Errorf("%s reads it", m.name)
		}
	}
}

// TestLocked: another program holds the file's lock. Append gives up soon,
// since who calls it tries again and may have to end, and works afterwards.
func TestLocked(t *testing.T) {
	path, g := filled(t)
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := lib.OpenConn(path, lib.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	b := g.Batch(10)
	began := time.Now()
	if err := s.Append(b); lib.ErrCode(err) != lib.ResultBusy {
		t.Errorf("Append gives %v", err)
	}
	if err := s.SaveCheckpoint([]byte("x")); lib.ErrCode(err) != lib.ResultBusy {
		t.Errorf("SaveCheckpoint gives %v", err)
	}
	if took := time.Since(began); took < time.Second || took > 8*time.Second {
		t.Errorf("they gave up after %v", took)
	}
	if err := sqlitex.ExecuteTransient(conn, "ROLLBACK", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(b); err != nil {
		t.Error(err)
	}
}
