package sourcetest

import (
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco/sample"
)

// SQLiteJM makes a table JM as somebody may have imported it.
const SQLiteJM = `CREATE TABLE jm (to_jid TEXT NOT NULL, from_jid TEXT NOT NULL, sent_date TEXT NOT NULL, subject TEXT, thread_id TEXT, msg_type TEXT NOT NULL,
	direction TEXT NOT NULL, body_len INTEGER, message_len INTEGER, body_string TEXT, message_string TEXT, body_text TEXT, message_text TEXT, history_flag TEXT);`

// WriteSQLite makes a new SQLite file with the statements, and puts rows into
// its table jm. It returns the path.
func WriteSQLite(t testing.TB, statements string, rows []sample.Row) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.db")
	conn, err := sqlite.OpenConn(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteScript(conn, statements, nil); err != nil {
		t.Fatal(err)
	}
	Insert(t, conn, rows)
	return path
}

// Insert puts rows into the table jm, whose columns are the documented ones in
// their order.
func Insert(t testing.TB, conn *sqlite.Conn, rows []sample.Row) {
	t.Helper()
	end, err := sqlitex.ImmediateTransaction(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		cells := make([]any, len(r.Cells))
		for i, c := range r.Cells {
			if c != sample.NULL {
				cells[i] = c
			}
		}
		if err := sqlitex.Execute(conn, "INSERT INTO jm VALUES ("+strings.Repeat("?,", 13)+"?)", &sqlitex.ExecOptions{Args: cells}); err != nil {
			t.Fatal(err)
		}
	}
	if end(&err); err != nil {
		t.Fatal(err)
	}
}
