package xmpp

import "fmt"

// StreamError is an error that ends a stream (RFC 6120 section 4.9), found by
// this side or told by the server.
type StreamError struct {
	Condition string // as in RFC 6120 section 4.9.3, such as "policy-violation"
	Text      string // what the server adds, or what this side found; never of a message
	Remote    bool   // told by the server
}

// Error gives the condition and the text.
func (e *StreamError) Error() string {
	s := e.Condition
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	if e.Remote {
		return "the server ended the stream: " + s
	}
	return "the stream was ended: " + s
}

func malformed(what string) error { return &StreamError{Condition: "not-well-formed", Text: what} }

func restricted(what string) error { return &StreamError{Condition: "restricted-xml", Text: what} }

func tooLarge(max int) error {
	return &StreamError{Condition: "policy-violation", Text: fmt.Sprintf("a stanza of more than %d bytes", max)}
}
