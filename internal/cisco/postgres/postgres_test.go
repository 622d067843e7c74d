//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

func csv(t *testing.T, rows []sample.Row) string {
	t.Helper()
	var b strings.Builder
	if err := sample.WriteCSV(&b, rows); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func open(t *testing.T, url string, o Options) *Source {
	t.Helper()
	s, err := Open(context.Background(), url, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSource(t *testing.T) {
	server := testenv.StartPostgres(t)
	n := 0
	sourcetest.Run(t, func(t *testing.T, rows []sample.Row) sourcetest.Table {
		n++
		name := "db" + string(rune('0'+n))
		server.SQL("postgres", "CREATE DATABASE "+name)
		server.SQL(name, testenv.JM)
		server.CopyCSV(name, "jm", csv(t, rows))
		return open(t, server.URL("postgres", name), Options{})
	})
}

// one starts a server with a table of n plain rows.
func one(t *testing.T, n int) *testenv.Postgres {
	t.Helper()
	server := testenv.StartPostgres(t)
	server.SQL("postgres", testenv.JM+fmt.Sprintf(`INSERT INTO jm SELECT 'a@x', 'b@x', timestamp '2024-01-31 09:00:00' + i * interval '1 second', NULL, NULL, 'c', 'I', 4, 40,
		'text', repeat('<message/>', 20), '', '', 'N' FROM generate_series(1, %d) i; ANALYZE jm`, n))
	return server
}

// TestWritersAreNotBlocked: while our read stands still in its middle, the
// archiver inserts, and the clean-up deletes; none of them waits. We go on to
// see the archive as it was.
func TestWritersAreNotBlocked(t *testing.T) {
	const rows = 100_000
	server := one(t, rows)
	s := open(t, server.URL("postgres", "postgres"), Options{})
	for range 2 {
		seen := 0
		err := s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool {
			if seen == 0 {
				// A statement that had to wait for us would fail after a tenth of a second.
				server.SQL("postgres", `SET lock_timeout = '100ms';
					INSERT INTO jm SELECT * FROM jm LIMIT 1000;
					UPDATE jm SET body_string = 'other' WHERE sent_date < '2024-01-31 09:30:00';
					DELETE FROM jm WHERE sent_date > '2024-01-31 12:00:00';`)
				if blocked := server.SQL("postgres", "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"); blocked != "0" {
					t.Errorf("%s sessions wait for a lock", blocked)
				}
			}
			for i := range b.Len() {
				var r cisco.Row
				b.Row(i, &r)
				if body := string(r.Cells[cisco.BodyString]); body != "text" {
					t.Fatalf("row %d is one of those that changed: %q", r.Number, body)
				}
			}
			seen += b.Len()
			b.Release()
			return true
		})
		if err != nil || seen != rows {
			t.Fatalf("%d rows, %v", seen, err)
		}
	}
	locks := server.SQL("postgres", "SELECT DISTINCT mode FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'archivolt' AND l.locktype = 'relation'")
	if locks != "AccessShareLock" {
		t.Errorf("we hold the locks %q", locks)
	}
}

// TestServerLost: what was read until then is no archive.
func TestServerLost(t *testing.T) {
	server := one(t, 100_000)
	s := open(t, server.URL("postgres", "postgres"), Options{})
	seen := int64(0)
	err := s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool {
		if seen == 0 {
			server.Kill()
		}
		seen += int64(b.Len())
		b.Release()
		return true
	})
	var p *problem.Error
	if !errors.As(err, &p) || p.Class != problem.Unavailable || !regexp.MustCompile(`^the connection was lost after \d+ rows$`).MatchString(p.What) || seen >= 100_000 {
		t.Errorf("after %d rows: %v", seen, err)
	}
}

func TestProblems(t *testing.T) {
	server := one(t, 1)
	server.SQL("postgres", `CREATE ROLE reader LOGIN; CREATE ROLE nobody LOGIN;
		CREATE SCHEMA copy; GRANT USAGE ON SCHEMA copy TO reader; CREATE TABLE copy.jm AS SELECT * FROM jm; CREATE TABLE copy."JM" AS SELECT * FROM jm;
		GRANT SELECT ON copy.jm TO reader;
		CREATE TABLE few (to_jid text, sent_date timestamp);`)
	server.SQL("postgres", "CREATE DATABASE other")
	for name, c := range map[string]struct {
		url  string
		o    Options
		what string
		try  string
		as   problem.Class
	}{
		"no server":        {"postgres://postgres@127.0.0.1:1/postgres", Options{}, "the database cannot be reached", "see that the server runs", problem.Unavailable},
		"no host":          {"postgres://postgres@no.such.host.invalid/postgres", Options{}, "no host has this name", "check the host", problem.Unavailable},
		"no URL":           {"postgres://[", Options{}, "this is no connection string that PostgreSQL understands", "write it as postgres://", problem.Usage},
		"no TLS":           {server.URL("postgres", "postgres") + "&sslmode=require", Options{}, "the server offers no encrypted connection", "sslmode=disable", problem.Unavailable},
		"no such database": {server.URL("postgres", "none"), Options{}, "there is no such database", "psql -l", problem.NoArchive},
		"no such user":     {server.URL("nobody2", "postgres"), Options{}, `the server refuses this user or password (role "nobody2" does not exist)`, "set ARCHIVOLT_DB_PASSWORD", problem.Unavailable},
		"no table":         {server.URL("postgres", "other"), Options{}, "there is no table jm that this user may see", "--schema and --table", problem.NoArchive},
		"no such table":    {server.URL("postgres", "postgres"), Options{Table: "mj"}, "there is no table mj that this user may see", "--schema and --table", problem.NoArchive},
		"two tables":       {server.URL("postgres", "postgres"), Options{Schema: "copy", Table: "Jm"}, "more than one table has this name: copy.JM, copy.jm", "--schema and --table", problem.Usage},
		"another table":    {server.URL("postgres", "postgres"), Options{Table: "few"}, "this table lacks the columns FROM_JID and BODY_STRING (or another one with a text)", "--schema and --table", problem.Failed},
	} {
		s, err := Open(context.Background(), c.url, c.o)
		if err == nil {
			s.Close()
		}
		var p *problem.Error
		if !errors.As(err, &p) || p.What != c.what || !strings.Contains(p.Try, c.try) || p.Class != c.as {
			t.Errorf("%s: %#v", name, err)
		}
	}
	s := open(t, server.URL("nobody", "postgres"), Options{})
	err := s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool { return true })
	var p *problem.Error
	if !errors.As(err, &p) || p.What != "this user may not read a table (permission denied for table jm)" || !strings.HasPrefix(p.Try, "GRANT SELECT ON the table") {
		t.Errorf("%#v", err)
	}
}

