package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"archivolt/internal/message"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
	"archivolt/internal/transcript"
)

// manifest is what the tests read of rsmf_manifest.json; its types are not the writer's.
type manifest struct {
	Version           string
	EventCollectionID string
	Participants      []struct{ ID, Display, Email, AccountID string }
	Conversations     []struct {
		ID, Type, Platform, Display string
		Participants                []string
	}
	Events []struct {
		ID, Type, Parent, Body, Participant, Conversation, Timestamp string
		Deleted                                                      bool
		Edits                                                        []struct {
			Participant, Timestamp string
			Previous, New          *string
		}
		Reactions []struct {
			Value        string
			Count        int
			Participants []string
		}
		Attachments []any
		Custom      []struct{ Name, Value string }
	}
}

// custom returns a custom field of event i, which may be there once.
func (m *manifest) custom(t testing.TB, i int, name string) string {
	t.Helper()
	found := ""
	for _, c := range m.Events[i].Custom {
		if c.Name == name {
			if found != "" {
				t.Errorf("event %d has %s twice", i, name)
			}
			found = c.Value
		}
	}
	return found
}

// rsmfSchema is Relativity's own schema.
func rsmfSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join(testenv.Material(t, "rsmf"), "rsmf_schema_2_0_0.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t testing.TB, schema *jsonschema.Schema, text string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
}

