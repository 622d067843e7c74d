package stanza

import "slices"

const nsReactions = "urn:xmpp:reactions:0" // XEP-0444 section 3

// openReactions takes the first <reactions/>; there must not be more (XEP-0444
// section 4).
func (p *parser) openReactions(local []byte) role {
	if string(local) != "reactions" || p.m.ReactsTo != "" {
		return ignored
	}
	p.reactsTo = string(p.attr("id"))
	p.reactions = p.reactions[:0]
	return inReactions
}

func (p *parser) reactionsChild(local []byte) role {
	if p.space != spaceReactions || string(local) != "reaction" {
		return ignored
	}
	return p.gather(inReaction)
}

func (p *parser) addReaction() {
	if emoji := trim(p.text); emoji != "" {
		p.reactions = append(p.reactions, emoji)
	}
}

// closeReactions takes the set whole or not at all, for what is not in it is
// taken back (XEP-0444 section 3.2). One given twice counts once (section 4).
func (p *parser) closeReactions() {
	if p.reactsTo == "" {
		return
	}
	p.m.ReactsTo = p.reactsTo
	const few = 16 // compared each with each
	var seen map[string]bool
	if len(p.reactions) > few {
		seen = make(map[string]bool, len(p.reactions))
	}
	for _, emoji := range p.reactions {
		if seen[emoji] || seen == nil && slices.Contains(p.m.Reactions, emoji) {
			continue
		}
		if seen != nil {
			seen[emoji] = true
		}
		p.m.Reactions = append(p.m.Reactions, emoji)
	}
}
