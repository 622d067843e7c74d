package export

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"archivolt/internal/message"
)

// platform is where the messages come from, whoever made the server.
const platform = "XMPP"

func (l *Look) zone() *time.Location {
	if l.Zone == nil {
		return time.UTC
	}
	return l.Zone
}

// person is the display name of an address, or the address.
func (l *Look) person(address string) string {
	if l.Person != nil {
		if name := l.Person(address); name != "" {
			return name
		}
	}
	return address
}

// conversation is the name of a slice's conversation: the room's, or the people's.
func (l *Look) conversation(s *Slice) string {
	if s.Room != "" {
		if l.Room != nil {
			if name := l.Room(s.Room); name != "" {
				return name
			}
		}
		return s.Room
	}
	var names []string
	for _, address := range slices.Compact(s.pair()) {
		if address == "" {
			names = append(names, "unknown")
		} else {
			names = append(names, l.person(address))
		}
	}
	if text := strings.Join(names, " and "); text != "" && text != "unknown" {
		return text
	}
	return "unknown people"
}

// day is the day of a slice as a subject shows it.
func (s *Slice) day() string {
	text := "without a date"
	if !s.Day.IsZero() {
		text = s.Day.Format(time.DateOnly)
	}
	if s.Part > 1 {
		text += ", part " + strconv.Itoa(s.Part)
	}
	return text
}

// collection names the conversation for other programs, equal in all its slices.
func (s *Slice) collection() string {
	sum := sha256.Sum256([]byte(s.key()))
	return hex.EncodeToString(sum[:16])
}

// dated tells whether there is a time, and one that RFC 3339 can say.
func (l *Look) dated(t time.Time) bool {
	year := t.In(l.zone()).Year()
	return !t.IsZero() && year >= 1 && year <= 9999
}

// stamp is a time with its offset in the zone (RFC 3339), "" without a date.
func (l *Look) stamp(t time.Time) string {
	if !l.dated(t) {
		return ""
	}
	return t.In(l.zone()).Format("2006-01-02T15:04:05.000-07:00")
}

// span is the time of the first and the last dated event, zero if there is none.
func (l *Look) span(s *Slice) (begin, end time.Time) {
	for _, e := range s.Events {
		if !l.dated(e.Time) {
			continue
		}
		if begin.IsZero() || e.Time.Before(begin) {
			begin = e.Time
		}
		if end.IsZero() || e.Time.After(end) {
			end = e.Time
		}
	}
	return begin, end
}

// actor is somebody who takes part in a slice.
type actor struct {
	id      string // unique in the slice: P1, P2, ...
	address string // bare address; an occupant's (XEP-0045 section 4.1) if only the nick is known; "" for the unknown
	nick    string // in the room, where the bare address is not known
	name    string // display name
	shown   string // name by which no other actor of the slice is shown
}

// cast is who takes part in a slice: those with an address, sorted by it, then
// nicks without one, then the one actor that stands for all unknown senders.
type cast struct {
	actors []*actor
	by     map[string]*actor
}

// Addresses hold no NUL, so these cannot meet one.
const (
	nickKey    = "\x00nick "
	unknownKey = "\x00unknown"
)

// castKey is under which key the sender of a record is found.
func castKey(r *Record) string {
	switch {
	case r.From != nil:
		return *r.From
	case r.Nick != nil:
		return nickKey + *r.Nick
	}
	return unknownKey
}

func newCast(s *Slice, look *Look) *cast {
	c := &cast{by: map[string]*actor{}}
	for _, address := range s.People {
		c.add(address, &actor{address: address, name: look.person(address)})
	}
	var unknown bool
	for e, about := range s.each() {
		r := &e.Record
		switch key := castKey(r); {
		case r.From != nil:
			c.add(key, &actor{address: key, name: look.person(key)})
		case r.Nick != nil:
			c.add(key, &actor{address: s.Room + "/" + *r.Nick, nick: *r.Nick, name: *r.Nick + " (address unknown)"})
		case about != nil || !isUnread(r):
			unknown = true
		}
	}
	if unknown {
		c.add(unknownKey, &actor{name: "unknown sender"})
	}
	c.tellApart()
	return c
}

func (c *cast) add(key string, a *actor) {
	if c.by[key] != nil {
		return
	}
	a.id = "P" + strconv.Itoa(len(c.actors)+1)
	c.by[key] = a
	c.actors = append(c.actors, a)
}

// tellApart gives everybody a name that nobody else is shown by, since people
// choose names and nicks that are others'.
func (c *cast) tellApart() {
	times := map[string]int{}
	for _, a := range c.actors {
		a.shown = oneLine(a.name)
		times[a.shown]++
	}
	taken := map[string]bool{}
	for _, a := range c.actors {
		if times[a.shown] > 1 && a.address != "" {
			a.shown += " (" + oneLine(a.address) + ")"
		}
		for taken[a.shown] {
			a.shown += " [" + a.id + "]"
		}
		taken[a.shown] = true
	}
}

// each goes through all that a slice holds: an event, then what was done to it,
// with the event that this is about, which is nil for the event itself.
func (s *Slice) each() iter.Seq2[*Event, *Event] {
	return func(yield func(e, about *Event) bool) {
		for _, e := range s.Events {
			if !yield(e, nil) {
				return
			}
			for _, x := range e.Edits {
				if !yield(x, e) {
					return
				}
			}
			if e.Retracted != nil && !yield(e.Retracted, e) {
				return
			}
			for _, x := range e.Reactions {
				if !yield(x, e) {
					return
				}
			}
		}
	}
}

// isUnread tells whether a record is a row of which no text could be read.
func isUnread(r *Record) bool {
	return r.Body == nil && (r.Status == message.Damaged.String() || r.Status == message.NoKey.String())
}

// of returns the sender of a record, nil for a row of which nothing is known.
func (c *cast) of(r *Record) *actor { return c.by[castKey(r)] }

// shown is the name of the sender of a record.
func (c *cast) shown(r *Record) string {
	if a := c.of(r); a != nil {
		return a.shown
	}
	return "unknown sender"
}
