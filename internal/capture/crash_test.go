//go:build unix

package capture

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"archivolt/internal/ledger"
)

var crashRounds = flag.Int("crash-rounds", 50, "how often TestCrash kills the daemon at a random moment, beside once at each step")

// The daemon of the crash harness is this test's own program, which TestMain
// sends here.
const (
	crashDir   = "ARCHIVOLT_CRASH_DIR"
	crashStep  = "ARCHIVOLT_CRASH_STEP"  // at which it kills itself
	crashCount = "ARCHIVOLT_CRASH_COUNT" // the how manieth time
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	os.Exit(m.Run())
}

// crashChild runs a service: each line "first last" of its input is delivered,
// and "ack last" printed when that is acknowledged.
func crashChild(dir string) {
	die := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	recipient, err := os.ReadFile(filepath.Join(dir, "officer.pub"))
	if err != nil {
		die(err)
	}
	t := &testing.T{}
	p := &place{dir: dir, id: crashID, recipients: parseRecipients(t, string(recipient))}
	cfg := p.config()
	cfg.EpochRecords, cfg.SegmentBytes, cfg.CheckpointEvery = 150, 64<<10, 20*time.Millisecond
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	left, _ := strconv.Atoi(os.Getenv(crashCount))
	step := os.Getenv(crashStep)
	var mu sync.Mutex
	cfg.step = func(name string) {
		if name != step {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	var s *Service
	if secret, failed := os.ReadFile(filepath.Join(dir, "officer.id")); failed == nil { // Cisco's format: the daemon has a keystore
		if p.officer, err = age.ParseX25519Identity(string(secret)); err != nil {
			die(err)
		}
		s, err = StartTable(cfg, p.table(t), p.unlocked())
	} else {
		s, err = Start(cfg, p.sink(t))
	}
	if err != nil {
		die(err)
	}
	s.Connected("c")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var first, last uint64
		if _, err := fmt.Sscan(lines.Text(), &first, &last); err != nil {
			die(err)
		}
		s.Deliver("c", numbered(first, last), func(err error) {
			if err == nil {
				fmt.Println("ack", last) // one write
			}
		})
	}
	if err := s.Stop(context.Background()); err != nil {
		die(err)
	}
	fmt.Println("stopped")
}

var crashID = ledger.ID{0xA5, 1}

// harness plays a server that numbers its messages, and sends again what was
// not acknowledged.
type harness struct {
	t     *testing.T
	p     *place
	acked uint64
	sent  uint64
}

// round starts the daemon, sends up to some messages, and ends it: at a step,
// after so many acknowledgements, or in order.
func (h *harness) round(random *rand.Rand, step string, count, killAfter int) (orderly bool) {
	h.t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), crashDir+"="+h.p.dir, crashStep+"="+step, crashCount+"="+strconv.Itoa(count))
	c.Stderr = io.Discard
	in, err := c.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	var sent atomic.Uint64
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer in.Close()
		next := h.acked + 1
		for range 60 {
			last := next + random.Uint64N(40)
			if _, err := fmt.Fprintln(in, next, last); err != nil {
				return
			}
			sent.Store(last)
			next = last + 1
		}
	}()
	acks := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		var last uint64
		switch n, _ := fmt.Sscanf(line, "ack %d", &last); {
		case n == 1:
			if last <= h.acked {
				h.t.Fatalf("%d is acknowledged after %d", last, h.acked)
			}
			h.acked = last
			if acks++; acks == killAfter {
				_ = c.Process.Kill()
			}
		case line == "stopped":
			orderly = true
		default:
			h.t.Fatalf("at step %q: the daemon says: %s", step, line)
		}
	}
	<-written
	_ = c.Wait() // killed
	h.sent = max(h.sent, sent.Load())
	return orderly
}

// TestCrash kills the daemon at each step and at random moments under load.
// What was acknowledged must be in the store once, the ledger must verify, and
// the start must say what happened.
func TestCrash(t *testing.T) {
	p := newPlace(t)
	p.id = crashID
	if err := os.WriteFile(filepath.Join(p.dir, "officer.pub"), []byte(p.recipientText()), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	h := &harness{t: t, p: p}
	crashes := 0
	check := func() {
		t.Helper()
		if !h.round(random, "", 0, -1) { // a whole run brings everything into the store
			t.Fatal("the daemon does not end in order")
		}
		a := p.audit(t)
		a.wantNumbered(t, uint64(len(a.records)))
		if uint64(len(a.records)) < h.acked {
			t.Fatalf("%d of %d acknowledged messages are there", len(a.records), h.acked)
		}
		if got := a.named(ledger.Gap); len(got) > 0 {
			t.Fatalf("gaps: %q", got)
		}
	}
	for _, step := range []string{stepKeyMade, stepWrapWritten, stepSpoolAppended, stepAcknowledged, stepBatchMade, stepHeadSwapped, stepCheckpoint, stepAnchored} {
		for _, count := range []int{1, 2, 5} {
			if h.round(random, step, count, -1) {
				t.Logf("step %q was not reached %d times", step, count)
				continue
			}
			crashes++
			check()
		}
	}
	for i := range *crashRounds {
		if !h.round(random, "", 0, 1+random.IntN(60)) {
			crashes++
		}
		if i%5 == 4 {
			check()
		}
	}
	check()
	a := p.audit(t)
	disorderly := 0
	for _, detail := range a.named(ledger.Started) {
		var entries, bytes int
		if n, _ := fmt.Sscanf(detail, "test 1, after an end that was not orderly: acknowledged and not yet stored %d entries, torn and never acknowledged %d bytes", &entries, &bytes); n == 2 {
			disorderly++
		}
	}
	if disorderly == 0 || disorderly > crashes {
		t.Errorf("%d crashes, and %d starts tell of one", crashes, disorderly)
	}
	t.Logf("%d crashes, %d messages acknowledged, %d records, %d entries of the ledger", crashes, h.acked, len(a.records), a.head.Size)
}
