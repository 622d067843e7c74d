package stanza

import "unicode/utf8"

// What a byte may be; see class.
const (
	inName    = 1 << iota // XML 1.0 production [4a], ASCII without the colon
	startName             // production [4], likewise
	isBlank               // production [3]
	endsText              // needs a look in character data
	endsValue             // needs a look in an attribute value
)

// class knows all ASCII; the bytes of longer characters always need a look.
var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
			t[c] = inName | startName
		case c >= '0' && c <= '9', c == '-', c == '.':
			t[c] = inName
		case c == '\t', c == '\n':
			t[c] = isBlank | endsValue
		case c == '\r':
			t[c] = isBlank | endsValue | endsText
		case c == ' ':
			t[c] = isBlank
		case c == '<', c == '&':
			t[c] = endsText | endsValue
		case c == ']':
			t[c] = endsText
		case c == '"', c == '\'':
			t[c] = endsValue
		case c < ' ', c >= utf8.RuneSelf:
			t[c] = endsText | endsValue
		}
	}
	return t
}()

// char returns the length of the character that begins b, or 0 if there is
// none that XML 1.0 section 2.2 allows.
func char(b []byte) int {
	if len(b) > 1 && b[0] >= 0xc2 && b[0] < 0xe0 && b[1]&0xc0 == 0x80 {
		return 2 // most letters that are not ASCII
	}
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 || !allowed(r) {
		return 0
	}
	return n
}

// allowed is production [2] of XML 1.0.
func allowed(r rune) bool {
	return r >= ' ' && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}

// nameRune is productions [4] and [4a] of XML 1.0, fifth edition, beyond ASCII.
func nameRune(r rune, first bool) bool {
	switch {
	case r >= 0xC0 && r <= 0x2FF:
		return r != 0xD7 && r != 0xF7
	case r >= 0x370 && r <= 0x1FFF:
		return r != 0x37E
	case r == 0x200C, r == 0x200D, r >= 0x2070 && r <= 0x218F, r >= 0x2C00 && r <= 0x2FEF,
		r >= 0x3001 && r <= 0xD7FF, r >= 0xF900 && r <= 0xFDCF, r >= 0xFDF0 && r <= 0xFFFD,
		r >= 0x10000 && r <= 0xEFFFF:
		return true
	}
	return !first && (r == 0xB7 || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040)
}

// reference reads the reference that begins b: one of the five entities of
// XML 1.0 section 4.6 or a character by its number. It returns how many bytes
// that takes, or 0 and what is wrong.
func reference(b []byte) (r rune, n int, what string) {
	if len(b) > 1 && b[1] == '#' {
		return numeric(b)
	}
	i := 1
	for i < len(b) && (class[b[i]]&inName != 0 || b[i] >= utf8.RuneSelf || b[i] == ':') {
		i++
	}
	if i == len(b) {
		return 0, 0, cutInReference
	}
	if b[i] != ';' || i == 1 {
		return 0, 0, bareAmpersand
	}
	switch string(b[1:i]) {
	case "amp":
		r = '&'
	case "lt":
		r = '<'
	case "gt":
		r = '>'
	case "quot":
		r = '"'
	case "apos":
		r = '\''
	default:
		return 0, 0, undefinedEntity
	}
	return r, i + 1, ""
}

func numeric(b []byte) (r rune, n int, what string) {
	i, base := 2, rune(10)
	if len(b) > 2 && b[2] == 'x' {
		i, base = 3, 16
	}
	first := i
	for ; i < len(b) && b[i] != ';'; i++ {
		d := rune(99)
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			d = rune(c - '0')
		case c >= 'a' && c <= 'f':
			d = rune(c-'a') + 10
		case c >= 'A' && c <= 'F':
			d = rune(c-'A') + 10
		}
		if d >= base {
			return 0, 0, badReference
		}
		// Past the last character the value stays there, however long the number.
		r = min(r*base+d, utf8.MaxRune+1)
	}
	if i == len(b) {
		return 0, 0, cutInReference
	}
	if i == first || !allowed(r) {
		return 0, 0, badReference
	}
	return r, i + 1, ""
}
