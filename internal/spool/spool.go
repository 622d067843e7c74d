// Package spool is an append-only queue on disk, in front of the store: what
// Append has returned for survives kill -9 and a power cut. It holds sealed
// bytes and knows nothing of them.
//
// The queue lies in segments, files named for the number of their first entry.
// Each Append writes one frame and waits for the disk once. After a crash the
// last frame may be torn: it was never acknowledged, and is cut off. A bad
// frame with a good one behind it was whole once: that is damage, and Open
// refuses it rather than lose what was acknowledged.
//
// A Spool may be used from several goroutines: Append by one at a time, Reader
// and Trim beside it.
package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Limits, in bytes.
const (
	DefaultMax     = 16 << 30 // of all segments together
	DefaultSegment = 64 << 20 // after which a new one is begun
	MaxFrame       = 256 << 20
	reserve        = 1 << 20 // above the most, for AppendUrgent
)

// IDSize is the size in bytes of what names the archive that a spool is for.
const IDSize = 16

const (
	magic       = "archivolt spool v1\n"
	headerSize  = len(magic) + IDSize + 8
	frameMagic  = "AvFr"
	frameHeader = len(frameMagic) + 4 + 4 + 8 + 4 // magic, length of data, entries, first number, CRC
	suffix      = ".spool"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Options say where a spool ends.
type Options struct {
	ID      [IDSize]byte // the archive it is for
	Max     int64        // bytes; DefaultMax if 0
	Segment int64        // bytes; DefaultSegment if 0
	// Next is the least number that the next entry may have: one more than the
	// last that the store holds.
	Next uint64
}

// Lock keeps every other process out of the folder dir, which is made if need
// be, until the result is closed or this process ends.
func Lock(dir string) (io.Closer, error) {
	d, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	return d.lock, nil
}

// Errors of a spool.
var (
	// ErrFull says that nothing was written, and that Trim makes room.
	ErrFull = errors.New("the spool is full")
	// ErrBroken says that the disk failed in a way that leaves open what it
	// holds: the spool must be closed and opened again.
	ErrBroken = errors.New("the spool's disk has failed; start again once it is mended")
	// ErrLocked says that another process has the spool open.
	ErrLocked = errors.New("another process is using this spool")
)

// DamageError says that a segment holds a bad frame although there are good
// ones behind it, or that it is not the segment that it should be.
type DamageError struct {
	File   string
	Offset int64
	What   string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Offset, e.What)
}

// Spool is an open queue.
type Spool struct {
	o     Options
	disk  disk
	torn  int64 // bytes that Open has cut off
	holes []Hole

	mu       sync.Mutex
	segments []*segment // in order; the last one is written to
	next     uint64
	bytes    int64
	failed   error
	frame    []byte
}

// Hole is a run of entries that are not there although later ones are:
// somebody has taken segments away.
type Hole struct{ First, Last uint64 }

// Holes returns what Open found missing behind Options.Next.
func (s *Spool) Holes() []Hole { return s.holes }

// First returns the number of the first entry that is still on the disk; where
// there is none, that of the next.
func (s *Spool) First() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments[0].first
}

// Missing counts the entries up to the number last that are neither stored, as
// Options.Next says, nor here. It is for asking right after Open.
func (s *Spool) Missing(last uint64) (n uint64) {
	for _, h := range s.holes {
		if h.First <= last {
			n += min(h.Last, last) - h.First + 1
		}
	}
	if next := s.Next(); next <= last {
		n += last - next + 1
	}
	return n
}

// segment is one file.
type segment struct {
	name  string
	first uint64 // number of its first entry
	next  uint64 // number after its last
	size  int64  // bytes that are durable
	f     file   // open for writing, of the last one
}

// Open opens the spool in the folder dir, which is made if need be.
func Open(dir string, o Options) (*Spool, error) {
	d, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(d, o)
	if err != nil {
		d.close()
	}
	return s, err
}

