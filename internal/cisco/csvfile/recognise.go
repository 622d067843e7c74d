package csvfile

import (
	"bytes"
	"strings"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

const (
	sampleSize = 256 << 10 // bytes at the beginning that are looked at
	tailSize   = 4 << 10   // bytes at the end; even, so that UTF-16 stays aligned

	// preamble is how many lines, such as "Changed database context", may
	// come before sqlcmd's header.
	preamble = 20

	separators = ",;\t|"
)

// sniffEncoding tells the encoding and the length of the byte order mark.
// Without a mark UTF-16 is known by its zero bytes: the names of columns and
// the beginning of a JID are ASCII.
func sniffEncoding(raw []byte) (e encoding, mark int) {
	switch {
	case bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")):
		return utf8Text, 3
	case bytes.HasPrefix(raw, []byte("\xff\xfe")):
		return utf16LE, 2
	case bytes.HasPrefix(raw, []byte("\xfe\xff")):
		return utf16BE, 2
	}
	n := min(len(raw)&^1, 32)
	little, big := n > 0, n > 0
	for i := 0; i < n; i += 2 {
		little = little && raw[i] != 0 && raw[i+1] == 0
		big = big && raw[i] == 0 && raw[i+1] != 0
	}
	switch {
	case little:
		return utf16LE, 0
	case big:
		return utf16BE, 0
	}
	return utf8Text, 0
}

// recognise finds the dialect, the columns and the first row. text is the
// beginning of the file, whole tells whether it is all of it.
func (f *File) recognise(text []byte, whole bool) error {
	f.dialect.Null = "NULL"
	if done, err := f.recogniseSQLCmd(text); done || err != nil {
		return err
	}
	var columns []cisco.Column
	best, end := 0, 0 // how many columns the header names, and where it ends
	plain := byte(0)  // the separator that makes 14 fields with a date, if any
	for _, sep := range []byte(separators) {
		first, next, ok := firstRecord(text, whole, sep)
		if !ok {
			continue
		}
		cells := fields(first, sep)
		if c, known := columnsOf(cells); known > best {
			columns, best, end, f.dialect.Separator = c, known, next, sep
		}
		if plain == 0 && len(cells) == len(cisco.ColumnNames()) && looksLikeDate(cells[cisco.SentDate]) {
			plain = sep
		}
	}
	switch {
	case best > 1, best == 1 && plain == 0 && !hasDashes(text):
		f.dialect.Header = true
		f.skip(text[:end])
		if isPsqlUnderline(text[end:]) {
			return problem.New(problem.Failed, f.name, "this is psql's output for reading on a screen", "export the table as CSV: "+exportPsql)
		}
	case plain != 0:
		f.dialect.Separator = plain
		f.notes = append(f.notes, "has no header: the documented order of columns is assumed")
		columns, _ = columnsOf(documentedNames())
	default:
		return noTable(f.name, text)
	}
	if f.dialect.Separator == '\t' && hasPsqlNull(text) {
		f.dialect.Null = `\N`
	}
	if err := f.setColumns(columns); err != nil {
		return err
	}
	f.dialect.Quoted = f.dialect.quotes() && (f.hasQuoted(text[:end], true) || f.hasQuoted(text[end:], false))
	return nil
}

// recogniseSQLCmd looks for a header with an underline near the beginning.
func (f *File) recogniseSQLCmd(text []byte) (done bool, err error) {
	var before []byte
	for pos, n := 0, 0; pos < len(text) && n < preamble; n++ {
		end := lineEnd(text, pos)
		line := bytes.TrimSuffix(text[pos:end], cr)
		next := min(end+1, len(text))
		if sep, spans, ok := underline(line); ok {
			if columns, known := sqlcmdColumns(before, sep, spans); known > 0 && len(columns) == len(spans) {
				f.dialect.SQLCmd, f.dialect.Header = true, true
				f.dialect.Separator, f.dialect.FixedWidth = sep, sep == 0
				f.header, f.underline = bytes.Clone(before), bytes.Clone(line)
				if sep == 0 {
					f.spans = spans
				}
				f.skip(text[:next])
				if n > 1 {
					f.notes = append(f.notes, "has lines before the header, which are skipped")
				}
				return true, f.setColumns(columns)
			}
		}
		before, pos = line, next
	}
	return false, nil
}

func sqlcmdColumns(header []byte, sep byte, spans []span) (columns []cisco.Column, known int) {
	if sep != 0 {
		return columnsOf(bytes.Split(header, []byte{sep}))
	}
	names := make([][]byte, len(spans))
	cutFixed(header, spans, func(i int, cell []byte) { names[i] = cell })
	return columnsOf(names)
}

// skip lets the rows begin after text.
func (f *File) skip(text []byte) { f.begin = min(f.begin+f.encoding.size(text), f.size) }

// firstRecord returns the first record of CSV that is not empty, and where the
// next line begins.
func firstRecord(text []byte, whole bool, sep byte) (record []byte, next int, ok bool) {
	pos := len(text) - len(bytes.TrimLeft(text, "\r\n"))
	w := window{text: text[pos:], quote: nextQuote(text, pos, len(text)) - pos, final: whole, full: !whole}
	end, _, v := w.end(sep)
	if v == tooLong || end == 0 {
		return nil, 0, false
	}
	end += pos
	return bytes.TrimSuffix(text[pos:end], cr), min(end+1, len(text)), true
}

// fields splits a record of CSV without changing it.
func fields(record []byte, sep byte) [][]byte {
	var cells [][]byte
	splitCSV(bytes.Clone(record), sep, func(_ int, cell []byte, _ bool) { cells = append(cells, cell) })
	return cells
}

func documentedNames() [][]byte {
	var names [][]byte
	for _, name := range cisco.ColumnNames() {
		names = append(names, []byte(name))
	}
	return names
}

// looksLikeDate tells whether a cell may be a time stamp, in whatever order
// and language: digits, punctuation, and the letters of a month or zone.
func looksLikeDate(cell []byte) bool {
	digits, letters := 0, 0
	for _, c := range bytes.TrimSpace(cell) {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c >= 0x80:
			letters++
		case strings.IndexByte("-/.:+, ", c) < 0:
			return false
		}
	}
	return digits >= 5 && letters <= 6 && len(cell) >= 8 && len(cell) <= 40
}

