package stanza

import (
	"bytes"
	"strconv"
	"time"
)

// Message is what one <message/> says (RFC 6121 section 5.2). Strings are
// unescaped. What a stanza may say only once is taken from where it says it
// first.
type Message struct {
	From, To, ID, Type, Lang string // attributes as written, xml:lang the last; "" when absent

	Bodies               []LangText // <body/> in order (RFC 6121 section 5.2.3)
	Subjects             []LangText // <subject/> (section 5.2.4); an empty text is a subject that was cleared
	Thread, ParentThread string     // <thread/> (section 5.2.5)

	XHTML string // XEP-0071: the formatted body as plain text

	Corrects  string // XEP-0308: id of the message that this one replaces
	Retracts  string // XEP-0424, XEP-0425: id of the message retracted
	Moderator string // XEP-0425: JID of who moderated it, the room's if it does not tell; "" if the author retracted
	Reason    string // XEP-0425: why

	ReactsTo            string   // XEP-0444: id of the message reacted to
	Reactions           []string // XEP-0444: the emojis; none with ReactsTo set takes all reactions back
	ReplyTo, ReplyToJID string   // XEP-0461: id of the message replied to and JID of its author

	ReceiptFor        string // XEP-0184: id of the message received
	WantsReceipt      bool   // XEP-0184
	Marker, MarkerFor string // XEP-0333: markable, received, displayed or acknowledged, and the id of the message marked
	ChatState         string // XEP-0085: active, composing, paused, inactive or gone

	Files     []File     // XEP-0066
	Delay     *Delay     // XEP-0203 or XEP-0091
	OriginID  string     // XEP-0359
	StanzaIDs []StanzaID // XEP-0359

	Encrypted string   // name of the end-to-end encryption (XEP-0380); "" if there is none
	Carbon    string   // XEP-0280: sent or received, when this only wraps a copy
	Forwarded *Message // XEP-0297: the message inside; what that one forwards is not read

	Error   string // for type='error' the condition, such as item-not-found (RFC 6120 section 8.3.3)
	MUCUser bool   // has <x xmlns='http://jabber.org/protocol/muc#user'/> (XEP-0045)
	Invite  string // JID of the inviter (XEP-0045 section 7.8.2), else of the room (XEP-0249)
}

// LangText is a text with its language, which is the message's unless it has
// its own (RFC 6121 section 5.2.3, XML 1.0 section 2.12).
type LangText struct{ Lang, Text string }

// File is a file given by its address (XEP-0066 section 3).
type File struct{ URL, Description string }

// Delay says that a message was delivered late (XEP-0203 section 2). Stamp is
// in UTC, and zero when it is no DateTime of XEP-0082.
type Delay struct {
	Stamp        time.Time
	From, Reason string
}

// StanzaID is an id that the entity By assigned (XEP-0359 section 2.1). Who may
// write such an element is for the reader of the archive to judge.
type StanzaID struct{ By, ID string }

// Body returns the body to show: the one without language, else the one in the
// message's language, else the first. ok is false when there is none.
func (m *Message) Body() (text string, ok bool) { return choose(m.Bodies, m.Lang) }

// Subject returns the subject to show, chosen as by Body.
func (m *Message) Subject() (text string, ok bool) { return choose(m.Subjects, m.Lang) }

func choose(texts []LangText, lang string) (string, bool) {
	for _, want := range []string{"", lang} {
		for _, t := range texts {
			if t.Lang == want {
				return t.Text, true
			}
		}
	}
	if len(texts) == 0 {
		return "", false
	}
	return texts[0].Text, true
}

// Error says why a stanza was not read to its end. It quotes nothing of it.
type Error struct {
	Offset int    // in bytes
	What   string // such as "cut off inside an element"
}

func (e *Error) Error() string { return "byte " + strconv.Itoa(e.Offset) + ": " + e.What }

// Parse reads one stanza into m, which is reset first: its slices are used
// again, and one without elements is nil. The root may be in no namespace, in
// jabber:client, jabber:server or jabber:component:accept, and body, subject,
// thread and error must be in the same one.
//
// Texts that are among known are taken from there: a row says much of what its
// stanza says in columns, and need not hold it twice.
//
// The error is an *Error. What was complete before the damage is in m all the
// same: of a start tag that is cut off, the attributes before the cut.
func (m *Message) Parse(raw []byte, known ...string) error {
	*m = Message{Bodies: m.Bodies[:0], Subjects: m.Subjects[:0], Reactions: m.Reactions[:0],
		Files: m.Files[:0], StanzaIDs: m.StanzaIDs[:0]}
	p := parsers.Get().(*parser)
	p.begin(m, raw)
	p.known = known
	p.run()
	m.settle()
	at, what := p.at, p.what
	parsers.Put(p)
	if what != "" {
		return &Error{at, what}
	}
	return nil
}

// StartTagID returns the id attribute from the start of raw as Parse would,
// for callers that need nothing else.
func StartTagID(raw []byte) string {
	p := parsers.Get().(*parser)
	p.begin(nil, raw)
	p.start()
	id := string(p.attr("id"))
	parsers.Put(p)
	return id
}

// settle ends the reading of m, whole or not.
func (m *Message) settle() {
	if m.Forwarded != nil {
		m.Forwarded.settle()
	}
	if m.Encrypted == "" && len(m.Bodies) > 0 && isOTR(m.Bodies[0].Text) {
		m.Encrypted = "OTR"
	}
	m.Bodies, m.Subjects, m.Reactions = orNil(m.Bodies), orNil(m.Subjects), orNil(m.Reactions)
	m.Files, m.StanzaIDs = orNil(m.Files), orNil(m.StanzaIDs)
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// isStanzas tells whether stanzas may be in the namespace sp.
func isStanzas(sp space) bool {
	return sp == spaceNone || sp == spaceClient || sp == spaceServer || sp == spaceComponent
}

// attributes takes those of the <message/> start tag read last.
func (p *parser) attributes(m *Message) {
	for _, a := range p.attrs {
		value := p.valueBytes(a)
		switch string(p.raw[a.name.start:a.name.end]) {
		case "from":
			m.From = p.string(value)
		case "to":
			m.To = p.string(value)
		case "id":
			m.ID = p.string(value)
		case "type":
			m.Type = typeName(value)
		case "xml:lang":
			m.Lang = string(value)
		}
	}
}

// typeName is string(b), without making one for the types of RFC 6121 section
// 5.2.2.
func typeName(b []byte) string {
	for _, known := range []string{"chat", "groupchat", "normal", "headline", "error"} {
		if string(b) == known {
			return known
		}
	}
	return string(b)
}

// trim is bytes.TrimSpace for the blanks of XML, as a string.
func trim(b []byte) string { return string(bytes.Trim(b, " \t\r\n")) }
