package xmpp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// streamStart is the header before whatever a test lets follow.
const streamStart = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:component:accept' from='archive.example.org' id='3BF96D32'>"

// node is an element somewhere in a stream: its name and its bytes.
type node struct{ space, local, text string }

// result is what a reading of a stream found: its elements in the order of
// their ends, and how often that was a stanza.
type result struct {
	nodes   []node
	stanzas int
	err     error
}

// ours reads a stream with the splitter and the reader.
func ours(source io.Reader, max int) (r result) {
	s := splitter{source: source, max: max}
	var spaces []binding
	for {
		ev, text, err := s.next()
		switch {
		case err != nil:
			r.err = err
			return r
		case ev == header:
			h := reader{text: text}
			if _, r.err = h.root(); r.err != nil {
				return r
			}
			spaces = h.spaces
		case ev == stanza:
			in := &reader{text: text, spaces: spaces[:len(spaces):len(spaces)]}
			root, err := in.root()
			if err == nil {
				err = r.walk(in, root)
			}
			if err == nil && in.pos != len(text) {
				err = errors.New("bytes behind a stanza")
			}
			if err != nil {
				r.err = err
				return r
			}
			r.stanzas++
		case ev == footer:
			// A session ends with any end tag here.
			in := &reader{text: text}
			if t, err := in.tag(); err != nil || string(t.name) != "stream:stream" {
				r.err = errors.New("the end of another element")
			}
			return r
		default:
			if r.err = s.fill(); r.err != nil {
				return r
			}
		}
	}
}

// walk goes through all elements below e; every third it passes over, after it
// has gone through it with a reader of its own.
func (r *result) walk(in *reader, e element) error {
	err := in.children(e, func(child element) error {
		if len(r.nodes)%3 == 2 {
			other := &reader{text: in.text, pos: in.pos, spaces: append([]binding(nil), in.spaces...)}
			if err := r.walk(other, child); err != nil {
				return err
			}
			if err := in.skip(child); err != nil {
				return err
			}
			if in.pos != other.pos {
				return errors.New("skip ends elsewhere than children")
			}
			return nil
		}
		return r.walk(in, child)
	})
	if err == nil {
		r.nodes = append(r.nodes, node{e.space, e.local, string(in.text[e.start:in.pos])})
	}
	return err
}

var (
	errForbidden = errors.New("forbidden by RFC 6120 section 11.1")
	errOddName   = errors.New("forbidden by Namespaces in XML")
)

// theirs reads a stream with encoding/xml.
func theirs(text string) (r result) {
	type open struct {
		node
		start int64
	}
	var stack []open
	bound := []map[string]bool{{"": true, "xml": true}}
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		start := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			r.err = err
			return r
		}
		raw := text[start:d.InputOffset()]
		switch token := token.(type) {
		case xml.StartElement:
			names := map[string]bool{}
			for prefix := range bound[len(bound)-1] {
				names[prefix] = true
			}
			for _, a := range token.Attr {
				if a.Name.Space == "xmlns" {
					names[a.Name.Local] = true
				}
			}
			bound = append(bound, names)
			name, _, _ := strings.Cut(strings.TrimPrefix(raw, "<"), ">")
			name = strings.TrimRight(name, "/")
			if i := strings.IndexAny(name, " \n\t\r'\"="); i >= 0 {
				name = name[:i]
			}
			if prefix, local, found := strings.Cut(name, ":"); found && (strings.Contains(local, ":") || prefix == "" || local == "" || prefix == "xml") {
				r.err = errOddName
				return r
			} else if found && !names[prefix] {
				token.Name.Space = "" // the decoder has the prefix itself there
			}
			stack = append(stack, open{node{token.Name.Space, token.Name.Local, ""}, start})
		case xml.EndElement:
			last := stack[len(stack)-1]
			stack, bound = stack[:len(stack)-1], bound[:len(bound)-1]
			if len(stack) == 0 {
				return r
			}
			last.text = text[last.start:d.InputOffset()]
			r.nodes = append(r.nodes, last.node)
			if len(stack) == 1 {
				r.stanzas++
			}
		case xml.CharData:
			if len(stack) < 2 && (!blank([]byte(raw)) || strings.Contains(raw, "<")) {
				r.err = errForbidden
				return r
			}
		case xml.ProcInst:
			if start > 0 {
				r.err = errForbidden
				return r
			}
		default:
			r.err = errForbidden
			return r
		}
	}
}

// same compares namespaces as encoding/xml gives them: with line ends
// normalised.
func same(a, b node) bool {
	a.space = strings.ReplaceAll(strings.ReplaceAll(a.space, "\r\n", "\n"), "\r", "\n")
	return a == b
}

