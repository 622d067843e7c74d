package capture

import (
	"errors"
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

// archive is where the storer brings what was captured.
type archive interface {
	// resume tells where the archive ends, and refuses one that is not the one
	// that was left.
	resume() (position, error)
	// holds tells whether the entry with the leaf stands where it should, so many
	// entries before the last one.
	holds(leaf ledger.Hash, before uint64) (bool, error)
	// takeOver shuts out every other writer, and returns the last epoch.
	takeOver() (epoch uint64, err error)
	// put brings entries in, all or none of them. After an error that is not
	// store.ErrFenced, again tells up to which number they are there; after
	// errReplaced nobody can.
	put([]spool.Entry) error
	again() (stored uint64, err error)
	// checkpoint makes the state of the archive known, also when nothing has
	// come in; stopped says that this is the orderly end.
	checkpoint(stopped bool) error
	// last returns the size and time of the last checkpoint. It may be called
	// at any time.
	last() (size int64, at time.Time)
	close() error
}

// position is the state of an archive at the start.
type position struct {
	id            ledger.ID
	size          int64             // entries; 0 for a new one
	spool         uint64            // number of the last entry of the spool that it has
	left          uint64            // the same, when it was left, where that may differ
	marks         map[string]uint64 // highest delivery number, by source
	orderly       bool              // the last run ended in order
	anchorMissing bool
	recipients    string // of the last run; empty if nobody knows
}

// storer moves entries from the spool into the archive. It runs in one
// goroutine, and alone uses the archive.
type storer struct {
	s      *Service
	to     archive
	reader *spool.Reader
	hurry  atomic.Bool // the archive is not waited for
}

// run works until the sealer has ended and the spool is empty.
func (w *storer) run() {
	s := w.s
	defer close(s.done)
	defer w.close()
	checkpoints := time.NewTicker(s.cfg.CheckpointEvery)
	defer checkpoints.Stop()
	w.checkpoint(false) // from now on the end is not an orderly one
	for {
		ended := false
		select {
		case <-s.more:
		case <-s.sealed:
			ended = true
		case <-checkpoints.C:
			w.checkpoint(false)
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
			w.checkpoint(drained && s.Err() == nil)
			return
		}
	}
}

// checkpoint makes the state of the archive known. That it cannot, as on a full
// disk, is no reason to stop: the next one covers it, and the one before it
// stands.
func (w *storer) checkpoint(stopped bool) {
	err := w.to.checkpoint(stopped)
	w.s.counts.anchorFailing.Store(err != nil)
	if err != nil {
		w.s.counts.anchorFailures.Add(1)
		w.s.cfg.Log.Error("no checkpoint could be kept; the next one covers it", "error", err)
	}
}

// close gives back what is open.
func (w *storer) close() {
	w.reader.Close()
	w.s.endKeepers()
	if err := errors.Join(w.s.spool.Close(), w.to.close(), w.s.lock.Close()); err != nil {
		w.s.cfg.Log.Warn("closing", "error", err)
	}
}

// drain moves all that is in the spool, and tells whether it is empty.
func (w *storer) drain(checkpoints <-chan time.Time) (drained bool, err error) {
	s := w.s
	for {
		select {
		case <-checkpoints:
			w.checkpoint(false)
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
		if entry, _, _, err := decode(entries[0].Data, s.id); err == nil { // put tells of one that is not valid
			s.counts.oldest.Store(timeOf(entry))
		}
		if err := w.move(entries); err != nil {
			if errors.Is(err, errHurry) { // the reader is behind what was not moved
				w.reader.Close()
				w.reader = s.spool.Reader(s.counts.moved.Load())
				return false, nil
			}
			return false, err
		}
	}
}

// errReplaced says that the archive is not the one any more that was written to.
var errReplaced = errors.New("the archive was replaced while archivoltd was running")

var errHurry = errors.New("there is no time to wait for the store")

// move brings entries into the store, however long that takes.
func (w *storer) move(entries []spool.Entry) error {
	s := w.s
	wait := minRetry
	for {
		err := w.to.put(entries)
		if err == nil {
			w.took(entries)
			return w.trim()
		}
		if errors.Is(err, store.ErrFenced) || errors.Is(err, errPayload) {
			return spoolProblem(s.cfg.StateDir, err)
		}
		s.counts.storeFailing.Store(true)
		s.counts.storeFailures.Add(1)
		s.cfg.Log.Error("the store does not take what was captured; it waits in the spool", "error", err, "again_in", wait.String())
		var end <-chan struct{}
		if errors.Is(err, ErrLocked) || errors.Is(err, ErrHeld) { // which are not the database's to end
			end = s.sealed
		}
		if err := w.pause(wait, end); err != nil {
			return err
		}
		wait = min(2*wait, maxRetry)
		// Whether they are there after all, the archive must tell.
		stored, err := w.to.again()
		switch {
		case errors.Is(err, store.ErrFenced), errors.Is(err, errReplaced):
			return err
		case err != nil:
			s.cfg.Log.Error("the store does not answer", "error", err)
			continue
		}
		there := 0
		for there < len(entries) && entries[there].Number <= stored {
			there++
		}
		if there > 0 {
			w.took(entries[:there])
		}
		if entries = entries[there:]; len(entries) == 0 {
			return w.trim()
		}
	}
}

// pause waits, unless the service has to end, or does and end says so.
func (w *storer) pause(wait time.Duration, end <-chan struct{}) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-end:
			return errHurry
		case <-tick.C:
			if w.hurry.Load() {
				return errHurry
			}
		}
	}
}

// took notes that the archive has entries.
func (w *storer) took(entries []spool.Entry) {
	w.s.counts.moved.Store(entries[len(entries)-1].Number)
	w.s.counts.stored.Add(uint64(len(entries)))
	w.s.counts.storeFailing.Store(false)
}

func (w *storer) trim() error {
	if err := w.s.spool.Trim(w.s.counts.moved.Load()); err != nil {
		return err
	}
	w.s.signal(w.s.room)
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
