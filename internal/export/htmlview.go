package export

import (
	"slices"
	"strconv"
	"strings"

	"archivolt/internal/message"
)

// who is a person or a room as it is shown.
type who struct{ Name, Address, Nick []run }

// pageView is an event as the template "event" shows it.
type pageView struct {
	Number  int
	Clock   string // local time
	Stamp   string // RFC 3339, or "" without a date
	From    who
	Blocks  []block
	Details [][]detail // in small type: of the message, and of each thing done to it
}

// block is a paragraph of a message. Label, Between and After are our words.
type block struct {
	Missing  bool // a placeholder: what is there cannot be shown
	Said     bool // a text that somebody wrote
	Old, New bool // of a text: replaced by an edit, or by an edit the last one
	Plain    bool // of what is neither: not in italics

	Label   string
	Text    []run
	Items   [][]run
	Between string
	By      *who
	After   string
}

// detail is one statement about a row.
type detail struct {
	Label string
	Value []run
}

// person is whoever has a bare address.
func (h *HTML) person(address string) who {
	w := who{Address: runs(address)}
	if h.look.Person != nil && address != "" {
		w.Name = runs(h.look.Person(address))
	}
	return w
}

// sender is who wrote a record.
func (h *HTML) sender(r *Record) who {
	w := h.person(value(r.From))
	w.Nick = runs(value(r.Nick))
	return w
}

// conversation is the room, or the two people, of a slice; nil if neither of
// these is known.
func (h *HTML) conversation(s *Slice) []who {
	if s.Room != "" {
		w := who{Address: runs(s.Room)}
		if h.look.Room != nil {
			w.Name = runs(h.look.Room(s.Room))
		}
		return []who{w}
	}
	pair := s.pair()
	if len(pair) == 2 && pair[0] == "" && pair[1] == "" {
		return nil // rows that cannot be read
	}
	names := make([]who, len(pair))
	for i, p := range pair {
		names[i] = h.person(p)
	}
	return names
}

// clock is the local time of an event, with its offset where that is not the
// one of the section's beginning.
func (h *HTML) clock(e *Event, offset string) string {
	if e.Time.IsZero() {
		return "a time that is not known"
	}
	t := e.Time.In(h.look.Zone)
	clock := t.Format("15:04:05")
	if o := zoneOffset(t); o != offset {
		clock += " " + o
	}
	return clock
}

// view makes what is shown of an event. Offset is that of the section.
func (h *HTML) view(e *Event, offset string) pageView {
	r := &e.Record
	v := pageView{Number: h.message, Clock: h.clock(e, offset), Stamp: value(r.Time), From: h.sender(r)}
	v.Blocks = opening(r)
	if len(e.Edits) == 0 {
		v.Blocks = append(v.Blocks, text(r, "")...)
	} else {
		label := "Before the edit, as sent at " + v.Clock + ":"
		for i, x := range append([]*Event{e}, e.Edits...) {
			said := text(&x.Record, label)
			for j := range said {
				said[j].Old, said[j].New = i < len(e.Edits), i == len(e.Edits)
			}
			v.Blocks = append(v.Blocks, said...)
			if i+1 < len(e.Edits) {
				label = "Edited at " + h.clock(e.Edits[i], offset) + ", and again later:"
			} else if i < len(e.Edits) {
				label = "Edited at " + h.clock(e.Edits[i], offset) + ":"
			}
		}
	}
	e.each(func(x *Event) {
		for _, f := range x.Record.Files {
			v.Blocks = append(v.Blocks, block{Label: "File:", Items: [][]run{runs(f)}, Plain: true})
		}
	})
	if x := e.Retracted; x != nil {
		by := h.sender(&x.Record)
		v.Blocks = append(v.Blocks, block{Label: "Taken back at " + h.clock(x, offset), Between: "by", By: &by, After: "; the archive kept the text."})
	}
	for _, x := range e.Reactions {
		by := h.sender(&x.Record)
		b := block{Label: "Reaction:", Items: each(x.Record.Reactions), Between: "from", By: &by, After: " at " + h.clock(x, offset)}
		if len(b.Items) == 0 {
			b.Label, b.Between = "All reactions taken back", "by"
		}
		v.Blocks = append(v.Blocks, b)
	}
	v.Details = append(v.Details, details("", r))
	for _, x := range e.Edits {
		v.Details = append(v.Details, details("edit", &x.Record))
	}
	if e.Retracted != nil {
		v.Details = append(v.Details, details("retraction", &e.Retracted.Record))
	}
	for _, x := range e.Reactions {
		v.Details = append(v.Details, details("reaction", &x.Record))
	}
	return v
}

