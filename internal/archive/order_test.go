package archive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/message"
)

// scanOnly is a table of which rows cannot be fetched, and whose size is what a
// test says.
type scanOnly struct {
	table
	size int64
}

func (s scanOnly) Size() int64 { return s.size }

// TestOrderOfTime reads one archive in the order of time in each way there is,
// and compares with the order of the truth.
func TestOrderOfTime(t *testing.T) {
	truth := sample.New(sample.Options{Seed: 5, Utterances: 1500}).Rows
	random := rand.New(rand.NewPCG(1, 2))
	inOrder := slices.Clone(truth)
	slices.SortStableFunc(inOrder, func(a, b sample.Row) int { return a.Time.Compare(b.Time) })
	nearly := slices.Clone(inOrder)
	for i := 0; i+20 < len(nearly); i += 10 {
		j := i + random.IntN(20)
		nearly[i], nearly[j] = nearly[j], nearly[i]
	}
	shuffled := slices.Clone(inOrder)
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, c := range []struct {
		name string
		rows []sample.Row
		size int64 // pretended; 0 for the true one, which can be fetched from
		way  way
	}{
		{"in order", inOrder, 0, straight},
		{"nearly", nearly, 0, waiting},
		{"shuffled, small", shuffled, 0, waiting},
		{"shuffled", shuffled, 0, fetching},
		{"nearly, scans only", nearly, 1 << 30, waiting},
		{"shuffled, scans only", shuffled, 1 << 30, ranges},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jm.csv")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := sample.WriteCSV(f, c.rows); err != nil {
				t.Fatal(err)
			}
			f.Close()
			a, err := Open(context.Background(), []string{path}, Keys{}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			switch p := a.parts[0]; {
			case c.size > 0:
				p.stored.(*jm).table = scanOnly{p.stored.(*jm).table, c.size}
			case c.way == fetching:
				p.stored.(*jm).table = pretended{p.stored.(*jm).table.(fetchTable), 1 << 30}
			}
			want := make([]int64, len(c.rows))
			for i := range want {
				want[i] = int64(i) + 1
			}
			slices.SortStableFunc(want, func(x, y int64) int { return c.rows[x-1].Time.Compare(c.rows[y-1].Time) })
			for range 2 { // the second reading finds all as the first left it
				var got []int64
				err = a.ByTime(context.Background(), func(m *message.Message) error {
					got = append(got, m.Row)
					if w := c.rows[m.Row-1]; m.Thread.Text != w.Cells[4] && w.Cells[4] != sample.NULL || !m.Time.Equal(w.Time) {
						return fmt.Errorf("row %d is another one", m.Row)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("the order is wrong")
				}
			}
			if a.parts[0].way != c.way {
				t.Errorf("it was read in way %d, not %d", a.parts[0].way, c.way)
			}
		})
	}
}

// pretended is a table that seems larger than it is.
type pretended struct {
	fetchTable
	size int64
}

type fetchTable interface {
	table
	fetcher
}

func (p pretended) Size() int64 { return p.size }

// counting tells how many tables are being scanned.
type counting struct {
	table
	now, most *atomic.Int32
}

func (c counting) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	return c.table.Scan(ctx, o, emit)
}

// TestMergeReadsFew: of a hundred files that follow each other in time, two are
// read at a time at most, whatever the order in which they are named.
func TestMergeReadsFew(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for day := range 100 {
		text := header
		for minute := range 50 {
			at := time.Date(2024, 1, 1+day, 0, 17*minute, 0, 0, time.UTC).Format("2006-01-02 15:04:05")
			text += "a@x,b@x," + at + ",text\n"
			want = append(want, at)
		}
		name := fmt.Sprintf("jm-%02d.csv", 99-day)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := Open(context.Background(), []string{dir}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var now, most atomic.Int32
	for _, p := range a.parts {
		p.stored.(*jm).table = counting{p.stored.(*jm).table, &now, &most}
	}
	var got []string
	if err := a.ByTime(context.Background(), func(m *message.Message) error {
		got = append(got, m.Time.Format("2006-01-02 15:04:05"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("the order is wrong")
	}
	if most.Load() > 2 || a.overlap != 1 {
		t.Errorf("%d files were read at a time; %d overlap", most.Load(), a.overlap)
	}
}
