package csvfile

import (
	"bytes"
	"strings"
	"unicode"

	"archivolt/internal/cisco"
)

// columnOf reads a column's name as programs write it: in any letter case,
// quoted, in brackets, or with the table before it.
func columnOf(name []byte) cisco.Column {
	name = name[bytes.LastIndexByte(name, '.')+1:]
	name = bytes.TrimFunc(name, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"'[]`\ufeff", r) })
	return cisco.ColumnNamed(string(name))
}

// columnsOf reads the names of a header and counts those that are known.
func columnsOf(names [][]byte) (columns []cisco.Column, known int) {
	for _, name := range names {
		c := columnOf(name)
		if c != cisco.UnknownColumn {
			known++
		}
		columns = append(columns, c)
	}
	return columns, known
}

// setColumns takes the columns of a header and refuses those that make no
// table JM.
func (f *File) setColumns(columns []cisco.Column) error {
	notes, err := cisco.CheckColumns(f.name, columns, exportAgain)
	if err != nil {
		return err
	}
	f.notes = append(f.notes, notes...)
	f.columns = columns
	return nil
}

// span is a field of fixed width: the characters [from, to) of a line.
type span struct{ from, to int }

// underline reads the line that sqlcmd writes below its header: dashes for
// each field, between them the separator, or one blank where there is none.
func underline(line []byte) (sep byte, spans []span, ok bool) {
	from := 0
	for i, c := range line {
		switch {
		case c == '-':
			continue
		case c == ' ':
		case strings.IndexByte(separators, c) >= 0 && (sep == 0 || sep == c):
			sep = c
		default:
			return 0, nil, false
		}
		if i > from {
			spans = append(spans, span{from, i})
		}
		from = i + 1
	}
	if len(line) > from {
		spans = append(spans, span{from, len(line)})
	}
	return sep, spans, len(spans) > 1 && line[0] == '-'
}
