package bacpac

import (
	"context"
	"errors"
	"io"
)

// streamBuffer is the memory of a stream, in bytes. It also is the most that
// peek may ask for.
const streamBuffer = 64 << 10

// stream reads one part through a buffer of its own.
type stream struct {
	ctx      context.Context
	r        io.Reader
	buf      []byte
	from, to int   // what is read and not consumed is buf[from:to]
	pos      int64 // consumed
	err      error // of the reader; stays
}

// reset begins a part.
func (s *stream) reset(ctx context.Context, r io.Reader) {
	if s.buf == nil {
		s.buf = make([]byte, streamBuffer)
	}
	*s = stream{ctx: ctx, r: r, buf: s.buf}
}

// peek returns the next n bytes, at most streamBuffer, without consuming them.
// At the end of the part the error is io.EOF, inside of what was asked for
// io.ErrUnexpectedEOF.
func (s *stream) peek(n int) ([]byte, error) {
	if s.to-s.from < n {
		if err := s.fill(n); err != nil {
			return nil, err
		}
	}
	return s.buf[s.from : s.from+n], nil
}

// take is peek that consumes.
func (s *stream) take(n int) ([]byte, error) {
	b, err := s.peek(n)
	if err == nil {
		s.consume(n)
	}
	return b, err
}

func (s *stream) consume(n int) {
	s.from += n
	s.pos += int64(n)
}

// fill reads until n bytes are there.
func (s *stream) fill(n int) error {
	s.to = copy(s.buf, s.buf[s.from:s.to])
	s.from = 0
	for s.to < n {
		if s.err != nil {
			if errors.Is(s.err, io.EOF) && s.to > 0 {
				return io.ErrUnexpectedEOF
			}
			return s.err
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		var got int
		got, s.err = s.r.Read(s.buf[s.to:])
		s.to += got
	}
	return nil
}

// skip consumes n bytes.
func (s *stream) skip(n int64) error {
	for n > 0 {
		step := int(min(n, streamBuffer))
		if _, err := s.take(step); err != nil {
			return err
		}
		n -= int64(step)
	}
	return nil
}
