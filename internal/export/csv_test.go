package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"archivolt/internal/testenv"
)

// table is the CSV file of the records.
func table(t testing.TB, byteOrderMark bool, list ...Record) string {
	t.Helper()
	var b bytes.Buffer
	w := NewCSV(&b, byteOrderMark)
	for i := range list {
		if err := w.Write(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const header = "time,from,to,room,nick,kind,stanza_id,refers_to,thread,subject,body,body_from,stanza_body,reactions,files,recipients,direction,copies,history,status,reason,key,row,table,room_was\r\n"

func TestGoldenCSV(t *testing.T) {
	r := Record{Time: p("2024-01-31T12:00:00.123Z"), From: p("anna@example.com"), Room: p("ops@conf.example.com"), Nick: p("Anna, \"A.\""), Kind: "groupchat",
		Body: p("first\nsecond"), BodyFrom: p("body"), Reactions: []string{"👍", "🎉"}, Recipients: []string{"boris@example.com", "carla@example.com"},
		Direction: p("IO"), Copies: 3, History: true, Status: "ok", Key: p("SHA256:abc"), Row: "jm.csv:17"}
	want := header + `2024-01-31T12:00:00.123Z,anna@example.com,,ops@conf.example.com,"Anna, ""A.""",groupchat,,,,,` + "\"first\r\nsecond\"" +
		",body,,👍 🎉,,boris@example.com carla@example.com,IO,3,true,ok,,SHA256:abc,jm.csv:17,,\r\n"
	if got := table(t, false, r); got != want {
		t.Errorf("%q, want\n%q", got, want)
	}
}

func TestHeaderAndByteOrderMark(t *testing.T) {
	if got := table(t, false); got != header {
		t.Errorf("an export of nothing is %q", got)
	}
	if got := table(t, true); got != "\xef\xbb\xbf"+header {
		t.Errorf("with a byte order mark it is %q", got)
	}
	one := table(t, false, Record{})
	if got := table(t, true, Record{}); got != "\xef\xbb\xbf"+one || strings.Count(one, header) != 1 {
		t.Errorf("%q, with a byte order mark %q", one, got)
	}
}

func TestDefuse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"=1+1", "'=1+1"},
		{"=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"},
		{"+49 30 1234", "'+49 30 1234"},
		{"-1", "'-1"},
		{"@SUM(A1)", "'@SUM(A1)"},
		{"\t=1", "'\t=1"}, // spreadsheets skip leading blanks of this kind
		{"\r=1", "'\n=1"}, // a line end is CR LF in the file
		{"\n=1", "'\n=1"}, // so this cell, too, would begin with CR
		{"\r\n=1", "'\n=1"},
		{"\x00=1", "'\x00=1"}, // OWASP ASVS 5.0 1.2.10: some readers drop NUL
		{"'=1", "''=1"},       // so that one apostrophe can be taken away again
		{"'tis", "''tis"},
		{" =1", " =1"}, // a blank makes it text
		{"1=1", "1=1"}, // only the beginning counts
		{"a\n=1", "a\n=1"},
		{"Good morning", "Good morning"},
		{"", ""},
	} {
		// Any text of a record may come from a stranger.
		r := Record{Time: &c.text, From: &c.text, To: &c.text, Room: &c.text, Nick: &c.text, Kind: "chat", StanzaID: &c.text, RefersTo: &c.text, Thread: &c.text,
			Subject: &c.text, Body: &c.text, BodyFrom: &c.text, StanzaBody: &c.text, Reactions: []string{c.text}, Files: []string{c.text}, Recipients: []string{c.text},
			Direction: &c.text, Status: "ok", Reason: &c.text, Key: &c.text, Row: c.text, Table: c.text, RoomWas: &c.text}
		rows, err := csv.NewReader(strings.NewReader(table(t, false, r))).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatalf("%q: %d rows, %v", c.text, len(rows), err)
		}
		for i, cell := range rows[1] {
			if name := rows[0][i]; !slices.Contains([]string{"kind", "copies", "history", "status"}, name) && cell != c.want {
				t.Errorf("%q as %s is %q, want %q", c.text, name, cell, c.want)
			}
		}
	}
}

