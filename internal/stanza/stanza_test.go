package stanza

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func texts(pairs ...string) (out []LangText) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, LangText{pairs[i], pairs[i+1]})
	}
	return out
}

// wellFormed are stanzas with all that they say. The stanzas of extensions are
// after the examples of their XEPs.
var wellFormed = []struct {
	name, raw string
	want      Message
}{
	{"nothing but a name", `<message/>`, Message{}},
	{"attributes, one order", `<message from='a@example.com/x' to="b@example.com" id='39a2:4d8f:11c2:8a7e:22b1' type='chat' xml:lang='en'/>`,
		Message{From: "a@example.com/x", To: "b@example.com", ID: "39a2:4d8f:11c2:8a7e:22b1", Type: "chat", Lang: "en"}},
	{"attributes, another order and blanks", "<message\n\txml:lang = 'en'\r\n type=\"weird\" id\t=\n'1' other='x' ></message >\n",
		Message{ID: "1", Type: "weird", Lang: "en"}},
	{"attribute values are unescaped and their blanks are spaces", "<message id='&#x41;&amp;&apos;&#10;\t\r\n\n>\"]]>' from='&lt;ü&gt;'/>",
		Message{ID: "A&'\n   >\"]]>", From: "<ü>"}},
	{"XML declaration", "\ufeff<?xml version='1.0' encoding=\"utf-8\" standalone='yes' ?>\n<!-- c - - --><message id='1'/>", Message{ID: "1"}},
	{"namespaces of a stream", `<message xmlns='jabber:client'><body>b</body></message>`, Message{Bodies: texts("", "b")}},
	{"between servers", `<message xmlns='jabber:server'><body>b</body><body xmlns='jabber:client'>no</body></message>`, Message{Bodies: texts("", "b")}},
	{"of a component", `<message xmlns='jabber:component:accept'><body>b</body></message>`, Message{Bodies: texts("", "b")}},
	{"prefixes that nothing declares", `<message id='1' p:a='' q:a=''><p:a q:b='c'><p:body>no</p:body></p:a><p:body>no</p:body><body>b</body></message>`,
		Message{ID: "1", Bodies: texts("", "b")}},
	{"prefixes", `<c:message xmlns:c='jabber:client' id='1' c:id='no'><c:body>b</c:body><body>no</body><o:body xmlns:o='jabber:client'>b2</o:body></c:message>`,
		Message{ID: "1", Bodies: texts("", "b", "", "b2")}},
	{"several languages", `<message id='l' xml:lang='de'><body>Hallo</body><body xml:lang='en'>Hello</body><body xml:lang=''>?</body>` +
		`<subject xml:lang='cs'>Vážený</subject></message>`,
		Message{ID: "l", Lang: "de", Bodies: texts("de", "Hallo", "en", "Hello", "", "?"), Subjects: texts("cs", "Vážený")}},
	{"cleared subject", `<message type='groupchat'><subject/></message>`, Message{Type: "groupchat", Subjects: texts("", "")}},
	{"thread", `<message><thread parent='e0ff'>0e31</thread><thread>no</thread></message>`, Message{Thread: "0e31", ParentThread: "e0ff"}},
	{"text in pieces", "<message><body>a&amp;b<!-- c -->c<![CDATA[<&]]]]>\r\nd\re&#13;<x>no</x>f</body></message>",
		Message{Bodies: texts("", "a&bc<&]]\nd\ne\rf")}},
	{"characters beyond ASCII", `<message><body>Grüße 你好 🎉 &#x1F389;&#65533;</body></message>`, Message{Bodies: texts("", "Grüße 你好 🎉 🎉\ufffd")}},
	{"a body elsewhere is not the message's", `<message><x xmlns='urn:x'><body xmlns=''>no</body></x><y><body>no</body></y><body xmlns='urn:x'>no</body></message>`, Message{}},

	{"Cisco", `<message from='anna@example.com/jabber_12137' id='39a2:4d8f:11c2:8a7e:22b1' to='ben@example.com' type='chat' xml:lang='en'>` +
		`<thread>connect11087</thread><body>one &amp; two` + "\n" + `three</body>` +
		`<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><div style='font-family:Arial'><span style='color:#000'>one ` +
		`<span>&amp; <b>two</b></span></span><br/>three</div></body></html></message>`,
		Message{From: "anna@example.com/jabber_12137", To: "ben@example.com", ID: "39a2:4d8f:11c2:8a7e:22b1", Type: "chat", Lang: "en",
			Thread: "connect11087", Bodies: texts("en", "one & two\nthree"), XHTML: "one & two\nthree"}},
	{"XEP-0071", `<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>` +
		"\n <h1>Title</h1>\n <p>a  b\t<em> c </em>d</p><p>&#160;</p><ul><li>x</li><li>y<br/>z</li></ul><pre>  p\n q</pre>r <img alt=':-)' src='s'/> <style>no</style><foreign xmlns='urn:x'>no</foreign>" +
		`<p>s</p><p><br/></p><p>t</p></body><body xmlns='http://www.w3.org/1999/xhtml'>no</body></html></message>`,
		Message{XHTML: "Title\na b c d\n\u00a0\nx\ny\nz\n  p\n q\nr :-)\ns\n\nt"}},
	{"XEP-0308", `<message id='2'><body>good</body><replace id='bad1' xmlns='urn:xmpp:message-correct:0'/></message>`,
		Message{ID: "2", Bodies: texts("", "good"), Corrects: "bad1"}},
	{"XEP-0424", `<message><retract id='o1' xmlns='urn:xmpp:message-retract:1'/><body>fallback</body></message>`,
		Message{Retracts: "o1", Bodies: texts("", "fallback")}},
	{"XEP-0424 version 0.2", `<message><apply-to id="o1" xmlns="urn:xmpp:fasten:0"><retract xmlns='urn:xmpp:message-retract:0'/></apply-to></message>`,
		Message{Retracts: "o1"}},
	{"XEP-0422 without retraction", `<message><apply-to id="o1" xmlns="urn:xmpp:fasten:0"><external name='body'/></apply-to></message>`, Message{}},
	{"XEP-0424 tombstone", `<message><retracted stamp='2019-09-20T23:09:32Z' xmlns='urn:xmpp:message-retract:0'><origin-id xmlns='urn:xmpp:sid:0' id='o1'/></retracted></message>`, Message{}},
	{"XEP-0425", `<message from='room@muc.example.com'><retract id='s1' xmlns='urn:xmpp:message-retract:1'>` +
		`<moderated by='room@muc.example.com/macbeth' xmlns='urn:xmpp:message-moderate:1'><occupant-id xmlns="urn:xmpp:occupant-id:0" id="dd72"/></moderated><reason>Spam</reason></retract></message>`,
		Message{From: "room@muc.example.com", Retracts: "s1", Moderator: "room@muc.example.com/macbeth", Reason: "Spam"}},
	{"XEP-0425 version 0.2", `<message><apply-to id="s1" xmlns="urn:xmpp:fasten:0"><moderated by='room@muc.example.com/macbeth' xmlns='urn:xmpp:message-moderate:0'>` +
		`<retract xmlns='urn:xmpp:message-retract:0' /><reason>Spam</reason></moderated></apply-to></message>`,
		Message{Retracts: "s1", Moderator: "room@muc.example.com/macbeth", Reason: "Spam"}},
	{"XEP-0425 by the room", `<message from='room@muc.example.com'><retract id='s1' xmlns='urn:xmpp:message-retract:1'><moderated xmlns='urn:xmpp:message-moderate:1'/></retract></message>`,
		Message{From: "room@muc.example.com", Retracts: "s1", Moderator: "room@muc.example.com"}},
	{"XEP-0444", `<message><reactions id='744f' xmlns='urn:xmpp:reactions:0'><reaction>👋</reaction> <reaction>🐢</reaction><reaction>👋</reaction><reaction/></reactions></message>`,
		Message{ReactsTo: "744f", Reactions: []string{"👋", "🐢"}}},
	{"XEP-0444, taken back", `<message><reactions id='744f' xmlns='urn:xmpp:reactions:0'/></message>`, Message{ReactsTo: "744f"}},
	{"XEP-0444, more than a few", `<message><reactions id='7' xmlns='urn:xmpp:reactions:0'>` + reactionElements("abcdefghijklmnopqrstabc") + `</reactions></message>`,
		Message{ReactsTo: "7", Reactions: strings.Split("abcdefghijklmnopqrst", "")}},
	{"XEP-0461", `<message><reply to='anna@example.com/tablet' id='m1' xmlns='urn:xmpp:reply:0' /></message>`, Message{ReplyTo: "m1", ReplyToJID: "anna@example.com/tablet"}},
	{"XEP-0184 request", `<message><request xmlns='urn:xmpp:receipts'/></message>`, Message{WantsReceipt: true}},
	{"XEP-0184", `<message><received xmlns='urn:xmpp:receipts' id='r1'/></message>`, Message{ReceiptFor: "r1"}},
	{"XEP-0333 markable", `<message><markable xmlns='urn:xmpp:chat-markers:0'/></message>`, Message{Marker: "markable"}},
	{"XEP-0333", `<message><displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/></message>`, Message{Marker: "displayed", MarkerFor: "m1"}},
	{"XEP-0085", `<message><composing xmlns='http://jabber.org/protocol/chatstates'/><gone xmlns='http://jabber.org/protocol/chatstates'/></message>`, Message{ChatState: "composing"}},
	{"XEP-0085, none of the five", `<message><bored xmlns='http://jabber.org/protocol/chatstates'/></message>`, Message{}},
	{"XEP-0066", `<message><x xmlns='jabber:x:oob'><url> http://example.com/a?b&amp;c </url><desc>A <b>no</b>file</desc></x><x xmlns='jabber:x:oob'><url>u</url></x><x xmlns='jabber:x:oob'><desc>no</desc></x></message>`,
		Message{Files: []File{{"http://example.com/a?b&c", "A file"}, {"u", ""}}}},
	{"XEP-0203", `<message><delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25.5+02:00'> Offline Storage </delay><delay xmlns='urn:xmpp:delay' stamp='2003-09-10T23:08:25Z'/></message>`,
		Message{Delay: &Delay{at("2002-09-10T21:08:25.5Z"), "capulet.com", "Offline Storage"}}},
	{"XEP-0203, no XEP-0082", `<message><delay xmlns='urn:xmpp:delay' stamp='20020910T23:08:25'/></message>`, Message{Delay: &Delay{}}},
	{"XEP-0091", `<message><x xmlns='jabber:x:delay' from='capulet.com' stamp='20020910T23:08:25'>Offline Storage</x></message>`,
		Message{Delay: &Delay{at("2002-09-10T23:08:25Z"), "capulet.com", "Offline Storage"}}},
	{"XEP-0359", `<message><origin-id xmlns='urn:xmpp:sid:0' id='o'/><stanza-id xmlns='urn:xmpp:sid:0' id='s' by='room@muc.example.com'/><stanza-id xmlns='urn:xmpp:sid:0' id='no'/><stanza-id by='ben@example.com' xmlns='urn:xmpp:sid:0' id='t'/></message>`,
		Message{OriginID: "o", StanzaIDs: []StanzaID{{"room@muc.example.com", "s"}, {"ben@example.com", "t"}}}},
	{"XEP-0380, known", `<message><encryption xmlns='urn:xmpp:eme:0' name='no' namespace='urn:xmpp:omemo:2'/></message>`, Message{Encrypted: "OMEMO"}},
	{"XEP-0380, named", `<message><encryption xmlns='urn:xmpp:eme:0' name='Rot' namespace='urn:rot'/></message>`, Message{Encrypted: "Rot"}},
	{"XEP-0380, not named", `<message><encryption xmlns='urn:xmpp:eme:0' namespace='urn:rot'/></message>`, Message{Encrypted: "urn:rot"}},
	{"XEP-0384", `<message><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted></message>`, Message{Encrypted: "OMEMO"}},
	{"XEP-0384 version 0.4", `<message><encrypted xmlns='urn:xmpp:omemo:1'/></message>`, Message{Encrypted: "OMEMO"}},
	{"XEP-0373", `<message><openpgp xmlns='urn:xmpp:openpgp:0'>aa</openpgp></message>`, Message{Encrypted: "OpenPGP"}},
	{"XEP-0027", `<message><body>This message is encrypted.</body><x xmlns='jabber:x:encrypted'>qANQ</x></message>`, Message{Bodies: texts("", "This message is encrypted."), Encrypted: "OpenPGP"}},
	{"OTR", `<message><body>?OTR:AAMD</body></message>`, Message{Bodies: texts("", "?OTR:AAMD"), Encrypted: "OTR"}},
	{"error", `<message type='error' id='e'><body>b</body><error type='cancel'><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text><gone/><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
		Message{ID: "e", Type: "error", Bodies: texts("", "b"), Error: "item-not-found"}},
	{"an error element without the type", `<message><error><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`, Message{}},
	{"XEP-0045 invitation", `<message from='coven@chat.example.com'><x xmlns='jabber:x:conference' jid='coven@chat.example.com'/><x xmlns='http://jabber.org/protocol/muc#user'><invite from='crone1@example.com/desktop'><reason>r</reason></invite></x></message>`,
		Message{From: "coven@chat.example.com", MUCUser: true, Invite: "crone1@example.com/desktop"}},
	{"XEP-0045 private message", `<message><x xmlns='http://jabber.org/protocol/muc#user'/></message>`, Message{MUCUser: true}},
	{"XEP-0249", `<message><x xmlns='jabber:x:conference' jid='darkcave@example.com' reason='no'/></message>`, Message{Invite: "darkcave@example.com"}},
	{"XEP-0280", `<message xmlns='jabber:client' from='romeo@montague.example' to='romeo@montague.example/home' type='chat'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>` +
		`<message xmlns='jabber:client' from='juliet@capulet.example/balcony' id='i' xml:lang='en'><body>What man art thou</body><thread>0e31</thread></message></forwarded></received><body>outer</body></message>`,
		Message{From: "romeo@montague.example", To: "romeo@montague.example/home", Type: "chat", Carbon: "received", Bodies: texts("", "outer"),
			Forwarded: &Message{From: "juliet@capulet.example/balcony", ID: "i", Lang: "en", Bodies: texts("en", "What man art thou"), Thread: "0e31"}}},
	{"XEP-0280, of another root", `<message><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>?OTR</body><body xmlns=''>no</body></message></forwarded></sent><body>outer</body></message>`,
		Message{Carbon: "sent", Bodies: texts("", "outer"), Forwarded: &Message{Bodies: texts("", "?OTR"), Encrypted: "OTR"}}},
	{"XEP-0297", `<message id='28gs'><body>A most courteous exposition!</body><forwarded xmlns='urn:xmpp:forward:0'><message from='juliet@capulet.lit/orchard' xmlns='jabber:client'><body>kill thee</body></message>` +
		`<delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/></forwarded></message>`,
		Message{ID: "28gs", Bodies: texts("", "A most courteous exposition!"), Forwarded: &Message{From: "juliet@capulet.lit/orchard", Bodies: texts("", "kill thee"), Delay: &Delay{Stamp: at("2010-07-10T23:08:25Z")}}}},
	{"XEP-0297, its own delay goes first", `<message><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/><message xmlns='jabber:client'><delay xmlns='urn:xmpp:delay' stamp='2009-07-10T23:08:25Z'/></message></forwarded><delay xmlns='urn:xmpp:delay' stamp='2011-07-10T23:08:25Z'/></message>`,
		Message{Delay: &Delay{Stamp: at("2011-07-10T23:08:25Z")}, Forwarded: &Message{Delay: &Delay{Stamp: at("2009-07-10T23:08:25Z")}}}},
	{"XEP-0297, only one level", `<message><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>deep</body></message></forwarded></sent><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>deep</body></message></forwarded><body>one</body></message></forwarded></message>`,
		Message{Forwarded: &Message{Bodies: texts("", "one")}}},
	{"XEP-0297, namespace lost", `<message><forwarded xmlns='urn:xmpp:forward:0'><message><body>no</body></message></forwarded></message>`, Message{}},
}

func reactionElements(letters string) string {
	var b strings.Builder
	for _, l := range letters {
		b.WriteString("<reaction>" + string(l) + "</reaction>")
	}
	return b.String()
}

// TestWellFormed reads every stanza into a fresh message and into one that
// held all the stanzas before.
func TestWellFormed(t *testing.T) {
	var used Message
	for _, c := range wellFormed {
		for _, m := range []*Message{{}, &used} {
			err := m.Parse([]byte(c.raw))
			if err != nil || !reflect.DeepEqual(*m, c.want) {
				t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, show(*m), show(c.want))
			}
		}
		if id := StartTagID([]byte(c.raw)); id != c.want.ID {
			t.Errorf("%s: id %q", c.name, id)
		}
	}
}

func show(m Message) string {
	text, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		lang  string
		texts []LangText
		want  string
		ok    bool
	}{
		{"de", nil, "", false},
		{"de", texts("en", "e", "de", "d", "", "n"), "n", true},
		{"de", texts("en", "e", "de", "d"), "d", true},
		{"fr", texts("en", "e", "de", "d"), "e", true},
		{"", texts("en", "e", "", ""), "", true},
	} {
		m := Message{Lang: c.lang, Bodies: c.texts}
		if text, ok := m.Body(); text != c.want || ok != c.ok {
			t.Errorf("Body of %v in %q: %q, %v", c.texts, c.lang, text, ok)
		}
		m = Message{Lang: c.lang, Subjects: c.texts}
		if text, ok := m.Subject(); text != c.want || ok != c.ok {
			t.Errorf("Subject of %v in %q: %q, %v", c.texts, c.lang, text, ok)
		}
	}
}

// TestAllocations holds the hot path to the strings it returns: from, to, id,
// lang, thread, body and XHTML.
func TestAllocations(t *testing.T) {
	raw := []byte(ciscoStanza)
	var m Message
	if n := testing.AllocsPerRun(1000, func() {
		if err := m.Parse(raw); err != nil {
			t.Fatal(err)
		}
	}); n > 12 { // the pool forgets now and then, with -race often
		t.Errorf("%v allocations", n)
	}
}
