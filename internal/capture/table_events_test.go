//go:build unix

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archivolt/internal/cisco/write"
	"archivolt/internal/testenv"
)

// sqlite runs a statement on the table's file with SQLite's own shell; columns
// are divided by |.
func (p *place) sqlite(t testing.TB, sql string) string {
	t.Helper()
	out, err := exec.Command(testenv.Command(t, "sqlite3"), "-cmd", ".timeout 10000", p.cisco(), sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// wantWholeTable wants every entry that ever left the spool in the table once:
// as a row, as an event, or as an epoch, of which the daemon has the last one's
// number. Events have the order of their entries, and a run its order.
func (p *place) wantWholeTable(t testing.TB) {
	t.Helper()
	keys, err := os.ReadDir(filepath.Join(p.dir, "state", epochsName))
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	var epochs, spool, rows, events, distinct int
	if _, err := fmt.Sscanf(keys[len(keys)-1].Name(), "%d.age", &epochs); err != nil {
		t.Fatal(err)
	}
	sums := p.sqlite(t, "SELECT (SELECT spool FROM archivolt_head), (SELECT count(*) FROM jm), count(*), count(DISTINCT entry) FROM archivolt_events")
	if _, err := fmt.Sscanf(sums, "%d|%d|%d|%d", &spool, &rows, &events, &distinct); err != nil {
		t.Fatal(sums, err)
	}
	if spool != rows+events+epochs || distinct != events {
		t.Fatalf("of %d entries there are %d rows, %d events (%d distinct) and %d epochs", spool, rows, events, distinct, epochs)
	}
	list := strings.Fields(p.sqlite(t, "SELECT name FROM archivolt_events ORDER BY rowid"))
	if !slices.Equal(list, strings.Fields(p.sqlite(t, "SELECT name FROM archivolt_events ORDER BY entry"))) {
		t.Fatal("the events did not come in the order of their entries")
	}
	follows := map[string][]string{"created": {""}, "configuration": {"started"}, "connected": {"configuration"}, "stopped": {"configuration", "connected"},
		"started": {"created", "started", "configuration", "connected", "stopped"}}
	before := ""
	for i, name := range list {
		if !slices.Contains(follows[name], before) {
			t.Fatalf("event %d is %s, behind %s", i+1, name, before)
		}
		before = name
	}
}

// TestTableEvents: what happened stands in the table beside the rows, as psql
// and sqlite3 print it: in its order, once, with the words of the ledger. The
// second run is killed, in so far as nothing that it does afterwards counts.
func TestTableEvents(t *testing.T) {
	server := testenv.StartPostgres(t, "fsync=on")
	server.SQL("postgres", "CREATE DATABASE im")
	manual, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "format", "cisco.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, statement, _ := strings.Cut(string(manual), "```sql\n")
	statement, _, _ = strings.Cut(statement, "```")
	for name, database := range map[string]struct {
		open func(p *place) (Table, error)
		sql  func(p *place, sql string) string
	}{
		"sqlite": {func(p *place) (Table, error) { return write.OpenSQLite(p.cisco(), write.DatabaseOptions{Create: true}) },
			func(p *place, sql string) string { return p.sqlite(t, sql) }},
		"postgres": {func(p *place) (Table, error) {
			return write.OpenPostgres(context.Background(), server.URL("postgres", "im"), write.DatabaseOptions{Create: true})
		}, func(_ *place, sql string) string { return server.SQL("im", sql) }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			cfg := p.config()
			var now atomic.Int64
			cfg.now = func() time.Time { return time.UnixMilli(now.Load()) }
			clock := func(text string) {
				t.Helper()
				at, err := time.Parse(time.DateTime, "2026-03-01 "+text)
				if err != nil {
					t.Fatal(err)
				}
				now.Store(at.UnixMilli())
			}
			start := func() *Service {
				t.Helper()
				table, err := database.open(p)
				if err != nil {
					t.Fatal(err)
				}
				s, err := StartTable(cfg, table, p.unlocked())
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			// have waits until the table has so many events.
			have := func(n int) {
				t.Helper()
				until(t, func() bool {
					return database.sql(p, "SELECT count(*) FROM archivolt_events WHERE name <> 'heartbeat'") == fmt.Sprint(n)
				})
			}
			send := func(s *Service, from, to uint64) {
				t.Helper()
				if err := deliver(s, numbered(from, to)); err != nil {
					t.Fatal(err)
				}
			}
			clock("08:00:00")
			s := start()
			clock("08:01:00")
			s.Connected("c1")
			have(4)
			clock("08:02:00")
			send(s, 1, 2)
			send(s, 5, 6)
			clock("08:03:00")
			s.Lost("c1", errors.New("the server has ended it"))
			have(6)
			clock("08:04:00")
			stop(t, s)

			clock("09:00:00")
			killed := start()
			clock("09:01:00")
			killed.Connected("c2")
			have(10)
			send(killed, 7, 8)
			until(t, func() bool { return database.sql(p, "SELECT count(*) FROM jm") == "6" && killed.Status().Queued == 0 })
			left := filepath.Join(p.dir, "left")
			if err := os.CopyFS(left, os.DirFS(cfg.StateDir)); err != nil {
				t.Fatal(err)
			}

			clock("12:00:00")
			cfg.StateDir, cfg.HeartbeatEvery = left, 20*time.Millisecond
			s = start()
			stop(t, killed) // it has been shut out
			until(t, func() bool {
				return database.sql(p, "SELECT count(*) FROM archivolt_events WHERE name = 'heartbeat'") != "0"
			})
			clock("12:30:00")
			stop(t, s)

			want := `1|2026-03-01 08:00:00|created|-|test 1
2|2026-03-01 08:00:00|started|-|test 1, for the first time
3|2026-03-01 08:00:00|configuration|-|0000
5|2026-03-01 08:01:00|connected|connection/c1|c1
8|2026-03-01 08:02:00|gap|queue/example.org/q1|queue/example.org/q1: the numbers 3 to 4 were never delivered
11|2026-03-01 08:03:00|lost|connection/c1|c1: the server has ended it
12|2026-03-01 08:04:00|stopped|-|test 1
13|2026-03-01 09:00:00|started|-|test 1, after an orderly end
14|2026-03-01 09:00:00|configuration|-|0000
16|2026-03-01 09:01:00|connected|connection/c2|c2
19|2026-03-01 12:00:00|started|-|test 1, after an end that was not orderly: acknowledged and not yet stored 0 entries, torn and never acknowledged 0 bytes
20|2026-03-01 12:00:00|configuration|-|0000
2026-03-01 12:00:00|heartbeat|0 copies recorded since the start
2026-03-01 12:30:00|stopped|test 1`
			got := database.sql(p, "SELECT entry, time, name, coalesce(source, '-'), detail FROM archivolt_events WHERE entry <= 20 ORDER BY entry") + "\n" +
				database.sql(p, "SELECT min(time), name, detail FROM archivolt_events WHERE entry > 21 GROUP BY name, detail ORDER BY name")
			if got = strings.ReplaceAll(got, ".000|", "|"); got != want { // which SQLite keeps
				t.Errorf("%s\nwant\n%s", got, want)
			}
			// As the manual has it.
			want = "2026-03-01 08:00:00|2026-03-01 08:00:00\n2026-03-01 08:04:00|2026-03-01 09:00:00\n2026-03-01 09:01:00|2026-03-01 12:00:00"
			if got := strings.ReplaceAll(database.sql(p, statement), ".000", ""); got != want {
				t.Errorf("%s\nwant\n%s", got, want)
			}
			if n := database.sql(p, "SELECT count(*) FROM jm"); n != "6" {
				t.Errorf("%s rows", n)
			}
		})
	}
}
