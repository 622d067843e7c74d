package spool

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
)

// fakeDisk plays a disk whose power is cut: what was not synced is kept in
// part or not at all, in whatever order a real one might. A real power cut
// cannot be had in a test.
type fakeDisk struct {
	random  *rand.Rand
	names   map[string]*fakeFile // as programs see them
	durable map[string]*fakeFile // as they are after a power cut, at least
	undone  []func(map[string]*fakeFile)
	fail    func() error // asked before each write, sync and so on; may be nil

	unsynced bool // Sync does nothing: the process was killed before it
}

// fakeFile is a file with the writes that are not durable.
type fakeFile struct {
	disk    *fakeDisk
	content []byte
	synced  []byte
	pending []func([]byte) []byte
}

const sector = 512 // bytes that a disk writes together

func newFakeDisk(seed uint64) *fakeDisk {
	return &fakeDisk{random: rand.New(rand.NewPCG(seed, 1)), names: map[string]*fakeFile{}, durable: map[string]*fakeFile{}}
}

func (d *fakeDisk) try() error {
	if d.fail == nil {
		return nil
	}
	return d.fail()
}

// cut cuts the power and returns the disk as it comes up again.
func (d *fakeDisk) cut() *fakeDisk {
	after := &fakeDisk{random: d.random, names: map[string]*fakeFile{}, durable: map[string]*fakeFile{}}
	names := maps.Clone(d.durable)
	for _, change := range d.undone { // of the names that were not synced, any may be there
		if d.random.IntN(2) == 0 {
			change(names)
		}
	}
	for name, f := range names {
		content := slices.Clone(f.synced)
		for _, write := range f.pending {
			if d.random.IntN(2) == 0 {
				content = write(content)
			}
		}
		kept := &fakeFile{disk: after, content: content, synced: slices.Clone(content)}
		after.names[name], after.durable[name] = kept, kept
	}
	return after
}

func (d *fakeDisk) list() ([]string, error) { return slices.Sorted(maps.Keys(d.names)), nil }

func (d *fakeDisk) create(name string) (file, error) {
	if err := d.try(); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	f := &fakeFile{disk: d}
	d.names[name] = f
	d.undone = append(d.undone, func(m map[string]*fakeFile) { m[name] = f })
	return f, nil
}

func (d *fakeDisk) open(name string, write bool) (file, error) {
	if d.names[name] == nil {
		return nil, fs.ErrNotExist
	}
	return d.names[name], nil
}

func (d *fakeDisk) remove(name string) error {
	if err := d.try(); err != nil {
		return err
	}
	delete(d.names, name)
	d.undone = append(d.undone, func(m map[string]*fakeFile) { delete(m, name) })
	return nil
}

func (d *fakeDisk) sync() error {
	if err := d.try(); err != nil {
		return err
	}
	d.durable, d.undone = maps.Clone(d.names), nil
	return nil
}

func (d *fakeDisk) close() error { return nil }

func (f *fakeFile) ReadAt(b []byte, offset int64) (int, error) {
	if offset >= int64(len(f.content)) {
		return 0, io.EOF
	}
	n := copy(b, f.content[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func put(content, b []byte, offset int64) []byte {
	if missing := offset + int64(len(b)) - int64(len(content)); missing > 0 {
		content = append(content, make([]byte, missing)...)
	}
	copy(content[offset:], b)
	return content
}

// WriteAt writes all of b, or a part of it if the disk is to fail.
func (f *fakeFile) WriteAt(b []byte, offset int64) (int, error) {
	err := f.disk.try()
	if err != nil {
		b = b[:f.disk.random.IntN(len(b)+1)]
	}
	f.content = put(f.content, b, offset)
	for at := int64(0); at < int64(len(b)); { // sector by sector
		end := min((offset+at)/sector*sector+sector-offset, int64(len(b)))
		part, place := slices.Clone(b[at:end]), offset+at
		f.pending = append(f.pending, func(c []byte) []byte { return put(c, part, place) })
		at = end
	}
	return len(b), err
}

func (f *fakeFile) Truncate(size int64) error {
	if err := f.disk.try(); err != nil {
		return err
	}
	cut := func(c []byte) []byte { return c[:min(size, int64(len(c)))] }
	f.content = cut(f.content)
	f.pending = append(f.pending, cut)
	return nil
}

func (f *fakeFile) Size() (int64, error) { return int64(len(f.content)), nil }

func (f *fakeFile) Sync() error {
	if err := f.disk.try(); err != nil {
		return err
	}
	if !f.disk.unsynced {
		f.synced, f.pending = slices.Clone(f.content), nil
	}
	return nil
}

func (f *fakeFile) Close() error { return nil }

var errDisk = errors.Join(errors.New("the disk fails"), syscall.EIO)
