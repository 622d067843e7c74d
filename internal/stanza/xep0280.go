package stanza

const nsCarbons = "urn:xmpp:carbons:2" // XEP-0280 section "Protocol Namespaces"

// openCarbon takes the wrapper of a copy (XEP-0280 sections "Receiving Messages to
// the Client" and "Sending Messages from the Client"). Whether it came from the
// account's own bare JID, as "Security Considerations" demands, is to be seen
// from Message.From.
func (p *parser) openCarbon(local []byte) role {
	if p.m != p.outer || p.m.Carbon != "" {
		return ignored
	}
	switch string(local) {
	case "sent":
		p.m.Carbon = "sent"
	case "received":
		p.m.Carbon = "received"
	default:
		return ignored
	}
	return inCarbon
}

func (p *parser) carbonChild(local []byte) role {
	if p.space != spaceForward {
		return ignored
	}
	return p.openForwarded(local)
}
