package transcript

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"archivolt/internal/message"
)

// A row is written as in a log:
//
//	seconds direction kind from > to #id "text" further words
//
// where # without an id is a row without one, and the further words are
// history, damaged (the body is lost), noid (the stanza is lost), nokey,
// thread=T, fixes=ID, undo=ID, react=ID.
func parseRow(t testing.TB, n int, line string) *message.Message {
	t.Helper()
	head, rest, ok := strings.Cut(line, ` "`)
	text, words, ok2 := strings.Cut(rest, `"`)
	f := strings.Fields(head)
	if !ok || !ok2 || len(f) != 7 || f[4] != ">" {
		t.Fatalf("bad row %q", line)
	}
	seconds, err := time.ParseDuration(f[0] + "s")
	if err != nil {
		t.Fatal(err)
	}
	m := &message.Message{Row: int64(n), Time: start.Add(seconds), Direction: message.Direction(f[1][0]),
		From: message.ParseJID(f[3]), To: message.ParseJID(f[5]), StanzaID: f[6][1:], StanzaRead: true,
		Body: message.Text{Text: text, Valid: true}}
	m.StanzaBody = m.Body
	switch f[2] {
	case "g":
		m.Kind, m.Room = message.Groupchat, true
	case "e":
		m.Kind = message.ErrorKind
	case "s":
		m.Kind = message.Signal
	}
	for _, w := range strings.Fields(words) {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "history":
			m.History = true
		case "damaged":
			m.Status, m.Body = message.Damaged, message.Text{}
		case "noid":
			m.Status, m.StanzaID, m.StanzaBody, m.StanzaRead = message.Damaged, "", message.Text{}, false
		case "nokey":
			*m = message.Message{Row: m.Row, Time: m.Time, Direction: m.Direction, Status: message.NoKey}
		case "thread":
			m.Thread = message.Text{Text: value, Valid: true}
		case "fixes":
			m.Kind, m.RefersTo = message.Correction, value
		case "undo":
			m.Kind, m.RefersTo = message.Retraction, value
		case "react":
			m.Kind, m.RefersTo, m.Reactions = message.Reaction, value, []string{"👍"}
		default:
			t.Fatalf("bad word %q", w)
		}
	}
	return m
}

var start = time.Date(2024, 1, 31, 9, 0, 0, 0, time.UTC)

