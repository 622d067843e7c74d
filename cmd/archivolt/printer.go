package main

import (
	"bufio"
	"fmt"
	"strings"

	"archivolt/internal/archive"
	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// printer shows messages to a person. Every text is hostile: control
// characters never reach the output.
type printer struct {
	w      *bufio.Writer
	flags  *archiveFlags
	words  []string // to highlight
	colour bool
	room   func(bare string) (archive.Room, bool)
	begun  bool
	day    string // of the last message
}

// Sequences that a terminal understands (ECMA-48 section 8.3.117).
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	found = "\x1b[1;7m"
	plain = "\x1b[0m"
)

func (p *printer) style(code, text string) string {
	if !p.colour {
		return text
	}
	return code + text + plain
}

// heading begins a group: where and on which day.
func (p *printer) heading(u *transcript.Utterance) {
	if p.begun {
		fmt.Fprintln(p.w)
	}
	p.begun = true
	where := p.name(u.From) + " and " + p.name(u.To)
	switch {
	case u.Room != "":
		where = "room " + safe(message.Unescape(u.Room))
		if r, ok := p.room(u.Room); ok && r.Name != "" {
			where = "room " + safe(r.Name) + " <" + safe(message.Unescape(u.Room)) + ">"
		}
		if u.RoomWas != "" {
			where += ", formerly " + safe(message.Unescape(u.RoomWas))
		}
	case u.From == "" && u.To == "":
		where = "unknown people"
	}
	p.day = p.date(u)
	fmt.Fprintln(p.w, p.style(bold, "== "+where+", "+p.day+" =="))
}

func (p *printer) date(u *transcript.Utterance) string {
	if u.Time.IsZero() {
		return "at an unknown time"
	}
	return u.Time.In(p.flags.zone).Format("Monday, 2 January 2006")
}

// message prints one message.
func (p *printer) message(u *transcript.Utterance, hit bool) error {
	if day := p.date(u); day != p.day {
		p.day = day
		fmt.Fprintln(p.w, p.style(bold, "-- "+day+" --"))
	}
	at := "--:--:--"
	if !u.Time.IsZero() {
		at = u.Time.In(p.flags.zone).Format("15:04:05")
	}
	who := p.name(u.From)
	if u.From == "" && u.Nick != "" {
		who = safe(u.Nick) + " (nick)"
	}
	mark := " "
	if hit {
		mark = ">"
	}
	text := p.text(u)
	// Further lines are indented, so that no message can pass itself off as
	// the next one.
	text = strings.ReplaceAll(text, "\n", "\n    | ")
	line := fmt.Sprintf("%s %s %s: %s\n", mark, p.style(dim, at), p.style(bold, who), text)
	if len(line) > p.w.Available() { // no message is cut where the output breaks off
		if err := p.w.Flush(); err != nil {
			return err
		}
	}
	_, err := p.w.WriteString(line)
	return err
}

func (p *printer) text(u *transcript.Utterance) string {
	text := p.highlight(u.Text.Text)
	var notes []string
	switch u.Row.Kind {
	case message.Correction:
		notes = append(notes, "corrects "+safe(u.Row.RefersTo))
	case message.Retraction:
		notes = append(notes, "takes back "+safe(u.Row.RefersTo))
	case message.Reaction:
		text = strings.Join(append([]string{safe(strings.Join(u.Row.Reactions, " "))}, text), " ")
		notes = append(notes, "reaction to "+safe(u.Row.RefersTo))
	case message.Topic:
		subject := u.Row.Subject.Text
		if subject == "" {
			subject = u.Row.StanzaSubject
		}
		notes = append(notes, "sets the subject: "+oneLine.Replace(p.highlight(subject)))
	}
	for _, f := range u.Row.Files {
		notes = append(notes, "file "+safe(f))
	}
	if !u.Row.Status.Readable() && !u.Text.Valid {
		text = ""
		notes = append(notes, u.Row.Status.String()+": "+safe(u.Row.Reason))
	} else if u.Row.Status != message.OK && u.Row.Status != message.Plain || u.Row.Reason != "" {
		notes = append(notes, strings.TrimSuffix(u.Row.Status.String()+": "+safe(u.Row.Reason), ": "))
	}
	if len(notes) > 0 {
		text = strings.TrimSpace(text + " " + p.style(dim, "["+strings.Join(notes, "; ")+"]"))
	}
	return text
}

// name shows an address, with the name of whoever is behind it.
func (p *printer) name(address string) string {
	if address == "" {
		return "unknown"
	}
	shown := safe(message.Unescape(address))
	if name := p.flags.directory.Name(address); name != "" {
		return safe(name) + " <" + shown + ">"
	}
	return shown
}

func (p *printer) highlight(text string) string {
	if !p.colour || len(p.words) == 0 {
		return lines(text)
	}
	var b strings.Builder
	last := 0
	for _, span := range message.Find(text, p.words) {
		b.WriteString(lines(text[last:span[0]]))
		b.WriteString(found + lines(text[span[0]:span[1]]) + plain)
		last = span[1]
	}
	b.WriteString(lines(text[last:]))
	return b.String()
}

// safe makes an address, a name or another short text fit for a line of its
// own: in one, also a line end or a tab could pass for the next message.
func safe(text string) string {
	return oneLine.Replace(string(visible([]byte(text))))
}

var oneLine = strings.NewReplacer("\n", "␊", "\t", "␉")

// lines makes a message's text fit to be seen; its line ends stay.
func lines(text string) string { return string(visible([]byte(text))) }
