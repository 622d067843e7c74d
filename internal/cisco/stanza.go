package cisco

import (
	"archivolt/internal/message"
)

// readStanza adds to m what the stanza says.
func (d *Decoder) readStanza(c *cell, m *message.Message) {
	if len(c.raw) == 0 || !c.readable() {
		d.salvage(c, m)
		m.SettleKind(false)
		return
	}
	st := &d.st
	d.known = append(d.known[:0], m.Body.Text, m.Thread.Text, m.Subject.Text, m.To.Raw, m.From.Raw, st.ID)
	err := st.Parse(c.plain, d.known...)
	m.StanzaRead = err == nil
	if err != nil && m.Reason == "" {
		m.Reason = c.column.String() + " is not read to its end: " + err.Error()
	}
	st.Fill(m)
	if body, ok := m.Body, m.StanzaBody.Valid; ok && m.Reason == "" && body.Valid && body.Text != "" && body.Text != m.StanzaBody.Text {
		m.Reason = "the body column and the body in the stanza differ"
	}
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
