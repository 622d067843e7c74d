//go:build unix

package write

import (
	"context"
	"errors"
	"fmt"
	"html"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/archive"
	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/message"
	"archivolt/internal/testenv"
)

// database is what both kinds of archive are.
type database interface {
	Head(context.Context) (Head, error)
	TakeOver(context.Context) (Head, error)
	Marks(context.Context) (map[string]uint64, error)
	Append(context.Context, *Batch) error
	Close() error
}

// kind opens archives of one kind.
type kind struct {
	fresh func(t *testing.T) (name string)                                     // of an archive that is not there yet
	open  func(t *testing.T, name string, o DatabaseOptions) (database, error) // it
	count func(t *testing.T, name string) string                               // rows of jm
}

func kinds(t *testing.T) map[string]kind {
	server := testenv.StartPostgres(t)
	n := 0
	return map[string]kind{
		"sqlite": {
			fresh: func(t *testing.T) string { return filepath.Join(t.TempDir(), "jm archive #1.db") },
			open: func(t *testing.T, name string, o DatabaseOptions) (database, error) {
				return wrap(OpenSQLite(name, o))
			},
			count: sqliteCount,
		},
		"postgres": {
			fresh: func(t *testing.T) string {
				n++
				name := fmt.Sprint("archive", n)
				server.SQL("postgres", "CREATE DATABASE "+name)
				return server.URL("postgres", name)
			},
			open: func(t *testing.T, name string, o DatabaseOptions) (database, error) {
				o.AllowUnsafe = true // the server of the tests has fsync off
				return wrap(OpenPostgres(t.Context(), name, o))
			},
			count: postgresCount,
		},
	}
}

// wrap keeps a nil pointer out of an interface.
func wrap[T database](d T, err error) (database, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

func sqliteCount(t *testing.T, path string) string {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	n, err := sqlitex.ResultInt64(conn.Prep("SELECT count(*) FROM jm"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(n)
}

func postgresCount(t *testing.T, url string) string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	result := conn.ExecParams(t.Context(), "SELECT count(*) FROM jm", nil, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	return string(result.Rows[0][0])
}

func rowsOf(t testing.TB, e *Encoder, copies ...Copy) []Row {
	t.Helper()
	rows, report, err := e.Rows(copies)
	if err != nil || len(report.Cut) > 0 {
		t.Fatal(report, err)
	}
	e.Stored()
	return rows
}

// TestStores is what every archive must do.
func TestStores(t *testing.T) {
	for name, k := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			at := k.fresh(t)
			if d, err := k.open(t, at, DatabaseOptions{}); err == nil {
				d.Close()
				t.Error("an archive that is not there is opened")
			}
			d, err := k.open(t, at, DatabaseOptions{Create: true})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			head, err := d.Head(ctx)
			if err != nil || head.ID == [16]byte{} || head.Spool != 0 || head.Generation != 0 || head.Key != "" {
				t.Fatalf("%+v, %v", head, err)
			}
			if marks, err := d.Marks(ctx); err != nil || len(marks) != 0 {
				t.Fatalf("%v, %v", marks, err)
			}
			id := head.ID
			if head, err = d.TakeOver(ctx); err != nil || head.Generation != 1 || head.ID != id {
				t.Fatalf("%+v, %v", head, err)
			}
			e := NewEncoder(testKey, testIV, Options{})
			rows := rowsOf(t, e, chat('I', "a@x", "b@x", "chat", "1", "one"), chat('O', "a@x", "b@x", "chat", "2", `back\slash	tab`))
			batch := &Batch{Rows: rows, Marks: map[string]uint64{"queue/x": 2, "Queue/x": 1<<64 - 1}, After: 0, Spool: 5, Generation: 1, Key: e.Fingerprint()}
			if err := d.Append(ctx, batch); err != nil {
				t.Fatal(err)
			}
			// The same again, as if nobody knew whether it is there.
			if err := d.Append(ctx, batch); !errors.Is(err, ErrMoved) {
				t.Errorf("a batch twice: %v", err)
			}
			want := Head{ID: id, Spool: 5, Generation: 1, Key: e.Fingerprint()}
			if head, err := d.Head(ctx); err != nil || head != want {
				t.Errorf("%+v, %v, want %+v", head, err, want)
			}
			// A name that no database takes as it is holds nothing up.
			batch.Marks["odd\uFFFD\uFFFDname"] = 7
			if err := d.Append(ctx, &Batch{After: 5, Spool: 5, Generation: 1, Key: e.Fingerprint(), Marks: map[string]uint64{"odd\xff\x00name": 7}}); err != nil {
				t.Error(err)
			}
			// Without rows: entries of the queue that are no copies.
			if err := d.Append(ctx, &Batch{After: 5, Spool: 6, Generation: 1, Key: e.Fingerprint(), Marks: map[string]uint64{"queue/x": 1}}); err != nil {
				t.Fatal(err)
			}
			if marks, err := d.Marks(ctx); err != nil || !maps.Equal(marks, batch.Marks) {
				t.Errorf("%v, %v", marks, err)
			}
			for what, b := range map[string]*Batch{"backwards": {After: 6, Spool: 5, Generation: 1}, "no entries": {Rows: rows, After: 6, Spool: 6, Generation: 1},
				"a source without a name": {After: 6, Spool: 7, Generation: 1, Marks: map[string]uint64{"": 1}}, "a long name": {After: 6, Spool: 7, Generation: 1, Marks: map[string]uint64{strings.Repeat("s", 513): 1}}} {
				if err := d.Append(ctx, b); err == nil {
					t.Errorf("%s: taken", what)
				}
			}
			// Another writer.
			other, err := k.open(t, at, DatabaseOptions{Create: true})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if head, err := other.TakeOver(ctx); err != nil || head.Generation != 2 || head.Spool != 6 || head.ID != id {
				t.Fatalf("%+v, %v", head, err)
			}
			if err := d.Append(ctx, &Batch{Rows: rows, After: 6, Spool: 8, Generation: 1}); !errors.Is(err, ErrFenced) {
				t.Errorf("of a writer that was shut out: %v", err)
			}
			if err := d.Append(ctx, &Batch{Rows: rows, After: 6, Spool: 8, Generation: 3}); !errors.Is(err, ErrMoved) {
				t.Errorf("of a writer to a later archive, of which this is an older copy: %v", err)
			}
			if err := other.Append(ctx, &Batch{Rows: rows[:1], After: 6, Spool: 7, Generation: 2}); err != nil {
				t.Error(err)
			}
			if n := k.count(t, at); n != "3" {
				t.Errorf("%s rows", n)
			}
			// What is refused or interrupted in its middle is not there.
			if name == "postgres" {
				broken := slices.Clone(rows)
				broken[1].ThreadID = Text{"\x00", true}
				if err := other.Append(ctx, &Batch{Rows: broken, After: 7, Spool: 9, Generation: 2}); err == nil {
					t.Error("a row that PostgreSQL cannot hold was taken")
				}
			}
			gone, cancel := context.WithCancel(ctx)
			cancel()
			if err := other.Append(gone, &Batch{Rows: rows, After: 7, Spool: 9, Generation: 2}); err == nil {
				t.Error("an interrupted batch was taken")
			}
			if head, err := other.Head(ctx); err != nil || head.Spool != 7 {
				t.Errorf("%+v, %v", head, err)
			}
			if err := other.Append(ctx, &Batch{Rows: rows, After: 7, Spool: 9, Generation: 2}); err != nil {
				t.Error(err)
			}
			if n := k.count(t, at); n != "5" {
				t.Errorf("%s rows", n)
			}
		})
	}
}

