package write

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"time"

	"archivolt/internal/stanza"
)

// With Options.PerMessage, a copy is left out if the message has a row already:
//
//   - one that a local user receives, if a row has it as its sender sent it;
//   - one that a local user receives, if a row has the same copy for another
//     client of his, or in a room for another occupant;
//   - one without a direction, if it has a stanza id and a row has the same.
//
// So a message between two local users has one row, of direction O; one from
// abroad has one, of direction I, whatever number of clients received it; and
// one in a room has one of each, since the room gives the sender another name.
//
// Nothing is left out that was said twice: who received a message as often as
// it was sent has all of it, and what he receives beyond that gets a row. What
// is remembered reaches back some minutes and not over a restart; beyond that,
// a message may have more rows than one, and never less.

// How far back messages are remembered.
const (
	remember     = 2 * time.Minute
	maxSightings = 200_000
)

// digest names a message by its content.
type digest [sha256.Size]byte

// sighting is what was seen of one message, or of several equal ones.
type sighting struct {
	rows int            // of it
	to   map[string]int // copies, by recipient
	last time.Time
}

// collapser remembers messages that have rows. What it learns counts once it is
// committed.
type collapser struct {
	stored  map[digest]*sighting
	pending map[digest]*sighting // not yet committed; in the place of those in stored
	now     func() time.Time
	prune   int // size of stored from which on the old ones are looked for
}

func newCollapser() collapser {
	return collapser{stored: map[digest]*sighting{}, pending: map[digest]*sighting{}, now: time.Now, prune: 1024}
}

func (k *collapser) begin() { clear(k.pending) }

func (k *collapser) commit() {
	maps.Copy(k.stored, k.pending)
	clear(k.pending)
	if len(k.stored) < k.prune {
		return
	}
	old := k.now().Add(-remember)
	maps.DeleteFunc(k.stored, func(_ digest, s *sighting) bool { return s.last.Before(old) })
	if len(k.stored) > maxSightings {
		clear(k.stored)
	}
	k.prune = max(1024, 2*len(k.stored))
}

// look returns the sighting of d, for changing; nil if there is none.
func (k *collapser) look(d digest) *sighting {
	if s := k.pending[d]; s != nil {
		return s
	}
	s := k.stored[d]
	if s == nil || k.now().Sub(s.last) > remember {
		return nil
	}
	mine := &sighting{rows: s.rows, to: maps.Clone(s.to), last: k.now()}
	k.pending[d] = mine
	return mine
}

// see is look, and makes one where there is none.
func (k *collapser) see(d digest) *sighting {
	s := k.look(d)
	if s == nil {
		s = &sighting{to: map[string]int{}, last: k.now()}
		k.pending[d] = s
	}
	return s
}

// known tells whether the message of a copy has a row already. If not, it has
// one from now on.
func (k *collapser) known(c *Copy, m *stanza.Message) bool {
	switch c.Direction {
	case 'O':
		if d, ok := bySaying(m); ok {
			k.see(d).rows++
		}
		return false
	case 'I':
		if d, ok := bySaying(m); ok {
			if s := k.look(d); s != nil && s.to[m.To] < s.rows {
				s.to[m.To]++
				return true
			}
		}
		s := k.see(byContent(c, m))
		if s.to[m.To]++; s.to[m.To] <= s.rows {
			return true
		}
		s.rows++
		return false
	}
	if m.ID == "" {
		return false
	}
	s := k.see(byContent(c, m))
	s.rows++
	return s.rows > 1
}

// bySaying names a message by who says what to whom, as a server leaves it on
// its way; elements that servers add are not part of it. A message without both
// id and body has no such name.
func bySaying(m *stanza.Message) (digest, bool) {
	body, has := m.Body()
	if m.ID == "" && !has {
		return digest{}, false
	}
	to, _ := bare(m.To)
	return digestOf("saying", m.From, to, m.ID, m.Type, m.Thread, body), true
}

// byContent names a message by all of it but the client that it is for, and in
// a room but the occupant.
func byContent(c *Copy, m *stanza.Message) digest {
	to, client := bare(m.To)
	if m.Type == "groupchat" && client != "" {
		to = ""
	}
	return digestOf("content", m.From, to, m.ID, m.Type, m.Lang, string(afterStartTag(c.Stanza)))
}

// digestOf hashes fields, each behind its length.
func digestOf(fields ...string) digest {
	size := 0
	for _, f := range fields {
		size += 8 + len(f)
	}
	b := make([]byte, 0, size)
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(f))), f...)
	}
	return sha256.Sum256(b)
}
