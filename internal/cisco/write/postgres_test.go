//go:build unix

package write

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// TestPostgresRefused: the tables are as documented, the rights in the manual
// are enough, and a database that cannot hold everything for good is refused.
func TestPostgresRefused(t *testing.T) {
	server := testenv.StartPostgres(t, "fsync=on")
	open := func(url string, o DatabaseOptions) error {
		d, err := OpenPostgres(t.Context(), url, o)
		if err == nil {
			d.Close()
		}
		return err
	}
	db := func(name, sql string) string {
		server.SQL("postgres", "CREATE DATABASE "+name)
		if sql != "" {
			server.SQL(name, sql)
		}
		return server.URL("postgres", name)
	}
	good := db("good", "")
	if err := open(good, DatabaseOptions{Create: true}); err != nil {
		t.Fatal(err)
	}
	if got := server.SQL("good", "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'jm'::regclass AND attnum > 0"); got !=
		"to_jid character varying(3071) NOT NULL, from_jid character varying(3071) NOT NULL, sent_date timestamp without time zone NOT NULL, subject character varying(128), "+
			"thread_id character varying(128), msg_type character varying(1) NOT NULL, direction character varying(1) NOT NULL, body_len integer NOT NULL, message_len integer NOT NULL, "+
			"body_string character varying(4000), message_string character varying(4000), body_text text, message_text text, history_flag character varying(1) NOT NULL" {
		t.Error(got)
	}
	// A role with no more rights than the manual gives it, on tables that the manual's statements make.
	schema := PostgresSchema()
	server.SQL("postgres", "CREATE ROLE archiver LOGIN")
	least := db("least", schema+"REVOKE CREATE ON SCHEMA public FROM PUBLIC;"+PostgresGrants("archiver"))
	d, err := OpenPostgres(t.Context(), strings.Replace(least, "postgres@", "archiver@", 1), DatabaseOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(testKey, testIV, Options{})
	one := rowsOf(t, e, chat('I', "a@x", "b@x", "chat", "1", "one"))
	if err := d.Append(t.Context(), &Batch{Rows: one, Events: []Event{{Entry: 1, Time: at, Name: "started"}}, Marks: map[string]uint64{"s": 1}, Spool: 1}); err != nil {
		t.Error(err)
	}
	for _, sql := range []string{"DELETE FROM jm", "UPDATE jm SET subject = ''", "SELECT * FROM jm", "DELETE FROM archivolt_events", "UPDATE archivolt_events SET detail = ''", "SELECT * FROM archivolt_events"} {
		if _, err := d.query(t.Context(), sql); err == nil {
			t.Errorf("the role may %s", sql)
		}
	}
	d.Close()

	server.SQL("postgres", "CREATE ROLE hasty LOGIN SUPERUSER; ALTER ROLE hasty SET synchronous_commit = off; CREATE ROLE reader LOGIN SUPERUSER; ALTER ROLE reader SET default_transaction_read_only = on")
	server.SQL("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
	for name, c := range map[string]struct {
		url, want string
	}{
		"synchronous_commit":  {strings.Replace(good, "postgres@", "hasty@", 1), "synchronous_commit is off"},
		"read only":           {strings.Replace(good, "postgres@", "reader@", 1), "the server is a standby, or the database is for reading only"},
		"encoding":            {server.URL("postgres", "latin"), "the database has the encoding LATIN1"},
		"no events":           {db("noevents", schema+"DROP TABLE archivolt_events"), "there is no table archivolt_events that this user may see"},
		"no tables":           {db("empty", ""), "there is no table archivolt_events that this user may see"},
		"unlogged":            {db("unlogged", strings.Replace(schema, "TABLE jm", "UNLOGGED TABLE jm", 1)), "the table jm is unlogged or temporary"},
		"narrow":              {db("narrow", strings.Replace(schema, "varchar(3071)", "varchar(300)", 1)), "the column to_jid of table jm holds 300 characters only"},
		"a column is missing": {db("less", schema+"ALTER TABLE jm DROP history_flag"), "the table jm has no column history_flag"},
		"another version":     {db("newer", schema+"UPDATE archivolt_head SET version = 2"), "the table archivolt_head has version 2"},
		"no database":         {server.URL("postgres", "none"), `the server says: database "none" does not exist`},
		"no server":           {"postgres://postgres@127.0.0.1:1/x", "the database cannot be reached"},
		"no URL":              {"postgres://[", "this is no connection string that PostgreSQL understands"},
	} {
		err := open(c.url, DatabaseOptions{})
		var p *problem.Error
		if !errors.As(err, &p) || !strings.Contains(p.What, c.want) || p.Try == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	unsafe := testenv.StartPostgres(t)
	if err := open(unsafe.URL("postgres", "postgres"), DatabaseOptions{Create: true}); err == nil || !strings.Contains(err.Error(), "fsync = off") {
		t.Errorf("fsync: %v", err)
	}
	// A rule that throws rows away is noticed.
	trap := db("trap", schema+"CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t BEFORE INSERT ON jm FOR EACH ROW EXECUTE FUNCTION nothing()")
	if d, err = OpenPostgres(t.Context(), trap, DatabaseOptions{}); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Append(t.Context(), &Batch{Rows: one, Spool: 1}); err == nil || !strings.Contains(err.Error(), "of 1 rows 0 were taken") {
		t.Errorf("a trigger: %v", err)
	}
	if head, err := d.Head(t.Context()); err != nil || head.Spool != 0 {
		t.Errorf("%+v, %v", head, err)
	}
}

// TestLostConnection cuts the network at every point of a batch, in either
// direction: whatever Append says then, Head tells what is there, and nothing
// is lost or doubled.
func TestLostConnection(t *testing.T) {
	server := testenv.StartPostgres(t)
	proxy := testenv.StartProxy(t, fmt.Sprintf("127.0.0.1:%d", server.Port))
	url := fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", proxy.Addr())
	d, err := OpenPostgres(t.Context(), url, DatabaseOptions{Create: true, AllowUnsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	head, err := d.TakeOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(testKey, testIV, Options{})
	var lost, there, tries int
	for i := 0; ; i++ {
		from := chat('I', "a@x", "b@x", "chat", fmt.Sprint(i), "text")
		b := &Batch{Rows: rowsOf(t, e, from, from, from), Marks: map[string]uint64{"s": uint64(i)}, After: head.Spool, Spool: head.Spool + 3, Generation: head.Generation, Key: e.Fingerprint()}
		if i%2 == 0 {
			proxy.CutAfter(i*9, -1)
		} else {
			proxy.CutAfter(-1, i*2)
		}
		err := d.Append(t.Context(), b)
		proxy.CutAfter(-1, -1)
		tries++
		if err == nil {
			head.Spool = b.Spool
			if i > 400 {
				break
			}
			continue
		}
		if problem.ClassOf(err) != problem.Unavailable {
			t.Fatalf("cut %d: %v", i, err)
		}
		now, err := d.Head(t.Context()) // connects anew
		if err != nil {
			t.Fatal(err)
		}
		// The server may commit yet, for it learns late that nobody listens; then
		// the batch is refused the second time.
		switch now.Spool {
		case b.Spool: // only the answer was lost
			there++
		case head.Spool:
			lost++
			if err := d.Append(t.Context(), b); err != nil && !errors.Is(err, ErrMoved) {
				t.Fatal(err)
			}
		default:
			t.Fatalf("%+v", now)
		}
		head.Spool = b.Spool
	}
	t.Logf("%d batches, %d cut off and written again, %d written although the answer was lost", tries, lost, there)
	if lost < 20 || there == 0 {
		t.Error("the cuts show too little")
	}
	if got, want := server.SQL("postgres", "SELECT count(*) FROM jm"), fmt.Sprint(3*tries); got != want {
		t.Errorf("%s rows, want %s", got, want)
	}
	if got, want := server.SQL("postgres", "SELECT count(*), min(n), max(n) FROM (SELECT count(*) AS n FROM jm GROUP BY message_string) x"), fmt.Sprintf("%d|3|3", tries); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestServerKilled: the server dies as in a power cut, and comes back.
func TestServerKilled(t *testing.T) {
	server := testenv.StartPostgres(t, "fsync=on")
	d, err := OpenPostgres(t.Context(), server.URL("postgres", "postgres"), DatabaseOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	head, err := d.TakeOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(testKey, testIV, Options{})
	b := &Batch{Rows: rowsOf(t, e, chat('I', "a@x", "b@x", "chat", "1", "text")), Spool: 1, Generation: head.Generation}
	if err := d.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	b.After, b.Spool = 1, 2
	if err := d.Append(t.Context(), b); problem.ClassOf(err) != problem.Unavailable {
		t.Errorf("without a server: %v", err)
	}
	server.Start()
	if err := d.Append(t.Context(), b); err != nil {
		t.Error(err)
	}
	if n := server.SQL("postgres", "SELECT count(*) FROM jm"); n != "2" {
		t.Errorf("%s rows", n)
	}
	// It comes back empty, about to be restored: new tables would be in the way.
	server.SQL("postgres", "DROP TABLE jm, archivolt_head, archivolt_marks")
	server.Kill()
	server.Start()
	_, _ = d.Head(t.Context()) // finds the connection lost
	if _, err := d.Head(t.Context()); problem.ClassOf(err) != problem.NoArchive {
		t.Errorf("an empty database: %v", err)
	}
	if n := server.SQL("postgres", "SELECT count(*) FROM pg_class WHERE relname IN ('jm', 'archivolt_head', 'archivolt_marks')"); n != "0" {
		t.Errorf("%s tables were made", n)
	}
}

// TestStalled: a server that does not answer is given up.
func TestStalled(t *testing.T) {
	server := testenv.StartPostgres(t)
	d, err := OpenPostgres(t.Context(), server.URL("postgres", "postgres"), DatabaseOptions{Create: true, AllowUnsafe: true, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	holder, err := pgconn.Connect(t.Context(), server.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(t.Context())
	if _, err := holder.Exec(t.Context(), "BEGIN; LOCK jm").ReadAll(); err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(testKey, testIV, Options{})
	b := &Batch{Rows: rowsOf(t, e, chat('I', "a@x", "b@x", "chat", "1", "text")), Spool: 1}
	if err := d.Append(t.Context(), b); problem.ClassOf(err) != problem.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := holder.Exec(t.Context(), "ROLLBACK").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(t.Context(), b); err != nil {
		t.Error(err)
	}
}

// copyOf is what COPY gets of rows.
func copyOf(rows []Row) *copyText {
	return &copyText{n: len(rows), row: func(i int) []Text { cells := rows[i].cells(); return cells[:] }}
}

// TestCopyText reads in pieces of every size what comes out in one.
func TestCopyText(t *testing.T) {
	e := NewEncoder(testKey, testIV, Options{})
	rows := rowsOf(t, e, chat('I', "a@x", "b@x", "chat", "1", "text"), chat('O', "a@x", "b@x", "chat", "2", strings.Repeat("long", 2000)))
	rows[0].ThreadID = Text{"a\\N\tb\nc\rd", true}
	whole, err := io.ReadAll(copyOf(rows))
	if err != nil || strings.Count(string(whole), "\n") != 2 || strings.Count(string(whole), "\t") != 26 || !strings.Contains(string(whole), `a\\N\tb\nc\rd`) {
		t.Errorf("%q, %v", whole, err)
	}
	for special, escape := range map[string]string{`\`: `\\`, "\t": `\t`, "\n": `\n`, "\r": `\r`} {
		one := rows[0]
		one.ThreadID.Text = "a" + special + "b"
		text, err := io.ReadAll(copyOf([]Row{one}))
		if want := "\ta" + escape + "b\t"; err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%q is not in %q, %v", want, text, err)
		}
	}
	for _, size := range []int{1, 7, 100, 5000} {
		var got []byte
		r, piece := copyOf(rows), make([]byte, size)
		for {
			n, err := r.Read(piece)
			got = append(got, piece[:n]...)
			if err == io.EOF {
				break
			}
		}
		if string(got) != string(whole) {
			t.Errorf("in pieces of %d: %q", size, got)
		}
	}
}
