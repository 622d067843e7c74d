package message

import "testing"

func TestStatusAndKindNames(t *testing.T) {
	// The names are part of what is exported: they never change.
	for s, want := range map[Status]string{OK: "ok", Plain: "plain", Unverified: "unverified", Damaged: "damaged", NoKey: "no-key"} {
		if s.String() != want {
			t.Errorf("status %d is %s, want %s", s, s, want)
		}
		if readable := s != Damaged && s != NoKey; s.Readable() != readable {
			t.Errorf("%s: readable is %v", s, s.Readable())
		}
	}
	for k, want := range map[Kind]string{Chat: "chat", Normal: "normal", Groupchat: "groupchat", Headline: "headline", ErrorKind: "error",
		Correction: "correction", Retraction: "retraction", Reaction: "reaction", Topic: "topic", Signal: "signal"} {
		if k.String() != want {
			t.Errorf("kind %d is %s, want %s", k, k, want)
		}
	}
}

func TestShown(t *testing.T) {
	text := func(s string) Text { return Text{Text: s, Valid: true} }
	for _, c := range []struct {
		name         string
		body, stanza Text
		want         Text
		from         string
	}{
		{"the column", text("a"), text("b"), text("a"), "body"},
		{"the stanza where the column is empty", text(""), text("b"), text("b"), "stanza"},
		{"the stanza where there is no column", Text{}, text("b"), text("b"), "stanza"},
		{"an empty text is a text", text(""), Text{}, text(""), "body"},
		{"two empty texts", text(""), text(""), text(""), "body"},
		{"none", Text{}, Text{}, Text{}, ""},
		{"an empty one in the stanza alone", Text{}, text(""), Text{}, ""},
	} {
		m := Message{Body: c.body, StanzaBody: c.stanza}
		if got, from := m.Shown(); got != c.want || from != c.from {
			t.Errorf("%s: %+v from %q", c.name, got, from)
		}
	}
}

func TestSenderAndRecipient(t *testing.T) {
	column, stanza := ParseJID("column@x"), ParseJID("stanza@x")
	m := Message{From: column, To: column, StanzaFrom: stanza, StanzaTo: stanza}
	if m.Sender() != column || m.Recipient() != column {
		t.Errorf("%v to %v, though there are columns", m.Sender(), m.Recipient())
	}
	m.From, m.To = JID{}, JID{}
	if m.Sender() != stanza || m.Recipient() != stanza {
		t.Errorf("%v to %v, though there is nothing but the stanza", m.Sender(), m.Recipient())
	}
}

func TestToRoom(t *testing.T) {
	const room, nick, client, bare = "ops@conf.example.com", "ops@conf.example.com/Anna", "ben@example.com/phone", "ben@example.com"
	for _, c := range []struct {
		m    Message
		want bool
	}{
		{Message{Room: true, Direction: Out, From: ParseJID(client), To: ParseJID(room)}, true},
		{Message{Room: true, Direction: In, From: ParseJID(nick), To: ParseJID(client)}, false},
		{Message{Room: true, Direction: In, From: ParseJID(nick), To: ParseJID(bare)}, false},
		{Message{Room: true, From: ParseJID(client), To: ParseJID(room)}, true},
		{Message{Room: true, From: ParseJID(nick), To: ParseJID(client)}, false},
		{Message{Room: true, From: ParseJID(room), To: ParseJID(client)}, false}, // a subject
		{Message{Room: true, From: ParseJID(nick)}, false},
		{Message{Room: true, StanzaFrom: ParseJID(client), StanzaTo: ParseJID(room)}, true},
		{Message{Room: true, From: ParseJID("ops@conf.example.com/ben@example.com/phone"), To: ParseJID(bare)}, false},
		{Message{Room: true, Table: "TC_MSGARCHIVE", From: ParseJID(bare), To: ParseJID(room)}, true},
		{Message{From: ParseJID(client), To: ParseJID(bare)}, false},
	} {
		if got := c.m.ToRoom(); got != c.want {
			t.Errorf("%q to %q, direction %d: %v", c.m.Sender().Raw, c.m.Recipient().Raw, c.m.Direction, got)
		}
	}
}
