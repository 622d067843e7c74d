package export

import (
	"reflect"
	"testing"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

func p(s string) *string { return &s }

func valid(s string) message.Text { return message.Text{Text: s, Valid: true} }

var noon = time.Date(2024, 1, 31, 12, 0, 0, 123456789, time.UTC)

// sent is a row as the archiver writes it for most messages.
func sent() message.Message {
	return message.Message{Source: "jm.csv", Row: 17, Time: noon,
		From: message.ParseJID("Anna@example.com/Jabber"), To: message.ParseJID("boris@example.com/phone"),
		Kind: message.Chat, Direction: message.In, Body: valid("Good morning"), StanzaBody: valid("Good morning"), StanzaRead: true,
		StanzaID: "m1", Status: message.OK, Key: "SHA256:abc"}
}

func TestRow(t *testing.T) {
	// want holds what all the cases below have in common.
	want := func(change func(*Record)) Record {
		r := Record{Time: p("2024-01-31T12:00:00.123Z"), From: p("Anna@example.com/Jabber"), To: p("boris@example.com/phone"), Kind: "chat",
			StanzaID: p("m1"), Body: p("Good morning"), BodyFrom: p("body"), StanzaBody: p("Good morning"), Recipients: []string{},
			Direction: p("I"), Copies: 1, Status: "ok", Key: p("SHA256:abc"), Row: "jm.csv:17"}
		change(&r)
		return r
	}
	for _, c := range []struct {
		name   string
		change func(*message.Message)
		want   Record
	}{
		{"the columns as they are", func(*message.Message) {}, want(func(*Record) {})},
		{"one archive needs no name", func(m *message.Message) { m.Source = "" }, want(func(r *Record) { r.Row = ":17" })},
		{"an empty column is an empty text", func(m *message.Message) { m.Body, m.Subject, m.Thread = valid(""), valid(""), valid("") },
			want(func(r *Record) { r.Body, r.Subject, r.Thread = p(""), p(""), p("") })},
		{"no column is null, also where the stanza has the text", func(m *message.Message) { m.Body = message.Text{} },
			want(func(r *Record) { r.Body, r.BodyFrom = nil, nil })},
		{"a stanza without a body", func(m *message.Message) { m.StanzaBody = message.Text{} }, want(func(r *Record) { r.StanzaBody = nil })},
		{"an empty body in the stanza", func(m *message.Message) { m.StanzaBody = valid("") }, want(func(r *Record) { r.StanzaBody = p("") })},
		{"a room: from is the room with the nick, as the column says", func(m *message.Message) {
			m.From, m.Kind, m.Room = message.ParseJID("Ops@conf.example.com/anna@example.com"), message.Groupchat, true
		}, want(func(r *Record) { r.From, r.Kind = p("Ops@conf.example.com/anna@example.com"), "groupchat" })},
		{"no key opens it", func(m *message.Message) {
			*m = message.Message{Source: "jm.csv", Row: 17, Time: noon, Direction: message.In, Status: message.NoKey, Reason: "no key opens BODY_STRING"}
		}, Record{Time: p("2024-01-31T12:00:00.123Z"), Kind: "chat", Recipients: []string{}, Direction: p("I"), Copies: 1, Status: "no-key",
			Reason: p("no key opens BODY_STRING"), Row: "jm.csv:17"}},
		{"the column does not open, and the stanza's address is not the column", func(m *message.Message) {
			m.From, m.StanzaFrom = message.JID{}, message.ParseJID("anna@example.com")
		}, want(func(r *Record) { r.From = nil })},
		{"a date that is none", func(m *message.Message) { m.Time = time.Time{} }, want(func(r *Record) { r.Time = nil })},
		{"a time in another zone", func(m *message.Message) { m.Time = noon.In(time.FixedZone("", 2*3600)) }, want(func(*Record) {})},
		{"no direction", func(m *message.Message) { m.Direction = 0 }, want(func(r *Record) { r.Direction = nil })},
		{"the other direction", func(m *message.Message) { m.Direction = message.Out }, want(func(r *Record) { r.Direction = p("O") })},
		{"a direction that nobody knows", func(m *message.Message) { m.Direction = 'X' }, want(func(r *Record) { r.Direction = p("X") })},
		{"a replay", func(m *message.Message) { m.History = true }, want(func(r *Record) { r.History = true })},
		{"a carbon: the outer addresses", func(m *message.Message) {
			m.Carbon, m.CarbonFrom, m.CarbonTo = true, message.ParseJID("x@y"), message.ParseJID("z@y")
		}, want(func(*Record) {})},
		{"a correction", func(m *message.Message) { m.Kind, m.RefersTo = message.Correction, "m0" },
			want(func(r *Record) { r.Kind, r.RefersTo = "correction", p("m0") })},
		{"a reaction", func(m *message.Message) { m.Kind, m.Reactions = message.Reaction, []string{"👍", "🎉"} },
			want(func(r *Record) { r.Kind, r.Reactions = "reaction", []string{"👍", "🎉"} })},
		{"files", func(m *message.Message) { m.Files = []string{"https://x/1"} }, want(func(r *Record) { r.Files = []string{"https://x/1"} })},
		{"the subject of the column", func(m *message.Message) { m.Subject, m.StanzaSubject = valid("a"), "b" }, want(func(r *Record) { r.Subject = p("a") })},
		{"an empty subject of the column", func(m *message.Message) { m.Subject, m.StanzaSubject = valid(""), "b" }, want(func(r *Record) { r.Subject = p("") })},
		{"the subject of the stanza, where there is no column", func(m *message.Message) { m.StanzaSubject = "b" }, want(func(r *Record) { r.Subject = p("b") })},
		{"a thread", func(m *message.Message) { m.Thread = valid("t1") }, want(func(r *Record) { r.Thread = p("t1") })},
	} {
		m := sent()
		c.change(&m)
		if got := Row(&m); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%s, want\n%s", c.name, line(t, &got), line(t, &c.want))
		}
	}
}

