package csvfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"archivolt/internal/cisco"
)

// null stands for a NULL in expected rows.
const null = "\x00NULL"

// readRow is a row as the tests compare it.
type readRow struct {
	Cells   [cisco.NumColumns]string
	Problem string
}

// place is a record as it came, before it was split.
type place struct {
	offset int64
	length int32
	text   string
}

// openBytes opens data as a file, without one.
func openBytes(data []byte) (*File, error) {
	return newFile("jm.csv", bytes.NewReader(data), int64(len(data)))
}

// openFile opens data as a real file.
func openFile(tb testing.TB, data []byte) (*File, error) {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "jm.csv")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	f, err := Open(name)
	if err == nil {
		tb.Cleanup(func() { f.Close() })
	}
	return f, err
}

// readAll scans f with the given size of batches. Each record is also read a
// second time by its place and must be the same.
func readAll(tb testing.TB, f *File, size int) (rows []readRow, places []place, err error) {
	tb.Helper()
	f.batchSize = size
	defer func() { f.batchSize = batchSize }()
	s := f.Records()
	var buf []byte
	for {
		b, err := s.Next()
		if err != nil {
			if _, again := s.Next(); again != err {
				tb.Fatalf("after the error %v comes %v", err, again)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return rows, places, err
		}
		if len(b.Records) == 0 || b.First != int64(len(rows))+1 {
			tb.Fatalf("a batch of %d records begins with row %d after %d rows", len(b.Records), b.First, len(rows))
		}
		for i := range b.Records {
			rec := &b.Records[i]
			p := place{rec.Offset, rec.Length, string(rec.Text)}
			var again Record
			again, buf, err = f.ReadRecord(rec.Offset, rec.Length, buf)
			if err != nil {
				tb.Fatalf("row %d cannot be read again: %v", len(rows)+1, err)
			}
			if again.Offset != p.offset || again.Length != p.length || string(again.Text) != p.text {
				tb.Fatalf("row %d, read again: %d bytes of text at %d+%d, first %d at %d+%d", len(rows)+1,
					len(again.Text), again.Offset, again.Length, len(p.text), p.offset, p.length)
			}
			first, second := split1(f, rec, int64(len(rows)+1)), split1(f, &again, int64(len(rows)+1))
			if first != second {
				tb.Fatalf("row %d is split in two ways", len(rows)+1)
			}
			rows, places = append(rows, first), append(places, p)
		}
		b.Release()
	}
}

func split1(f *File, rec *Record, number int64) readRow {
	// What an earlier row left behind must be gone.
	row := cisco.Row{Problem: "left"}
	for i := range row.Cells {
		row.Cells[i] = []byte("left")
	}
	f.Row(rec, number, &row)
	got := readRow{Problem: row.Problem}
	for i, cell := range row.Cells {
		got.Cells[i] = string(cell)
		if cell == nil {
			got.Cells[i] = null
		}
	}
	if row.Number != number {
		got.Problem = "wrong number"
	}
	return got
}

// utf16Bytes encodes text, which is valid UTF-8.
func utf16Bytes(text string, order binary.AppendByteOrder) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, u)
	}
	return out
}