// collapse gives each utterance as
//
//	seconds from > to "text" x copies directions @recipients
func collapse(rows []*message.Message) (lines []string, counts Counts) {
	c := New(func(u *Utterance) {
		to := u.To
		if u.Room != "" {
			to = u.Room
		}
		text := `"` + u.Text.Text + `"`
		if !u.Text.Valid {
			text = u.Row.Status.String()
		}
		line := fmt.Sprintf("%v %s > %s %s x%d %s", u.Time.Sub(start).Seconds(), orDash(u.From), orDash(to), text, u.Copies, orDash(u.Directions))
		if len(u.Recipients) > 0 {
			line += " @" + strings.Join(u.Recipients, ",")
		}
		if u.TextFrom == "copy" || u.TextFrom == "stanza" {
			line += " from " + u.TextFrom
		}
		lines = append(lines, line)
	})
	for _, m := range rows {
		c.Add(m)
	}
	c.Flush()
	return lines, c.Counts
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

var cases = []struct {
	name string
	rows []string
	want []string
}{
	{"sent and received on one server are one message", []string{
		`0   O c a@x/1 > b@x   #i1 "hi"`,
		`0.1 I c a@x/1 > b@x/7 #i1 "hi"`,
	}, []string{`0 a@x > b@x "hi" x2 IO @b@x`}},
	{"every client of the recipient has a copy", []string{
		`0   O c a@x/1 > b@x   #i1 "hi"`,
		`0.1 I c a@x/1 > b@x/7 #i1 "hi"`,
		`0.2 I c a@x/1 > b@x/8 #i1 "hi"`,
	}, []string{`0 a@x > b@x "hi" x3 IO @b@x`}},
	{"a message to another server has only the row that left", []string{
		`0 O c a@x/1 > z@elsewhere #i1 "hi"`,
	}, []string{`0 a@x > z@elsewhere "hi" x1 O`}},
	{"letter case and resources do not matter", []string{
		`0   O c Anna@X/1 > b@x   #i1 "hi"`,
		`0.1 I c anna@x/2 > B@x/7 #i1 "hi"`,
	}, []string{`0 anna@x > b@x "hi" x2 IO @b@x`}},
	{"one id with two texts is two messages: clients reuse ids", []string{
		`0 I c a@x/1 > b@x/7 #1 "hi"`,
		`1 I c a@x/1 > b@x/7 #1 "ho"`,
	}, []string{`0 a@x > b@x "hi" x1 I @b@x`, `1 a@x > b@x "ho" x1 I @b@x`}},
	{"the same id and text later than the window is another message", []string{
		`0   I c a@x/1 > b@x/7 #1 "ok"`,
		`301 I c a@x/1 > b@x/7 #1 "ok"`,
	}, []string{`0 a@x > b@x "ok" x1 I @b@x`, `301 a@x > b@x "ok" x1 I @b@x`}},
	{"within the window it is a copy that came late", []string{
		`0   I c a@x/1 > b@x/7 #1 "ok"`,
		`299 I c a@x/1 > b@x/8 #1 "ok"`,
	}, []string{`0 a@x > b@x "ok" x2 I @b@x`}},
	{"two ids with one text are two messages", []string{
		`0   I c a@x/1 > b@x/7 #1 "ok"`,
		`0.1 I c a@x/1 > b@x/7 #2 "ok"`,
	}, []string{`0 a@x > b@x "ok" x1 I @b@x`, `0.1 a@x > b@x "ok" x1 I @b@x`}},
	{"without an id, text and time decide", []string{
		`0 O c a@x/1 > b@x   # "hi"`,
		`4 I c a@x/1 > b@x/7 # "hi"`,
	}, []string{`0 a@x > b@x "hi" x2 IO @b@x`}},
	{"without an id, one client has each message once", []string{
		`0   O c a@x/1 > b@x   # "hi"`,
		`0.1 I c a@x/1 > b@x/7 # "hi"`,
		`2   O c a@x/1 > b@x   # "hi"`,
		`2.1 I c a@x/1 > b@x/7 # "hi"`,
	}, []string{`0 a@x > b@x "hi" x2 IO @b@x`, `2 a@x > b@x "hi" x2 IO @b@x`}},
	{"without an id, another thread is another message", []string{
		`0 O c a@x/1 > b@x   # "hi" thread=1`,
		`1 I c a@x/1 > b@x/7 # "hi" thread=2`,
	}, []string{`0 a@x > b@x "hi" x1 O`, `1 a@x > b@x "hi" x1 I @b@x`}},
	{"without an id, later than the short window is another message", []string{
		`0   O c a@x/1 > b@x   # "hi"`,
		`5.1 I c a@x/1 > b@x/7 # "hi"`,
	}, []string{`0 a@x > b@x "hi" x1 O`, `5.1 a@x > b@x "hi" x1 I @b@x`}},
	{"there and back are two messages", []string{
		`0 I c a@x/1 > b@x/7 #1 "hi"`,
		`1 I c b@x/7 > a@x/1 #1 "hi"`,
	}, []string{`0 a@x > b@x "hi" x1 I @b@x`, `1 b@x > a@x "hi" x1 I @a@x`}},
	{"in a room everybody has a copy, and the sender is behind the nick", []string{
		`0   O g a@x/1           > r@conf #i "all"`,
		`0.1 I g r@conf/a@x/1    > a@x/1  #i "all"`,
		`0.2 I g r@conf/a@x/1    > b@x/7  #i "all"`,
		`0.3 I g r@conf/a@x/1    > c@x/8  #i "all"`,
	}, []string{`0 a@x > r@conf "all" x4 IO @a@x,b@x,c@x`}},
	{"with a plain nick the row that left tells who it was", []string{
		`0   O g a@x/1     > r@conf #i "all"`,
		`0.1 I g r@conf/an > b@x/7  #i "all"`,
	}, []string{`0 a@x > r@conf "all" x2 IO @b@x`}},
	{"with a plain nick alone nobody can tell", []string{
		`0.1 I g r@conf/an > b@x/7  #i "all"`,
		`0.2 I g r@conf/an > c@x/7  #i "all"`,
	}, []string{`0.1 - > r@conf "all" x2 I @b@x,c@x`}},
	{"two people who say the same at once are told by nicks that are their names", []string{
		`0   O g anna@x/1  > r@conf #1 "ok"`,
		`0.1 O g boris@x/1 > r@conf #1 "ok"`,
		`0.2 I g r@conf/Boris > c@x/7 #1 "ok"`,
		`0.3 I g r@conf/Anna  > c@x/7 #1 "ok"`,
	}, []string{`0 anna@x > r@conf "ok" x2 IO @c@x`, `0.1 boris@x > r@conf "ok" x2 IO @c@x`}},
	{"and otherwise are kept apart from their nicks: nobody is given another's words", []string{
		`0   O g anna@x/1  > r@conf #1 "ok"`,
		`0.1 O g boris@x/1 > r@conf #1 "ok"`,
		`0.2 I g r@conf/bear > c@x/7 #1 "ok"`,
	}, []string{`0 anna@x > r@conf "ok" x1 O`, `0.1 boris@x > r@conf "ok" x1 O`, `0.2 - > r@conf "ok" x1 I @c@x`}},
	{"without an id a nick that is no name proves nothing", []string{
		`0   O g anna@x/1  > r@conf # "ok"`,
		`0.2 I g r@conf/bear > c@x/7 # "ok"`,
	}, []string{`0 anna@x > r@conf "ok" x1 O`, `0.2 - > r@conf "ok" x1 I @c@x`}},
	{"two people in a room with one id and text are two messages", []string{
		`0   I g r@conf/a@x/1 > c@x/7 #1 "ok"`,
		`0.1 I g r@conf/b@x/1 > c@x/7 #1 "ok"`,
	}, []string{`0 a@x > r@conf "ok" x1 I @c@x`, `0.1 b@x > r@conf "ok" x1 I @c@x`}},
	{"a private message in a room is between two people", []string{
		`0 I c r@conf/a@x/1 > b@x/7 #1 "psst"`,
	}, []string{`0 a@x > b@x "psst" x1 I @b@x`}},
	{"replays, errors and signals are no messages", []string{
		`0 I g r@conf/a@x/1 > c@x/7 #1 "old" history`,
		`1 I e b@x/1 > a@x/7 #1 "came back"`,
		`2 I s b@x/1 > a@x/7 #1 ""`,
	}, nil},
	{"a body that is lost comes from the stanza, or from a copy", []string{
		`0   O c a@x/1 > b@x   #i1 "hi" damaged`,
		`0.1 I c a@x/1 > b@x/7 #i1 "hi"`,
	}, []string{`0.1 a@x > b@x "hi" x2 IO @b@x`}},
	{"only the stanza is left", []string{
		`0 O c a@x/1 > b@x #i1 "hi" damaged`,
	}, []string{`0 a@x > b@x "hi" x1 O from stanza`}},
	{"a copy whose stanza is lost is known by its text", []string{
		`0   O c a@x/1 > b@x   #i1 "hi"`,
		`0.1 I c a@x/1 > b@x/7 #i1 "hi" noid`,
	}, []string{`0 a@x > b@x "hi" x2 IO @b@x`}},
	{"the same if it comes first", []string{
		`0   O c a@x/1 > b@x   #i1 "hi" noid`,
		`0.1 I c a@x/1 > b@x/7 #i1 "hi"`,
		`0.2 I c a@x/1 > b@x/8 #i1 "hi"`,
	}, []string{`0.1 a@x > b@x "hi" x3 IO @b@x`}},
	{"a copy of which only the id is left joins what fits", []string{
		`0   O c a@x/1 > b@x   #i1 "hi"`,
		`0.1 I c a@x/1 > b@x/7 #i1 "" noid damaged`,
	}, []string{`0 a@x > b@x "hi" x1 O`, `0.1 a@x > b@x damaged x1 I @b@x`}},
	{"rows that nothing opens stand alone", []string{
		`0   O c a@x/1 > b@x   #i1 "hi" nokey`,
		`0.1 I c a@x/1 > b@x/7 #i1 "hi" nokey`,
	}, []string{`0 - > - no-key x1 O`, `0.1 - > - no-key x1 I`}},
	{"corrections, retractions and reactions stay messages of their own", []string{
		`0   I c a@x/1 > b@x/7 #1 "hi"`,
		`1   I c a@x/1 > b@x/7 #2 "ho" fixes=1`,
		`2   I c b@x/1 > a@x/7 #3 "" react=2`,
		`3   I c a@x/1 > b@x/7 #4 "" undo=2`,
		`3.1 I c a@x/1 > b@x/8 #4 "" undo=2`,
	}, []string{`0 a@x > b@x "hi" x1 I @b@x`, `1 a@x > b@x "ho" x1 I @b@x`, `2 b@x > a@x "" x1 I @a@x`, `3 a@x > b@x "" x2 I @b@x`}},
	{"messages come in the order of time, whatever waits for copies", []string{
		`0   I c a@x/1 > b@x/7 #1 "one"`,
		`0   I c c@x/1 > d@x/7 #1 "two"`,
		`400 I c a@x/1 > b@x/7 #2 "three"`,
		`400 I c a@x/1 > b@x/8 #2 "three"`,
	}, []string{`0 a@x > b@x "one" x1 I @b@x`, `0 c@x > d@x "two" x1 I @d@x`, `400 a@x > b@x "three" x2 I @b@x`}},
}

func TestCases(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var rows []*message.Message
			for i, line := range c.rows {
				rows = append(rows, parseRow(t, i+1, line))
			}
			got, counts := collapse(rows)
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
			if sum := counts.Utterances + counts.Unread + counts.Copies + counts.Replays + counts.Signals + counts.Errors; sum != counts.Rows || counts.Rows != int64(len(rows)) {
				t.Errorf("rows are not accounted for: %+v", counts)
			}
		})
	}
}

