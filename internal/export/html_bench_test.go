package export

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"
)

// pages makes slices of n short messages each and gives them to emit.
func pages(t testing.TB, slices, n int, emit func(*Slice) error) {
	t.Helper()
	texts := []string{"Good morning, did the papers for Rotterdam go out?", "Доброе утро, да, вчера вечером.", "see you at <b>nine</b> & bring \"it\"\nall of it", "ok"}
	for i := range slices {
		day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i)
		s := Slice{People: []string{"anna@example.com", "boris@example.com"}, Day: day, Part: 1}
		for j := range n {
			at := day.Add(time.Duration(j) * time.Second)
			u := Record{Time: timeOrNull(at), From: p("anna@example.com"), To: p("boris@example.com"), Kind: "chat", StanzaID: p(fmt.Sprintf("id-%d-%d", i, j)),
				Body: &texts[j%len(texts)], BodyFrom: p("body"), Recipients: []string{"boris@example.com"}, Direction: p("IO"), Copies: 2, Status: "ok",
				Key: p("SHA256:0123456789abcdef"), Row: fmt.Sprintf("jm.csv:%d", i*n+j)}
			s.Events = append(s.Events, &Event{Record: u, Time: at})
		}
		if err := emit(&s); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkHTML compares with JSONL, which writes the same records.
func BenchmarkHTML(b *testing.B) {
	const slices, n = 500, 200
	b.Run("html", func(b *testing.B) {
		for b.Loop() {
			h := NewHTML(io.Discard, Look{})
			pages(b, slices, n, h.Write)
			if err := h.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(slices*n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("jsonl", func(b *testing.B) {
		for b.Loop() {
			j := NewJSONL(io.Discard)
			pages(b, slices, n, func(s *Slice) error {
				for _, e := range s.Events {
					if err := j.Write(&e.Record); err != nil {
						return err
					}
				}
				return nil
			})
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(slices*n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// TestHTMLMemory: what is kept for a slice is a line of the table of contents.
// With ARCHIVOLT_BENCH_LARGE=1 it is a million messages, otherwise 40,000.
func TestHTMLMemory(t *testing.T) {
	total := 200
	if os.Getenv("ARCHIVOLT_BENCH_LARGE") == "1" {
		total = 5000
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	h := NewHTML(io.Discard, Look{})
	written, before := 0, int64(0)
	pages(t, total, 200, func(s *Slice) error {
		if written == total/10 {
			before = heap()
		}
		written++
		return h.Write(s)
	})
	grown := heap() - before
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d messages, the heap grew by %d kB after the first tenth", h.total.Messages, grown>>10)
	if h.total.Messages != total*200 || grown > 512<<10+int64(total)*200 {
		t.Errorf("%d messages, the heap grew by %d bytes", h.total.Messages, grown)
	}
}
