package xmpp

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
)

// reader goes through one stanza that is whole, element by element, and knows
// the namespaces in force. Each byte is read once: a caller either goes into
// an element (children) or past it (skip).
type reader struct {
	text []byte
	pos  int

	attrs  []attribute // of the elements that are open, and of the last tag
	spaces []binding   // declared by them, the innermost last
	names  []span      // of elements that are skipped, as places in text
}

// reset begins a text in which these namespaces are declared already.
func (r *reader) reset(text []byte, spaces []binding) {
	r.leave(mark{})
	const many = 256
	if cap(r.attrs) > many || cap(r.spaces) > many || cap(r.names) > many {
		r.attrs, r.spaces, r.names = nil, nil, nil // of an unusual stanza
	}
	r.text, r.pos, r.spaces = text, 0, append(r.spaces, spaces...)
}

// attribute is one attribute; value is as it stands in the text.
type attribute struct{ name, value []byte }

type span struct{ start, end int }

// binding is a namespace declaration (Namespaces in XML 1.0 section 3).
type binding struct{ prefix, space string }

// element is one whose start tag has been read.
type element struct {
	space string // its namespace; "" where nothing declares it
	local string
	start int // of its start tag in the text
	name  []byte
	attrs []attribute
	empty bool
}

// attribute gives the value of an attribute without a namespace, its
// references replaced, and "" where there is none.
func (e *element) attribute(name string) string {
	for _, a := range e.attrs {
		if string(a.name) == name {
			return unescape(a.value)
		}
	}
	return ""
}

// is tells whether e is the element local of a namespace.
func (e *element) is(space, local string) bool { return e.local == local && e.space == space }

// unescape replaces what XML 1.0 section 4.6 and 4.1 name: five entities and
// characters by number. Anything else stays as it is.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '&') < 0 {
		return text(b)
	}
	var out strings.Builder
	for s := string(b); s != ""; {
		plain, rest, found := strings.Cut(s, "&")
		out.WriteString(plain)
		if !found {
			break
		}
		s = rest
		name, rest, found := strings.Cut(s, ";")
		c, ok := entities[name]
		if number, hex := strings.CutPrefix(name, "#x"); hex {
			c, ok = character(number, 16)
		} else if number, decimal := strings.CutPrefix(name, "#"); decimal {
			c, ok = character(number, 10)
		}
		if !found || !ok {
			out.WriteByte('&')
			continue
		}
		out.WriteRune(c)
		s = rest
	}
	return out.String()
}

// text is string without a copy for what every stanza holds.
func text(b []byte) string {
	if s, ok := frequent[string(b)]; ok {
		return s
	}
	return string(b)
}

var frequent = map[string]string{
	componentSpace: componentSpace, clientSpace: clientSpace, forwardSpace: forwardSpace, CaptureSpace: CaptureSpace,
	"message": "message", "presence": "presence", "iq": "iq", "forwarded": "forwarded", "archive": "archive", "copy": "copy",
	"in": "in", "out": "out", "set": "set",
}

var entities = map[string]rune{"amp": '&', "lt": '<', "gt": '>', "apos": '\'', "quot": '"'}

func character(number string, base int) (rune, bool) {
	n, err := strconv.ParseUint(number, base, 32)
	return rune(n), err == nil && n <= unicode.MaxRune
}

// escape writes a value for an attribute in single quotes, or for text.
func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;", "\r", "&#13;")

// mark is a state of the declarations to come back to.
type mark struct{ attrs, spaces int }

func (r *reader) mark() mark { return mark{len(r.attrs), len(r.spaces)} }

func (r *reader) leave(m mark) {
	clear(r.attrs[m.attrs:]) // they point into a buffer
	r.attrs, r.spaces = r.attrs[:m.attrs], r.spaces[:m.spaces]
}

// root reads the start tag with which the text begins.
func (r *reader) root() (element, error) {
	t, err := r.tag()
	if err != nil {
		return element{}, err
	}
	if t.end {
		return element{}, malformed("an end tag without a start tag")
	}
	return r.open(t), nil
}

// children calls f for each child element of e, in order. What e holds between
// them is passed over. Unless f went through the child it is passed over too.
func (r *reader) children(e element, f func(child element) error) error {
	if e.empty {
		return nil
	}
	for {
		before := r.mark()
		t, err := r.tag()
		if err != nil {
			return err
		}
		if t.end {
			if !bytes.Equal(t.name, e.name) {
				return malformed("an end tag of another element")
			}
			return nil
		}
		child := r.open(t)
		behind := r.pos
		if err := f(child); err != nil {
			return err
		}
		if r.pos == behind {
			if err := r.skip(child); err != nil {
				return err
			}
		}
		r.leave(before)
	}
}

