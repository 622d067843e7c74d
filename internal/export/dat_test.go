package export

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// readDAT reads a load file in the way of a program that knows the three
// delimiters and nothing else.
func readDAT(t testing.TB, raw []byte) (lines []map[string]string) {
	t.Helper()
	text, ok := strings.CutPrefix(string(raw), "\ufeff")
	if !ok || !utf8.ValidString(text) {
		t.Fatalf("no UTF-8 with a byte order mark: %.20q", raw)
	}
	text, ok = strings.CutSuffix(text, "\r\n")
	if !ok {
		t.Fatal("the last line does not end")
	}
	var names []string
	for i, line := range strings.Split(text, "\r\n") {
		if !strings.HasPrefix(line, "þ") || !strings.HasSuffix(line, "þ") || strings.ContainsAny(line, "\r\n") {
			t.Fatalf("line %d: %q", i, line)
		}
		cells := strings.Split(line, "\x14")
		for j, c := range cells {
			if strings.Count(c, "þ") != 2 || len(c) < 4 || !strings.HasPrefix(c, "þ") || !strings.HasSuffix(c, "þ") {
				t.Fatalf("line %d, field %d: %q", i, j, c)
			}
			cells[j] = c[2 : len(c)-2]
		}
		if i == 0 {
			names = cells
			continue
		}
		if len(cells) != len(names) {
			t.Fatalf("line %d has %d fields, the header %d", i, len(cells), len(names))
		}
		record := map[string]string{}
		for j, c := range cells {
			record[names[j]] = c
		}
		lines = append(lines, record)
	}
	return lines
}

