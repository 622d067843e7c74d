package capture

import (
	"context"
	"sync/atomic"
	"time"
)

// keeper brings checkpoints to one anchor, always the newest, in a goroutine of
// its own: an anchor that hangs holds up neither the store nor another anchor.
type keeper struct {
	anchor  Anchor
	s       *Service
	newest  chan []byte
	busy    atomic.Bool
	failing atomic.Bool
	ended   chan struct{}
}

func newKeeper(a Anchor, s *Service) *keeper {
	k := &keeper{anchor: a, s: s, newest: make(chan []byte, 1), ended: make(chan struct{})}
	go k.run()
	return k
}

func (k *keeper) run() {
	defer close(k.ended)
	for text := range k.newest {
		k.busy.Store(true)
		ctx, cancel := context.WithTimeout(context.Background(), anchorTimeout)
		err := k.anchor.Keep(ctx, text)
		cancel()
		k.busy.Store(false)
		k.failing.Store(err != nil)
		if err != nil { // the next one covers it too
			k.s.counts.anchorFailures.Add(1)
			k.s.cfg.Log.Error("a checkpoint was not anchored", "anchor", k.anchor.String(), "error", err)
		}
	}
}

// offer replaces what the anchor has not begun with. It is called by one
// goroutine.
func (k *keeper) offer(text []byte) {
	select {
	case <-k.newest:
		if k.busy.Load() && !k.failing.Swap(true) {
			k.s.counts.anchorFailures.Add(1)
			k.s.cfg.Log.Error("an anchor does not answer", "anchor", k.anchor.String())
		}
	default:
	}
	k.newest <- text
}

// endKeepers gives the anchors time for the last checkpoint. One that hangs is
// left behind.
func (s *Service) endKeepers() {
	for _, k := range s.keepers {
		close(k.newest)
	}
	limit := time.NewTimer(anchorTimeout)
	defer limit.Stop()
	for _, k := range s.keepers {
		select {
		case <-k.ended:
		case <-limit.C:
			return
		}
	}
}

// anchorsFailing counts the anchors that did not take the last checkpoint.
func (s *Service) anchorsFailing() (n int64) {
	for _, k := range s.keepers {
		if k.failing.Load() {
			n++
		}
	}
	return n
}
