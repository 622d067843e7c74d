package stanza

import "bytes"

// space is a namespace, numbered. Those below spaceOther are known by name.
type space uint32

// The known namespaces, in the order of the files that use them.
const (
	spaceNone space = iota
	spaceClient
	spaceServer
	spaceComponent
	spaceStanzas
	spaceXML
	spaceXMLNS
	spaceOpenPGPOld
	spaceMUCUser
	spaceOOB
	spaceXHTMLIM
	spaceXHTML
	spaceChatStates
	spaceDelayOld
	spaceReceipts
	spaceDelay
	spaceConference
	spaceCarbons
	spaceForward
	spaceCorrect
	spaceMarkers
	spaceSID
	spaceOpenPGP
	spaceEME
	spaceOMEMOSiacs
	spaceOMEMO1
	spaceOMEMO2
	spaceFasten
	spaceRetract0
	spaceRetract1
	spaceModerate0
	spaceModerate1
	spaceReactions
	spaceReply
	spaceUnbound // of prefixes that nothing declares
	spaceOther
)

// Namespaces of RFC 6120 and of XML itself.
const (
	nsClient    = "jabber:client"                        // RFC 6120 section 4.8.2
	nsServer    = "jabber:server"                        // RFC 6120 section 4.8.2
	nsComponent = "jabber:component:accept"              // XEP-0114 section 3
	nsStanzas   = "urn:ietf:params:xml:ns:xmpp-stanzas"  // RFC 6120 section 8.3.2
	nsXML       = "http://www.w3.org/XML/1998/namespace" // Namespaces in XML 1.0 section 3
	nsXMLNS     = "http://www.w3.org/2000/xmlns/"        // Namespaces in XML 1.0 section 3
)

// known finds a namespace by its name.
func known(name []byte) space {
	switch string(name) {
	case "":
		return spaceNone
	case nsClient:
		return spaceClient
	case nsServer:
		return spaceServer
	case nsComponent:
		return spaceComponent
	case nsStanzas:
		return spaceStanzas
	case nsXML:
		return spaceXML
	case nsXMLNS:
		return spaceXMLNS
	case nsOpenPGPOld:
		return spaceOpenPGPOld
	case nsMUCUser:
		return spaceMUCUser
	case nsOOB:
		return spaceOOB
	case nsXHTMLIM:
		return spaceXHTMLIM
	case nsXHTML:
		return spaceXHTML
	case nsChatStates:
		return spaceChatStates
	case nsDelayOld:
		return spaceDelayOld
	case nsReceipts:
		return spaceReceipts
	case nsDelay:
		return spaceDelay
	case nsConference:
		return spaceConference
	case nsCarbons:
		return spaceCarbons
	case nsForward:
		return spaceForward
	case nsCorrect:
		return spaceCorrect
	case nsMarkers:
		return spaceMarkers
	case nsSID:
		return spaceSID
	case nsOpenPGP:
		return spaceOpenPGP
	case nsEME:
		return spaceEME
	case nsOMEMOSiacs:
		return spaceOMEMOSiacs
	case nsOMEMO1:
		return spaceOMEMO1
	case nsOMEMO2:
		return spaceOMEMO2
	case nsFasten:
		return spaceFasten
	case nsRetract0:
		return spaceRetract0
	case nsRetract1:
		return spaceRetract1
	case nsModerate0:
		return spaceModerate0
	case nsModerate1:
		return spaceModerate1
	case nsReactions:
		return spaceReactions
	case nsReply:
		return spaceReply
	}
	return spaceOther
}

// binding is a prefix in scope with the namespace it stands for.
type binding struct {
	prefix, uri []byte
	space       space
}

// bind takes in the declaration a (Namespaces in XML 1.0 sections 3 and 5). It
// returns what is wrong with it, or "".
func (s *scanner) bind(a attribute) (what string) {
	uri := s.valueBytes(a)
	sp := known(uri)
	if !a.name.prefixed() {
		if sp == spaceXML || sp == spaceXMLNS {
			return badDeclaration
		}
		s.defaultSpace = sp
		return ""
	}
	prefix := s.local(a.name)
	if string(prefix) == "xml" {
		if sp != spaceXML {
			return badDeclaration
		}
		return ""
	}
	if string(prefix) == "xmlns" || sp == spaceNone || sp == spaceXML || sp == spaceXMLNS {
		return badDeclaration
	}
	if len(s.bound) == maxPrefixes {
		return tooManyPrefixes
	}
	if sp == spaceOther {
		// Numbered apart, so that attributes of two prefixes can be compared
		// without reading a long name again for each.
		s.fresh++
		sp = spaceOther + s.fresh
		for _, b := range s.bound {
			if b.space > spaceOther && bytes.Equal(b.uri, uri) {
				sp = b.space
				break
			}
		}
	}
	s.bound = append(s.bound, binding{prefix, uri, sp})
	return ""
}

// resolve returns the namespace of an element named n.
func (s *scanner) resolve(n name) (sp space, ok bool) {
	if !n.prefixed() {
		return s.defaultSpace, true
	}
	return s.lookup(s.raw[n.start:n.colon])
}

// lookup returns the namespace of a prefix. One that nothing declares is
// spaceUnbound: servers pass on prefixes that only the client's stream had
// declared, and what stands behind such an element must be read all the same.
// Namespaces in XML 1.0 section 5 forbids xmlns.
func (s *scanner) lookup(prefix []byte) (sp space, ok bool) {
	for i := len(s.bound) - 1; i >= 0; i-- {
		if bytes.Equal(s.bound[i].prefix, prefix) {
			return s.bound[i].space, true
		}
	}
	if string(prefix) == "xml" {
		return spaceXML, true
	}
	return spaceUnbound, string(prefix) != "xmlns"
}

// checkPrefixed checks the attributes with a prefix, once all declarations of
// their element are known: Namespaces in XML 1.0 sections 5 and 6.3.
func (s *scanner) checkPrefixed() bool {
	for i := range s.attrs {
		a := &s.attrs[i]
		if !a.name.prefixed() || a.declares {
			continue
		}
		sp, ok := s.lookup(s.raw[a.name.start:a.name.colon])
		if !ok {
			s.fail(a.name.start, unboundPrefix)
			return false
		}
		a.space = sp
		for j := range i {
			b := &s.attrs[j]
			if b.space == sp && bytes.Equal(s.local(a.name), s.local(b.name)) && (sp != spaceUnbound || bytes.Equal(s.raw[a.name.start:a.name.end], s.raw[b.name.start:b.name.end])) {
				s.fail(a.name.start, duplicateAttribute)
				return false
			}
		}
	}
	return true
}
