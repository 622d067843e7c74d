package archive

import (
	"context"
	"os"
	"testing"

	"archivolt/internal/capture/capturetest"
	"archivolt/internal/message"
)

// TestHostileStore: whatever stands in the columns, reading ends with rows or
// with an error, never with a panic, and no row is certain that is not what was
// sealed.
func TestHostileStore(t *testing.T) {
	p := capturetest.New(t)
	s := &capturetest.Server{Numbered: true, Now: start}
	for range 20 {
		s.Chat(anna, carl, "text", "")
	}
	p.Run(t, s.Copies())
	whole, err := os.ReadFile(p.Archive())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"UPDATE records SET tokens = x'0102'", "UPDATE records SET tokens = zeroblob(100000)", "UPDATE records SET sealed = x''", "UPDATE records SET sealed = 'text'",
		"UPDATE records SET time = 'yesterday'", "UPDATE records SET time = 9223372036854775807", "UPDATE records SET time = -9223372036854775808",
		"UPDATE records SET epoch = -1", "UPDATE records SET source = 99", "UPDATE records SET number = -1", "UPDATE records SET idx = idx + 1000000000000",
		"UPDATE records SET idx = -idx", "UPDATE records SET commitment = 'x', digest = 'y'", "DELETE FROM sources", "DELETE FROM records",
		"UPDATE wraps SET wrap = x''", "UPDATE wraps SET epoch = -5", "DELETE FROM wraps", "UPDATE entries SET entry = x'ffffffff'", "DELETE FROM entries",
		"UPDATE postings SET list = x'ffffffffffffffffffff01'", "UPDATE postings SET list = x'01', first = 9223372036854775807", "UPDATE postings SET first = -3", "DELETE FROM postings",
		"UPDATE head SET size = -1", "UPDATE head SET size = 9223372036854775807", "UPDATE head SET id = 'x'", "DELETE FROM head",
		"DELETE FROM tiles", "UPDATE tiles SET hashes = x'00'", "UPDATE checkpoint SET text = 'hello'", "DROP TABLE records", "DROP TABLE wraps",
	} {
		if err := os.WriteFile(p.Archive(), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		execute(t, p.Archive(), sql)
		for _, people := range [][]string{nil, {anna}} {
			a, err := Open(context.Background(), []string{p.Archive()}, Keys{Identities: identities(p)}, Options{})
			if err != nil {
				continue
			}
			if people != nil {
				if _, err := a.LookUp(context.Background(), people, nil); err != nil {
					t.Errorf("%s: %v", sql, err)
				}
			}
			var origins []message.Origin
			for _, read := range []func(context.Context, func(*message.Message) error) error{a.ByTime, a.Rows} {
				_ = read(context.Background(), func(m *message.Message) error { // an error is an answer
					if m.Status == message.OK && m.StanzaBody.Text != "text" {
						t.Errorf("%s: %+v", sql, m)
					}
					origins = append(origins, m.Origin())
					return nil
				})
			}
			if prover, err := a.Prover(); err == nil {
				for _, o := range origins {
					_, _ = prover.Evidence(context.Background(), o) // likewise
				}
				prover.Close()
			}
			a.Close()
		}
	}
}
