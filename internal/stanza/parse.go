package stanza

import "sync"

// role is what an open element is to the message. An element whose parent is
// ignored is ignored.
type role uint8

const (
	ignored role = iota
	inMessage
	inError
	inHTML
	inOOB
	inCarbon
	inForwarded
	inMUCUser
	inRetract
	inApplyTo
	inModerated
	inReactions

	inBody
	inSubject
	inThread
	inDelay
	inURL
	inDesc
	inReason
	inReaction

	inXHTMLBody
	inXHTMLInline
	inXHTMLBlock
	inXHTMLPre
)

const (
	firstText  = inBody      // from here on character data is gathered in p.text
	firstXHTML = inXHTMLBody // from here on it is laid out by xep0071.go
)

// parser reads one stanza. It is used again for the next, through parsers.
type parser struct {
	scanner
	m         *Message // being read: outer or what it forwards
	outer     *Message
	known     []string
	base      space // of m
	outerBase space // of outer, while m is not
	roles     [maxDepth + 1]role

	text      []byte
	lang      string // of the body or subject being read
	file      File
	delay     Delay
	held      *Delay // beside a forwarded message
	parent    string // of the thread being read
	retract   retraction
	reactsTo  string
	reactions []string
	layout    layout
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// begin readies p for raw. What it held of the stanza before it lets go of here
// or, when it lies idle, with the pool.
func (p *parser) begin(m *Message, raw []byte) {
	p.scanner.reset(raw)
	clear(p.reactions[:cap(p.reactions)])
	p.m, p.outer, p.known, p.base = m, m, nil, spaceNone
	p.lang, p.file, p.delay, p.held, p.parent = "", File{}, Delay{}, nil, ""
	p.retract, p.reactsTo, p.reactions, p.layout = retraction{}, "", p.reactions[:0], layout{}
	// One huge stanza must not cost memory forever.
	if cap(p.text) > 64<<10 {
		p.text = nil
	}
	if cap(p.reactions) > 1<<10 {
		p.reactions = nil
	}
}

// string is string(b), without making one for what is known.
func (p *parser) string(b []byte) string {
	for _, k := range p.known {
		if string(b) == k {
			return k
		}
	}
	return string(b)
}

// start reads the root's start tag. Afterwards p.attrs are the message's; they
// are none if the root is no message.
func (p *parser) start() bool {
	tooMuch := len(p.raw) > maxSize
	if tooMuch {
		p.raw = p.raw[:maxSize]
	}
	p.tag = name{} // no name: not even a cut one was read
	token := p.root()
	if p.tag.end == 0 {
		p.attrs = p.attrs[:0]
	} else {
		sp, ok := p.resolve(p.tag)
		if string(p.local(p.tag)) != "message" || ok && !isStanzas(sp) {
			p.attrs = p.attrs[:0]
			if token == startTag {
				p.fail(p.tag.start-1, notMessage)
			}
			return false
		}
		p.base = sp
	}
	if tooMuch {
		p.fail(maxSize, tooLarge)
		return false
	}
	return token == startTag
}

func (p *parser) run() {
	ok := p.start()
	p.attributes(p.m)
	if !ok {
		return
	}
	p.roles[1] = inMessage
	depth := 1
	for depth > 0 {
		switch p.next() {
		case startTag:
			r := p.opened(p.roles[depth])
			depth++
			p.roles[depth] = r
		case chars:
			if r := p.roles[depth]; r >= firstXHTML {
				p.layOut(p.chunk)
			} else if r >= firstText {
				p.text = append(p.text, p.chunk...)
			}
		case endTag:
			p.closed(p.roles[depth], p.roles[depth-1])
			depth--
		default:
			p.leaveForwarded()
			return
		}
	}
	if p.pos = p.skipBlanks(p.pos); p.pos < len(p.raw) {
		p.fail(p.pos, trailing)
	}
}

// opened takes the start tag of a child of an element in the role parent and
// returns the child's role.
func (p *parser) opened(parent role) role {
	local := p.local(p.tag)
	switch parent {
	case ignored:
		return ignored
	case inMessage:
		return p.child(local)
	case inError:
		return p.errorChild(local)
	case inHTML, inXHTMLBody, inXHTMLInline, inXHTMLBlock, inXHTMLPre:
		return p.xhtmlChild(parent, local)
	case inOOB:
		return p.oobChild(local)
	case inCarbon:
		return p.carbonChild(local)
	case inForwarded:
		return p.forwardedChild(local)
	case inMUCUser:
		return p.mucUserChild(local)
	case inRetract:
		return p.retractChild(local)
	case inApplyTo:
		return p.applyToChild(local)
	case inModerated:
		return p.moderatedChild(local)
	case inReactions:
		return p.reactionsChild(local)
	}
	return ignored
}

// child takes a child of <message/>.
func (p *parser) child(local []byte) role {
	if p.space == p.base {
		return p.ownChild(local)
	}
	switch p.space {
	case spaceXHTMLIM:
		return p.openXHTML(local)
	case spaceOOB:
		return p.openOOB(local)
	case spaceChatStates:
		return p.openChatState(local)
	case spaceReceipts:
		return p.openReceipt(local)
	case spaceDelay, spaceDelayOld:
		return p.openDelay(local)
	case spaceCarbons:
		return p.openCarbon(local)
	case spaceForward:
		return p.openForwarded(local)
	case spaceCorrect:
		return p.openCorrection(local)
	case spaceMarkers:
		return p.openMarker(local)
	case spaceSID:
		return p.openStanzaID(local)
	case spaceEME, spaceOMEMOSiacs, spaceOMEMO1, spaceOMEMO2, spaceOpenPGP, spaceOpenPGPOld:
		return p.openEncryption(local)
	case spaceRetract0, spaceRetract1:
		return p.openRetract(local)
	case spaceFasten:
		return p.openApplyTo(local)
	case spaceReactions:
		return p.openReactions(local)
	case spaceReply:
		return p.openReply(local)
	case spaceMUCUser:
		return p.openMUCUser(local)
	case spaceConference:
		return p.openDirectInvite(local)
	}
	return ignored
}

// ownChild takes a child in the message's own namespace: RFC 6121 section 5.2,
// RFC 6120 section 8.3.2 for <error/>.
func (p *parser) ownChild(local []byte) role {
	switch string(local) {
	case "body":
		return p.gather(inBody)
	case "subject":
		return p.gather(inSubject)
	case "thread":
		p.parent = string(p.attr("parent"))
		return p.gather(inThread)
	case "error":
		if p.m.Type == "error" {
			return inError
		}
	}
	return ignored
}

// gather begins a text.
func (p *parser) gather(r role) role {
	p.text = p.text[:0]
	if r == inBody || r == inSubject {
		p.lang = p.m.Lang
		if lang := p.attr("xml:lang"); lang != nil && string(lang) != p.lang {
			p.lang = string(lang)
		}
	}
	return r
}

// errorChild takes the condition: RFC 6120 section 8.3.2.
func (p *parser) errorChild(local []byte) role {
	if p.space == spaceStanzas && p.m.Error == "" && string(local) != "text" {
		p.m.Error = string(local)
	}
	return ignored
}

// closed takes the end of an element in the role r. What an element says is
// taken in here, not at its start, wherever half of it would mislead.
func (p *parser) closed(r, parent role) {
	m := p.m
	switch r {
	case inMessage:
		p.m, p.base = p.outer, p.outerBase
	case inBody:
		m.Bodies = append(m.Bodies, LangText{p.lang, p.string(p.text)})
	case inSubject:
		m.Subjects = append(m.Subjects, LangText{p.lang, p.string(p.text)})
	case inThread:
		if m.Thread == "" {
			m.Thread, m.ParentThread = p.string(p.text), p.parent
		}
	case inXHTMLBody, inXHTMLBlock, inXHTMLPre:
		p.closeXHTML(r)
	case inOOB:
		p.closeOOB()
	case inURL:
		p.file.URL = trim(p.text)
	case inDesc:
		p.file.Description = string(p.text)
	case inDelay:
		p.closeDelay(parent)
	case inForwarded:
		p.leaveForwarded()
	case inRetract, inApplyTo:
		p.closeRetraction()
	case inReason:
		p.retract.reason = trim(p.text)
	case inReactions:
		p.closeReactions()
	case inReaction:
		p.addReaction()
	}
}
