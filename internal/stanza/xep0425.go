package stanza

// Moderated retraction: XEP-0425 version 0.3 puts <moderated/> and
// <reason/> into <retract/>; version 0.2 section 3 has them the other way round.
const (
	nsModerate0 = "urn:xmpp:message-moderate:0"
	nsModerate1 = "urn:xmpp:message-moderate:1"
)

// openModerated takes who moderated. Should the attribute be missing, it was the
// room, from which alone such a message may come (XEP-0425 section "Business
// Rules").
func (p *parser) openModerated(local []byte) role {
	if string(local) != "moderated" {
		return p.openReason(local)
	}
	if p.retract.by = string(p.attr("by")); p.retract.by == "" {
		p.retract.by = p.m.From
	}
	return inModerated
}

func (p *parser) moderatedChild(local []byte) role {
	switch p.space {
	case spaceModerate0, spaceModerate1:
		return p.openReason(local)
	case spaceRetract0, spaceRetract1:
		if string(local) == "retract" {
			p.retract.retracts = true
			return ignored
		}
		return p.openReason(local)
	}
	return ignored
}

func (p *parser) openReason(local []byte) role {
	if string(local) != "reason" {
		return ignored
	}
	return p.gather(inReason)
}
