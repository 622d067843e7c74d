package message

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestParseJID(t *testing.T) {
	long, longUmlauts := strings.Repeat("A", 4000), strings.Repeat("Ä", 2000)
	for _, c := range []struct {
		name, raw, bare, resource string
		nick                      bool // the resource is an address
	}{
		{"as it should be", "anna@example.com", "anna@example.com", "", false},
		{"case of the bare address does not count, that of the resource does", "Anna.Berg@Example.COM/Jabber", "anna.berg@example.com", "Jabber", false},
		{"a resource with slashes", "anna@example.com/home/desk", "anna@example.com", "home/desk", false},
		{"a resource with a blank and letters", "anna@example.com/Büro 3", "anna@example.com", "Büro 3", false},
		{"IM&P's nick in a room", "Ops@conf.example.com/Anna@example.com", "ops@conf.example.com", "Anna@example.com", true},
		{"the same with the occupant's resource", "ops@conf.example.com/anna@example.com/phone", "ops@conf.example.com", "anna@example.com/phone", true},
		{"an @ in the resource of a host", "example.com/a@b", "example.com", "a@b", true},
		{"an empty resource", "anna@example.com/", "anna@example.com", "", false},
		{"nothing", "", "", "", false},
		{"a host alone", "Example.com", "example.com", "", false},
		{"a resource alone", "/Jabber", "", "Jabber", false},
		{"escaped (XEP-0106) stays escaped", `D\27Artagnan@example.com`, `d\27artagnan@example.com`, "", false},

		{"an umlaut", "Ä@x", "ä@x", "", false},
		{"the same of two characters (NFC)", "A\u0308@x", "ä@x", "", false},
		{"full-width letters (RFC 8265 width mapping)", "ＡＢ@x", "ab@x", "", false},
		{"the Kelvin sign", "\u212a@x", "k@x", "", false},
		{"Cyrillic", "Борис@Example.com", "борис@example.com", "", false},
		{"a host with an umlaut", "u@MÜNCHEN.de", "u@münchen.de", "", false},
		{"an umlaut in the resource alone", "anna@example.com/Ä", "anna@example.com", "Ä", false},

		// No valid addresses, and still rows.
		{"a blank", "Anna Berg@example.com", "anna berg@example.com", "", false},
		{"a blank and an umlaut", "Änne Berg@example.com", "änne berg@example.com", "", false},
		{"no localpart", "@Ü.example", "@ü.example", "", false},
		{"no domain", "Ü@", "ü@", "", false},
		{"two @", "Anna@b@C", "anna@b@c", "", false},
		{"too long", long + "@x", strings.ToLower(long) + "@x", "", false},
		{"too long and not ASCII", longUmlauts + "@x", strings.Repeat("ä", 2000) + "@x", "", false},
		{"no UTF-8: the letters that are no text stay as they are", "M\xfcLLER@x", "m\xfcller@x", "", false},
	} {
		got := ParseJID(c.raw)
		if want := (JID{Raw: c.raw, Bare: c.bare, Resource: c.resource}); got != want {
			t.Errorf("%s: %q is %+q, want %+q", c.name, c.raw, got, want)
		}
		if got.NickIsAddress() != c.nick {
			t.Errorf("%s: %q: NickIsAddress is %v", c.name, c.raw, !c.nick)
		}
	}
}

// TestBrokenAddressesStayApart: two people whose addresses are in Latin-1 must
// not become one in the answers.
func TestBrokenAddressesStayApart(t *testing.T) {
	muller, moller := ParseJID("M\xfcller@example.com"), ParseJID("M\xf6ller@example.com")
	if muller.Bare == moller.Bare {
		t.Errorf("both are %q", muller.Bare)
	}
}

