package xmpp

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Namespaces of what is understood here.
const (
	componentSpace = "jabber:component:accept" // XEP-0114
	clientSpace    = "jabber:client"           // RFC 6120
	serverSpace    = "jabber:server"
	streamSpace    = "http://etherx.jabber.org/streams"
	streamsSpace   = "urn:ietf:params:xml:ns:xmpp-streams"
	stanzasSpace   = "urn:ietf:params:xml:ns:xmpp-stanzas"
	forwardSpace   = "urn:xmpp:forward:0" // XEP-0297
	delaySpace     = "urn:xmpp:delay"     // XEP-0203
	pingSpace      = "urn:xmpp:ping"      // XEP-0199
	discoSpace     = "http://jabber.org/protocol/disco#info"

	// CaptureSpace is the namespace of docs/format/capture.md.
	CaptureSpace = "urn:archivolt:capture:1"
)

// forwarded is what one <forwarded/> holds.
type forwarded struct {
	messages [][]byte // the bytes of each <message/>, in the buffer that was read
	presence int
	iq       int
	time     time.Time // of <delay/>; zero without
}

// forwarded reads the <forwarded/> (XEP-0297) that has just been opened. A
// message is one by its name, in the namespace of a client's, a server's or a
// component's stream, or in none of its own.
func (r *reader) forwarded(e element) (f forwarded, err error) {
	err = r.children(e, func(child element) error {
		switch child.space {
		case clientSpace, serverSpace, componentSpace, forwardSpace:
		case delaySpace:
			if child.local == "delay" {
				f.time, _ = parseTime(child.attribute("stamp"))
			}
			return nil
		default:
			return nil
		}
		switch child.local {
		case "message":
			if err := r.skip(child); err != nil {
				return err
			}
			f.messages = append(f.messages, r.text[child.start:r.pos:r.pos])
		case "presence":
			f.presence++
		case "iq":
			f.iq++
		}
		return nil
	})
	return f, err
}

// parseTime reads a DateTime of XEP-0082.
func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err == nil
}

// parcelError says how a parcel breaks docs/format/capture.md.
type parcelError struct{ what string }

func (e *parcelError) Error() string { return e.what }

func badParcel(what string) error { return &parcelError{what} }

// archive reads the <archive/> of docs/format/capture.md that has just been
// opened. All of it counts or, with a parcelError, nothing.
func (r *reader) archive(e element, host string) ([]Copy, error) {
	source := e.attribute("source")
	if !validSource(source) {
		return nil, badParcel("a source that is none")
	}
	var copies []Copy
	err := r.children(e, func(child element) error {
		if !child.is(CaptureSpace, "copy") {
			return badParcel("something else than copies")
		}
		c, err := r.copy(child)
		if err != nil {
			return err
		}
		if len(copies) > 0 && c.Number != copies[len(copies)-1].Number+1 {
			return badParcel("numbers that do not follow each other")
		}
		c.Host, c.Source = host, source
		copies = append(copies, c)
		return nil
	})
	if err == nil && len(copies) == 0 {
		err = badParcel("no copies")
	}
	if err != nil {
		return nil, err
	}
	return copies, nil
}

// copy reads one <copy/> that has just been opened.
func (r *reader) copy(e element) (c Copy, err error) {
	var ok bool
	if c.Number, ok = parseNumber(e.attribute("number")); !ok {
		return c, badParcel("a number that is none")
	}
	if c.Time, ok = parseTime(e.attribute("time")); !ok {
		return c, badParcel("a time that is none")
	}
	switch e.attribute("direction") {
	case "in":
		c.Direction = 'I'
	case "out":
		c.Direction = 'O'
	default:
		return c, badParcel("a direction that is none")
	}
	err = r.children(e, func(child element) error {
		if !child.is(forwardSpace, "forwarded") || c.Stanza != nil {
			return badParcel("a copy that holds something else than one forwarded message")
		}
		f, err := r.forwarded(child)
		if err == nil && (len(f.messages) != 1 || f.presence+f.iq > 0) {
			err = badParcel("a copy that forwards something else than one message")
		}
		if err == nil {
			c.Stanza = bytes.Clone(f.messages[0])
		}
		return err
	})
	if err == nil && c.Stanza == nil {
		err = badParcel("a copy that holds no message")
	}
	return c, err
}

// maxSource is the longest id of a sender's queue, in bytes.
const maxSource = 128

func validSource(s string) bool {
	if s == "" || len(s) > maxSource {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._:/-", c) >= 0) {
			return false
		}
	}
	return true
}

// parseNumber reads a delivery number: decimal, from 1 to 2^63-1, without
// leading zeros. Databases that keep the highest have no larger integers.
func parseNumber(s string) (uint64, bool) {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil
}
