package archive

import (
	"context"
	"maps"
	"slices"
	"strings"

	"archivolt/internal/cisco"
	"archivolt/internal/message"
)

// finder is a table that looks rows up by the beginnings of their addresses.
type finder interface {
	// Find is Scan for the rows that l looks for.
	Find(ctx context.Context, l cisco.Lookup, o cisco.ScanOptions, emit func(cisco.Batch) bool) error
	// Advice is the statement that makes Find fast, empty if nothing is to do.
	Advice(ctx context.Context) (string, error)
}

// LookUp narrows the archive to the rows of some bare addresses, of people and
// of rooms; it must come before any reading. A database of Cisco's looks them
// up where it can, and an archive of ours finds them by their tokens. Notes tell
// what is read whole all the same, and what a lookup cannot see.
func (a *Archive) LookUp(ctx context.Context, people, rooms []string) (notes []string, err error) {
	if a.Kind() == Own {
		return a.lookUpTokens(ctx, people, rooms)
	}
	addresses := slices.Concat(people, rooms)
	if _, short := cisco.NewLookup(a.keys, addresses, nil); len(short) > 0 {
		return []string{strings.Join(short, ", ") + " is too short to be looked up: the archive is read whole"}, nil
	}
	looked := 0
	for _, p := range a.parts {
		t := p.stored.(*jm)
		f, ok := t.table.(finder)
		if _, small := t.table.(*transfers); small {
			notes = append(notes, p.name+" is read whole")
			continue
		}
		if !ok {
			notes = append(notes, p.name+" is read whole: only databases look up")
			continue
		}
		looked++
		rooms, err := a.roomsOf(ctx, f, addresses)
		if err != nil {
			return nil, err
		}
		l, _ := cisco.NewLookup(a.keys, addresses, rooms)
		t.table = &found{table: t.table, finder: f, lookup: l}
	}
	if looked > 0 {
		notes = append(notes, "looked up, not read whole; this does not see an address in other letter case than as written here or in lower case, a damaged one, one under a key that was not given, or its messages in a room of which it received nothing")
	}
	return notes, nil
}

// roomsOf lists the rooms in which the addresses received something: in their
// rows the room comes before the sender.
func (a *Archive) roomsOf(ctx context.Context, f finder, addresses []string) ([]string, error) {
	l, _ := cisco.NewLookup(a.keys, addresses, nil)
	rooms := map[string]bool{}
	decoder := a.decoder()
	var row cisco.Row
	var m message.Message
	err := f.Find(ctx, l, cisco.ScanOptions{}, func(b cisco.Batch) bool {
		for i := range b.Len() {
			b.Row(i, &row)
			decoder.Decode(&row, cisco.Neighbours{}, &m)
			if !m.Room {
				continue
			}
			room := m.Sender()
			if m.ToRoom() {
				room = m.Recipient()
			}
			bare, _, _ := strings.Cut(room.Raw, "/") // as it is spelt in the archive
			if bare != "" && !slices.Contains(addresses, bare) {
				rooms[bare] = true
			}
		}
		b.Release()
		return true
	})
	return slices.Sorted(maps.Keys(rooms)), err
}

// found is a table of which only the rows of a lookup are read.
type found struct {
	table
	finder finder
	lookup cisco.Lookup
}

// Size is not known.
func (f *found) Size() int64 { return 0 }

// Scan gives the rows that are looked for.
func (f *found) Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	return f.finder.Find(ctx, f.lookup, o, emit)
}

// Fetches tells whether the table can find rows again.
func (f *found) Fetches() bool {
	t, ok := f.table.(fetcher)
	return ok && t.Fetches()
}

// Fetch gives rows again.
func (f *found) Fetch(ctx context.Context, places []cisco.Place) (cisco.Batch, error) {
	return f.table.(fetcher).Fetch(ctx, places)
}

// Advice suggests what makes lookups fast, for each table that needs it.
func (a *Archive) Advice(ctx context.Context) (list []string, err error) {
	for _, p := range a.parts {
		t, ok := p.stored.(*jm)
		if !ok {
			continue
		}
		f, ok := t.table.(finder)
		if !ok {
			continue
		}
		text, err := f.Advice(ctx)
		if err != nil {
			return nil, err
		}
		if text != "" {
			list = append(list, text)
		}
	}
	return list, nil
}
