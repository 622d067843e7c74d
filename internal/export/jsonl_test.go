package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// line is the record as JSONL writes it.
func line(t testing.TB, r *Record) string {
	t.Helper()
	var b bytes.Buffer
	w := NewJSONL(&b)
	if err := w.Write(r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGoldenLines holds what docs/format/jsonl.md promises, byte for byte.
func TestGoldenLines(t *testing.T) {
	collapsed := Record{Time: p("2024-01-31T12:00:00.123Z"), From: p("anna@example.com"), Room: p("ops@conf.example.com"), Nick: p("Anna"),
		Kind: "reaction", StanzaID: p("m2"), RefersTo: p("m1"), Thread: p("t1"), Subject: p(""), Body: p("said \"yes\"\n\t\u2028<ä>\x00"), BodyFrom: p("copy"),
		Reactions: []string{"👍", "🎉"}, Files: []string{"https://x/1"}, Recipients: []string{"boris@example.com", "carla@example.com"}, Direction: p("IO"),
		Copies: 12, Status: "unverified", Reason: p("one block"), Key: p("SHA256:abc"), Row: "jm.csv:17"}
	const wantCollapsed = `{"time":"2024-01-31T12:00:00.123Z","from":"anna@example.com","to":null,"room":"ops@conf.example.com","nick":"Anna",` +
		`"kind":"reaction","stanza_id":"m2","refers_to":"m1","thread":"t1","subject":"","body":"said \"yes\"\n\t\u2028<ä>\u0000","body_from":"copy",` +
		`"reactions":["👍","🎉"],"files":["https://x/1"],"recipients":["boris@example.com","carla@example.com"],"direction":"IO",` +
		`"copies":12,"history":false,"status":"unverified","reason":"one block","key":"SHA256:abc","row":"jm.csv:17"}` + "\n"
	if got := line(t, &collapsed); got != wantCollapsed {
		t.Errorf("collapsed:\n%swant\n%s", got, wantCollapsed)
	}

	m := sent()
	m.History = true
	row := Row(&m)
	const wantRow = `{"time":"2024-01-31T12:00:00.123Z","from":"Anna@example.com/Jabber","to":"boris@example.com/phone","room":null,` +
		`"kind":"chat","stanza_id":"m1","refers_to":null,"thread":null,"subject":null,"body":"Good morning","body_from":"body",` +
		`"stanza_body":"Good morning","recipients":[],"direction":"I","copies":1,"history":true,"status":"ok","reason":null,"key":"SHA256:abc","row":"jm.csv:17"}` + "\n"
	if got := line(t, &row); got != wantRow {
		t.Errorf("--rows:\n%swant\n%s", got, wantRow)
	}

	const wantZero = `{"time":null,"from":null,"to":null,"room":null,"kind":"","stanza_id":null,"refers_to":null,"thread":null,"subject":null,` +
		`"body":null,"body_from":null,"recipients":[],"direction":null,"copies":0,"history":false,"status":"","reason":null,"key":null,"row":""}` + "\n"
	if got := line(t, &Record{}); got != wantZero {
		t.Errorf("the zero record:\n%swant\n%s", got, wantZero)
	}
}

// texts draws what people write and what a broken archive holds.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\r\n=1", "'=1", "\x00=1", " =1", `"`, `""`, `a"b`, `\"`, `\`, `\.`,
			"a,b", "a;b", "a\nb", "a\r\nb", "a\rb", "\n", "\r", "\ufeff", "\u2028\u2029", "\x7f\u0085", "\x1b[31m", "<script>&", "\xff\xfe", "a\xc3", "\xed\xa0\x80", "\ufffd",
			"👍🏽", "ä\x00ö", "مرحبا", "null"}),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.StringOf(rapid.RuneFrom([]rune("=+-@'\t\r\n\x00\",; a"))),
	)
}

// records draws records; each text is passed through clean.
func records(clean func(string) string) *rapid.Generator[Record] {
	text := rapid.Map(texts(), clean)
	null := rapid.Ptr(text, true)
	list := rapid.SliceOfN(text, 0, 3)
	return rapid.Custom(func(t *rapid.T) Record {
		return Record{Time: null.Draw(t, "time"), From: null.Draw(t, "from"), To: null.Draw(t, "to"), Room: null.Draw(t, "room"), Nick: null.Draw(t, "nick"),
			Kind: rapid.SampledFrom([]string{"chat", "groupchat"}).Draw(t, "kind"), StanzaID: null.Draw(t, "stanza_id"), RefersTo: null.Draw(t, "refers_to"),
			Thread: null.Draw(t, "thread"), Subject: null.Draw(t, "subject"), Body: null.Draw(t, "body"), BodyFrom: null.Draw(t, "body_from"),
			StanzaBody: null.Draw(t, "stanza_body"), Reactions: list.Draw(t, "reactions"), Files: list.Draw(t, "files"), Recipients: list.Draw(t, "recipients"),
			Direction: null.Draw(t, "direction"), Copies: rapid.IntMin(0).Draw(t, "copies"), History: rapid.Bool().Draw(t, "history"),
			Status: rapid.SampledFrom([]string{"ok", "no-key"}).Draw(t, "status"), Reason: null.Draw(t, "reason"), Key: null.Draw(t, "key"), Row: text.Draw(t, "row")}
	})
}