func open(d disk, o Options) (*Spool, error) {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Segment == 0 {
		o.Segment = DefaultSegment
	}
	o.Next = max(o.Next, 1)
	s := &Spool{o: o, disk: d, next: o.Next}
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		digits, ours := strings.CutSuffix(name, suffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !ours || err != nil {
			continue
		}
		s.segments = append(s.segments, &segment{name: name, first: first})
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return strings.Compare(a.name, b.name) })
	// Segments that Trim had taken away may be back, some of them.
	for len(s.segments) > 1 && s.segments[1].first <= o.Next {
		if err := d.remove(s.segments[0].name); err != nil {
			return nil, err
		}
		s.segments = s.segments[1:]
	}
	for i := 0; i < len(s.segments); i++ {
		last := i == len(s.segments)-1
		keep, err := s.recover(s.segments[i], last)
		if err != nil {
			return nil, err
		}
		if !keep { // begun when the power went, and empty
			s.segments = s.segments[:i]
		}
	}
	if s.next < o.Next || len(s.segments) == 0 {
		s.next = o.Next // what is there, the store has
		return s, s.begin()
	}
	tail := s.segments[len(s.segments)-1]
	if tail.f, err = d.open(tail.name, true); err != nil {
		return nil, err
	}
	// A run that was killed between writing and waiting for the disk has left
	// what is whole and not durable.
	return s, tail.f.Sync()
}

// Torn returns how many bytes Open has cut off: the end of an Append that
// never returned.
func (s *Spool) Torn() int64 { return s.torn }

// recover finds where a segment ends. Of the last one a torn end is cut off.
func (s *Spool) recover(g *segment, last bool) (keep bool, err error) {
	f, err := s.disk.open(g.name, last)
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	header := make([]byte, headerSize)
	if n, err := f.ReadAt(header, 0); err != nil && !(errors.Is(err, io.EOF) && n < headerSize) {
		return false, err
	}
	if !bytes.Equal(header, s.header(g.first)) {
		switch {
		case last && size <= int64(headerSize): // nothing was ever appended to it
			s.torn += size
			return false, s.disk.remove(g.name)
		case bytes.HasPrefix(header, []byte(magic)):
			return false, &DamageError{g.name, 0, "it is a segment of another archive, or has been renamed"}
		}
		return false, &DamageError{g.name, 0, "it does not begin as a segment does"}
	}
	switch {
	case g.first > s.next:
		s.holes = append(s.holes, Hole{s.next, g.first - 1})
	case g != s.segments[0] && g.first < s.next:
		return false, &DamageError{g.name, 0, fmt.Sprintf("it begins with entry %d, which the one before it holds", g.first)}
	}
	s.next = g.first
	offset := int64(headerSize)
	for offset < size {
		fr, err := readFrame(f, offset, size, s.next)
		var bad *badFrame
		if errors.As(err, &bad) {
			if !last {
				return false, &DamageError{g.name, offset, bad.what}
			}
			behind, err := s.frameBehind(f, offset, size)
			if err != nil {
				return false, err
			}
			if behind {
				return false, &DamageError{g.name, offset, bad.what + ", and there are good entries behind it"}
			}
			s.torn += size - offset
			if err := f.Truncate(offset); err != nil {
				return false, err
			}
			if err := f.Sync(); err != nil {
				return false, err
			}
			break
		}
		if err != nil {
			return false, err
		}
		s.next += uint64(fr.count)
		offset = fr.end
	}
	g.size, g.next = offset, s.next
	s.bytes += offset
	return true, nil
}

// frameBehind tells whether a good frame stands anywhere behind a bad one.
func (s *Spool) frameBehind(f file, offset, size int64) (bool, error) {
	const step = 1 << 20
	buf := make([]byte, min(step+int64(frameHeader), size-offset))
	for at := offset + 1; at < size; at += step {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		for i := 0; ; i++ {
			found := bytes.Index(buf[i:n], []byte(frameMagic))
			if found < 0 || i+found >= step {
				break
			}
			i += found
			_, err := readFrame(f, at+int64(i), size, 0)
			var bad *badFrame
			if err == nil {
				return true, nil
			}
			if !errors.As(err, &bad) {
				return false, err
			}
		}
	}
	return false, nil
}

