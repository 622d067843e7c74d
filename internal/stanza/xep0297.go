package stanza

const nsForward = "urn:xmpp:forward:0" // XEP-0297 section 3.1

// openForwarded goes one level down and no further: XEP-0297 sets no bound, and
// nothing an archive keeps needs more.
func (p *parser) openForwarded(local []byte) role {
	if string(local) != "forwarded" || p.m != p.outer || p.m.Forwarded != nil {
		return ignored
	}
	p.held = nil
	return inForwarded
}

// forwardedChild takes the stanza, which keeps its own namespace (XEP-0297
// section 3.2, rule 3), and the delay beside it (rule 2).
func (p *parser) forwardedChild(local []byte) role {
	switch {
	case p.space == spaceDelay || p.space == spaceDelayOld:
		return p.openDelay(local)
	case string(local) == "message" && isStanzas(p.space) && p.outer.Forwarded == nil:
		p.m = &Message{}
		p.outer.Forwarded = p.m
		p.attributes(p.m)
		p.base, p.outerBase = p.space, p.base
		return inMessage
	}
	return ignored
}

// leaveForwarded gives the delay beside the message to it, unless it brought
// its own, which is the older.
func (p *parser) leaveForwarded() {
	if f := p.outer.Forwarded; f != nil && f.Delay == nil {
		f.Delay = p.held
	}
	p.held = nil
}
