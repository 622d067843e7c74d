package xmpp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// iq is a request as its answer needs it.
type iq struct{ id, from, to string }

func (q iq) answer(kind, payload string) []byte {
	return fmt.Appendf(nil, "<iq type='%s' id='%s' from='%s' to='%s'>%s</iq>", kind, escape(q.id), escape(q.to), escape(q.from), payload)
}

// result is the answer to a request that was done.
func (q iq) result(payload string) []byte { return q.answer("result", payload) }

// failure is the answer to one that was not (RFC 6120 section 8.3).
func (q iq) failure(kind, condition string) []byte {
	return q.answer("error", fmt.Sprintf("<error type='%s'><%s xmlns='%s'/></error>", kind, condition, stanzasSpace))
}

// iq answers a request (RFC 6120 section 8.2.3): parcels of copies, pings and
// the question what this is; nothing else is served.
func (s *session) iq(r *reader, root element) error {
	kind := root.attribute("type")
	if kind != "get" && kind != "set" {
		return nil // an answer, to a ping
	}
	s.out.wait()
	q := iq{id: root.attribute("id"), from: root.attribute("from"), to: root.attribute("to")}
	if q.to == "" {
		q.to = s.c.Name
	}
	payloads := 0
	var answer []byte
	var copies []Copy
	err := r.children(root, func(child element) (err error) {
		if payloads++; payloads > 1 {
			if copies != nil {
				return badParcel("something beside a parcel")
			}
			return nil
		}
		switch {
		case kind == "set" && child.is(CaptureSpace, "archive"):
			host, local := s.c.local(q.from)
			if !local {
				s.refuse()
				answer = q.failure("auth", "forbidden")
				return nil
			}
			copies, err = r.archive(child, host)
		case kind == "get" && child.is(pingSpace, "ping"):
			answer = q.result("")
		case kind == "get" && child.is(discoSpace, "query") && child.attribute("node") == "":
			answer = q.result(discoInfo)
		case kind == "get" && child.is(discoSpace, "query"):
			answer = q.failure("cancel", "item-not-found")
		default:
			answer = q.failure("cancel", "service-unavailable")
		}
		return err
	})
	var bad *parcelError
	switch {
	case errors.As(err, &bad):
		s.c.counts.malformed.Add(1)
		s.log.Error("a parcel of copies breaks the capture protocol", "from", q.from, "what", bad.what)
		answer = q.failure("modify", "bad-request")
	case err != nil:
		return err
	case payloads != 1:
		answer = q.failure("modify", "bad-request")
	case answer == nil:
		s.parcel(q, copies)
		return nil
	}
	s.out.put(answer)
	return nil
}

// discoInfo says what this is (XEP-0030, with the XMPP registrar's category
// for components that archive).
const discoInfo = "<query xmlns='" + discoSpace + "'><identity category='component' type='archive' name='Archivolt'/>" +
	"<feature var='" + discoSpace + "'/><feature var='" + pingSpace + "'/><feature var='" + CaptureSpace + "'/></query>"

// streamError reads a <stream:error/> (RFC 6120 section 4.9.2).
func (r *reader) streamError(root element) error {
	e := &StreamError{Condition: "undefined-condition", Remote: true}
	err := r.children(root, func(child element) error {
		if child.space != streamsSpace {
			return nil
		}
		if child.local != "text" {
			e.Condition = child.local
			return nil
		}
		if text, _, found := bytes.Cut(r.text[r.pos:], []byte("<")); found && !child.empty {
			e.Text = oneLine(unescape(text))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e
}

// oneLine makes a server's words fit for an error and a log.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