// said is one message as it was written, for comparing.
type said struct {
	from, to, body, stanza string
	hasBody                bool
	direction              byte
}

// talk makes copies of all kinds.
func talk(n int) (copies []Copy, truth []said) {
	r := rand.New(rand.NewPCG(1, 2))
	bodies := sample.Bodies()
	people := []string{"anna@example.org/pc", "ben@example.org/jabber_12137", "χρήστης@παράδειγμα.example/κινητό", "o\\27neill@example.org/x"}
	for i := range n {
		s := said{from: people[r.IntN(len(people))], to: people[r.IntN(len(people))], body: bodies[r.IntN(len(bodies))], hasBody: true, direction: "IO"[r.IntN(2)]}
		kind, extra := "chat", ""
		switch r.IntN(8) {
		case 0:
			s.body = strings.Repeat(s.body, 1+r.IntN(200))
		case 1:
			s.hasBody, s.body, extra = false, "", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
		case 2:
			kind, s.direction = "groupchat", 'I'
			s.from = "room@conference.example.org/" + s.from
		case 3:
			s.body = strings.Repeat("x", 2980+r.IntN(20))
		case 4:
			s.body = "short\tand <sharp> & \"quoted\"\n'lines'"
		}
		body := ""
		if s.hasBody {
			body = "<body>" + html.EscapeString(s.body) + "</body>"
		}
		s.stanza = fmt.Sprintf("<message xmlns='jabber:client' to='%s' from='%s' type='%s' id='m%d'>%s<thread>t%d</thread>%s</message>", s.to, s.from, kind, i, body, i%7, extra)
		copies = append(copies, Copy{Stanza: []byte(s.stanza), Time: at.Add(time.Duration(i) * time.Second), Direction: s.direction, Source: "queue/x", Number: uint64(i + 1)})
		truth = append(truth, s)
	}
	return copies, truth
}