func (s *Spool) header(first uint64) []byte {
	b := append([]byte(magic), s.o.ID[:]...)
	return binary.BigEndian.AppendUint64(b, first)
}

// begin starts a new segment.
func (s *Spool) begin() error {
	g := &segment{name: fmt.Sprintf("%020d%s", s.next, suffix), first: s.next, next: s.next, size: int64(headerSize)}
	f, err := s.disk.create(g.name)
	if errors.Is(err, fs.ErrExist) { // begun before, when the disk failed
		if f, err = s.disk.open(g.name, true); err == nil {
			var size int64
			if size, err = f.Size(); err == nil && size > int64(headerSize) {
				err = &DamageError{g.name, 0, "it exists although nothing was written to it"}
			}
		}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(s.header(s.next), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.disk.sync()
	}
	if err != nil {
		f.Close()
		_ = s.disk.remove(g.name) // if that fails too, Open will see an empty segment
		return err
	}
	g.f = f
	if n := len(s.segments); n > 0 {
		if tail := s.segments[n-1]; tail.f != nil {
			tail.f.Close() // synced
			tail.f = nil
		}
	}
	s.segments = append(s.segments, g)
	s.bytes += g.size
	return nil
}

// Append writes entries and waits until the disk has them. They are in the
// spool together or not at all; the last one has the number that is returned.
func (s *Spool) Append(entries ...[]byte) (last uint64, err error) { return s.append(s.o.Max, entries) }

// AppendUrgent does the same, and has some room left when the spool is full:
// for telling that it is.
func (s *Spool) AppendUrgent(entries ...[]byte) (last uint64, err error) {
	return s.append(s.o.Max+reserve, entries)
}

func (s *Spool) append(most int64, entries [][]byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return 0, s.failed
	}
	if len(entries) == 0 {
		return s.next - 1, nil
	}
	data := 0
	for _, e := range entries {
		data += 4 + len(e)
	}
	size := int64(frameHeader + data)
	switch {
	case data > MaxFrame:
		return 0, fmt.Errorf("%d bytes are more than fit into one frame of the spool", data)
	case s.bytes+size > most:
		return 0, ErrFull
	}
	tail := s.segments[len(s.segments)-1]
	if tail.size+size > s.o.Segment && tail.size > int64(headerSize) {
		if err := s.begin(); err != nil {
			return 0, s.noRoom(err)
		}
		tail = s.segments[len(s.segments)-1]
	}
	s.frame = appendFrame(s.frame[:0], s.next, entries)
	if _, err := tail.f.WriteAt(s.frame, tail.size); err != nil {
		// Synced, so that nothing of it comes back behind a segment's end.
		if back := errors.Join(tail.f.Truncate(tail.size), tail.f.Sync()); back != nil {
			s.failed = fmt.Errorf("%w (%v)", ErrBroken, back)
			return 0, s.failed
		}
		return 0, s.noRoom(err)
	}
	if err := tail.f.Sync(); err != nil {
		// What the disk holds now nobody knows, and a second sync that works
		// would not tell either.
		s.failed = fmt.Errorf("%w (%v)", ErrBroken, err)
		return 0, s.failed
	}
	tail.size += size
	s.bytes += size
	s.next += uint64(len(entries))
	tail.next = s.next
	if cap(s.frame) > 4<<20 {
		s.frame = nil
	}
	return s.next - 1, nil
}

// noRoom is ErrFull for a disk that has no room left. After any other failure
// nothing more is written.
func (s *Spool) noRoom(err error) error {
	if outOfSpace(err) {
		return fmt.Errorf("%w: %v", ErrFull, err)
	}
	s.failed = fmt.Errorf("%w (%v)", ErrBroken, err)
	return s.failed
}