// What a spreadsheet takes for the beginning of a formula, or skips before it.
var dangerous = regexp.MustCompile(`\A[=+\-@\t\r\n\x00]`)

// expected are the cells of a record: the texts, defused, with one kind of
// line end and one sign for what is no UTF-8.
func expected(r *Record, lineEnd string) []string {
	text := func(s string) string {
		if dangerous.MatchString(s) || strings.HasPrefix(s, "'") {
			s = "'" + s
		}
		s = string([]rune(s))
		return strings.NewReplacer("\r\n", lineEnd, "\r", lineEnd, "\n", lineEnd).Replace(s)
	}
	null := func(s *string) string {
		if s == nil {
			return ""
		}
		return text(*s)
	}
	list := func(l []string) string { return text(strings.Join(l, " ")) }
	return []string{null(r.Time), null(r.From), null(r.To), null(r.Room), null(r.Nick), r.Kind, null(r.StanzaID), null(r.RefersTo), null(r.Thread),
		null(r.Subject), null(r.Body), null(r.BodyFrom), null(r.StanzaBody), list(r.Reactions), list(r.Files), list(r.Recipients), null(r.Direction),
		strconv.Itoa(r.Copies), strconv.FormatBool(r.History), r.Status, null(r.Reason), null(r.Key), text(r.Row), r.Table, null(r.RoomWas)}
}

func TestCSVReadByEncodingCSV(t *testing.T) {
	all := rapid.SliceOfN(records(same), 0, 3)
	rapid.Check(t, func(rt *rapid.T) {
		list := all.Draw(rt, "records")
		text := table(t, false, list...)
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) != len(list)+1 {
			rt.Fatalf("%d rows, %v: %q", len(rows), err, text)
		}
		for i := range list {
			if want := expected(&list[i], "\n"); !slices.Equal(rows[i+1], want) {
				rt.Errorf("%q, want\n%q", rows[i+1], want)
			}
			for _, cell := range rows[i+1] {
				if dangerous.MatchString(cell) {
					rt.Errorf("a spreadsheet may run %q", cell)
				}
			}
		}
	})
}

// TestCSVReadByPython: the reader of another house, strict about UTF-8, finds
// the same cells.
func TestCSVReadByPython(t *testing.T) {
	python := testenv.Command(t, "python3")
	noNUL := func(s string) string { return strings.ReplaceAll(s, "\x00", "0") } // csv refuses NUL before Python 3.11
	gen := records(noNUL)
	var list []Record
	want := [][]string{strings.Split(strings.TrimSuffix(header, "\r\n"), ",")}
	for seed := range 300 {
		r := gen.Example(seed)
		list = append(list, r)
		want = append(want, expected(&r, "\r\n"))
	}
	for _, byteOrderMark := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "messages.csv")
		if err := os.WriteFile(name, []byte(table(t, byteOrderMark, list...)), 0o600); err != nil {
			t.Fatal(err)
		}
		encoding := map[bool]string{false: "utf-8", true: "utf-8-sig"}[byteOrderMark]
		read := exec.Command(python, "-c", `
import csv, json, sys
csv.field_size_limit(1 << 30)
with open(sys.argv[1], newline="", encoding=sys.argv[2], errors="strict") as f:
    print(json.dumps(list(csv.reader(f, strict=True))))
`, name, encoding)
		read.Stderr = os.Stderr
		out, err := read.Output()
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]string
		if err := json.Unmarshal(out, &rows); err != nil {
			t.Fatal(err)
		}
		if reflect.DeepEqual(rows, want) {
			continue
		}
		if len(rows) != len(want) {
			t.Fatalf("%d rows, want %d", len(rows), len(want))
		}
		for i := range rows {
			if !slices.Equal(rows[i], want[i]) {
				t.Errorf("row %d is %q, want\n%q", i, rows[i], want[i])
			}
		}
	}
}
