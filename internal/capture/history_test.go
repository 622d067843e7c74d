//go:build unix

package capture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/durable"
	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
	"archivolt/internal/xmpp"
)

// away starts the daemon, delivers while the store is away, and ends it: what
// was acknowledged is in the spool alone.
func (p *place) away(t *testing.T, from, to uint64) {
	t.Helper()
	sink := &failing{Sink: p.sink(t), fail: func(bool) error { return os.ErrDeadlineExceeded }}
	s, err := Start(p.config(), sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := deliver(s, numbered(from, to)); err != nil {
		t.Fatal(err)
	}
	stopAtOnce(t, s)
}

func (p *place) run(t *testing.T, from, to uint64) {
	t.Helper()
	s := p.start(t, p.config())
	if err := deliver(s, numbered(from, to)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
}

func (p *place) sql(t *testing.T, statement string) {
	t.Helper()
	conn, err := sqlite.OpenConn(p.db(), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, statement, nil); err != nil {
		t.Fatal(err)
	}
}

func (p *place) wantRefused(t *testing.T, what string) {
	t.Helper()
	s, err := Start(p.config(), p.sink(t))
	if err == nil {
		stop(t, s)
	}
	if problem.ClassOf(err) != problem.Unverified {
		t.Errorf("%s: %v", what, err)
	}
}

// TestMovedHead: the position in the spool is no secret and no proof. Raised,
// it would drop what was acknowledged; lowered, double it.
func TestMovedHead(t *testing.T) {
	for _, by := range []int{+3, +100, -2} {
		p := newPlace(t)
		p.run(t, 1, 10)
		p.away(t, 11, 20)
		p.sql(t, fmt.Sprintf("UPDATE head SET spool = spool + %d", by))
		p.wantRefused(t, fmt.Sprintf("moved by %d", by))
		p.sql(t, fmt.Sprintf("UPDATE head SET spool = spool - %d", by))
		p.run(t, 21, 30)
		p.audit(t).wantNumbered(t, 30)
	}
}

// TestMovedEpoch: an epoch's number is never given out twice.
func TestMovedEpoch(t *testing.T) {
	p := newPlace(t)
	p.run(t, 1, 10)
	p.sql(t, "UPDATE head SET epoch = 0")
	p.run(t, 11, 20)
	a := p.audit(t)
	a.wantNumbered(t, 20)
	if len(a.epochs) != 2 || a.epochs[1].Number != 2 {
		t.Errorf("the epochs are %+v", a.epochs)
	}
}

// TestCopiedState: a daemon with a copy of the state folder has gone on with
// the archive. What this one has acknowledged is not taken for stored.
func TestCopiedState(t *testing.T) {
	p := newPlace(t)
	p.run(t, 1, 10)
	copied := filepath.Join(p.dir, "copy of state")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(p.dir, "state"))); err != nil {
		t.Fatal(err)
	}
	p.away(t, 11, 20)
	mine := filepath.Join(p.dir, "mine")
	state := filepath.Join(p.dir, "state")
	if err := os.Rename(state, mine); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, state); err != nil {
		t.Fatal(err)
	}
	p.run(t, 11, 60)
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(mine, state); err != nil {
		t.Fatal(err)
	}
	p.wantRefused(t, "an old copy of the state folder")
}

