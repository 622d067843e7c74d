// Package stanza says what one stored XMPP <message/> says: whose it is, its
// texts, and the extensions that change how an archive has to read it (a
// correction, a retraction, a reaction, a receipt, a carbon and so on).
//
// Message.Parse is the way in. It reads the XML itself, because an archive
// holds millions of stanzas and none of them is to be trusted: scan.go takes
// no more of XML 1.0 than RFC 6120 section 11.1 allows a stream to carry, in
// time linear in the input and with bounds on depth, attributes and prefixes.
// What a damaged stanza said before the damage is kept, above all its id.
//
// Each extension has its file, named for its XEP, with its namespace and the
// clause it obeys.
package stanza
