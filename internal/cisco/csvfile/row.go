package csvfile

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"archivolt/internal/cisco"
)

// Problems of rows. None says what a cell holds.
const (
	unclosedQuote  = "a quote is opened and never closed"
	undoubledQuote = "a quoted cell has a quote in it that is not doubled"
	misfit         = "does not fit the widths that the underline gives"
)

// Row splits a record into the cells of row and sets its number and problem.
// The cells lie in rec.Text, which is changed: a record can be split once. It
// is safe for concurrent use on different records.
func (f *File) Row(rec *Record, number int64, row *cisco.Row) {
	*row = cisco.Row{Number: number}
	n := 0
	switch d := f.dialect; {
	case d.FixedWidth:
		if ok := cutFixed(rec.Text, f.spans, func(i int, cell []byte) { f.setPadded(row, i, cell) }); !ok {
			row.Problem = misfit
		}
		return
	case d.SQLCmd:
		n = split(rec.Text, d.Separator, func(i int, cell []byte) { f.setPadded(row, i, cell) })
	case d.postgresText():
		n = split(rec.Text, d.Separator, func(i int, cell []byte) {
			if string(cell) != d.Null {
				f.set(row, i, unescape(cell))
			}
		})
	default:
		n, row.Problem = splitCSV(rec.Text, d.Separator, func(i int, cell []byte, quoted bool) {
			if quoted || !isNull(cell) {
				f.set(row, i, cell)
			}
		})
	}
	if n != len(f.columns) && row.Problem != unclosedQuote {
		row.Problem = fmt.Sprintf("has %d fields instead of %d", n, len(f.columns))
		if n == 1 {
			row.Problem = fmt.Sprintf("has 1 field instead of %d", len(f.columns))
		}
	}
}

func isNull(cell []byte) bool { return len(cell) == 0 || string(cell) == "NULL" }

// set puts cell into its column.
func (f *File) set(row *cisco.Row, i int, cell []byte) {
	if i < len(f.columns) && f.columns[i] != cisco.UnknownColumn {
		row.Cells[f.columns[i]] = cell[:len(cell):len(cell)]
	}
}

// setPadded puts a cell of sqlcmd into its column. Numbers are padded on the
// left, all else on the right.
func (f *File) setPadded(row *cisco.Row, i int, cell []byte) {
	cell = bytes.TrimRight(cell, " ")
	if i < len(f.columns) && (f.columns[i] == cisco.BodyLen || f.columns[i] == cisco.MessageLen) {
		cell = bytes.TrimLeft(cell, " ")
	}
	if isNull(cell) {
		cell = nil
	}
	f.set(row, i, cell)
}

// split gives the parts of text between separators to each, and their number.
func split(text []byte, sep byte, each func(i int, cell []byte)) (n int) {
	for {
		end := bytes.IndexByte(text, sep)
		if end < 0 {
			each(n, text)
			return n + 1
		}
		each(n, text[:end])
		text = text[end+1:]
		n++
	}
}

// splitCSV gives the cells of a record of CSV to each, unquoted in place, and
// returns their number. After an unclosed quote it stops.
func splitCSV(text []byte, sep byte, each func(i int, cell []byte, quoted bool)) (n int, trouble string) {
	for pos := 0; ; n++ {
		if pos < len(text) && text[pos] == '"' {
			closing, doubled, v := closeQuote(text[pos:], sep, true)
			closing += pos
			if v == broken && closing == len(text) {
				return n, unclosedQuote
			}
			if end := closing + 1; v == found && (end == len(text) || text[end] == sep) {
				cell := text[pos+1 : closing]
				if doubled {
					cell = undouble(cell)
				}
				each(n, cell, true)
				if end == len(text) {
					return n + 1, trouble
				}
				pos = end + 1
				continue
			}
		}
		end := indexFrom(text, pos, len(text), sep)
		cell := text[pos:end]
		if len(cell) > 1 && cell[0] == '"' && cell[len(cell)-1] == '"' {
			trouble = undoubledQuote
		}
		each(n, cell, false)
		if end == len(text) {
			return n + 1, trouble
		}
		pos = end + 1
	}
}

// undouble removes every other quote, in place.
func undouble(cell []byte) []byte {
	to := bytes.IndexByte(cell, '"') + 1
	for rest := cell[to+1:]; ; {
		i := bytes.IndexByte(rest, '"')
		if i < 0 {
			return cell[:to+copy(cell[to:], rest)]
		}
		to += copy(cell[to:], rest[:i+1])
		rest = rest[i+2:]
	}
}

// unescape undoes the backslash escapes of COPY TO, in place.
func unescape(cell []byte) []byte {
	to := bytes.IndexByte(cell, '\\')
	if to < 0 {
		return cell
	}
	for i := to; i < len(cell); to++ {
		c := cell[i]
		i++
		if c == '\\' && i < len(cell) {
			c = cell[i]
			i++
			switch c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'v':
				c = '\v'
			case 'x':
				c, i = number(cell, i, 16, 2, 'x')
			case '0', '1', '2', '3', '4', '5', '6', '7':
				c, i = number(cell, i-1, 8, 3, c)
			}
		}
		cell[to] = c
	}
	return cell[:to]
}

// number reads up to most digits at cell[i:], and gives otherwise if there is
// none.
func number(cell []byte, i, base, most int, otherwise byte) (value byte, next int) {
	for next = i; next < len(cell) && next < i+most; next++ {
		d, err := strconv.ParseUint(string(cell[next:next+1]), base, 8)
		if err != nil {
			break
		}
		value = value*byte(base) + byte(d)
	}
	if next == i {
		return otherwise, i
	}
	return value, next
}

// cutFixed gives the cells of a line with fixed widths to each. A character is
// a code point, or else a UTF-16 unit: programs differ, and only a message
// with emoji tells. It tells whether there are blanks between the cells and
// none of them is missing; if not, each was called for some of them or none.
func cutFixed(line []byte, spans []span, each func(i int, cell []byte)) bool {
	return cutWidths(line, spans, 1, each) || cutWidths(line, spans, 2, each)
}

// cutWidths is cutFixed, where a code point beyond U+FFFF counts as wide
// characters.
func cutWidths(line []byte, spans []span, wide int, each func(i int, cell []byte)) bool {
	pos, char := 0, 0
	blank := true // whether all was blank since it was set
	forward := func(to int) {
		for pos < len(line) && char < to {
			if c := line[pos]; c < utf8.RuneSelf {
				blank = blank && c == ' '
				pos++
				char++
				continue
			}
			r, size := utf8.DecodeRune(line[pos:])
			blank = false
			pos += size
			char++
			if r > 0xffff {
				char += wide - 1
			}
		}
	}
	for i, s := range spans {
		blank = true
		forward(s.from)
		if !blank || char != s.from {
			return false
		}
		from := pos
		forward(s.to)
		if char < s.to && i < len(spans)-1 || char > s.to {
			return false
		}
		each(i, line[from:pos])
	}
	return len(bytes.TrimLeft(line[pos:], " ")) == 0
}
