package cisco

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"archivolt/internal/message"
	"archivolt/internal/stanza"
)

// Neighbours tells what is known of the rows next to a row in time. It settles
// what the row cannot settle by itself.
type Neighbours struct {
	Before, After string // fingerprint of the key that opened the row; "" where none did
}

// Both returns the key that opened both neighbours, or "".
func (n Neighbours) Both() string {
	if n.Before == n.After {
		return n.Before
	}
	return ""
}

// Decoder opens rows: it finds out for each value whether it is encrypted, and
// for each row under which key. It is not safe for concurrent use.
//
// The rules (docs/format/cisco.md): a JID cell with "@" and a stanza cell that
// begins with "<" are plain. The key of a row is settled by its strongest
// value, the stanza before the JIDs before the body, and never by the padding
// alone. One block without such an anchor, or a value that two keys open, is
// unverified. What no key opens is damaged only if something else says that
// the key is at hand, otherwise it has no key.
type Decoder struct {
	keys  []*keyState
	spare struct{ cipher, plain []byte }
	jids  map[string]*jidEntry
	st    stanza.Message
	known []string // what the row's columns say, for the stanza to say again
	last  struct{ body, thread, subject string }
	start [minCiphertext / 4 * 3]byte // of the stanza, for Glance

	settled map[string]string // one-block ciphertexts settled elsewhere: to fingerprints
	lone    []byte            // body of the last row, if it is one block without an anchor
}

type keyState struct {
	*Decrypter
	fingerprint string
}

// jidEntry remembers what a JID cell is: conversations repeat their addresses,
// and with one iv a repeated address has one ciphertext.
type jidEntry struct {
	jid message.JID
	key *keyState // nil for a plain one

	shut bool // a ciphertext that no key opens as an address
}

// maxJIDs bounds the addresses remembered by a Decoder.
const maxJIDs = 10_000

// NewDecoder makes a Decoder that tries the given keys, which may be none.
func NewDecoder(list ...*Key) *Decoder {
	d := &Decoder{jids: map[string]*jidEntry{}}
	seen := map[string]bool{}
	for _, k := range list {
		if fp := k.Fingerprint(); !seen[fp] {
			seen[fp] = true
			d.keys = append(d.keys, &keyState{Decrypter: k.NewDecrypter(), fingerprint: fp})
		}
	}
	return d
}

// SetSettled gives the decoder short ciphertexts whose key other rows have
// settled (Survey.Settled).
func (d *Decoder) SetSettled(settled map[string]string) { d.settled = settled }

// Glance tells what the first bytes of the stanza show: that the row is plain,
// or which key it was encrypted with. Where they show neither, plain is false
// and the fingerprint empty, and only Decode can tell.
func (d *Decoder) Glance(row *Row) (plain bool, fingerprint string) {
	if row.Problem != "" {
		return false, ""
	}
	_, raw := pick(row, MessageString, MessageText)
	if len(raw) < minCiphertext {
		return false, ""
	}
	if raw[0] == '<' {
		to, from := row.Cells[ToJID], row.Cells[FromJID]
		if _, body := pick(row, BodyString, BodyText); mayBeCiphertext(body) {
			return false, ""
		}
		return bytes.IndexByte(to, '@') >= 0 && bytes.IndexByte(from, '@') >= 0, ""
	}
	if n, err := strict.Decode(d.start[:], raw[:minCiphertext]); err != nil || n < BlockSize {
		return false, ""
	}
	for _, k := range d.keys {
		if k.opensTo(d.start[:], "<message") {
			return false, k.fingerprint
		}
	}
	return false, ""
}

// mayBeCiphertext tells whether a body could be taken for a ciphertext, also
// one that is cut or damaged, of which the beginning is enough: whether it is
// long enough, without a blank, and without a character that no encoding has.
func mayBeCiphertext(body []byte) bool {
	if len(body) < minCiphertext {
		return false
	}
	for i := 0; i < len(body); {
		c := body[i]
		switch {
		case c == ' ':
			return false
		case c < utf8.RuneSelf:
			if foreign[c] {
				return false
			}
			i++
		default:
			r, size := utf8.DecodeRune(body[i:])
			if r != utf8.RuneError && r != '\ufeff' && !unicode.IsSpace(r) {
				return false
			}
			i += size
		}
	}
	return true
}