// checkRSMF holds a finished file against the rules of the format that its
// schema cannot say.
func checkRSMF(t testing.TB, p *parsed, size int) *manifest {
	t.Helper()
	if size > 2<<30 {
		t.Errorf("%d bytes", size)
	}
	if len(p.Parts) != 2 || p.Type != "multipart/mixed" {
		t.Fatalf("%s of %d parts", p.Type, len(p.Parts))
	}
	text, file := p.Parts[0], p.Parts[1]
	if text.Type != "text/plain" || text.Disposition != "" || file.File != "rsmf.zip" || file.Disposition != "attachment" || file.Encoding != "base64" {
		t.Errorf("parts %s %s, %s %s %s", text.Type, text.Disposition, file.File, file.Disposition, file.Encoding)
	}
	var m manifest
	in := strings.ReplaceAll(file.Text, `"account_id"`, `"accountid"`)
	if err := json.Unmarshal([]byte(in), &m); err != nil {
		t.Fatal(err)
	}

	people := map[string]bool{}
	for _, x := range m.Participants {
		if people[x.ID] || x.ID == "" || x.Display == "" {
			t.Errorf("participant %+v", x)
		}
		people[x.ID] = true
	}
	person := func(id string) {
		if !people[id] {
			t.Errorf("no participant %q", id)
		}
	}
	if len(m.Conversations) != 1 || m.Conversations[0].Display == "" {
		t.Fatalf("conversations %v", m.Conversations)
	}
	for _, id := range m.Conversations[0].Participants {
		person(id)
	}
	files := []string{"rsmf_manifest.json"}
	events := map[string]bool{}
	begin, end := "", ""
	for i, e := range m.Events {
		if e.ID == "" || events[e.ID] || e.Conversation != m.Conversations[0].ID || len(e.Attachments) > 0 {
			t.Errorf("event %d: %+v", i, e)
		}
		if e.Parent != "" && !events[e.Parent] {
			t.Errorf("event %d has the parent %s, which does not come before it", i, e.Parent)
		}
		events[e.ID] = true
		if e.Type == "message" || e.Participant != "" {
			person(e.Participant)
		}
		for _, x := range e.Edits {
			person(x.Participant)
		}
		for _, x := range e.Reactions {
			if x.Value == "" || x.Count != len(x.Participants) && x.Participants != nil {
				t.Errorf("reaction %+v", x)
			}
			for _, id := range x.Participants {
				person(id)
			}
		}
		for _, c := range e.Custom {
			if c.Name == "" || c.Value == "" {
				t.Errorf("event %d: custom %+v", i, c)
			}
		}
		if e.Timestamp != "" {
			if _, err := time.Parse(time.RFC3339Nano, e.Timestamp); err != nil {
				t.Error(err)
			}
			if begin == "" {
				begin = e.Timestamp
			}
			end = e.Timestamp
		}
	}
	if len(m.Events) > 10_000 || !slices.Equal(file.Zip, files) {
		t.Errorf("%d events, zip of %v", len(m.Events), file.Zip)
	}
	for name, want := range map[string]string{"X-RSMF-Version": "2.0.0", "X-RSMF-Generator": "Archivolt", "X-RSMF-Application": m.Conversations[0].Platform,
		"X-RSMF-EventCount": strconv.Itoa(len(m.Events)), "X-RSMF-AttachmentCount": "0", "X-RSMF-EventCollectionID": m.EventCollectionID,
		"X-RSMF-ParticipantCount": strconv.Itoa(len(people))} {
		if got := p.header(t, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if begin != "" && (p.header(t, "X-RSMF-BeginDate") != begin || p.header(t, "X-RSMF-EndDate") != end || p.header(t, "Date") == "") {
		t.Errorf("headers %v, events from %s to %s", p.Headers, begin, end)
	} else if begin == "" && (slices.Contains(p.names(), "X-RSMF-BeginDate") || slices.Contains(p.names(), "Date")) {
		t.Errorf("dates in %v", p.names())
	}
	if m.Version != "2.0.0" || p.header(t, "Subject") == "" || p.header(t, "Message-ID") == "" || len(p.From) != 1 || len(p.To) > len(people) {
		t.Errorf("headers %v", p.Headers)
	}
	return &m
}

func rsmfFile(t testing.TB, s *Slice, look Look) []byte {
	return oneFile(t, s, func(dir Folder) error {
		w := NewRSMF(dir, look)
		return errors.Join(w.Write(s), w.Close())
	})
}

// TestRSMF: the golden conversation, read by Python, held against the schema,
// the rules and reviewed files.
func TestRSMF(t *testing.T) {
	look := goldenLook(t)
	var raw [][]byte
	slices := goldenSlices(t)
	for _, s := range slices {
		raw = append(raw, rsmfFile(t, s, look))
		if !bytes.Equal(raw[len(raw)-1], rsmfFile(t, s, look)) {
			t.Error("the same slice gives other bytes")
		}
	}
	var manifests []*manifest
	for i, p := range readMail(t, raw...) {
		manifests = append(manifests, checkRSMF(t, &p, len(raw[i])))
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(p.Parts[1].Text), "", "  "); err != nil {
			t.Fatal(err)
		}
		golden(t, "golden/rsmf/"+slices[i].Name()+".json", indented.Bytes())
		golden(t, "golden/rsmf/"+slices[i].Name()+".txt", []byte(strings.ReplaceAll(p.Parts[0].Text, "\r\n", "\n")))
	}
	undated, unread, day := manifests[0], manifests[1], manifests[2]
	if e := undated.Events[0]; e.Timestamp != "" || undated.custom(t, 0, "time") != "not in the archive" {
		t.Errorf("without a date: %+v", e)
	}
	if e := unread.Events[0]; e.Type != "unknown" || e.Participant != "" || !strings.Contains(e.Body, "no key opens") || unread.custom(t, 0, "status") != "no-key" {
		t.Errorf("unreadable: %+v", e)
	}
	e := day.Events[0]
	if e.Body != "Good evening!" || len(e.Edits) != 1 || *e.Edits[0].Previous != "Good morning! <b>Rotterdam</b> & \"customs\"" || *e.Edits[0].New != e.Body ||
		e.Timestamp != "2024-01-31T09:02:02.000+01:00" || len(e.Reactions) != 2 || e.Reactions[0].Value != "👍" || e.Reactions[0].Participants[0] != "P2" ||
		day.custom(t, 0, "edit-1.row") != "jm.csv:5" || day.custom(t, 0, "row") != "jm.csv:2" || day.custom(t, 0, "reaction-1.stanza-id") != "m5" {
		t.Errorf("edited: %+v", e)
	}
	if e := day.Events[1]; !e.Deleted || !strings.HasPrefix(e.Body, "Доброе утро.\nZweite") || day.custom(t, 1, "retraction.row") != "jm.csv:7" {
		t.Errorf("taken back: %+v", e)
	}
	if e := day.Events[2]; e.Body != "=HYPERLINK(\"http://evil.example\") \u202egnp.exe\u202c" {
		t.Errorf("body %q", e.Body)
	}
	if e := day.Events[3]; e.Body != "see the file\n[file, not in the archive: https://files.example.com/a b.pdf]" || day.custom(t, 3, "file-1") != "https://files.example.com/a b.pdf" {
		t.Errorf("file: %+v", e)
	}
	if e := day.Events[4]; e.Parent != "" || e.Body != "an edit of yesterday's" || len(e.Edits) != 1 || e.Edits[0].Previous != nil ||
		!strings.Contains(day.custom(t, 4, "note"), "not in this file") || day.custom(t, 4, "refers-to") != "before" {
		t.Errorf("edit of yesterday's: %+v", e)
	}
	if c := day.Conversations[0]; c.Type != "direct" || c.Display != `Anna Berg and Борис "Bo" Иванов` {
		t.Errorf("conversation %+v", c)
	}
}

// TestRSMFSchema validates what the writer makes and, so that it can fail, a
// manifest of the vendor's that is known to be wrong.
func TestRSMFSchema(t *testing.T) {
	schema := rsmfSchema(t)
	look := goldenLook(t)
	list := append(goldenSlices(t), hostileSlices(t)...)
	for _, s := range list {
		var b bytes.Buffer
		if err := writeManifest(&b, newTalk(s, &look, false)); err != nil {
			t.Fatal(err)
		}
		if err := validate(t, schema, b.String()); err != nil {
			t.Errorf("%s: %v", s.Name(), err)
		}
	}
	vendors, err := os.ReadFile(filepath.Join(testenv.Material(t, "rsmf"), "Sample4_rsmf_manifest.json")) // its ids are numbers
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{string(vendors), `{"version":"2.0.0","participants":[{"id":1}],"conversations":[],"events":[]}`,
		`{"version":"2.0.0","participants":[],"conversations":[],"events":[{"type":"message","timestamp":"yesterday"}]}`,
		`{"version":"2.0.0","participants":[],"conversations":[],"events":[{"type":"message","custom":[{"name":"a","value":""}]}]}`} {
		if validate(t, schema, wrong) == nil {
			t.Errorf("the schema takes %s", wrong)
		}
	}
}

// hostileSlices are conversations with texts that try to break a format.
func hostileSlices(t testing.TB) (list []*Slice) {
	t.Helper()
	s := NewSlicer(time.UTC, func(s *Slice) error { list = append(list, s); return nil })
	at := time.Date(2024, 3, 1, 9, 0, 0, 0, time.UTC)
	add := func(from, to, room, nick, id, text string, change func(*message.Message)) {
		at = at.Add(time.Second)
		u := &transcript.Utterance{Time: at, From: from, To: to, Room: room, Nick: nick, Recipients: []string{to}, Copies: 1,
			Text: message.Text{Text: text, Valid: true}, Row: message.Message{StanzaID: id, Source: "a.csv", Row: int64(at.Second() + 1), Room: room != ""}}
		if change != nil {
			change(&u.Row)
		}
		if err := s.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	kind := func(k message.Kind, about string, emojis ...string) func(*message.Message) {
		return func(m *message.Message) { m.Kind, m.RefersTo, m.Reactions = k, about, emojis }
	}
	const room, anna = "a\r\nBcc: x@conf.example", "anna@example.com"
	for _, text := range hostileTexts {
		add(text, anna, "", "", text, text, nil)
		add(text, "", room, "", text, text, nil)
		add("", "", room, text, text, text, nil)
	}
	add("", "", room, "", "u1", "nobody said this", nil)
	add("", "", room, "", "u2", "corrected by nobody", kind(message.Correction, "u1"))
	add("", "", room, "", "u3", "", kind(message.Retraction, "u1"))
	add(anna, "", room, "", "u4", "", kind(message.Reaction, "u1", "👍", "", "👍"))
	add(anna, "", room, "", "u5", "", kind(message.Reaction, "u1", strings.Repeat("x", 100)))
	add(anna, "", room, "", "u6", "", kind(message.Reaction, "nowhere"))
	add("eve@example.com", "", room, "", "u7", "not eve's to correct", kind(message.Correction, "u1"))
	add(anna, "", room, "", "u8", "", kind(message.Topic, ""))
	add(anna, "", room, "", "u9", "of year 10000", nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	list[0].Events[0].Time = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))
	lost := Record{Status: "no-key"}
	list = append(list, &Slice{}, &Slice{Events: []*Event{{}}},
		&Slice{Part: 2, Events: []*Event{{Record: lost, Edits: []*Event{{Record: lost}}, Retracted: &Event{Record: lost}, Reactions: []*Event{{Record: lost}}}}})
	return list
}

var hostileTexts = []string{"plain", "\r\n\r\n--=_rsmf\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>", "x\n.\nQUIT\n", "\x00\x01\x1b[31m\x7f",
	"\xff\xfe\xc3", "\u202e\u2066\u2028\u0085", "\n[09:00:00 UTC] anna@example.com: I did it\n    * edited", "þ\x14þ®;\xfe\x14\xae", "</title><img src=http://evil.example/x.png onerror=alert(1)>",
	"{{.}} {{template \"x\"}}", strings.Repeat("long ", 300), "=?utf-8?Q?x?=", "=3D=\r\n soft", "trailing blank ", ""}

// TestRSMFHostile: nothing in a text, a name or an id breaks out of its place.
func TestRSMFHostile(t *testing.T) {
	names := func(string) string { return "Eve\r\nBcc: all@example.com, \"<evil@example.com>\"" }
	look := Look{Title: "x\r\nBcc: y", Zone: time.UTC, Person: names, Room: names}
	var raw [][]byte
	list := hostileSlices(t)
	for _, s := range list {
		raw = append(raw, rsmfFile(t, s, look), rsmfFile(t, s, Look{}))
	}
	for i, p := range readMail(t, raw...) {
		s := list[i/2]
		m := checkRSMF(t, &p, len(raw[i]))
		checkMailFields(t, &p)
		if len(m.Events) != len(s.Events) {
			t.Errorf("%d events of %d", len(m.Events), len(s.Events))
		}
		for j, e := range s.Events {
			if b := e.Record.Body; b != nil && *b != "" && len(e.Edits) == 0 && e.Record.Kind != "topic" && e.Record.Kind != "reaction" && m.Events[j].Body != strings.ToValidUTF8(fffd(*b), "") {
				t.Errorf("body %q, want %q", m.Events[j].Body, *b)
			}
		}
		checkTranscript(t, p.Parts[0].Text, len(s.Events))
	}
}

// fffd replaces each byte that is no UTF-8, as JSON and mail writers do.
func fffd(s string) string { return string([]rune(s)) }

// checkMailFields: no field but those that the formats have.
func checkMailFields(t testing.TB, p *parsed) {
	t.Helper()
	known := []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"}
	seen := map[string]bool{}
	for _, name := range p.names() {
		if seen[name] || !slices.Contains(known, name) && !strings.HasPrefix(name, "X-RSMF-") {
			t.Errorf("field %s", name)
		}
		seen[name] = true
	}
}

// checkTranscript: every line is one of the three kinds, and there are as many
// messages as there should be.
func checkTranscript(t testing.TB, text string, events int) {
	t.Helper()
	head, body, ok := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	if !ok {
		t.Fatalf("no heading in %q", text)
	}
	for line := range strings.SplitSeq(head, "\n") {
		if name, _, _ := strings.Cut(line, ": "); !slices.Contains([]string{"Case", "Conversation", "Day", "Messages", "Participant"}, name) {
			t.Errorf("heading %q", line)
		}
	}
	found := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "["):
			found++
		case strings.HasPrefix(line, "    * "), strings.HasPrefix(line, "    > "), line == "" && events == 0:
		default:
			t.Errorf("line %q", line)
		}
		if strings.ContainsFunc(line, isHidden) {
			t.Errorf("hidden characters in %q", line)
		}
	}
	if found != events {
		t.Errorf("%d messages, want %d", found, events)
	}
}

