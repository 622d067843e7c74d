package capture

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/spool"
	"archivolt/internal/store"
)

// failing plays a store that does not take batches, or loses the answer.
type failing struct {
	Sink
	mu   sync.Mutex
	fail func(before bool) error
}

func (f *failing) Append(b *store.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail(true); err != nil {
		return err
	}
	if err := f.Sink.Append(b); err != nil {
		return err
	}
	return f.fail(false)
}

// TestFailingStore: batches fail before and after they were written.
func TestFailingStore(t *testing.T) {
	p := newPlace(t)
	n := 0
	sink := &failing{Sink: p.sink(t), fail: func(before bool) error {
		n++
		if n%5 == 2 || n%5 == 4 {
			return errors.New("the store is away")
		}
		return nil
	}}
	s, err := Start(p.config(), sink)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(20) {
		if err := deliver(s, numbered(i*10+1, i*10+10)); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	p.audit(t).wantNumbered(t, 200)
	if n < 4 {
		t.Errorf("only %d attempts", n)
	}
}

// TestLostAnswer: the store takes a batch and the answer is lost. Nothing comes
// after it: neither is the store called failing any longer, nor does the next
// start find delivery numbers that it does not know.
func TestLostAnswer(t *testing.T) {
	p := newPlace(t)
	lose := false
	sink := &failing{Sink: p.sink(t), fail: func(before bool) error {
		if !before && lose {
			lose = false
			return errors.New("the answer is lost")
		}
		return nil
	}}
	cfg := p.config()
	cfg.CheckpointEvery = 10 * time.Millisecond
	s, err := Start(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	stored := func() bool { return s.Status().Queued == 0 }
	until(t, stored)
	sink.mu.Lock()
	lose = true
	sink.mu.Unlock()
	if err := deliver(s, numbered(1, 10)); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return s.Status().StoreFails == 1 })
	until(t, stored)
	until(t, func() bool { return s.Status().Size == int64(s.Status().Stored) })
	if st := s.Status(); st.StoreDown || st.Stored < 14 { // four of the start: created, started, configuration, epoch
		t.Errorf("%+v", st)
	}
	// As after kill -9: the last checkpoint is all that the next start has.
	p.copy(t, "killed")
	stop(t, s)
	p.dir = filepath.Join(p.dir, "killed")
	s = p.start(t, p.config())
	if st := s.Status(); !st.Disorderly || st.AnchorMissing || st.OtherRecipients {
		t.Errorf("%+v", st)
	}
	stop(t, s)
	p.audit(t).wantNumbered(t, 10)
}

// TestStatusOfAnchors: how many do not take checkpoints, and whether the last
// start found its own.
func TestStatusOfAnchors(t *testing.T) {
	p := newPlace(t)
	away := filepath.Join(p.dir, "away", "anchors.txt")
	cfg := p.config()
	cfg.CheckpointEvery = 10 * time.Millisecond
	cfg.Anchors = []Anchor{FileAnchor(filepath.Join(p.dir, "anchors.txt")), FileAnchor(away)}
	s := p.start(t, cfg)
	until(t, func() bool { return s.Status().AnchorFails > 0 })
	if st := s.Status(); st.Anchors != 2 || st.AnchorsFailing != 1 || st.Disorderly || st.AnchorMissing || st.OtherRecipients {
		t.Errorf("%+v", st)
	}
	if err := os.Mkdir(filepath.Dir(away), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := deliver(s, numbered(1, 1)); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return s.Status().AnchorsFailing == 0 })
	stop(t, s)
	if err := os.Remove(filepath.Join(p.config().StateDir, anchorName)); err != nil {
		t.Fatal(err)
	}
	s = p.start(t, p.config())
	if st := s.Status(); !st.AnchorMissing || st.Anchors != 0 {
		t.Errorf("%+v", st)
	}
	stop(t, s)
	cfg = p.config()
	cfg.Recipients = newPlace(t).recipients
	s = p.start(t, cfg)
	if st := s.Status(); !st.OtherRecipients || st.AnchorMissing || st.Disorderly {
		t.Errorf("%+v", st)
	}
}

// until polls a condition.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in half a minute")
		}
	}
}

// copy copies store and state, while they are in use, into a folder below.
func (p *place) copy(t *testing.T, name string) {
	t.Helper()
	to := filepath.Join(p.dir, name)
	if err := os.CopyFS(filepath.Join(to, "state"), os.DirFS(p.config().StateDir)); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(p.db() + suffix)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, "archive.db"+suffix), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// startAway starts a service with a small spool whose store is away until back
// is called.
func (p *place) startAway(t *testing.T) (s *Service, back func()) {
	t.Helper()
	away := true
	sink := &failing{Sink: p.sink(t)}
	sink.fail = func(bool) error {
		if away {
			return errors.New("the store is away")
		}
		return nil
	}
	cfg := p.config()
	cfg.SpoolBytes, cfg.SegmentBytes = 64<<10, 8<<10
	s, err := Start(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		away = false
	}
}

