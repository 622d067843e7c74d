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

// BenchmarkSustained delivers as fast as it is acknowledged, and waits until
// all is in the store, indexed and chained.
func BenchmarkSustained(b *testing.B) {
	const messages, batch = 100_000, 500
	for b.Loop() {
		b.StopTimer()
		p := newPlace(b)
		s := p.start(b, p.config())
		var deliveries [][]xmpp.Copy
		for n := uint64(1); n <= messages; {
			var copies []xmpp.Copy
			for range batch {
				copies = append(copies, xmpp.Copy{Host: "example.org", Source: "q", Number: n, Stanza: benchStanza(n)})
				n++
			}
			deliveries = append(deliveries, copies)
		}
		before := cpu(b)
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
		if err := s.Stop(context.Background()); err != nil { // which brings everything into the store
			b.Fatal(err)
		}
		b.ReportMetric(float64((cpu(b)-before).Microseconds())/messages, "µs-cpu/message")
		if got := s.Status(); got.Recorded != messages || s.Left() != 0 {
			b.Fatalf("%+v, %d left", got, s.Left())
		}
	}
	b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
