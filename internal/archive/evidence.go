package archive

import (
	"context"
	"errors"
	"fmt"

	"archivolt/internal/ledger"
	"archivolt/internal/message"
	"archivolt/internal/seal"
	"archivolt/internal/store"
)

// Evidence ties one record of ours to the signed ledger.
type Evidence struct {
	Index int64
	Entry []byte              // canonical bytes of the ledger's entry
	Key   *[seal.KeySize]byte // of the record's commitment; nil for a record that does not open
	Plain []byte              // its canonical plaintext, nil likewise
	Proof []ledger.Hash       // that the entry is in the tree of the ledger's checkpoint; nil if it is not shown
}

// ProvenLedger is a ledger with the checkpoint that evidence refers to.
type ProvenLedger struct {
	Name       string // as Tables has it
	ID         ledger.ID
	Checkpoint []byte // signed; nil if there is none that fits the ledger's tree
}

// Prover finds evidence, while the archive is being read. It is not safe for
// concurrent use.
type Prover struct {
	names  []string
	places map[string]*provingPlace
}

// provingPlace is a ledger with its own snapshot, which may be newer than the
// one that is read.
type provingPlace struct {
	Store
	own        *own
	head       store.Head
	checkpoint *ledger.Checkpoint
	text       []byte
	tiles      map[[2]int64][]byte
	opener     opener
}

// maxTiles bounds the tiles that are kept.
const maxTiles = 256

// Prover returns what finds evidence for the records of an archive of ours, nil
// for one of Cisco's. The caller closes it.
func (a *Archive) Prover() (*Prover, error) {
	if a.Kind() != Own {
		return nil, nil
	}
	p := &Prover{places: map[string]*provingPlace{}}
	for _, part := range a.parts {
		place, err := prove(part.stored.(*own))
		if err != nil {
			p.Close()
			return nil, err
		}
		p.names = append(p.names, part.name)
		p.places[part.name] = place
	}
	return p, nil
}

func prove(o *own) (*provingPlace, error) {
	s, err := OpenStore(o.path)
	if err != nil {
		return nil, err
	}
	p := &provingPlace{Store: s, own: o, tiles: map[[2]int64][]byte{}}
	if p.head, err = s.Head(); err == nil {
		p.text, err = s.Checkpoint()
	}
	if err != nil {
		_ = s.Close() // only read
		return nil, err
	}
	c, err := ledger.ReadCheckpoint(p.text)
	if err == nil && c.ID == p.head.ID && c.Size <= p.head.Size && p.consistent(c) {
		p.checkpoint = c
	}
	return p, nil
}

// consistent tells whether the ledger's tree goes on from the checkpoint.
func (p *provingPlace) consistent(c *ledger.Checkpoint) bool {
	if c.Size == 0 {
		return true
	}
	root, err := ledger.RootAt(c.Size, ledger.Reader(p.head.Size, p.head.Root, p))
	return err == nil && root == c.Root
}

// Tile reads a tile, or has it still.
func (p *provingPlace) Tile(level int, n int64, width int) ([]byte, error) {
	key := [2]int64{int64(level), n}
	if t, ok := p.tiles[key]; ok {
		return t, nil
	}
	t, err := p.Store.Tile(level, n, width)
	if err == nil {
		if len(p.tiles) >= maxTiles {
			clear(p.tiles)
		}
		p.tiles[key] = t
	}
	return t, err
}

// Close closes what the Prover reads from.
func (p *Prover) Close() {
	for _, place := range p.places {
		_ = place.Store.Close() // only read
	}
}

// Ledgers lists the ledgers, in the order of Tables.
func (p *Prover) Ledgers() (list []ProvenLedger) {
	for _, name := range p.names {
		place := p.places[name]
		l := ProvenLedger{Name: name, ID: place.head.ID}
		if place.checkpoint != nil {
			l.Checkpoint = place.text
		}
		list = append(list, l)
	}
	return list
}

// Evidence finds the evidence for a record that was read. What is no part of the
// signed ledger, or not any more what it was, has no proof.
func (p *Prover) Evidence(ctx context.Context, o message.Origin) (e Evidence, err error) {
	place := p.places[o.Source]
	e.Index = o.Row - 1
	found := false
	err = place.Records(ctx, store.Query{From: e.Index, To: e.Index + 1}, func(stored *store.Entry) error {
		found = true
		r := stored.Record
		e.Entry = r.Append(nil, place.head.ID)
		ep := place.own.epochs[r.Epoch]
		if ep == nil || stored.Sealed == nil {
			return nil
		}
		k := place.opener.epoch(ep)
		if k.Epoch == nil {
			return nil
		}
		h := headerOf(r)
		plain, err := k.Open(nil, &h, stored.Sealed)
		if err != nil {
			return nil // the message says so
		}
		key := k.RecordKey(&h)
		if seal.Commit(key, plain) == r.Commitment {
			e.Key, e.Plain = &key, plain
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%s: entry %d is not there any more", o.Source, e.Index)
	}
	if c := place.checkpoint; err == nil && c != nil && e.Index < c.Size {
		proof, failed := ledger.Prove(c.Size, e.Index, ledger.Reader(place.head.Size, place.head.Root, place))
		if errors.Is(failed, store.ErrChanged) {
			return e, failed
		}
		if failed == nil && ledger.CheckProof(proof, c.Size, c.Root, e.Index, ledger.Leaf(e.Entry)) == nil {
			e.Proof = proof
			if e.Proof == nil { // of the only entry
				e.Proof = []ledger.Hash{}
			}
		}
	}
	return e, err
}
