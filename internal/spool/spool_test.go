package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"archivolt/internal/testenv"
)

func entry(n uint64) []byte {
	return fmt.Appendf(nil, "entry %d %s", n, strings.Repeat("x", int(n*37%700)))
}

// all reads everything after stored.
func all(t interface{ Fatal(...any) }, s *Spool, stored uint64) (list []Entry) {
	r := s.Reader(stored)
	defer r.Close()
	for {
		some, err := r.Next(1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			return list
		}
		list = append(list, some...)
	}
}

// TestPowerCut appends, trims, fails, and is cut off and opened again, in any
// order. Whatever was acknowledged and not trimmed must be there, once and in
// order.
func TestPowerCut(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := newFakeDisk(rapid.Uint64().Draw(r, "seed"))
		o := Options{Segment: 4096, Max: 40_000}
		var content = map[uint64][]byte{} // what was last tried under a number
		acknowledged, stored := uint64(0), uint64(0)
		start := func() *Spool {
			o.Next = stored + 1
			s, err := open(d, o)
			if err != nil {
				r.Fatal(err)
			}
			return s
		}
		check := func(s *Spool) {
			list := all(r, s, stored)
			for i, e := range list {
				if want := stored + 1 + uint64(i); e.Number != want || !bytes.Equal(e.Data, content[want]) {
					r.Fatalf("entry %d is %d, %q, want %q", want, e.Number, e.Data, content[want])
				}
			}
			if last := stored + uint64(len(list)); last < acknowledged {
				r.Fatalf("the entries %d to %d were acknowledged and are lost", last+1, acknowledged)
			}
			if s.Next() != stored+uint64(len(list))+1 {
				r.Fatalf("the next number is %d after %d entries behind %d", s.Next(), len(list), stored)
			}
			acknowledged = s.Next() - 1
		}
		s := start()
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "append", "trim", "cut", "restart", "kill", "fail", "full"}).Draw(r, "step") {
			case "append":
				var batch [][]byte
				for i := range rapid.Uint64Range(1, 30).Draw(r, "entries") {
					n := s.Next() + i
					content[n] = entry(n)
					batch = append(batch, content[n])
				}
				last, err := s.Append(batch...)
				switch {
				case err == nil:
					acknowledged = last
				case !errors.Is(err, ErrFull) && !errors.Is(err, ErrBroken):
					r.Fatal(err)
				}
			case "trim":
				stored = rapid.Uint64Range(stored, acknowledged).Draw(r, "stored")
				if err := s.Trim(stored); err != nil {
					r.Fatal(err)
				}
			case "cut":
				d = d.cut()
				s = start()
				check(s)
			case "restart":
				s.Close()
				s = start()
				check(s)
			case "kill": // before the disk was waited for
				n := s.Next()
				content[n] = entry(n)
				d.unsynced = true
				_, _ = s.Append(content[n]) // never acknowledged
				d.unsynced = false
				s = start()
				check(s)
			case "fail", "full":
				fault := rapid.SampledFrom([]error{errDisk, syscall.ENOSPC}).Draw(r, "fault")
				left := rapid.IntRange(0, 4).Draw(r, "calls before")
				d.fail = func() error {
					if left--; left < 0 {
						return fault
					}
					return nil
				}
				n := s.Next()
				content[n] = entry(n)
				last, err := s.Append(content[n])
				d.fail = nil
				if err == nil {
					acknowledged = last
				} else if again, err2 := s.Append(content[n]); err2 == nil { // a disk that works again
					acknowledged = again
				} else if !errors.Is(err2, ErrBroken) && !errors.Is(err2, ErrFull) {
					r.Fatal(err, err2)
				} else if errors.Is(err2, ErrBroken) {
					d = d.cut()
					s = start()
					check(s)
				}
			}
		}
		check(s)
	})
}

