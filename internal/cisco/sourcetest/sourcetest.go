// Package sourcetest is what every source of rows must do, as a test. For tests
// only.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/testenv"
)

// Table is a source under test.
type Table interface {
	Describe() string
	Notes() []string
	Size() int64
	Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error
	Close() error
}

// Fetcher is a source that finds rows again.
type Fetcher interface {
	Fetches() bool
	Fetch(ctx context.Context, places []cisco.Place) (cisco.Batch, error)
}

// Finder is a source that looks rows up.
type Finder interface {
	Find(ctx context.Context, l cisco.Lookup, o cisco.ScanOptions, emit func(cisco.Batch) bool) error
}

// Rows are what a store under test must hold: made-up messages, and values that
// stores and their protocols stumble over.
func Rows() []sample.Row {
	utterances := 300
	if testenv.Race {
		utterances = 30
	}
	rows := sample.New(sample.Options{Seed: 11, Utterances: utterances}).Rows
	odd := func(body, stanza string) {
		r := rows[0]
		r.Cells[9], r.Cells[10], r.Cells[11], r.Cells[12] = body, stanza, "", sample.NULL
		rows = append(rows, r)
	}
	odd("a\nb\r\nc\td", `quotes " ' and \ and \\n`)
	odd("NULL", `\N`)
	odd("", sample.NULL)
	odd(sample.NULL, "")
	odd("😀 beyond the first plane, and e\u0301 composed", "\ufeffa mark, \u202eturned\u202c, \x01 control")
	odd(strings.Repeat("x", cisco.ShortChars), strings.Repeat("é", cisco.ShortChars+1))
	odd("%_[]{}$1 ?; DROP TABLE jm --", "{\"a\":1}")
	for _, jid := range []string{`100%_a'b\20c@x/r`, `100%`, `100xyz`, `_`, `\20@x`, `'; --@x`, "ü@x/r", "üü@x", strings.Repeat("ä", 64), strings.Repeat("ä", 65) + "/r", strings.Repeat("long", 20) + "@x/r", strings.Repeat("long", 20) + "@X/r"} {
		r := rows[0]
		r.Cells[cisco.ToJID] = jid
		rows = append(rows, r)
	}
	long := rows[0]
	long.Cells[9], long.Cells[10] = sample.NULL, ""
	long.Cells[11], long.Cells[12] = strings.Repeat("long ", 300_000), strings.Repeat("ü", 700_000)
	rows = append(rows, long)
	for i := range rows {
		rows[i].Cells[cisco.Subject] = fmt.Sprint("row ", i) // by which it is known again
	}
	return rows
}

// want returns the row that got should be.
func want(t *testing.T, rows []sample.Row, got cisco.Row) sample.Row {
	t.Helper()
	var i int
	if _, err := fmt.Sscanf(string(got.Cells[cisco.Subject]), "row %d", &i); err != nil || i < 0 || i >= len(rows) {
		t.Fatalf("row %d has the subject %.60q", got.Number, got.Cells[cisco.Subject])
	}
	return rows[i]
}

// Options tell what a store cannot hold.
type Options struct {
	EmptyIsNull bool // an empty text is NULL
}

// Run tests the source that open makes of rows, in whatever order it stores
// them.
func Run(t *testing.T, open func(t *testing.T, rows []sample.Row) Table) { RunWith(t, Options{}, open) }

