package audit

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/seal"
	"archivolt/internal/store"
)

// Life is what the ledger tells of the archive's life, in the order in which it
// happened, or the events beside a table in Cisco's format. Nothing of it was
// verified.
type Life struct {
	ID         ledger.ID
	Size       int64              // entries
	Checkpoint *ledger.Checkpoint // the last one; nil if there is none that can be read
	Epochs     []Epoch
	Starts     []Start
	Running    bool     // the last run has not stopped in order: it goes on, or was killed
	Down       []Period // the writer did not run
	Lost       []Period // times without a connection to a server, until it came up or the writer stopped
	Full       []Period // the spool was full, and nothing was acknowledged
	Silent     []Period // the writer gave no sign, though it should have run
	Gaps       []Event  // in delivery numbers
	Recipients []Event  // they were changed
	Others     []Event  // anchors missing, things refused, and what this program does not know
	Sources    []Source // by name

	last  time.Time // sign of the writer
	alone time.Time // since then it runs, and no server has come up; zero if one has

	open map[string][]int // by server: periods of Lost that have no end yet

	configuration string
	known         map[string]bool      // servers that were connected under it
	away          map[string]time.Time // of these, the ones that are not since the start: since when that is told
}

// Epoch is the life of one data key.
type Epoch struct {
	Number     uint64
	Key        string // its fingerprint
	Begin      time.Time
	Class      string
	Recipients []string // fingerprints, as RecipientFingerprint of package identity makes them
	Writer     string
}

// Start is a start of the writer.
type Start struct {
	At       time.Time
	Detail   string
	Disorder bool      // the run before did not stop in order
	Sign     time.Time // the last sign of that run
}

// Period is a time with an end, which is zero if it has none in the ledger.
type Period struct {
	From, To time.Time
	Detail   string
}

// Event is something that happened.
type Event struct {
	At     time.Time
	Name   ledger.Name
	Detail string
}

// Source is where copies came from.
type Source struct {
	Name   string
	Number uint64 // the highest delivery number
}

// bestEffort begins the names of sources that do not number their copies.
const bestEffort = "connection/"

// BestEffort tells whether the source cannot resend what was lost on its way:
// nobody can say whether all of it is here.
func (s *Source) BestEffort() bool { return strings.HasPrefix(s.Name, bestEffort) }

// maxSilence is the longest time between two signs of a writer, which gives one
// an hour.
const maxSilence = 65 * time.Minute

