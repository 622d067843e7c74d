//go:build unix

package capture

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco/write"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// runTable delivers messages in a run of their own.
func (p *place) runTable(t *testing.T, cfg Config, from, to uint64) {
	t.Helper()
	s, err := StartTable(cfg, p.table(t), p.unlocked())
	if err != nil {
		t.Fatal(err)
	}
	for ; from <= to; from += 10 {
		if err := deliver(s, numbered(from, min(from+9, to))); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
}

// waiting delivers messages in a run that is locked: they wait in the spool.
func (p *place) waiting(t *testing.T, from, to uint64) {
	t.Helper()
	s := p.startTable(t, nil)
	if err := deliver(s, numbered(from, to)); err != nil {
		t.Fatal(err)
	}
	stopAtOnce(t, s)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dump keeps a copy of the database, and returns what puts it back.
func (p *place) dump(t *testing.T) (restore func()) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "dump")
	conn, err := sqlite.OpenConn(p.cisco(), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, "VACUUM INTO ?", &sqlitex.ExecOptions{Args: []any{kept}}); err != nil {
		t.Fatal(err)
	}
	return func() { copyFile(t, kept, p.cisco()) }
}

// sqlCisco runs a statement on the database and returns its last value.
func (p *place) sqlCisco(t *testing.T, statement string) (value string) {
	t.Helper()
	conn, err := sqlite.OpenConn(p.cisco(), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = sqlitex.ExecuteTransient(conn, statement, &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		value = row.ColumnText(0)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestTableOlderWhole: an older copy of the database is put back, and the spool
// still has all that it lacks, sealed under the keys of several runs. It comes
// in again, once.
func TestTableOlderWhole(t *testing.T) {
	p := newPlace(t)
	s := p.startTable(t, p.unlocked())
	load := func(from, to uint64) {
		t.Helper()
		if err := deliver(s, numbered(from, to)); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { return s.Status().Queued == 0 })
	}
	load(1, 50)
	restore := p.dump(t) // within an epoch: the key is not in what follows
	load(51, 100)
	stop(t, s)
	p.runTable(t, p.config(), 101, 200)
	p.runTable(t, p.config(), 201, 250)
	p.waiting(t, 251, 300)
	restore()
	var log bytes.Buffer
	cfg := p.config()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	p.runTable(t, cfg, 301, 310)
	wantRows(t, p.stanzasOf(t), 310)
	if !strings.Contains(log.String(), "an older copy of the table was put back") || strings.Contains(log.String(), "missing from the spool") {
		t.Errorf("the log says\n%s", &log)
	}
}

// TestTableOlderHole: the spool has given back what an older copy of the
// database lacks. The start refuses it, with what is missing; after the
// administrator's word it goes on with all that there is, each message once.
func TestTableOlderHole(t *testing.T) {
	p := newPlace(t)
	cfg := p.config()
	cfg.SegmentBytes = 4 << 10
	p.runTable(t, cfg, 1, 100)
	restore := p.dump(t)
	p.runTable(t, cfg, 101, 200)
	p.runTable(t, cfg, 201, 300)
	if keys, _ := filepath.Glob(filepath.Join(p.dir, "state", epochsName, "*.age")); len(keys) != 1 {
		t.Errorf("%d keys of a spool are kept that holds only what the last run has put there", len(keys))
	}
	restore()
	before := p.stanzasOf(t)
	for range 2 {
		_, err := StartTable(cfg, p.table(t), p.unlocked())
		if problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), "an older copy of the database was put back") {
			t.Fatalf("an older copy: %v", err)
		}
	}
	if got := p.stanzasOf(t); len(got) != len(before) {
		t.Errorf("%d rows after a start that was refused, and %d before", len(got), len(before))
	}
	if err := os.Rename(filepath.Join(p.dir, "state", tableName), filepath.Join(p.dir, "table.json.away")); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	p.runTable(t, cfg, 301, 320)
	if !strings.Contains(log.String(), "acknowledged entries are missing from the spool") {
		t.Errorf("the log says\n%s", &log)
	}
	got := p.stanzasOf(t)
	wantRows(t, got[:100], 100)
	rest := got[100:]
	if len(rest) < 21 || len(rest) > 219 {
		t.Fatalf("%d rows behind the old copy's", len(rest))
	}
	for i, stanza := range rest { // all that the spool had, up to the last
		if want := "O" + text(320-uint64(len(rest)-1-i)); stanza != want {
			t.Fatalf("row %d is %s, want %s", 101+i, stanza, want)
		}
	}
	p.runTable(t, p.config(), 321, 330)
	if more := p.stanzasOf(t); len(more) != len(got)+10 {
		t.Errorf("%d rows, want %d", len(more), len(got)+10)
	}
}

// TestTableOlderNoSpool: the database is an older copy, and the spool is gone.
func TestTableOlderNoSpool(t *testing.T) {
	p := newPlace(t)
	p.runTable(t, p.config(), 1, 100)
	restore := p.dump(t)
	p.runTable(t, p.config(), 101, 200)
	restore()
	if err := os.RemoveAll(spoolDir(filepath.Join(p.dir, "state"))); err != nil {
		t.Fatal(err)
	}
	// What the second run has put in: its start, configuration and key, the
	// messages, its end.
	if _, err := StartTable(p.config(), p.table(t), p.unlocked()); problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), "and 104 entries are neither in it nor in the spool") {
		t.Errorf("%v", err)
	}
}

