package sample

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// rowOf is what one row is made of.
type rowOf struct {
	to, from, kind, direction, thread string
	u                                 *Utterance
	extra                             string // further elements of the stanza
	history                           bool
}

// escape writes text for XML by hand, apart from any library that the reader
// could share.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;").Replace(text)
}

// row adds a row, still in plain text.
func (m *maker) row(utterance int, r rowOf) {
	kind := map[string]string{"c": "chat", "g": "groupchat"}[r.kind]
	var b strings.Builder
	fmt.Fprintf(&b, "<message to='%s' from='%s' type='%s'", escape(r.to), escape(r.from), kind)
	if r.u.ID != "" {
		fmt.Fprintf(&b, " id='%s'", r.u.ID)
	}
	b.WriteString(">")
	if r.u.Text != "" {
		b.WriteString("<body>" + escape(r.u.Text) + "</body>")
	}
	if r.thread != NULL {
		b.WriteString("<thread>" + r.thread + "</thread>")
	}
	b.WriteString(r.extra + "</message>")
	stanza, body := b.String(), r.u.Text

	row := Row{Time: m.now.Add(time.Duration(m.IntN(900)) * time.Millisecond).Truncate(time.Millisecond),
		Status: "plain", Key: -1, To: r.to, From: r.from, Body: body, StanzaBody: NULL, StanzaID: r.u.ID, Utterance: utterance, delivered: r.to}
	if r.u.Text != "" {
		row.StanzaBody = body
	}
	history := "N"
	if r.history {
		history = "H"
	}
	row.Cells = [14]string{r.to, r.from, row.Time.Format("2006-01-02 15:04:05.000"), NULL, r.thread, r.kind, r.direction,
		fmt.Sprint(utf8.RuneCountInString(body)), fmt.Sprint(utf8.RuneCountInString(stanza)), body, stanza, NULL, NULL, history}
	m.a.Rows = append(m.a.Rows, row)
}

func bare(address string) string {
	address, _, _ = strings.Cut(address, "/")
	return strings.ToLower(address)
}

// Cells of a Row.
const (
	toJID = iota
	fromJID
	_
	_
	_
	_
	_
	_
	_
	bodyString
	messageString
	bodyText
	messageText
)

// epoch is a stretch of time under one key; key -1 is plain, 3 the lost one.
type epoch struct {
	share    int // of all time, in percent
	key      int
	jidsOpen bool // the addresses are stored plain
}

// epochs: plain rows are a tenth, in two stretches, since encryption has to be
// switched off before a node is added.
var epochs = []epoch{{5, -1, false}, {25, 0, false}, {5, -1, false}, {20, 1, true}, {15, 3, false}, {30, 2, false}}

// encrypt turns the plain rows into what the archiver stores, and damages some.
func (m *maker) encrypt(begin time.Time) {
	span := m.now.Sub(begin) + time.Second
	for i := range m.a.Rows {
		r := &m.a.Rows[i]
		at := int(r.Time.Sub(begin) * 100 / span)
		e := epochs[len(epochs)-1]
		for _, next := range epochs {
			if at -= next.share; at < 0 {
				e = next
				break
			}
		}
		m.store(r, e)
	}
}

func (m *maker) store(r *Row, e epoch) {
	if e.key >= 0 {
		key := m.a.Lost
		r.Status, r.Key = "no-key", -1
		if e.key < 3 {
			key, r.Status, r.Key = m.a.Keys[e.key], "ok", e.key
		}
		for _, c := range []int{toJID, fromJID, bodyString, messageString} {
			if r.Cells[c] != "" && !(e.jidsOpen && c <= fromJID) {
				r.Cells[c] = key.Value(r.Cells[c])
			}
		}
		if e.key == 3 {
			r.To, r.From, r.Body, r.StanzaBody, r.StanzaID = "", "", NULL, NULL, ""
			if r.Cells[bodyString] == "" {
				r.Body = ""
			}
		} else if m.IntN(100) == 0 {
			m.damage(r)
		}
	}
	for short, long := range map[int]int{bodyString: bodyText, messageString: messageText} {
		if len(r.Cells[short]) > 4000 {
			r.Cells[short], r.Cells[long] = NULL, r.Cells[short]
		}
	}
}

// damage spoils one cell of an encrypted row.
func (m *maker) damage(r *Row) {
	cell := []int{bodyString, messageString, messageString, toJID}[m.IntN(4)]
	if r.Cells[cell] == "" || cell == toJID && strings.Contains(r.Cells[cell], "@") {
		return
	}
	raw, err := base64.StdEncoding.DecodeString(r.Cells[cell])
	if err != nil {
		panic(err) // cannot happen: Value wrote it
	}
	first := false
	switch m.IntN(4) {
	case 0: // a bit of the first block
		raw[m.IntN(16)] ^= 1 << m.IntN(8)
		first = true
		r.Cells[cell] = base64.StdEncoding.EncodeToString(raw)
	case 1: // a bit of the last block
		raw[len(raw)-1-m.IntN(16)] ^= 1 << m.IntN(8)
		first = len(raw) == 16
		r.Cells[cell] = base64.StdEncoding.EncodeToString(raw)
	case 2: // the last block is gone
		if len(raw) < 48 {
			return
		}
		r.Cells[cell] = base64.StdEncoding.EncodeToString(raw[:len(raw)-16])
	case 3: // some characters are gone
		if len(raw) < 64 {
			return
		}
		r.Cells[cell] = r.Cells[cell][:len(r.Cells[cell])-6]
	}
	r.Status = "damaged"
	switch cell {
	case bodyString:
		r.Body = NULL
	case toJID:
		r.To = ""
	case messageString:
		r.StanzaBody, r.stanzaLost = NULL, true
		if first {
			r.StanzaID = ""
		}
	}
}

// finish works out what is left of every utterance.
func (m *maker) finish() {
	for i := range m.a.Utterances {
		m.a.Utterances[i].Recipients = nil
	}
	whole := make([]bool, len(m.a.Utterances)) // a stanza is left that says what the message does
	for i := range m.a.Rows {
		r := &m.a.Rows[i]
		if r.Utterance < 0 || r.Status == "no-key" {
			r.Stray = r.stanzaLost && r.Cells[13] != "H" // a signal that cannot be told from a message
			continue
		}
		u := &m.a.Utterances[r.Utterance]
		if r.stanzaLost && u.Text == "" && r.StanzaID == "" {
			r.Stray = true
			continue
		}
		u.Copies++
		whole[r.Utterance] = whole[r.Utterance] || r.StanzaBody != NULL || u.Text == ""
		if r.Status != "damaged" && u.Time.IsZero() {
			u.Time = r.Time
		}
		if to := bare(r.delivered); r.Cells[6] == "I" && !slices.Contains(u.Recipients, to) {
			u.Recipients = append(u.Recipients, to)
			slices.Sort(u.Recipients)
		}
	}
	for i := range m.a.Utterances {
		if u := &m.a.Utterances[i]; !whole[i] && u.RefersTo != "" {
			u.RefersTo, u.Kind = "", "chat"
			if u.Room != "" {
				u.Kind = "groupchat"
			}
		}
	}
	// Where only damaged rows are left, the earliest of them stands for it.
	for i := range m.a.Rows {
		if r := &m.a.Rows[i]; r.Utterance >= 0 && r.Status == "damaged" && !r.Stray && m.a.Utterances[r.Utterance].Time.IsZero() {
			m.a.Utterances[r.Utterance].Time = r.Time
		}
	}
}
