package export

import (
	"iter"
	"strconv"
	"strings"
	"time"

	"archivolt/internal/message"
)

// talk is a slice as people read it, in text and in HTML. All its texts are
// visible and all but the bodies fit into one line.
type talk struct {
	slice      *Slice
	look       *Look
	cast       *cast
	ids        map[string]string // event id (E1, ...) of each stanza id that has passed
	references bool              // views tell where in the archive a message lies
}

// remark is one line of ours below a message, followed by a text of hers.
type remark struct {
	Text   string
	Quoted string // what somebody wrote, perhaps in several lines; may be empty
	Struck bool   // Quoted was replaced
}

// view is one event.
type view struct {
	Stamp      string // time in the zone, or "no date"
	Who        string
	Body       string
	Generated  bool // Body says in our words what happened
	Retracted  bool
	Remarks    []remark
	References []string
}

func newTalk(s *Slice, look *Look, references bool) *talk {
	return &talk{slice: s, look: look, cast: newCast(s, look), ids: map[string]string{}, references: references}
}

// heading is what stands above the first message.
func (t *talk) heading() (lines []string) {
	if t.look.Title != "" {
		lines = append(lines, "Case: "+oneLine(t.look.Title))
	}
	name := oneLine(t.look.conversation(t.slice))
	if room := oneLine(t.slice.Room); room != "" && room != name {
		name += " (" + room + ")"
	}
	lines = append(lines, "Conversation: "+name)
	day := t.slice.day()
	if !t.slice.Day.IsZero() {
		day = t.slice.Day.Format("Monday, ") + day
	}
	lines = append(lines, "Day: "+day+"; times are in the zone "+t.look.zone().String(),
		"Messages: "+strconv.Itoa(len(t.slice.Events)))
	for _, a := range t.cast.actors {
		line := "Participant: " + a.shown
		if address := oneLine(a.address); address != "" && address != a.shown {
			line += " <" + address + ">"
		}
		lines = append(lines, line)
	}
	return lines
}

// clock is a time of the day as people read it; the zone's short name tells the
// hour that comes twice in autumn apart.
func (t *talk) clock(at time.Time) string {
	if !t.look.dated(at) {
		return "no date"
	}
	return at.In(t.look.zone()).Format("15:04:05 MST")
}

// views goes through the events.
func (t *talk) views() iter.Seq[*view] {
	return func(yield func(*view) bool) {
		clear(t.ids)
		for i, e := range t.slice.Events {
			body, generated := t.body(e)
			v := &view{Stamp: t.clock(e.Time), Who: t.cast.shown(&e.Record), Body: visible(body), Generated: generated, Retracted: e.Retracted != nil}
			t.remarks(v, e)
			t.pass(i, e)
			if !yield(v) {
				return
			}
		}
	}
}

// pass notes the stanza ids of event i, for those that come later.
func (t *talk) pass(i int, e *Event) {
	id := "E" + strconv.Itoa(i+1)
	for _, x := range e.Edits {
		if x.Record.StanzaID != nil {
			t.ids[*x.Record.StanzaID] = id
		}
	}
	if e.Record.StanzaID != nil {
		t.ids[*e.Record.StanzaID] = id
	}
}

// body is the text of an event as it stood at the end of the day, or, where
// nothing was said or nothing can be read, a text of ours that says so.
func (t *talk) body(e *Event) (text string, generated bool) {
	r := &e.Record
	for i := len(e.Edits) - 1; i >= 0; i-- {
		if b := e.Edits[i].Record.Body; b != nil {
			return *b, false
		}
	}
	switch {
	case isUnread(r):
		return "[this row cannot be read: " + value(r.Reason) + "]", true
	case r.Kind == message.Topic.String():
		return "[set the subject of the room: " + value(r.Subject) + "]", true
	case r.Kind == message.Reaction.String():
		if len(r.Reactions) == 0 {
			return "[withdrew all reactions to " + t.target(r) + "]", true
		}
		return "[reacted " + strings.Join(r.Reactions, " ") + " to " + t.target(r) + "]", true
	case r.Kind == message.Retraction.String():
		return "[took back " + t.target(r) + "]", true
	case r.Body != nil:
		return *r.Body, false
	case len(r.Files) > 0:
		return "", true
	}
	return "[no text in the archive]", true
}

// target says in words which message a record is about that stands by itself.
func (t *talk) target(r *Record) string {
	switch id := value(r.RefersTo); {
	case id == "":
		return "a message that the archive does not name"
	case t.ids[id] != "":
		return "the message with the stanza id " + id
	default:
		return "a message that is not in this file, stanza id " + id
	}
}

// note says what is particular about an event that stands by itself, "" if nothing is.
func (t *talk) note(r *Record) string {
	if r.Kind == message.Correction.String() {
		if t.ids[value(r.RefersTo)] != "" {
			return "meant as a correction, by another sender, of " + t.target(r)
		}
		return "correction of " + t.target(r)
	}
	return ""
}

