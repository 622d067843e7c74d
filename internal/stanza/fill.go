package stanza

import "archivolt/internal/message"

// Fill adds to m what the stanza says and m does not know yet: columns of the
// archive go first. m.StanzaRead says whether the stanza was read to its end. Of
// a carbon copy (XEP-0280) the inner message is what is said.
func (s *Message) Fill(m *message.Message) {
	m.StanzaID = s.ID
	if m.Kind == message.Normal && s.Type != "" {
		m.Kind = message.KindOf(s.Type[0])
		m.Room = m.Kind == message.Groupchat
	}
	if m.From.Raw == "" {
		m.StanzaFrom = message.ParseJID(s.From)
	}
	if m.To.Raw == "" {
		m.StanzaTo = message.ParseJID(s.To)
	}
	if s.Forwarded != nil && s.Carbon != "" {
		s = s.Forwarded
		m.Carbon = true
		m.CarbonFrom, m.CarbonTo = message.ParseJID(s.From), message.ParseJID(s.To)
		m.StanzaID = s.ID
	}
	if text, ok := s.Body(); ok {
		m.StanzaBody = message.Text{Text: text, Valid: true}
	}
	if s.Delay != nil {
		m.Delayed = s.Delay.Stamp
	}
	for _, f := range s.Files {
		m.Files = append(m.Files, f.URL)
	}
	if m.Encrypted = s.Encrypted; m.Encrypted != "" && m.Reason == "" {
		m.Reason = "end-to-end encrypted (" + m.Encrypted + "): the archive does not hold the text"
	}
	if text, ok := s.Subject(); ok && !m.Subject.Valid {
		m.StanzaSubject = text
	}
	switch {
	case m.Kind == message.ErrorKind:
	case s.Corrects != "":
		m.Kind, m.RefersTo = message.Correction, s.Corrects
	case s.Retracts != "":
		m.Kind, m.RefersTo = message.Retraction, s.Retracts
	case s.ReactsTo != "":
		m.Kind, m.RefersTo = message.Reaction, s.ReactsTo
		m.Reactions = append(m.Reactions, s.Reactions...)
	}
	m.SettleKind(s.Subjects != nil)
}
