package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"archivolt/internal/cisco"
	"archivolt/internal/message"
	"archivolt/internal/problem"
)

const header = "to_jid,from_jid,sent_date,body_string\n"

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestIndex: what is put in comes out, and the order is that of time, equal
// times in the order of the file.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type row struct {
			ms    int64
			key   uint8
			place cisco.Place
		}
		rows := rapid.SliceOf(rapid.Custom(func(r *rapid.T) row {
			return row{rapid.Int64Range(-1<<41, 1<<45).Draw(r, "ms"), rapid.Uint8().Draw(r, "key"), cisco.Place(rapid.Uint64().Draw(r, "place"))}
		})).Draw(r, "rows")
		var x index
		for i, w := range rows {
			x.add(time.UnixMilli(w.ms), 0)
			x.setKey(i, w.key)
			x.addPlace(w.place)
		}
		for i, w := range rows {
			if x.time(i) != w.ms || x.key(i) != w.key || x.place(i) != w.place {
				r.Fatalf("row %d: %d, %d, %d; want %+v", i, x.time(i), x.key(i), x.place(i), w)
			}
		}
		if got, want := x.sorted(), slices.IsSortedFunc(rows, func(a, b row) int { return int(max(-1, min(1, a.ms-b.ms))) }); got != want {
			r.Fatalf("sorted is %v", got)
		}
		x.sort()
		for i := 1; i < x.len(); i++ {
			a, b := x.byTime(i-1), x.byTime(i)
			if x.time(a) > x.time(b) || x.time(a) == x.time(b) && a >= b {
				r.Fatalf("row %d stands before row %d", a, b)
			}
		}
	})
}

// TestFileChanges: a file that shrinks between the passes makes the result
// incomplete, and that is said. One that grows is read as it was.
func TestFileChanges(t *testing.T) {
	rows := "a@x,b@x,2024-01-01 00:00:00,one\na@x,b@x,2024-01-01 00:00:01,two\n"
	for name, c := range map[string]struct {
		then string
		n    int
		err  string
	}{
		"grown":     {header + rows + rows, 2, ""},
		"shrunk":    {header + rows[:len(rows)/2], 0, "became shorter while it was read"},
		"rewritten": {header + strings.Replace(rows, "one\n", "one ", 1), 1, "it had 2 rows and then 1"},
	} {
		path := writeFile(t, "jm.csv", header+rows)
		a, err := Open(context.Background(), []string{path}, Keys{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Survey(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.then), 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		err = a.Rows(context.Background(), func(*message.Message) error { n++; return nil })
		if n != c.n || (err == nil) != (c.err == "") || err != nil && (problem.ClassOf(err) != problem.Failed || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %d rows, %v", name, n, err)
		}
		a.Close()
	}
}

// TestEarlyEnd: an error of the consumer, or of the context, ends the reading
// at once and is returned, whatever the workers are doing.
func TestEarlyEnd(t *testing.T) {
	path := writeFile(t, "jm.csv", header+strings.Repeat("a@x,b@x,2024-01-01 00:00:00,text\n", 200_000))
	stop := errors.New("enough")
	for name, several := range map[string][]string{"one file": {path}, "two files": {path, path}} {
		a, err := Open(context.Background(), several, Keys{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = a.ByTime(context.Background(), func(*message.Message) error {
			if n++; n == 1000 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || n != 1000 {
			t.Errorf("%s: %v after %d rows", name, err, n)
		}
		ctx, cancel := context.WithCancel(context.Background())
		err = a.ByTime(ctx, func(*message.Message) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		a.Close()
	}
}

// TestOrder: rows without a date come first, equal times keep their order, and
// numbers are those of the file.
func TestOrder(t *testing.T) {
	path := writeFile(t, "jm.csv", header+
		"a@x,b@x,2024-01-01 00:00:02,late\n"+
		"a@x,b@x,no date,undated\n"+
		"a@x,b@x,2024-01-01 00:00:01,first\n"+
		"a@x,b@x,2024-01-01 00:00:01,second\n")
	a, err := Open(context.Background(), []string{path}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []string
	if err := a.ByTime(context.Background(), func(m *message.Message) error {
		got = append(got, m.Body.Text+string(rune('0'+m.Row)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"undated2", "first3", "second4", "late1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