func same(s string) string { return s }

// documented is the order of the keys in docs/format/jsonl.md; those of
// optional are left out where there is nothing to say.
var (
	documented = []string{"time", "from", "to", "room", "nick", "kind", "stanza_id", "refers_to", "thread", "subject", "body", "body_from",
		"stanza_body", "reactions", "files", "recipients", "direction", "copies", "history", "status", "reason", "key", "row"}
	optional = []string{"nick", "stanza_body", "reactions", "files"}
)

func TestJSONLIsEncodingJSON(t *testing.T) {
	all := records(same)
	rapid.Check(t, func(rt *rapid.T) {
		r := all.Draw(rt, "record")
		got := line(t, &r)

		// One line, whoever reads it.
		if body, ok := strings.CutSuffix(got, "\n"); !ok || strings.ContainsFunc(body, func(r rune) bool { return r < ' ' || r == 0x2028 || r == 0x2029 }) {
			rt.Fatalf("not one line: %q", got)
		}
		if !utf8.ValidString(got) {
			rt.Fatalf("no UTF-8: %q", got)
		}

		// The same values as encoding/json writes; but a list is a list.
		peer := r
		peer.Recipients = append([]string{}, r.Recipients...)
		text, err := json.Marshal(peer)
		if err != nil {
			rt.Fatal(err)
		}
		var have, want any
		if err := json.Unmarshal([]byte(got), &have); err != nil {
			rt.Fatalf("%v: %q", err, got)
		}
		if err := json.Unmarshal(text, &want); err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(have, want) {
			rt.Errorf("%s is not\n%s", got, text)
		}

		var order []string
		for _, name := range documented {
			if _, there := want.(map[string]any)[name]; there {
				order = append(order, name)
			} else if !slices.Contains(optional, name) {
				rt.Errorf("%s is absent", name)
			}
		}
		if keys := keysOf(rt, got); !slices.Equal(keys, order) {
			rt.Errorf("the keys are %q, want %q", keys, order)
		}
	})
}

// keysOf returns the keys of a JSON object in their order.
func keysOf(t *rapid.T, object string) (keys []string) {
	d := json.NewDecoder(strings.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// TestRecordsDoNotMix: the writer's memory is used again for each record.
func TestRecordsDoNotMix(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(records(same), 0, 5).Draw(rt, "records")
		var b bytes.Buffer
		w := NewJSONL(&b)
		want := ""
		for i := range list {
			if err := w.Write(&list[i]); err != nil {
				rt.Fatal(err)
			}
			want += line(t, &list[i])
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		if b.String() != want {
			rt.Errorf("together they are %q, one by one %q", b.String(), want)
		}
	})
}

// FuzzJSONString: a text comes back as encoding/json brings it back.
func FuzzJSONString(f *testing.F) {
	f.Add("\u2028\u2029\x00\x1f\x7f \"\\/\b\f\n\r\t<&>")
	f.Add("\xff\xed\xa0\x80\xc3 \ufffd")
	f.Fuzz(func(t *testing.T, text string) {
		var have, want string
		if err := json.Unmarshal(appendString(nil, text), &have); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		marshalled, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(marshalled, &want); err != nil || have != want {
			t.Errorf("%q came back as %q, want %q, %v", text, have, want, err)
		}
	})
}

var errDiskFull = errors.New("the disk is full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errDiskFull }

// TestWriteErrors: nobody may believe in an export that was not written.
func TestWriteErrors(t *testing.T) {
	big := Record{Body: p(strings.Repeat("x", 1<<20))}
	for name, w := range map[string]interface {
		Write(*Record) error
		Close() error
	}{"JSONL": NewJSONL(fullDisk{}), "CSV": NewCSV(fullDisk{}, true)} {
		if err := w.Write(&big); !errors.Is(err, errDiskFull) {
			t.Errorf("%s: Write of more than the buffer: %v", name, err)
		}
		if err := w.Close(); !errors.Is(err, errDiskFull) {
			t.Errorf("%s: Close: %v", name, err)
		}
	}
	for name, w := range map[string]interface {
		Write(*Record) error
		Close() error
	}{"JSONL": NewJSONL(fullDisk{}), "CSV": NewCSV(fullDisk{}, false)} {
		if err := w.Write(&Record{}); err != nil {
			t.Errorf("%s: Write into the buffer: %v", name, err)
		}
		if err := w.Close(); !errors.Is(err, errDiskFull) {
			t.Errorf("%s: Close: %v", name, err)
		}
	}
}
