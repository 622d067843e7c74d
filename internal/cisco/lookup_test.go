package cisco

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/message"
)

// TestLookup holds a lookup against the filter of a full scan: what the filter
// chooses is found, or belongs to a gap that the documentation states.
func TestLookup(t *testing.T) {
	cast := []sample.Key{{Key: [32]byte{1}, IV: [16]byte{2}}, {Key: [32]byte{3}, IV: [16]byte{4}}, {Key: [32]byte{5}, IV: [16]byte{6}}}
	var keys []*Key
	for _, k := range cast {
		key, err := NewKey(k.Key[:], k.IV[:])
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	found, gaps := 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		// A small alphabet, so that addresses begin alike.
		local := rapid.StringOfN(rapid.RuneFrom([]rune("aBé ü'.")), 1, 40, -1).Draw(t, "local")
		domain := rapid.StringOfN(rapid.RuneFrom([]rune("aB.")), 1, 38, -1).Draw(t, "domain")
		address := message.Escape(local + "@" + domain)
		if n := len(address); n < 3 || n > 80 {
			t.Skip()
		}
		respell := func(name string) string {
			return rapid.SampledFrom([]func(string) string{same, same, strings.ToLower, strings.ToUpper}).Draw(t, name)(address)
		}
		typed, stored := respell("typed"), respell("stored")
		if rapid.Bool().Draw(t, "unescaped") {
			typed = message.Unescape(typed)
		}
		resource := rapid.SampledFrom([]string{"", "/jabber_1", "/Jabber/x", "/"}).Draw(t, "resource")
		cell := stored + resource
		room := rapid.SampledFrom([]string{"", "room@conference-2.x", "legal\\20team@conference-2-standalone.example.com"}).Draw(t, "room")
		known := rapid.Bool().Draw(t, "room is known")
		if room != "" {
			cell = room + "/" + cell
		}
		by := rapid.IntRange(-1, len(cast)-1).Draw(t, "key")
		raw := cell
		if by >= 0 {
			raw = cast[by].Value(cell)
		}
		var rooms []string
		if known {
			rooms = append(rooms, room)
		}
		l, short := NewLookup(keys, []string{typed}, rooms)
		if l.Match([]byte(raw)) {
			found++
			return
		}
		// A full scan opens the cell and looks who that is.
		j := message.ParseJID(cell)
		people := []string{j.Bare}
		if j.NickIsAddress() {
			people = append(people, message.ParseJID(j.Resource).Bare)
		}
		f := message.Filter{Users: []string{message.Pattern(typed)}}
		if !f.Match(&message.Subject{People: people}) {
			return
		}
		spelt := []string{typed, strings.ToLower(typed), message.Escape(typed), message.Escape(strings.ToLower(typed)), message.ParseJID(typed).Bare}
		switch {
		case !slices.Contains(spelt, stored):
			gaps["other letter case"]++
		case room != "" && !known:
			gaps["unknown room"]++
		case room == "" && by >= 0 && len(stored)+1 < BlockSize && resource != "" && slices.Contains(short, stored):
			gaps["short"]++
		default:
			t.Fatalf("%q, typed as %q, is missed in %q (key %d)", stored, typed, cell, by)
		}
	})
	t.Logf("%d found, gaps %v", found, gaps)
	if found == 0 {
		t.Error("the test shows nothing")
	}
}

func same(s string) string { return s }

// TestLookupChoosesFew: a beginning of a block is not the beginning of
// everything.
func TestLookupChoosesFew(t *testing.T) {
	a := testKey(t)
	l, short := NewLookup([]*Key{a}, []string{"anna.berg@example.com"}, []string{"room@conference.example.com"})
	if len(short) > 0 {
		t.Errorf("too short: %q", short)
	}
	for cell, want := range map[string]bool{
		"anna.berg@example.com/jabber_1":                             true,
		"anna.berg@example.com":                                      true,
		"anna.berg@example.common":                                   false,
		"anna.berg@example.com.evil.org/x":                           false,
		"anna.bergman@example.com/jabber_1":                          false,
		"room@conference.example.com/anna.berg@example.com/jabber_1": true,
		"room@conference.example.com/boris@example.com/jabber_1":     false,
		"": false,
	} {
		if got := l.Match([]byte(cell)); got != want {
			t.Errorf("plain %q: %v", cell, got)
		}
	}
	// 22 bytes of "anna.berg@example.com/" hold one block: 128 bits, 21 characters.
	want := sample.Key{Key: a.key, IV: a.iv}.Value("anna.berg@example.com/")[:21]
	if !slices.Contains(l.Starts, want) || !bytes.HasPrefix([]byte(sample.Key{Key: a.key, IV: a.iv}.Value("anna.berg@example.com/jabber_77")), []byte(want)) {
		t.Errorf("starts %q, want %q among them", l.Starts, want)
	}
}
