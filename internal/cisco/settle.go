package cisco

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"archivolt/internal/message"
)

// cells are the four values of a row that may be encrypted.
type cells struct{ to, from, body, stanza cell }

// strongest gives the cells in the order of what they can prove.
func (r *cells) strongest() [4]*cell { return [4]*cell{&r.stanza, &r.to, &r.from, &r.body} }

// cell is one value on its way from the archive to the reader.
type cell struct {
	column     Column
	raw        []byte    // as stored; nil is NULL
	ciphertext []byte    // nil for a value that has not the shape of a ciphertext
	cut        []byte    // the whole blocks of what may be a ciphertext that lost its end
	known      *jidEntry // an address that was met before
	plain      []byte    // what it says, when readable
	encrypted  bool      // taken for a ciphertext
	open       bool      // and decrypted
}

// readable tells whether plain holds what the cell says.
func (c *cell) readable() bool { return c.raw != nil && (!c.encrypted || c.open) }

func (c *cell) isJID() bool { return c.column == ToJID || c.column == FromJID }

func (c *cell) isStanza() bool { return c.column == MessageString || c.column == MessageText }

// minCiphertext is the length of one block in Base64.
const minCiphertext = 24

// classify decides by its shape whether a value may be a ciphertext. Values
// that are surely plain, and addresses met before, are not decoded.
func (d *Decoder) classify(column Column, raw []byte) cell {
	c := cell{column: column, raw: raw, plain: raw}
	switch {
	case len(raw) == 0:
		return c
	case c.isJID():
		if e, ok := d.jids[string(raw)]; ok {
			c.known = e
			return c
		}
		if bytes.IndexByte(raw, '@') >= 0 {
			return c
		}
	case c.isStanza() && raw[0] == '<':
		return c
	}
	if len(raw) < minCiphertext {
		return c
	}
	begin := len(d.spare.cipher)
	out, ok := decodeBase64(d.spare.cipher, raw)
	if !ok {
		if !c.isStanza() && hasForeign(raw) {
			return c // most texts: without the cost of finding out what else they are not
		}
		var found Encoding
		var err error
		out, found, err = DecodeValue(d.spare.cipher, "", raw, Auto)
		ok = err == nil && found != Raw
	}
	if ok {
		d.spare.cipher = out
		c.ciphertext = out[begin:len(out):len(out)]
		return c
	}
	c.cut = wholeBlocks(raw, c.isStanza())
	return c
}

// wholeBlocks decodes as much of a Base64 text as makes whole blocks, for a
// text that is Base64 but no ciphertext. Of a stanza the beginning is enough:
// it shows the key whatever follows.
func wholeBlocks(raw []byte, begin bool) []byte {
	if begin {
		for i, c := range raw {
			if strings.IndexByte(base64Alphabet, c) < 0 {
				raw = raw[:i]
				break
			}
		}
	}
	if strings.Trim(string(raw), base64Alphabet) != "" || len(raw) < minCiphertext {
		return nil
	}
	out, err := base64.RawStdEncoding.DecodeString(string(raw[:len(raw)/4*4]))
	if err != nil {
		return nil
	}
	return out[:len(out)/BlockSize*BlockSize]
}

// settle finds the row's key, opens its cells and judges the row.
func (d *Decoder) settle(r *cells, near Neighbours, m *message.Message) *keyState {
	key := d.anchor(r)
	doubt := ""
	d.lone = nil
	if key == nil {
		key, doubt = d.settleByBody(&r.body, near)
		if doubt != "" && len(r.body.ciphertext) == BlockSize {
			d.lone = r.body.ciphertext
		}
	}
	if key == nil {
		d.unopened(r, near, m)
		return nil
	}
	if broken := d.openAll(key, r); len(broken) > 0 {
		m.Status, m.Reason = message.Damaged, strings.Join(broken, "; ")
	} else if doubt != "" {
		m.Status, m.Reason = message.Unverified, doubt
	}
	return key
}

// anchor finds the key by the stanza, otherwise by an address.
func (d *Decoder) anchor(r *cells) *keyState {
	if key := d.anchorByStart(&r.stanza); key != nil {
		return key
	}
	for _, c := range [...]*cell{&r.to, &r.from} {
		switch {
		case c.known != nil && c.known.key != nil:
			return c.known.key
		case c.known != nil || c.ciphertext == nil:
			continue
		}
		for _, k := range d.keys {
			if plain, ok := d.try(k, c.ciphertext); ok && isJID(plain) {
				return k
			}
		}
		// Nothing opens it: the next row with this address need not try again.
		c.known = d.remember(c.raw, &jidEntry{shut: true})
	}
	return d.anchorByEnd(&r.stanza)
}

