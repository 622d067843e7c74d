package stanza

const nsSID = "urn:xmpp:sid:0" // XEP-0359 section 2

// openStanzaID takes <origin-id/> and <stanza-id/> (XEP-0359 section 2). One
// without id or, of the latter, without by is none (section 3, rules 5 and 6).
func (p *parser) openStanzaID(local []byte) role {
	switch string(local) {
	case "origin-id":
		if p.m.OriginID == "" {
			p.m.OriginID = string(p.attr("id"))
		}
	case "stanza-id":
		if by, id := p.attr("by"), p.attr("id"); len(by) > 0 && len(id) > 0 {
			p.m.StanzaIDs = append(p.m.StanzaIDs, StanzaID{string(by), string(id)})
		}
	}
	return ignored
}