// TestRSMFNetMail: the standard library's reader agrees on the parts.
func TestRSMFNetMail(t *testing.T) {
	look := goldenLook(t)
	for _, s := range goldenSlices(t) {
		m, err := mail.ReadMessage(bytes.NewReader(rsmfFile(t, s, look)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Header.AddressList("From"); err != nil {
			t.Error(err)
		}
		if list, err := m.Header.AddressList("To"); err != nil && !errors.Is(err, mail.ErrHeaderNotPresent) || len(s.People) > 1 && len(list) == 0 {
			t.Error(list, err)
		}
		if date, err := m.Header.Date(); s.Day.IsZero() != (err != nil) || err == nil && !date.Equal(s.Events[0].Time) {
			t.Errorf("date %v, %v", date, err)
		}
		_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		r := multipart.NewReader(m.Body, params["boundary"])
		first, err := r.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(first))
		if err != nil {
			t.Error(err)
		}
		checkTranscript(t, string(text), len(s.Events))
		second, err := r.NextRawPart()
		if err != nil || second.FileName() != "rsmf.zip" {
			t.Error(second, err)
		}
		if _, err := r.NextRawPart(); err != io.EOF {
			t.Errorf("a third part, %v", err)
		}
	}
}

// synthetic is a slice of n messages of one text.
func synthetic(n int, text string, day int) *Slice {
	s := &Slice{People: []string{"anna@example.com", "boris@example.com"}, Day: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, day), Part: 1}
	for i := range n {
		at := s.Day.Add(time.Duration(i) * time.Second)
		u := transcript.Utterance{Time: at, From: s.People[i%2], To: s.People[1-i%2], Recipients: []string{s.People[1-i%2]}, Directions: "IO", Copies: 2,
			Text: message.Text{Text: text, Valid: true}, TextFrom: "body",
			Row: message.Message{Source: "jm.csv", Row: int64(i + 1), StanzaID: fmt.Sprintf("id-%d-%d", day, i), Key: "SHA256:abcdefgh"}}
		s.Events = append(s.Events, &Event{Record: Utterance(&u), Time: at})
	}
	return s
}

