package stanza

const nsConference = "jabber:x:conference" // XEP-0249 section 2

// openDirectInvite takes the room of a direct invitation (XEP-0249 section 2).
func (p *parser) openDirectInvite(local []byte) role {
	if string(local) == "x" && p.m.Invite == "" {
		p.m.Invite = string(p.attr("jid"))
	}
	return ignored
}
