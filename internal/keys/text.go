package keys

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is a file's content as text, and how it had to be read.
type Text struct {
	Data  []byte   // UTF-8, lines ended by \n, without byte order mark
	Notes []string // what was unusual, for people: "begins with a byte order mark"
}

// DecodeText turns the text that Windows programs write into plain UTF-8:
// byte order marks, UTF-16 and line ends of CR LF or CR. ok is false for
// binary data, and for UTF-16 that is mostly not ASCII: no key file is that,
// and random bytes may begin like it.
func DecodeText(data []byte) (text Text, ok bool) {
	ok = true
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data = data[3:]
		text.Notes = append(text.Notes, "begins with a UTF-8 byte order mark")
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		data, ok = utf16ToUTF8(data[2:], binary.LittleEndian)
		text.Notes = append(text.Notes, "is UTF-16 text, as PowerShell writes it")
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		data, ok = utf16ToUTF8(data[2:], binary.BigEndian)
		text.Notes = append(text.Notes, "is UTF-16 text, big endian")
	}
	if !ok || !utf8.Valid(data) || hasControl(data) {
		return Text{}, false
	}
	if bytes.IndexByte(data, '\r') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
		text.Notes = append(text.Notes, "has Windows line ends")
	}
	text.Data = data
	return text, true
}

// hasControl tells whether data has control characters that text has not.
func hasControl(data []byte) bool {
	for _, c := range data {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// utf16ToUTF8 decodes data. ok is false where fewer than half of the
// characters are ASCII, or half a unit is left over.
func utf16ToUTF8(data []byte, order binary.ByteOrder) (text []byte, ok bool) {
	units := make([]uint16, 0, len(data)/2)
	ascii := 0
	for ; len(data) >= 2; data = data[2:] {
		u := order.Uint16(data)
		units = append(units, u)
		if u < utf8.RuneSelf {
			ascii++
		}
	}
	return []byte(string(utf16.Decode(units))), len(data) == 0 && 2*ascii >= len(units)
}
