package stanza

import (
	"bytes"
	"unicode/utf8"
)

// Bounds on one stanza. They also make comparisons of each with each cheap.
const (
	maxSize       = 16 << 20 // bytes
	maxDepth      = 64       // elements inside one another
	maxAttributes = 64       // of one element, declarations of namespaces included
	maxPrefixes   = 64       // in scope at one place
)

// What Error.What may be.
const (
	noElement          = "there is no element"
	tooLarge           = "larger than 16 MiB"
	tooDeep            = "nested more than 64 levels deep"
	tooManyAttributes  = "more than 64 attributes on one element"
	tooManyPrefixes    = "more than 64 namespace prefixes at one place"
	cutInTag           = "cut off inside a tag"
	cutInElement       = "cut off inside an element"
	cutInReference     = "cut off inside a reference"
	cutInComment       = "cut off inside a comment"
	cutInCDATA         = "cut off inside a CDATA section"
	declaration        = "a document type or other <! declaration"
	instruction        = "a processing instruction"
	badXMLDeclaration  = "an XML declaration other than version 1.0 in UTF-8"
	badTag             = "a tag that is not well-formed"
	badUTF8            = "bytes that are not UTF-8"
	badChar            = "a control character or other character that XML forbids"
	badReference       = "a reference to a character that XML forbids"
	undefinedEntity    = "an entity that is not defined"
	bareAmpersand      = "an & that begins no reference"
	bareBracket        = "]]> outside a CDATA section"
	lessThanInValue    = "a < inside an attribute value"
	dashesInComment    = "-- inside a comment"
	duplicateAttribute = "an attribute given twice"
	unboundPrefix      = "a namespace prefix that is not declared"
	badDeclaration     = "a namespace declaration that XML forbids"
	wrongEndTag        = "an end tag that does not match its start tag"
	textOutside        = "text before the first element"
	trailing           = "something after the end of the stanza"
	notMessage         = "not a message: the root is another element"
)

// token is what the scanner came to.
type token uint8

const (
	damage token = iota // s.what says which
	startTag
	endTag
	chars // s.chunk, a piece of character data
)

// name is a qualified name by its place in the raw bytes. Without prefix the
// colon is before the start.
type name struct{ start, colon, end int }

func (n name) prefixed() bool { return n.colon >= n.start }

type attribute struct {
	name       name
	start, end int   // of the value
	space      space // set by checkPrefixed
	plain      bool  // the value stands for itself
	declares   bool  // xmlns or xmlns:*
}

// element is one that is open.
type element struct {
	name         name
	defaultSpace space // outside it
	bound        int   // bindings outside it
}

// scanner takes one stanza apart. It holds no state that depends on the size
// of the input.
type scanner struct {
	raw  []byte
	pos  int
	at   int    // where it is damaged
	what string // how; "" while it is not

	open         []element
	attrs        []attribute // of the start tag read last
	bound        []binding
	fresh        space
	defaultSpace space
	tag          name  // of the start tag read last
	space        space // likewise
	empty        bool  // an empty-element tag, whose end is still to be told
	cdata        bool
	chunk        []byte
	char         [utf8.UTFMax]byte
}

// reset readies s for raw and lets go of what it held.
func (s *scanner) reset(raw []byte) {
	clear(s.bound[:cap(s.bound)])
	*s = scanner{raw: raw, open: s.open[:0], attrs: s.attrs[:0], bound: s.bound[:0]}
}

func (s *scanner) fail(at int, what string) token {
	s.at, s.what = at, what
	return damage
}

// failChar says what is wrong with the character at i.
func (s *scanner) failChar(i int, cut string) token {
	switch r, n := utf8.DecodeRune(s.raw[i:]); {
	case !utf8.FullRune(s.raw[i:]):
		return s.fail(len(s.raw), cut)
	case r == utf8.RuneError && n <= 1:
		return s.fail(i, badUTF8)
	}
	return s.fail(i, badChar)
}

// local returns a name without its prefix.
func (s *scanner) local(n name) []byte {
	if n.prefixed() {
		return s.raw[n.colon+1 : n.end]
	}
	return s.raw[n.start:n.end]
}

// root reads up to the end of the first start tag.
func (s *scanner) root() token {
	if bytes.HasPrefix(s.raw, []byte("\ufeff")) {
		s.pos = len("\ufeff")
	}
	if !s.xmlDeclaration() {
		return damage
	}
	for {
		s.pos = s.skipBlanks(s.pos)
		switch rest := s.raw[s.pos:]; {
		case len(rest) == 0:
			return s.fail(s.pos, noElement)
		case rest[0] != '<':
			if char(rest) == 0 {
				return s.failChar(s.pos, noElement)
			}
			return s.fail(s.pos, textOutside)
		case len(rest) > 1 && rest[1] == '!':
			// A CDATA section here is no element, and so no better than a DOCTYPE.
			if !s.bang() {
				return damage
			}
			if s.cdata {
				return s.fail(s.pos, textOutside)
			}
		case len(rest) > 1 && rest[1] == '/':
			return s.fail(s.pos, wrongEndTag)
		default:
			return s.markup()
		}
	}
}

