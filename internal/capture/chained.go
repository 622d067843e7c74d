package capture

import (
	"maps"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/spool"
	"archivolt/internal/store"
)

// chained is an archive of ours: a store, whose entries are chained into a
// ledger, with its checkpoints and anchors.
type chained struct {
	s     *Service
	sink  Sink
	state *state
	head  store.Head
	tree  *ledger.Tree
	marks map[string]uint64

	recipients string // of the last epoch in a batch
}

func (c *chained) resume() (at position, err error) {
	if c.head, err = c.sink.Head(); err != nil {
		return at, err
	}
	cfg := &c.s.cfg
	if c.state, err = openState(cfg.StateDir, c.head.ID, c.head.Size == 0); err != nil {
		return at, err
	}
	if c.marks, err = checkStore(c.sink, c.state, c.head); err != nil {
		return at, err
	}
	at = position{id: c.head.ID, size: c.head.Size, spool: c.head.Spool, marks: c.marks,
		orderly: c.state.Stopped, anchorMissing: c.state.Missing, recipients: c.state.Recipients}
	c.tree, err = ledger.NewTree(c.head.Size, c.sink.Tile)
	return at, err
}

func (c *chained) holds(leaf ledger.Hash, before uint64) (bool, error) {
	if before >= uint64(c.head.Size) {
		return false, nil
	}
	index := c.head.Size - 1 - int64(before)
	there, err := ledger.LeafAt(c.head.Size, c.head.Root, c.sink, index)
	if err != nil {
		return false, err
	}
	return there == leaf, nil
}

func (c *chained) takeOver() (epoch uint64, err error) {
	head, err := c.sink.TakeOver()
	if err != nil {
		return 0, err
	}
	if head.Size != c.head.Size {
		return 0, problem.New(problem.Failed, "the store", "another archivoltd is writing to it", "stop that one first: it has now been shut out; then start again")
	}
	c.head = head
	return head.Epoch, nil
}

func (c *chained) put(entries []spool.Entry) error {
	batch, err := c.batch(entries)
	if err != nil {
		return err
	}
	c.s.cfg.step(stepBatchMade)
	if err := c.sink.Append(batch); err != nil {
		return err
	}
	c.head = batch.Head
	for _, e := range batch.Entries {
		if e.Epoch > 0 { // its entry stands behind the event that tells of other recipients
			c.state.Recipients = c.recipients
		}
	}
	for source, mark := range batch.Marks {
		c.marks[source] = max(c.marks[source], mark)
	}
	c.s.cfg.step(stepHeadSwapped)
	return nil
}

func (c *chained) again() (stored uint64, err error) {
	head, err := c.sink.Head()
	if err != nil {
		return 0, err
	}
	if head.Generation != c.head.Generation {
		return 0, store.ErrFenced
	}
	tree, err := ledger.NewTree(head.Size, c.sink.Tile)
	if err != nil {
		return 0, err
	}
	marks, err := c.sink.Marks()
	if err != nil {
		return 0, err
	}
	c.head, c.tree, c.marks = head, tree, marks
	return head.Spool, nil
}

// batch chains entries into the ledger.
func (c *chained) batch(entries []spool.Entry) (*store.Batch, error) {
	if c.tree.Size() != c.head.Size { // the last batch was not taken
		tree, err := ledger.NewTree(c.head.Size, c.sink.Tile)
		if err != nil {
			return nil, err
		}
		c.tree = tree
	}
	b := &store.Batch{Head: c.head, Marks: map[string]uint64{}}
	for _, e := range entries {
		entry, canonical, rest, err := decode(e.Data, c.head.ID)
		if err != nil {
			return nil, err
		}
		se := store.Entry{Index: c.tree.Size()}
		switch entry := entry.(type) {
		case *ledger.Record:
			se.Record, se.Sealed = entry, rest[0]
			if ledger.Numbered(entry.Source) {
				b.Marks[entry.Source] = max(b.Marks[entry.Source], entry.Number)
			}
		case *ledger.Epoch:
			se.Other, se.Epoch, se.Wraps = canonical, entry.Number, rest
			c.recipients = hexList(entry.Recipients)
			b.Head.Epoch = entry.Number
		default:
			se.Other = canonical
		}
		b.Entries = append(b.Entries, se)
		c.tree.Append(ledger.Leaf(canonical))
	}
	root, err := c.tree.Root()
	if err != nil {
		return nil, err
	}
	b.Head.Size, b.Head.Root, b.Head.Spool = c.tree.Size(), root, entries[len(entries)-1].Number
	b.Tiles = c.tree.Tiles()
	return b, nil
}

func (c *chained) last() (size int64, at time.Time) { return c.state.last() }

func (c *chained) close() error { return c.sink.Close() }

// checkpoint signs the head and anchors it, if it is not the last one's.
func (c *chained) checkpoint(stopped bool) error {
	s := c.s
	if size, _ := c.state.last(); size == c.head.Size && c.state.Stopped == stopped && size > 0 {
		return nil
	}
	point := &ledger.Checkpoint{ID: s.id, Size: c.head.Size, Root: c.head.Root, Time: s.cfg.now().UTC().Truncate(time.Millisecond)}
	text, err := point.Sign(c.state.key)
	if err != nil {
		return err
	}
	s.cfg.step(stepCheckpoint)
	if err := c.sink.SaveCheckpoint(text); err != nil {
		s.cfg.Log.Error("the store does not take the checkpoint", "error", err)
	}
	if err := c.state.set(point, text, maps.Clone(c.marks), stopped); err != nil {
		return err
	}
	s.cfg.step(stepAnchored)
	for _, k := range s.keepers {
		k.offer(text)
	}
	return nil
}
