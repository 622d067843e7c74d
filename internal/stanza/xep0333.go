package stanza

const nsMarkers = "urn:xmpp:chat-markers:0" // XEP-0333 section "Protocol Format"

// openMarker takes one of the elements of XEP-0333 version 0.4 section "Protocol
// Format"; later versions have only markable and displayed. A marker goes before markable,
// which marks nothing.
func (p *parser) openMarker(local []byte) role {
	switch string(local) {
	case "markable":
		if p.m.Marker == "" {
			p.m.Marker = "markable"
		}
	case "received", "displayed", "acknowledged":
		if p.m.Marker == "" || p.m.Marker == "markable" {
			p.m.Marker, p.m.MarkerFor = string(local), string(p.attr("id"))
		}
	}
	return ignored
}
