package main

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// showOnTerminal writes a message for a person to look at: control characters
// are made visible, since a message may hold ones that command the terminal,
// and a line end is added. Exact bytes go to --out or a pipe.
func (a *app) showOnTerminal(plain []byte) error {
	shown := visible(plain)
	if !bytes.Equal(shown, plain) {
		a.warn("control characters or bytes that are not text are shown as symbols", "add --out FILE for the exact bytes")
	}
	if !bytes.HasSuffix(shown, []byte("\n")) {
		shown = append(shown, '\n')
	}
	return writeAll(a.out, shown)
}

// visible replaces what could command a terminal or mislead the reader's eye:
// C0 controls but tab and line feed by their symbols (U+2400 and up), C1
// controls, bidirectional overrides (Unicode Standard Annex 9, table 2) and
// invalid bytes by their code in angle brackets.
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
		case r >= 0x80 && r < 0xa0, r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			out = fmt.Appendf(out, "<U+%04X>", r)
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out
}
