//go:build unix

package write

import (
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/testenv"
)

// benchRows is how many rows go into a batch.
const benchRows = 1000

// BenchmarkRows makes rows of messages.
func BenchmarkRows(b *testing.B) {
	copies, _ := talk(benchRows)
	for name, o := range map[string]Options{"each copy": {}, "each message": {PerMessage: true}} {
		b.Run(name, func(b *testing.B) {
			e := NewEncoder(testKey, testIV, o)
			for b.Loop() {
				if _, _, err := e.Rows(copies); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*benchRows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkAppend writes batches into databases that bring them to the disk.
// The peer is a COPY of the same rows that does nothing else.
func BenchmarkAppend(b *testing.B) {
	copies, _ := talk(benchRows)
	e := NewEncoder(testKey, testIV, Options{})
	rows := rowsOf(b, e, copies...)
	server := testenv.StartPostgres(b, "fsync=on")
	append := func(b *testing.B, d database) {
		defer d.Close()
		spool := uint64(0)
		for b.Loop() {
			if err := d.Append(b.Context(), &Batch{Rows: rows, Marks: map[string]uint64{"queue/x": spool + benchRows}, After: spool, Spool: spool + benchRows, Key: e.Fingerprint()}); err != nil {
				b.Fatal(err)
			}
			spool += benchRows
		}
		b.ReportMetric(float64(spool)/b.Elapsed().Seconds(), "rows/s")
	}
	b.Run("PostgreSQL", func(b *testing.B) {
		d, err := OpenPostgres(b.Context(), server.URL("postgres", "postgres"), DatabaseOptions{Create: true})
		if err != nil {
			b.Fatal(err)
		}
		server.SQL("postgres", "TRUNCATE jm; UPDATE archivolt_head SET spool = 0")
		append(b, d)
	})
	b.Run("COPY alone", func(b *testing.B) {
		conn, err := pgconn.Connect(b.Context(), server.URL("postgres", "postgres"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(b.Context())
		server.SQL("postgres", "TRUNCATE jm")
		for b.Loop() {
			if _, err := conn.CopyFrom(b.Context(), copyOf(rows), "COPY jm FROM STDIN"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*benchRows)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("SQLite", func(b *testing.B) {
		d, err := OpenSQLite(filepath.Join(b.TempDir(), "jm.db"), DatabaseOptions{Create: true})
		if err != nil {
			b.Fatal(err)
		}
		append(b, d)
	})
}
