package stanza

// Message retraction: XEP-0424 section 3, before version 0.4 inside the
// wrapper of XEP-0422 section 3.
const (
	nsRetract0 = "urn:xmpp:message-retract:0"
	nsRetract1 = "urn:xmpp:message-retract:1"
	nsFasten   = "urn:xmpp:fasten:0"
)

// retraction is one that is being read. It is taken whole or not at all: half
// of a moderation would look as if the author had retracted.
type retraction struct {
	id, by, reason string
	retracts       bool
}

func (p *parser) openRetract(local []byte) role {
	if string(local) != "retract" {
		return ignored // a tombstone (section 4) retracts nothing
	}
	p.retract = retraction{id: string(p.attr("id")), retracts: true}
	return inRetract
}

func (p *parser) retractChild(local []byte) role {
	switch p.space {
	case spaceModerate0, spaceModerate1:
		return p.openModerated(local)
	case spaceRetract0, spaceRetract1:
		return p.openReason(local)
	}
	return ignored
}

func (p *parser) openApplyTo(local []byte) role {
	if string(local) != "apply-to" {
		return ignored
	}
	p.retract = retraction{id: string(p.attr("id"))}
	return inApplyTo
}

func (p *parser) applyToChild(local []byte) role {
	switch p.space {
	case spaceModerate0, spaceModerate1:
		return p.openModerated(local)
	case spaceRetract0, spaceRetract1:
		p.retract.retracts = p.retract.retracts || string(local) == "retract"
	}
	return ignored
}

func (p *parser) closeRetraction() {
	if r := &p.retract; r.retracts && r.id != "" && p.m.Retracts == "" {
		p.m.Retracts, p.m.Moderator, p.m.Reason = r.id, r.by, r.reason
	}
}