// isPsqlUnderline tells whether text begins with the line below the header of
// psql's aligned output: -----+-----.
func isPsqlUnderline(text []byte) bool {
	line := text[:lineEnd(text, 0)]
	line = bytes.TrimSuffix(line, cr)
	return bytes.Contains(line, []byte("-+-")) && len(bytes.Trim(line, "-+")) == 0
}

// hasPsqlNull tells whether one of the cells is \N.
func hasPsqlNull(text []byte) bool {
	for pos := 0; ; {
		i := bytes.Index(text[pos:], []byte(`\N`))
		if i < 0 {
			return false
		}
		i += pos
		pos = i + 2
		if (i == 0 || text[i-1] == '\t' || text[i-1] == '\n') &&
			(pos == len(text) || text[pos] == '\t' || text[pos] == '\n' || text[pos] == '\r') {
			return true
		}
	}
}

// hasDashes tells whether there is a line of dashes, as below a header of
// sqlcmd that was wrapped.
func hasDashes(text []byte) bool { return bytes.Contains(text, []byte("\n--------")) }

// hasQuoted tells whether some cell is quoted. In rows a cell "Prices" alone
// proves nothing, since SSMS does not quote quotes either: it takes one that
// needs its quotes, or two in a row.
func (f *File) hasQuoted(text []byte, header bool) bool {
	sep := f.dialect.Separator
	w := window{text: text, final: true, isRow: f.looksLikeRow}
	for pos := nextQuote(text, 0, len(text)); pos < len(text); pos = nextQuote(text, pos+1, len(text)) {
		if pos > 0 && text[pos-1] != sep && text[pos-1] != '\n' {
			continue
		}
		closing, doubled, v := closeQuote(text[pos:], sep, true)
		if v != found || w.swallows(pos, lineEnd(text, pos), sep) == broken {
			continue
		}
		cell, rest := text[pos+1:pos+closing], text[pos+closing+1:]
		if header || doubled || bytes.IndexByte(cell, sep) >= 0 || bytes.IndexByte(cell, '\n') >= 0 || bytes.HasPrefix(rest, []byte{sep, '"'}) {
			return true
		}
	}
	return false
}