// xmlDeclaration skips an XML declaration (XML 1.0 production [23]).
func (s *scanner) xmlDeclaration() bool {
	begin := s.pos
	if rest := s.raw[begin:]; !bytes.HasPrefix(rest, []byte("<?xml")) || len(rest) > 5 && class[rest[5]]&isBlank == 0 {
		return true
	}
	i := begin + len("<?xml")
	for {
		next := s.skipBlanks(i)
		if bytes.HasPrefix(s.raw[next:], []byte("?>")) {
			i = next + 2
			break
		}
		if next+1 >= len(s.raw) {
			s.fail(len(s.raw), cutInTag)
			return false
		}
		if next == i || len(s.attrs) == 3 {
			s.fail(begin, badXMLDeclaration)
			return false
		}
		if i = s.attribute(next); i < 0 {
			return false
		}
	}
	good := len(s.attrs) > 0
	for n, a := range s.attrs {
		value := s.raw[a.start:a.end]
		switch key := string(s.raw[a.name.start:a.name.end]); {
		case key == "version" && n == 0 && string(value) == "1.0":
		case key == "encoding" && n == 1 && bytes.EqualFold(value, []byte("utf-8")):
		case key == "standalone" && n > 0 && n == len(s.attrs)-1 && (string(value) == "yes" || string(value) == "no"):
		default:
			good = false
		}
	}
	s.attrs = s.attrs[:0]
	if !good {
		s.fail(begin, badXMLDeclaration)
		return false
	}
	s.pos = i
	return true
}

// next goes on after the root's start tag. It may be called until the root's
// end tag or damage has been told.
func (s *scanner) next() token {
	if s.empty {
		s.empty = false
		s.close()
		return endTag
	}
	for {
		if s.cdata || s.pos >= len(s.raw) || s.raw[s.pos] != '<' {
			return s.text()
		}
		if s.pos+1 < len(s.raw) && s.raw[s.pos+1] == '!' {
			if !s.bang() {
				return damage
			}
			continue
		}
		return s.markup()
	}
}

// text returns character data up to the next markup, reference or line end.
func (s *scanner) text() token {
	raw, begin := s.raw, s.pos
	cut := cutInElement
	if s.cdata {
		cut = cutInCDATA
	}
	for i := begin; ; i++ {
		for i < len(raw) && class[raw[i]]&endsText == 0 {
			i++
		}
		if i == len(raw) {
			return s.fail(i, cut)
		}
		switch c := raw[i]; {
		case c >= utf8.RuneSelf:
			n := char(raw[i:])
			if n == 0 {
				return s.failChar(i, cut)
			}
			i += n - 1
		case c == '<' && !s.cdata:
			s.chunk, s.pos = raw[begin:i], i
			return chars
		case c == '<':
		case c == '&' && !s.cdata:
			if i > begin {
				s.chunk, s.pos = raw[begin:i], i
				return chars
			}
			r, n, what := reference(raw[i:])
			if n == 0 {
				return s.fail(i, what)
			}
			s.chunk, s.pos = utf8.AppendRune(s.char[:0], r), i+n
			return chars
		case c == '&':
		case c == ']':
			if !bytes.HasPrefix(raw[i:], []byte("]]>")) {
				continue
			}
			if !s.cdata {
				return s.fail(i, bareBracket)
			}
			s.cdata, s.chunk, s.pos = false, raw[begin:i], i+3
			return chars
		case c == '\r':
			if i > begin {
				s.chunk, s.pos = raw[begin:i], i
				return chars
			}
			// One line end, however written: XML 1.0 section 2.11.
			if i++; i < len(raw) && raw[i] == '\n' {
				i++
			}
			s.char[0] = '\n'
			s.chunk, s.pos = s.char[:1], i
			return chars
		default:
			return s.fail(i, badChar)
		}
	}
}

// bang takes what begins with "<!": a comment, which it skips, or the opening
// of a CDATA section.
func (s *scanner) bang() bool {
	const comment, cdata = "<!--", "<![CDATA["
	rest := s.raw[s.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte(cdata)):
		s.pos += len(cdata)
		s.cdata = true
		return true
	case !bytes.HasPrefix(rest, []byte(comment)):
		if len(rest) < len(cdata) && (string(rest) == cdata[:len(rest)] || string(rest) == comment[:min(len(rest), len(comment))]) {
			s.fail(len(s.raw), cutInTag)
		} else {
			s.fail(s.pos, declaration)
		}
		return false
	}
	for i := s.pos + len(comment); i < len(s.raw); i++ {
		switch c := s.raw[i]; {
		case c == '-' && i+1 < len(s.raw) && s.raw[i+1] == '-':
			if i+2 == len(s.raw) {
				s.fail(i+2, cutInComment)
				return false
			}
			if s.raw[i+2] != '>' {
				s.fail(i, dashesInComment)
				return false
			}
			s.pos = i + 3
			return true
		case c >= utf8.RuneSelf || c < ' ' && class[c]&isBlank == 0:
			n := char(s.raw[i:])
			if n == 0 {
				s.failChar(i, cutInComment)
				return false
			}
			i += n - 1
		}
	}
	s.fail(len(s.raw), cutInComment)
	return false
}