// TestCarbon: the server's copy to a client is a copy of the message inside.
func TestCarbon(t *testing.T) {
	said := parseRow(t, 1, `0 O c a@x/1 > b@x #i1 "hi"`)
	carbon := parseRow(t, 2, `0.1 I c a@x > a@x/2 #i1 "hi"`)
	carbon.Carbon, carbon.CarbonFrom, carbon.CarbonTo = true, message.ParseJID("a@x/1"), message.ParseJID("b@x")
	got, _ := collapse([]*message.Message{said, carbon})
	if want := []string{`0 a@x > b@x "hi" x2 IO @a@x`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestAddressesFromTheStanza: a column that cannot be read does not hide whose
// copy the row is.
func TestAddressesFromTheStanza(t *testing.T) {
	said := parseRow(t, 1, `0 O c a@x/1 > b@x #i1 "hi"`)
	copied := parseRow(t, 2, `0.1 I c a@x/1 > b@x/7 #i1 "hi"`)
	copied.StanzaTo, copied.To, copied.Status = copied.To, message.JID{}, message.Damaged
	got, _ := collapse([]*message.Message{said, copied})
	if want := []string{`0 a@x > b@x "hi" x2 IO @b@x`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestOrderOfEqualTimes: rows of one moment give the same messages in whatever
// order the archive holds them.
func TestOrderOfEqualTimes(t *testing.T) {
	lines := []string{
		`0 O c a@x/1 > b@x   #1 "hi"`, `0 I c a@x/1 > b@x/7 #1 "hi"`, `0 I c a@x/1 > b@x/8 #1 "hi"`,
		`0 O c a@x/1 > b@x   #2 "hi"`, `0 I c a@x/1 > b@x/7 #2 "hi"`,
		`0 O g a@x/1 > r@conf #3 "all"`, `0 I g r@conf/a@x/1 > b@x/7 #3 "all"`, `0 I g r@conf/a@x/1 > c@x/7 #3 "all"`,
		`0 O c c@x/1 > b@x # "no id"`, `0 I c c@x/1 > b@x/7 # "no id"`, `0 I c c@x/1 > b@x/8 # "no id"`,
	}
	var rows []*message.Message
	for i, l := range lines {
		rows = append(rows, parseRow(t, i+1, l))
	}
	want, _ := collapse(rows)
	slices.Sort(want)
	if len(want) != 4 {
		t.Fatalf("%q", want)
	}
	rapid.Check(t, func(r *rapid.T) {
		shuffled := rapid.Permutation(rows).Draw(r, "order")
		got, _ := collapse(shuffled)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			r.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestMemoryIsBounded: what waits for copies is handed out when it becomes too
// much, and nothing is lost.
func TestMemoryIsBounded(t *testing.T) {
	n, most := 0, 0
	c := New(func(*Utterance) { n++ })
	for i := range 2 * maxPending {
		c.Add(&message.Message{Row: int64(i), Time: start, Direction: message.In, From: message.ParseJID("a@x"), To: message.ParseJID("b@x"),
			StanzaID: fmt.Sprint(i), Body: message.Text{Text: "hi", Valid: true}})
		most = max(most, len(c.pending))
	}
	c.Flush()
	left := 0
	for _, table := range c.tables {
		left += len(table)
	}
	if n != 2*maxPending || most > maxPending+1 || left != 0 {
		t.Errorf("%d utterances, at most %d waiting, %d left in the tables", n, most, left)
	}
}
