//go:build unix

package capture

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/spool"
	"archivolt/internal/testenv"
)

var powerCuts = flag.Int("power-cuts", 10, "how often TestPowerCut cuts the power")

// TestPowerCut runs the daemon, store and all, on an ext4 file system of its
// own, kills it under load, and goes on with the device as it is at that
// moment: what the kernel had not written yet is lost, as in a power cut. The
// spool alone is tried with more than ten thousand such cuts in its own test.
func TestPowerCut(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: needs a file system of Linux on a loop device")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) error {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Logf("%s %v: %s", name, args, out)
		}
		return err
	}
	image, mounted := filepath.Join(dir, "disk"), filepath.Join(dir, "mounted")
	if err := os.Mkdir(mounted, 0o700); err != nil {
		t.Fatal(err)
	}
	// The journal is left alone for five minutes, so that only what is synced
	// is on the device.
	mount := func() error { return run("mount", "-o", "loop,commit=300", image, mounted) }
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 192<<20); err != nil {
		t.Fatal(err)
	}
	if run("mkfs.ext4", "-q", "-F", image) != nil || mount() != nil {
		testenv.Unable(t, "no file system can be made and mounted here; it needs root")
	}
	unmount := func() {
		if err := run("umount", "-l", mounted); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", mounted).Run() }) // perhaps it is not mounted

	p := newPlace(t)
	p.id, p.dir = crashID, filepath.Join(mounted, "archive")
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "officer.pub"), []byte(p.recipientText()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run("sync", "-f", mounted); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	h := &harness{t: t, p: p}
	lost := 0
	for i := range *powerCuts {
		h.round(random, "", 0, 1+random.IntN(60))
		next := filepath.Join(dir, "next")
		if err := run("cp", "--sparse=always", image, next); err != nil {
			t.Fatal(err)
		}
		unmount()
		if err := os.Rename(next, image); err != nil {
			t.Fatal(err)
		}
		if err := mount(); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 { // now and then twice, without a whole run in between
			continue
		}
		before := h.acked
		if !h.round(random, "", 0, -1) {
			t.Fatal("the daemon does not end in order")
		}
		a := p.audit(t)
		a.wantNumbered(t, uint64(len(a.records)))
		if uint64(len(a.records)) < h.acked {
			t.Fatalf("%d of %d acknowledged messages are there", len(a.records), h.acked)
		}
		if h.acked == before {
			lost++
		}
		if got := a.named(ledger.Gap); len(got) > 0 {
			t.Fatalf("gaps: %q", got)
		}
	}
	if lost > 0 {
		t.Errorf("%d runs acknowledged nothing", lost)
	}
	if !h.round(random, "", 0, -1) {
		t.Fatal("the daemon does not end in order")
	}
	a := p.audit(t)
	a.wantNumbered(t, h.acked)
	t.Logf("%d power cuts, %d messages acknowledged, %d records", *powerCuts, h.acked, len(a.records))
}

// TestFullDisk runs the daemon, store and all, on a real disk of 6 MB until it
// is full, and goes on once the disk has grown.
func TestFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: needs a tmpfs of Linux")
	}
	p := newPlace(t)
	tmpfs := func(options string) error {
		out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", p.dir).CombinedOutput()
		if err != nil {
			t.Logf("mount: %s", out)
		}
		return err
	}
	if tmpfs("size=6m") != nil {
		testenv.Unable(t, "no file system can be mounted here; it needs root")
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", "-l", p.dir).Run(); err != nil {
			t.Error(err)
		}
	})
	cfg := p.config()
	cfg.SegmentBytes = 256 << 10
	s := p.start(t, cfg)
	last := uint64(0)
	for {
		err := deliver(s, numbered(last+1, last+100))
		if errors.Is(err, spool.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last += 100
	}
	if last < 1000 {
		t.Errorf("full after %d messages", last)
	}
	if st := s.Status(); !st.SpoolFull {
		t.Errorf("status %+v", st)
	}
	if err := tmpfs("remount,size=40m"); err != nil {
		t.Fatal(err)
	}
	for {
		err := deliver(s, numbered(last+1, last+100))
		if err == nil {
			break
		}
		if !errors.Is(err, spool.ErrFull) {
			t.Fatal(err)
		}
	}
	stop(t, s)
	a := p.audit(t)
	a.wantNumbered(t, last+100)
	if got := a.named(ledger.Gap); len(got) > 0 {
		t.Errorf("gaps: %q", got)
	}
	if got := a.names(); !slices.Contains(got, ledger.SpoolFree) {
		t.Errorf("the events are %v", got)
	}
}
