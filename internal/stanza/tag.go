package stanza

import (
	"bytes"
	"unicode/utf8"
)

// markup reads the start or end tag at s.pos.
func (s *scanner) markup() token {
	raw, i := s.raw, s.pos+1
	if i == len(raw) {
		return s.fail(i, cutInTag)
	}
	switch raw[i] {
	case '/':
		return s.endTag()
	case '?':
		return s.fail(s.pos, instruction)
	}
	if len(s.open) == maxDepth {
		return s.fail(s.pos, tooDeep)
	}
	s.attrs = s.attrs[:0]
	var ok bool
	if s.tag, ok = s.qname(i); !ok {
		return damage
	}
	outer := element{s.tag, s.defaultSpace, len(s.bound)}
	prefixes := false
	for i = s.tag.end; ; {
		next := s.skipBlanks(i)
		if next == len(raw) {
			return s.fail(next, cutInTag)
		}
		if raw[next] == '>' {
			i = next + 1
			break
		}
		if raw[next] == '/' {
			if next+1 == len(raw) {
				return s.fail(next+1, cutInTag)
			}
			if raw[next+1] != '>' {
				return s.fail(next, badTag)
			}
			s.empty = true
			i = next + 2
			break
		}
		if next == i {
			return s.fail(i, s.badAt(i))
		}
		if len(s.attrs) == maxAttributes {
			return s.fail(next, tooManyAttributes)
		}
		if i = s.attribute(next); i < 0 {
			return damage
		}
		a := &s.attrs[len(s.attrs)-1]
		if !a.name.prefixed() {
			a.declares = string(s.local(a.name)) == "xmlns"
		} else if prefix := raw[a.name.start:a.name.colon]; string(prefix) == "xmlns" {
			a.declares = true
		} else if string(prefix) != "xml" {
			prefixes = true
		}
		if a.declares {
			if what := s.bind(*a); what != "" {
				s.attrs = s.attrs[:len(s.attrs)-1]
				return s.fail(next, what)
			}
		}
	}
	if s.space, ok = s.resolve(s.tag); !ok {
		return s.fail(s.tag.start, unboundPrefix)
	}
	if prefixes && !s.checkPrefixed() {
		return damage
	}
	s.open = append(s.open, outer)
	s.pos = i
	return startTag
}

func (s *scanner) endTag() token {
	begin := s.pos + len("</")
	n := s.open[len(s.open)-1].name
	want := s.raw[n.start:n.end]
	i := begin + len(want)
	if i >= len(s.raw) && bytes.HasPrefix(want, s.raw[begin:]) {
		return s.fail(len(s.raw), cutInTag)
	}
	if !bytes.HasPrefix(s.raw[begin:], want) {
		return s.fail(s.pos, wrongEndTag)
	}
	next := s.skipBlanks(i)
	if next == len(s.raw) {
		return s.fail(next, cutInTag)
	}
	if s.raw[next] != '>' {
		return s.fail(s.pos, wrongEndTag)
	}
	s.pos = next + 1
	s.close()
	return endTag
}

// close leaves the innermost element.
func (s *scanner) close() {
	last := len(s.open) - 1
	s.defaultSpace, s.bound = s.open[last].defaultSpace, s.bound[:s.open[last].bound]
	s.open = s.open[:last]
}

func (s *scanner) skipBlanks(i int) int {
	for i < len(s.raw) && class[s.raw[i]]&isBlank != 0 {
		i++
	}
	return i
}

// badAt says what is wrong with a tag at i.
func (s *scanner) badAt(i int) string {
	if n := char(s.raw[i:]); n == 0 {
		s.failChar(i, cutInTag)
		return s.what
	}
	return badTag
}

