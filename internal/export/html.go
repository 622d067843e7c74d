package export

import (
	"bufio"
	"html/template"
	"io"
	"slices"
	"strconv"
	"time"

	"archivolt/internal/message"
)

// HTML writes messages.html: one page for a browser or a printer, without
// scripts and without anything from elsewhere (docs/format/exports-html-pdf.md).
// It needs the memory of one slice, and some 50 bytes for each slice and the
// names of each conversation for the table of contents, which stands at the end.
type HTML struct {
	// Period is what was asked for, as it should stand at the top; may be
	// empty. To be set before the first Write.
	Period string

	w       *bufio.Writer
	look    Look
	part    int // number of this file, if there are several; otherwise 0
	message int // number of the last message
	started bool

	conversations map[string]int // by Slice.key
	names         [][]who
	entries       []entry
	total         counts
	undated       int
	first, last   time.Time
}

// What the templates of the same names show.
type (
	frontPage struct {
		Policy        string
		Style         template.CSS // ours
		Flat          string       // the title, where no elements may be
		Title, Period []run
		Zone          string
		Part          int
	}
	heading struct { // "slice"
		Number, Part int
		Day, Short   string
		Zone, Offset string
		Conversation []who
		People       []who
	}
	summary struct {
		counts
		Conversations, Slices, Undated int
		First, Last                    string
	}
)

// counts are of records, as in the other formats.
type counts struct{ Messages, Unreadable int }

// entry is a line of the table of contents.
type entry struct {
	counts
	conversation int
	Number, Part int
	day          time.Time
}

// Day is the day as it is shown.
func (e entry) Day() string { return longDay(e.day) }

// NewHTML returns a writer to w.
func NewHTML(w io.Writer, look Look) *HTML {
	if look.Zone == nil {
		look.Zone = time.UTC
	}
	return &HTML{w: bufio.NewWriterSize(w, 256<<10), look: look, conversations: map[string]int{}}
}

// Write writes one slice as a section of the page.
func (h *HTML) Write(s *Slice) error {
	if err := h.start(); err != nil {
		return err
	}
	key := s.key()
	c, known := h.conversations[key]
	if !known {
		c = len(h.names)
		h.conversations[key] = c
		h.names = append(h.names, h.conversation(s))
	}
	e := entry{conversation: c, Number: len(h.entries) + 1, Part: s.Part, day: s.Day}
	offset := ""
	head := heading{Number: e.Number, Part: s.Part, Day: longDay(s.Day), Short: shortDay(s.Day), Conversation: h.names[c]}
	if !s.Day.IsZero() && len(s.Events) > 0 {
		offset = zoneOffset(s.Events[0].Time.In(h.look.Zone))
		head.Zone, head.Offset = h.look.Zone.String(), offset
	}
	if s.Room != "" {
		for _, p := range s.People {
			head.People = append(head.People, h.person(p))
		}
	}
	if err := page.ExecuteTemplate(h.w, "slice", head); err != nil {
		return err
	}
	for _, event := range s.Events {
		h.message++
		h.count(event, &e.counts)
		v := h.view(event, offset)
		if err := page.ExecuteTemplate(h.w, "event", &v); err != nil {
			return err
		}
	}
	h.entries = append(h.entries, e)
	h.total.Messages += e.Messages
	h.total.Unreadable += e.Unreadable
	return page.ExecuteTemplate(h.w, "end", nil)
}

// count adds an event and what was done to it.
func (h *HTML) count(e *Event, c *counts) {
	e.each(func(e *Event) {
		c.Messages++
		if !readable(&e.Record) {
			c.Unreadable++
		}
		switch {
		case e.Time.IsZero():
			h.undated++
			return
		case h.first.IsZero() || e.Time.Before(h.first):
			h.first = e.Time
		}
		if e.Time.After(h.last) {
			h.last = e.Time
		}
	})
}

// each calls f for the event and for all that was done to it.
func (e *Event) each(f func(*Event)) {
	f(e)
	for _, x := range e.Edits {
		f(x)
	}
	if e.Retracted != nil {
		f(e.Retracted)
	}
	for _, x := range e.Reactions {
		f(x)
	}
}

func readable(r *Record) bool {
	return r.Status != message.NoKey.String() && r.Status != message.Damaged.String()
}

func (h *HTML) start() error {
	if h.started {
		return nil
	}
	h.started = true
	title := flat(h.look.Title)
	if title == "" {
		title = "Messages"
	}
	if h.part > 0 {
		title += ", part " + strconv.Itoa(h.part)
	}
	return page.ExecuteTemplate(h.w, "head", &frontPage{Policy: pagePolicy(), Style: pageStyle, Flat: title,
		Title: runs(h.look.Title), Period: runs(h.Period), Zone: h.look.Zone.String(), Part: h.part})
}

// Close writes the summary and the table of contents; the file stays open. An
// export without messages has these alone.
func (h *HTML) Close() error {
	if err := h.start(); err != nil {
		return err
	}
	sum := summary{counts: h.total, Conversations: len(h.names), Slices: len(h.entries), Undated: h.undated}
	if !h.first.IsZero() {
		sum.First, sum.Last = h.moment(h.first), h.moment(h.last)
	}
	if err := page.ExecuteTemplate(h.w, "summary", &sum); err != nil {
		return err
	}
	// By conversation, and within it as they were written.
	slices.SortStableFunc(h.entries, func(a, b entry) int { return a.conversation - b.conversation })
	for i := range h.entries {
		e := &h.entries[i]
		if i == 0 || e.conversation != h.entries[i-1].conversation {
			if err := page.ExecuteTemplate(h.w, "contents", h.names[e.conversation]); err != nil {
				return err
			}
		}
		if err := page.ExecuteTemplate(h.w, "entry", e); err != nil {
			return err
		}
		if i+1 == len(h.entries) || e.conversation != h.entries[i+1].conversation {
			if _, err := h.w.WriteString("</ul>\n"); err != nil {
				return err
			}
		}
	}
	if err := page.ExecuteTemplate(h.w, "foot", nil); err != nil {
		return err
	}
	return h.w.Flush()
}

// moment is a time with everything that it needs to stand by itself.
func (h *HTML) moment(t time.Time) string {
	t = t.In(h.look.Zone)
	return longDay(t) + ", " + t.Format("15:04:05") + " (" + zoneOffset(t) + ")"
}

func longDay(t time.Time) string {
	if t.IsZero() {
		return "without a date"
	}
	return t.Format("Monday, 2 January 2006")
}

func shortDay(t time.Time) string {
	if t.IsZero() {
		return "No date"
	}
	return t.Format("2006-01-02")
}

func zoneOffset(t time.Time) string { return "UTC" + t.Format("-07:00") }
