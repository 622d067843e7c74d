// Package xmpp is the side of the capture daemon that faces XMPP servers: it
// connects to one as an external component (XEP-0114), takes the copies of
// messages that the server sends (forwarded as in XEP-0297), and acknowledges
// them where the server's module asks for it (docs/format/capture.md).
//
// The bytes of each <message/> are handed on as they came: the stream is split
// by a reader of its own (splitter.go finds stanzas, element.go what is in one)
// and nothing is written again. That reader follows only the markup. What
// RFC 6120 section 11.1 forbids (comments, processing instructions, document
// types) ends the stream, as does a tag that closes another one; characters,
// references and the depth of elements inside a message are its sender's, and
// an odd message is recorded rather than allowed to stop the recording.
package xmpp
