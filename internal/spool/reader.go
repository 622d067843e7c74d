package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
)

// Entry is one that was appended.
type Entry struct {
	Number uint64
	Data   []byte
}

// Reader reads what is durable, in order, while more is appended. It is not
// safe for concurrent use.
type Reader struct {
	s      *Spool
	next   uint64 // number to return next
	name   string // of the segment that is open
	f      file
	offset int64
	at     uint64 // number of the first entry at offset
}

// Reader returns one that begins after the entry with the number stored.
func (s *Spool) Reader(stored uint64) *Reader { return &Reader{s: s, next: stored + 1} }

// Next returns entries up to about most bytes, at least one, or none when
// there are no more at this moment.
func (r *Reader) Next(most int) (entries []Entry, err error) {
	for size := 0; size < most; {
		end, more, err := r.place()
		if err != nil || !more {
			return entries, err
		}
		if r.offset == end { // on to the next segment
			r.Close()
			continue
		}
		fr, err := readFrame(r.f, r.offset, end, r.at)
		if err != nil {
			var bad *badFrame
			if errors.As(err, &bad) {
				err = &DamageError{r.name, r.offset, bad.what}
			}
			return entries, err
		}
		rest := fr.data
		for i := range uint64(fr.count) {
			n := binary.BigEndian.Uint32(rest)
			if number := fr.first + i; number >= r.next {
				entries = append(entries, Entry{number, rest[4 : 4+n : 4+n]})
				size += int(n)
			}
			rest = rest[4+n:]
		}
		r.offset, r.at = fr.end, fr.first+uint64(fr.count)
		r.next = max(r.next, r.at)
	}
	return entries, nil
}

// place opens the segment that holds the next entry, and tells where it ends.
func (r *Reader) place() (end int64, more bool, err error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.failed, fs.ErrClosed) {
		return 0, false, s.failed
	}
	if r.next >= s.next {
		return 0, false, nil
	}
	if r.f != nil {
		for _, g := range s.segments {
			if g.name == r.name {
				return g.size, true, nil
			}
		}
		r.Close() // trimmed, after it was read to its end
	}
	for _, g := range s.segments {
		if g.next <= r.next {
			continue
		}
		r.next = max(r.next, g.first) // behind a hole
		if r.f, err = s.disk.open(g.name, false); err != nil {
			return 0, false, err
		}
		r.name, r.offset, r.at = g.name, int64(headerSize), g.first
		return g.size, true, nil
	}
	return 0, false, fmt.Errorf("the spool has no segment for entry %d", r.next)
}

// Close closes the reader; Next opens it again.
func (r *Reader) Close() {
	if r.f != nil {
		r.f.Close() // only read
		r.f = nil
	}
}
