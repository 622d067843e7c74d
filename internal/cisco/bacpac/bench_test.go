package bacpac

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
)

// BenchmarkScan reads an archive of encrypted rows. MB/s are of its rows before
// compression, as in BenchmarkInflate, which only inflates the same parts.
func BenchmarkScan(b *testing.B) {
	s := benchSource(b)
	b.SetBytes(2 * s.Size())
	for b.Loop() {
		rows := 0
		if err := s.Scan(b.Context(), cisco.ScanOptions{}, func(batch cisco.Batch) bool { rows += batch.Len(); batch.Release(); return true }); err != nil || rows == 0 {
			b.Fatal(rows, err)
		}
	}
}

func BenchmarkScanShort(b *testing.B) {
	s := benchSource(b)
	b.SetBytes(2 * s.Size())
	for b.Loop() {
		if err := s.Scan(b.Context(), cisco.ScanOptions{Short: true}, func(batch cisco.Batch) bool { batch.Release(); return true }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	s := benchSource(b)
	b.SetBytes(2 * s.Size())
	buf := make([]byte, streamBuffer)
	for b.Loop() {
		for _, p := range s.file.tables[s.table] {
			r, err := p.open()
			if err == nil {
				_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
			}
			if err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	}
}

func BenchmarkUTF16(b *testing.B) {
	raw := unhex(utf16Hex(strings.Repeat("The quick brown fox. ", 3000)))
	b.SetBytes(int64(len(raw)))
	var dst []byte
	for b.Loop() {
		dst = appendUTF16(dst[:0], raw)
	}
}

func benchSource(b *testing.B) *Source {
	b.Helper()
	var out bytes.Buffer
	if err := sample.WriteBacpac(&out, sample.New(sample.Options{Seed: 1, Utterances: 5000}).Rows); err != nil {
		b.Fatal(err)
	}
	s, err := openSource(out.Bytes(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return s
}
