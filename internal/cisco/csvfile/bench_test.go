package csvfile

import (
	"encoding/base64"
	"encoding/csv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco"
)

// benchFile writes about 64 MB of rows of 1.4 kB, as SSMS saves them.
func benchFile(b *testing.B, quoted bool) (name string, size, rows int64) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	value := func(n int) string {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		return base64.StdEncoding.EncodeToString(p)
	}
	var out strings.Builder
	out.WriteString("\ufeff" + headerLine + "\r\n")
	for out.Len() < 64<<20 {
		line := strings.Replace(body(value(176)), "REVG", value(752), 1)
		if quoted {
			line = `"` + strings.ReplaceAll(line, ",", `","`) + `"`
		}
		out.WriteString(line + "\r\n")
		rows++
	}
	name = filepath.Join(b.TempDir(), "jm.csv")
	if err := os.WriteFile(name, []byte(out.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return name, int64(out.Len()), rows
}

// BenchmarkScan reads a file and splits its rows in one goroutine, beside
// encoding/csv on the same file.
func BenchmarkScan(b *testing.B) {
	for _, quoted := range []bool{false, true} {
		kind := "unquoted"
		if quoted {
			kind = "quoted"
		}
		b.Run(kind, func(b *testing.B) {
			name, size, rows := benchFile(b, quoted)
			b.SetBytes(size)
			// Turn by turn, so that a slow moment of the machine hits both.
			var ours, theirs time.Duration
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				if n := scanRows(b, name); n != rows {
					b.Fatalf("%d rows, want %d", n, rows)
				}
				ours += time.Since(begin)
				b.StopTimer()
				begin = time.Now()
				if n := encodingCSVRows(b, name); n != rows {
					b.Fatalf("encoding/csv: %d rows, want %d", n, rows)
				}
				theirs += time.Since(begin)
				b.StartTimer()
			}
			b.ReportMetric(float64(int64(b.N)*rows)/ours.Seconds(), "rows/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "times-encoding/csv")
		})
	}
}

func scanRows(b *testing.B, name string) (rows int64) {
	f, err := Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var row cisco.Row
	for s := f.Records(); ; {
		batch, err := s.Next()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			b.Fatal(err)
		}
		for i := range batch.Records {
			f.Row(&batch.Records[i], batch.First+int64(i), &row)
			if row.Problem != "" {
				b.Fatal(row.Problem)
			}
		}
		rows += int64(len(batch.Records))
		batch.Release()
	}
}

func encodingCSVRows(b *testing.B, name string) (rows int64) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(3, io.SeekStart); err != nil { // the byte order mark
		b.Fatal(err)
	}
	r := csv.NewReader(f)
	r.ReuseRecord = true
	for rows = -1; ; rows++ { // the header is none
		if _, err := r.Read(); err == io.EOF {
			return rows
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
