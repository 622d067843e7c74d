package xmpp

import (
	"bytes"
	"io"
)

// event is what a splitter found.
type event int

const (
	more   event = iota // nothing whole yet: fill
	header              // the start tag of the stream
	stanza              // an element of the stream, whole
	footer              // the end tag of the stream
)

// splitter cuts a stream (RFC 6120 section 4) into its header, the elements
// below it and its end. Every byte is looked at once, however it arrives; no
// more than one stanza, its length bounded by max, and what came with it in one
// read are held.
//
// It counts tags and does not compare their names: that is done for each
// stanza once it is whole, by reader.
type splitter struct {
	source io.Reader
	max    int // bytes in a stanza

	buf   []byte // what was read
	start int    // of the present stanza in buf
	pos   int    // up to here buf has been looked at
	tag   int    // the "<" of the present tag

	place   place
	depth   int
	declare bool // an XML declaration has been seen
	ended   bool
}

// place is where in the markup a splitter stands.
type place byte

const (
	inText place = iota
	inOpen       // behind "<"
	inStart
	inEnd
	inSingle // in a value in single quotes
	inDouble
	inSection     // in a CDATA section
	inDeclaration // in the XML declaration
)

const (
	readSize = 32 << 10  // at least so much room for a read
	idleSize = 256 << 10 // a larger buffer is given back when it is empty
)

var cdata = []byte("<![CDATA[")

// blank tells whether b is white space as XML has it.
func blank(b []byte) bool {
	for _, c := range b {
		if !isBlank(c) {
			return false
		}
	}
	return true
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// fill reads once. It fails with the source's error, with io.ErrUnexpectedEOF
// for an end within a stanza, and with a StreamError of policy-violation
// when the present stanza is longer than is allowed.
func (s *splitter) fill() error {
	held := s.buf[s.start:]
	if len(held) > s.max {
		return tooLarge(s.max)
	}
	switch {
	case len(held) == 0:
		if s.buf = s.buf[:0]; cap(s.buf) < readSize || cap(s.buf) > idleSize {
			s.buf = make([]byte, 0, 2*readSize)
		}
		s.pos, s.tag, s.start = 0, 0, 0
	case cap(s.buf)-len(s.buf) < readSize:
		if len(held) > cap(s.buf)/2 {
			s.buf = append(make([]byte, 0, min(2*cap(s.buf), s.max+2*readSize)), held...)
		} else {
			s.buf = s.buf[:copy(s.buf[:cap(s.buf)], held)]
		}
		s.pos, s.tag, s.start = s.pos-s.start, s.tag-s.start, 0
	}
	n, err := s.source.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	if n > 0 {
		return nil
	}
	if err == io.EOF && (s.start < len(s.buf) || s.depth > 0) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next gives the next event that what was read so far holds, and its bytes,
// which are good until the next call of next or fill.
func (s *splitter) next() (event, []byte, error) {
	b := s.buf
	if s.place == inText && s.depth < 2 {
		s.start = s.pos
	}
	for s.pos < len(b) {
		switch s.place {
		case inText:
			if s.ended {
				s.pos, s.start = len(b), len(b) // nothing counts behind the end
				return more, nil, nil
			}
			i := bytes.IndexByte(b[s.pos:], '<')
			text := b[s.pos:]
			if i >= 0 {
				text = text[:i]
			}
			s.pos += len(text)
			if s.depth < 2 {
				if !blank(text) {
					return more, nil, malformed("text between stanzas")
				}
				s.start = s.pos
			}
			if i >= 0 {
				s.tag = s.pos
				s.pos++
				s.place = inOpen
			}
		case inOpen:
			switch b[s.pos] {
			case '/':
				s.pos++
				s.place = inEnd
			case '!':
				opening := b[s.tag:min(s.tag+len(cdata), len(b))]
				if !bytes.HasPrefix(cdata, opening) || s.depth < 2 {
					return more, nil, restricted("a comment or a document type")
				}
				if len(opening) < len(cdata) {
					return more, nil, nil
				}
				s.pos = s.tag + len(cdata)
				s.place = inSection
			case '?':
				if s.depth > 0 || s.declare {
					return more, nil, restricted("a processing instruction")
				}
				s.declare = true
				s.place = inDeclaration
			default:
				s.place = inStart
			}
		case inStart, inEnd:
			ev, err := s.inTag()
			if ev != more || err != nil {
				return ev, b[s.start:s.pos], err
			}
		case inSingle, inDouble:
			quote := byte('\'')
			if s.place == inDouble {
				quote = '"'
			}
			i := bytes.IndexByte(b[s.pos:], quote)
			if i < 0 {
				s.pos = len(b)
				break
			}
			s.pos += i + 1
			s.place = inStart
		case inSection:
			s.until("]]>", s.tag+len(cdata))
		case inDeclaration:
			s.until("?>", s.tag+len("<?"))
		}
	}
	return more, nil, nil
}

// until goes on in text behind mark, or to the end of what there is. The mark
// begins at from or later.
func (s *splitter) until(mark string, from int) {
	from = max(from, s.pos-len(mark)+1) // its beginning may have come with an earlier read
	i := bytes.Index(s.buf[min(from, len(s.buf)):], []byte(mark))
	if i < 0 {
		s.pos = len(s.buf)
		return
	}
	s.pos = from + i + len(mark)
	s.place = inText
	if s.depth == 0 {
		s.start = s.pos
	}
}

// inTag goes on in a tag, up to a quoted value or the tag's end.
func (s *splitter) inTag() (event, error) {
	b := s.buf
	for ; s.pos < len(b); s.pos++ {
		switch b[s.pos] {
		case '<':
			return more, malformed("a tag within a tag")
		case '\'', '"':
			if s.place == inEnd {
				return more, malformed("a value in an end tag")
			}
			s.place = inSingle
			if b[s.pos] == '"' {
				s.place = inDouble
			}
			s.pos++
			return more, nil
		case '>':
			closes, empty := s.place == inEnd, s.place == inStart && b[s.pos-1] == '/'
			s.pos++
			s.place = inText
			return s.tagged(closes, empty)
		}
	}
	return more, nil
}

// tagged counts a tag that is whole.
func (s *splitter) tagged(closes, empty bool) (event, error) {
	switch {
	case closes:
		s.depth--
	case !empty:
		s.depth++
		if s.depth == 1 {
			return header, nil
		}
		return more, nil
	}
	switch {
	case s.depth < 0 || s.depth == 0 && !closes:
		return more, malformed("a stream without a beginning")
	case s.depth == 0:
		s.ended = true
		return footer, nil
	case s.depth > 1:
		return more, nil
	}
	if s.pos-s.start > s.max {
		return more, tooLarge(s.max)
	}
	return stanza, nil
}