// LoneBlock returns the ciphertext of the body of the row that Decode opened
// last, if it is a single block and nothing else in the row has a key; a
// reader may look for it elsewhere and tell the result with SetSettled.
func (d *Decoder) LoneBlock() string { return string(d.lone) }

// AnchoredBlock returns the ciphertext of row's body, if it is a single block,
// and the fingerprint of the key that another value of the row proves.
func (d *Decoder) AnchoredBlock(row *Row) (ciphertext, fingerprint string) {
	if _, raw := pick(row, BodyString, BodyText); len(raw) > 2*minCiphertext || row.Problem != "" {
		return "", ""
	}
	r := d.split(row)
	if len(r.body.ciphertext) != BlockSize {
		return "", ""
	}
	if key := d.anchor(&r); key != nil {
		return string(r.body.ciphertext), key.fingerprint
	}
	return "", ""
}

// split takes the four values out of a row.
func (d *Decoder) split(row *Row) (r cells) {
	d.spare.cipher = d.spare.cipher[:0]
	r.body = d.classify(pick(row, BodyString, BodyText))
	r.stanza = d.classify(pick(row, MessageString, MessageText))
	r.to, r.from = d.classify(ToJID, row.Cells[ToJID]), d.classify(FromJID, row.Cells[FromJID])
	return r
}

// Decode opens row into m, which is overwritten. The strings of m are its own.
func (d *Decoder) Decode(row *Row, near Neighbours, m *message.Message) {
	*m = message.Message{Row: row.Number}
	d.plainColumns(row, m)
	if row.Problem != "" {
		m.Status, m.Reason = message.Damaged, "the row cannot be split into its columns ("+row.Problem+")"
		return
	}
	r := d.split(row)
	key := d.settle(&r, near, m)
	if key != nil {
		m.Key = key.fingerprint
	}
	m.To, m.From = d.jid(&r.to, key), d.jid(&r.from, key)
	if r.body.readable() {
		m.Body = message.Text{Text: again(&d.last.body, r.body.plain), Valid: true}
	}
	d.readStanza(&r.stanza, m)
}

// again is string(b), which is often the last one again: rows of one message
// lie close together.
func again(last *string, b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if string(b) != *last {
		*last = string(b)
	}
	return *last
}

// pick returns whichever of two columns holds a value: a text of more than
// 4000 characters lies in the second.
func pick(row *Row, short, long Column) (Column, []byte) {
	if len(row.Cells[short]) == 0 && len(row.Cells[long]) > 0 {
		return long, row.Cells[long]
	}
	return short, row.Cells[short]
}

// plainColumns reads what is never encrypted.
func (d *Decoder) plainColumns(row *Row, m *message.Message) {
	if t, ok := ParseSentDate(row.Cells[SentDate]); ok {
		m.Time = t
	}
	optional := func(c Column, last *string) message.Text {
		return message.Text{Text: again(last, row.Cells[c]), Valid: row.Cells[c] != nil}
	}
	m.Subject, m.Thread = optional(Subject, &d.last.subject), optional(ThreadID, &d.last.thread)
	if c := row.Cells[MsgType]; len(c) > 0 {
		m.Kind = message.KindOf(c[0] | 0x20)
	} else {
		m.Kind = message.Normal
	}
	m.Room = m.Kind == message.Groupchat
	if c := row.Cells[NickJID]; c != nil {
		m.Table, m.Nick = "TC_MSGARCHIVE", message.ParseJID(string(c))
	}
	if c := row.Cells[RealFilename]; c != nil {
		m.Table, m.Kind = "AFT_LOG", message.File
		m.Files = append(m.Files, string(c)+" ("+string(row.Cells[FileSize])+" bytes)")
	}
	if c := row.Cells[Direction]; len(c) == 1 {
		m.Direction = message.Direction(c[0] &^ 0x20)
	}
	if m.Kind == message.File && m.Direction == message.In { // a download is nothing said
		m.Kind, m.Files = message.Signal, nil
	}
	m.History = bytes.EqualFold(row.Cells[HistoryFlag], []byte("H"))
}