// opening says what a message does, where it does not simply say something.
func opening(r *Record) (list []block) {
	about := func(what string) block {
		return block{Label: what + " the message with the id", Items: [][]run{runs(value(r.RefersTo))}, After: ", which is not in this section or not by the same person"}
	}
	subject := func(label string) block { return block{Label: label, Items: [][]run{runs(value(r.Subject))}} }
	switch r.Kind {
	case message.Correction.String():
		return append(list, about("Edit of"))
	case message.Retraction.String():
		return append(list, about("Takes back"))
	case message.Reaction.String():
		b := about("Reaction to")
		b.After += ":"
		if len(r.Reactions) == 0 {
			b.Label = "All reactions taken back from" + strings.TrimPrefix(b.Label, "Reaction to")
		}
		list = append(list, b)
		if len(r.Reactions) > 0 {
			list = append(list, block{Items: each(r.Reactions), Plain: true})
		}
		return list
	case message.Topic.String():
		if value(r.Subject) == "" {
			return append(list, block{Label: "The subject of the room was removed, or cannot be read"})
		}
		return append(list, subject("The subject of the room was changed to:"))
	case message.File.String():
		list = append(list, block{Label: "A file was sent through the server"})
	case message.Headline.String(), message.ErrorKind.String():
		list = append(list, block{Label: "Message of the type " + r.Kind})
	}
	if value(r.Subject) != "" {
		list = append(list, subject("Subject:"))
	}
	return list
}

// text is what a record says, or the placeholder for it, and what is to be
// known about it.
func text(r *Record, label string) (list []block) {
	silent := r.Body == nil && readable(r) && (len(r.Files) > 0 || r.Subject != nil ||
		r.Kind == message.Retraction.String() || r.Kind == message.Reaction.String() || r.Kind == message.Topic.String() || r.Kind == message.File.String())
	why := runs(value(r.Reason))
	if label != "" {
		label += " "
	}
	switch {
	case r.Body != nil && *r.Body == "":
		list = append(list, block{Missing: true, Label: label + "An empty text."})
	case r.Body != nil:
		list = append(list, block{Said: true, Label: strings.TrimSpace(label), Text: runs(*r.Body)})
	case silent:
	default:
		why := why
		if why == nil {
			why = runs("no reason is known")
		}
		what := "No text:"
		switch r.Status {
		case message.NoKey.String():
			what = "This row cannot be read, since none of the keys opens it:"
		case message.Damaged.String():
			what = "This row cannot be read, since it is damaged:"
		}
		return append(list, block{Missing: true, Label: label + what, Text: why})
	}
	note := ""
	switch r.Status {
	case message.Unverified.String():
		note = "Opened, but it is not certain that the key is the right one:"
	case message.Damaged.String():
		note = "The row is damaged; the text was found elsewhere in it or in a copy:"
	case message.NoKey.String():
		note = "None of the keys opens the row; the text was found elsewhere in it or in a copy:"
	}
	switch {
	case why == nil && note == "":
		return list
	case why == nil:
		why = runs("no reason is known")
	case note == "":
		note = "Note:"
	}
	return append(list, block{Label: note, Items: [][]run{why}})
}

// details are the statements about a record that let it be found again.
func details(what string, r *Record) (list []detail) {
	add := func(label string, value *string) {
		if value != nil {
			list = append(list, detail{label, runs(*value)})
		}
	}
	switch {
	case r.Time != nil:
		add(what, r.Time)
	case what != "":
		list = append(list, detail{what + " without a date", nil})
	}
	add("id", r.StanzaID)
	add("row", &r.Row)
	if r.Table != "" {
		add("table", &r.Table)
	}
	add("key", r.Key)
	switch r.Status {
	case message.OK.String():
	case message.Plain.String():
		list = append(list, detail{"stored without encryption", nil})
	default:
		add("status", &r.Status)
	}
	add("refers to", r.RefersTo)
	add("thread", r.Thread)
	switch value(r.BodyFrom) {
	case "copy":
		list = append(list, detail{"text of another copy", nil})
	case "stanza":
		list = append(list, detail{"text of the stanza", nil})
	}
	if what != "" {
		add("subject", r.Subject)
	}
	if what == "retraction" || what == "reaction" { // not shown above
		add("reason", r.Reason)
		add("text", r.Body)
	}
	if r.To != nil && !slices.Contains(r.Recipients, *r.To) {
		add("to", r.To)
	}
	for i, p := range r.Recipients {
		label := ""
		if i == 0 {
			label = "delivered to"
		}
		add(label, &p)
	}
	copies := strconv.Itoa(r.Copies) + " copies"
	if r.Copies == 1 {
		copies = "1 copy"
	}
	if r.Direction != nil {
		copies += ", direction" // as the server saw it
	}
	return append(list, detail{copies, runs(value(r.Direction))})
}

func each(texts []string) [][]run {
	list := make([][]run, len(texts))
	for i, t := range texts {
		list[i] = runs(t)
	}
	return list
}
