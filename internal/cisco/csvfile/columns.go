package csvfile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// unknownColumn is a field that table JM does not have.
const unknownColumn cisco.Column = -1

var columnByName = func() map[string]cisco.Column {
	m := map[string]cisco.Column{}
	for i, name := range cisco.ColumnNames() {
		m[name] = cisco.Column(i)
	}
	return m
}()

// columnOf reads a column's name as programs write it: in any letter case,
// quoted, in brackets, or with the table before it.
func columnOf(name []byte) cisco.Column {
	name = name[bytes.LastIndexByte(name, '.')+1:]
	name = bytes.TrimFunc(name, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"'[]`\ufeff", r) })
	if c, ok := columnByName[strings.ToUpper(string(name))]; ok {
		return c
	}
	return unknownColumn
}

// columnsOf reads the names of a header and counts those that are known.
func columnsOf(names [][]byte) (columns []cisco.Column, known int) {
	for _, name := range names {
		c := columnOf(name)
		if c != unknownColumn {
			known++
		}
		columns = append(columns, c)
	}
	return columns, known
}

// setColumns takes the columns of a header and refuses those that make no
// table JM.
func (f *File) setColumns(columns []cisco.Column) error {
	var has [cisco.NumColumns]bool
	extra := 0
	for _, c := range columns {
		switch {
		case c == unknownColumn:
			extra++
		case has[c]:
			return problem.New(problem.Failed, f.name, "this table has the column "+c.String()+" twice",
				"export the table again with each column once")
		default:
			has[c] = true
		}
	}
	required := []cisco.Column{cisco.ToJID, cisco.FromJID, cisco.SentDate}
	texts := []cisco.Column{cisco.BodyString, cisco.MessageString, cisco.BodyText, cisco.MessageText}
	var missing, absent []string
	for c := range cisco.NumColumns {
		switch {
		case has[c]:
		case slices.Contains(required, c):
			missing = append(missing, c.String())
		default:
			absent = append(absent, c.String())
		}
	}
	if !slices.ContainsFunc(texts, func(c cisco.Column) bool { return has[c] }) {
		missing = append(missing, "BODY_STRING (or another one with a text)")
	}
	if len(missing) > 0 {
		return problem.New(problem.Failed, f.name, "this table lacks the "+list("column", missing), exportAgain)
	}
	if len(absent) > 0 {
		f.notes = append(f.notes, "lacks the "+list("column", absent))
	}
	if extra == 1 {
		f.notes = append(f.notes, "has 1 column that is not the archiver's, which is ignored")
	} else if extra > 1 {
		f.notes = append(f.notes, fmt.Sprintf("has %d columns that are not the archiver's, which are ignored", extra))
	}
	f.columns = columns
	return nil
}

// list writes names with their noun: "columns A, B and C".
func list(noun string, names []string) string {
	last := len(names) - 1
	if last == 0 {
		return noun + " " + names[0]
	}
	return noun + "s " + strings.Join(names[:last], ", ") + " and " + names[last]
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