// appendFrame writes a frame: its header with a checksum over all of it, then
// each entry behind its length.
func appendFrame(buf []byte, first uint64, entries [][]byte) []byte {
	buf = append(buf, make([]byte, frameHeader)...)
	for _, e := range entries {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(e)))
		buf = append(buf, e...)
	}
	copy(buf, frameMagic)
	binary.BigEndian.PutUint32(buf[4:], uint32(len(buf)-frameHeader))
	binary.BigEndian.PutUint32(buf[8:], uint32(len(entries)))
	binary.BigEndian.PutUint64(buf[12:], first)
	binary.BigEndian.PutUint32(buf[20:], checksum(buf))
	return buf
}

func checksum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[4:20], castagnoli), castagnoli, frame[frameHeader:])
}

// frame is one that was read.
type frame struct {
	count int
	first uint64
	data  []byte
	end   int64
}

// badFrame says why there is no frame at a place.
type badFrame struct{ what string }

func (e *badFrame) Error() string { return e.what }

// readFrame reads the frame at offset; first is the number that it must begin
// with, 0 for any.
func readFrame(f file, offset, size int64, first uint64) (fr frame, err error) {
	header := make([]byte, frameHeader)
	if size-offset < int64(frameHeader) {
		return fr, &badFrame{"an entry is cut off"}
	}
	if _, err := f.ReadAt(header, offset); err != nil {
		return fr, err
	}
	length := int64(binary.BigEndian.Uint32(header[4:]))
	fr.count, fr.first = int(binary.BigEndian.Uint32(header[8:])), binary.BigEndian.Uint64(header[12:])
	fr.end = offset + int64(frameHeader) + length
	switch {
	case string(header[:4]) != frameMagic:
		return fr, &badFrame{"there is no entry where one should begin"}
	case length > MaxFrame || fr.count == 0 || int64(fr.count) > length/4:
		return fr, &badFrame{"the size of an entry is not possible"}
	case fr.end > size:
		return fr, &badFrame{"an entry is cut off"}
	case first != 0 && fr.first != first:
		return fr, &badFrame{fmt.Sprintf("entry %d stands where entry %d should", fr.first, first)}
	}
	whole := make([]byte, frameHeader+int(length))
	if _, err := f.ReadAt(whole, offset); err != nil {
		return fr, err
	}
	if checksum(whole) != binary.BigEndian.Uint32(header[20:]) {
		return fr, &badFrame{"the checksum of an entry is wrong"}
	}
	fr.data = whole[frameHeader:]
	rest := fr.data
	for range fr.count {
		if len(rest) < 4 || int64(binary.BigEndian.Uint32(rest)) > int64(len(rest)-4) {
			return fr, &badFrame{"the lengths in an entry do not fit"}
		}
		rest = rest[4+binary.BigEndian.Uint32(rest):]
	}
	if len(rest) > 0 {
		return fr, &badFrame{"the lengths in an entry do not fit"}
	}
	return fr, nil
}

// Next returns the number that the next entry will have.
func (s *Spool) Next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Bytes returns how much the spool takes on disk, and how much it may.
func (s *Spool) Bytes() (used, most int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes, s.o.Max
}

// Trim gives back the room of segments that hold nothing above the number
// stored.
func (s *Spool) Trim(stored uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored+1 >= s.next && s.failed == nil && s.segments[len(s.segments)-1].size > int64(headerSize)+reserve {
		if err := s.begin(); err != nil && !outOfSpace(err) {
			return err
		}
	}
	for len(s.segments) > 1 && s.segments[1].first <= stored+1 {
		if err := s.disk.remove(s.segments[0].name); err != nil {
			return err
		}
		s.bytes -= s.segments[0].size
		s.segments = s.segments[1:]
	}
	return nil
}

// Close closes the spool. What was appended stays.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = fs.ErrClosed
	var err error
	if tail := s.segments[len(s.segments)-1]; tail.f != nil {
		err = tail.f.Close()
	}
	return errors.Join(err, s.disk.close())
}
