package proof

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// recordStatus returns the status that a line of messages.jsonl states. wrong
// says why it is no record: it must be a JSON object (RFC 8259) of texts,
// numbers, booleans, nulls and lists of texts, with one member named status.
func recordStatus(line []byte) (status, wrong string) {
	if !utf8.Valid(line) {
		return "", "is not UTF-8"
	}
	if !json.Valid(line) {
		return "", "is no JSON"
	}
	s := members{rest: line}
	s.blanks()
	if s.rest[0] != '{' {
		return "", "is no JSON object"
	}
	found := 0
	for s.next() {
		switch {
		case !s.flat:
			return "", "has a member that no record has"
		case text(s.name) == "status":
			found++
			status = text(s.value)
		}
	}
	if found != 1 || new(ByStatus).count(status) == nil {
		return "", "does not have the one status that a record has"
	}
	return status, ""
}

// text returns what a JSON string says, and "" for another value.
func text(token []byte) (s string) {
	if len(token) < 2 || token[0] != '"' {
		return ""
	}
	if bytes.IndexByte(token, '\\') < 0 {
		return string(token[1 : len(token)-1])
	}
	_ = json.Unmarshal(token, &s) // valid, as all of the line
	return s
}

// members goes through a JSON object that is known to be valid.
type members struct {
	rest        []byte
	name, value []byte // as they are written
	flat        bool   // value is neither an object nor a list of anything but texts
}

func (s *members) blanks() { s.rest = bytes.TrimLeft(s.rest, " \t\r\n") }

// next moves to the next member.
func (s *members) next() bool {
	if s.rest[0] == '}' {
		return false
	}
	s.rest = s.rest[1:] // "{" or ","
	s.blanks()
	if s.rest[0] == '}' {
		return false
	}
	s.name = s.string()
	s.blanks()
	s.rest = s.rest[1:] // ":"
	s.blanks()
	switch s.rest[0] {
	case '{':
		s.flat = false
		return true // nobody goes on
	case '[':
		s.flat = s.texts()
		s.value = nil
		if !s.flat {
			return true
		}
	case '"':
		s.flat, s.value = true, s.string()
	default:
		end := bytes.IndexAny(s.rest, ",} \t\r\n")
		s.flat, s.value, s.rest = true, s.rest[:end], s.rest[end:]
	}
	s.blanks()
	return true
}

// string takes a string off the rest.
func (s *members) string() []byte {
	i := 1
	for s.rest[i] != '"' {
		if s.rest[i] == '\\' {
			i++
		}
		i++
	}
	token := s.rest[:i+1]
	s.rest = s.rest[i+1:]
	return token
}

// texts takes a list off the rest, if it is one of texts.
func (s *members) texts() bool {
	for s.rest[0] != ']' {
		s.rest = s.rest[1:] // "[" or ","
		s.blanks()
		switch s.rest[0] {
		case ']':
		case '"':
			s.string()
			s.blanks()
		default:
			return false
		}
	}
	s.rest = s.rest[1:]
	return true
}
