package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"archivolt/internal/testenv"
)

func htmlOf(t testing.TB, look Look, period string, list ...*Slice) string {
	t.Helper()
	var b bytes.Buffer
	h := NewHTML(&b, look)
	h.Period = period
	for _, s := range list {
		if err := h.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGoldenHTML(t *testing.T) {
	golden(t, "golden/messages.html", []byte(htmlOf(t, goldenLook(t), "31 January 2024 to 1 February 2024", goldenSlices(t)...)))
}

// parsedPage is what an HTML parser finds in a page.
type parsedPage struct {
	texts  []string // of people: names, ids, texts, with marks read back
	ours   string   // all other text
	policy string
	style  string
	ids    map[string]bool
	links  []string
	clocks []string // of messages, as shown
}

// attributes are all that the page may have, with what their values look like.
var attributes = compiled(map[string]string{
	"html lang": `en`, "meta charset": `utf-8`, "meta http-equiv": `Content-Security-Policy`, "meta name": `referrer|viewport`,
	"meta content": `no-referrer|width=device-width, initial-scale=1|default-src 'none'; [^"]*`,
	"a href":       `#(summary|s\d+)`, "section id": `summary|s\d+`, "section class": `i`, "tr id": `m\d+`, "th scope": `col`, "p class": `[ndx]`, "span class": `[ag]`,
	"bdi class": `c`, "bdi dir": `auto`, "div class": `t`, "div dir": `auto`, "div lang": ``, "del class": `t`, "del dir": `auto`, "del lang": ``,
	"ins class": `t`, "ins dir": `auto`, "ins lang": ``, "time datetime": `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`,
})

func compiled(patterns map[string]string) map[string]*regexp.Regexp {
	list := map[string]*regexp.Regexp{}
	for name, pattern := range patterns {
		list[name] = regexp.MustCompile(`^(?:` + pattern + `)$`)
	}
	return list
}

var elements = strings.Fields("html head meta title style body header main section h1 h2 h3 p a table thead tbody tr th td time span bdi i div del ins dl dt dd ul li")

// read parses a page and reports everything that no template has.
func read(t *testing.T, page string) (p parsedPage) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	p.ids = map[string]bool{}
	known := map[string]bool{}
	for _, e := range elements {
		known[e] = true
	}
	var text func(n *html.Node, b *strings.Builder)
	text = func(n *html.Node, b *strings.Builder) {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			switch {
			case c.Type == html.TextNode:
				b.WriteString(c.Data)
			case get(c, "class") == "c":
				var mark strings.Builder
				text(c, &mark)
				r, err := strconv.ParseInt(strings.TrimPrefix(mark.String(), "U+"), 16, 32)
				if err != nil {
					t.Errorf("the mark %q", mark.String())
				}
				b.WriteRune(rune(r))
			default:
				t.Errorf("<%s> in a text", c.Data)
			}
		}
	}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.CommentNode:
			t.Errorf("a comment: %q", n.Data)
		case html.TextNode:
			p.ours += n.Data
		case html.ElementNode:
			if !known[n.Data] || n.Namespace != "" {
				t.Errorf("<%s> is in no template", n.Data)
			}
			for _, a := range n.Attr {
				pattern, ok := attributes[n.Data+" "+a.Key]
				if !ok || !pattern.MatchString(a.Val) {
					t.Errorf("<%s %s=%q> is in no template", n.Data, a.Key, a.Val)
				}
			}
			if id := get(n, "id"); id != "" {
				if p.ids[id] {
					t.Errorf("two elements have the id %s", id)
				}
				p.ids[id] = true
			}
			switch {
			case n.Data == "style":
				p.style = n.FirstChild.Data
				return
			case n.Data == "title": // may have the case's title
				return
			case n.Data == "meta" && get(n, "http-equiv") != "":
				p.policy = get(n, "content")
			case n.Data == "a":
				p.links = append(p.links, get(n, "href"))
			case n.Data == "time":
				p.clocks = append(p.clocks, n.FirstChild.Data)
			case get(n, "dir") == "auto":
				var b strings.Builder
				text(n, &b)
				p.texts = append(p.texts, b.String())
				return
			case get(n, "class") == "c": // ours, in the explanation
				return
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(root)
	return p
}

func get(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// rawControl is what may not be in a page as such, whatever the texts are:
// control characters, and those of UAX 9.
var rawControl = regexp.MustCompile("[\\x00-\\x08\\x0b-\\x1f\\x7f\u0080-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")

// hostilePages have the text s in every field that people can fill: in a
// message with all that can be done to one, and in one of another kind, which i
// chooses.
func hostilePages(s string, i int) []*Slice {
	at := time.Date(2024, 1, 31, 8, 0, 0, 0, time.UTC)
	record := func(kind, status string) Record {
		return Record{Time: timeOrNull(at), From: &s, To: &s, Nick: &s, Kind: kind, StanzaID: &s, RefersTo: &s, Thread: &s, Subject: &s, Body: &s, BodyFrom: p("body"),
			Reactions: []string{s, s}, Files: []string{s}, Recipients: []string{s + "@", s}, Direction: &s, Copies: 1, Status: status, Reason: &s, Key: &s, Table: s, Row: s}
	}
	event := func(kind, status string) *Event { return &Event{Record: record(kind, status), Time: at} }
	folded := event("chat", "ok")
	folded.Edits = []*Event{event("correction", "ok"), event("correction", "unverified")}
	folded.Retracted = event("retraction", "ok")
	folded.Reactions = []*Event{event("reaction", "ok")}
	unread := event("chat", "no-key")
	unread.Record.Body = nil
	damaged := event("chat", "damaged")
	damaged.Record.Body = nil
	secret := event("chat", "ok") // end-to-end encrypted, for example
	secret.Record.Body, secret.Record.Files, secret.Record.Subject = nil, nil, nil
	others := []*Event{unread, damaged, secret}
	for _, kind := range []string{"normal", "headline", "error", "correction", "retraction", "reaction", "topic", "file"} {
		others = append(others, event(kind, "plain"))
	}
	events := []*Event{folded, others[i%len(others)]}
	return []*Slice{{People: []string{s, s}, Day: at.Truncate(24 * time.Hour), Part: 1, Events: events},
		{Room: s + "room", People: []string{s}, Part: 2, Events: events[1:]}}
}

// TestHostileHTML: whatever people write stays text, in every field, and is
// shown in full.
func TestHostileHTML(t *testing.T) {
	var list []string
	if file, err := os.ReadFile(filepath.Join(testenv.Material(t, "text"), "blns.base64.json")); err != nil {
		t.Fatal(err)
	} else if err := json.Unmarshal(file, &list); err != nil || len(list) < 500 {
		t.Fatal(len(list), err)
	}
	for i, s := range list {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = string(b)
	}
	const harmless = "nothing to see"
	list = append(list, "\x00\x01\x1b[31m\r\nnext\rlast\t\x7f\u0085", "not UTF-8: \xff\xc0\x80\xed\xa0\x80 end\xe2\x82", "</bdi></del></div></td></tr></table></section><h2>x", "</style><script>alert(1)</script>",
		"{{.}}{{template \"head\"}}", "<!--", "]]>", "&#x202e;&lt;", "\u202e\u2066\u2069\u061c\ufeff\u00ad\u2028\u2029", "\ufffe\uffff\U0010ffff", "\n\nleading", "trailing \n", strings.Repeat("<a href=x>\u202e", 500), " ")
	shown := func(s string, i int) (page string, texts map[string]int) {
		named := func(string) string { return s }
		page = htmlOf(t, Look{Title: s, Person: named, Room: named}, s, hostilePages(s, i)...)
		texts = map[string]int{}
		for _, g := range read(t, page).texts {
			texts[g]++
		}
		return page, texts
	}
	for i, s := range list {
		if s == "" {
			continue
		}
		// Written without our code: what a reader should get.
		want := strings.ReplaceAll(s, "\r\n", "\n")
		want = string([]rune(want))
		page, found := shown(s, i)
		if at := rawControl.FindStringIndex(page); at != nil {
			t.Errorf("%.80q: the page has the raw character %q", s, page[at[0]:at[1]])
		}
		if _, base := shown(harmless, i); found[want] != base[harmless] || found[want] < 50 {
			t.Errorf("%.80q: shown %d times, a harmless text %d times", s, found[want], base[harmless])
		}
		delete(found, want)
		delete(found, want+"@")
		delete(found, want+"room")
		delete(found, "2024-01-31T08:00:00.000Z")
		delete(found, "unverified")
		delete(found, "no-key")
		delete(found, "damaged")
		for g := range found {
			t.Errorf("%.80q: the text %.80q is shown", s, g)
		}
		if t.Failed() {
			break
		}
	}
}

// TestRuns: which characters are shown by their names, and which are needed
// for writing and stay.
func TestRuns(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"plain\ttext\nwith lines", "plain\ttext\nwith lines"},
		{"a\r\nb\rc", "a\nb[U+000D]c"},
		{"\x00\x1b\x7f\u0080", "[U+0000][U+001B][U+007F][U+0080]"},
		{"an\u200bn\u200da\u00ad\u2060", "an[U+200B]n[U+200D]a[U+00AD][U+2060]"},
		{"\u202egnp.exe\u202c \u2066x\u2069 \u200e\u200f\u061c", "[U+202E]gnp.exe[U+202C] [U+2066]x[U+2069] [U+200E][U+200F][U+061C]"},
		{"\ufeff\u2028\u2029\u3164\u115f\u2800", "[U+FEFF][U+2028][U+2029][U+3164][U+115F][U+2800]"},
		{"hi\U000e0041\U000e007f", "hi[U+E0041][U+E007F]"},
		{"👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 1\ufe0f⃣ ℹ\ufe0f ©\ufe0f", "👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 1\ufe0f⃣ ℹ\ufe0f ©\ufe0f"},
		{"a\ufe0f\U000e0100", "a[U+FE0F][U+E0100]"},
		{"☺\ufe0f\ufe0e\U000e0101", "☺\ufe0f[U+FE0E][U+E0101]"},
		{"می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष"},
		{"а\u0301 e\u0301 \u0600", "а\u0301 e\u0301 \u0600"},
		{"葛\U000e0100", "葛\U000e0100"},
		{"a\u0301\u200d", "a\u0301[U+200D]"},
		{"\xffa\xf0\x9f", "\ufffda\ufffd\ufffd"},
		{"", ""},
	} {
		if got := flat(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// TestHTMLPolicy: the page may load nothing, and the hash is the style's.
func TestHTMLPolicy(t *testing.T) {
	got := read(t, htmlOf(t, Look{}, ""))
	sum := sha256.Sum256([]byte(got.style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if got.policy != want {
		t.Errorf("%s, want %s", got.policy, want)
	}
	if strings.Contains(got.style, "url(") || strings.Contains(got.style, "@import") {
		t.Error("the style refers to something else")
	}
}

// TestHTMLComplete: every record of the other formats is there, with its id and
// row, and every link leads somewhere.
func TestHTMLComplete(t *testing.T) {
	page := htmlOf(t, goldenLook(t), "", goldenSlices(t)...)
	got := read(t, page)
	count := map[string]int{}
	for _, s := range got.texts {
		count[s]++
	}
	records := 0
	for _, u := range goldenConversation() {
		records++
		r := Utterance(u)
		for _, want := range []*string{r.StanzaID, &r.Row, r.Body, r.Reason, r.Key} {
			if want != nil && *want != "" && count[strings.ReplaceAll(*want, "\r\n", "\n")] == 0 {
				t.Errorf("%s: %q is missing", r.Row, *want)
			}
		}
		if count[r.Row] != 1 {
			t.Errorf("%s is shown %d times", r.Row, count[r.Row])
		}
	}
	for _, want := range []string{fmt.Sprintf("reactions%d\n", records), "not readable1\n", "Conversations3\n", "Without a date1\n", "1 message, 1 not readable", "Time zone: Europe/Berlin (UTC+01:00)",
		"Taken back at 09:07:07 by ", "; the archive kept the text.", "Before the edit, as sent at 09:02:02:", "Edited at 09:05:05:"} {
		if !strings.Contains(got.ours, want) {
			t.Errorf("%q is missing in our text", want)
		}
	}
	for _, l := range got.links {
		if !got.ids[strings.TrimPrefix(l, "#")] {
			t.Errorf("the link %s leads nowhere", l)
		}
	}
	if len(got.links) != 1+len(goldenSlices(t)) {
		t.Errorf("%d links", len(got.links))
	}
}

// TestHTMLClockChange: an hour that the clock shows twice.
func TestHTMLClockChange(t *testing.T) {
	zone := goldenLook(t).Zone
	s := Slice{Day: time.Date(2024, 10, 27, 0, 0, 0, 0, zone), Part: 1}
	for _, hour := range []int{0, 1} {
		at := time.Date(2024, 10, 27, hour, 30, 0, 0, time.UTC)
		s.Events = append(s.Events, &Event{Record: Record{Time: timeOrNull(at), Kind: "chat", Status: "ok", Body: p("x")}, Time: at})
	}
	if got := read(t, htmlOf(t, Look{Zone: zone}, "", &s)).clocks; !reflect.DeepEqual(got, []string{"02:30:00", "02:30:00 UTC+01:00"}) {
		t.Errorf("%q", got)
	}
}

// TestHTMLParts: no message is lost, none twice, and no page is too long.
func TestHTMLParts(t *testing.T) {
	event := func(reactions int) *Event {
		e := &Event{Record: Record{Kind: "chat", Status: "ok", Body: p("x")}}
		for range reactions {
			e.Reactions = append(e.Reactions, &Event{Record: Record{Kind: "reaction", Status: "ok", Reactions: []string{"y"}}})
		}
		return e
	}
	slice := func(room string, events ...*Event) *Slice { return &Slice{Room: room, Part: 1, Events: events} }
	for _, c := range []struct {
		name   string
		slices []*Slice
		want   []string // the messages of each part
	}{
		{"nothing", nil, []string{""}},
		{"what fits", []*Slice{slice("a", event(0), event(0)), slice("b", event(0), event(1))}, []string{"m1 m2 m3 m4"}},
		{"not cut where the next page has room", []*Slice{slice("a", event(0), event(0), event(0)), slice("b", event(0), event(0), event(0))}, []string{"m1 m2 m3", "m4 m5 m6"}},
		{"cut where none has", []*Slice{slice("a", event(0)), slice("b", event(2), event(2), event(0), event(0), event(0))}, []string{"m1", "m2", "m3 m4 m5", "m6"}},
		{"one message is more than a page", []*Slice{slice("a", event(9), event(0))}, []string{"m1", "m2"}},
	} {
		var pages []*bytes.Buffer
		parts := NewHTMLParts(Look{}, 5, func(part int) (io.WriteCloser, error) {
			if part != len(pages)+1 {
				t.Errorf("%s: part %d", c.name, part)
			}
			pages = append(pages, &bytes.Buffer{})
			return file{pages[part-1]}, nil
		})
		for _, s := range c.slices {
			if err := parts.Write(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := parts.Close(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range pages {
			read(t, b.String())
			var ids []string
			for _, m := range regexp.MustCompile(`<tr id="(m\d+)">`).FindAllStringSubmatch(b.String(), -1) {
				ids = append(ids, m[1])
			}
			got = append(got, strings.Join(ids, " "))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestHTMLDoesNotFit: an error of the file is returned, by Write or by Close.
func TestHTMLDoesNotFit(t *testing.T) {
	h := NewHTML(noRoom{}, Look{})
	if err := h.Close(); err == nil {
		t.Error("no error")
	}
}

type noRoom struct{}

func (noRoom) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
