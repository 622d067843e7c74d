//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"archivolt/internal/capture/capturetest"
	"archivolt/internal/testenv"
)

// TestCheckEvents: of a database that archivoltd fills in Cisco's format, check
// says when nothing could be captured. The events are the daemon's own; the
// test sets their times afterwards, and adds a run in which the spool was full.
func TestCheckEvents(t *testing.T) {
	server := testenv.StartPostgres(t)
	server.SQL("postgres", "CREATE DATABASE im; CREATE ROLE reader LOGIN")
	for name, database := range map[string]struct {
		at, name, url string
		sql           func(sql string) string
	}{
		"sqlite": {"jm.db", "jm.db", "jm.db", func(sql string) string {
			out, err := exec.Command(testenv.Command(t, "sqlite3"), "-cmd", ".timeout 10000", "jm.db", sql).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return strings.TrimSpace(string(out))
		}},
		"postgres": {server.URL("postgres", "im"), fmt.Sprintf("127.0.0.1:%d/im", server.Port), server.URL("postgres", "im"),
			func(sql string) string { return server.SQL("im", sql) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			p := capturetest.New(t)
			have := func(want string) {
				t.Helper()
				const sql = "SELECT (SELECT count(*) FROM archivolt_events), (SELECT count(*) FROM jm)"
				for deadline := time.Now().Add(20 * time.Second); database.sql(sql) != want; time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s, want %s", database.sql(sql), want)
					}
				}
			}
			users := &capturetest.Server{Numbered: true, Now: time.Date(2026, 3, 1, 8, 10, 0, 0, time.UTC)}
			users.Chat(anna, ben, "one", "")
			lost := "two, which is lost"
			users.Chat(anna, ben, lost, "")
			users.Chat(anna, ben, "three", "")
			copies := users.Copies()
			s := p.StartTable(t, database.at)
			s.Connected("xmpp/archive/X1")
			have("4|0")
			capturetest.Deliver(t, s, "xmpp/archive/X1", copies[:2])
			capturetest.Deliver(t, s, "xmpp/archive/X1", copies[4:])
			s.Lost("xmpp/archive/X1", errors.New("the server has ended it"))
			have("6|4")
			capturetest.Stop(t, s)
			killed := p.StartTable(t, database.at)
			killed.Connected("xmpp/archive/X2")
			have("10|4")
			if err := os.CopyFS("left", os.DirFS(p.Config.StateDir)); err != nil {
				t.Fatal(err)
			}
			p.Config.StateDir = "left"
			s = p.StartTable(t, database.at) // which shuts the other one out, as if it were dead
			have("12|4")
			capturetest.Stop(t, s)
			_ = killed.Stop(t.Context()) // it says that it was shut out

			for _, e := range []struct{ clock, entries string }{{"08:00:00", "1, 2, 3"}, {"08:01:00", "5"}, {"08:30:00.5", "8"}, {"08:40:00", "11"}, {"08:50:00", "12"},
				{"09:30:00", "13, 14"}, {"09:31:00", "16"}, {"12:00:00", "17, 18"}, {"12:05:00", "20"}} {
				database.sql(fmt.Sprintf("UPDATE archivolt_events SET time = '2026-03-01 %s' WHERE entry IN (%s)", e.clock, e.entries))
			}
			const insert = "INSERT INTO archivolt_events VALUES (102, '2026-03-01 12:40:00', 'spool-free', NULL, ''), (101, '2026-03-01 12:30:00', 'spool-full', NULL, '9 of 9 bytes'), " +
				"(100, '2026-03-01 12:20:00', 'started', NULL, 'archivoltd test, after an orderly end'), (103, '2026-03-01 14:00:00', 'of-a-later-version', NULL, 'something')"
			database.sql(insert)
			if err := os.WriteFile("key.txt", []byte(capturetest.TableKey), 0o600); err != nil {
				t.Fatal(err)
			}
			out, stderr, code := runApp(t, "", "check", database.url, "--key", "key.txt")
			_, got, _ := strings.Cut(out, "\narchivoltd has filled ")
			got, _, _ = strings.Cut(got, "\nto make --fast fast")
			want := database.name + `, and noted beside it 17 events, from 2026-03-01 08:00:00Z to 2026-03-01 14:00:00Z
  (as the database says: nothing shows whether somebody has changed it)
  4 starts of archivoltd; the last run goes on, or did not end in order
  ends that were not orderly
    last sign 2026-03-01 09:31:00Z, started again 2026-03-01 12:00:00Z: archivoltd test, after an end that was not orderly: acknowledged and not yet stored 0 entries, torn and never acknowledged 0 bytes
  gaps in delivery numbers
    2026-03-01 08:30:00Z gap: queue/example.org/q1: the numbers 3 to 4 were never delivered
  times when archivoltd did not run
    2026-03-01 08:50:00Z for 40m0s
    2026-03-01 09:31:00Z for 2h29m0s
    2026-03-01 12:05:00Z for 15m0s
  connections that were lost, until the server came back or archivoltd stopped
    2026-03-01 08:40:00Z for 10m0s: xmpp/archive/X1: the server has ended it
    2026-03-01 12:00:00Z for 5m0s: no server was connected since the start
    2026-03-01 12:20:00Z until now: no server was connected since the start
  times when the spool was full and nothing was acknowledged
    2026-03-01 12:30:00Z for 10m0s: 9 of 9 bytes
  times without a sign of archivoltd, which gives one an hour
    2026-03-01 12:40:00Z for 1h20m0s
  other events
    2026-03-01 14:00:00Z of-a-later-version: something
`
			if code != 0 || got != want {
				t.Errorf("exit %d, %s%s\nwant\n%s", code, stderr, out, want)
			}
			if all := out + database.sql("SELECT * FROM archivolt_events"); strings.Contains(all, lost) || strings.Contains(all, "anna@") {
				t.Errorf("this holds something of a message: %s", all)
			}
			out, _, _ = runApp(t, "", "--json", "check", database.url, "--key", "key.txt")
			var result struct {
				EventLogs []struct {
					Name        string
					Events      int
					First, Last string
					Running     bool
					Starts      []struct {
						After bool   `json:"after_disorderly_end"`
						Sign  string `json:"last_sign_before"`
					}
					Down []struct{ From, To string } `json:"not_running"`
				} `json:"event_logs"`
			}
			if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.EventLogs) != 1 {
				t.Fatalf("%s, %v", out, err)
			}
			if l := result.EventLogs[0]; l.Name != database.name || l.Events != 17 || l.First != "2026-03-01 08:00:00Z" || !l.Running || len(l.Starts) != 4 || !l.Starts[2].After || len(l.Down) != 3 {
				t.Errorf("%+v", l)
			}

			// Who may not read the table is told so, and reads the messages all the same.
			if name == "postgres" {
				database.sql("GRANT SELECT ON jm TO reader")
				out, stderr, code := runApp(t, "", "check", server.URL("reader", "im"), "--key", "key.txt")
				if code != 0 || strings.Contains(out, "noted beside it") || !strings.Contains(stderr, "has archivolt_events beside it, which this user may not read") {
					t.Errorf("exit %d, %s%s", code, stderr, out)
				}
			}
			// Rows that are none, and no events at all; then a database as IM&P leaves it.
			database.sql("UPDATE archivolt_events SET name = '' WHERE entry = 103")
			for _, c := range []struct{ sql, want string }{
				{"DELETE FROM archivolt_events WHERE entry NOT IN (102, 103)", "noted beside it 1 event, from 2026-03-01 12:40:00Z to 2026-03-01 12:40:00Z\n  (as the database says: nothing shows whether somebody has changed it)\n  1 row of archivolt_events cannot be read\n"},
				{"DELETE FROM archivolt_events", "noted beside it 0 events\n  (as the database says: nothing shows whether somebody has changed it)\n"},
				{"DROP TABLE archivolt_events", ""},
			} {
				database.sql(c.sql)
				out, stderr, code := runApp(t, "", "check", database.url, "--key", "key.txt")
				if code != 0 || !strings.Contains(out, "4 rows") || !strings.Contains(out, c.want) || c.want == "" && strings.Contains(out, "archivoltd") {
					t.Errorf("%s: exit %d, %s%s", c.sql, code, stderr, out)
				}
			}
		})
	}
}
