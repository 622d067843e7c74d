package bacpac

import (
	"encoding/binary"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// appendUTF16 appends little-endian UTF-16, an even number of bytes, as UTF-8.
// Half a surrogate pair becomes U+FFFD.
func appendUTF16(dst, b []byte) []byte {
	dst = slices.Grow(dst, len(b)/2)
	for len(b) >= 2 {
		if len(b) >= 8 {
			// Four characters at once: most text is ASCII.
			if v := binary.LittleEndian.Uint64(b); v&0xff80ff80ff80ff80 == 0 {
				v = (v | v>>8) & 0x0000ffff0000ffff
				dst = binary.LittleEndian.AppendUint32(dst, uint32(v|v>>16))
				b = b[8:]
				continue
			}
		}
		r, n := decodeUTF16(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}

// decodeUTF16 reads the first character of b, which has two bytes or more.
func decodeUTF16(b []byte) (r rune, n int) {
	r = rune(binary.LittleEndian.Uint16(b))
	if !utf16.IsSurrogate(r) {
		return r, 2
	}
	if len(b) >= 4 {
		if pair := utf16.DecodeRune(r, rune(binary.LittleEndian.Uint16(b[2:]))); pair != utf8.RuneError {
			return pair, 4
		}
	}
	return utf8.RuneError, 2
}

// firstUTF16 returns how many bytes the first most characters of b take.
func firstUTF16(b []byte, most int) int {
	n := 0
	for ; most > 0 && n+2 <= len(b); most-- {
		_, size := decodeUTF16(b[n:])
		n += size
	}
	return n
}

// endsInHigh tells whether UTF-16 ends with the first half of a pair.
func endsInHigh(b []byte) bool { return len(b) >= 2 && b[len(b)-1]&0xfc == 0xd8 }

// codePage decodes text that is not UTF-16; nil is UTF-8.
type codePage struct{ table *charmap.Charmap }

// append appends text as UTF-8.
func (c *codePage) append(dst, b []byte) []byte {
	if c.table == nil {
		return append(dst, b...)
	}
	for _, x := range b {
		dst = utf8.AppendRune(dst, c.table.DecodeByte(x))
	}
	return dst
}

var sqlCodePage = regexp.MustCompile(`^sql_.*_cp([0-9]+)_`)

// pages are the code pages of collations that charmap has.
var pages = map[string]*charmap.Charmap{"437": charmap.CodePage437, "850": charmap.CodePage850, "874": charmap.Windows874,
	"1": charmap.Windows1252, "1250": charmap.Windows1250, "1251": charmap.Windows1251, "1252": charmap.Windows1252,
	"1253": charmap.Windows1253, "1254": charmap.Windows1254, "1255": charmap.Windows1255, "1256": charmap.Windows1256,
	"1257": charmap.Windows1257, "1258": charmap.Windows1258}

// languages are the beginnings of Windows collations with their code page.
var languages = []struct{ begin, page string }{
	{"latin1_general", "1252"}, {"french", "1252"}, {"modern_spanish", "1252"}, {"traditional_spanish", "1252"}, {"finnish_swedish", "1252"},
	{"danish", "1252"}, {"icelandic", "1252"}, {"german_phonebook", "1252"}, {"norwegian", "1252"}, {"welsh", "1252"},
	{"albanian", "1250"}, {"croatian", "1250"}, {"czech", "1250"}, {"hungarian", "1250"}, {"polish", "1250"}, {"romanian", "1250"},
	{"slovak", "1250"}, {"slovenian", "1250"}, {"cyrillic", "1251"}, {"ukrainian", "1251"}, {"macedonian", "1251"}, {"greek", "1253"},
	{"turkish", "1254"}, {"hebrew", "1255"}, {"arabic", "1256"}, {"estonian", "1257"}, {"latvian", "1257"}, {"lithuanian", "1257"},
	{"vietnamese", "1258"}, {"thai", "874"},
}

// pageOf returns the code page of a collation, nil if it is not known here
// (Chinese, Japanese and Korean are not).
func pageOf(collation string) *codePage {
	name := strings.ToLower(collation)
	if strings.HasSuffix(name, "_utf8") {
		return &codePage{}
	}
	page := ""
	if m := sqlCodePage.FindStringSubmatch(name); m != nil {
		page = m[1]
	}
	for _, l := range languages {
		if strings.HasPrefix(name, l.begin) {
			page = l.page
		}
	}
	if table := pages[page]; table != nil {
		return &codePage{table}
	}
	return nil
}