// trouble says why a record is not certain, "" if it is.
func trouble(r *Record) string {
	if r.Status == message.OK.String() || r.Status == message.Plain.String() {
		return ""
	}
	if r.Reason == nil {
		return "status " + r.Status
	}
	return "status " + r.Status + ": " + oneLine(*r.Reason)
}

func (t *talk) remarks(v *view, e *Event) {
	add := func(text, quoted string, struck bool) {
		v.Remarks = append(v.Remarks, remark{text, visible(quoted), struck})
	}
	r := &e.Record
	if note := t.note(r); note != "" {
		add(oneLine(note), "", false)
	}
	if r.Subject != nil && *r.Subject != "" && r.Kind != message.Topic.String() {
		add("subject: "+oneLine(*r.Subject), "", false)
	}
	for _, f := range r.Files {
		add("file, not in the archive: "+oneLine(f), "", false)
	}
	if why := trouble(r); why != "" && !isUnread(r) {
		add(why, "", false)
	}
	doubt := func(x *Event) string {
		if why := trouble(&x.Record); why != "" {
			return " (" + why + ")"
		}
		return ""
	}
	before := r.Body
	for _, x := range e.Edits {
		did := t.clock(x.Time) + " " + t.cast.shown(&x.Record)
		if x.Record.Body == nil {
			add(did+" edited this message; the new text cannot be read"+doubt(x), "", false)
			continue
		}
		if before == nil {
			add(did+" edited this message"+doubt(x)+"; the text before cannot be read", "", false)
		} else {
			add(did+" edited this message"+doubt(x)+"; before, it read:", *before, true)
		}
		before = x.Record.Body
	}
	if x := e.Retracted; x != nil {
		add(t.clock(x.Time)+" "+t.cast.shown(&x.Record)+" took this message back; the archive still has it"+doubt(x), "", false)
	}
	for _, x := range e.Reactions {
		did := "reacted: " + oneLine(strings.Join(x.Record.Reactions, " "))
		if len(x.Record.Reactions) == 0 {
			did = "withdrew all reactions"
		}
		add(t.clock(x.Time)+" "+t.cast.shown(&x.Record)+" "+did+doubt(x), "", false)
	}
	if !t.references {
		return
	}
	v.References = append(v.References, reference("", r))
	for _, x := range e.Edits {
		v.References = append(v.References, reference("edit: ", &x.Record))
	}
	if e.Retracted != nil {
		v.References = append(v.References, reference("retraction: ", &e.Retracted.Record))
	}
	for _, x := range e.Reactions {
		v.References = append(v.References, reference("reaction: ", &x.Record))
	}
}

// reference says where in the archive a record lies.
func reference(prefix string, r *Record) string {
	parts := []string{"row " + r.Row}
	add := func(name string, s *string) {
		if s != nil {
			parts = append(parts, name+" "+*s)
		}
	}
	if r.Table != "" {
		add("table", &r.Table)
	}
	add("time", r.Time)
	add("stanza id", r.StanzaID)
	add("refers to", r.RefersTo)
	add("thread", r.Thread)
	parts = append(parts, "status "+r.Status)
	add("key", r.Key)
	parts = append(parts, "copies "+strconv.Itoa(r.Copies))
	add("direction", r.Direction)
	return oneLine(prefix + strings.Join(parts, "; "))
}

// appendHeading appends the heading as plain text.
func (t *talk) appendHeading(b []byte) []byte {
	for _, line := range t.heading() {
		b = append(append(b, line...), '\n')
	}
	return append(b, '\n')
}

// appendText appends a view as plain text. A line that begins with "[" begins a
// message, one with "    * " is a remark, and what people wrote in further lines
// stands behind "    > ": so no text can pass for another message.
func appendText(b []byte, v *view) []byte {
	b = append(b, '[')
	b = append(b, v.Stamp...)
	b = append(b, "] "...)
	b = append(b, v.Who...)
	b = append(b, ':')
	if v.Body != "" {
		b = append(b, ' ')
	}
	b = appendIndented(b, v.Body)
	for _, r := range v.Remarks {
		b = append(b, "    * "...)
		b = append(b, r.Text...)
		if r.Quoted != "" {
			b = append(b, ' ')
		}
		b = appendIndented(b, r.Quoted)
	}
	for _, r := range v.References {
		b = append(b, "    * "...)
		b = append(b, r...)
		b = append(b, '\n')
	}
	return b
}

func appendIndented(b []byte, text string) []byte {
	for line := range strings.SplitSeq(text, "\n") {
		if len(b) > 0 && b[len(b)-1] == '\n' {
			b = append(b, "    > "...)
		}
		b = append(b, line...)
		b = append(b, '\n')
	}
	return b
}