func openReal(t *testing.T, dir string, o Options) *Spool {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestFull(t *testing.T) {
	s := openReal(t, t.TempDir(), Options{Max: 10_000, Segment: 2000})
	n := uint64(0)
	for {
		last, err := s.Append(make([]byte, 500))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n = last
	}
	if used, most := s.Bytes(); used > most || used < most-600 {
		t.Errorf("full at %d of %d bytes", used, most)
	}
	if _, err := s.AppendUrgent([]byte("full")); err != nil {
		t.Errorf("nothing urgent can be told: %v", err)
	}
	if err := s.Trim(n / 2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(make([]byte, 500)); err != nil {
		t.Errorf("after trimming: %v", err)
	}
	if got := all(t, s, n/2); got[0].Number != n/2+1 || len(got) != int(n-n/2)+2 {
		t.Errorf("%d entries from %d on", len(got), got[0].Number)
	}
}

// TestFullDisk fills a real file system of 256 kB.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", dir).CombinedOutput(); err != nil {
		testenv.Unable(t, "no file system can be mounted here; it needs root: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	s, err := Open(dir, Options{Segment: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for {
		last, err := s.Append(make([]byte, 1000))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n = last
	}
	s.Close()
	s, err = Open(dir, Options{Segment: 32 << 10})
	if err != nil {
		t.Fatalf("a spool on a full disk does not open: %v", err)
	}
	defer s.Close()
	if got := all(t, s, 0); uint64(len(got)) != n || n < 150 {
		t.Errorf("%d entries of %d acknowledged", len(got), n)
	}
	if err := s.Trim(n); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(make([]byte, 1000)); err != nil {
		t.Errorf("after trimming: %v", err)
	}
}

// TestDamage: bad bytes with good ones behind them are damage, never an end.
func TestDamage(t *testing.T) {
	make := func(t *testing.T) string {
		dir := t.TempDir()
		s := openReal(t, dir, Options{Segment: 4000, ID: [16]byte{1}})
		for n := range uint64(20) {
			if _, err := s.Append(entry(n)); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		return dir
	}
	names := func(dir string) []string {
		found, _ := filepath.Glob(filepath.Join(dir, "*.spool"))
		return found
	}
	change := func(t *testing.T, name string, f func([]byte) []byte) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += len(b)
			}
			b[at] ^= 1
			return b
		}
	}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, dir string)
		want string // in the error; empty if it opens
	}{
		{"nothing", func(t *testing.T, dir string) {}, ""},
		{"the last frame is cut", func(t *testing.T, dir string) {
			change(t, names(dir)[1], func(b []byte) []byte { return b[:len(b)-1] })
		}, ""},
		{"the last frame has a bad byte", func(t *testing.T, dir string) { change(t, names(dir)[1], flip(-1)) }, ""},
		{"zeros behind the end", func(t *testing.T, dir string) {
			change(t, names(dir)[1], func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0}, 5000)...) })
		}, ""},
		{"a frame in the middle", func(t *testing.T, dir string) { change(t, names(dir)[1], flip(headerSize+frameHeader)) }, "good entries behind it"},
		{"its length", func(t *testing.T, dir string) { change(t, names(dir)[1], flip(headerSize+5)) }, "good entries behind it"},
		{"the end of a segment that is not the last", func(t *testing.T, dir string) {
			change(t, names(dir)[0], func(b []byte) []byte { return b[:len(b)-1] })
		}, "cut off"},
		{"a segment is gone", func(t *testing.T, dir string) {
			os.Rename(names(dir)[1], filepath.Join(dir, "00000000000000000099.spool"))
		}, "another archive, or has been renamed"},
		{"a header", func(t *testing.T, dir string) { change(t, names(dir)[0], flip(0)) }, "does not begin"},
		{"another archive's", func(t *testing.T, dir string) { change(t, names(dir)[0], flip(len(magic))) }, "another archive"},
		{"something foreign", func(t *testing.T, dir string) { os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := make(t)
			if len(names(dir)) != 2 {
				t.Fatal(names(dir))
			}
			c.do(t, dir)
			s, err := Open(dir, Options{Segment: 4000, ID: [16]byte{1}})
			if err == nil {
				defer s.Close()
			}
			var damage *DamageError
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &damage) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			case c.want == "":
				if got := all(t, s, 0); len(got) < 19 {
					t.Errorf("only %d entries are left", len(got))
				}
			}
		})
	}
}

// TestHoles: what somebody has taken away is told, and the rest is there.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	s := openReal(t, dir, Options{Segment: 2000})
	for n := range uint64(20) {
		if _, err := s.Append(entry(n)); err != nil {
			t.Fatal(err)
		}
	}
	first := []uint64{}
	for _, g := range s.segments {
		first = append(first, g.first)
	}
	s.Close()
	for _, i := range []int{0, 2} {
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf("%020d.spool", first[i]))); err != nil {
			t.Fatal(err)
		}
	}
	s = openReal(t, dir, Options{Segment: 2000})
	want := []Hole{{1, first[1] - 1}, {first[2], first[3] - 1}}
	if got := s.Holes(); !slices.Equal(got, want) {
		t.Errorf("holes %v, want %v", got, want)
	}
	if got := s.First(); got != first[1] {
		t.Errorf("it begins with %d, want %d", got, first[1])
	}
	size := func(h Hole) uint64 { return h.Last - h.First + 1 }
	for last, n := range map[uint64]uint64{0: 0, 1: 1, first[1]: size(want[0]), first[2]: size(want[0]) + 1, 20: size(want[0]) + size(want[1]), 25: size(want[0]) + size(want[1]) + 5} {
		if got := s.Missing(last); got != n {
			t.Errorf("up to %d, %d are missing, want %d", last, got, n)
		}
	}
	var numbers []uint64
	for _, e := range all(t, s, 0) {
		numbers = append(numbers, e.Number)
		if !bytes.Equal(e.Data, entry(e.Number-1)) {
			t.Errorf("entry %d is %q", e.Number, e.Data)
		}
	}
	var there []uint64
	for n := first[1]; n <= 20; n++ {
		if n < first[2] || n >= first[3] {
			there = append(there, n)
		}
	}
	if !slices.Equal(numbers, there) {
		t.Errorf("entries %v, want %v", numbers, there)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	openReal(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second process gets %v", err)
	}
}