// TestRefusedInTurn: after a parcel was refused none of the same connection is
// taken before it, or it would look like a repetition when it comes again.
func TestRefusedInTurn(t *testing.T) {
	p := newPlace(t)
	s, back := p.startAway(t)
	last := uint64(0)
	for deliver(s, numbered(last+1, last+20)) == nil {
		last += 20
	}
	if err := deliver(s, numbered(last+21, last+21)); err == nil { // one that fits
		t.Fatal("a copy was taken before the one that was refused")
	}
	back()
	until(t, func() bool { return s.Status().Queued == 0 })
	if err := deliver(s, numbered(last+21, last+40)); !errors.Is(err, errTurn) {
		t.Fatalf("what follows the refused parcel gives %v", err)
	}
	if err := deliver(s, numbered(last+1, last+20)); err != nil {
		t.Fatal(err)
	}
	if err := deliver(s, numbered(last+21, last+40)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	a := p.audit(t)
	a.wantNumbered(t, last+40)
	if got := a.named(ledger.Gap); len(got) > 0 {
		t.Errorf("gaps: %q", got)
	}
}

// TestFullSpool: while the store is away nothing is acknowledged beyond what
// fits, and nothing that was acknowledged is lost.
func TestFullSpool(t *testing.T) {
	p := newPlace(t)
	s, back := p.startAway(t)
	last := uint64(0)
	for {
		err := deliver(s, numbered(last+1, last+10))
		if errors.Is(err, spool.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last += 10
	}
	if st := s.Status(); !st.SpoolFull || st.SpoolBytes > st.SpoolMax+2<<20 || last < 50 {
		t.Errorf("full after %d: %+v", last, st)
	}
	back()
	for {
		err := deliver(s, numbered(last+1, last+10))
		if err == nil {
			break
		}
		if !errors.Is(err, spool.ErrFull) {
			t.Fatal(err)
		}
		select { // until the store has taken some
		case <-s.room:
		case <-time.After(time.Second):
		}
	}
	stop(t, s)
	a := p.audit(t)
	a.wantNumbered(t, last+10)
	if got := a.names(); !slices.Contains(got, ledger.SpoolFull) || !slices.Contains(got, ledger.SpoolFree) {
		t.Errorf("the events are %v", got)
	}
}

func TestFenced(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	other := p.sink(t)
	defer other.Close()
	if _, err := other.TakeOver(); err != nil {
		t.Fatal(err)
	}
	_ = deliver(s, numbered(1, 1)) // perhaps it is not yet known
	<-s.Done()
	if !errors.Is(s.Err(), store.ErrFenced) {
		t.Errorf("the service ended with %v", s.Err())
	}
}

func TestState(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(t *testing.T, p *place)
		want  string        // in the error; empty if it starts
		event ledger.Name   // that there must be then
		class problem.Class // of the error
	}{
		{"nothing", func(t *testing.T, p *place) {}, "", "", 0},
		{"no anchor", func(t *testing.T, p *place) { os.Remove(filepath.Join(p.dir, "state", anchorName)) }, "", ledger.AnchorMissing, 0},
		{"an anchor that was cut", func(t *testing.T, p *place) {
			os.WriteFile(filepath.Join(p.dir, "state", anchorName), []byte("{"), 0o600)
		}, "damaged", "", problem.Failed},
		{"an anchor that was changed", func(t *testing.T, p *place) {
			edit(t, filepath.Join(p.dir, "state", anchorName), func(s string) string { return strings.Replace(s, `archivolt/a5`, `archivolt/a6`, 1) })
		}, "not signed", "", problem.Unverified},
		{"no key", func(t *testing.T, p *place) { os.Remove(filepath.Join(p.dir, "state", keyName)) }, "key that signs", "", problem.Failed},
		{"another's key", func(t *testing.T, p *place) {
			secret, _, _ := ledger.NewSigningKey(zeros{}, ledger.ID{9})
			os.WriteFile(filepath.Join(p.dir, "state", keyName), []byte(secret), 0o600)
		}, "not the checkpoint key", "", problem.Failed},
		{"no store", func(t *testing.T, p *place) {
			for _, s := range []string{"", "-wal", "-shm"} {
				os.Remove(p.db() + s)
			}
		}, "an older copy was put back", "", problem.Unverified},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			s := p.start(t, p.config())
			if err := deliver(s, numbered(1, 20)); err != nil {
				t.Fatal(err)
			}
			stop(t, s)
			c.do(t, p)
			s, err := Start(p.config(), p.sink(t))
			if err == nil {
				stop(t, s)
			}
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || problem.ClassOf(err) != c.class):
				t.Errorf("%v, want %q", err, c.want)
			case c.event != "" && !slices.Contains(p.audit(t).names(), c.event):
				t.Errorf("there is no event %s", c.event)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(content))
	if changed == string(content) {
		t.Fatalf("nothing of %s was changed", path)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzDecode: any entry of the spool is taken or refused, and what is taken is
// what encode writes.
func FuzzDecode(f *testing.F) {
	id := ledger.ID{1}
	event := ledger.Event{Name: ledger.Gap}
	record := ledger.Record{Source: "s"}
	f.Add(encode(event.Append(nil, id)))
	f.Add(encode(record.Append(nil, id), []byte("sealed")))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, canonical, rest, err := decode(data, id)
		if err != nil {
			return
		}
		if again := encode(append([][]byte{canonical}, rest...)...); !bytes.Equal(again, data) {
			t.Errorf("%x is written again as %x", data, again)
		}
	})
}
