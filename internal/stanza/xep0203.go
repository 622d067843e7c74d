package stanza

import "time"

// Delayed delivery: XEP-0203 section 2, and XEP-0091 section 2 before it.
const (
	nsDelay    = "urn:xmpp:delay"
	nsDelayOld = "jabber:x:delay"
)

// stampOld is the form of XEP-0091 section 4, which is in UTC.
const stampOld = "20060102T15:04:05"

func (p *parser) openDelay(local []byte) role {
	old := p.space == spaceDelayOld
	if string(local) != "delay" && !old || string(local) != "x" && old {
		return ignored
	}
	stamp := p.attr("stamp")
	p.delay = Delay{From: string(p.attr("from"))}
	// UnmarshalText takes RFC 3339 and no more, which is the DateTime profile of
	// XEP-0082 section 3.2; time.Parse takes more.
	if err := p.delay.Stamp.UnmarshalText(stamp); err != nil {
		p.delay.Stamp = time.Time{}
		if old {
			if t, err := time.Parse(stampOld, string(stamp)); err == nil && len(stamp) == len(stampOld) {
				p.delay.Stamp = t
			}
		}
	}
	p.delay.Stamp = p.delay.Stamp.UTC()
	return p.gather(inDelay)
}

// closeDelay gives the delay to the message, or holds it when it stands beside
// a forwarded one.
func (p *parser) closeDelay(parent role) {
	d := p.delay
	d.Reason = trim(p.text)
	if parent == inForwarded {
		if p.held == nil {
			p.held = &d
		}
	} else if p.m.Delay == nil {
		p.m.Delay = &d
	}
}
