package stanza

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// hostile are stanzas that must be refused: with which words, where, and what
// must have been read of them all the same.
var hostile = []struct {
	name, raw string
	what      string
	offset    int // -1: not looked at
	want      Message
}{
	{"nothing", "", noElement, 0, Message{}},
	{"blanks", " \r\n\t", noElement, 4, Message{}},
	{"NUL", "\x00", badChar, 0, Message{}},
	{"text", "hello", textOutside, 0, Message{}},
	{"CDATA for a root", "<![CDATA[<message id='1'/>]]>", textOutside, -1, Message{}},
	{"an end for a root", "</message>", wrongEndTag, 0, Message{}},
	{"UTF-16", "\xff\xfe<\x00m\x00", badUTF8, 0, Message{}},
	{"another root", "<presence id='1'/>", notMessage, 0, Message{}},
	{"another case", "<Message id='1'/>", notMessage, 0, Message{}},
	{"another namespace", "<message xmlns='urn:x' id='1'/>", notMessage, 0, Message{}},
	{"prefix of another namespace", " <x:message xmlns:x='urn:x' id='1'/>", notMessage, 1, Message{}},
	{"another namespace, cut off", "<message id='1' xmlns='urn:x' to='", cutInTag, -1, Message{}},
	{"another root, cut off", "<iq id='1' ", cutInTag, -1, Message{}},
	{"two roots", "<message id='1'/><message id='2'/>", trailing, 17, Message{ID: "1"}},
	{"text after the root", "<message id='1'></message> x", trailing, 27, Message{ID: "1"}},
	{"comment after the root", "<message id='1'/><!-- -->", trailing, 17, Message{ID: "1"}},
	{"NUL after the root", "<message id='1'/>\x00", trailing, 17, Message{ID: "1"}},

	{"billion laughs", `<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><message id='1'><body>&b;</body></message>`, declaration, 0, Message{}},
	{"external entity", `<?xml version="1.0"?><!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]><message>&x;</message>`, declaration, 21, Message{}},
	{"DOCTYPE inside", `<message id='1'><!DOCTYPE m></message>`, declaration, 16, Message{ID: "1"}},
	{"entity declaration inside", `<message id='1'><!ENTITY a "b"><body>&a;</body></message>`, declaration, 16, Message{ID: "1"}},
	{"processing instruction", `<message id='1'><?php x?></message>`, instruction, 16, Message{ID: "1"}},
	{"stylesheet", `<?xml-stylesheet href='x'?><message id='1'/>`, instruction, 0, Message{}},
	{"XML declaration inside", `<message id='1'><?xml version='1.0'?></message>`, instruction, 16, Message{ID: "1"}},
	{"XML declaration after a blank", ` <?xml version='1.0'?><message/>`, instruction, 1, Message{}},
	{"XML 1.1", `<?xml version='1.1'?><message/>`, badXMLDeclaration, 0, Message{}},
	{"UTF-7", `<?xml version='1.0' encoding='UTF-7'?><message/>`, badXMLDeclaration, 0, Message{}},
	{"XML declaration without version", `<?xml ?><message/>`, badXMLDeclaration, 0, Message{}},

	{"undefined entity", `<message id='1'><body>a</body><body>&nbsp;</body></message>`, undefinedEntity, 36, Message{ID: "1", Bodies: texts("", "a")}},
	{"undefined entity in a value", `<message id='1' to='&copy;' from='f'/>`, undefinedEntity, 20, Message{ID: "1"}},
	{"entity in capitals", `<message>&AMP;</message>`, undefinedEntity, 9, Message{}},
	{"lone &", `<message id='1'>a & b</message>`, bareAmpersand, 18, Message{ID: "1"}},
	{"entity without end", `<message id='1'>&amp </message>`, bareAmpersand, 16, Message{ID: "1"}},
	{"entity cut off", `<message id='1'>&am`, cutInReference, 16, Message{ID: "1"}},
	{"reference to NUL", `<message id='1'><body>&#0;</body></message>`, badReference, 22, Message{ID: "1"}},
	{"reference past Unicode", `<message id='1'><body>&#x110000;</body></message>`, badReference, 22, Message{ID: "1"}},
	{"reference that overflows", `<message id='1'><body>&#x10000000000000041;</body></message>`, badReference, 22, Message{ID: "1"}},
	{"reference to a surrogate", `<message id='&#xD800;'/>`, badReference, 13, Message{}},
	{"reference to a control character", `<message>&#8;</message>`, badReference, 9, Message{}},
	{"reference to a non-character", `<message>&#xFFFE;</message>`, badReference, 9, Message{}},
	{"reference with X", `<message>&#X41;</message>`, badReference, 9, Message{}},
	{"reference to nothing", `<message>&#;</message>`, badReference, 9, Message{}},

	{"bytes that are not UTF-8", "<message id='1'><body>a</body><body>\xff</body></message>", badUTF8, 36, Message{ID: "1", Bodies: texts("", "a")}},
	{"overlong UTF-8", "<message id='\xc0\xaf'/>", badUTF8, 13, Message{}},
	{"surrogate in UTF-8", "<message>\xed\xa0\x80</message>", badUTF8, 9, Message{}},
	{"character cut off", "<message id='1'>\xf0\x9f\x8e", cutInElement, 19, Message{ID: "1"}},
	{"NUL in text", "<message id='1'><body>a\x00b</body></message>", badChar, 23, Message{ID: "1"}},
	{"NUL in a value", "<message id='1' to='\x00'/>", badChar, 20, Message{ID: "1"}},
	{"control character in a comment", "<message id='1'><!-- \x01 --></message>", badChar, 21, Message{ID: "1"}},
	{"non-character", "<message>\uffff</message>", badChar, 9, Message{}},

	{"attribute twice", `<message id='1' id='2' to='t'/>`, duplicateAttribute, 16, Message{ID: "1"}},
	{"attribute twice by its namespace", `<message id='1'><a xmlns:p='urn:x' xmlns:q='urn:&#120;' p:a='' q:a=''/></message>`, duplicateAttribute, 63, Message{ID: "1"}},
	{"declaration twice", `<message id='1' xmlns='' xmlns='urn:x'/>`, duplicateAttribute, 25, Message{ID: "1"}},
	{"unbound prefix of the root", `<stream:message id='1'/>`, notMessage, 0, Message{}},
	{"unbound prefix, the attribute twice", `<message id='1'><a p:b='' q:b='' p:b=''/></message>`, duplicateAttribute, 33, Message{ID: "1"}},
	{"two colons", `<message id='1'><a:b:c/></message>`, badTag, 20, Message{ID: "1"}},
	{"prefix xmlns for an element", `<message id='1'><xmlns:a/></message>`, unboundPrefix, 17, Message{ID: "1"}},
	{"xml bound elsewhere", `<message id='1' xmlns:xml='urn:x'/>`, badDeclaration, 16, Message{ID: "1"}},
	{"another prefix for xml", `<message id='1' xmlns:x='http://www.w3.org/XML/1998/namespace'/>`, badDeclaration, 16, Message{ID: "1"}},
	{"xmlns bound", `<message id='1' xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>`, badDeclaration, 16, Message{ID: "1"}},
	{"xmlns as default", `<message id='1' xmlns='http://www.w3.org/2000/xmlns/'/>`, badDeclaration, 16, Message{ID: "1"}},
	{"prefix bound to nothing", `<message id='1' xmlns:p=''/>`, badDeclaration, 16, Message{ID: "1"}},

	{"wrong end tag", `<message id='1'><body>a</thread></message>`, wrongEndTag, 23, Message{ID: "1"}},
	{"end tag that goes on", `<message id='1'><body>a</body></messages>`, wrongEndTag, 30, Message{ID: "1", Bodies: texts("", "a")}},
	{"end tag with another prefix", `<c:message xmlns:c='jabber:client' xmlns:d='jabber:client' id='1'></d:message>`, wrongEndTag, 66, Message{ID: "1"}},
	{"end tag with an attribute", `<message id='1'></message a=''>`, wrongEndTag, 16, Message{ID: "1"}},
	{"blank before a name", `<message id='1'>< body/></message>`, badTag, 17, Message{ID: "1"}},
	{"name that begins with a digit", `<message id='1'><1/></message>`, badTag, 17, Message{ID: "1"}},
	{"no blank between attributes", `<message id='1'to='t'/>`, badTag, 15, Message{ID: "1"}},
	{"value without quotes", `<message id='1' to=t/>`, badTag, 19, Message{ID: "1"}},
	{"attribute without value", `<message id='1' to/>`, badTag, 18, Message{ID: "1"}},
	{"blank in />", `<message id='1'/ >`, badTag, 15, Message{ID: "1"}},
	{"< in a value", `<message id='1' to='<b/>'/>`, lessThanInValue, 20, Message{ID: "1"}},
	{"]]> in text", `<message id='1'><body>a]]></body></message>`, bareBracket, 23, Message{ID: "1"}},
	{"CDATA does not nest", `<message id='1'><body><![CDATA[<![CDATA[]]></body><body>]]></body></message>`, bareBracket, 56, Message{ID: "1", Bodies: texts("", "<![CDATA[")}},
	{"CDATA without end", `<message id='1'><![CDATA[</message>]] >`, cutInCDATA, 39, Message{ID: "1"}},
	{"CDATA in lower case", `<message id='1'><![cdata[]]></message>`, declaration, 16, Message{ID: "1"}},
	{"-- in a comment", `<message id='1'><!-- a -- b --></message>`, dashesInComment, 23, Message{ID: "1"}},
	{"--->", `<message id='1'><!-- ---></message>`, dashesInComment, 21, Message{ID: "1"}},
	{"comment without end", `<message id='1'><!-- ->`, cutInComment, 23, Message{ID: "1"}},
	{"text cut off", `<message id='1'><body>secr`, cutInElement, 26, Message{ID: "1"}},
	{"half a moderation", `<message id='1'><retract id='2' xmlns='urn:xmpp:message-retract:1'>`, cutInElement, -1, Message{ID: "1"}},
	{"half of the reactions", `<message id='1'><reactions id='2' xmlns='urn:xmpp:reactions:0'><reaction>👋</reaction>`, cutInElement, -1, Message{ID: "1"}},
	{"a carbon cut off", `<message id='1'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/><message xmlns='jabber:client' id='2'><body>b</body><body>`, cutInElement, -1,
		Message{ID: "1", Carbon: "sent", Forwarded: &Message{ID: "2", Bodies: texts("", "b"), Delay: &Delay{Stamp: at("2010-07-10T23:08:25Z")}}}},

	{"65 levels", "<message id='1'>" + strings.Repeat("<a>", 64), tooDeep, 16 + 63*3, Message{ID: "1"}},
	{"65 attributes", "<message id='1'" + numbered(" a%d=''", 64) + "/>", tooManyAttributes, -1, Message{ID: "1"}},
	{"65 prefixes", "<message id='1'>" + numbered("<a xmlns:p%d='urn:x' xmlns:q%[1]d='urn:y'>", 33), tooManyPrefixes, -1, Message{ID: "1"}},
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestHostile(t *testing.T) {
	var used Message
	for _, c := range hostile {
		for _, m := range []*Message{{}, &used} {
			check(t, c.name, m, c.raw, c.what, c.offset, c.want)
		}
	}
}

func check(t *testing.T, name string, m *Message, raw, what string, offset int, want Message) {
	t.Helper()
	err := m.Parse([]byte(raw))
	var e *Error
	if !errors.As(err, &e) || e.What != what || offset >= 0 && e.Offset != offset {
		t.Errorf("%s: %v, want byte %d: %s", name, err, offset, what)
	}
	if !reflect.DeepEqual(*m, want) {
		t.Errorf("%s:\n got %s\nwant %s", name, show(*m), show(want))
	}
	if id := StartTagID([]byte(raw)); id != want.ID {
		t.Errorf("%s: id %q", name, id)
	}
}

// TestLimits gives what is just allowed.
func TestLimits(t *testing.T) {
	pad := maxSize - len("<message><!----></message>")
	for name, raw := range map[string]string{
		"64 levels":     "<message>" + strings.Repeat("<a>", 63) + strings.Repeat("</a>", 63) + "</message>",
		"64 attributes": "<message" + numbered(" a%d=''", 64) + "/>",
		"64 prefixes":   "<message>" + numbered("<a xmlns:p%d='urn:x' xmlns:q%[1]d='urn:y'>", 32) + strings.Repeat("</a>", 32) + "</message>",
		"16 MiB":        "<message><!--" + strings.Repeat(" ", pad) + "--></message>",
	} {
		var m Message
		if err := m.Parse([]byte(raw)); err != nil || !reflect.DeepEqual(m, Message{}) {
			t.Errorf("%s: %v, %s", name, err, show(m))
		}
	}
}

// TestHuge gives hostile stanzas of up to 16 MiB. All of them together take some
// seconds; anything that grows with the square of the input would take
// hours.
func TestHuge(t *testing.T) {
	begin := time.Now()
	fill := func(unit string) string { return strings.Repeat(unit, (maxSize-1000)/len(unit)) }
	long := strings.Repeat("x", 1<<20)
	id := Message{ID: "1"}
	for _, c := range []struct {
		name, raw, what string
		want            Message
	}{
		{"100,000 elements inside one another", "<message id='1'>" + strings.Repeat("<a>", 100_000), tooDeep, id},
		{"100,000 attributes", "<message id='1'" + numbered(" a%d=''", 100_000) + "/>", tooManyAttributes, id},
		{"16 MiB and 1", "<message id='1'><body>b</body>" + strings.Repeat(" ", maxSize+1-40) + "</message>", tooLarge, id},
		{"16 MiB in a value", "<message id='1' to='" + strings.Repeat("&amp;", maxSize/4), tooLarge, id},
		{"many children with declarations", "<message id='1'>" + fill("<a"+numbered(" xmlns:p%d='u'", 63)+"/>"), cutInElement, id},
		{"many prefixed attributes", "<message id='1'" + numbered(" xmlns:p%d='u%[1]d'", 63) + ">" + fill("<a"+numbered(" p%d:x=''", 63)+"/>"), cutInElement, id},
		{"long names of namespaces", "<message id='1' xmlns:p='" + long + "1' xmlns:q='" + long + "2'>" + strings.Repeat("<a p:x='' q:x=''/>", 500_000), cutInElement, id},
		{"long prefixes", "<message id='1'>" + strings.Repeat("<"+long+":a xmlns:"+long+"='u'/>", 7), cutInElement, id},
		{"one huge value", "<message id='1' to='" + fill("&#x41;"), cutInTag, id},
		{"one huge reference", "<message id='1'>&#" + fill("0"), cutInReference, id},
		{"one huge entity name", "<message id='1'>&" + fill("a"), cutInReference, id},
		{"many brackets", "<message id='1'><body>" + fill("]"), cutInElement, id},
		{"many brackets in CDATA", "<message id='1'><![CDATA[" + fill("]"), cutInCDATA, id},
		{"many dashes", "<message id='1'>" + fill("<!-- - - -->"), cutInElement, id},
		{"many bodies of XHTML", "<message id='1'><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>" + fill("<p>a <br/></p>"), cutInElement, id},
		{"many reactions", "<message id='1'><reactions xmlns='urn:xmpp:reactions:0' id='2'>" + numbered("<reaction>%d</reaction>", 400_000), cutInElement, id},
	} {
		var m Message
		check(t, c.name, &m, c.raw, c.what, -1, c.want)
	}
	if took := time.Since(begin); took > 5*time.Minute {
		t.Errorf("took %v", took)
	}
}

// TestCutEverywhere cuts a stanza at every byte.
func TestCutEverywhere(t *testing.T) {
	raw := `<?xml version='1.0'?><message from='anna@example.com' id='39a2:4d8f' to='b&amp;n'><body>Grüße &#x1F389;</body><!-- c --><thread>t</thread><subject><![CDATA[s]]></subject></message>`
	complete := func(cut int, part string) bool { return cut >= strings.Index(raw, part)+len(part) }
	for cut := range len(raw) {
		var m Message
		err := m.Parse([]byte(raw[:cut]))
		if err == nil || err.(*Error).Offset > cut {
			t.Errorf("cut at %d: %v", cut, err)
		}
		var want Message
		if complete(cut, "from='anna@example.com'") {
			want.From = "anna@example.com"
		}
		if complete(cut, "id='39a2:4d8f'") {
			want.ID = "39a2:4d8f"
		}
		if complete(cut, "to='b&amp;n'") {
			want.To = "b&n"
		}
		if complete(cut, "</body>") {
			want.Bodies = texts("", "Grüße 🎉")
		}
		if complete(cut, "</thread>") {
			want.Thread = "t"
		}
		if complete(cut, "</subject>") {
			want.Subjects = texts("", "s")
		}
		if id := StartTagID([]byte(raw[:cut])); id != want.ID || !reflect.DeepEqual(m, want) {
			t.Errorf("cut at %d:\n got %s\nwant %s", cut, show(m), show(want))
		}
	}
}

func TestErrorText(t *testing.T) {
	if text := (&Error{17, undefinedEntity}).Error(); text != "byte 17: an entity that is not defined" {
		t.Error(text)
	}
}
