package stanza

const nsMUCUser = "http://jabber.org/protocol/muc#user" // XEP-0045 section "Protocol Namespaces"

func (p *parser) openMUCUser(local []byte) role {
	if string(local) != "x" {
		return ignored
	}
	p.m.MUCUser = true
	return inMUCUser
}

// mucUserChild takes a mediated invitation as the room passes it on (XEP-0045
// section 7.8.2). It goes before a direct one, which says less.
func (p *parser) mucUserChild(local []byte) role {
	if p.space == spaceMUCUser && string(local) == "invite" {
		if from := p.attr("from"); len(from) > 0 {
			p.m.Invite = string(from)
		}
	}
	return ignored
}
