package stanza

const nsReply = "urn:xmpp:reply:0" // XEP-0461 section 3

// openReply takes the message and the author that are replied to (XEP-0461
// section 3).
func (p *parser) openReply(local []byte) role {
	if string(local) == "reply" && p.m.ReplyTo == "" {
		p.m.ReplyTo, p.m.ReplyToJID = string(p.attr("id")), string(p.attr("to"))
	}
	return ignored
}