// RunWith is Run for a store that cannot hold everything.
func RunWith(t *testing.T, o Options, open func(t *testing.T, rows []sample.Row) Table) {
	rows := Rows()
	for i := range rows {
		for c, cell := range rows[i].Cells {
			if o.EmptyIsNull && cell == "" {
				rows[i].Cells[c] = sample.NULL
			}
		}
	}
	table := open(t, rows)
	defer table.Close()
	ctx := context.Background()
	t.Run("every cell", func(t *testing.T) {
		got := scan(t, table, cisco.ScanOptions{})
		if len(got) != len(rows) {
			t.Fatalf("%d rows, not %d", len(got), len(rows))
		}
		size, seen := int64(0), map[string]bool{}
		for i, r := range got {
			size += r.Size
			if r.Number != int64(i)+1 || r.Problem != "" || r.Short {
				t.Fatalf("row %d has number %d, problem %q, short %v", i+1, r.Number, r.Problem, r.Short)
			}
			compare(t, r, want(t, rows, r))
			seen[string(r.Cells[cisco.Subject])] = true
		}
		if len(seen) != len(rows) {
			t.Errorf("%d different rows, not %d", len(seen), len(rows))
		}
		if s := table.Size(); s != 0 && (s < size/50 || s > size*8) {
			t.Errorf("the table has %d bytes and its rows %d", s, size)
		}
		if again := scan(t, table, cisco.ScanOptions{BatchBytes: 10_000}); !slices.EqualFunc(got, again, equal) {
			t.Error("a second scan gives other rows")
		}
	})
	t.Run("short", func(t *testing.T) {
		for i, r := range scan(t, table, cisco.ScanOptions{Short: true}) {
			truth := want(t, rows, r)
			for c, cell := range r.Cells[:len(truth.Cells)] {
				want := truth.Cells[c]
				whole := cell == nil && want == sample.NULL || cell != nil && string(cell) == want || cisco.Column(c) == cisco.SentDate
				if whole {
					continue
				}
				if !r.Short || cell == nil || !strings.HasPrefix(want, string(cell)) || units(cell) < cisco.ShortChars-1 {
					t.Fatalf("row %d, short %v, column %v is %.40q, not the beginning of %.40q", i+1, r.Short, cisco.Column(c), cell, want)
				}
			}
		}
	})
	t.Run("fetch", func(t *testing.T) {
		f, ok := table.(Fetcher)
		if !ok || !f.Fetches() {
			t.Log("this source does not fetch")
			return
		}
		all := scan(t, table, cisco.ScanOptions{Short: true})
		random := rand.New(rand.NewPCG(3, 4))
		order := random.Perm(len(all))
		for len(order) > 0 {
			n := min(len(order), 1+random.IntN(100))
			var places []cisco.Place
			for _, i := range order[:n] {
				places = append(places, all[i].Place)
			}
			b, err := f.Fetch(ctx, places)
			if err != nil {
				t.Fatal(err)
			}
			got := take(b)
			if len(got) != n {
				t.Fatalf("%d rows for %d places", len(got), n)
			}
			for k, i := range order[:n] {
				if compare(t, got[k], want(t, rows, got[k])); string(got[k].Cells[cisco.Subject]) != string(all[i].Cells[cisco.Subject]) {
					t.Fatalf("%q comes instead of %q", got[k].Cells[cisco.Subject], all[i].Cells[cisco.Subject])
				}
			}
			order = order[n:]
		}
	})
	t.Run("find", func(t *testing.T) {
		f, ok := table.(Finder)
		if !ok {
			t.Log("this source does not look rows up")
			return
		}
		random := rand.New(rand.NewPCG(5, 6))
		rounds := 40
		if testenv.Race {
			rounds = 4
		}
		for round := range rounds {
			var l cisco.Lookup
			for range 1 + random.IntN(5)*random.IntN(5)*random.IntN(50) {
				r := rows[random.IntN(len(rows))]
				if round%4 == 0 {
					r = rows[len(rows)-1-random.IntN(20)]
				}
				cell := []rune(r.Cells[random.IntN(2)])
				if random.IntN(3) == 0 {
					l.Equals = append(l.Equals, string(cell))
				} else {
					l.Starts = append(l.Starts, string(cell[:1+random.IntN(len(cell))]))
				}
			}
			wanted := map[string]bool{}
			for _, r := range rows {
				if l.Match([]byte(r.Cells[cisco.ToJID])) || l.Match([]byte(r.Cells[cisco.FromJID])) {
					wanted[r.Cells[cisco.Subject]] = true
				}
			}
			got := collect(t, func(emit func(cisco.Batch) bool) error { return f.Find(ctx, l, cisco.ScanOptions{}, emit) })
			found := 0
			for i, r := range got {
				compare(t, r, want(t, rows, r))
				if wanted[string(r.Cells[cisco.Subject])] {
					found++
				} else if !anyCase(&l, r.Cells[cisco.ToJID]) && !anyCase(&l, r.Cells[cisco.FromJID]) || r.Number != int64(i)+1 {
					t.Fatalf("row %d, %q, is not looked for", r.Number, r.Cells[cisco.Subject])
				}
			}
			if found != len(wanted) {
				t.Fatalf("%d rows, not %d, for %.300q", found, len(wanted), l)
			}
		}
		if got := collect(t, func(emit func(cisco.Batch) bool) error { return f.Find(ctx, cisco.Lookup{}, cisco.ScanOptions{}, emit) }); len(got) != 0 {
			t.Errorf("nothing is looked for, and %d rows are found", len(got))
		}
	})
	t.Run("stopped", func(t *testing.T) {
		table := open(t, rows)
		defer table.Close()
		batches := 0
		err := table.Scan(ctx, cisco.ScanOptions{BatchBytes: 1}, func(b cisco.Batch) bool {
			b.Release()
			batches++
			return batches < 3
		})
		if err != nil || batches != 3 {
			t.Errorf("%d batches, %v", batches, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		table := open(t, rows)
		defer table.Close()
		ctx, cancel := context.WithCancel(ctx)
		err := table.Scan(ctx, cisco.ScanOptions{BatchBytes: 1}, func(b cisco.Batch) bool {
			b.Release()
			cancel()
			return true
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		table := open(t, nil)
		defer table.Close()
		if got := scan(t, table, cisco.ScanOptions{}); len(got) != 0 {
			t.Errorf("%d rows", len(got))
		}
	})
}

func scan(t *testing.T, table Table, o cisco.ScanOptions) (rows []cisco.Row) {
	t.Helper()
	return collect(t, func(emit func(cisco.Batch) bool) error { return table.Scan(context.Background(), o, emit) })
}

// collect copies all rows that read gives.
func collect(t *testing.T, read func(emit func(cisco.Batch) bool) error) (rows []cisco.Row) {
	t.Helper()
	if err := read(func(b cisco.Batch) bool {
		rows = append(rows, take(b)...)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}

// take copies the rows of a batch and releases it.
func take(b cisco.Batch) (rows []cisco.Row) {
	for i := range b.Len() {
		var r cisco.Row
		b.Row(i, &r)
		for c, cell := range r.Cells {
			r.Cells[c] = slices.Clone(cell)
		}
		rows = append(rows, r)
	}
	b.Release()
	return rows
}

func compare(t *testing.T, got cisco.Row, want sample.Row) {
	t.Helper()
	for c, cell := range got.Cells[:len(want.Cells)] {
		switch {
		case cisco.Column(c) == cisco.SentDate:
			if at, ok := cisco.ParseSentDate(cell); !ok || !at.Equal(want.Time.Truncate(time.Millisecond)) {
				t.Fatalf("row %d was sent %q, not %v", got.Number, cell, want.Time)
			}
		case (cell == nil) != (want.Cells[c] == sample.NULL) || cell != nil && string(cell) != want.Cells[c]:
			t.Fatalf("row %d, column %v is %.60q (NULL: %v), not %.60q", got.Number, cisco.Column(c), cell, cell == nil, want.Cells[c])
		}
	}
}

// anyCase tells whether a cell is looked for by a database that takes a letter
// and its capital for one.
func anyCase(l *cisco.Lookup, cell []byte) bool {
	lower := func(list []string) (all []string) {
		for _, v := range list {
			all = append(all, strings.ToLower(v))
		}
		return all
	}
	folded := cisco.Lookup{Starts: lower(l.Starts), Equals: lower(l.Equals)}
	return folded.Match([]byte(strings.ToLower(string(cell))))
}

// units counts as SQL Server may: a character beyond U+FFFF is two, of which
// the second may be cut off.
func units(cell []byte) int { return len(utf16.Encode([]rune(string(cell)))) }

func equal(a, b cisco.Row) bool {
	return fmt.Sprint(a.Number, a.Cells) == fmt.Sprint(b.Number, b.Cells)
}
