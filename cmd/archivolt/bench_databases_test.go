//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/testenv"
)

// benchKey encrypts the archive of the benchmark, in the database itself.
const (
	benchKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	benchIV  = "f0e0d0c0b0a090807060504030201000"
)

// benchPostgres makes a table of encrypted rows of about 1.2 kB with pgcrypto:
// of a million with ARCHIVOLT_BENCH_LARGE=1, otherwise of 20,000.
func benchPostgres(b *testing.B) (server *testenv.Postgres, rows int) {
	b.Helper()
	rows = 20_000
	if os.Getenv("ARCHIVOLT_BENCH_LARGE") != "" {
		rows = 1_000_000
	}
	server = testenv.StartPostgres(b, "shared_buffers=256MB", "synchronous_commit=off")
	server.SQL("postgres", testenv.JM+fmt.Sprintf(`CREATE EXTENSION pgcrypto;
		CREATE FUNCTION cisco(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
			SELECT replace(encode(encrypt_iv(convert_to($1, 'UTF8'), '\x%s', '\x%s', 'aes-cbc/pad:pkcs'), 'base64'), E'\n', '') $$;
		INSERT INTO jm SELECT cisco('user' || i %% 1999 || '@example.com/jabber_' || i %% 1999), cisco('user' || i * 7 %% 1999 || '@example.com/jabber_' || i * 7 %% 1999),
			timestamp '2024-01-01' + i * interval '7 seconds', NULL, 'thread' || i %% 1000, 'c', CASE WHEN i %% 2 = 0 THEN 'I' ELSE 'O' END, 60, 600,
			cisco('Message number ' || i || ' about the shipment to Rotterdam'),
			cisco('<message id="' || i || '" type="chat" from="user' || i * 7 %% 1999 || '@example.com/x" to="user' || i %% 1999 || '@example.com"><body>Message number ' || i ||
				' about the shipment to Rotterdam</body><html xmlns="http://jabber.org/protocol/xhtml-im"><body xmlns="http://www.w3.org/1999/xhtml"><p>' || repeat('padding ', 40) || '</p></body></html></message>'),
			'', '', 'N' FROM generate_series(1, %d) i;
		CREATE INDEX ON jm (left(to_jid, 64) text_pattern_ops);
		CREATE INDEX ON jm (left(from_jid, 64) text_pattern_ops);
		ANALYZE jm`, benchKey, benchIV, rows))
	b.Chdir(b.TempDir())
	if err := os.WriteFile("key.txt", []byte("key = "+benchKey+"\niv  = "+benchIV+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	return server, rows
}

func timed(b *testing.B, arguments ...string) (time.Duration, int) {
	b.Helper()
	out := &counter{}
	begin := time.Now()
	a := &app{ctx: context.Background(), out: out, err: io.Discard, getenv: func(string) string { return "" }}
	if code := a.run(append(arguments, "--key", "key.txt")); code != 0 {
		b.Fatalf("exit %d", code)
	}
	return time.Since(begin), out.lines
}

// counter counts lines.
type counter struct{ lines int }

func (c *counter) Write(p []byte) (int, error) {
	c.lines += strings.Count(string(p), "\n")
	return len(p), nil
}

// BenchmarkPostgresLookup finds a user through the suggested index, beside the
// scan of the same command.
func BenchmarkPostgresLookup(b *testing.B) {
	server, rows := benchPostgres(b)
	command := []string{"search", server.URL("postgres", "postgres"), "--user", "user77@example.com", "--json"}
	scan, all := timed(b, command...)
	var fast time.Duration
	for b.Loop() {
		took, found := timed(b, append(command, "--fast")...)
		if fast += took; found != all || found == 0 {
			b.Fatalf("%d messages, a scan finds %d", found, all)
		}
	}
	fast /= time.Duration(b.N)
	b.ReportMetric(scan.Seconds()/fast.Seconds(), "x-faster-than-scan")
	b.ReportMetric(float64(rows), "rows")
}

// BenchmarkPostgresExport exports the whole table, beside a bare scan with the
// same driver and beside decrypting the four columns in the database.
func BenchmarkPostgresExport(b *testing.B) {
	server, rows := benchPostgres(b)
	url := server.URL("postgres", "postgres")
	var ours, scan, inside time.Duration
	for b.Loop() {
		took, found := timed(b, "export", url, "--format", "jsonl", "--out", "-")
		if ours += took; found != rows {
			b.Fatalf("%d records", found)
		}
		begin := time.Now()
		conn, err := pgconn.Connect(context.Background(), url)
		if err != nil {
			b.Fatal(err)
		}
		result := conn.ExecParams(context.Background(), "SELECT * FROM jm", nil, nil, nil, nil)
		n := 0
		for result.NextRow() {
			n += len(result.Values())
		}
		if _, err := result.Close(); err != nil || n != 14*rows {
			b.Fatal(n, err)
		}
		conn.Close(context.Background())
		scan += time.Since(begin)

		begin = time.Now()
		open := func(column string) string {
			return fmt.Sprintf(`length(decrypt_iv(decode(%s, 'base64'), '\x%s', '\x%s', 'aes-cbc/pad:pkcs'))`, column, benchKey, benchIV)
		}
		server.SQL("postgres", "SELECT sum("+open("to_jid")+" + "+open("from_jid")+" + "+open("body_string")+" + "+open("message_string")+") FROM jm")
		inside += time.Since(begin)
	}
	b.ReportMetric(float64(rows*b.N)/ours.Seconds(), "rows/s")
	b.ReportMetric(scan.Seconds()/ours.Seconds(), "of-bare-scan-speed")
	b.ReportMetric(inside.Seconds()/ours.Seconds(), "x-pgcrypto")
}
