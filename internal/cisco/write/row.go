package write

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"archivolt/internal/stanza"
)

// Copy is one copy of a message, as a server hands it over.
type Copy struct {
	Stanza    []byte    // the <message/>
	Time      time.Time // when the server handled it
	Direction byte      // 'I' on its way to a local user, 'O' sent by one, 0 where the server does not say
	Source    string    // where it comes from, for Marks; at most MaxSource bytes
	Number    uint64    // delivery number within Source
}

// Limits of JM's columns, in characters.
const (
	maxJID    = 3071
	maxString = 4000 // of BODY_STRING and MESSAGE_STRING
	maxShort  = 128  // of SUBJECT and THREAD_ID
)

// Columns are JM's, in the documented order, in lower case.
var Columns = []string{"to_jid", "from_jid", "sent_date", "subject", "thread_id", "msg_type", "direction",
	"body_len", "message_len", "body_string", "message_string", "body_text", "message_text", "history_flag"}

// Text is the content of a column: a text, or NULL if it is not Valid.
type Text struct {
	Text  string
	Valid bool
}

// Row is one row of JM as it is stored.
type Row struct {
	ToJID, FromJID            string // encrypted
	SentDate                  time.Time
	Subject, ThreadID         Text // in clear
	MsgType, Direction        byte
	BodyLen, MessageLen       int  // of the plain texts, in characters
	BodyString, MessageString Text // encrypted
	BodyText, MessageText     Text // encrypted, in the place of a String that would be too long
	HistoryFlag               byte
}

// dateForm is how SENT_DATE is written; the column has no zone, and holds UTC.
const dateForm = "2006-01-02 15:04:05.000"

// cells are the row's texts in the order of Columns.
func (r *Row) cells() [14]Text {
	text := func(s string) Text { return Text{s, true} }
	return [14]Text{text(r.ToJID), text(r.FromJID), text(r.SentDate.Format(dateForm)), r.Subject, r.ThreadID,
		text(string(rune(r.MsgType))), text(string(rune(r.Direction))), text(strconv.Itoa(r.BodyLen)), text(strconv.Itoa(r.MessageLen)),
		r.BodyString, r.MessageString, r.BodyText, r.MessageText, text(string(rune(r.HistoryFlag)))}
}

// Options say how copies become rows.
type Options struct {
	// PerMessage leaves out copies of a message that has a row already, as
	// collapse.go says.
	PerMessage bool
	// ClearSubjects fills SUBJECT, which is not encrypted. Otherwise it is NULL,
	// and the subject is in the stanza alone, encrypted like everything else.
	ClearSubjects bool
	// LocalDomains are those of the server's users and rooms, in lower case. They
	// are needed only where the server does not say the direction.
	LocalDomains []string
}

// Cut says that a value did not fit into its column, which holds its beginning.
// The whole is in the stanza.
type Cut struct {
	Source string
	Number uint64
	Column string
}

// Report says what became of copies beside their rows.
type Report struct {
	Cut       []Cut
	Collapsed int // copies left out by Options.PerMessage
}

// Encoder makes rows. It is not safe for concurrent use.
type Encoder struct {
	o Options
	encrypter
	parsed   stanza.Message
	collapse collapser
}

// NewEncoder returns an Encoder for one key.
func NewEncoder(key [KeySize]byte, iv [IVSize]byte, o Options) *Encoder {
	return &Encoder{o: o, encrypter: newEncrypter(key, iv), collapse: newCollapser()}
}

// Fingerprint names the key as cisco.Key does.
func (e *Encoder) Fingerprint() string { return e.fingerprint }

// Rows returns the rows of copies, in their order. With PerMessage the Encoder
// remembers which messages have rows only once Stored is called: of copies that
// were not stored, Rows may be asked again.
func (e *Encoder) Rows(copies []Copy) (rows []Row, report Report, err error) {
	e.collapse.begin()
	rows = make([]Row, 0, len(copies))
	for i := range copies {
		c := &copies[i]
		if c.Time.IsZero() || !slices.Contains([]byte{0, 'I', 'O'}, c.Direction) {
			return nil, Report{}, fmt.Errorf("copy %d of %s has no time, or a direction that is none", c.Number, c.Source)
		}
		_ = e.parsed.Parse(c.Stanza) // what cannot be read is stored whole all the same
		if e.o.PerMessage && e.collapse.known(c, &e.parsed) {
			report.Collapsed++
			continue
		}
		rows = append(rows, e.row(c, &report))
	}
	return rows, report, nil
}

// Stored says that the last Rows are in the archive.
func (e *Encoder) Stored() { e.collapse.commit() }

