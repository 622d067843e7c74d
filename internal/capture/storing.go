package capture

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/spool"
	"archivolt/internal/store"
)

// Waits between attempts at a store that does not take a batch.
const (
	minRetry = 500 * time.Millisecond
	maxRetry = 30 * time.Second
)

// storer moves entries from the spool into the store, and signs checkpoints. It
// runs in one goroutine and alone uses the sink.
type storer struct {
	s      *Service
	head   store.Head
	tree   *ledger.Tree
	marks  map[string]uint64
	reader *spool.Reader
	hurry  atomic.Bool // the store is not waited for
}

// begin continues after head.
func (w *storer) begin(s *Service, head store.Head, marks map[string]uint64) (err error) {
	w.s, w.head = s, head
	w.reader = s.spool.Reader(head.Spool)
	w.marks = maps.Clone(marks)
	w.tree, err = ledger.NewTree(head.Size, s.sink.Tile)
	return err
}

// run works until the sealer has ended and the spool is empty.
func (w *storer) run() {
	s := w.s
	defer close(s.done)
	defer w.close()
	checkpoints := time.NewTicker(s.cfg.CheckpointEvery)
	defer checkpoints.Stop()
	if err := w.checkpoint(false); err != nil { // from now on the end is not an orderly one
		s.fail(err)
		return
	}
	for {
		ended := false
		select {
		case <-s.more:
		case <-s.sealed:
			ended = true
		case <-checkpoints.C:
			if err := w.checkpoint(false); err != nil {
				s.fail(err)
			}
			continue
		}
		drained, err := w.drain(checkpoints.C)
		if err != nil {
			s.fail(err)
			<-s.sealed
			return
		}
		if ended {
			// What the sealer put in before it ended may have been missed.
			if drained {
				if drained, err = w.drain(nil); err != nil {
					s.fail(err)
					return
				}
			}
			if err := w.checkpoint(drained && s.Err() == nil); err != nil {
				s.fail(err)
			}
			return
		}
	}
}

// close gives back what is open.
func (w *storer) close() {
	w.reader.Close()
	if err := errors.Join(w.s.spool.Close(), w.s.sink.Close()); err != nil {
		w.s.cfg.Log.Warn("closing", "error", err)
	}
}

// drain moves all that is in the spool, and tells whether it is empty.
func (w *storer) drain(checkpoints <-chan time.Time) (drained bool, err error) {
	s := w.s
	for {
		select {
		case <-checkpoints:
			if err := w.checkpoint(false); err != nil {
				return false, err
			}
		default:
		}
		if w.hurry.Load() {
			return false, nil
		}
		entries, err := w.reader.Next(maxStoreBytes)
		if err != nil {
			return false, spoolProblem(s.cfg.StateDir, err)
		}
		if len(entries) == 0 {
			s.counts.oldest.Store(0)
			return true, nil
		}
		if err := w.move(entries); err != nil {
			if errors.Is(err, errHurry) {
				return false, nil
			}
			return false, err
		}
	}
}

var errHurry = errors.New("there is no time to wait for the store")

// move brings entries into the store, however long that takes.
func (w *storer) move(entries []spool.Entry) error {
	s := w.s
	wait := minRetry
	for {
		batch, err := w.batch(entries)
		if err != nil {
			return err
		}
		s.cfg.step(stepBatchMade)
		err = s.sink.Append(batch)
		if err == nil {
			w.stored(batch)
			s.cfg.step(stepHeadSwapped)
			return w.trim()
		}
		if errors.Is(err, store.ErrFenced) {
			return err
		}
		s.counts.storeFailing.Store(true)
		s.cfg.Log.Error("the store does not take what was captured; it waits in the spool", "error", err, "again_in", wait)
		if err := w.pause(wait); err != nil {
			return err
		}
		wait = min(2*wait, maxRetry)
		// Whether the batch is there after all, the store must tell.
		if entries, err = w.again(entries); err != nil {
			s.cfg.Log.Error("the store does not answer", "error", err, "again_in", wait)
		}
		if len(entries) == 0 {
			return nil
		}
	}
}

// pause waits, unless the service has to end.
func (w *storer) pause(wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-tick.C:
			if w.hurry.Load() {
				return errHurry
			}
		}
	}
}

