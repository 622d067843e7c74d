package pdf

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archivolt/internal/export"
	"archivolt/internal/testenv"
)

// BenchmarkPrint prints a part of an export, of ordinary messages on 50 days.
func BenchmarkPrint(b *testing.B) {
	b.Setenv(Variable, testenv.Command(b, "chromium"))
	for _, messages := range []int{500, export.PartMessages} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			dir := b.TempDir()
			p, err := Open(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			for i := 0; b.Loop(); i++ {
				name := filepath.Join(dir, fmt.Sprintf("messages-%04d.pdf", i))
				part, err := p.Create(name)
				if err != nil {
					b.Fatal(err)
				}
				h := export.NewHTML(part, export.Look{Title: "Benchmark"})
				for day := range 50 {
					if err := h.Write(ordinary(day, messages/50)); err != nil {
						b.Fatal(err)
					}
				}
				if err := h.Close(); err != nil {
					b.Fatal(err)
				}
				if err := part.Close(); err != nil {
					b.Fatal(err)
				}
				info, err := os.Stat(name)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.Size())/float64(messages), "B/message")
			}
			b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

func ordinary(day, messages int) *export.Slice {
	start := time.Date(2024, 1, 1, 8, 0, 0, 0, time.UTC).AddDate(0, 0, day)
	s := &export.Slice{People: []string{"anna@example.com", "boris@example.com"}, Day: start.Truncate(24 * time.Hour), Part: 1}
	from, to := s.People[0], s.People[1]
	for i := range messages {
		at := start.Add(time.Duration(i) * 7 * time.Second)
		stamp, id, key, direction := at.Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf("id-%d-%d", day, i), "SHA256:0123456789abcdef0123456789abcdef", "IO"
		text := strings.Repeat("Доброе утро, the papers for Rotterdam are on their way. ", 1+i%5)
		s.Events = append(s.Events, &export.Event{Time: at, Record: export.Record{Time: &stamp, From: &from, To: &to, Kind: "chat", StanzaID: &id, Body: &text,
			Recipients: []string{to}, Direction: &direction, Copies: 2, Status: "ok", Key: &key, Row: fmt.Sprintf("jm.csv:%d", i)}})
		from, to = to, from
	}
	return s
}
