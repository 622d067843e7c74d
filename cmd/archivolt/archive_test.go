package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
)

// makeArchive writes an archive of the sample with its keys into the current
// folder, and returns its truth.
func makeArchive(t testing.TB, o sample.Options) *sample.Archive {
	t.Helper()
	a := sample.New(o)
	f, err := os.OpenFile("jm.csv", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := sample.WriteCSV(f, a.Rows); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for i, k := range a.Keys {
		if err := os.WriteFile(fmt.Sprintf("key%d.txt", i+1), []byte(k.Text()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("lost.txt", []byte(a.Lost.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	var people strings.Builder
	people.WriteString("address,name,department\n")
	for address, name := range a.People {
		fmt.Fprintf(&people, "%s,%s,Trade\n", address, name)
	}
	if err := os.WriteFile("people.csv", []byte(people.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

var allKeys = []string{"--key", "key1.txt", "--key", "key2.txt", "--key", "key3.txt"}

// TestExportRows compares "export --rows" with the truth, as a reader of the
// file would who has nothing but a JSON parser.
func TestExportRows(t *testing.T) {
	t.Chdir(t.TempDir())
	truth := makeArchive(t, sample.Options{Seed: 3, Utterances: 2000})
	_, stderr, code := runApp(t, "", append([]string{"export", "jm.csv", "--format", "jsonl", "--rows", "--out", "out"}, allKeys...)...)
	if code != 3 || !strings.Contains(stderr, "rows could not be read") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSuffix(readFile(t, "out/messages.jsonl"), "\n"), "\n")
	if len(lines) != len(truth.Rows) {
		t.Fatalf("%d lines for %d rows", len(lines), len(truth.Rows))
	}
	for i, line := range lines {
		var got struct {
			Time, Status, Row    string
			From, To, Body       *string
			StanzaBody, StanzaID *string
		}
		line = strings.NewReplacer(`"stanza_body"`, `"StanzaBody"`, `"stanza_id"`, `"StanzaID"`).Replace(line)
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		want := truth.Rows[i]
		pairs := [][2]string{{got.Time, want.Time.Format("2006-01-02T15:04:05.000Z")}, {got.Status, want.Status}, {got.Row, fmt.Sprintf("jm.csv:%d", i+1)},
			{deref(got.From, ""), want.From}, {deref(got.To, ""), want.To}, {deref(got.Body, sample.NULL), want.Body},
			{deref(got.StanzaBody, sample.NULL), want.StanzaBody}, {deref(got.StanzaID, ""), want.StanzaID}}
		for _, p := range pairs {
			if p[0] != p[1] {
				t.Errorf("row %d: %q, want %q", i+1, p[0], p[1])
			}
		}
	}
}

func deref(s *string, null string) string {
	if s == nil {
		return null
	}
	return *s
}

// TestExportFolder is what an export promises about its folder.
func TestExportFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 4, Utterances: 50, Gap: time.Hour})
	export := func(extra ...string) (string, int) {
		_, stderr, code := runApp(t, "", slices.Concat([]string{"export", "jm.csv", "--out", "out"}, allKeys, []string{"--key", "lost.txt"}, extra)...)
		return stderr, code
	}
	if stderr, code := export("--format", "csv", "--bom"); code != 0 && code != 3 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for name, mode := range map[string]os.FileMode{"out": 0o700, "out/messages.csv": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	text := readFile(t, "out/messages.csv")
	records, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff"))).ReadAll()
	if err != nil || len(records) < 40 || !strings.HasPrefix(text, "\ufefftime,from,") {
		t.Errorf("%d records, %v", len(records), err)
	}
	for _, r := range records[1:] {
		for _, cell := range r {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("a spreadsheet would run %q", cell)
			}
		}
	}
	if stderr, code := export("--format", "jsonl"); code != 1 || !strings.Contains(stderr, "out: this folder is not empty: it holds manifest.json") {
		t.Errorf("over an export: exit %d, %s", code, stderr)
	}
	if stderr, code := export("--format", "jsonl", "--overwrite"); code != 0 && code != 3 {
		t.Errorf("--overwrite: exit %d, %s", code, stderr)
	}
	if entries, _ := filepath.Glob("out/*"); !slices.Equal(entries, []string{"out/manifest.json", "out/messages.jsonl"}) {
		t.Errorf("the folder holds %v", entries)
	}
	if err := os.WriteFile("out/mine.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stderr, code := export("--format", "jsonl", "--overwrite"); code != 1 || !strings.Contains(stderr, "it holds mine.txt") {
		t.Errorf("over somebody's file: exit %d, %s", code, stderr)
	}
	if _, err := os.Stat("out.partial"); !os.IsNotExist(err) {
		t.Errorf("out.partial: %v", err)
	}
}

// TestDeterministic: the same input and flags give the same bytes, whatever
// the order in which the workers finish.
func TestDeterministic(t *testing.T) {
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 5, Utterances: 1500})
	for _, args := range [][]string{{"--format", "jsonl"}, {"--format", "csv", "--rows"}} {
		var first string
		for range 3 {
			out, _, _ := runApp(t, "", slices.Concat([]string{"export", "jm.csv", "--out", "-"}, args, allKeys)...)
			if first == "" {
				first = out
			}
			if out != first || out == "" {
				t.Errorf("%v: another result", args)
			}
		}
	}
}

// TestSeveralFiles reads one archive from a folder of two files and from --also.
func TestSeveralFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	truth := makeArchive(t, sample.Options{Seed: 6, Utterances: 400})
	if err := os.MkdirAll("nodes", 0o700); err != nil {
		t.Fatal(err)
	}
	odd := func(i int) bool { return i%3 == 0 } // copies of one message lie in both
	var one, two []sample.Row
	for i, r := range truth.Rows {
		if odd(i) {
			one = append(one, r)
		} else {
			two = append(two, r)
		}
	}
	for name, rows := range map[string][]sample.Row{"nodes/a.csv": one, "nodes/b.csv": two} {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := sample.WriteCSV(f, rows); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := os.WriteFile("nodes/readme.txt", []byte("not a table\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	strip := func(out string) string { // the row's place differs
		var lines []string
		for _, l := range strings.Split(out, "\n") {
			l, _, _ = strings.Cut(l, `,"row":`)
			lines = append(lines, l)
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	whole, _, _ := runApp(t, "", append([]string{"export", "jm.csv", "--format", "jsonl", "--out", "-"}, allKeys...)...)
	folder, notes, _ := runApp(t, "", append([]string{"export", "nodes", "--format", "jsonl", "--out", "-"}, allKeys...)...)
	also, _, _ := runApp(t, "", append([]string{"export", "nodes/b.csv", "--also", "nodes/a.csv", "--format", "jsonl", "--out", "-"}, allKeys...)...)
	if strip(whole) != strip(folder) || strip(whole) != strip(also) || whole == "" {
		t.Error("the parts do not give what the whole gives")
	}
	if !strings.Contains(notes, "readme.txt is passed over") {
		t.Errorf("notes: %s", notes)
	}
}

// TestFilters compares searches with the truth, counted apart.
func TestFilters(t *testing.T) {
	t.Chdir(t.TempDir())
	truth := makeArchive(t, sample.Options{Seed: 8, Utterances: 3000, Gap: 30 * time.Minute})
	anna, boris := "anna.berg@example.com", "boris.iwanow@example.com"
	readable := func(u sample.Utterance) bool { return u.Copies > 0 }
	takesPart := func(u sample.Utterance, who string) bool {
		return u.From == who || u.To == who || slices.Contains(u.Recipients, who)
	}
	day := time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC)
	room := `legal\20hold@conference-2-standalone.example.com`
	for _, c := range []struct {
		args []string
		want func(sample.Utterance) bool
	}{
		{[]string{"ROTTERDAM"}, func(u sample.Utterance) bool { return strings.Contains(u.Text, "Rotterdam") }},
		{[]string{"container", "7"}, func(u sample.Utterance) bool {
			return strings.Contains(strings.ToLower(u.Text), "container") && strings.Contains(u.Text, "7")
		}},
		{[]string{"Container 7 is"}, func(u sample.Utterance) bool { return strings.Contains(u.Text, "Container 7 is") }},
		{[]string{"ГРУЗОВИК"}, func(u sample.Utterance) bool { return strings.Contains(u.Text, "грузовик") }},
		{[]string{"ΕΥΧΑΡΙΣΤΏ"}, func(u sample.Utterance) bool { return strings.Contains(u.Text, "Ευχαριστώ") }},
		{[]string{"--user", strings.ToUpper(anna)}, func(u sample.Utterance) bool { return takesPart(u, anna) }},
		{[]string{"--user", "anna*"}, func(u sample.Utterance) bool { return takesPart(u, anna) }},
		{[]string{"--user", "Anna Berg", "--people", "people.csv"}, func(u sample.Utterance) bool { return takesPart(u, anna) }},
		{[]string{"--user", anna, "--user", boris}, func(u sample.Utterance) bool { return takesPart(u, anna) || takesPart(u, boris) }},
		{[]string{"--with", anna, "--with", boris}, func(u sample.Utterance) bool { return takesPart(u, anna) && takesPart(u, boris) }},
		{[]string{"--room", room}, func(u sample.Utterance) bool { return u.Room == room }},
		{[]string{"--room", "legal hold@conference-2-standalone.example.com"}, func(u sample.Utterance) bool { return u.Room == room }},
		{[]string{"--since", "2024-02-01", "--until", "2024-02-01"}, func(u sample.Utterance) bool {
			return !u.Time.Before(day) && u.Time.Before(day.AddDate(0, 0, 1))
		}},
		{[]string{"--since", "2024-02-01 09:00", "--until", "2024-02-01 12:00", "--timezone", "Europe/Berlin"}, func(u sample.Utterance) bool {
			return !u.Time.Before(day.Add(8*time.Hour)) && u.Time.Before(day.Add(11*time.Hour))
		}},
		{[]string{"no such words"}, func(u sample.Utterance) bool { return false }},
	} {
		want := 0
		for _, u := range truth.Utterances {
			if readable(u) && c.want(u) {
				want++
			}
		}
		out, stderr, code := runApp(t, "", slices.Concat([]string{"search", "jm.csv", "--json"}, c.args, allKeys)...)
		got := 0
		for _, l := range strings.Split(out, "\n") {
			if l != "" && !strings.Contains(l, `"status":"no-key"`) && !strings.Contains(l, `"body":null`) && !strings.Contains(l, `"status":"damaged","reason":"MESSAGE`) {
				got++
			}
		}
		if code != 3 && code != 0 || diff(got, want) > want/200+1 {
			t.Errorf("%q: %d found, %d in truth, exit %d: %s", c.args, got, want, code, stderr)
		}
	}
}

func diff(a, b int) int { return max(a, b) - min(a, b) }

// TestWordsWithFurtherArchives: words stay words when --also adds archives.
func TestWordsWithFurtherArchives(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, body := range map[string]string{"one.csv": "see two.csv please", "two.csv": "the merger"} {
		if err := os.WriteFile(name, []byte("to_jid,from_jid,sent_date,body_string\na@x,b@x,2024-01-31 09:00:00,"+body+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, code := runApp(t, "", "search", "one.csv", "merger", "--also", "two.csv", "--json")
	if code != 0 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, "the merger") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

// TestDamagedInFolder: an archive that cannot be read is not passed over, as
// other files in a folder are.
func TestDamagedInFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("all", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"jm.csv": "to_jid,from_jid,sent_date,body_string\na@x,b@x,2024-01-31 09:00:00,hi\n", "notes.txt": "no table", "bad.db": "SQLite format 3\x00 and nothing more"} {
		if err := os.WriteFile(filepath.Join("all", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := runApp(t, "", "users", "all"); code != 1 || !strings.Contains(stderr, "bad.db") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if err := os.Remove("all/bad.db"); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := runApp(t, "", "users", "all"); code != 0 || !strings.Contains(stderr, "notes.txt is passed over") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