// again reads the store's head and continues from there: it returns the
// entries that it does not have.
func (w *storer) again(entries []spool.Entry) ([]spool.Entry, error) {
	head, err := w.s.sink.Head()
	if err != nil {
		return entries, err
	}
	if head.Generation != w.head.Generation {
		return entries, store.ErrFenced
	}
	tree, err := ledger.NewTree(head.Size, w.s.sink.Tile)
	if err != nil {
		return entries, err
	}
	w.head, w.tree = head, tree
	for len(entries) > 0 && entries[0].Number <= head.Spool {
		entries = entries[1:]
	}
	return entries, nil
}

// batch chains entries into the ledger.
func (w *storer) batch(entries []spool.Entry) (*store.Batch, error) {
	if w.tree.Size() != w.head.Size { // the last batch was not taken
		tree, err := ledger.NewTree(w.head.Size, w.s.sink.Tile)
		if err != nil {
			return nil, err
		}
		w.tree = tree
	}
	b := &store.Batch{Head: w.head, Marks: map[string]uint64{}}
	for _, e := range entries {
		entry, canonical, rest, err := decode(e.Data, w.s.id)
		if err != nil {
			return nil, spoolProblem(w.s.cfg.StateDir, err)
		}
		if e.Number == entries[0].Number {
			w.s.counts.oldest.Store(timeOf(entry))
		}
		se := store.Entry{Index: w.tree.Size()}
		switch entry := entry.(type) {
		case *ledger.Record:
			se.Record, se.Sealed = entry, rest[0]
			b.Marks[entry.Source] = max(b.Marks[entry.Source], entry.Number)
		case *ledger.Epoch:
			se.Other, se.Epoch, se.Wraps = canonical, entry.Number, rest
			b.Head.Epoch = entry.Number
		default:
			se.Other = canonical
		}
		b.Entries = append(b.Entries, se)
		w.tree.Append(ledger.Leaf(canonical))
	}
	root, err := w.tree.Root()
	if err != nil {
		return nil, err
	}
	b.Head.Size, b.Head.Root, b.Head.Spool = w.tree.Size(), root, entries[len(entries)-1].Number
	b.Tiles = w.tree.Tiles()
	return b, nil
}

// stored notes that the store has a batch.
func (w *storer) stored(b *store.Batch) {
	w.head = b.Head
	for source, mark := range b.Marks {
		w.marks[source] = max(w.marks[source], mark)
	}
	w.s.counts.stored.Add(uint64(len(b.Entries)))
	w.s.counts.storeFailing.Store(false)
}

func (w *storer) trim() error {
	if err := w.s.spool.Trim(w.head.Spool); err != nil {
		return err
	}
	w.s.signal(w.s.room)
	return nil
}

// checkpoint signs the head and anchors it, if it is not the last one's.
func (w *storer) checkpoint(stopped bool) error {
	s := w.s
	if size, _ := s.state.last(); size == w.head.Size && s.state.Stopped == stopped && size > 0 {
		return nil
	}
	c := &ledger.Checkpoint{ID: s.id, Size: w.head.Size, Root: w.head.Root, Time: s.cfg.now().UTC().Truncate(time.Millisecond)}
	text, err := c.Sign(s.state.key)
	if err != nil {
		return err
	}
	s.cfg.step(stepCheckpoint)
	if err := s.sink.SaveCheckpoint(text); err != nil {
		s.cfg.Log.Error("the store does not take the checkpoint", "error", err)
	}
	if err := s.state.set(c, text, maps.Clone(w.marks), stopped); err != nil {
		return err
	}
	s.cfg.step(stepAnchored)
	ctx, cancel := context.WithTimeout(context.Background(), anchorTimeout)
	defer cancel()
	for _, a := range s.cfg.Anchors {
		if err := a.Keep(ctx, text); err != nil { // the next one covers it too
			s.cfg.Log.Error("a checkpoint was not anchored", "anchor", a.String(), "error", err)
		}
	}
	return nil
}

// timeOf is the time of an entry, milliseconds since 1970.
func timeOf(entry ledger.Entry) int64 {
	switch e := entry.(type) {
	case *ledger.Record:
		return e.Time
	case *ledger.Epoch:
		return e.Time
	default:
		return entry.(*ledger.Event).Time
	}
}
