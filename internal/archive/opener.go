package archive

import (
	"context"
	"errors"
	"sync"
	"time"

	"filippo.io/age"

	"archivolt/internal/ledger"
	"archivolt/internal/message"
	"archivolt/internal/seal"
	"archivolt/internal/stanza"
	"archivolt/internal/store"
)

// epoch is the life of one data key of ours.
type epoch struct {
	id         ledger.ID
	number     uint64
	entry      *ledger.Epoch // nil if the ledger has none
	index      int64         // of the entry
	wraps      [][]byte
	identities []age.Identity

	once   sync.Once // unwrapping takes a while, and few epochs may be needed
	opened *seal.Epoch
	failed error
}

// readEpochs reads what the ledger and the store say of data keys. Nothing is
// unwrapped yet.
func readEpochs(s Store, id ledger.ID, identities []age.Identity) (map[uint64]*epoch, error) {
	epochs := map[uint64]*epoch{}
	wraps, err := s.Wraps(context.Background())
	if err != nil {
		return nil, err
	}
	for number, w := range wraps {
		epochs[number] = &epoch{id: id, number: number, wraps: w, identities: identities}
	}
	err = s.Others(context.Background(), func(e *store.Entry) error {
		entry, err := ledger.Parse(e.Other, id)
		if err != nil {
			return nil // verify names it; an epoch without a good entry is not certain
		}
		if found, ok := entry.(*ledger.Epoch); ok {
			ep := epochs[found.Number]
			if ep == nil {
				ep = &epoch{id: id, number: found.Number, identities: identities}
				epochs[found.Number] = ep
			}
			if ep.entry == nil {
				ep.entry, ep.index = found, e.Index
			}
		}
		return nil
	})
	return epochs, err
}

// open unwraps the data key, once.
func (e *epoch) open() (*seal.Epoch, error) {
	e.once.Do(func() { e.opened, e.failed = seal.OpenEpoch(e.id, e.number, e.wraps, e.identities...) })
	return e.opened, e.failed
}

// certain tells whether the opened key is the one that the ledger speaks of, and
// why it is not.
func (e *epoch) certain(opened *seal.Epoch) (reason string) {
	switch {
	case e.entry == nil:
		return "the ledger has no entry of the record's data key: nobody can say who made it"
	case e.entry.Commitment != opened.Commitment():
		return "the record's data key is not the one that the ledger has an entry of"
	}
	return ""
}

// opener opens records of ours, in one goroutine.
type opener struct {
	epochs map[*epoch]*keyed
	parsed stanza.Message
	plain  []byte
	last   [2]string // texts that the next record will say again
}

// keyed is an epoch as one goroutine uses it, or the reason why it is shut.
type keyed struct {
	*seal.Epoch
	fingerprint string
	uncertain   string
	shut        string
}

func (o *opener) epoch(e *epoch) *keyed {
	if k, ok := o.epochs[e]; ok {
		return k
	}
	k := &keyed{}
	switch opened, err := e.open(); {
	case err == nil:
		k.Epoch, k.fingerprint, k.uncertain = opened.Clone(), seal.Fingerprint(opened.Commitment()), e.certain(opened)
	case errors.Is(err, seal.ErrNotRecipient) && len(e.identities) == 0:
		k.shut = "no identity was given"
	case errors.Is(err, seal.ErrNotRecipient):
		k.shut = "its data key is sealed for none of the identities given"
	default:
		k.shut = "its wrapped data key is damaged"
	}
	if o.epochs == nil {
		o.epochs = map[*epoch]*keyed{}
	}
	o.epochs[e] = k
	return k
}

// open opens a record into m, which is overwritten.
func (o *opener) open(from *own, e *store.Entry, m *message.Message) {
	r := e.Record
	*m = message.Message{Row: e.Index + 1, Time: time.UnixMilli(r.Time).UTC(), Kind: message.Normal}
	ep := from.epochs[r.Epoch]
	if ep == nil {
		m.Status, m.Reason = message.NoKey, "the store has no data key for it"
		return
	}
	k := o.epoch(ep)
	if e.Sealed == nil {
		m.Status, m.Reason, m.Key = message.Damaged, "the record was erased", k.fingerprint
		return
	}
	if k.Epoch == nil {
		m.Status, m.Reason = message.NoKey, k.shut
		return
	}
	m.Key = k.fingerprint
	h := headerOf(r)
	plain, err := k.Open(o.plain[:0], &h, e.Sealed)
	if err != nil {
		m.Status, m.Reason = message.Damaged, "the record is not what was sealed: it, or what stands beside it in clear, was changed"
		return
	}
	o.plain = plain
	content, err := seal.ParseContent(plain)
	if err != nil {
		m.Status, m.Reason = message.Damaged, err.Error()
		return
	}
	if m.Reason = k.uncertain; m.Reason != "" {
		m.Status = message.Unverified
	}
	o.read(&content, m)
}

// read adds what the content of a record says.
func (o *opener) read(c *seal.Content, m *message.Message) {
	m.Direction = message.Direction(c.Direction)
	s := &o.parsed
	err := s.Parse(c.Stanza, o.last[0], o.last[1])
	m.StanzaRead = err == nil
	if err != nil && m.Reason == "" {
		m.Reason = "the stanza is not read to its end: " + err.Error()
	}
	m.From, m.To = message.ParseJID(s.From), message.ParseJID(s.To)
	m.Thread = message.Text{Text: s.Thread, Valid: s.Thread != ""}
	s.Fill(m)
	o.last[0], o.last[1] = s.From, s.To
	// A room's history comes with the room's own delay (XEP-0045 section 7.2.14);
	// one that the sender's client has set is passed on by rooms too.
	m.History = m.Room && s.Delay != nil && !m.ToRoom() && message.ParseJID(s.Delay.From).Bare == m.From.Bare
}
