package csvfile

import "bytes"

// cutTrailer takes the count of rows at the end of the file off the rows:
// "(5 rows affected)" of sqlcmd, in whatever language, and "(5 rows)" of psql.
func (f *File) cutTrailer() error {
	from := max(f.begin, f.end-tailSize)
	from += (from - f.begin) % f.encoding.unit()
	raw := make([]byte, f.end-from)
	if err := readAt(f.file, f.name, raw, from); err != nil {
		return err
	}
	text := raw
	if f.encoding != utf8Text {
		text, _ = f.encoding.decode(nil, raw, true)
	}
	at, count := findTrailer(text, from == f.begin)
	switch {
	case at < 0 || count == wordsCount && !f.dialect.SQLCmd:
		return nil
	case count == sqlcmdCount && !f.dialect.Header && f.dialect.quotes():
		// sqlcmd without a header, by its option -h -1.
		f.dialect.SQLCmd, f.dialect.Quoted = true, false
	}
	f.end = from + f.encoding.size(text[:at])
	return nil
}

// countKind is the form of a trailing count.
type countKind int

const (
	psqlCount   countKind = iota // (5 rows), straight below the last row
	sqlcmdCount                  // anything in parentheses that begins with a digit, after an empty line
	wordsCount                   // the same without the digit, or a time
)

// findTrailer finds a count at the end of the tail of a file, or of all its
// rows, and returns where its line begins, or -1.
func findTrailer(tail []byte, all bool) (at int, kind countKind) {
	at = -1
	line, above := lastLine(tail)
	// SSMS adds the time when it writes to a file, also without a count.
	if bytes.HasPrefix(line, []byte("Completion time: ")) {
		at, kind = len(above), wordsCount
		line, above = lastLine(above)
	}
	if len(line) < 3 || line[0] != '(' || line[len(line)-1] != ')' || len(above) == 0 && !all {
		return at, kind
	}
	inside := line[1 : len(line)-1]
	words := bytes.TrimLeft(inside, "0123456789")
	digit := len(words) < len(inside)
	empty := bytes.HasSuffix(above, []byte("\n\n")) || bytes.HasSuffix(above, []byte("\n\r\n")) ||
		all && (string(above) == "\n" || string(above) == "\r\n")
	switch {
	case digit && (string(words) == " rows" || string(words) == " row"):
		return len(above), psqlCount
	case empty && digit:
		return len(above), sqlcmdCount
	case empty:
		return len(above), wordsCount
	}
	return at, kind
}

// lastLine returns the last line of text that is not blank, without its line
// end, and all that comes before it.
func lastLine(text []byte) (line, above []byte) {
	text = bytes.TrimRight(text, " \t\r\n")
	at := bytes.LastIndexByte(text, '\n') + 1
	return text[at:], text[:at]
}