// TestOtherTypes: a copy may have other types than the archiver gives.
func TestOtherTypes(t *testing.T) {
	server := testenv.StartPostgres(t)
	server.SQL("postgres", `CREATE DOMAIN address AS varchar(100);
		CREATE TABLE "Copies" (to_jid address, "FROM_JID" char(10), sent_date timestamptz, body_string json, body_text bytea, thread_id int, extra int);
		INSERT INTO "Copies" VALUES ('a@x', 'b@x', '2024-01-31 10:00:00.5+01', '{"a":1}', '\x6869', 7, 8), ('a@x', 'b@x', 'infinity', NULL, NULL, NULL, NULL), ('a@x', 'b@x', '-infinity', NULL, NULL, NULL, NULL), ('a@x', 'b@x', '0044-03-15 12:00 BC', NULL, NULL, NULL, NULL);
		CREATE VIEW jm AS SELECT * FROM "Copies"`)
	for _, table := range []string{"copies", ""} {
		s := open(t, server.URL("postgres", "postgres"), Options{Table: table})
		var got []string
		if err := s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool {
			for i := range b.Len() {
				var r cisco.Row
				b.Row(i, &r)
				got = append(got, fmt.Sprintf("%q %q %q %q %q %q", r.Cells[cisco.ToJID], r.Cells[cisco.FromJID], r.Cells[cisco.SentDate], r.Cells[cisco.BodyString], r.Cells[cisco.BodyText], r.Cells[cisco.ThreadID]))
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		want := []string{`"a@x" "b@x       " "2024-01-31 09:00:00.500000" "{\"a\":1}" "\\x6869" "7"`, `"a@x" "b@x       " "infinity" "" "" ""`, `"a@x" "b@x       " "-infinity" "" "" ""`, `"a@x" "b@x       " "-0043-03-15 12:00:00.000000" "" "" ""`}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if s.Fetches() != (table != "") {
			t.Error("rows of a table are found again, those of a view are not")
		}
		if notes := strings.Join(s.Notes(), "; "); notes != "lacks the columns SUBJECT, MSG_TYPE, DIRECTION, BODY_LEN, MESSAGE_LEN, MESSAGE_STRING, MESSAGE_TEXT and HISTORY_FLAG; has 1 column that is not the archiver's, which is ignored" {
			t.Error(notes)
		}
	}
}

func TestTable(t *testing.T) {
	server := one(t, 1)
	server.SQL("postgres", `CREATE TABLE tc_rooms (room_jid varchar(3071), subject varchar(255), start_msg_id bigint, stamp timestamp);
		INSERT INTO tc_rooms VALUES ('r@x', NULL, 5, '2024-01-31 09:00:00.123'), ('s@x', '', 6, NULL)`)
	s := open(t, server.URL("postgres", "postgres"), Options{})
	var got []string
	found, err := s.Table(context.Background(), "TC_ROOMS", []string{"ROOM_JID", "SUBJECT", "TYPE", "START_MSG_ID", "STAMP"}, func(cells [][]byte) error {
		line := ""
		for _, c := range cells {
			if c == nil {
				line += "NULL|"
			} else {
				line += string(c) + "|"
			}
		}
		got = append(got, line)
		return nil
	})
	if want := []string{"r@x|NULL|NULL|5|2024-01-31 09:00:00.123|", "s@x||NULL|6|NULL|"}; !found || err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, %q", found, err, got)
	}
	if found, err := s.Table(context.Background(), "tc_users", nil, nil); found || err != nil {
		t.Errorf("a table that is not there: %v, %v", found, err)
	}
}

// TestDocumentedRole runs the statements of docs/postgresql.md, and sees that
// the role they make can read and nothing else.
func TestDocumentedRole(t *testing.T) {
	server := testenv.StartPostgres(t)
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "postgresql.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks", len(blocks))
	}
	server.SQL("postgres", "CREATE DATABASE tcmadb")
	server.SQL("tcmadb", testenv.JM+"CREATE TABLE tc_rooms (room_jid text); CREATE TABLE tc_users (real_jid text); CREATE TABLE tc_msgarchive (to_jid text); CREATE TABLE aft_log (jid text);"+blocks[0][1])
	url := server.URL("archivolt_reader", "tcmadb")
	s := open(t, url, Options{})
	if has, err := s.HasTable(context.Background(), "TC_ROOMS"); has || err != nil {
		t.Errorf("TC_ROOMS may not be read yet: %v, %v", has, err)
	}
	if notes := strings.Join(s.Notes(), "\n"); strings.Count(notes, "beside it, which this user may not read") != 4 {
		t.Errorf("notes %q", notes)
	}
	advice, err := s.Advice(context.Background())
	if want := "CREATE INDEX CONCURRENTLY ON \"public\".\"jm\" (left(\"to_jid\", 64) text_pattern_ops);\nCREATE INDEX CONCURRENTLY ON \"public\".\"jm\" (left(\"from_jid\", 64) text_pattern_ops);"; advice != want || err != nil {
		t.Errorf("%q, %v", advice, err)
	}
	server.SQL("tcmadb", blocks[1][1]+blocks[2][1])
	s = open(t, url, Options{})
	if has, err := s.HasTable(context.Background(), "TC_ROOMS"); !has || err != nil || len(s.Notes()) > 0 {
		t.Errorf("TC_ROOMS may be read: %v, %v, %q", has, err, s.Notes())
	}
	if advice, err := s.Advice(context.Background()); advice != "" || err != nil {
		t.Errorf("%q, %v", advice, err)
	}
	if got := server.SQL("tcmadb", "SELECT has_table_privilege('archivolt_reader', 'jm', 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"); got != "f" {
		t.Errorf("the role may do more than read: %s", got)
	}
	// The planner has a use for it.
	server.SQL("tcmadb", "INSERT INTO jm SELECT i || '@x', i || '@y', now(), '', '', 'c', 'I', 1, 1, 'b', '', '', '', 'N' FROM generate_series(1, 20000) i; ANALYZE jm")
	s = open(t, url, Options{})
	plan, err := s.query(context.Background(), "EXPLAIN "+s.selectSQL(false, s.where(&cisco.Lookup{Starts: []string{"77@x"}, Equals: []string{"78@y"}})))
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(plan); strings.Contains(text, "Seq Scan") || !strings.Contains(text, "Index") {
		t.Errorf("the index is not used: %s", text)
	}
}
