package stanza

import "strings"

// Encryption methods: the mark of XEP-0380 section 3, and what each method
// puts into a message itself.
const (
	nsEME        = "urn:xmpp:eme:0"
	nsOTR        = "urn:xmpp:otr:0"                 // XEP-0380 section 3.2
	nsOpenPGPOld = "jabber:x:encrypted"             // XEP-0027
	nsOpenPGP    = "urn:xmpp:openpgp:0"             // XEP-0373
	nsOMEMOSiacs = "eu.siacs.conversations.axolotl" // XEP-0384 version 0.3
	nsOMEMO1     = "urn:xmpp:omemo:1"               // XEP-0384 version 0.4
	nsOMEMO2     = "urn:xmpp:omemo:2"               // XEP-0384 version 0.8
)

func (p *parser) openEncryption(local []byte) role {
	if p.m.Encrypted != "" {
		return ignored
	}
	switch p.space {
	case spaceEME:
		if string(local) == "encryption" {
			p.m.Encrypted = methodName(string(p.attr("namespace")), string(p.attr("name")))
		}
	case spaceOpenPGP:
		if string(local) == "openpgp" {
			p.m.Encrypted = "OpenPGP"
		}
	case spaceOpenPGPOld:
		if string(local) == "x" {
			p.m.Encrypted = "OpenPGP"
		}
	default:
		if string(local) == "encrypted" {
			p.m.Encrypted = "OMEMO"
		}
	}
	return ignored
}

// methodName obeys XEP-0380 section 4: a name of one's own goes before the
// sender's.
func methodName(namespace, name string) string {
	switch namespace {
	case nsOMEMOSiacs, nsOMEMO1, nsOMEMO2:
		return "OMEMO"
	case nsOpenPGP, nsOpenPGPOld:
		return "OpenPGP"
	case nsOTR:
		return "OTR"
	}
	if name == "" {
		return namespace
	}
	return name
}

// isOTR knows a message of OTR by its first bytes (XEP-0364).
func isOTR(body string) bool { return strings.HasPrefix(body, "?OTR") }
