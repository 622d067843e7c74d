package csvfile

import (
	"bytes"
	"strings"

	"archivolt/internal/problem"
)

const (
	exportText = "this version reads exported text files only: export the table as CSV, in SSMS with Save Results As, " + exportPsql
	exportPsql = `in psql with \copy jm TO 'jm.csv' CSV HEADER`
	// exportAgain mends a table whose columns are not known.
	exportAgain = "export the table again with all its columns and column headers: in SSMS, Tools > Options > Query Results > " +
		`SQL Server > Results to Grid, "Include column headers when copying or saving the results"; ` + exportPsql
	exportSQLCmd = `run sqlcmd with -s "," -W -w 65535`
)

// magics are the beginnings of files that are no text.
var magics = []struct{ begin, what, try string }{
	{"\x1f\x8b", "this is compressed with gzip", "uncompress it first: gunzip "},
	{"BZh", "this is compressed with bzip2", "uncompress it first: bunzip2 "},
	{"\xfd7zXZ\x00", "this is compressed with xz", "uncompress it first: unxz "},
	{"\x28\xb5\x2f\xfd", "this is compressed with zstd", "uncompress it first: unzstd "},
	{"PK\x03\x04", "this is a zip archive, as .bacpac, .dacpac and .xlsx files are", exportText},
	{"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive", "unpack it first"},
	{"SQLite format 3\x00", "this is an SQLite database", exportText},
	{"PGDMP", "this is a dump of pg_dump in its own format", exportText},
	{"TAPE", "this is a backup of SQL Server", exportText},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is a file of Excel or another old Office program", exportText},
}

// refuseContent recognises by their first bytes what is certainly no text.
func refuseContent(name string, raw []byte) error {
	if len(raw) == 0 {
		return problem.New(problem.Failed, name, "this file is empty", exportAgain)
	}
	for _, m := range magics {
		if bytes.HasPrefix(raw, []byte(m.begin)) {
			try := m.try
			if strings.HasSuffix(try, " ") {
				try += problem.Quote(name)
			}
			return problem.New(problem.Failed, name, m.what, try)
		}
	}
	return nil
}

// noTable says what text without a table may be.
func noTable(name string, text []byte) error {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return problem.New(problem.Failed, name, "this file is empty, but for blanks and line ends", exportAgain)
	case isBinary(text):
		return problem.New(problem.Failed, name, "this is a binary file", exportText)
	case bytes.Contains(text[:min(len(text), 200)], []byte("PostgreSQL database dump")):
		return problem.New(problem.Failed, name, "this is a dump of pg_dump", exportText)
	case hasDashes(text):
		return problem.New(problem.Failed, name, "this looks like sqlcmd output whose lines were wrapped", exportSQLCmd)
	}
	return problem.New(problem.Failed, name, "this is no exported table: its first line has none of the archiver's column names", exportAgain)
}

// isBinary tells whether one character in ten or more is one that text does
// not have. A few are no sign: a message may hold anything.
func isBinary(text []byte) bool {
	n := 0
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' {
			n++
		}
	}
	return 10*n >= len(text)
}