func datFile(t testing.TB, look Look, list ...*Slice) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewDAT(&b, look)
	for _, s := range list {
		if err := w.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDAT(t *testing.T) {
	look := goldenLook(t)
	raw := datFile(t, look, goldenSlices(t)...)
	golden(t, "golden/messages.dat", raw)
	lines := readDAT(t, raw)
	if len(lines) != len(goldenConversation()) {
		t.Fatalf("%d lines for %d messages", len(lines), len(goldenConversation()))
	}
	byRow, ids := map[string]map[string]string{}, map[string]bool{}
	for _, l := range lines {
		if byRow[l["ROW"]] != nil || ids[l["DOCID"]] {
			t.Errorf("twice: %v", l)
		}
		byRow[l["ROW"]], ids[l["DOCID"]] = l, true
	}
	for row, fields := range map[string]map[string]string{
		"jm.csv:1": {"TIME": "", "LOCALDATE": "", "LOCALTIME": "", "UTCOFFSET": "", "BODY": "a message without a date"},
		"jm.csv:2": {"TIME": "2024-01-31T08:02:02.000Z", "LOCALDATE": "2024-01-31", "LOCALTIME": "09:02:02.000", "UTCOFFSET": "+01:00", "FROM": "anna@example.com",
			"FROMNAME": "Anna Berg", "TONAME": `Борис "Bo" Иванов`, "PEOPLE": "anna@example.com;boris@example.com", "PEOPLENAMES": `Anna Berg;Борис "Bo" Иванов`,
			"CONVNAME": `Anna Berg and Борис "Bo" Иванов`, "PARENTID": "", "KIND": "chat", "COPIES": "2", "DIRECTION": "IO", "HISTORY": "false", "ALTERED": "false"},
		"jm.csv:3":  {"BODY": "Доброе утро.®Zweite Zeile, 税関の書類, تم الإرسال, שלום 👍🏽"},
		"jm.csv:4":  {"BODY": "=HYPERLINK(\"http://evil.example\") \u202egnp.exe\u202c", "ALTERED": "false"},
		"jm.csv:5":  {"PARENTID": byRow["jm.csv:2"]["DOCID"], "KIND": "correction", "REFERSTO": "m1"},
		"jm.csv:6":  {"PARENTID": byRow["jm.csv:2"]["DOCID"], "REACTIONS": "👍;🚚", "BODY": ""},
		"jm.csv:7":  {"PARENTID": byRow["jm.csv:3"]["DOCID"], "KIND": "retraction"},
		"jm.csv:9":  {"STATUS": "no-key", "FROM": "", "FROMNAME": "", "REASON": "no key opens MESSAGE_STRING, TO_JID, FROM_JID, BODY_STRING"},
		"jm.csv:10": {"PARENTID": "", "REFERSTO": "before"},
		"jm.csv:11": {"ROOM": "customs@conf.example.com", "CONVNAME": "Customs & Trade", "BODY": "Subject: injected®Bcc: all@example.com",
			"RECIPIENTS": "anna@example.com;boris@example.com;carla@example.com", "RECIPNAMES": `Anna Berg;Борис "Bo" Иванов;carla@example.com`},
		"jm.csv:13": {"NICK": "nick", "FROMNAME": "nick (address unknown)", "STATUS": "unverified"},
	} {
		for name, want := range fields {
			if got, ok := byRow[row][name]; got != want || !ok {
				t.Errorf("%s: %s %q, want %q", row, name, got, want)
			}
		}
	}
	for i := 1; i < len(lines); i++ {
		if lines[i]["SLICE"] == lines[i-1]["SLICE"] && lines[i]["TIME"] < lines[i-1]["TIME"] {
			t.Errorf("%s comes after %s", lines[i]["TIME"], lines[i-1]["TIME"])
		}
	}
}

// TestDATText: what the format needs for itself is replaced, and said so.
func TestDATText(t *testing.T) {
	for _, c := range []struct {
		in, text, list string
		altered        bool
	}{
		{"plain, \"quoted\"\tand more", "", "", false},
		{"a\r\nb\rc\nd\u2028e\u0085f", "a®b®c®d®e®f", "", false},
		{"\r\n", "®", "", false}, {"\r\r\n\n", "®®®", "", false},
		{"það", "Þ", "", true},
		{"þ\x14þ", "Þ␔Þ", "", true},
		{"Acme® ", "AcmeⓇ ", "", true},
		{"\x00\x1b\x7f", "␀␛␡", "", true},
		{"\xfe\x14\xae", "\ufffd␔\ufffd", "", true},
		{"a;b", "a;b", "a；b", true},
		{"", "", "", false},
	} {
		if c.text == "Þ" {
			c.text = "Það"
		}
		if c.text == "" {
			c.text = c.in
		}
		if c.list == "" {
			c.list = c.text
		}
		d := NewDAT(&bytes.Buffer{}, Look{})
		d.text(c.in, false)
		if got := string(d.line); got != c.text || d.altered != (c.altered && c.list == c.text) {
			t.Errorf("%q: %q %v, want %q", c.in, got, d.altered, c.text)
		}
		d.line, d.altered = nil, false
		d.text(c.in, true)
		if got := string(d.line); got != c.list || d.altered != c.altered {
			t.Errorf("%q in a list: %q %v, want %q", c.in, got, d.altered, c.list)
		}
	}
}

func TestDATHeader(t *testing.T) {
	ok := regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,11}$`) // what Concordance takes for a name
	seen := map[string]bool{}
	for _, name := range datHeader {
		if !ok.MatchString(name) || seen[name] {
			t.Errorf("column %q", name)
		}
		seen[name] = true
	}
	if got := string(datFile(t, Look{})); got != "\ufeffþ"+strings.Join(datHeader, "þ\x14þ")+"þ\r\n" {
		t.Errorf("without messages: %q", got)
	}
}

func TestDATHostile(t *testing.T) {
	names := func(string) string { return "Eve\r\nþ\x14þ®; \xff" }
	list := hostileSlices(t)
	for _, look := range []Look{{}, {Zone: time.UTC, Person: names, Room: names}} {
		want := 0
		for _, s := range list {
			for range s.each() {
				want++
			}
		}
		if got := readDAT(t, datFile(t, look, list...)); len(got) != want {
			t.Errorf("%d lines, want %d", len(got), want)
		}
	}
	big := strings.Repeat("þ\r\n®\x14", 1<<18)
	lines := readDAT(t, datFile(t, Look{}, synthetic(1, big, 0), synthetic(MaxEvents, "short", 1)))
	if len(lines) != 1+MaxEvents || lines[0]["BODY"] != strings.Repeat("Þ®Ⓡ␔", 1<<18) {
		t.Errorf("%d lines", len(lines))
	}
}

// broken fails after some bytes.
type broken int

var errBroken = errors.New("no space")

func (b *broken) Write(p []byte) (int, error) {
	if *b -= broken(len(p)); *b < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func FuzzDAT(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		s := synthetic(1, one, 0)
		s.Events[0].Record.Recipients = []string{two, one}
		if lines := readDAT(t, datFile(t, Look{}, s)); len(lines) != 1 || strings.Count(lines[0]["RECIPIENTS"], ";") != 1 {
			t.Errorf("%v", lines)
		}
	})
}
