//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/cisco/sqlserver/tdstest"
	"archivolt/internal/testenv"
)

// inPostgres puts rows into a server of the test's own.
func inPostgres(t *testing.T, rows []sample.Row) *testenv.Postgres {
	t.Helper()
	server := testenv.StartPostgres(t)
	server.SQL("postgres", testenv.JM)
	var csv strings.Builder
	if err := sample.WriteCSV(&csv, rows); err != nil {
		t.Fatal(err)
	}
	server.CopyCSV("postgres", "jm", csv.String())
	return server
}

// inSQLServer puts rows into what plays SQL Server.
func inSQLServer(t *testing.T, rows []sample.Row) *tdstest.Server {
	t.Helper()
	t.Setenv("ARCHIVOLT_DB_PASSWORD", tdstest.Password)
	server := tdstest.Start(t, func(db *sqlite.Conn) {
		// datetime would round to 1/300 s.
		if err := sqlitex.ExecuteScript(db, strings.Replace(tdstest.JM, "datetime", "datetime2(3)", 1), nil); err != nil {
			t.Fatal(err)
		}
		sourcetest.Insert(t, db, rows)
	})
	server.Behave(tdstest.Behaviour{Snapshot: true})
	return server
}

// exported returns the records that a command writes to standard output, sorted,
// without the fields that may differ.
func exported(t *testing.T, without []string, arguments ...string) []string {
	t.Helper()
	stdout, stderr, code := runApp(t, "", append(append([]string{"export"}, arguments...), append([]string{"--format", "jsonl", "--out", "-"}, allKeys...)...)...)
	if code != 0 && code != 3 {
		t.Fatalf("%q: exit %d: %s", arguments, code, stderr)
	}
	var list []string
	for line := range strings.Lines(stdout) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		for _, name := range without {
			delete(record, name)
		}
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(text))
	}
	slices.Sort(list)
	return list
}

// TestOneArchiveManySources: wherever an archive lies, the answers are the
// same.
func TestOneArchiveManySources(t *testing.T) {
	t.Chdir(t.TempDir())
	truth := makeArchive(t, sample.Options{Seed: 21, Utterances: 1500})
	server := inPostgres(t, truth.Rows)
	bacpac, err := os.Create("tcmadb.bacpac")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sample.WriteBacpac(bacpac, truth.Rows), bacpac.Close()); err != nil {
		t.Fatal(err)
	}
	tds := inSQLServer(t, truth.Rows)
	for _, flags := range [][]string{nil, {"--rows"}, {"--user", "*berg*", "--since", "2024-01-03"}} {
		want := exported(t, []string{"row"}, append([]string{"jm.csv"}, flags...)...)
		if len(want) == 0 {
			t.Fatalf("%q chooses nothing", flags)
		}
		for name, archive := range map[string]string{
			"PostgreSQL": server.URL("postgres", "postgres"),
			"bacpac":     "tcmadb.bacpac",
			"SQL Server": tds.URL(), // a stand-in plays it
			"SQLite":     sourcetest.WriteSQLite(t, sourcetest.SQLiteJM, truth.Rows),
		} {
			if got := exported(t, []string{"row"}, append([]string{archive}, flags...)...); !slices.Equal(got, want) {
				t.Errorf("%s, %q: %d records, not the %d of the CSV file", name, flags, len(got), len(want))
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Errorf("the first that differs is\n%s, not\n%s", got[i], want[i])
						break
					}
				}
			}
		}
	}
}

// TestFast: what is looked up is what a scan finds, for everybody in the
// archive who is written in one way.
func TestFast(t *testing.T) {
	t.Chdir(t.TempDir())
	truth := makeArchive(t, sample.Options{Seed: 22, Utterances: 600})
	server := inPostgres(t, truth.Rows)
	people := map[string]bool{}
	for _, u := range truth.Utterances {
		people[u.From], people[u.To], people[u.Room] = true, true, true
	}
	delete(people, "")
	spelt := map[string]map[string]bool{} // how each is written
	for _, r := range truth.Rows {
		for _, jid := range []string{r.From, r.To} {
			bare, _, _ := strings.Cut(jid, "/")
			lower := strings.ToLower(bare)
			if spelt[lower] == nil {
				spelt[lower] = map[string]bool{}
			}
			spelt[lower][bare] = true
		}
	}
	// Of other recipients and copies a lookup sees only its own rows.
	ignored := []string{"row", "recipients", "copies", "reason", "status", "time", "direction"}
	compared, odd := 0, 0
	for archive, name := range map[string]string{server.URL("postgres", "postgres"): "PostgreSQL", sourcetest.WriteSQLite(t, sourcetest.SQLiteJM, truth.Rows): "SQLite",
		inSQLServer(t, truth.Rows).URL(): "SQL Server"} {
		for who := range people {
			if len(spelt[who]) != 1 || !spelt[who][who] {
				odd++
				continue
			}
			flag := "--user"
			if strings.Contains(who, "@conference") {
				flag = "--room"
			}
			whole := exported(t, ignored, archive, flag, who)
			fast := exported(t, ignored, archive, flag, who, "--fast")
			if len(whole) == 0 || !slices.Equal(fast, whole) {
				t.Errorf("%s: %s has %d records, a lookup finds %d", name, who, len(whole), len(fast))
			}
			compared++
		}
	}
	t.Logf("%d compared, %d written in several ways", compared, odd)
	if compared < 10 {
		t.Error("too few addresses")
	}
}

// TestServerLost: the database is killed in the middle of an export. That is
// no end of the archive, and nothing looks complete.
func TestServerLost(t *testing.T) {
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 23, Utterances: 10})
	server := testenv.StartPostgres(t)
	server.SQL("postgres", testenv.JM+`INSERT INTO jm SELECT 'a@x', 'b@x', timestamp '2024-01-31 09:00:00' + i * interval '1 second', NULL, NULL, 'c', 'I', 4, 40,
		'text ' || i, '<message id="' || i || '"><body>text ' || i || '</body></message>', repeat('long ', 200), '', 'N' FROM generate_series(1, 200000) i`)
	cmd := exec.Command("archivolt", "export", server.URL("postgres", "postgres"), "--format", "jsonl", "--out", "-")
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() { // the export is under way, and waits for us to read on
		t.Fatal("nothing came")
	}
	server.Kill()
	for lines.Scan() {
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 14 || !strings.Contains(stderr.String(), "the connection was lost after") {
		t.Errorf("it ended with %v: %s", err, stderr)
	}
	if _, errText, code := runApp(t, "", "export", server.URL("postgres", "postgres"), "--format", "jsonl", "--out", "case"); code != 14 || !strings.Contains(errText, "the database cannot be reached") {
		t.Errorf("without a server: exit %d: %s", code, errText)
	}
	if _, err := os.Stat("case"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the folder is there")
	}
	if _, err := os.Stat("case.partial"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the unfinished folder is there")
	}
}