// anchorByStart finds the key under which the value begins as a stanza. The
// eight bytes of "<message" appear under a wrong key once in 2^64 times.
func (d *Decoder) anchorByStart(c *cell) *keyState {
	ciphertext := c.ciphertext
	if ciphertext == nil {
		ciphertext = c.cut
	}
	if ciphertext == nil {
		return nil
	}
	for _, k := range d.keys {
		if k.opensTo(ciphertext, "<message") {
			return k
		}
	}
	return nil
}

// anchorByEnd finds the key of a stanza whose first block is damaged.
func (d *Decoder) anchorByEnd(c *cell) *keyState {
	if c.ciphertext == nil {
		return nil
	}
	for _, k := range d.keys {
		plain, ok := d.try(k, c.ciphertext)
		if ok && len(plain) > 0 && (plain[0] == '<' && IsText(plain) || bytes.HasSuffix(bytes.TrimSpace(plain), []byte("</message>"))) {
			return k
		}
	}
	return nil
}

// try decrypts into spare memory; the result holds until the next try. Most
// keys tried are wrong, and most of these show it in the last block.
func (d *Decoder) try(k *keyState, ciphertext []byte) (plain []byte, ok bool) {
	if !k.endsPadded(ciphertext) {
		return nil, false
	}
	plain, err := k.Decrypt(d.spare.plain[:0], ciphertext)
	d.spare.plain = plain
	return plain, err == nil
}

// opensTo tells whether the first block of ciphertext begins with prefix, of
// at most 16 bytes, under the key.
func (k *keyState) opensTo(ciphertext []byte, prefix string) bool {
	k.key.block.Decrypt(k.scratch[:], ciphertext[:BlockSize])
	for i := range len(prefix) {
		if k.scratch[i]^k.key.iv[i] != prefix[i] {
			return false
		}
	}
	return true
}

// hasShape tells whether a plaintext looks like what its column holds, which
// random bytes do less than once in a thousand million times.
func hasShape(c *cell, plain []byte) bool {
	switch {
	case c.isStanza():
		return len(plain) > 0 && plain[0] == '<' && IsText(plain)
	case c.isJID():
		return isJID(plain)
	}
	return IsText(plain)
}

// isJID tells whether p looks like an address: a localpart and "@", or the
// bare name of a host.
func isJID(p []byte) bool {
	if len(p) < 3 || !utf8.Valid(p) {
		return false
	}
	for _, c := range p {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return bytes.IndexByte(p, '@') > 0 || len(p) >= 8 && bytes.IndexByte(p, '.') > 0 && bytes.IndexByte(p, ' ') < 0
}

// settleByBody looks for the key of a row whose body alone is encrypted. doubt
// says why the key is not certain.
func (d *Decoder) settleByBody(body *cell, near Neighbours) (key *keyState, doubt string) {
	if body.ciphertext == nil {
		// A text of two blocks or more that comes out of what was cut off is
		// no accident.
		for _, k := range d.keys {
			if len(body.cut) >= 2*BlockSize && beginsText(d.blocks(k, body.cut)) {
				return k, ""
			}
		}
		return nil, ""
	}
	var found []*keyState
	for _, k := range d.keys {
		if plain, ok := d.try(k, body.ciphertext); ok && IsText(plain) {
			found = append(found, k)
		}
	}
	named := func(fingerprint string) *keyState {
		for _, k := range found {
			if k.fingerprint == fingerprint {
				return k
			}
		}
		return nil
	}
	if len(found) == 0 {
		return nil, ""
	}
	if k := named(d.settled[string(body.ciphertext)]); k != nil {
		return k, ""
	}
	if len(found) > 1 {
		if k := named(near.Both()); k != nil {
			return k, "more than one key opens the body; the rows before and after have this one"
		}
		return found[0], "more than one key opens the body, and nothing else tells which is right"
	}
	if len(body.ciphertext) == BlockSize {
		return found[0], "a single block cannot show that the key is right"
	}
	return found[0], ""
}

// openAll opens every ciphertext of the row with its key, and says which do
// not open.
func (d *Decoder) openAll(key *keyState, r *cells) (broken []string) {
	for _, c := range r.strongest() {
		switch {
		case c.known != nil:
			c.encrypted = c.known.key != nil || c.known.shut
			if c.open = c.known.key == key; c.encrypted && !c.open {
				broken = append(broken, c.column.String()+shutAddress)
			}
		case c.cut != nil && beginsText(d.blocks(key, c.cut)):
			c.encrypted = true
			broken = append(broken, c.column.String()+" is cut off or damaged")
		case c.ciphertext != nil:
			c.encrypted = true
			begin := len(d.spare.cipher) // plaintexts live behind the ciphertexts
			out, err := key.Decrypt(d.spare.cipher, c.ciphertext)
			if c.isJID() && (err != nil || !hasShape(c, out[begin:])) {
				broken = append(broken, c.column.String()+shutAddress)
			} else if err != nil {
				broken = append(broken, c.column.String()+" does not open")
			} else if !hasShape(c, out[begin:]) {
				broken = append(broken, c.column.String()+" opens to what is no "+holds(c))
			} else {
				d.spare.cipher = out
				c.plain, c.open = out[begin:len(out):len(out)], true
			}
		case c.isJID() && len(c.raw) >= minCiphertext && !isJID(c.raw):
			c.encrypted = true
			broken = append(broken, c.column.String()+" holds neither an address nor a ciphertext")
		case c == &r.body && nearlyBase64(c.raw):
			c.encrypted = true
			broken = append(broken, c.column.String()+" looks like a ciphertext that is damaged")
		case c.isStanza() && len(c.raw) > 0 && c.raw[0] != '<':
			broken = append(broken, c.column.String()+" holds neither a stanza nor a ciphertext")
		}
	}
	return broken
}

// shutAddress is said of an address in one way, whether it was met before or
// not, so that the same archive always gives the same words.
const shutAddress = " does not open as an address with the row's key"

// nearlyBase64 tells whether a text of some length has no blanks and hardly
// anything that Base64 has not: what is left of a damaged ciphertext.
func nearlyBase64(raw []byte) bool {
	odd := 0
	for _, c := range raw {
		switch {
		case c <= ' ':
			return false
		case strings.IndexByte(base64Alphabet+"=", c) < 0:
			odd++
		}
	}
	return len(raw) >= minCiphertext && odd > 0 && odd*20 <= len(raw)
}

// blocks decrypts whole blocks without looking at the padding.
func (d *Decoder) blocks(k *keyState, ciphertext []byte) []byte {
	d.spare.plain = k.decryptBlocks(d.spare.plain[:0], ciphertext)
	return d.spare.plain
}

// beginsText tells whether p is text, or would be with the rest of a last
// character that was cut.
func beginsText(p []byte) bool {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if last := p[len(p)-i]; utf8.RuneStart(last) {
			if !utf8.FullRune(p[len(p)-i:]) {
				p = p[:len(p)-i]
			}
			break
		}
	}
	return len(p) > 0 && IsText(p)
}

