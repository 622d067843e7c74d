package export

import (
	"strconv"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Record is a message as docs/format/jsonl.md describes it. A nil pointer is
// null: the archive does not say, or it cannot be read.
type Record struct {
	Time       *string  `json:"time"`
	From       *string  `json:"from"`
	To         *string  `json:"to"`
	Room       *string  `json:"room"`
	RoomWas    *string  `json:"room_was,omitempty"`
	Nick       *string  `json:"nick,omitempty"`
	Kind       string   `json:"kind"`
	StanzaID   *string  `json:"stanza_id"`
	RefersTo   *string  `json:"refers_to"`
	Thread     *string  `json:"thread"`
	Subject    *string  `json:"subject"`
	Body       *string  `json:"body"`
	BodyFrom   *string  `json:"body_from"`
	StanzaBody *string  `json:"stanza_body,omitempty"`
	Reactions  []string `json:"reactions,omitempty"`
	Files      []string `json:"files,omitempty"`
	Recipients []string `json:"recipients"`
	Direction  *string  `json:"direction"`
	Copies     int      `json:"copies"`
	History    bool     `json:"history"`
	Status     string   `json:"status"`
	Reason     *string  `json:"reason"`
	Key        *string  `json:"key"`
	Table      string   `json:"table,omitempty"`
	Row        string   `json:"row"`
}

// orNull is s, or nil for an empty text.
func orNull(s *string) *string {
	if *s == "" {
		return nil
	}
	return s
}

func textOrNull(t *message.Text) *string {
	if !t.Valid {
		return nil
	}
	return &t.Text
}

func timeOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(timeLayout)
	return &text
}

// Place names a row: its file and its number in it.
func Place(m *message.Message) string {
	b := make([]byte, 0, 64)
	return string(strconv.AppendInt(append(append(b, m.Source...), ':'), m.Row, 10))
}

// Utterance makes the record of a message and all its copies. It holds no
// texts of its own, and is good as long as u is.
func Utterance(u *transcript.Utterance) (r Record) {
	m := &u.Row
	common(&r, m)
	r.Time = timeOrNull(u.Time)
	r.From, r.To, r.Room, r.Nick = orNull(&u.From), orNull(&u.To), orNull(&u.Room), orNull(&u.Nick)
	r.RoomWas = orNull(&u.RoomWas)
	r.Body, r.BodyFrom = textOrNull(&u.Text), orNull(&u.TextFrom)
	r.Recipients = u.Recipients
	if r.Recipients == nil {
		r.Recipients = []string{}
	}
	r.Direction = orNull(&u.Directions)
	r.Copies = u.Copies
	return r
}

// Row makes the record of one stored row: what its columns say, unaltered. It
// is good as long as m is.
func Row(m *message.Message) (r Record) {
	common(&r, m)
	r.Time = timeOrNull(m.Time)
	r.From, r.To = orNull(&m.From.Raw), orNull(&m.To.Raw)
	r.Body = textOrNull(&m.Body)
	if m.Body.Valid {
		r.BodyFrom = &bodyColumn
	}
	r.StanzaBody = textOrNull(&m.StanzaBody)
	r.Recipients = []string{}
	if m.Direction != 0 {
		direction := string(rune(m.Direction))
		r.Direction = &direction
	}
	r.Copies = 1
	return r
}

// bodyColumn is what Record.BodyFrom of a row says.
var bodyColumn = "body"

func common(r *Record, m *message.Message) {
	*r = Record{
		Kind: m.Kind.String(), StanzaID: orNull(&m.StanzaID), RefersTo: orNull(&m.RefersTo),
		Thread: textOrNull(&m.Thread), Subject: textOrNull(&m.Subject),
		Reactions: m.Reactions, Files: m.Files, History: m.History,
		Status: m.Status.String(), Reason: orNull(&m.Reason), Key: orNull(&m.Key), Table: m.Table, Row: Place(m),
	}
	if r.Subject == nil {
		r.Subject = orNull(&m.StanzaSubject)
	}
}