// TestRoundTrip: what is written is read by Archivolt's reader, which shares no
// cipher with the writer, row by row and with every row certain.
func TestRoundTrip(t *testing.T) {
	const n = 3000
	key, err := cisco.NewKey(testKey[:], testIV[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			at := k.fresh(t)
			d, err := k.open(t, at, DatabaseOptions{Create: true})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			head, err := d.TakeOver(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			copies, truth := talk(n)
			e := NewEncoder(testKey, testIV, Options{})
			for batch := range slices.Chunk(copies, 500) {
				next := head.Spool + uint64(len(batch))
				if err := d.Append(t.Context(), &Batch{Rows: rowsOf(t, e, batch...), Marks: map[string]uint64{"queue/x": next}, After: head.Spool, Spool: next, Generation: head.Generation, Key: e.Fingerprint()}); err != nil {
					t.Fatal(err)
				}
				head.Spool = next
			}
			a, err := archive.Open(t.Context(), []string{at}, archive.Keys{Cisco: []*cisco.Key{key}}, archive.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			seen := map[int]bool{} // a database need not give rows in the order in which they came
			err = a.Rows(t.Context(), func(m *message.Message) error {
				var i int
				if _, err := fmt.Sscanf(m.StanzaID, "m%d", &i); err != nil || i >= n || seen[i] {
					return fmt.Errorf("row %d has the stanza id %q, %v", m.Row, m.StanzaID, err)
				}
				seen[i] = true
				s := truth[i]
				got := said{from: m.From.Raw, to: m.To.Raw, body: m.Body.Text, stanza: s.stanza, hasBody: m.Body.Valid, direction: s.direction}
				if got != s || m.Status.String() != "ok" || m.Key != key.Fingerprint() || m.Reason != "" || m.StanzaBody.Text != s.body ||
					!m.Time.Equal(copies[i].Time.Truncate(time.Millisecond)) {
					t.Errorf("row %d is %s (%s) at %s:\n got %.200q\nwant %.200q", m.Row, m.Status, m.Reason, m.Time, fmt.Sprint(got), fmt.Sprint(s))
				}
				return nil
			})
			if err != nil || len(seen) != n {
				t.Errorf("%d of %d rows, %v", len(seen), n, err)
			}
		})
	}
}

func TestSQLiteRefused(t *testing.T) {
	dir := t.TempDir()
	made := func(name, sql string) string {
		path := filepath.Join(dir, name)
		conn, err := sqlite.OpenConn(path)
		if err == nil {
			err = errors.Join(sqlitex.ExecuteScript(conn, sql, nil), conn.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"no file":      {filepath.Join(dir, "none"), "no such file"},
		"no database":  {text, "this is no SQLite file"},
		"ours":         {made("ours", "PRAGMA application_id=0x41764c74; CREATE TABLE x (y)"), "Archivolt's own format"},
		"no table":     {made("empty", "CREATE TABLE x (y)"), "there is no table jm"},
		"few columns":  {made("few", "CREATE TABLE jm (to_jid, from_jid)"), "has no column sent_date"},
		"no head":      {made("nohead", "CREATE TABLE jm ("+columnsSQL()+")"), "no such table: archivolt_head"},
		"no events":    {made("noevents", "CREATE TABLE jm ("+columnsSQL()+");"+sqliteSchema+"INSERT INTO archivolt_head VALUES (1, 1, 'x', 0, 0, '')"), "no table archivolt_events"},
		"another head": {made("newer", "CREATE TABLE jm ("+columnsSQL()+");"+sqliteSchema+"INSERT INTO archivolt_head VALUES (1, 2, 'x', 0, 0, '')"), "has version 2"},
	} {
		if d, err := OpenSQLite(c.path, DatabaseOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				d.Close()
			}
		}
	}
	path := filepath.Join(dir, "new.db")
	d, err := OpenSQLite(path, DatabaseOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if n, err := d.number("PRAGMA synchronous"); err != nil || n != 2 {
		t.Errorf("synchronous is %d, %v", n, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// The table goes away under it.
	if err := sqlitex.ExecuteScript(d.conn, "DROP TABLE jm", nil); err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(testKey, testIV, Options{})
	if err := d.Append(t.Context(), &Batch{Rows: rowsOf(t, e, chat('I', "a@x", "b@x", "chat", "1", "one")), Spool: 1}); err == nil {
		t.Error("without a table a batch is taken")
	}
	if head, err := d.Head(t.Context()); err != nil || head.Spool != 0 {
		t.Errorf("%+v, %v", head, err)
	}
}
