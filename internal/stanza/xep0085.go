package stanza

const nsChatStates = "http://jabber.org/protocol/chatstates" // XEP-0085 section "Protocol Namespaces"

// openChatState takes one of the five states of XEP-0085 section "Definitions".
func (p *parser) openChatState(local []byte) role {
	if p.m.ChatState != "" {
		return ignored
	}
	for _, state := range []string{"active", "composing", "paused", "inactive", "gone"} {
		if string(local) == state {
			p.m.ChatState = state
		}
	}
	return ignored
}
