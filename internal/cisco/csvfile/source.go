package csvfile

import (
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"archivolt/internal/problem"
)

// encoding is how characters are stored in a file.
type encoding int

const (
	utf8Text encoding = iota // and every other superset of ASCII
	utf16LE
	utf16BE
)

// String returns the name of the encoding.
func (e encoding) String() string { return [...]string{"UTF-8", "UTF-16LE", "UTF-16BE"}[e] }

// unit returns the bytes of one ASCII character in the file.
func (e encoding) unit() int64 {
	if e == utf8Text {
		return 1
	}
	return 2
}

// size returns how many bytes of the file text was decoded from. A lone byte
// at the end of UTF-16 counts as two.
func (e encoding) size(text []byte) int64 {
	if e == utf8Text {
		return int64(len(text))
	}
	units := 0
	for _, c := range text {
		if c&0xc0 != 0x80 {
			units++
		}
		if c >= 0xf0 { // four bytes of UTF-8 are a surrogate pair
			units++
		}
	}
	return 2 * int64(units)
}

// decode appends the text of raw UTF-16 to dst and tells how much of raw it
// used. Unless final, half a surrogate pair or unit at the end is left. It
// appends at most three bytes for each two of raw; what is no character
// becomes U+FFFD.
func (e encoding) decode(dst, raw []byte, final bool) (text []byte, used int) {
	var order binary.ByteOrder = binary.LittleEndian
	low := 0
	if e == utf16BE {
		order, low = binary.BigEndian, 1
	}
	const notASCII = 0xff80ff80ff80ff80
	i := 0
	for i+2 <= len(raw) {
		if i+8 <= len(raw) && order.Uint64(raw[i:])&notASCII == 0 {
			dst = append(dst, raw[i+low], raw[i+2+low], raw[i+4+low], raw[i+6+low])
			i += 8
			continue
		}
		r := rune(order.Uint16(raw[i:]))
		i += 2
		if utf16.IsSurrogate(r) {
			next := rune(-1)
			if i+2 <= len(raw) {
				next = rune(order.Uint16(raw[i:]))
			} else if !final && r < 0xdc00 {
				return dst, i - 2
			}
			if r = utf16.DecodeRune(r, next); r != utf8.RuneError {
				i += 2
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	if final && i < len(raw) {
		dst = utf8.AppendRune(dst, utf8.RuneError)
		i++
	}
	return dst, i
}

// source reads a part of a file in order, as UTF-8.
type source struct {
	file     io.ReaderAt
	name     string
	encoding encoding
	off, end int64  // bytes of the file; what is left is [off, end)
	raw      []byte // UTF-16 before it is decoded
}

// minFree is the free space below which UTF-16 is not read: a surrogate pair,
// by the most that decode may append for its bytes.
const minFree = 6

// fill appends text to buf as far as its capacity goes, give or take minFree.
func (s *source) fill(buf []byte) ([]byte, error) {
	if s.encoding == utf8Text {
		n := int(min(int64(cap(buf)-len(buf)), s.end-s.off))
		part := buf[len(buf) : len(buf)+n]
		if err := s.read(part); err != nil {
			return buf, err
		}
		s.off += int64(n)
		return buf[:len(buf)+n], nil
	}
	for s.off < s.end && cap(buf)-len(buf) >= minFree {
		n := int64((cap(buf) - len(buf)) / 3 * 2)
		n = min(n, rawSize, s.end-s.off)
		if int64(cap(s.raw)) < n {
			s.raw = make([]byte, n)
		}
		raw := s.raw[:n]
		if err := s.read(raw); err != nil {
			return buf, err
		}
		var used int
		buf, used = s.encoding.decode(buf, raw, s.off+n == s.end)
		s.off += int64(used)
	}
	return buf, nil
}

// rawSize bounds the memory for UTF-16 that is not decoded yet, in bytes.
const rawSize = 64 << 10

// read fills p from the file at s.off.
func (s *source) read(p []byte) error { return readAt(s.file, s.name, p, s.off) }

func readAt(file io.ReaderAt, name string, p []byte, off int64) error {
	n, err := file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return &problem.Error{Class: problem.Failed, Object: name, What: "this file became shorter while it was read",
			Try: "wait until the export has ended, and start again", Err: io.ErrUnexpectedEOF}
	}
	return err
}