// TestSegmentTakenAway: what an administrator has to take out is recorded as
// missing, and everything else comes in.
func TestSegmentTakenAway(t *testing.T) {
	p := newPlace(t)
	p.run(t, 1, 10)
	cfg := p.config()
	cfg.SegmentBytes = 4 << 10
	sink := &failing{Sink: p.sink(t), fail: func(bool) error { return os.ErrDeadlineExceeded }}
	s, err := Start(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(11); n <= 100; n++ {
		if err := deliver(s, numbered(n, n)); err != nil {
			t.Fatal(err)
		}
	}
	stopAtOnce(t, s)
	segments, _ := filepath.Glob(filepath.Join(p.dir, "state", "spool", "*.spool"))
	if len(segments) < 4 {
		t.Fatal(segments)
	}
	if err := os.Remove(segments[2]); err != nil {
		t.Fatal(err)
	}
	stop(t, p.start(t, p.config()))
	a := p.audit(t)
	missing := a.named(ledger.Missing)
	var first, last uint64
	if len(missing) != 1 {
		t.Fatalf("missing: %q", missing)
	}
	if _, err := fmt.Sscanf(missing[0], "the entries %d to %d of the spool", &first, &last); err != nil {
		t.Fatal(err)
	}
	if got := uint64(len(a.records)) + last - first + 1; got != 100 {
		t.Errorf("%d records and %d missing are not 100", len(a.records), last-first+1)
	}
}

// TestOlderStore: an older copy of the store is refused, and taken once the
// anchor was moved away; the ledger says both.
func TestOlderStore(t *testing.T) {
	p := newPlace(t)
	p.run(t, 1, 10)
	older, err := os.ReadFile(p.db())
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, 11, 2000)
	if err := os.WriteFile(p.db(), older, 0o600); err != nil {
		t.Fatal(err)
	}
	p.wantRefused(t, "an older copy")
	if err := os.Remove(filepath.Join(p.dir, "state", anchorName)); err != nil {
		t.Fatal(err)
	}
	s, err := Start(p.config(), p.sink(t))
	if problem.ClassOf(err) == problem.Unverified && strings.Contains(err.Error(), "spool") { // it may still hold what the newer store had
		if err := os.Rename(spoolDir(filepath.Join(p.dir, "state")), filepath.Join(p.dir, "spool away")); err != nil {
			t.Fatal(err)
		}
		s, err = Start(p.config(), p.sink(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	if got := p.audit(t).names(); !slices.Contains(got, ledger.AnchorMissing) {
		t.Errorf("the events are %v", got)
	}
}

// hung plays an anchor that never answers, as a file on a server that is away.
type hung struct{}

func (hung) Keep(context.Context, []byte) error { select {} }

func (hung) String() string { return "hung" }

func TestHungAnchor(t *testing.T) {
	p := newPlace(t)
	cfg := p.config()
	cfg.CheckpointEvery = 10 * time.Millisecond
	file := filepath.Join(p.dir, "checkpoints")
	cfg.Anchors = []Anchor{hung{}, FileAnchor(file)}
	s, err := Start(cfg, p.sink(t))
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); s.Status().AnchorsFailing != 1; n++ {
		if err := deliver(s, numbered(n, n)); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { return s.Status().Queued == 0 })
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "archivolt/") {
		t.Errorf("the other anchor has %q, %v", text, err)
	}
	stop(t, s)
}

// TestFullStateDisk: a disk that is full under the state folder stops nothing
// for good, also over a restart.
func TestFullStateDisk(t *testing.T) {
	p := newPlace(t)
	state := filepath.Join(p.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", state).CombinedOutput(); err != nil {
		testenv.Unable(t, "no file system can be mounted here; it needs root: %s", out)
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", "-l", state).Run(); err != nil {
			t.Error(err)
		}
	})
	p.run(t, 1, 10)
	filler := filepath.Join(state, "filler")
	_ = os.WriteFile(filler, make([]byte, 2<<20), 0o600) // until the disk is full
	cfg := p.config()
	cfg.CheckpointEvery = 10 * time.Millisecond
	started := make(chan error, 1)
	var s *Service
	go func() {
		var err error
		s, err = Start(cfg, p.sink(t))
		started <- err
	}()
	select {
	case err := <-started:
		if err != nil { // it may say so, if the spool has no room for the start
			if !strings.Contains(err.Error(), "no space") && !strings.Contains(err.Error(), "full") {
				t.Fatal(err)
			}
			s = nil
		}
	case <-time.After(3 * time.Second): // it waits for room
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if s == nil {
		select {
		case err := <-started:
			if err != nil {
				t.Fatal(err)
			}
		default:
			s = p.start(t, cfg)
		}
	}
	if err := deliver(s, numbered(11, 20)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	p.audit(t).wantNumbered(t, 20)
}

// TestKilledWhileMakingFiles: what a run that was killed has left unfinished is
// in nobody's way, and a verifier that was deleted comes back.
func TestKilledWhileMakingFiles(t *testing.T) {
	p := newPlace(t)
	state := filepath.Join(p.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyName, VerifierName, anchorName} {
		if err := os.WriteFile(filepath.Join(state, name+durable.Suffix), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.run(t, 1, 5)
	before, err := os.ReadFile(filepath.Join(state, VerifierName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(state, VerifierName)); err != nil {
		t.Fatal(err)
	}
	p.run(t, 6, 10)
	if after, err := os.ReadFile(filepath.Join(state, VerifierName)); err != nil || string(after) != string(before) {
		t.Errorf("the verifier is %q, was %q, %v", after, before, err)
	}
	p.audit(t).wantNumbered(t, 10)
}

// TestLostConnection: what was delivered before a connection was lost keeps its
// ordinals, however late it is taken.
func TestLostConnection(t *testing.T) {
	p := newPlace(t)
	cfg := p.config()
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	cfg.step = func(name string) {
		if name == stepSpoolAppended {
			once.Do(func() { close(held); <-release })
		}
	}
	s := p.start(t, cfg)
	const deliveries, each = 250, 10 // more than are taken at once
	answers := make(chan error, deliveries)
	one := make([]xmpp.Copy, each)
	for i := range one {
		one[i].Stanza = []byte(text(1))
	}
	for i := range deliveries {
		s.Deliver("c", one, func(err error) { answers <- err })
		if i == 0 {
			<-held
		}
	}
	s.Lost("c", os.ErrClosed)
	close(release)
	for range deliveries {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	for i, r := range p.audit(t).records {
		if r.Number != uint64(i)+1 {
			t.Fatalf("record %d has the number %d", i+1, r.Number)
		}
	}
}

// TestBudget: what waits is bounded in bytes, and a delivery that alone is
// larger comes through.
func TestBudget(t *testing.T) {
	b := newBudget(100)
	if !b.take(1000) {
		t.Fatal("a large one alone is refused")
	}
	taken := make(chan bool)
	go func() { taken <- b.take(1) }()
	select {
	case <-taken:
		t.Fatal("one more was taken beyond the budget")
	default:
	}
	b.give(1000)
	if !<-taken {
		t.Error("it was not taken once there was room")
	}
	go func() { taken <- b.take(1000) }()
	b.end()
	if <-taken {
		t.Error("something was taken after the end")
	}
}
