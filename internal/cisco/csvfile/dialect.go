package csvfile

import "strings"

// Dialect is how an exported table is written.
type Dialect struct {
	Encoding   string // "UTF-8", "UTF-16LE" or "UTF-16BE"; other bytes in UTF-8 are passed on
	Separator  byte   // ',', ';', '\t' or '|'; 0 for fixed widths
	Quoted     bool   // the beginning of the file has cells that are certainly quoted; later ones are understood anyway
	SQLCmd     bool   // padded cells, and an underline below the header
	FixedWidth bool   // sqlcmd without a separator: the underline gives the widths, in characters
	Header     bool   // the first record names the columns
	Null       string // the unquoted word for NULL: "NULL", or `\N` in psql's text format
}

// String describes the dialect for people: "comma-separated, with header, UTF-8".
func (d Dialect) String() string {
	var parts []string
	switch {
	case d.SQLCmd:
		parts = append(parts, "sqlcmd output")
	case d.postgresText():
		parts = append(parts, "PostgreSQL text format")
	}
	switch d.Separator {
	case 0:
		parts = append(parts, "fixed widths")
	case ',':
		parts = append(parts, "comma-separated")
	case ';':
		parts = append(parts, "semicolon-separated")
	case '\t':
		parts = append(parts, "tab-separated")
	case '|':
		parts = append(parts, "pipe-separated")
	}
	if d.Quoted {
		parts = append(parts, "quoted")
	}
	if d.Header {
		parts = append(parts, "with header")
	} else {
		parts = append(parts, "without header")
	}
	return strings.Join(append(parts, d.Encoding), ", ")
}

// postgresText tells whether cells have backslash escapes, as COPY TO writes
// them without FORMAT csv.
func (d Dialect) postgresText() bool { return d.Null == `\N` }

// quotes tells whether a quote at the beginning of a cell means anything.
func (d Dialect) quotes() bool { return !d.SQLCmd && !d.postgresText() }