// TestStoreIsAhead: a spool that was put back does not give out numbers again.
func TestStoreIsAhead(t *testing.T) {
	dir := t.TempDir()
	s := openReal(t, dir, Options{})
	if _, err := s.Append(entry(1), entry(2)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openReal(t, dir, Options{Next: 100})
	if got := all(t, s, 99); len(got) != 0 || s.Next() != 100 {
		t.Errorf("%d entries, next is %d", len(got), s.Next())
	}
	if last, err := s.Append(entry(100)); last != 100 || err != nil {
		t.Errorf("the next one is %d, %v", last, err)
	}
	if err := s.Trim(99); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openReal(t, dir, Options{Next: 100})
	if got := all(t, s, 99); len(got) != 1 || got[0].Number != 100 {
		t.Errorf("%v", got)
	}
}

// TestTrimBesideReader: a reader goes on where its segment was given back.
func TestTrimBesideReader(t *testing.T) {
	s := openReal(t, t.TempDir(), Options{})
	r := s.Reader(0)
	defer r.Close()
	for n := uint64(1); n <= 3; n++ {
		if _, err := s.Append(make([]byte, reserve+1)); err != nil { // a segment that Trim finds worth giving back
			t.Fatal(err)
		}
		got, err := r.Next(1)
		if err != nil || len(got) != 1 || got[0].Number != n {
			t.Fatalf("%d entries, %v", len(got), err)
		}
		if err := s.Trim(n); err != nil {
			t.Fatal(err)
		}
		if used, _ := s.Bytes(); used > reserve {
			t.Errorf("%d bytes are left", used)
		}
	}
}

// FuzzOpen opens any bytes as the last segment, and what it takes it gives
// back in order.
func FuzzOpen(f *testing.F) {
	d := newFakeDisk(1)
	s, err := open(d, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for n := range uint64(3) {
		if _, err := s.Append(entry(n), entry(n+7)); err != nil {
			f.Fatal(err)
		}
	}
	name := s.segments[0].name
	f.Add(d.names[name].content)
	f.Fuzz(func(t *testing.T, content []byte) {
		d := newFakeDisk(1)
		d.names[name] = &fakeFile{disk: d, content: bytes.Clone(content)}
		s, err := open(d, Options{})
		if err != nil {
			return
		}
		list := all(t, s, 0)
		for i, e := range list {
			if e.Number != uint64(i)+1 {
				t.Errorf("entry %d has the number %d", i, e.Number)
			}
		}
		if _, err := s.Append([]byte("more")); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkAppend compares acknowledging with a bare append and fdatasync of
// the same bytes on the same disk.
func BenchmarkAppend(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 700)
	for _, batch := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			dir := b.TempDir()
			s, err := Open(dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			f, err := os.Create(filepath.Join(dir, "bare"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			var entries [][]byte
			for range batch {
				entries = append(entries, payload)
			}
			whole := bytes.Repeat(payload, batch)
			turns := func(n int, one func() error) (took float64) {
				b.Helper()
				start := b.Elapsed()
				for range n {
					if err := one(); err != nil {
						b.Fatal(err)
					}
				}
				return (b.Elapsed() - start).Seconds()
			}
			var ours, bare float64
			for range b.N { // turn by turn, since disks have moods
				ours += turns(5, func() error { _, err := s.Append(entries...); return err })
				bare += turns(5, func() error {
					if _, err := f.Write(whole); err != nil {
						return err
					}
					return syncData(f)
				})
			}
			b.ReportMetric(bare/ours, "of-bare-speed")
			b.ReportMetric(float64(5*b.N*batch)/ours, "entries/s")
		})
	}
}