func (e *Encoder) row(c *Copy, report *Report) Row {
	m := &e.parsed
	cut := func(column string, was bool) {
		if was {
			report.Cut = append(report.Cut, Cut{c.Source, c.Number, column})
		}
	}
	jid := func(column, address string) string {
		text, was := cutBytes(address, mostFor(maxJID))
		cut(column, was)
		return e.value([]byte(text))
	}
	r := Row{ToJID: jid("TO_JID", m.To), FromJID: jid("FROM_JID", m.From), MsgType: msgType(m.Type), Direction: c.Direction, HistoryFlag: 'N'}
	if r.Direction == 0 {
		r.Direction = e.guess(m)
	}
	if r.Direction == 'I' && isReplay(m) {
		r.HistoryFlag = 'H'
	}
	var was bool
	r.SentDate, was = sentDate(c.Time)
	cut("SENT_DATE", was)
	if subject, ok := m.Subject(); ok && e.o.ClearSubjects {
		r.Subject.Text, was = cutUnits(subject)
		r.Subject.Valid = true
		cut("SUBJECT", was)
	}
	if m.Thread != "" {
		r.ThreadID.Text, was = cutUnits(m.Thread)
		r.ThreadID.Valid = true
		cut("THREAD_ID", was)
	}
	if body, ok := m.Body(); ok {
		r.BodyLen = utf8.RuneCountInString(body)
		r.BodyString, r.BodyText = e.split([]byte(body))
	}
	r.MessageLen = utf8.RuneCount(c.Stanza)
	r.MessageString, r.MessageText = e.split(c.Stanza)
	return r
}

// split encrypts a text and puts it where it fits. What decides is the length
// of what is stored: a value of more than 4000 characters has no place in a
// column of 4000.
func (e *Encoder) split(text []byte) (short, long Text) {
	v := Text{e.value(text), true}
	if len(v.Text) > maxString {
		return Text{}, v
	}
	return v, Text{}
}

// msgType is the first letter of the type (RFC 6121 section 5.2.2): what is
// none of the five counts as normal.
func msgType(t string) byte {
	switch t {
	case "chat", "groupchat", "headline", "error":
		return t[0]
	}
	return 'n'
}

// guess is the direction where the server does not say it. Who sends from
// abroad sends to a local user; who is abroad is sent to by one. Between local
// addresses, a message has its recipient's client in it once it is delivered;
// before that mostly his address alone, and in a message to a room always.
func (e *Encoder) guess(m *stanza.Message) byte {
	_, client := bare(m.To)
	from, to := e.isLocal(m.From), e.isLocal(m.To)
	switch {
	case from && !to:
		return 'O'
	case to && !from:
		return 'I'
	case client == "":
		return 'O'
	}
	return 'I'
}

func (e *Encoder) isLocal(address string) bool {
	address, _ = bare(address)
	return slices.Contains(e.o.LocalDomains, address[strings.LastIndexByte(address, '@')+1:])
}

// isReplay tells whether a room pushes a message of its past to somebody who
// has come in (XEP-0045 section 7.2.13): it is delayed by the room itself, and
// for one client. What a sender writes into a message to a room looks
// otherwise, so that nobody can make his own messages pass for replays: they
// are archived as he sends them too.
func isReplay(m *stanza.Message) bool {
	if m.Type != "groupchat" || m.Delay == nil {
		return false
	}
	room, _ := bare(m.From)
	by, _ := bare(m.Delay.From)
	_, client := bare(m.To)
	return by == room && client != ""
}

// bare cuts an address (RFC 7622 section 3.1) before its resource, and writes
// it in lower case.
func bare(address string) (local, resource string) {
	address, resource, _ = strings.Cut(address, "/")
	return strings.ToLower(address), resource
}

// What SQL Server's datetime holds, the narrowest of the types.
var (
	firstDate = time.Date(1753, 1, 1, 0, 0, 0, 0, time.UTC)
	lastDate  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func sentDate(t time.Time) (date time.Time, cut bool) {
	t = t.UTC().Truncate(time.Millisecond)
	switch {
	case t.Before(firstDate):
		return firstDate, true
	case t.After(lastDate):
		return lastDate, true
	}
	return t, false
}

// cutBytes cuts a text after most bytes, between characters.
func cutBytes(text string, most int) (begin string, cut bool) {
	if len(text) <= most {
		return text, false
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most], true
}

// cutUnits cuts a text for a column of maxShort characters, by the narrowest
// count: SQL Server's characters are UTF-16 code units.
func cutUnits(text string) (begin string, cut bool) {
	text = storable(text)
	units := 0
	for i, r := range text {
		if units += utf16.RuneLen(r); units > maxShort {
			return text[:i], true
		}
	}
	return text, false
}

// storable is text with what no database takes as text replaced: a value that
// is refused would hold up all that follow it.
func storable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
}

// afterStartTag is what follows the start tag of a stanza, all of it if there is
// no such tag.
func afterStartTag(raw []byte) []byte {
	var quote byte
	for i, c := range raw {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return raw[i+1:]
		}
	}
	return raw
}