func FuzzStream(f *testing.F) {
	for _, s := range []string{
		"<message/></stream:stream>",
		" <message from='a'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns=\"jabber:client\"><body>a &amp; b</body></message></forwarded></message>\n<presence />",
		"<a><b/><c><d x='>'/>]]]></c><![CDATA[<e>]]]]><![CDATA[>]]></a>",
		"<a b='\"' c=\"'\" d = '/'/><a></a ><x:y xmlns:x='u'><x:z/></x:y>",
		"<a><!-- no --></a>", "<a><?no?></a>", "<!DOCTYPE a>", "<a></b>", "<a", "text", "</stream:stream><a/>", "<a b='c'd='e'/>", "<a / >", "<a><b></a></b>",
		"<a xmlns='&#x41;&lt;' xmlns:b='1'><b:c xmlns:b='2'/><b:c/></a>", "<![CDATA[]]>", "<a><![CDATA[]]]>]]></a>", "<é:b/>", "<a><![CDATA", "<>", "</>", "<a/><a></a><",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := streamStart + string(b)
		got := ours(strings.NewReader(text), len(text))
		for i, source := range []io.Reader{iotest.OneByteReader(strings.NewReader(text)), iotest.HalfReader(strings.NewReader(text))} {
			if r := ours(source, len(text)); !equal(r, got) {
				t.Fatalf("reading %d finds %v, reading at once %v", i, r, got)
			}
		}
		want := theirs(text)
		if got.stanzas < want.stanzas {
			t.Fatalf("found %d stanzas (%v), encoding/xml %d (%v)", got.stanzas, got.err, want.stanzas, want.err)
		}
		for i, n := range want.nodes {
			if i >= len(got.nodes) && want.err != nil {
				break // of a stanza that encoding/xml did not finish
			}
			if i >= len(got.nodes) || !same(got.nodes[i], n) {
				t.Fatalf("element %d of %q, encoding/xml has %q", i, got.nodes, want.nodes)
			}
		}
		switch {
		case want.err == nil:
			if got.err != nil || got.stanzas != want.stanzas {
				t.Fatalf("found %d stanzas and %v, encoding/xml %d", got.stanzas, got.err, want.stanzas)
			}
		case want.err == errForbidden:
			if got.err == nil {
				t.Fatalf("took what is forbidden: %q", got.nodes)
			}
		case want.err != io.EOF && want.err != errOddName && got.err == nil:
			if what := want.err.Error(); !textual(what) {
				t.Fatalf("took what encoding/xml refuses: %s", what)
			}
		}
		// The bound cuts off at the same stanza whatever the sizes of reads.
		limit := len(streamStart) + 10
		small, byByte := ours(strings.NewReader(text), limit), ours(iotest.OneByteReader(strings.NewReader(text)), limit)
		if small.stanzas != byByte.stanzas || (small.err == nil) != (byByte.err == nil) {
			t.Fatalf("with a bound, reading at once finds %v, byte by byte %v", small, byByte)
		}
	})
}

// textual tells whether encoding/xml complains of what a reader of markup
// alone leaves to others: characters, references, names.
func textual(what string) bool {
	for _, s := range []string{"illegal character code", "invalid UTF-8", "invalid character entity", "unescaped ]]>", "invalid XML name", "expected element name after", "attribute name without", "expected attribute name"} {
		if strings.Contains(what, s) {
			return true
		}
	}
	return false
}

func equal(a, b result) bool {
	if a.stanzas != b.stanzas || len(a.nodes) != len(b.nodes) || (a.err == nil) != (b.err == nil) || a.err != nil && a.err.Error() != b.err.Error() {
		return false
	}
	for i := range a.nodes {
		if a.nodes[i] != b.nodes[i] {
			return false
		}
	}
	return true
}

// FuzzStanza wants that no stanza brings down what takes copies out of one,
// and that what it takes is the text of a message that encoding/xml would take
// at the same place.
func FuzzStanza(f *testing.F) {
	for _, s := range []string{
		"<message from='example.org'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-11-24T12:00:00Z'/><message xmlns='jabber:client'><body>x</body></message></forwarded></message>",
		"<iq type='set' from='example.org'><archive xmlns='urn:archivolt:capture:1' source='a'><copy number='1' time='2026-11-24T12:00:00Z' direction='in'><forwarded xmlns='urn:xmpp:forward:0'><message/></forwarded></copy></archive></iq>",
		"<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>", "<iq type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>no</text></stream:error>", "<presence/>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Component{}
		fillIn(c)
		var taken [][]byte
		s := &session{c: c, h: taker(func(copies []Copy) {
			for _, c := range copies {
				taken = append(taken, c.Stanza)
			}
		}), spaces: []binding{{"stream", streamSpace}, {"", componentSpace}}, log: c.Log, out: &outbox{}}
		s.out.change.L = &s.out.mu
		if s.stanza(bytes.Clone(b)) == nil {
			s.deliver()
		}
		for _, m := range taken {
			if !bytes.Contains(b, m) || !bytes.HasPrefix(m, []byte("<")) || !bytes.HasSuffix(m, []byte(">")) {
				t.Fatalf("took %q", m)
			}
			in := &reader{text: m, spaces: anyPrefix(m)}
			root, err := in.root()
			if err == nil {
				err = in.skip(root)
			}
			if err != nil || in.pos != len(m) || root.local != "message" {
				t.Fatalf("took %q: %v", m, err)
			}
		}
	})
}

// anyPrefix declares what a message may have used of the elements around it.
func anyPrefix(m []byte) (b []binding) {
	name, _, _ := bytes.Cut(m[1:], []byte(":"))
	return []binding{{string(name), "urn:around"}}
}

// taker is a Handler that only takes.
type taker func([]Copy)

func (taker) Connected(string)   {}
func (taker) Lost(string, error) {}
func (f taker) Deliver(_ string, copies []Copy, done func(error)) {
	f(copies)
	done(nil)
}
