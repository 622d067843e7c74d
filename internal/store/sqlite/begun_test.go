package sqlite_test

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"archivolt/internal/problem"
	"archivolt/internal/store"
	"archivolt/internal/store/sqlite"
)

// TestWriterBegins: an archive that nobody wrote to is read, and then somebody
// writes. The reader is told so by whatever it reads next; in particular it
// never takes a mixture of two states for damage.
func TestWriterBegins(t *testing.T) {
	for _, c := range []struct {
		name    string
		batches int  // so many that SQLite moves pages into the file, or not
		end     bool // the writer ends before anything is read
	}{
		{"and has written little", 1, false}, {"and has written much", 20, false},
		{"and has ended", 1, true}, {"and has written much and ended", 20, true},
	} {
		for _, m := range methods {
			if m.name == "Append" || m.name == "TakeOver" || m.name == "SaveCheckpoint" {
				continue
			}
			t.Run(m.name+" "+c.name, func(t *testing.T) {
				path, g := filled(t)
				r, err := sqlite.OpenReader(path)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if err := m.call(r, nil); err != nil {
					t.Errorf("before: %v", err)
				}
				w, err := sqlite.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				if g.Head, err = w.TakeOver(); err != nil {
					t.Fatal(err)
				}
				for range c.batches {
					if err := w.Append(g.Batch(100)); err != nil {
						t.Fatal(err)
					}
				}
				if c.end {
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
				}
				err = m.call(r, nil)
				var p *problem.Error
				if !errors.As(err, &p) || p.Class != problem.Unavailable || p.Object != path || p.Try == "" || !errors.Is(err, store.ErrChanged) {
					t.Errorf("it gives %v", err)
				}
				again, err := sqlite.OpenReader(path)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				if err := m.call(again, nil); err != nil {
					t.Errorf("opened again: %v", err)
				}
			})
		}
	}
}

// readAndOpened opens an archive for reading, and then for writing.
func readAndOpened(t *testing.T, path string) (r, w *sqlite.Store) {
	t.Helper()
	r, err := sqlite.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if w, err = sqlite.Open(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return r, w
}

// TestWriterBeginsInside: the writer begins while records are given. Whatever
// the caller thinks of what it was given, it gets the reason.
func TestWriterBeginsInside(t *testing.T) {
	path, g := filled(t)
	r, w := readAndOpened(t, path)
	n := 0
	err := r.Records(t.Context(), store.Query{}, func(*store.Entry) (err error) {
		if n++; n != 100 {
			return nil
		}
		if g.Head, err = w.TakeOver(); err != nil {
			return err
		}
		return errors.Join(w.Append(g.Batch(10)), errors.New("this record is not what was sealed"))
	})
	if !errors.Is(err, store.ErrChanged) {
		t.Errorf("it gives %v", err)
	}
}

// TestOpenedAndNotWritten: an archive that a program has opened and not written
// to is read on.
func TestOpenedAndNotWritten(t *testing.T) {
	path, _ := filled(t)
	r, w := readAndOpened(t, path)
	if _, err := w.Head(); err != nil {
		t.Fatal(err)
	}
	for _, m := range methods {
		if m.name == "Append" || m.name == "TakeOver" || m.name == "SaveCheckpoint" {
			continue
		}
		if err := m.call(r, nil); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestReplaced: another file is put in the place of one that is read.
func TestReplaced(t *testing.T) {
	path, _ := filled(t)
	other, _ := filled(t)
	r, err := sqlite.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if runtime.GOOS == "windows" {
		t.Skip("skipped: on Windows nothing takes the place of a file that is open")
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Head(); !errors.Is(err, store.ErrChanged) {
		t.Errorf("it gives %v", err)
	}
}
