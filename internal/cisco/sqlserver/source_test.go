package sqlserver

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sqlc-dev/teesql/parser"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sqlserver/tdstest"
)

const null = sample.NULL

// cells are those of a row as a test compares them.
type cells [14]string

// got is a row as a scan gave it.
type got struct {
	cells
	Number int64
	Short  bool
}

// create makes a table.
func create(t testing.TB, db *sqlite.Conn, script string) {
	t.Helper()
	if err := sqlitex.ExecuteScript(db, script, nil); err != nil {
		t.Fatal(err)
	}
}

// insert inserts rows into JM, whose first columns are the documented ones;
// more are values of further columns.
func insert(t testing.TB, db *sqlite.Conn, rows []cells, more ...func(i int) any) {
	t.Helper()
	for i, row := range rows {
		values := make([]any, len(row), len(row)+len(more))
		for j, cell := range row {
			switch c := cisco.Column(j); {
			case cell == null:
			case c == cisco.BodyLen || c == cisco.MessageLen:
				n, err := strconv.ParseInt(cell, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				values[j] = n
			default:
				values[j] = cell
			}
		}
		for _, value := range more {
			values = append(values, value(i))
		}
		tdstest.Insert(t, db, "JM", values...)
	}
}

// start starts a server with the documented table and rows.
func start(t testing.TB, rows []cells) *tdstest.Server {
	t.Helper()
	return tdstest.Start(t, func(db *sqlite.Conn) {
		create(t, db, tdstest.JM)
		insert(t, db, rows)
	})
}

// open opens the source, and holds all statements that the server got against
// the parser when the test ends.
func open(t testing.TB, s *tdstest.Server, parameters ...string) *Source {
	t.Helper()
	src, err := Open(t.Context(), s.URL(parameters...), Options{Password: tdstest.Password, AllowLocks: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		for _, text := range s.Statements() {
			parse(t, text)
		}
	})
	return src
}

// parse holds a statement against a T-SQL parser that is not ours.
func parse(t testing.TB, text string) {
	t.Helper()
	script, err := parser.Parse(context.Background(), strings.NewReader(text))
	if err != nil {
		t.Errorf("%v in %s", err, text)
	} else if len(script.Batches) != 1 {
		t.Errorf("%d batches in %s", len(script.Batches), text)
	}
}

// scan reads all rows.
func scan(t testing.TB, src *Source, o cisco.ScanOptions) (rows []got) {
	t.Helper()
	rows, err := tryScan(t.Context(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func tryScan(ctx context.Context, src *Source, o cisco.ScanOptions) (rows []got, err error) {
	err = src.Scan(ctx, o, func(b cisco.Batch) bool {
		rows = append(rows, take(b)...)
		return true
	})
	return rows, err
}

// take copies the rows of a batch and releases it.
func take(b cisco.Batch) (rows []got) {
	var row cisco.Row
	for i := range b.Len() {
		b.Row(i, &row)
		g := got{Number: row.Number, Short: row.Short}
		for c, cell := range row.Cells[:len(g.cells)] {
			g.cells[c] = null
			if cell != nil {
				g.cells[c] = string(cell)
			}
		}
		if row.Problem != "" {
			g.cells[0] = "problem: " + row.Problem
		}
		rows = append(rows, g)
	}
	b.Release()
	return rows
}

// compare wants rows with the numbers from 1.
func compare(t testing.TB, rows []got, want []cells) {
	t.Helper()
	for i := range min(len(rows), len(want)) {
		if rows[i].Number != int64(i+1) {
			t.Fatalf("row %d has the number %d", i+1, rows[i].Number)
		}
		for c := range cisco.Column(14) {
			if rows[i].cells[c] != want[i][c] {
				t.Fatalf("row %d: %v is %.90q, want %.90q", i+1, c, rows[i].cells[c], want[i][c])
			}
		}
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
}

// plain is a row with nothing special, with other cells.
func plain(others ...any) cells {
	c := cells{"anna@x.com", "ben@x.com/desk", "2024-05-06 07:08:09.123", null, "t1", "c", "O", "4", "40", "QUJD", "REVG", null, null, "N"}
	for i := 0; i < len(others); i += 2 {
		c[others[i].(cisco.Column)] = others[i+1].(string)
	}
	return c
}

// datetime rounds milliseconds as the documentation of the type datetime lists it:
// the last digit becomes 0, 3 or 7.
func datetime(t time.Time) string {
	steps := [10]int{0, -1, 1, 0, -1, 2, 1, 0, -1, 1}
	ms := t.Nanosecond() / 1e6
	return t.Add(time.Duration(steps[ms%10]) * time.Millisecond).Format("2006-01-02 15:04:05.000")
}

// made are generated rows: at least n of them.
func made(n int) (rows []cells) {
	for _, row := range sample.New(sample.Options{Seed: 7, Utterances: n / 3}).Rows {
		c := cells(row.Cells)
		c[cisco.SentDate] = datetime(row.Time)
		rows = append(rows, c)
	}
	return rows
}

func TestEveryRowEqualsTheTruth(t *testing.T) {
	rows := made(10_000)
	if len(rows) < 10_000 {
		t.Fatalf("%d rows are too few", len(rows))
	}
	src := open(t, start(t, rows), "packet size=512")
	for range 2 {
		compare(t, scan(t, src, cisco.ScanOptions{}), rows)
	}
	if want := "SQL Server 16.0.4135.4, table dbo.JM, read in one SELECT"; src.Describe() != want {
		t.Errorf("%q, want %q", src.Describe(), want)
	}
	if src.Size() != int64(len(rows))*8192/2 {
		t.Errorf("size %d", src.Size())
	}
}

// TestWays reads one table in all ways, and looks at what was sent for it.
func TestWays(t *testing.T) {
	rows := made(2500)
	slices.Reverse(rows) // so that the order of a key is not that of the table
	for i := range rows {
		if i%3 > 0 {
			rows[i][cisco.SentDate] = rows[i-i%3][cisco.SentDate]
		}
	}
	id := func(i int) any { return int64(1_000_000 - i*i) }
	byID := slices.Clone(rows)
	slices.Reverse(byID)
	byDate := slices.Clone(rows)
	slices.SortStableFunc(byDate, func(a, b cells) int { return strings.Compare(a[cisco.SentDate], b[cisco.SentDate]) })
	for _, c := range []struct {
		name     string
		table    string // what is added to the table
		more     string // statements
		snapshot bool
		want     []cells
		how      string
		contains []string
	}{
		{"one SELECT", "", "", false, rows, "one SELECT", []string{"FROM [dbo].[JM] OPTION (MAXDOP 1)"}},
		{"snapshot", "", "", true, rows, "a snapshot", []string{"FROM [dbo].[JM] OPTION (MAXDOP 1)"}},
		{"snapshot, other index", "", "CREATE UNIQUE INDEX i ON JM (id)", true, rows, "a snapshot", []string{"FROM [dbo].[JM] OPTION (MAXDOP 1)"}},
		{"primary key", ", PRIMARY KEY (id)", "", false, byID, "short batches", []string{
			"FROM [dbo].[JM] WITH (INDEX([sqlite_autoindex_JM_1])) WHERE [id] > CONVERT(bigint, @p2) ORDER BY [id] OPTION (MAXDOP 1)",
			"WHERE [id] > CONVERT(bigint, @p2) AND [id] <= CONVERT(bigint, @p3) ORDER BY"}},
		{"snapshot and primary key", ", PRIMARY KEY (id)", "", true, byID, "a snapshot", []string{"WHERE [id] > CONVERT(bigint, @p2) ORDER BY [id]"}},
		{"unique index", "", "CREATE UNIQUE INDEX i ON JM (id)", false, byID, "short batches", []string{"WITH (INDEX([i]))"}},
		{"index on the date", "", "CREATE INDEX [a b] ON JM (SENT_DATE, TO_JID)", false, nil, "short batches", []string{
			"SELECT TOP (@p1) WITH TIES [TO_JID]", "WITH (INDEX([a b])) WHERE [SENT_DATE] > CONVERT(datetime, @p2, 126) ORDER BY [SENT_DATE] OPTION"}},
		{"date and number", ", PRIMARY KEY (SENT_DATE, id)", "", false, nil, "short batches", []string{
			"WHERE [SENT_DATE] >= CONVERT(datetime, @p2, 126) AND ([SENT_DATE] > CONVERT(datetime, @p2, 126) OR ([SENT_DATE] = CONVERT(datetime, @p2, 126) AND [id] > CONVERT(bigint, @p3)))"}},
		{"indexes that are of no use", "", "CREATE INDEX a ON JM (id); CREATE UNIQUE INDEX b ON JM (TO_JID, id); CREATE INDEX c ON JM (THREAD_ID); CREATE UNIQUE INDEX d ON JM (id) WHERE id > 3",
			false, rows, "one SELECT", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tdstest.Start(t, func(db *sqlite.Conn) {
				create(t, db, strings.TrimSuffix(tdstest.JM, ")")+", id bigint NOT NULL"+c.table+");"+c.more)
				insert(t, db, rows, id)
			})
			s.Behave(tdstest.Behaviour{Snapshot: c.snapshot})
			src := open(t, s)
			first := scan(t, src, cisco.ScanOptions{})
			if c.want == nil {
				// Within one date the order is the index's, which the test does
				// not know; the rows as a set, and the dates in order.
				checkDates(t, first, byDate)
			} else {
				compare(t, first, c.want)
			}
			second := scan(t, src, cisco.ScanOptions{})
			if !slices.Equal(first, second) {
				t.Error("the second scan gives other rows")
			}
			if want := "SQL Server 16.0.4135.4, table dbo.JM, read in " + c.how; src.Describe() != want {
				t.Errorf("%q, want %q", src.Describe(), want)
			}
			sent := strings.Join(s.Statements(), "\n")
			for _, part := range c.contains {
				if !strings.Contains(sent, part) {
					t.Errorf("no statement has %q", part)
				}
			}
			if got := strings.Contains(sent, "BEGIN TRANSACTION"); got != c.snapshot {
				t.Errorf("a transaction: %v, want %v", got, c.snapshot)
			}
			if !strings.HasPrefix(sent, "SET LOCK_TIMEOUT 5000; SET DEADLOCK_PRIORITY LOW; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ") {
				t.Error("the session does not begin with its settings")
			}
			for _, word := range []string{"NOLOCK", "UNCOMMITTED", "REPEATABLE", "SERIALIZABLE", "INSERT", "UPDATE", "DELETE", "INTO"} {
				if strings.Contains(sent, word) {
					t.Errorf("a statement has %s", word)
				}
			}
		})
	}
}

func checkDates(t *testing.T, rows []got, byDate []cells) {
	t.Helper()
	var have, want []string
	for i, row := range rows {
		if i > 0 && row.cells[cisco.SentDate] < rows[i-1].cells[cisco.SentDate] {
			t.Fatalf("row %d is not in the order of time", i+1)
		}
		have = append(have, fmt.Sprint(row.cells))
	}
	for _, row := range byDate {
		want = append(want, fmt.Sprint(row))
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Fatalf("%d rows, which are not the %d that were stored", len(have), len(want))
	}
}

func TestReadOnlyIntent(t *testing.T) {
	s := start(t, nil)
	open(t, s)
	if got := s.ReadOnlyIntent(); !slices.Equal(got, []bool{true}) {
		t.Errorf("%v", got)
	}
}
