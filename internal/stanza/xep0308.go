package stanza

const nsCorrect = "urn:xmpp:message-correct:0" // XEP-0308 section "Use Case"

// openCorrection takes the id of the message replaced (section "Use Case").
func (p *parser) openCorrection(local []byte) role {
	if string(local) == "replace" && p.m.Corrects == "" {
		p.m.Corrects = string(p.attr("id"))
	}
	return ignored
}
