//go:build unix

package write

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// inSQLite runs a statement with SQLite's own shell; columns are divided by |.
func inSQLite(t testing.TB, path, sql string) string {
	t.Helper()
	out, err := exec.Command(testenv.Command(t, "sqlite3"), path, sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestEvents: events come in with their batch or not at all, as psql and
// sqlite3 see them; also alone, and with texts that no database takes.
func TestEvents(t *testing.T) {
	server := testenv.StartPostgres(t)
	server.SQL("postgres", "CREATE DATABASE im")
	file := t.TempDir() + "/jm.db"
	const list = "SELECT entry, time, name, coalesce(source, 'NULL'), detail FROM archivolt_events"
	for name, k := range map[string]struct {
		open func(o DatabaseOptions) (database, error)
		sql  func(sql string) string
	}{
		"postgres": {func(o DatabaseOptions) (database, error) {
			o.AllowUnsafe = true
			return wrap(OpenPostgres(t.Context(), server.URL("postgres", "im"), o))
		}, func(sql string) string { return server.SQL("im", sql) }},
		"sqlite": {func(o DatabaseOptions) (database, error) { return wrap(OpenSQLite(file, o)) },
			func(sql string) string { return inSQLite(t, file, sql) }},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := k.open(DatabaseOptions{Create: true})
			if err != nil {
				t.Fatal(err)
			}
			// An archive that was made before there was the table.
			k.sql("DROP TABLE archivolt_events")
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d, err := k.open(DatabaseOptions{}); problem.ClassOf(err) != problem.NoArchive {
				t.Errorf("without the table: %v, %v", d, err)
			}
			if d, err = k.open(DatabaseOptions{Create: true}); err != nil {
				t.Fatal(err)
			}
			defer func() { d.Close() }()

			rows := rowsOf(t, NewEncoder(testKey, testIV, Options{}), chat('I', "a@x", "b@x", "chat", "1", "one"))
			at := time.Date(2026, 3, 1, 8, 0, 0, 123_999_999, time.FixedZone("", 3600))
			long := strings.Repeat("é", 300)
			events := []Event{{Entry: 1, Time: at, Name: "started", Detail: "back\\slash	tab"}, {Entry: 3, Time: at.Add(-time.Minute), Name: "gap\x00", Source: long, Detail: "\xff"}}
			for what, b := range map[string]*Batch{
				"of an earlier batch": {Events: events, After: 1, Spool: 3},
				"of a later batch":    {Events: events, Spool: 2},
				"out of order":        {Events: []Event{events[1], events[0]}, Spool: 3},
				"twice":               {Events: []Event{events[0], events[0]}, Spool: 3},
				"of no entry":         {Events: events[:1], After: 1, Spool: 1},
			} {
				if err := d.Append(t.Context(), b); err == nil || errors.Is(err, ErrMoved) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if got := k.sql(list); got != "" {
				t.Fatal(got)
			}
			b := &Batch{Rows: rows, Events: events, Spool: 3}
			if err := d.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := d.Append(t.Context(), b); !errors.Is(err, ErrMoved) {
				t.Errorf("a batch twice: %v", err)
			}
			alone := &Batch{Events: []Event{{Entry: 5, Time: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), Name: "stopped"}}, After: 3, Spool: 5}
			if err := d.Append(t.Context(), alone); err != nil {
				t.Fatal(err)
			}
			want := "1|2026-03-01 07:00:00.123|started|NULL|back\\slash	tab\n" +
				"3|2026-03-01 06:59:00.123|gap\uFFFD|" + strings.Repeat("é", MaxSource/2) + "|\uFFFD\n" +
				"5|9999-12-31 23:59:59|stopped|NULL|"
			got := strings.ReplaceAll(k.sql(list+" ORDER BY entry"), "59.000|", "59|") // PostgreSQL leaves zeros out
			if got != want {
				t.Errorf("%s\nwant\n%s", got, want)
			}
			if head, err := d.Head(t.Context()); err != nil || head.Spool != 5 {
				t.Errorf("%+v, %v", head, err)
			}
			// No event without the rows of its batch, nor these without it.
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d, err = k.open(DatabaseOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, table := range []string{"archivolt_events", "jm"} {
				if _, err := d.Head(t.Context()); err != nil { // connects, if it has to, while all is there
					t.Fatal(err)
				}
				k.sql("ALTER TABLE " + table + " RENAME TO elsewhere")
				if err := d.Append(t.Context(), &Batch{Rows: rows, Events: []Event{{Entry: 6, Time: at, Name: "lost"}}, After: 5, Spool: 7}); err == nil {
					t.Errorf("a batch is taken without %s", table)
				}
				k.sql("ALTER TABLE elsewhere RENAME TO " + table)
			}
			if got := k.sql("SELECT (SELECT count(*) FROM jm), (SELECT count(*) FROM archivolt_events), (SELECT spool FROM archivolt_head)"); got != "1|3|5" {
				t.Error(got)
			}
		})
	}
}

// TestEventsOfLeastRole: a role that may make no tables says what is missing in
// an archive that is older than the table, and what it may not do.
func TestEventsOfLeastRole(t *testing.T) {
	server := testenv.StartPostgres(t, "fsync=on")
	server.SQL("postgres", PostgresSchema()+"REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE archiver LOGIN;"+PostgresGrants("archiver")+"DROP TABLE archivolt_events")
	open := func() (*problem.Error, error) {
		d, err := OpenPostgres(t.Context(), server.URL("archiver", "postgres"), DatabaseOptions{Create: true})
		if err == nil {
			d.Close()
		}
		var p *problem.Error
		errors.As(err, &p)
		return p, err
	}
	p, err := open()
	if p == nil || !strings.Contains(p.What, "there is no table archivolt_events, and this user may not make it") || !strings.Contains(p.Try, "docs/ops/cisco.md") {
		t.Fatal(err)
	}
	_, statement, _ := strings.Cut(p.Try, ": ")
	server.SQL("postgres", statement)
	if p, err = open(); p == nil || !strings.Contains(p.What, "may not write to the table archivolt_events") || !strings.HasPrefix(p.Try, "GRANT INSERT ON archivolt_events TO") {
		t.Fatal(err)
	}
	server.SQL("postgres", PostgresGrants("archiver"))
	if _, err := open(); err != nil {
		t.Error(err)
	}
}
