package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"archivolt/internal/ledger"
	"archivolt/internal/store"
	"archivolt/internal/store/sqlite"
	"archivolt/internal/store/storetest"
	"archivolt/internal/testenv"
)

func place(path string) storetest.Place {
	return storetest.Place{
		Create: func(id ledger.ID) (storetest.Writer, error) { return sqlite.Create(path, id) },
		Open: func() (storetest.Writer, error) {
			s, err := sqlite.Open(path)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Read: func() (storetest.Reader, error) {
			s, err := sqlite.OpenReader(path)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place { return place(filepath.Join(t.TempDir(), "odd %41?#name.db")) })
}

// filled makes an archive and closes it.
func filled(t *testing.T) (path string, g *storetest.Generator) {
	path = filepath.Join(t.TempDir(), "archive.db")
	s, err := sqlite.Create(path, storetest.ID)
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.TakeOver()
	if err != nil {
		t.Fatal(err)
	}
	g = storetest.NewGenerator(head, 3)
	for _, n := range []int{1, 300} {
		if err := s.Append(g.Batch(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, g
}

// TestIndependentReader reads the file with Python's sqlite3.
func TestIndependentReader(t *testing.T) {
	path, g := filled(t)
	script := `import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for row in db.execute("SELECT idx, time, epoch, name, number, hex(tokens), hex(commitment), hex(digest), hex(sealed) FROM records JOIN sources USING (source) ORDER BY idx"): print(*row)
for row in db.execute("SELECT size, spool, epoch, generation, hex(root) FROM head"): print(*row)
`
	out, err := exec.Command(testenv.Python(t, "sqlite3"), "-c", script, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want strings.Builder
	for _, e := range g.Entries {
		if r := e.Record; r != nil {
			fmt.Fprintf(&want, "%d %d %d %s %d %X %X %X %X\n", e.Index, r.Time, r.Epoch, r.Source, r.Number, r.Tokens, r.Commitment, r.Sealed, e.Sealed)
		}
	}
	fmt.Fprintf(&want, "%d %d %d %d %X\n", g.Head.Size, g.Head.Spool, g.Head.Epoch, g.Head.Generation, g.Head.Root[:])
	if string(out) != want.String() {
		got, expected := strings.Split(string(out), "\n"), strings.Split(want.String(), "\n")
		for i := range min(len(got), len(expected)) {
			if got[i] != expected[i] {
				t.Fatalf("Python's sqlite3 reads\n%.200s, want\n%.200s", got[i], expected[i])
			}
		}
		t.Errorf("Python's sqlite3 reads %d lines, want %d", len(got), len(expected))
	}
}

func TestReadingLeavesNoTrace(t *testing.T) {
	path, _ := filled(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(path + "*")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(path)
	if len(names) != 1 || !bytes.Equal(before, after) {
		t.Errorf("reading left %q", names)
	}
}

func TestMode(t *testing.T) {
	path, _ := filled(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the archive has mode %v", info.Mode())
	}
}

// TestVacuumInto: a copy that SQLite's own VACUUM INTO makes, which is not in
// WAL mode, is put into it, and taken as the archive.
func TestVacuumInto(t *testing.T) {
	path, g := filled(t)
	into := filepath.Join(t.TempDir(), "copy.db")
	python := testenv.Python(t, "sqlite3")
	sql := func(path, statement string) string {
		t.Helper()
		out, err := exec.Command(python, "-c", "import sqlite3,sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(*row)", path, statement).CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	sql(path, "VACUUM INTO '"+into+"'")
	if mode := sql(into, "PRAGMA journal_mode"); mode != "delete" {
		t.Errorf("the copy is in mode %s", mode)
	}
	s, err := sqlite.Open(into)
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Head()
	if err != nil || head != g.Head {
		t.Errorf("%+v %v, want %+v", head, err, g.Head)
	}
	if err := s.Append(g.Batch(10)); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if mode := sql(into, "PRAGMA journal_mode"); mode != "wal" {
		t.Errorf("the copy is in mode %s after it was opened", mode)
	}
}

func TestForeignFiles(t *testing.T) {
	python := testenv.Python(t, "sqlite3")
	dir := t.TempDir()
	for name, statements := range map[string]string{
		"another's":     "CREATE TABLE x (y)",
		"newer version": fmt.Sprintf("CREATE TABLE head (x); PRAGMA application_id=%d; PRAGMA user_version=%d", 0x41764c74, store.Version+1),
	} {
		path := filepath.Join(dir, name)
		if out, err := exec.Command(python, "-c", "import sqlite3,sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])", path, statements).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if s, err := sqlite.Open(path); err == nil {
			s.Close()
			t.Errorf("%s opens for writing", name)
		}
		if s, err := sqlite.OpenReader(path); err == nil {
			s.Close()
			t.Errorf("%s opens for reading", name)
		}
	}
	path := filepath.Join(dir, "empty")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := sqlite.Open(path); err == nil {
		s.Close()
		t.Error("an empty file opens")
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("it was removed")
	}
}

// TestTwoMakers: of many who make an archive at one place, one does.
func TestTwoMakers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive.db")
	results := make(chan error, 20)
	for i := range byte(20) {
		go func() {
			s, err := sqlite.Create(path, ledger.ID{i})
			if err == nil {
				err = s.Close()
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
			results <- err
		}()
	}
	made := 0
	for range 20 {
		if <-results == nil {
			made++
		}
	}
	left, _ := filepath.Glob(path + "*")
	if made != 1 || len(left) != 1 {
		t.Errorf("%d archives were made, and %q is left", made, left)
	}
}

// BenchmarkAppend appends batches as the daemon does.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, err := sqlite.Create(filepath.Join(b.TempDir(), "archive.db"), storetest.ID)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			head, err := s.TakeOver()
			if err != nil {
				b.Fatal(err)
			}
			g := storetest.NewGenerator(head, 1)
			for b.Loop() {
				b.StopTimer()
				batch := g.Batch(size)
				g.Entries = g.Entries[:0]
				b.StartTimer()
				if err := s.Append(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