func TestUtterance(t *testing.T) {
	said := func(change func(*transcript.Utterance)) *transcript.Utterance {
		u := &transcript.Utterance{Time: noon, From: "anna@example.com", To: "boris@example.com", Recipients: []string{"boris@example.com"},
			Directions: "IO", Copies: 3, Text: valid("Good morning"), TextFrom: "body", Row: sent()}
		change(u)
		return u
	}
	want := func(change func(*Record)) Record {
		r := Record{Time: p("2024-01-31T12:00:00.123Z"), From: p("anna@example.com"), To: p("boris@example.com"), Kind: "chat", StanzaID: p("m1"),
			Body: p("Good morning"), BodyFrom: p("body"), Recipients: []string{"boris@example.com"}, Direction: p("IO"), Copies: 3,
			Status: "ok", Key: p("SHA256:abc"), Row: "jm.csv:17"}
		change(&r)
		return r
	}
	for _, c := range []struct {
		name   string
		change func(*transcript.Utterance)
		want   Record
	}{
		{"real people, bare", func(*transcript.Utterance) {}, want(func(*Record) {})},
		{"in a room", func(u *transcript.Utterance) {
			u.To, u.Room, u.Nick, u.Recipients = "", "ops@conf.example.com", "Anna", []string{"boris@example.com", "carla@example.com"}
			u.Row.Kind = message.Groupchat
		}, want(func(r *Record) {
			r.To, r.Room, r.Nick, r.Recipients, r.Kind = nil, p("ops@conf.example.com"), p("Anna"), []string{"boris@example.com", "carla@example.com"}, "groupchat"
		})},
		{"who spoke is not known", func(u *transcript.Utterance) { u.From = "" }, want(func(r *Record) { r.From = nil })},
		{"no copy was delivered: an empty list, not null", func(u *transcript.Utterance) { u.Recipients = nil }, want(func(r *Record) { r.Recipients = []string{} })},
		{"nothing but an empty text", func(u *transcript.Utterance) { u.Text = valid("") }, want(func(r *Record) { r.Body = p("") })},
		{"no text", func(u *transcript.Utterance) { u.Text, u.TextFrom = message.Text{}, "" }, want(func(r *Record) { r.Body, r.BodyFrom = nil, nil })},
		{"the text of another copy", func(u *transcript.Utterance) { u.TextFrom = "copy" }, want(func(r *Record) { r.BodyFrom = p("copy") })},
		{"the text of the stanza", func(u *transcript.Utterance) { u.TextFrom = "stanza" }, want(func(r *Record) { r.BodyFrom = p("stanza") })},
		{"without a date", func(u *transcript.Utterance) { u.Time = time.Time{} }, want(func(r *Record) { r.Time = nil })},
		{"no direction", func(u *transcript.Utterance) { u.Directions = "" }, want(func(r *Record) { r.Direction = nil })},
		{"not certain", func(u *transcript.Utterance) { u.Row.Status, u.Row.Reason = message.Unverified, "one block" },
			want(func(r *Record) { r.Status, r.Reason = "unverified", p("one block") })},
		{"the subject of the stanza", func(u *transcript.Utterance) { u.Row.StanzaSubject = "b" }, want(func(r *Record) { r.Subject = p("b") })},
	} {
		if got := Utterance(said(c.change)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%s, want\n%s", c.name, line(t, &got), line(t, &c.want))
		}
	}
}