// qname reads a name with at most one colon (Namespaces in XML 1.0 section 4).
func (s *scanner) qname(i int) (n name, ok bool) {
	raw := s.raw
	n = name{start: i, colon: i - 1}
	first := true // of the prefix or of the local part
	for ; i < len(raw); i++ {
		c := raw[i]
		if class[c]&inName != 0 {
			if first && class[c]&startName == 0 {
				break
			}
			first = false
			continue
		}
		if c == ':' && !first && !n.prefixed() {
			n.colon, first = i, true
			continue
		}
		if c < utf8.RuneSelf {
			break
		}
		r, size := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && size <= 1 || !nameRune(r, first) {
			break
		}
		first = false
		i += size - 1
	}
	if i >= len(raw) {
		s.fail(len(raw), cutInTag)
		return n, false
	}
	if first {
		s.fail(i, s.badAt(i))
		return n, false
	}
	n.end = i
	return n, true
}

// attribute reads the attribute at i, adds it to s.attrs and returns where it
// ends, or -1.
func (s *scanner) attribute(i int) int {
	n, ok := s.qname(i)
	if !ok {
		return -1
	}
	raw := s.raw
	i = s.skipBlanks(n.end)
	if i < len(raw) && raw[i] != '=' {
		s.fail(i, s.badAt(i))
		return -1
	}
	i = s.skipBlanks(min(i+1, len(raw)))
	if i == len(raw) {
		s.fail(i, cutInTag)
		return -1
	}
	quote := raw[i]
	if quote != '"' && quote != '\'' {
		s.fail(i, s.badAt(i))
		return -1
	}
	a := attribute{name: n, start: i + 1, plain: true}
	if a.end, a.plain = s.skipValue(i+1, quote); a.end < 0 {
		return -1
	}
	full := raw[n.start:n.end]
	for j := range s.attrs {
		if b := &s.attrs[j].name; b.end-b.start == len(full) && bytes.Equal(raw[b.start:b.end], full) {
			s.fail(n.start, duplicateAttribute)
			return -1
		}
	}
	s.attrs = append(s.attrs, a)
	return a.end + 1
}

// skipValue finds the end of an attribute value and checks it on the way; plain
// tells that nothing in it needs decode.
func (s *scanner) skipValue(i int, quote byte) (end int, plain bool) {
	raw := s.raw
	plain = true
	for ; ; i++ {
		for i < len(raw) && class[raw[i]]&endsValue == 0 {
			i++
		}
		if i == len(raw) {
			s.fail(i, cutInTag)
			return -1, false
		}
		switch c := raw[i]; {
		case c == quote:
			return i, plain
		case c == '"' || c == '\'':
		case c == '&':
			_, n, what := reference(raw[i:])
			if n == 0 {
				s.fail(i, what)
				return -1, false
			}
			plain = false
			i += n - 1
		case c == '<':
			s.fail(i, lessThanInValue)
			return -1, false
		case class[c]&isBlank != 0:
			plain = false
		default:
			n := char(raw[i:])
			if n == 0 {
				s.failChar(i, cutInTag)
				return -1, false
			}
			i += n - 1
		}
	}
}

// valueBytes returns the value of a. It is good as long as raw is.
func (s *scanner) valueBytes(a attribute) []byte {
	value := s.raw[a.start:a.end]
	if a.plain {
		return value
	}
	// XML 1.0 sections 2.11 and 3.3.3: a line end or tab that is written as such
	// is a space, one written as a reference is not.
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '&':
			r, n, _ := reference(value[i:])
			out = utf8.AppendRune(out, r)
			i += n - 1
		case c == '\r' && i+1 < len(value) && value[i+1] == '\n':
		case class[c]&isBlank != 0:
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return out
}

// attr returns an attribute of the start tag read last, or nil. The name is
// as written: only those without prefix and xml:lang, whose prefix is fixed,
// are asked for.
func (s *scanner) attr(key string) []byte {
	for i := range s.attrs {
		if a := &s.attrs[i]; string(s.raw[a.name.start:a.name.end]) == key {
			return s.valueBytes(*a)
		}
	}
	return nil
}
