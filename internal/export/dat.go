package export

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// The delimiters of a Concordance load file, and what stands between several
// values in one field.
const (
	datSeparator = "\x14"
	datQualifier = "þ"
	datNewline   = "®"
	datMulti     = ";"
)

// datHeader names the columns. Concordance takes names of up to 12 letters,
// digits and underscores.
var datHeader = []string{"DOCID", "PARENTID", "CONVID", "CONVNAME", "SLICE", "LOCALDATE", "LOCALTIME", "UTCOFFSET", "TIME",
	"FROM", "FROMNAME", "TO", "TONAME", "ROOM", "NICK", "PEOPLE", "PEOPLENAMES", "KIND", "STANZAID", "REFERSTO", "THREAD", "SUBJECT",
	"BODY", "BODYFROM", "REACTIONS", "FILES", "RECIPIENTS", "RECIPNAMES", "DIRECTION", "COPIES", "HISTORY", "STATUS", "REASON", "KEY",
	"TABLE", "ROW", "ALTERED"}

// DAT writes a Concordance load file (docs/format/exports.md): UTF-8 with a byte
// order mark, one line for each message.
type DAT struct {
	w       *bufio.Writer
	look    Look
	header  bool
	line    []byte
	altered bool // a letter of the line had to be replaced
}

// NewDAT returns a writer to w.
func NewDAT(w io.Writer, look Look) *DAT {
	return &DAT{w: bufio.NewWriterSize(w, 256<<10), look: look}
}

// datEvent is an event in the order of time, with what it is about.
type datEvent struct {
	*Event
	about *Event
}

// Write writes the messages of one slice, in the order of time: an edit, a
// retraction and a reaction have lines of their own.
func (d *DAT) Write(s *Slice) error {
	d.begin()
	var events []datEvent
	for e, about := range s.each() {
		events = append(events, datEvent{e, about})
	}
	slices.SortStableFunc(events, func(a, b datEvent) int { return a.Time.Compare(b.Time) })
	ids := make(map[*Event]string, len(events))
	for i, e := range events {
		ids[e.Event] = fmt.Sprintf("%s-%06d", s.ID(), i+1)
	}
	c := newCast(s, &d.look)
	names := make([]string, len(c.actors))
	for i, a := range c.actors {
		names[i] = a.name
	}
	common := datSlice{collection: s.collection(), conversation: d.look.conversation(s), name: s.Name(), cast: c}
	d.line, d.altered = d.line[:0], false
	d.list(s.People)
	d.list(names)
	common.people, common.altered = slices.Clone(d.line), d.altered
	for _, e := range events {
		if err := d.event(&common, &e, ids); err != nil {
			return err
		}
	}
	return nil
}

// datSlice is what all lines of a slice share.
type datSlice struct {
	collection, conversation, name string
	cast                           *cast
	people                         []byte // the finished fields PEOPLE and PEOPLENAMES
	altered                        bool   // of these
}

func (d *DAT) event(common *datSlice, e *datEvent, ids map[*Event]string) error {
	r := &e.Record
	d.line, d.altered = d.line[:0], common.altered
	d.field(ids[e.Event])
	d.field(ids[e.about])
	d.field(common.collection)
	d.field(common.conversation)
	d.field(common.name)
	date, clock, offset := "", "", ""
	if d.look.dated(e.Time) {
		local := e.Time.In(d.look.zone())
		date, clock, offset = local.Format(time.DateOnly), local.Format("15:04:05.000"), local.Format("-07:00")
	}
	d.field(date)
	d.field(clock)
	d.field(offset)
	d.field(value(r.Time))
	d.field(value(r.From))
	from := ""
	if a := common.cast.of(r); a != nil {
		from = a.name
	}
	d.field(from)
	d.field(value(r.To))
	to := ""
	if r.To != nil {
		to = d.look.person(*r.To)
	}
	d.field(to)
	d.field(value(r.Room))
	d.field(value(r.Nick))
	d.line = append(d.line, datSeparator...)
	d.line = append(d.line, common.people...)
	d.field(r.Kind)
	d.field(value(r.StanzaID))
	d.field(value(r.RefersTo))
	d.field(value(r.Thread))
	d.field(value(r.Subject))
	d.field(value(r.Body))
	d.field(value(r.BodyFrom))
	d.list(r.Reactions)
	d.list(r.Files)
	d.list(r.Recipients)
	names := make([]string, len(r.Recipients))
	for i, address := range r.Recipients {
		names[i] = d.look.person(address)
	}
	d.list(names)
	d.field(value(r.Direction))
	d.field(strconv.Itoa(r.Copies))
	d.field(strconv.FormatBool(r.History))
	d.field(r.Status)
	d.field(value(r.Reason))
	d.field(value(r.Key))
	d.field(r.Table)
	d.field(r.Row)
	d.field(strconv.FormatBool(d.altered))
	d.line = append(d.line, '\r', '\n')
	_, err := d.w.Write(d.line)
	return err
}

// field appends a field.
func (d *DAT) field(text string) {
	d.open()
	d.text(text, false)
	d.line = append(d.line, datQualifier...)
}

// list appends a field of several values.
func (d *DAT) list(values []string) {
	d.open()
	for i, v := range values {
		if i > 0 {
			d.line = append(d.line, datMulti...)
		}
		d.text(v, true)
	}
	d.line = append(d.line, datQualifier...)
}

// open begins a field.
func (d *DAT) open() {
	if len(d.line) > 0 {
		d.line = append(d.line, datSeparator...)
	}
	d.line = append(d.line, datQualifier...)
}

// text appends a text with the letters replaced that the format needs for
// itself; in a list that is the semicolon too. Concordance has no way to escape them: doubled qualifiers are read by
// some programs and break others.
func (d *DAT) text(s string, list bool) {
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f && c != datMulti[0] {
			d.line = append(d.line, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == '\r' && i < len(s) && s[i] == '\n': // one line end with what follows
		case r == '\n', r == '\r', r == 0x85, r == 0x2028, r == 0x2029:
			d.line = append(d.line, datNewline...)
		case r == '\t', r == ';' && !list:
			d.line = append(d.line, byte(r))
		default:
			put := r
			switch {
			case r < ' ':
				put = 0x2400 + r // the picture of the control character
			case r == 0x7f:
				put = 0x2421
			case r == 'þ':
				put = 'Þ' // the same letter: searches ignore case
			case r == '®':
				put = 'Ⓡ'
			case r == ';':
				put = '；'
			}
			d.altered = d.altered || put != r || r == utf8.RuneError && n == 1
			d.line = utf8.AppendRune(d.line, put)
		}
	}
}

// begin writes the byte order mark and the header, once.
func (d *DAT) begin() {
	if d.header {
		return
	}
	d.header = true
	d.line = d.line[:0]
	for _, name := range datHeader {
		d.field(name)
	}
	_, _ = d.w.WriteString("\ufeff") // buffered: an error shows at the next write
	_, _ = d.w.Write(append(d.line, '\r', '\n'))
}

// Close writes out what is buffered; the file stays open. An export without
// messages has a header.
func (d *DAT) Close() error {
	d.begin()
	return d.w.Flush()
}
