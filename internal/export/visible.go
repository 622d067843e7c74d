package export

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// visible makes a text safe to read among others: line ends become LF, and what
// a reader cannot see but what changes what he sees becomes its code point, as
// in ⟨U+202E⟩. These are the control characters except tab and LF, the
// bidirectional embeddings, overrides and isolates (UAX #9), line and paragraph
// separators, invisible operators and blanks without width, and tags outside of
// an emoji flag. Joiners and directional marks stay, since scripts and emojis
// need them. Invalid UTF-8 becomes U+FFFD.
func visible(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	flag := false // in a flag that is spelled with tags, such as Scotland's
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		flag = r == 0x1F3F4 || flag && isTag(r)
		switch {
		case r == '\r':
			if i+1 >= len(s) || s[i+1] != '\n' {
				b.WriteByte('\n')
			}
		case isHidden(r) || isTag(r) && !flag:
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func isTag(r rune) bool { return r >= 0xE0000 && r <= 0xE007F }

func isHidden(r rune) bool {
	switch {
	case r < ' ':
		return r != '\n' && r != '\t'
	case r >= 0x7f && r <= 0x9f, r == 0x180e, r == 0x200b, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f,
		r == 0xfeff, r >= 0xfff9 && r <= 0xfffb:
		return true
	}
	return false
}

// ends names the two characters that visible leaves and that one line cannot hold.
var ends = strings.NewReplacer("\n", "⟨U+000A⟩", "\t", "⟨U+0009⟩")

// oneLine is visible for what has to stay in one line: names, headers, ids.
func oneLine(s string) string { return ends.Replace(visible(s)) }

// shorten cuts a text after at most n bytes, at a character, and shows that.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
