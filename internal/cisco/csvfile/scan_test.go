package csvfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// counter counts what is read of a file.
type counter struct {
	*bytes.Reader
	bytes atomic.Int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.bytes.Add(int64(n))
	return n, err
}

// TestUnclosedQuotesAreLinear has quotes on every line that are closed only
// far away or nowhere: with searches that forget, each line would cost the
// rest of the file.
func TestUnclosedQuotesAreLinear(t *testing.T) {
	const lines = 40000
	for name, c := range map[string]struct {
		line string
		max  int
		rows int
	}{
		"never closed":            {`x,"y`, MaxRecord, lines + 2},
		"always one more":         {`x","y`, MaxRecord, lines + 2},
		"beyond the limit":        {`x","y`, 100 << 10, lines + 2},
		"doubled":                 {`x,"",""""`, MaxRecord, lines + 2},
		"first one, then doubled": {`""`, MaxRecord, lines + 2},
		"first one, to the limit": {`a,""`, 100 << 10, lines + 2},
		"two lines a record":      {`"""","""`, MaxRecord, lines/2 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(headerLine + "\n" + `a,"b` + "\n" + strings.Repeat(c.line+"\n", lines) + plainLine)
			src := &counter{Reader: bytes.NewReader(data)}
			f, err := newFile("jm.csv", src, int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			f.maxRecord, f.batchSize = c.max, 4096
			src.bytes.Store(0)
			rows := 0
			for s := f.Records(); ; {
				b, err := s.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				rows += len(b.Records)
				b.Release()
			}
			if n := src.bytes.Load(); n > 3*f.Size() {
				t.Errorf("%d bytes were read of a file of %d", n, f.Size())
			}
			if rows != c.rows {
				t.Errorf("%d rows, want %d", rows, c.rows)
			}
		})
	}
}

// TestRecordLimit has records around the limit, and quotes that are not closed
// within it.
func TestRecordLimit(t *testing.T) {
	line := func(n int) string { return body(strings.Repeat("A", n-len(plainLine)+4)) }
	const limit = 1000
	open := func(data string) *File {
		f, err := openBytes([]byte(headerLine + "\n" + data))
		if err != nil {
			t.Fatal(err)
		}
		f.maxRecord = limit
		f.dialect.Quoted = true // else the rows after a quote would close it
		return f
	}
	for _, size := range []int{7, 100, batchSize} {
		f := open(line(limit-1) + "\n" + plainLine + "\n" + line(limit-1) + "\n")
		rows, _, err := readAll(t, f, size)
		if err != nil || len(rows) != 3 {
			t.Fatalf("batches of %d: at the limit: %d rows, %v", size, len(rows), err)
		}
		f = open(plainLine + "\n" + line(limit) + "\n" + plainLine + "\n")
		rows, _, err = readAll(t, f, size)
		var p *problem.Error
		want := fmt.Sprintf("the record at byte %d has no end within 1000 bytes", len(headerLine)+len(plainLine)+2)
		if len(rows) != 1 || !errors.As(err, &p) || p.What != want {
			t.Fatalf("batches of %d: above the limit: %d rows, %v", size, len(rows), err)
		}
		f = open(body(`"x`) + "\n" + strings.Repeat(plainLine+"\n", 20) + body(`"y"`) + "\n")
		rows, _, err = readAll(t, f, size)
		if err != nil || len(rows) != 22 {
			t.Fatalf("batches of %d: a quote beyond the limit: %d rows, %v", size, len(rows), err)
		}
		compare(t, size, rows[:2], []readRow{unclosed(), with()})
		compare(t, size, rows[20:], []readRow{with(), with(cisco.BodyString, "y")})
	}
}

// TestMemory keeps several batches at a time, with rows of all sizes, and
// bounds what each holds.
func TestMemory(t *testing.T) {
	var data strings.Builder
	data.WriteString(headerLine + "\n")
	for i := range 20000 {
		data.WriteString(body(strings.Repeat("QUJD", i%800)) + "\n")
	}
	f, err := openBytes([]byte(data.String()))
	if err != nil {
		t.Fatal(err)
	}
	var kept []*Batch
	var number int64
	release := func(b *Batch) {
		var row cisco.Row
		for i := range b.Records {
			number++
			f.Row(&b.Records[i], b.First+int64(i), &row)
			if row.Number != number || row.Problem != "" || len(row.Cells[cisco.BodyString]) != 4*int((number-1)%800) {
				t.Fatalf("row %d is wrong", number)
			}
		}
		b.Release()
	}
	for s := f.Records(); ; {
		b, err := s.Next()
		if err != nil {
			break
		}
		if cap(b.buf) > 2*batchSize {
			t.Fatalf("a batch of %d bytes", cap(b.buf))
		}
		if kept = append(kept, b); len(kept) == 3 {
			release(kept[0])
			kept = kept[1:]
		}
	}
	for _, b := range kept {
		release(b)
	}
	if number != 20000 {
		t.Errorf("%d rows", number)
	}
}

// TestConcurrent reads rows and records in several goroutines, for the race
// detector.
func TestConcurrent(t *testing.T) {
	f, err := openBytes([]byte(headerLine + "\n" + strings.Repeat(plainLine+"\n", 5000)))
	if err != nil {
		t.Fatal(err)
	}
	want := with()
	batches := make(chan *Batch)
	var rows atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var buf []byte
			for b := range batches {
				for i := range b.Records {
					again, next, err := f.ReadRecord(b.Records[i].Offset, b.Records[i].Length, buf)
					buf = next
					if number := b.First + int64(i); err != nil || split1(f, &again, number) != want || split1(f, &b.Records[i], number) != want {
						t.Errorf("row %d is wrong", number)
					}
					rows.Add(1)
				}
				b.Release()
			}
		})
	}
	f.batchSize = 4096
	for s := f.Records(); ; {
		b, err := s.Next()
		if err != nil {
			break
		}
		batches <- b
	}
	close(batches)
	wg.Wait()
	if rows.Load() != 5000 {
		t.Errorf("%d rows", rows.Load())
	}
}
