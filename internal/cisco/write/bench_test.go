//go:build unix

package write

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

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

// BenchmarkAppend writes batches of one row, as on a quiet day, and of many
// into databases that bring them to the disk. PostgreSQL's peer is a COPY of
// the same rows that does nothing else, turn by turn.
func BenchmarkAppend(b *testing.B) {
	copies, _ := talk(benchRows)
	e := NewEncoder(testKey, testIV, Options{})
	all := rowsOf(b, e, copies...)
	server := testenv.StartPostgres(b, "fsync=on")
	conn, err := pgconn.Connect(b.Context(), server.URL("postgres", "postgres"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	bare := func(b *testing.B, rows []Row) time.Duration {
		begin := time.Now()
		if _, err := conn.CopyFrom(b.Context(), copyOf(rows), "COPY jm FROM STDIN"); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin)
	}
	append := func(b *testing.B, d database, rows int, peer func(*testing.B, []Row) time.Duration) {
		defer d.Close()
		var ours, theirs time.Duration
		spool, turn := uint64(0), 0
		for b.Loop() {
			from := turn * rows % benchRows
			turn++
			batch := &Batch{Rows: all[from : from+rows], Marks: map[string]uint64{"queue/x": spool + uint64(rows)}, After: spool, Spool: spool + uint64(rows), Key: e.Fingerprint()}
			begin := time.Now()
			if err := d.Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			ours += time.Since(begin)
			spool = batch.Spool
			if peer != nil {
				theirs += peer(b, batch.Rows)
			}
		}
		b.ReportMetric(float64(spool)/ours.Seconds(), "rows/s")
		b.ReportMetric(float64(ours.Microseconds())/float64(turn), "µs/batch")
		if peer != nil {
			b.ReportMetric(float64(theirs)/float64(ours), "of-COPY-alone")
		}
	}
	for _, rows := range []int{1, 100, benchRows} {
		b.Run(fmt.Sprintf("PostgreSQL/%d", rows), func(b *testing.B) {
			d, err := OpenPostgres(b.Context(), server.URL("postgres", "postgres"), DatabaseOptions{Create: true})
			if err != nil {
				b.Fatal(err)
			}
			server.SQL("postgres", "TRUNCATE jm; UPDATE archivolt_head SET spool = 0")
			append(b, d, rows, bare)
		})
	}
	b.Run("SQLite", func(b *testing.B) {
		d, err := OpenSQLite(filepath.Join(b.TempDir(), "jm.db"), DatabaseOptions{Create: true})
		if err != nil {
			b.Fatal(err)
		}
		append(b, d, benchRows, nil)
	})
}
