package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	driver "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/problem"
)

const jm = sourcetest.SQLiteJM

func TestSource(t *testing.T) {
	for name, statements := range map[string]string{
		"table":           jm,
		"WAL, indexed":    "PRAGMA journal_mode = WAL;" + jm + "CREATE INDEX by_from ON jm (from_jid); CREATE INDEX by_date ON jm (sent_date, from_jid);",
		"upper case":      strings.Replace(strings.ToUpper(jm), "JM", "JM", 1),
		"no types at all": strings.NewReplacer("TEXT", "", "INTEGER", "", "NOT NULL", "").Replace(jm),
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T, rows []sample.Row) sourcetest.Table {
				s, err := Open(sourcetest.WriteSQLite(t, statements, rows), "")
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func TestFindsTheTable(t *testing.T) {
	other := "CREATE TABLE contacts (a, b);"
	export := strings.Replace(jm, "jm", "export", 1)
	for name, c := range map[string]struct {
		statements, table string
		want, note        string
		problem           string
	}{
		"jm":              {other + jm, "", "SQLite, table jm", "", ""},
		"another name":    {other + export, "", "SQLite, table export", "has no table jm; export has its columns, and is read", ""},
		"named":           {other + jm + export, "EXPORT", "SQLite, table export", "", ""},
		"two":             {export + strings.Replace(jm, "jm", "old", 1), "", "", "", "this SQLite file has no table jm, and more than one with its columns: export, old"},
		"none":            {other, "", "", "", "this SQLite file has no table jm"},
		"no such":         {other + jm, "mj", "", "", "this SQLite file has no table mj"},
		"jm of something": {"CREATE TABLE jm (from_jid, sent_date, body_text);", "", "", "", "this table lacks the column TO_JID"},
		"quoted":          {strings.Replace(jm, "jm", `"my ""jm"""`, 1), "", `SQLite, table my "jm"`, `has no table jm; my "jm" has its columns, and is read`, ""},
		"more and less":   {"CREATE TABLE jm (id, to_jid, from_jid, sent_date, body_string);", "", "SQLite, table jm", "lacks the columns SUBJECT, THREAD_ID, MSG_TYPE, DIRECTION, BODY_LEN, MESSAGE_LEN, MESSAGE_STRING, BODY_TEXT, MESSAGE_TEXT and HISTORY_FLAG", ""},
	} {
		s, err := Open(sourcetest.WriteSQLite(t, c.statements, nil), c.table)
		if c.problem != "" {
			var p *problem.Error
			if !errors.As(err, &p) || p.What != c.problem || p.Try == "" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Describe() != c.want || c.note != "" && (len(s.Notes()) == 0 || s.Notes()[0] != c.note) || c.note == "" && len(s.Notes()) > 0 {
			t.Errorf("%s: %s, %q", name, s.Describe(), s.Notes())
		}
		s.Close()
	}
}

// TestView is read too, but its rows are not found again.
func TestView(t *testing.T) {
	s, err := Open(sourcetest.WriteSQLite(t, strings.Replace(jm, "jm", "base", 1)+"INSERT INTO base (to_jid, from_jid, sent_date, msg_type, direction, body_string) VALUES ('a@x', 'b@x', '2024-01-31 09:00:00', 'c', 'I', 7);"+
		"CREATE VIEW jm AS SELECT * FROM base;", nil), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Fetches() {
		t.Error("rows of a view are not found again")
	}
	rows := 0
	if err := s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool {
		var r cisco.Row
		b.Row(0, &r)
		rows += b.Len()
		if got := string(r.Cells[cisco.BodyString]); got != "7" {
			t.Errorf("the body is %q", got)
		}
		return true
	}); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestNothingBeside: reading puts no file beside the archive, whatever its mode
// and however odd its name.
func TestNothingBeside(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		path := sourcetest.WriteSQLite(t, jm, sample.New(sample.Options{Seed: 2, Utterances: 20}).Rows)
		conn, err := driver.OpenConn(path, driver.OpenReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(sqlitex.ExecuteTransient(conn, "PRAGMA journal_mode = "+mode, nil), conn.Close()); err != nil {
			t.Fatal(err)
		}
		odd := filepath.Join(t.TempDir(), "a b?c=1#d%20.db")
		if err := os.Rename(path, odd); err != nil {
			t.Fatal(err)
		}
		s, err := Open(odd, "")
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		if err := s.Scan(context.Background(), cisco.ScanOptions{BatchBytes: 1}, func(b cisco.Batch) bool {
			rows += b.Len()
			entries, err := os.ReadDir(filepath.Dir(odd))
			if err != nil || len(entries) != 1 {
				t.Errorf("%s: %v, %v", mode, entries, err)
			}
			return rows < 20
		}); err != nil || rows < 20 {
			t.Errorf("%d rows, %v", rows, err)
		}
		s.Close()
	}
}

// TestLink: what still lies in the write-ahead log is read, also through a
// link to the file.
func TestLink(t *testing.T) {
	path := sourcetest.WriteSQLite(t, jm, nil)
	conn, err := driver.OpenConn(path, driver.OpenReadWrite|driver.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() // and the log with it
	if err := sqlitex.ExecuteTransient(conn, "INSERT INTO jm (to_jid, from_jid, sent_date, msg_type, direction) VALUES ('a@x', 'b@x', '2024-01-31', 'c', 'I')", nil); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Skip("skipped: this system makes no links")
	}
	s, err := Open(link, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows := 0
	if err := s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool { rows += b.Len(); return true }); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestDamaged(t *testing.T) {
	path := sourcetest.WriteSQLite(t, jm, sample.New(sample.Options{Seed: 1, Utterances: 300}).Rows)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		what string
	}{
		"cut":        {data[:len(data)/2], "this SQLite file is damaged, and ends after"},
		"pages lost": {append(append([]byte{}, data[:8192]...), make([]byte, len(data)-8192)...), "this SQLite file is damaged, and ends after 0 rows"},
		"no SQLite":  {[]byte("SQLite format 4\x00, and more text than a header would have, so that it is no short file either, which would be called empty"), "this is no SQLite file, or it is encrypted"},
	} {
		bad := filepath.Join(t.TempDir(), "bad.db")
		if err := os.WriteFile(bad, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(bad, "")
		if err == nil {
			err = s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool { b.Release(); return true })
			s.Close()
		}
		var p *problem.Error
		if !errors.As(err, &p) || !strings.HasPrefix(p.What, c.what) || p.Try == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.db"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := Open(t.TempDir(), ""); problem.ClassOf(err) != problem.Failed {
		t.Errorf("a folder: %v", err)
	}
}

func TestTable(t *testing.T) {
	s, err := Open(sourcetest.WriteSQLite(t, jm+"CREATE TABLE TC_ROOMS (room_jid TEXT, Subject TEXT, n INTEGER); INSERT INTO tc_rooms VALUES ('r@x', NULL, 5), ('s@x', '', 6);", nil), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	found, err := s.Table(context.Background(), "tc_rooms", []string{"ROOM_JID", "SUBJECT", "TYPE", "N"}, func(cells [][]byte) error {
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
	if want := "r@x|NULL|NULL|5| s@x||NULL|6|"; !found || err != nil || strings.Join(got, " ") != want {
		t.Errorf("%v, %v, %q", found, err, got)
	}
	if found, err := s.Table(context.Background(), "tc_users", nil, nil); found || err != nil {
		t.Errorf("a table that is not there: %v, %v", found, err)
	}
}
