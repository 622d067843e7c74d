package export

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// sliceWriters are the formats made of slices, each writing to nowhere.
func sliceWriters(dir Folder, w io.Writer) map[string]interface {
	Write(*Slice) error
	Close() error
} {
	return map[string]interface {
		Write(*Slice) error
		Close() error
	}{"rsmf": NewRSMF(dir, Look{}), "eml": NewEML(dir, Look{}), "dat": NewDAT(w, Look{})}
}

// nowhere is a Folder that keeps nothing.
type nowhere struct{ io.Writer }

func (n nowhere) Create(string) (io.WriteCloser, error) { return nowhere{io.Discard}, nil }

func (n nowhere) Close() error { return nil }

const chatText = "Did the forms for Rotterdam leave today? Customs want them before noon. Доброе утро."

// BenchmarkSlices writes 100,000 messages in slices of 200. "plain" is the
// peer: the same records through the JSONL writer.
func BenchmarkSlices(b *testing.B) {
	var list []*Slice
	for day := range 500 {
		list = append(list, synthetic(200, chatText, day))
	}
	run := func(name string, write func(*Slice) error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, s := range list {
					if err := write(s); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "messages/s")
		})
	}
	plain := NewJSONL(io.Discard)
	run("plain", func(s *Slice) error {
		for _, e := range s.Events {
			if err := plain.Write(&e.Record); err != nil {
				return err
			}
		}
		return nil
	})
	writers := sliceWriters(nowhere{}, io.Discard)
	for _, name := range []string{"rsmf", "eml", "dat"} {
		run(name, writers[name].Write)
	}
}

// TestSlicesMemory: what is held does not grow with what was written. 40,000
// messages for each format, a million with ARCHIVOLT_BENCH_LARGE=1.
func TestSlicesMemory(t *testing.T) {
	days := 200
	if os.Getenv("ARCHIVOLT_BENCH_LARGE") != "" {
		days = 5000
	}
	held := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // pools give back in the second round
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse)
	}
	writers := sliceWriters(nowhere{}, io.Discard)
	for _, name := range []string{"rsmf", "eml", "dat"} {
		var early int64
		for day := range days {
			if err := writers[name].Write(synthetic(200, chatText, day)); err != nil {
				t.Fatal(err)
			}
			if day == days/10 {
				early = held()
			}
		}
		late := held()
		t.Logf("%s: %d kB after a tenth, %d kB at the end", name, early>>10, late>>10)
		if late-early > 1<<20 {
			t.Errorf("%s: %d kB after a tenth, %d kB at the end", name, early>>10, late>>10)
		}
		runtime.KeepAlive(writers)
	}
}

// full is a Folder whose files take no more than so many bytes.
type full int

type fullFile struct {
	broken
	closed *int
}

func (f *fullFile) Close() error { *f.closed++; return nil }

func (f full) folder(opened, closed *int) Folder {
	return folderFunc(func(string) (io.WriteCloser, error) {
		*opened++
		return &fullFile{broken(f), closed}, nil
	})
}

type folderFunc func(name string) (io.WriteCloser, error)

func (f folderFunc) Create(name string) (io.WriteCloser, error) { return f(name) }

// TestSlicesFull: a disk that is full is an error of every format wherever it
// happens, and the file is closed.
func TestSlicesFull(t *testing.T) {
	s := synthetic(50, strings.Repeat(chatText, 100), 0)
	for _, size := range []int{0, 100, 70_000, 500_000} {
		opened, closed := 0, 0
		room := broken(size)
		for name, w := range sliceWriters(full(size).folder(&opened, &closed), &room) {
			if name == "rsmf" && size == 500_000 {
				continue // it fits
			}
			if err := errors.Join(w.Write(s), w.Close()); !errors.Is(err, errBroken) {
				t.Errorf("%s after %d bytes: %v", name, size, err)
			}
		}
		if opened != 2 && size < 500_000 || opened != closed {
			t.Errorf("%d files opened, %d closed", opened, closed)
		}
	}
	refuse := folderFunc(func(string) (io.WriteCloser, error) { return nil, os.ErrExist })
	for name, w := range sliceWriters(refuse, io.Discard) {
		if err := w.Write(s); name != "dat" && !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
