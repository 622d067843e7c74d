package export

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// run is a piece of somebody's text: either Text, or Mark, the name of one
// character that would not be seen.
type run struct{ Text, Mark string }

// Joiners and selectors do something after these; elsewhere they only hide.
var (
	joining = []*unicode.RangeTable{unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Nko, unicode.Mandaic, unicode.Devanagari,
		unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam,
		unicode.Sinhala, unicode.Tibetan, unicode.Myanmar, unicode.Khmer}
	selectable = []*unicode.RangeTable{unicode.So, unicode.Sm, unicode.Po, unicode.Pd, unicode.Nd, unicode.Han, unicode.Mongolian}
	ignorable  = []*unicode.RangeTable{unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point}
)

// runs cuts a text so that nothing in it is hidden, and no control of the
// bidirectional algorithm (UAX 9) changes what it seems to say: CR LF becomes
// LF, a byte that is no UTF-8 becomes U+FFFD, and a character that would not be
// seen becomes a mark with its name.
func runs(s string) []run {
	if s == "" {
		return nil
	}
	var runs []run
	start := 0
	before := rune(-1) // the last one that is no accent
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		var instead []run
		switch {
		case r == utf8.RuneError && n == 1:
			instead = []run{{Text: "\ufffd"}}
		case r == '\r' && i+1 < len(s) && s[i+1] == '\n':
			instead = []run{}
		case hidden(r, before):
			instead = []run{{Mark: fmt.Sprintf("U+%04X", r)}}
		}
		if instead != nil {
			if i > start {
				runs = append(runs, run{Text: s[start:i]})
			}
			runs = append(runs, instead...)
			start = i + n
		}
		if r < 0x300 || !unicode.Is(unicode.M, r) || unicode.Is(unicode.Variation_Selector, r) {
			before = r
		}
		i += n
	}
	if start < len(s) {
		runs = append(runs, run{Text: s[start:]})
	}
	return runs
}

// hidden tells whether nothing would be seen of r where it follows before.
func hidden(r, before rune) bool {
	switch {
	case r < 0xa0:
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f
	case r < 0x300:
		return r == 0xad // soft hyphen
	case r >= 0x370 && r < 0x530, r >= 0x3200 && r < 0xd7a4: // Greek, Cyrillic; Han and Hangul syllables
		return false
	case r == '\u200d' && emoji(before), (r == '\u200c' || r == '\u200d') && unicode.In(before, joining...):
		return false
	case unicode.Is(unicode.Variation_Selector, r):
		return !unicode.In(before, selectable...) && before != 'ℹ'
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r): // Arabic number signs, which are seen
		return false
	}
	return unicode.In(r, ignorable...) || r == '\u2800' // an empty Braille cell
}

// emoji tells whether r may be joined with what follows to one picture.
func emoji(r rune) bool {
	return unicode.Is(unicode.So, r) || r >= 0x1f3fb && r <= 0x1f3ff || unicode.Is(unicode.Variation_Selector, r)
}

// flat is a text for places that hold no elements, such as a title.
func flat(s string) string {
	var b strings.Builder
	for _, r := range runs(s) {
		if r.Mark != "" {
			b.WriteString("[" + r.Mark + "]")
		}
		b.WriteString(r.Text)
	}
	return b.String()
}
