package stanza

import "bytes"

// XEP-0071 section "Wrapper Element" wraps the one into the other.
const (
	nsXHTMLIM = "http://jabber.org/protocol/xhtml-im"
	nsXHTML   = "http://www.w3.org/1999/xhtml"
)

// layout is the state of the plain text that grows in p.text.
type layout struct {
	blank bool // one is due before the next character
	pre   int  // <pre/> elements open
}

func (p *parser) openXHTML(local []byte) role {
	if string(local) != "html" {
		return ignored
	}
	return inHTML
}

// xhtmlChild takes the elements of XEP-0071 section "XHTML-IM Integration Set" and
// of XHTML's text and list modules, whence they come. One body is read, though
// there may be one for each language: all say the same.
func (p *parser) xhtmlChild(parent role, local []byte) role {
	if p.space != spaceXHTML {
		return ignored
	}
	if parent == inHTML {
		if string(local) != "body" || p.m.XHTML != "" {
			return ignored
		}
		p.layout = layout{}
		return p.gather(inXHTMLBody)
	}
	switch string(local) {
	case "br":
		p.lineEnd()
		return ignored
	case "img":
		// The alternative text is what stands for an image in plain text.
		p.layOut(p.attr("alt"))
		return ignored
	case "style", "script", "head", "title":
		return ignored
	case "pre":
		p.block()
		p.layout.pre++
		return inXHTMLPre
	case "p", "div", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li",
		"dl", "dt", "dd", "address", "hr", "table", "tr":
		p.block()
		return inXHTMLBlock
	}
	return inXHTMLInline
}

// layOut appends text with its blanks as HTML shows them: many are one, and
// those at the ends of a line are none.
func (p *parser) layOut(text []byte) {
	if p.layout.pre > 0 {
		p.text = append(p.text, text...)
		return
	}
	for _, c := range text {
		if class[c]&isBlank != 0 {
			p.layout.blank = true
			continue
		}
		if p.layout.blank && !p.atLineStart() {
			p.text = append(p.text, ' ')
		}
		p.layout.blank = false
		p.text = append(p.text, c)
	}
}

func (p *parser) atLineStart() bool {
	return len(p.text) == 0 || p.text[len(p.text)-1] == '\n'
}

func (p *parser) lineEnd() {
	p.text = append(p.text, '\n')
	p.layout.blank = false
}

// block is where a block element begins or ends.
func (p *parser) block() {
	if !p.atLineStart() {
		p.lineEnd()
	}
	p.layout.blank = false
}

func (p *parser) closeXHTML(r role) {
	p.block()
	switch r {
	case inXHTMLPre:
		p.layout.pre--
	case inXHTMLBody:
		p.m.XHTML = p.string(bytes.Trim(p.text, "\n"))
	}
}
