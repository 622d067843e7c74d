//go:build unix

package capture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/cisco/write"
	"archivolt/internal/testenv"
	"archivolt/internal/xmpp"
)

// cpu is the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stanzas of about the size that chats have, from a few people.
func benchStanza(n uint64) []byte {
	return fmt.Appendf(nil, "<message xmlns='jabber:client' from='anna%d@example.org/desk' to='ben%d@example.org/phone' id='%032x' type='chat'><body>%s</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>",
		n%50, n%70, n, bytes.Repeat([]byte("text "), 60))
}

// BenchmarkAcknowledge delivers batches and waits until they are acknowledged,
// turn by turn with appending as many bytes to a file and syncing it.
func BenchmarkAcknowledge(b *testing.B) {
	for _, batch := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			p := newPlace(b)
			s := p.start(b, p.config())
			f, err := os.Create(filepath.Join(p.dir, "bare"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			const turns = 5
			next := uint64(1)
			var copies []xmpp.Copy
			var whole []byte
			var ours, bare time.Duration
			for b.Loop() {
				for range turns {
					copies, whole = copies[:0], whole[:0]
					for range batch {
						copies = append(copies, xmpp.Copy{Host: "example.org", Source: "q", Number: next, Stanza: benchStanza(next)})
						whole = append(whole, copies[len(copies)-1].Stanza...)
						next++
					}
					start := time.Now()
					if err := deliver(s, copies); err != nil {
						b.Fatal(err)
					}
					middle := time.Now()
					if _, err := f.Write(whole); err != nil {
						b.Fatal(err)
					}
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
					ours += middle.Sub(start)
					bare += time.Since(middle)
				}
			}
			b.ReportMetric(float64(bare)/float64(ours), "of-bare-speed")
			b.ReportMetric(float64(next-1)/ours.Seconds(), "messages/s")
		})
	}
}

// sustain delivers messages as fast as they are acknowledged, and waits until
// all are in the archive of a service. The timer stands still before and after.
func sustain(b *testing.B, s *Service, messages uint64) (took, used time.Duration) {
	const batch = 500
	var deliveries [][]xmpp.Copy
	for n := uint64(1); n <= messages; {
		var copies []xmpp.Copy
		for range batch {
			copies = append(copies, xmpp.Copy{Host: "example.org", Source: "q", Number: n, Stanza: benchStanza(n), Direction: 'O'})
			n++
		}
		deliveries = append(deliveries, copies)
	}
	before, begin := cpu(b), time.Now()
	b.StartTimer()
	left := make(chan error, len(deliveries))
	for _, copies := range deliveries {
		s.Deliver("c", copies, func(err error) { left <- err })
	}
	for range deliveries {
		if err := <-left; err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Stop(context.Background()); err != nil { // which brings everything into the archive
		b.Fatal(err)
	}
	b.StopTimer()
	took, used = time.Since(begin), cpu(b)-before
	if got := s.Status(); got.Recorded != messages || s.Left() != 0 {
		b.Fatalf("%+v, %d left", got, s.Left())
	}
	return took, used
}

// BenchmarkSustained is the whole way of messages, again and again: into an
// archive of ours, indexed and chained, and encrypted into table JM of a
// PostgreSQL that brings it to the disk. The peer of the latter is one COPY of
// the same rows, which it does right after each turn of ours.
func BenchmarkSustained(b *testing.B) {
	const messages = 100_000
	perMessage := func(d time.Duration, n uint64) float64 { return float64(d.Microseconds()) / float64(n) }
	b.Run("own", func(b *testing.B) {
		var took, used time.Duration
		done := uint64(0)
		for b.Loop() {
			b.StopTimer()
			p := newPlace(b)
			t, u := sustain(b, p.start(b, p.config()), messages)
			took, used, done = took+t, used+u, done+messages
			b.StartTimer()
		}
		b.ReportMetric(float64(done)/took.Seconds(), "messages/s")
		b.ReportMetric(perMessage(used, done), "µs-cpu/message")
	})
	b.Run("cisco", func(b *testing.B) {
		server := testenv.StartPostgres(b, "fsync=on", "synchronous_commit=on")
		url := server.URL("postgres", "postgres")
		conn, err := pgconn.Connect(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(b.Context())
		do := func(sql string) [][][]byte {
			results, err := conn.Exec(b.Context(), sql).ReadAll()
			if err != nil {
				b.Fatal(err)
			}
			return results[len(results)-1].Rows
		}
		var rows bytes.Buffer // as COPY writes them
		var took, used, inServer, bare, bareInServer time.Duration
		done, batches := uint64(0), 0
		for b.Loop() {
			b.StopTimer()
			do("DROP TABLE IF EXISTS jm, bare, archivolt_head, archivolt_marks")
			p := newPlace(b)
			database, err := write.OpenPostgres(b.Context(), url, write.DatabaseOptions{Create: true})
			if err != nil {
				b.Fatal(err)
			}
			table := &countedTable{Table: database}
			s, err := StartTable(p.config(), table, p.unlocked())
			if err != nil {
				b.Fatal(err)
			}
			do("CREATE TABLE bare (LIKE jm)")
			do("CHECKPOINT")
			before := testenv.ProcessorTime(b, server.PIDs()...)
			t, u := sustain(b, s, messages)
			took, used, done, batches = took+t, used+u, done+messages, batches+table.batches
			inServer += testenv.ProcessorTime(b, server.PIDs()...) - before

			rows.Reset()
			if _, err := conn.CopyTo(b.Context(), &rows, "COPY jm TO STDOUT"); err != nil {
				b.Fatal(err)
			}
			do("CHECKPOINT")
			before = testenv.ProcessorTime(b, server.PIDs()...)
			begin := time.Now()
			if _, err := conn.CopyFrom(b.Context(), &rows, "COPY bare FROM STDIN"); err != nil {
				b.Fatal(err)
			}
			bare += time.Since(begin)
			bareInServer += testenv.ProcessorTime(b, server.PIDs()...) - before
			if n := do("SELECT count(*) FROM bare"); string(n[0][0]) != fmt.Sprint(messages) {
				b.Fatalf("%s rows, want %d", n[0][0], messages)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(done)/took.Seconds(), "messages/s")
		b.ReportMetric(perMessage(used, done), "µs-cpu/message")
		b.ReportMetric(perMessage(inServer, done), "µs-postgres/message")
		b.ReportMetric(perMessage(bareInServer, done), "µs-postgres/COPY-row")
		b.ReportMetric(bare.Seconds()/took.Seconds(), "of-bare-COPY")
		b.ReportMetric(float64(done)/float64(batches), "rows/batch")
	})
}

// countedTable counts the batches that have rows.
type countedTable struct {
	Table
	batches int
}

// Append hands a batch on.
func (c *countedTable) Append(ctx context.Context, batch *write.Batch) error {
	if len(batch.Rows) > 0 {
		c.batches++
	}
	return c.Table.Append(ctx, batch)
}