// ReadLife reads what the ledger tells of the archive's life.
func ReadLife(ctx context.Context, s Store) (*Life, error) {
	head, err := s.Head()
	if err != nil {
		return nil, err
	}
	l := &Life{ID: head.ID, Size: head.Size}
	text, err := s.Checkpoint()
	if err != nil {
		return nil, err
	}
	if c, err := ledger.ReadCheckpoint(text); err == nil {
		l.Checkpoint = c
	}
	err = s.Others(ctx, func(e *store.Entry) error {
		entry, err := ledger.Parse(e.Other, head.ID)
		if err != nil {
			return nil // verify names it
		}
		switch entry := entry.(type) {
		case *ledger.Epoch:
			at := time.UnixMilli(entry.Time).UTC()
			l.sign(at)
			ep := Epoch{Number: entry.Number, Key: seal.Fingerprint(entry.Commitment), Begin: at, Class: entry.Class, Writer: entry.Writer}
			for _, r := range entry.Recipients {
				ep.Recipients = append(ep.Recipients, hex.EncodeToString(r[:]))
			}
			l.Epochs = append(l.Epochs, ep)
		case *ledger.Event:
			l.event(entry)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.end()
	marks, err := s.Marks()
	for _, name := range sortedKeys(marks) {
		l.Sources = append(l.Sources, Source{name, marks[name]})
	}
	return l, err
}

// LifeOf tells what events tell that lie in no ledger, in their order.
func LifeOf(events []ledger.Event) *Life {
	l := &Life{Size: int64(len(events))}
	for i := range events {
		l.event(&events[i])
	}
	l.end()
	return l
}

// sign takes a sign of the writer.
func (l *Life) sign(at time.Time) {
	if l.Running && !l.last.IsZero() && at.Sub(l.last) > maxSilence {
		l.Silent = append(l.Silent, Period{From: l.last, To: at})
	}
	l.last = at
}

// connecting is how long a start may take until a server is connected, without
// being worth a line.
const connecting = time.Minute

// noServer ends the time since the start in which no server was connected; to is
// zero if it has no end.
func (l *Life) noServer(to time.Time) {
	if l.alone.IsZero() {
		return
	}
	until := to
	if to.IsZero() {
		until = l.last
	}
	if until.Sub(l.alone) > connecting {
		l.Lost = append(l.Lost, Period{From: l.alone, To: to, Detail: "no server was connected since the start"})
		for server := range l.away { // which is told with that
			l.away[server] = until
		}
	}
	l.alone = time.Time{}
}

// notBack ends the time since the start in which a server was not connected that
// had been before; to is zero if it has no end.
func (l *Life) notBack(server string, to time.Time) {
	from, away := l.away[server]
	delete(l.away, server)
	until := to
	if to.IsZero() {
		until = l.last
	}
	if away && until.Sub(from) > connecting {
		l.Lost = append(l.Lost, Period{From: from, To: to, Detail: strings.TrimSuffix(server, "/") + " was not connected since the start"})
	}
}

// allNotBack does the same for all of them.
func (l *Life) allNotBack(to time.Time) {
	l.noServer(to)
	for _, server := range slices.Sorted(maps.Keys(l.away)) {
		l.notBack(server, to)
	}
}

// expect begins the time since the start for every server that is known and not
// told as lost anyway.
func (l *Life) expect(since time.Time) {
	l.away = map[string]time.Time{}
	for server := range l.known {
		if len(l.open[server]) == 0 {
			l.away[server] = since
		}
	}
}

// end takes the end of what is told.
func (l *Life) end() {
	if l.Running {
		l.allNotBack(time.Time{})
	}
	slices.SortStableFunc(l.Lost, func(x, y Period) int { return x.From.Compare(y.From) })
}

// serverOf is what the names of all connections to one server begin with, of the
// detail of an event about one: server/component/id, and perhaps a reason.
func serverOf(detail string) string {
	name, _, _ := strings.Cut(detail, ": ")
	return name[:strings.LastIndexByte(name, '/')+1]
}

func (l *Life) event(entry *ledger.Event) {
	e := Event{time.UnixMilli(entry.Time).UTC(), entry.Name, entry.Detail}
	sign := l.last
	if e.Name == ledger.Started { // however long it was away, it was not silent
		l.last = e.At
	} else {
		l.sign(e.At)
	}
	switch e.Name {
	case ledger.Created, ledger.Heartbeat:
	case ledger.Configuration:
		if l.configuration != e.Detail { // it may name other servers
			l.configuration, l.known, l.away = e.Detail, nil, nil
		}
	case ledger.Started:
		if len(l.Starts) > 0 {
			l.Down = append(l.Down, Period{From: sign, To: e.At})
		}
		l.Starts = append(l.Starts, Start{At: e.At, Detail: e.Detail, Disorder: l.Running, Sign: sign})
		l.allNotBack(sign) // of a run that was killed
		l.Running, l.alone = true, e.At
		l.expect(e.At)
	case ledger.Stopped:
		l.Running = false
		l.allNotBack(e.At)
		for _, list := range l.open {
			for _, i := range list {
				l.Lost[i].To = e.At
			}
		}
		l.open = nil
	case ledger.Lost:
		l.alone = time.Time{} // one was connected
		server := serverOf(e.Detail)
		delete(l.away, server)
		if l.open == nil {
			l.open = map[string][]int{}
		}
		l.open[server] = append(l.open[server], len(l.Lost))
		l.Lost = append(l.Lost, Period{From: e.At, Detail: e.Detail})
	case ledger.Connected:
		server := serverOf(e.Detail)
		if !l.alone.IsZero() {
			delete(l.away, server) // told with that
		}
		l.noServer(e.At)
		l.notBack(server, e.At)
		if l.known == nil {
			l.known = map[string]bool{}
		}
		l.known[server] = true
		if list := l.open[server]; len(list) > 0 {
			l.Lost[list[0]].To, l.open[server] = e.At, list[1:]
		}
	case ledger.SpoolFull:
		l.Full = append(l.Full, Period{From: e.At, Detail: e.Detail})
	case ledger.SpoolFree:
		if n := len(l.Full); n > 0 && l.Full[n-1].To.IsZero() {
			l.Full[n-1].To = e.At
		}
	case ledger.Gap:
		l.Gaps = append(l.Gaps, e)
	case ledger.Recipients:
		l.Recipients = append(l.Recipients, e)
	default:
		l.Others = append(l.Others, e)
	}
}