// TestTableOther: a database that is not the one of state_dir is refused. Without
// any dump a new one is given the archive's id, and takes what the spool has.
func TestTableOther(t *testing.T) {
	p := newPlace(t)
	if HasTable(p.config().StateDir) {
		t.Error("a folder that is not there has a table")
	}
	p.waiting(t, 1, 10) // nothing is stored, and yet there is a table
	if !HasTable(p.config().StateDir) {
		t.Error("after a run there is no table")
	}
	p.runTable(t, p.config(), 11, 15)
	p.waiting(t, 16, 20)
	id := p.sqlCisco(t, "SELECT id FROM archivolt_head")
	if err := os.Remove(p.cisco()); err != nil {
		t.Fatal(err)
	}
	if _, err := StartTable(p.config(), p.table(t), p.unlocked()); problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), "this database holds the archive ") {
		t.Errorf("another database: %v", err)
	}
	p.sqlCisco(t, "UPDATE archivolt_head SET id = '"+id+"'")
	p.runTable(t, p.config(), 21, 30)
	wantRows(t, p.stanzasOf(t), 30)
}

// TestTableOlderState: a copy of state_dir that was made while messages waited,
// spool first and keys afterwards, is put back beside a database that has gone
// on. Nothing is there twice.
func TestTableOlderState(t *testing.T) {
	p := newPlace(t)
	state, kept := filepath.Join(p.dir, "state"), filepath.Join(p.dir, "kept")
	p.runTable(t, p.config(), 1, 10)
	p.waiting(t, 11, 40)
	if err := os.CopyFS(filepath.Join(kept, spoolName), os.DirFS(spoolDir(state))); err != nil {
		t.Fatal(err)
	}
	cfg := p.config()
	cfg.SegmentBytes = 4 << 10 // the next run's epoch pushes the first ones out
	p.runTable(t, cfg, 41, 80)
	p.waiting(t, 81, 90)
	if err := os.CopyFS(filepath.Join(kept, epochsName), os.DirFS(filepath.Join(state, epochsName))); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(state, tableName), filepath.Join(kept, tableName))
	dumped := p.dump(t) // up to 80
	p.runTable(t, p.config(), 91, 100)
	back := func() {
		t.Helper()
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(state, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
	}
	back()
	p.runTable(t, p.config(), 95, 110)
	wantRows(t, p.stanzasOf(t), 110)
	// Both from the backup: what was captured after it is gone, and comes again
	// here as if the server still had it.
	back()
	dumped()
	p.runTable(t, p.config(), 81, 120)
	wantRows(t, p.stanzasOf(t), 120)
}

// TestTableReplaced: an older copy of the database is put back under a daemon
// that runs. It ends rather than go on with a hole, and the next start brings in
// again what the copy lacks.
func TestTableReplaced(t *testing.T) {
	server := testenv.StartPostgres(t, "fsync=on", "autovacuum=off")
	for name, restore := range map[string]string{
		"of this run":    "UPDATE archivolt_head SET spool = h.spool, key = h.key FROM kept.head h",
		"of another run": "UPDATE archivolt_head SET spool = h.spool, key = h.key, generation = 0 FROM kept.head h",
	} {
		t.Run(name, func(t *testing.T) {
			db := strings.ReplaceAll(name, " ", "_")
			server.SQL("postgres", "CREATE DATABASE "+db)
			p := newPlace(t)
			start := func() *Service {
				t.Helper()
				table, err := write.OpenPostgres(t.Context(), server.URL("postgres", db), write.DatabaseOptions{Create: true, Timeout: 5 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				s, err := StartTable(p.config(), table, p.unlocked())
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			load := func(s *Service, from, to uint64) {
				t.Helper()
				if err := deliver(s, numbered(from, to)); err != nil {
					t.Fatal(err)
				}
			}
			s := start()
			load(s, 1, 50)
			until(t, func() bool { return s.Status().Queued == 0 })
			server.SQL(db, "CREATE SCHEMA kept; CREATE TABLE kept.jm AS TABLE jm; CREATE TABLE kept.head AS TABLE archivolt_head; CREATE TABLE kept.marks AS TABLE archivolt_marks")
			load(s, 51, 100)
			until(t, func() bool { return s.Status().Queued == 0 })
			server.SQL(db, "BEGIN; TRUNCATE jm, archivolt_marks; INSERT INTO jm TABLE kept.jm; INSERT INTO archivolt_marks TABLE kept.marks; "+restore+"; COMMIT")
			load(s, 101, 150)
			<-s.Done()
			if err := s.Err(); problem.ClassOf(err) != problem.Failed || !strings.Contains(fmt.Sprint(err), "put back while archivoltd was running") {
				t.Errorf("%v", err)
			}
			if n := server.SQL(db, "SELECT count(*) FROM jm"); n != "50" {
				t.Errorf("%s rows", n)
			}
			s = start()
			load(s, 151, 160)
			stop(t, s)
			wantRows(t, inOrder(t, server, db), 160)
		})
	}
}