// skip goes to the end of e, whatever is in it. The ends of elements are
// compared with their beginnings: that is what makes e's own end certain.
func (r *reader) skip(e element) error {
	if e.empty {
		return nil
	}
	before := r.mark()
	r.names = append(r.names[:0], span{e.start + 1, e.start + 1 + len(e.name)})
	for len(r.names) > 0 {
		t, err := r.tag()
		if err != nil {
			return err
		}
		r.leave(before)
		switch last := len(r.names) - 1; {
		case t.end:
			if open := r.names[last]; !bytes.Equal(t.name, r.text[open.start:open.end]) {
				return malformed("an end tag of another element")
			}
			r.names = r.names[:last]
		case !t.empty:
			r.names = append(r.names, span{t.start + 1, t.start + 1 + len(t.name)})
		}
	}
	return nil
}

// open makes the element that a start tag begins, with its declarations. A
// prefix that nothing declares belongs to no namespace, and is no error:
// ejabberd passes on what a client wrote with prefixes that only the client's
// own stream declared.
func (r *reader) open(t tag) element {
	e := element{start: t.start, name: t.name, attrs: t.attrs, empty: t.empty}
	for _, a := range t.attrs {
		if string(a.name) == "xmlns" {
			r.spaces = append(r.spaces, binding{"", unescape(a.value)})
		} else if prefix, ok := bytes.CutPrefix(a.name, declares); ok {
			r.spaces = append(r.spaces, binding{string(prefix), unescape(a.value)})
		}
	}
	var prefix string
	name := t.name
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		prefix, name = string(name[:i]), name[i+1:]
	}
	e.local = text(name)
	for i := len(r.spaces) - 1; i >= 0; i-- {
		if r.spaces[i].prefix == prefix {
			e.space = r.spaces[i].space
			break
		}
	}
	return e
}

var declares = []byte("xmlns:")

// tag is a start or end tag.
type tag struct {
	start      int
	name       []byte
	attrs      []attribute
	end, empty bool
}

// tag reads the next tag; text and CDATA sections before it are passed over.
func (r *reader) tag() (tag, error) {
	b := r.text
	for {
		i := bytes.IndexByte(b[r.pos:], '<')
		if i < 0 {
			return tag{}, malformed("an element without an end")
		}
		r.pos += i
		if !bytes.HasPrefix(b[r.pos:], cdata) {
			break
		}
		end := bytes.Index(b[r.pos+len(cdata):], []byte("]]>"))
		if end < 0 {
			return tag{}, malformed("a CDATA section without an end")
		}
		r.pos += len(cdata) + end + len("]]>")
	}
	t := tag{start: r.pos}
	i := r.pos + 1
	if i < len(b) && (b[i] == '!' || b[i] == '?') {
		return tag{}, restricted("a comment or a processing instruction")
	}
	if i < len(b) && b[i] == '/' {
		t.end = true
		i++
	}
	end := nameEnd(b, i)
	t.name = b[i:end]
	if len(t.name) == 0 {
		return tag{}, malformed("a tag without a name")
	}
	first := len(r.attrs)
	for i = end; ; {
		next := i
		for next < len(b) && isBlank(b[next]) {
			next++
		}
		switch {
		case next == len(b):
			return tag{}, malformed("a tag without an end")
		case b[next] == '>':
			t.attrs = r.attrs[first:len(r.attrs):len(r.attrs)]
			r.pos = next + 1
			return t, nil
		case b[next] == '/' && !t.end && next+1 < len(b) && b[next+1] == '>':
			t.attrs = r.attrs[first:len(r.attrs):len(r.attrs)]
			t.empty = true
			r.pos = next + 2
			return t, nil
		case t.end:
			return tag{}, malformed("a tag without an end")
		}
		a, after, err := attributeAt(b, next)
		if err != nil {
			return tag{}, err
		}
		r.attrs = append(r.attrs, a)
		i = after
	}
}

var errAttribute = malformed("an attribute that is none")

// attributeAt reads the attribute that begins at i and tells where it ends.
func attributeAt(b []byte, i int) (a attribute, after int, err error) {
	end := nameEnd(b, i)
	if a.name = b[i:end]; len(a.name) == 0 {
		return a, 0, errAttribute
	}
	for i = end; i < len(b) && isBlank(b[i]); i++ {
	}
	if i == len(b) || b[i] != '=' {
		return a, 0, errAttribute
	}
	for i++; i < len(b) && isBlank(b[i]); i++ {
	}
	if i == len(b) || b[i] != '\'' && b[i] != '"' {
		return a, 0, errAttribute
	}
	length := bytes.IndexByte(b[i+1:], b[i])
	if length < 0 {
		return a, 0, errAttribute
	}
	if a.value = b[i+1 : i+1+length]; bytes.IndexByte(a.value, '<') >= 0 {
		return a, 0, malformed("a tag within a value")
	}
	return a, i + 1 + length + 1, nil
}

// nameEnd finds the end of a name that begins at i. Which characters a name
// may hold beyond those that end one is left to the reader of the message.
func nameEnd(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case ' ', '\n', '\t', '\r', '=', '/', '>', '<', '\'', '"', '&':
			return i
		}
	}
	return i
}
