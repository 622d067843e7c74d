package xmpp

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSplitter(t *testing.T) {
	for _, c := range []struct {
		name, text string
		stanzas    []string
		condition  string // of the error; "" for the end of the stream, "eof" where it is cut off
	}{
		{"nothing", "</stream:stream>", nil, ""},
		{"white space between stanzas", " <a/>\n\n<b></b>\t</stream:stream>", []string{"<a/>", "<b></b>"}, ""},
		{"nothing counts behind the end", "<a/></stream:stream><b/>junk", []string{"<a/>"}, ""},
		{"markup in values", `<a b='>' c="/>"><d e='<![CDATA['/></a></stream:stream>`, []string{`<a b='>' c="/>"><d e='<![CDATA['/></a>`}, ""},
		{"CDATA", "<a><![CDATA[</a>]]]]>]]&gt;<![CDATA[]]></a></stream:stream>", []string{"<a><![CDATA[</a>]]]]>]]&gt;<![CDATA[]]></a>"}, ""},
		{"deep", strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000), []string{strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000)}, "eof"},
		{"cut in a stanza", "<a/><b", []string{"<a/>"}, "eof"},
		{"cut between stanzas", "<a/>", []string{"<a/>"}, "eof"},
		{"text between stanzas", "<a/>x<b/>", []string{"<a/>"}, "not-well-formed"},
		{"CDATA between stanzas", "<a/><![CDATA[x]]>", []string{"<a/>"}, "restricted-xml"},
		{"a comment", "<a><!-- --></a>", nil, "restricted-xml"},
		{"a comment between stanzas", "<!-- -->", nil, "restricted-xml"},
		{"a document type", "<!DOCTYPE a>", nil, "restricted-xml"},
		{"a processing instruction", "<a><?b?></a>", nil, "restricted-xml"},
		{"another declaration", "<?xml version='1.0'?>", nil, "restricted-xml"},
		{"a tag in a tag", "<a <b/></a>", nil, "not-well-formed"},
		{"a value in an end tag", "<a></a b='c'>", nil, "not-well-formed"},
		{"exactly the limit", "<a>" + strings.Repeat("x", 3000-7) + "</a>", []string{"<a>" + strings.Repeat("x", 3000-7) + "</a>"}, "eof"},
		{"more than the limit", "<b/><a>" + strings.Repeat("x", 3001-7) + "</a>", []string{"<b/>"}, "policy-violation"},
		{"much more", "<b/><a b='" + strings.Repeat("x", 300000), []string{"<b/>"}, "policy-violation"},
	} {
		for kind, wrap := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader,
			"with the end": iotest.DataErrReader} {
			s := splitter{source: wrap(strings.NewReader(streamStart + c.text)), max: 3000}
			if strings.HasPrefix(c.name, "deep") {
				s.max = 10000
			}
			var got []string
			headers := 0
			var err error
		loop:
			for {
				ev, text, e := s.next()
				switch {
				case e != nil:
					err = e
					break loop
				case ev == header:
					headers++
				case ev == stanza:
					got = append(got, string(text))
				case ev == footer:
					break loop
				default:
					if err = s.fill(); err != nil {
						break loop
					}
				}
			}
			condition := ""
			var e *StreamError
			if errors.As(err, &e) {
				condition = e.Condition
			} else if err == io.ErrUnexpectedEOF {
				condition = "eof"
			} else if err != nil {
				condition = err.Error()
			}
			if strings.Join(got, "|") != strings.Join(c.stanzas, "|") || condition != c.condition || headers != 1 {
				t.Errorf("%s, %s: %q and %v", c.name, kind, got, err)
			}
		}
	}
}

// TestSplitterHeader: what is no stream does not become one.
func TestSplitterHeader(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "EOF",
		"HTTP/1.1 400 Bad\r\n": "the stream was ended: not-well-formed (text between stanzas)",
		"<a/>":                 "the stream was ended: not-well-formed (a stream without a beginning)",
		"</a>":                 "the stream was ended: not-well-formed (a stream without a beginning)",
		"<?xml version='1.0'":  "unexpected EOF",
		"<!DOCTYPE a>":         "the stream was ended: restricted-xml (a comment or a document type)",
	} {
		if r := ours(iotest.OneByteReader(strings.NewReader(text)), 100); r.err == nil || r.err.Error() != want {
			t.Errorf("%q gives %v, expected %s", text, r.err, want)
		}
	}
}

// TestSplitterMemory: a large stanza is read in time linear in its length
// whatever the size of reads, and its buffer does not stay.
func TestSplitterMemory(t *testing.T) {
	const size = 4 << 20
	large := "<a>" + strings.Repeat("<b c='d'>x</b>", size/14) + "</a>"
	s := splitter{source: iotest.OneByteReader(strings.NewReader(streamStart + large + strings.Repeat("<c/>", 100))), max: size + 100}
	found := 0
	for s.depth == 0 || found < 101 {
		ev, _, err := s.next()
		if err == nil && ev == more {
			err = s.fill()
		}
		if err != nil {
			t.Fatal(err)
		}
		if ev == stanza {
			found++
		}
		if cap(s.buf) > size+100+3*readSize {
			t.Fatalf("the buffer holds %d bytes", cap(s.buf))
		}
	}
	if cap(s.buf) > idleSize {
		t.Errorf("the buffer still holds %d bytes", cap(s.buf))
	}
}