// holds says what a column should hold.
func holds(c *cell) string {
	switch {
	case c.isStanza():
		return "stanza"
	case c.isJID():
		return "address"
	}
	return "text"
}

// unopened judges a row that no key opens, or that has nothing to open.
func (d *Decoder) unopened(r *cells, near Neighbours, m *message.Message) {
	names := make([]string, 0, len(r.strongest()))
	onlyBody := true
	for _, c := range r.strongest() {
		shaped := c.ciphertext != nil || c.isJID() && c.cut != nil && !isJID(c.raw) || c.known != nil && c.known.shut || c.isStanza() && len(c.raw) > 0 && c.raw[0] != '<'
		if !shaped {
			continue
		}
		names = append(names, c.column.String())
		onlyBody = onlyBody && c == &r.body
	}
	plainBeside := len(r.stanza.raw) > 0 || len(r.to.raw) > 0 || len(r.from.raw) > 0
	switch {
	case len(names) == 0:
		m.Status = message.Plain
		if len(r.body.cut) >= 2*BlockSize {
			m.Reason = r.body.column.String() + " has the shape of a ciphertext that was cut off; the rest of the row is plain"
		}
		return
	case onlyBody && plainBeside:
		// Somebody may have sent Base64.
		m.Status, m.Reason = message.Plain, names[0]+" has the shape of a ciphertext that no key opens; the rest of the row is plain"
		return
	}
	for _, c := range r.strongest() {
		c.encrypted = c.encrypted || c.ciphertext != nil || c.isJID() && c.cut != nil && !isJID(c.raw) || c.known != nil && c.known.shut || c.isStanza() && len(c.raw) > 0 && c.raw[0] != '<'
	}
	m.Status, m.Reason = message.NoKey, "no key opens "+strings.Join(names, ", ")
	if near.Before != "" && near.After != "" {
		m.Status = message.Damaged
		m.Reason += ", though the rows before and after open"
	}
}

// jid returns the address in a cell and remembers it.
func (d *Decoder) jid(c *cell, key *keyState) message.JID {
	switch {
	case !c.readable() || len(c.raw) == 0:
		return message.JID{}
	case c.known != nil:
		return c.known.jid
	}
	e := &jidEntry{jid: message.ParseJID(string(c.plain))}
	if c.encrypted {
		e.key = key
	}
	return d.remember(c.raw, e).jid
}

func (d *Decoder) remember(raw []byte, e *jidEntry) *jidEntry {
	if len(d.jids) >= maxJIDs {
		clear(d.jids)
	}
	d.jids[string(raw)] = e
	return e
}
