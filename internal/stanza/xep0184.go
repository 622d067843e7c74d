package stanza

const nsReceipts = "urn:xmpp:receipts" // XEP-0184 section "Protocol Format"

// openReceipt takes a request or a receipt (section "Protocol Format"). A receipt
// without id, as version 1.0 had it, cannot be told to belong to a message.
func (p *parser) openReceipt(local []byte) role {
	switch string(local) {
	case "request":
		p.m.WantsReceipt = true
	case "received":
		if p.m.ReceiptFor == "" {
			p.m.ReceiptFor = string(p.attr("id"))
		}
	}
	return ignored
}