func TestPattern(t *testing.T) {
	for typed, want := range map[string]string{
		"Anna@Example.com":       "anna@example.com",
		"Anna@Example.com/Phone": "anna@example.com", // a resource chooses nothing
		"*@Example.com":          "*@example.com",
		"MÜLLER@*":               "müller@*",
		"":                       "",
	} {
		if got := Pattern(typed); got != want {
			t.Errorf("%q is %q, want %q", typed, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for _, c := range []struct{ bare, want string }{
		// The ten sequences (XEP-0106 section 4.2).
		{`legal\20hold@x`, "legal hold@x"},
		{`a\22b@x`, `a"b@x`},
		{`a\26b@x`, "a&b@x"},
		{`d\27artagnan@x`, "d'artagnan@x"}, // a hex digit follows
		{`a\2fb@x`, "a/b@x"},
		{`a\3ab@x`, "a:b@x"},
		{`a\3cb@x`, "a<b@x"},
		{`a\3eb@x`, "a>b@x"},
		{`a\40b@x`, "a@b@x"},
		{`a\5cb@x`, `a\b@x`},

		{`\20\20@x`, "  @x"},
		{`a\2020@x`, "a 20@x"},
		{`a\3abc@x`, "a:bc@x"},
		// What an escape yields is not read again.
		{`c\5c5c@x`, `c\5c@x`},
		{`c\5c20@x`, `c\20@x`},
		{`c\3a\5c5commas@x`, `c:\5commas@x`}, // example of section 5.1
		// Backslashes that begin none of the ten.
		{`c\cool@x`, `c\cool@x`},
		{`c\2@x`, `c\2@x`},
		{`c\21@x`, `c\21@x`},
		{`c\@x`, `c\@x`},
		{`\\20@x`, `\ @x`},
		// Only the localpart is escaped, and only a bare address is unescaped.
		{`a@x\20y`, `a@x\20y`},
		{`host\20name`, `host\20name`},
		{`ä\20ö@x`, "ä ö@x"},
		{"", ""},
		{"@", "@"},
	} {
		if got := Unescape(c.bare); got != c.want {
			t.Errorf("%s is shown as %s, want %s", c.bare, got, c.want)
		}
	}
}

// escape is XEP-0106 section 4.2 read aloud: the nine characters are escaped
// wherever they stand, a backslash only where it would begin an escape.
func escape(local string) string {
	codes := map[byte]string{' ': "20", '"': "22", '&': "26", '\'': "27", '/': "2f", ':': "3a", '<': "3c", '>': "3e", '@': "40"}
	var b strings.Builder
	for i := range len(local) {
		c := local[i]
		code, special := codes[c]
		if c == '\\' {
			for _, begins := range []string{"5c", "20", "22", "26", "27", "2f", "3a", "3c", "3e", "40"} {
				if strings.HasPrefix(local[i+1:], begins) {
					code, special = "5c", true
				}
			}
		}
		if special {
			b.WriteString(`\` + code)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestUnescapeUndoesEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringOf(rapid.RuneFrom([]rune(`\ "&'/:<>@0234567acefAä`))).Draw(t, "local")
		if got := Unescape(escape(local) + "@x"); got != local+"@x" {
			t.Errorf("%s was escaped as %s and is shown as %s", local, escape(local), got)
		}
	})
}

// FuzzParseJID: no panic; the text is kept; nothing but the first slash splits;
// the comparable form of UTF-8 is UTF-8; for ASCII it is lower case.
func FuzzParseJID(f *testing.F) {
	for _, s := range []string{"", "Anna@example.com/Jabber", "room@conf/a@b/c", "Ä@x", "A\u0308@x", "u@MÜNCHEN.de", "Ä b@x", "M\xfc@x", "ü@xn--mnchen-3ya.de", "ü@[::1]", "@ü", "ü@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		j := ParseJID(raw)
		bare, resource, slash := raw, "", strings.IndexByte(raw, '/')
		if slash >= 0 {
			bare, resource = raw[:slash], raw[slash+1:]
		}
		if j.Raw != raw || j.Resource != resource {
			t.Fatalf("%q: %+q", raw, j)
		}
		if utf8.ValidString(bare) && !utf8.ValidString(j.Bare) {
			t.Errorf("%q became %q, no UTF-8", raw, j.Bare)
		}
		if (bare == "") != (j.Bare == "") {
			t.Errorf("%q became %q", raw, j.Bare)
		}
		ascii := true
		lower := []byte(bare)
		for i, c := range lower {
			ascii = ascii && c < 0x80
			if c >= 'A' && c <= 'Z' {
				lower[i] = c + 'a' - 'A'
			}
		}
		if ascii && j.Bare != string(lower) {
			t.Errorf("%q became %q", raw, j.Bare)
		}
		Unescape(j.Bare)
	})
}
