package main

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// forTerminal makes a message fit to be looked at: control characters are made
// visible, since a message may hold ones that command the terminal, and a line
// end is added. Exact bytes go to a file or a pipe.
func (a *app) forTerminal(plain []byte) []byte {
	shown := visible(plain)
	if !bytes.Equal(shown, plain) {
		a.warn("control characters or bytes that are not text are shown as symbols", "add --out FILE for the exact bytes")
	}
	if !bytes.HasSuffix(shown, []byte("\n")) {
		shown = append(shown, '\n')
	}
	return shown
}

// visible replaces what could command a terminal or mislead the reader's eye:
// C0 controls but tab and line feed by their symbols (U+2400 and up), others by
// their code in angle brackets, and invalid bytes likewise.
func visible(text []byte) []byte {
	out := make([]byte, 0, len(text)+1)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, "<%02X>", text[0])
		case r < ' ' && r != '\n' && r != '\t':
			out = utf8.AppendRune(out, 0x2400+r)
		case r == 0x7f:
			out = utf8.AppendRune(out, 0x2421)
		case commands(r):
			out = fmt.Appendf(out, "<U+%04X>", r)
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out
}

// commands tells whether a character beyond ASCII is a C1 control or one of
// those that turn the direction of writing (Unicode Standard Annex 9, table 2).
func commands(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// escapeControls writes such characters in a JSON text, where they can stand
// in strings only, as \u escapes.
func escapeControls(text []byte) []byte {
	if !bytes.ContainsFunc(text, func(r rune) bool { return commands(r) || r == 0x7f }) {
		return text
	}
	out := make([]byte, 0, len(text)+32)
	for _, r := range string(text) {
		if commands(r) || r == 0x7f {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}