// TestRSMFLarge: one megabyte in a message, as many events as a slice may have.
func TestRSMFLarge(t *testing.T) {
	big := synthetic(2, strings.Repeat("Доброе утро, 日本 \u202e", 1<<15), 0)
	many := synthetic(MaxEvents, "Did the forms for Rotterdam leave today?", 0)
	raw := [][]byte{rsmfFile(t, big, Look{}), rsmfFile(t, many, Look{})}
	for i, p := range readMail(t, raw...) {
		s := []*Slice{big, many}[i]
		m := checkRSMF(t, &p, len(raw[i]))
		if len(m.Events) != len(s.Events) || m.Events[1].Body != *s.Events[1].Record.Body {
			t.Errorf("%d events", len(m.Events))
		}
		checkTranscript(t, p.Parts[0].Text, len(s.Events))
	}
}

// TestRSMFTooLarge: a file that no platform takes is a problem with a remedy.
func TestRSMFTooLarge(t *testing.T) {
	w := NewRSMF(memory{}, Look{})
	w.limit = 10_000
	if err := w.Write(synthetic(1, "short", 0)); err != nil {
		t.Error(err)
	}
	err := w.Write(synthetic(1, strings.Repeat("x", 20_000), 1))
	var p *problem.Error
	if !errors.As(err, &p) || p.Try == "" || !strings.HasSuffix(p.Object, ".rsmf") {
		t.Errorf("%v", err)
	}
}
