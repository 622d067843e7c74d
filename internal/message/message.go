package message

import "time"

// Status says what became of a row.
type Status uint8

const (
	OK         Status = iota // opened, and the key is certain
	Plain                    // was not encrypted
	Unverified               // opened, but the key is not certain
	Damaged                  // encrypted with a key at hand, and broken
	NoKey                    // no key at hand opens it
	NumStatus
)

var statusNames = [NumStatus]string{"ok", "plain", "unverified", "damaged", "no-key"}

// String returns the name that results carry.
func (s Status) String() string { return statusNames[s] }

// Readable tells whether the row's text could be read.
func (s Status) Readable() bool { return s <= Unverified }

// Kind says what a message does.
type Kind uint8

const (
	Chat       Kind = iota // type chat
	Normal                 // type normal, or none (RFC 6121 section 5.2.2)
	Groupchat              // said in a room
	Headline               // type headline
	ErrorKind              // type error: a message that came back
	Correction             // replaces an earlier one (XEP-0308)
	Retraction             // takes an earlier one back (XEP-0424, XEP-0425)
	Reaction               // reacts to an earlier one (XEP-0444)
	Topic                  // changes the subject of a room (XEP-0045 section 8.1)
	Signal                 // no text: typing, receipts, markers, nothing
	File                   // a file sent through the server (managed file transfer)
	numKinds
)

var kindNames = [numKinds]string{"chat", "normal", "groupchat", "headline", "error", "correction", "retraction", "reaction", "topic", "signal", "file"}

// String returns the name that results carry.
func (k Kind) String() string { return kindNames[k] }

// KindOf reads the first letter of a stanza's type (RFC 6121 section 5.2.2),
// which is also what Cisco's MSG_TYPE holds. What is no type is Normal.
func KindOf(letter byte) Kind {
	switch letter {
	case 'c':
		return Chat
	case 'g':
		return Groupchat
	case 'h':
		return Headline
	case 'e':
		return ErrorKind
	}
	return Normal
}

// Direction is which way a row's message went through the archiving server.
type Direction byte

const (
	In  Direction = 'I' // to a local user's client
	Out Direction = 'O' // from a local user's client
)

// Text is a text that may be absent, which is not the same as empty.
type Text struct {
	Text  string
	Valid bool
}

// Message is one row, opened.
type Message struct {
	Source string // file or database; "" where there is but one
	Row    int64  // number of the row in its source, from 1
	Table  string // TC_MSGARCHIVE or AFT_LOG; "" for JM

	Time      time.Time // UTC, to the millisecond; zero if the archive's text is no date
	From, To  JID       // the columns
	Subject   Text      // the column
	Thread    Text      // the column
	Kind      Kind
	Room      bool // said in a room, whatever Kind says
	Direction Direction
	History   bool // a replay

	Body       Text // what BODY_STRING or BODY_TEXT says, byte for byte
	StanzaBody Text // the <body/> of the stanza
	StanzaRead bool // the stanza could be read, so that what it does not say is not there

	StanzaID  string    // id attribute of the stanza, also of a cut one
	RefersTo  string    // id of the message that this one corrects, retracts or reacts to
	Reactions []string  // XEP-0444
	Files     []string  // addresses of files sent along (XEP-0066)
	Delayed   time.Time // XEP-0203: when it was really sent; zero without
	Encrypted string    // method of end-to-end encryption, "" without

	// A carbon copy (XEP-0280) is the server's message to a client about
	// another message. StanzaBody, StanzaID and so on are the inner one's.
	Carbon               bool
	CarbonFrom, CarbonTo JID // addresses of the inner message

	StanzaSubject string // <subject/> of the stanza, where the column has none

	// Addresses of the stanza, where the column cannot be read.
	StanzaFrom, StanzaTo JID

	// Of a row of TC_MSGARCHIVE, which knows the sender by both: From is his
	// address and Nick the occupant's, room@service/nick.
	Nick JID

	// RoomWas is the bare address of the room in this row, where the room has
	// been moved since; From or To are compared by the current one.
	RoomWas string

	// NickOwner is the bare address of who had the nick of the sender when the
	// table of occupants was read, "" if nobody knows.
	NickOwner string

	Status Status
	Reason string // why the status is what it is; may be empty for OK and Plain
	Key    string // fingerprint of the key that opened it, "" if none did
}

// Origin is where a row came from.
type Origin struct {
	Source string
	Row    int64
}

// Origin returns where the row came from.
func (m *Message) Origin() Origin { return Origin{m.Source, m.Row} }

// Sender returns the address that the row comes from, as far as it is known.
func (m *Message) Sender() JID {
	if m.From.Raw == "" {
		return m.StanzaFrom
	}
	return m.From
}

// Recipient returns the address that the row went to, as far as it is known.
func (m *Message) Recipient() JID {
	if m.To.Raw == "" {
		return m.StanzaTo
	}
	return m.To
}

// ToRoom tells whether a message in a room is one on its way to the room, not
// one that the room sent on: then the room is the recipient. Where nobody says
// which way the row went, what goes to a room goes to its bare address, and what
// a room sends on goes to the occupant's full one (XEP-0045 section 7.4).
func (m *Message) ToRoom() bool {
	switch {
	case m.Table != "": // TC_MSGARCHIVE names the sender by his address
		return true
	case !m.Room || m.Sender().NickIsAddress():
		return false
	}
	return m.Direction == Out || m.Direction == 0 && m.Recipient().Bare != "" && m.Recipient().Resource == ""
}

// SettleKind tells messages that say something from those that do not, once
// everything else about m is known. hasSubject says that the stanza has a
// subject, perhaps an empty one.
func (m *Message) SettleKind(hasSubject bool) {
	switch m.Kind {
	case ErrorKind, Correction, Retraction, Reaction, File:
		return
	}
	if text, _ := m.Shown(); text.Text != "" || len(m.Files) > 0 || m.Encrypted != "" || !m.Status.Readable() && !m.StanzaRead {
		return
	}
	if m.Room && (hasSubject || m.Subject.Text != "") {
		m.Kind = Topic
		return
	}
	m.Kind = Signal
}

// Shown returns the text to show and where it comes from: "body" for the
// body column, "stanza", or "" when there is none.
func (m *Message) Shown() (Text, string) {
	switch {
	case m.Body.Valid && m.Body.Text != "":
		return m.Body, "body"
	case m.StanzaBody.Valid && m.StanzaBody.Text != "":
		return m.StanzaBody, "stanza"
	case m.Body.Valid:
		return m.Body, "body"
	}
	return Text{}, ""
}
