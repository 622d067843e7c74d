package cisco

import (
	"archivolt/internal/message"
)

// readStanza adds to m what the stanza says.
func (d *Decoder) readStanza(c *cell, m *message.Message) {
	if len(c.raw) == 0 || !c.readable() {
		d.salvage(c, m)
		finishKind(m, false)
		return
	}
	st := &d.st
	d.known = append(d.known[:0], m.Body.Text, m.Thread.Text, m.Subject.Text, m.To.Raw, m.From.Raw, st.ID)
	err := st.Parse(c.plain, d.known...)
	m.StanzaRead = err == nil
	if err != nil && m.Reason == "" {
		m.Reason = c.column.String() + " is not read to its end: " + err.Error()
	}
	m.StanzaID = st.ID
	if m.Kind == message.Normal && st.Type != "" {
		m.Kind = kindOf(st.Type[0])
		m.Room = m.Kind == message.Groupchat
	}
	if m.From.Raw == "" {
		m.StanzaFrom = message.ParseJID(st.From)
	}
	if m.To.Raw == "" {
		m.StanzaTo = message.ParseJID(st.To)
	}
	if st.Forwarded != nil && st.Carbon != "" {
		m.Carbon = true
		m.CarbonFrom, m.CarbonTo = message.ParseJID(st.Forwarded.From), message.ParseJID(st.Forwarded.To)
		m.StanzaID = st.Forwarded.ID
		st = st.Forwarded
	}
	if text, ok := st.Body(); ok {
		m.StanzaBody = message.Text{Text: text, Valid: true}
	}
	if st.Delay != nil {
		m.Delayed = st.Delay.Stamp
	}
	for _, f := range st.Files {
		m.Files = append(m.Files, f.URL)
	}
	if m.Encrypted = st.Encrypted; m.Encrypted != "" && m.Reason == "" {
		m.Reason = "end-to-end encrypted (" + m.Encrypted + "): the archive does not hold the text"
	}
	if text, ok := st.Subject(); ok && !m.Subject.Valid {
		m.StanzaSubject = text
	}
	switch {
	case m.Kind == message.ErrorKind:
	case st.Corrects != "":
		m.Kind, m.RefersTo = message.Correction, st.Corrects
	case st.Retracts != "":
		m.Kind, m.RefersTo = message.Retraction, st.Retracts
	case st.ReactsTo != "":
		m.Kind, m.RefersTo = message.Reaction, st.ReactsTo
		m.Reactions = append(m.Reactions, st.Reactions...)
	}
	finishKind(m, st.Subjects != nil)
	if body, ok := m.Body, m.StanzaBody.Valid; ok && m.Reason == "" && body.Valid && body.Text != "" && body.Text != m.StanzaBody.Text {
		m.Reason = "the body column and the body in the stanza differ"
	}
}

// finishKind tells messages that say something from those that do not.
func finishKind(m *message.Message, hasSubject bool) {
	switch m.Kind {
	case message.ErrorKind, message.Correction, message.Retraction, message.Reaction, message.File:
		return
	}
	if text, _ := m.Shown(); text.Text != "" || len(m.Files) > 0 || m.Encrypted != "" || !m.Status.Readable() && !m.StanzaRead {
		return
	}
	if m.Room && (hasSubject || m.Subject.Text != "") {
		m.Kind = message.Topic
		return
	}
	m.Kind = message.Signal
}

// salvage takes the id from the start of a stanza that does not open to its
// end, when the row's key is known.
func (d *Decoder) salvage(c *cell, m *message.Message) {
	ciphertext := c.ciphertext
	if ciphertext == nil {
		ciphertext = c.cut
	}
	if m.Key == "" || len(ciphertext) == 0 {
		return
	}
	for _, k := range d.keys {
		if k.fingerprint == m.Key {
			_ = d.st.Parse(d.blocks(k, ciphertext)) // damaged: what stands before the damage is wanted
			m.StanzaID = d.st.ID
		}
	}
}
