package cisco

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"archivolt/internal/message"
)

// lostKey is one that the reader does not have, and secondKey one it has.
func lostKey(t testing.TB) *Key   { return keyOf(t, 0x77) }
func secondKey(t testing.TB) *Key { return keyOf(t, 0x42) }

func keyOf(t testing.TB, b byte) *Key {
	t.Helper()
	k, err := NewKey([]byte(strings.Repeat(string(rune(b)), KeySize)), []byte(strings.Repeat(string(rune(b)), IVSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func b64(k *Key, text string) string {
	return base64.StdEncoding.EncodeToString(k.Encrypt(nil, []byte(text)))
}

const (
	to         = "anna.berg@example.com/jabber_1"
	from       = "boris@example.com/jabber_2"
	body       = "The price of container 7 is up"
	stanzaText = "<message to='anna.berg@example.com/jabber_1' from='boris@example.com/jabber_2' type='chat' id='i1'><body>The price of container 7 is up</body></message>"
)

// TestDecode is the table of what a row can be. Cells are to, from, body and
// stanza; "-" is NULL.
func TestDecode(t *testing.T) {
	a, b, lost := testKey(t), secondKey(t), lostKey(t)
	flip := func(value string, at int) string { // a bit of byte at
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		raw[at] ^= 1
		return base64.StdEncoding.EncodeToString(raw)
	}
	both := Neighbours{Before: a.Fingerprint(), After: a.Fingerprint()}
	change := Neighbours{Before: a.Fingerprint(), After: b.Fingerprint()}
	base64Text := base64.StdEncoding.EncodeToString([]byte("sixteen bytes ok and sixteen mor")) // has the shape of a value
	for _, c := range []struct {
		name   string
		cells  [4]string
		near   Neighbours
		status message.Status
		key    *Key
		reason string // begins with
		read   string // which of to, from, body, stanza body, id can be read
	}{
		{"nothing encrypted", [4]string{to, from, body, stanzaText}, Neighbours{}, message.Plain, nil, "", "tfbsi"},
		{"all encrypted", [4]string{b64(a, to), b64(a, from), b64(a, body), b64(a, stanzaText)}, Neighbours{}, message.OK, a, "", "tfbsi"},
		{"all under the other key", [4]string{b64(b, to), b64(b, from), b64(b, body), b64(b, stanzaText)}, Neighbours{}, message.OK, b, "", "tfbsi"},
		{"addresses stored plain", [4]string{to, from, b64(b, body), b64(b, stanzaText)}, Neighbours{}, message.OK, b, "", "tfbsi"},
		{"no stanza: the addresses settle the key", [4]string{b64(b, to), b64(b, from), b64(b, "ok"), "-"}, Neighbours{}, message.OK, b, "", "tfb"},
		{"no body", [4]string{b64(a, to), b64(a, from), "", b64(a, "<message id='i1'/>")}, Neighbours{}, message.OK, a, "", "tfbi"},
		{"no body, NULL", [4]string{b64(a, to), b64(a, from), "-", b64(a, "<message id='i1'/>")}, Neighbours{}, message.OK, a, "", "tfi"},
		{"only the body encrypted, several blocks", [4]string{to, from, b64(b, body), "-"}, Neighbours{}, message.OK, b, "", "tfb"},
		{"only the body encrypted, one block", [4]string{to, from, b64(b, "ok"), "-"}, Neighbours{}, message.Unverified, b, "a single block cannot show", "tfb"},
		{"one block that is settled elsewhere", [4]string{to, from, b64(a, "settled"), "-"}, Neighbours{}, message.OK, a, "", "tfb"},
		{"one block under a lost key", [4]string{to, from, b64(lost, "ok"), "-"}, Neighbours{}, message.Plain, nil, "BODY_STRING has the shape of a ciphertext that no key opens", "tfb"},
		{"a lost key", [4]string{b64(lost, to), b64(lost, from), b64(lost, body), b64(lost, stanzaText)}, Neighbours{}, message.NoKey, nil, "no key opens MESSAGE_STRING, TO_JID, FROM_JID, BODY_STRING", ""},
		{"the same between rows that open", [4]string{b64(lost, to), b64(lost, from), b64(lost, body), b64(lost, stanzaText)}, both, message.Damaged, nil, "no key opens", ""},
		{"the same at a change of keys", [4]string{b64(lost, to), b64(lost, from), b64(lost, body), b64(lost, stanzaText)}, change, message.Damaged, nil, "no key opens", ""},
		{"the same beside one that does not open", [4]string{b64(lost, to), b64(lost, from), b64(lost, body), b64(lost, stanzaText)}, Neighbours{Before: a.Fingerprint()}, message.NoKey, nil, "no key opens", ""},
		{"a lost key, addresses plain", [4]string{to, from, b64(lost, body), b64(lost, stanzaText)}, Neighbours{}, message.NoKey, nil, "no key opens MESSAGE_STRING, BODY_STRING", "tf"},
		{"Base64 sent as a message", [4]string{to, from, base64Text, "-"}, Neighbours{}, message.Plain, nil, "BODY_STRING has the shape of a ciphertext", "tfb"},
		{"Base64 sent as a message, encrypted", [4]string{b64(a, to), b64(a, from), b64(a, base64Text), b64(a, "<message id='i1'><body>"+base64Text+"</body></message>")}, Neighbours{}, message.OK, a, "", "tfbsi"},
		{"body damaged in the first block", [4]string{b64(a, to), b64(a, from), flip(b64(a, body), 3), b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "BODY_STRING opens to what is no text", "tfsi"},
		{"body damaged in the last block", [4]string{b64(a, to), b64(a, from), flip(b64(a, body), 20), b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "BODY_STRING ", "tfsi"},
		{"body that lost its last block", [4]string{b64(a, to), b64(a, from), b64(a, body+body)[:64], b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "BODY_STRING does not open", "tfsi"},
		{"body that lost some characters", [4]string{b64(a, to), b64(a, from), b64(a, body)[:38], b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "BODY_STRING is cut off or damaged", "tfsi"},
		{"body cut inside a character", [4]string{b64(a, to), b64(a, from), b64(a, "fifteen letters ünd more")[:30], b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "BODY_STRING is cut off or damaged", "tfsi"},
		{"stanza damaged at its start", [4]string{b64(a, to), b64(a, from), b64(a, body), flip(b64(a, stanzaText), 3)}, Neighbours{}, message.Damaged, a, "MESSAGE_STRING opens to what is no stanza", "tfb"},
		{"the same, addresses plain", [4]string{to, from, b64(a, body), flip(b64(a, stanzaText), 3)}, Neighbours{}, message.Damaged, a, "MESSAGE_STRING opens to what is no stanza", "tfb"},
		{"stanza damaged in the middle: the id is kept", [4]string{to, from, b64(a, body), flip(b64(a, stanzaText), 130)}, Neighbours{}, message.Damaged, a, "MESSAGE_STRING opens to what is no stanza", "tfbi"},
		{"stanza that lost its end: the id is kept", [4]string{to, from, b64(a, body), b64(a, stanzaText)[:170]}, Neighbours{}, message.Damaged, a, "MESSAGE_STRING is cut off or damaged", "tfbi"},
		{"an address damaged", [4]string{flip(b64(a, to), 2), b64(a, from), b64(a, body), b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "TO_JID ", "fbsi"},
		{"an address under another key than the rest", [4]string{b64(b, to), b64(a, from), b64(a, body), b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "TO_JID ", "fbsi"},
		{"a body with a wrong character", [4]string{b64(a, to), b64(a, from), "*" + b64(a, body)[1:], b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "BODY_STRING looks like a ciphertext that is damaged", "tfsi"},
		{"an address with a wrong character", [4]string{b64(a, to), "*" + b64(a, from)[1:], b64(a, body), b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "FROM_JID holds neither an address nor a ciphertext", "tbsi"},
		{"an address that lost its beginning", [4]string{b64(a, to), b64(a, from)[3:], b64(a, body), b64(a, stanzaText)}, Neighbours{}, message.Damaged, a, "FROM_JID holds neither an address nor a ciphertext", "tbsi"},
		{"no stanza, everything cut", [4]string{b64(a, to)[:30], b64(a, from)[:30], b64(a, body+body)[:75], "-"}, Neighbours{}, message.Damaged, a, "", ""},
		{"only the body, cut", [4]string{to, from, b64(lost, body+body)[:75], "-"}, Neighbours{}, message.Plain, nil, "BODY_STRING has the shape of a ciphertext that was cut off", "tfb"},
		{"a plain body in an encrypted row", [4]string{b64(a, to), b64(a, from), body, b64(a, stanzaText)}, Neighbours{}, message.OK, a, "", "tfbsi"},
		{"a body that differs from the stanza's", [4]string{to, from, "another text", stanzaText}, Neighbours{}, message.Plain, nil, "the body column and the body in the stanza differ", "tfbsi"},
		{"a plain stanza that is cut", [4]string{to, from, body, stanzaText[:100]}, Neighbours{}, message.Plain, nil, "MESSAGE_STRING is not read to its end", "tfbi"},
		{"a stanza cell with other text", [4]string{to, from, body, "no stanza"}, Neighbours{}, message.NoKey, nil, "no key opens MESSAGE_STRING", "tfb"},
		{"an end-to-end encrypted message", [4]string{to, from, "", "<message id='i1'><body>I sent you an OMEMO message</body><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/></message>"}, Neighbours{}, message.Plain, nil, "end-to-end encrypted (OMEMO)", "tfbsi"},
		{"a host as an address", [4]string{b64(a, "conference.example.com"), b64(a, from), b64(a, body), b64(a, stanzaText)}, Neighbours{}, message.OK, a, "", "fbsi"},
		{"hexadecimal values", [4]string{to, from, strings.ToUpper(hexOf(a, body)), "0x" + hexOf(a, stanzaText)}, Neighbours{}, message.OK, a, "", "tfbsi"},
		{"nothing at all", [4]string{"-", "-", "-", "-"}, Neighbours{}, message.Plain, nil, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			row := Row{Number: 7}
			row.Cells[SentDate] = []byte("2024-01-31 09:00:00.123")
			row.Cells[MsgType] = []byte("c")
			for i, col := range []Column{ToJID, FromJID, BodyString, MessageString} {
				if c.cells[i] != "-" {
					row.Cells[col] = []byte(c.cells[i])
				}
			}
			d := NewDecoder(a, b)
			d.SetSettled(map[string]string{string(a.Encrypt(nil, []byte("settled"))): a.Fingerprint()})
			var m message.Message
			for round := range 2 { // the second time with addresses remembered
				d.Decode(&row, c.near, &m)
				if m.Status != c.status || !strings.HasPrefix(m.Reason, c.reason) || c.reason == "" && m.Reason != "" && c.status != message.Damaged {
					t.Errorf("round %d: %v, %q; want %v, %q", round, m.Status, m.Reason, c.status, c.reason)
				}
				want := ""
				if c.key != nil {
					want = c.key.Fingerprint()
				}
				if m.Key != want {
					t.Errorf("round %d: key %q, want %q", round, m.Key, want)
				}
				read := ""
				for _, x := range []struct {
					letter string
					ok     bool
				}{{"t", m.To.Raw == to}, {"f", m.From.Raw == from}, {"b", m.Body.Valid}, {"s", m.StanzaBody.Valid}, {"i", m.StanzaID == "i1"}} {
					if x.ok {
						read += x.letter
					}
				}
				if read != c.read {
					t.Errorf("round %d: reads %q, want %q", round, read, c.read)
				}
				if m.Body.Valid && m.Status == message.OK && c.read == "tfbsi" && m.Body.Text != m.StanzaBody.Text {
					t.Errorf("round %d: body %q", round, m.Body.Text)
				}
				if m.Row != 7 || !m.Time.Equal(time.Date(2024, 1, 31, 9, 0, 0, 123e6, time.UTC)) {
					t.Errorf("row %d, %v", m.Row, m.Time)
				}
			}
		})
	}
}

func hexOf(k *Key, text string) string { return string(Hex.Encode(k.Encrypt(nil, []byte(text)))) }

// TestTwoKeysOpenTheBody breaks the tie by the neighbours, and never says that
// it is certain.
func TestTwoKeysOpenTheBody(t *testing.T) {
	a := testKey(t)
	// The same key with another iv opens a single block to another text.
	iv := unhex(t, ivHex)
	iv[0] ^= 1
	b, err := NewKey(unhex(t, keyHex), iv)
	if err != nil {
		t.Fatal(err)
	}
	value := b64(a, "ok then")
	for _, c := range []struct {
		near Neighbours
		want *Key
	}{
		{Neighbours{a.Fingerprint(), a.Fingerprint()}, a},
		{Neighbours{b.Fingerprint(), b.Fingerprint()}, b},
		{Neighbours{a.Fingerprint(), b.Fingerprint()}, nil},
		{Neighbours{}, nil},
	} {
		row := Row{}
		row.Cells[ToJID], row.Cells[FromJID], row.Cells[BodyString] = []byte(to), []byte(from), []byte(value)
		var m message.Message
		NewDecoder(a, b).Decode(&row, c.near, &m)
		if m.Status != message.Unverified || !strings.HasPrefix(m.Reason, "more than one key opens the body") {
			t.Errorf("%v: %v, %q", c.near, m.Status, m.Reason)
		}
		if c.want != nil && m.Key != c.want.Fingerprint() {
			t.Errorf("%v: key %s", c.near, m.Key)
		}
	}
}

// TestGlance agrees with Decode wherever it says anything.
func TestGlance(t *testing.T) {
	a, lost := testKey(t), lostKey(t)
	for _, c := range []struct {
		cells       [4]string
		plain       bool
		fingerprint string
	}{
		{[4]string{to, from, body, stanzaText}, true, ""},
		{[4]string{b64(a, to), from, body, stanzaText}, false, ""},
		{[4]string{b64(a, to), b64(a, from), b64(a, body), b64(a, stanzaText)}, false, a.Fingerprint()},
		{[4]string{b64(lost, to), b64(lost, from), b64(lost, body), b64(lost, stanzaText)}, false, ""},
		{[4]string{to, from, body, ""}, false, ""},
		{[4]string{to, from, body, "no stanza, and rather long for one"}, false, ""},
	} {
		var row Row
		for i, col := range []Column{ToJID, FromJID, BodyString, MessageString} {
			row.Cells[col] = []byte(c.cells[i])
		}
		if plain, fp := NewDecoder(a).Glance(&row); plain != c.plain || fp != c.fingerprint {
			t.Errorf("%.60q: %v, %q", c.cells, plain, fp)
		}
	}
}

func TestParseSentDate(t *testing.T) {
	want := time.Date(2024, 1, 31, 9, 5, 7, 123e6, time.UTC)
	for text, w := range map[string]time.Time{
		"2024-01-31 09:05:07.123":        want,
		"2024-01-31 09:05:07.1239999":    want,
		"2024-01-31T09:05:07.123Z":       want,
		"2024-01-31 09:05:07.123+00":     want,
		"2024-01-31 10:05:07.123 +01:00": want,
		"2024-01-31 10:05:07.123 +0100":  want,
		"2024-01-31 09:05:07":            want.Truncate(time.Second),
		"2024-01-31 09:05":               want.Truncate(time.Minute),
		"2024-01-31":                     want.Truncate(24 * time.Hour),
		"Jan 31 2024  9:05:07:123AM":     want,
		"1/31/2024 9:05:07 AM":           want.Truncate(time.Second),
		"31-JAN-24 09.05.07.123000 AM":   want,
		"2024-02-29 00:00:00":            time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
	} {
		if got, ok := ParseSentDate([]byte(text)); !ok || !got.Equal(w) {
			t.Errorf("%q is %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "NULL", "yesterday", "2024-13-01 00:00:00", "2023-02-29 00:00:00", "2024-01-31 24:00:00", "2024-01-31 09:05:07 x", "31.01.2024"} {
		if got, ok := ParseSentDate([]byte(text)); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// FuzzDecode: no panic; a row has a status with its reason; nothing is opened
// without a key; what is shown as text is text.
func FuzzDecode(f *testing.F) {
	a, b := testKey(f), secondKey(f)
	add := func(cells ...string) { f.Add(cells[0], cells[1], cells[2], cells[3], "2024-01-31 09:00:00", "c") }
	add(to, from, body, stanzaText)
	add(b64(a, to), b64(a, from), b64(a, body), b64(a, stanzaText))
	add(b64(b, to), b64(a, from), b64(a, body)[:30], b64(b, stanzaText)[:100])
	add(to, from, hexOf(a, body), "0x"+hexOf(b, stanzaText))
	add(to, from, b64(lostKey(f), body), b64(lostKey(f), stanzaText))
	f.Fuzz(func(t *testing.T, to, from, body, stanza, date, kind string) {
		var row Row
		for col, text := range map[Column]string{ToJID: to, FromJID: from, BodyString: body, MessageString: stanza, SentDate: date, MsgType: kind} {
			row.Cells[col] = []byte(text)
		}
		d := NewDecoder(a, b)
		var m, again message.Message
		d.Decode(&row, Neighbours{}, &m)
		switch m.Status {
		case message.OK, message.Unverified:
			if m.Key == "" {
				t.Fatal("opened without a key")
			}
		case message.NoKey:
			if m.Key != "" || m.Reason == "" {
				t.Fatalf("no key, but %q, %q", m.Key, m.Reason)
			}
		case message.Damaged:
			if m.Reason == "" {
				t.Fatal("damaged without a reason")
			}
		}
		if m.Status == message.Unverified && m.Reason == "" {
			t.Fatal("unverified without a reason")
		}
		if m.Key != "" && m.Body.Valid && m.Body.Text != body && !IsText([]byte(m.Body.Text)) {
			t.Fatalf("%q is shown as text", m.Body.Text)
		}
		d.Decode(&row, Neighbours{}, &again)
		if again.Status != m.Status || again.Key != m.Key || again.To != m.To || again.From != m.From || again.Body != m.Body || again.StanzaID != m.StanzaID {
			t.Fatalf("decoding twice differs: %+v, %+v", m, again)
		}
		for _, most := range []int{1 << 30, ShortChars} { // a glance at the whole row and at a short one
			for _, col := range []Column{BodyString, MessageString} {
				row.Cells[col] = row.Cells[col][:min(most, len(row.Cells[col]))]
			}
			if plain, fp := d.Glance(&row); fp != "" && fp != m.Key || plain && m.Status != message.Plain && m.Key == "" {
				t.Fatalf("a glance says %v, %q and a look %v, %q", plain, fp, m.Status, m.Key)
			}
		}
	})
}
