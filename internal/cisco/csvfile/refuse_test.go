package csvfile

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archivolt/internal/problem"
)

// TestOpenRefuses gives files that hold no table JM.
func TestOpenRefuses(t *testing.T) {
	wide := func(name string) string { return name + strings.Repeat(" ", 3000) }
	for name, c := range map[string]struct{ data, what, try string }{
		"empty":          {"", "this file is empty", exportAgain},
		"mark only":      {"\ufeff", "this file is empty, but for blanks and line ends", exportAgain},
		"line ends":      {"\r\n\r\n \r\n", "this file is empty, but for blanks and line ends", exportAgain},
		"gzip":           {"\x1f\x8b\x08\x00", "this is compressed with gzip", "uncompress it first: gunzip jm.csv"},
		"zip":            {"PK\x03\x04\x14\x00", "this is a zip archive, as .bacpac, .dacpac and .xlsx files are", exportText},
		"SQLite":         {"SQLite format 3\x00\x10", "this is an SQLite database", exportText},
		"pg_dump":        {"PGDMP\x01\x0e", "this is a dump of pg_dump in its own format", exportText},
		"pg_dump, plain": {"--\n-- PostgreSQL database dump\n--\n\nSET x = 0;\n", "this is a dump of pg_dump", exportText},
		"backup":         {"TAPE\x00\x00\x03", "this is a backup of SQL Server", exportText},
		"old Excel":      {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00", "this is a file of Excel or another old Office program", exportText},
		"binary":         {"\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 100), "this is a binary file", exportText},
		"prose":          {"Dear all,\n\nthe export is ready.\n", "this is no exported table: its first line has none of the archiver's column names", exportAgain},
		"other table":    {"id,name\n1,x\n", "this is no exported table: its first line has none of the archiver's column names", exportAgain},
		"no header, 13 fields": {plainLine[:strings.LastIndex(plainLine, ",")] + "\n",
			"this is no exported table: its first line has none of the archiver's column names", exportAgain},
		"no header, no date": {strings.Replace(plainLine, "2024-05-06 07:08:09.123", "yesterday", 1) + "\n",
			"this is no exported table: its first line has none of the archiver's column names", exportAgain},
		"a header without end": {"TO_JID,\"" + strings.Repeat("x\n", sampleSize), "this table lacks the columns FROM_JID, SENT_DATE and BODY_STRING (or another one with a text)", exportAgain},
		"one endless line":     {strings.Repeat("TO_JID,", sampleSize/7+1), "this is no exported table: its first line has none of the archiver's column names", exportAgain},
		"missing column":       {strings.Replace(headerLine, "TO_JID,", "", 1) + "\n", "this table lacks the column TO_JID", exportAgain},
		"missing texts":        {"TO_JID,FROM_JID,SENT_DATE,SUBJECT\n", "this table lacks the column BODY_STRING (or another one with a text)", exportAgain},
		"missing columns":      {"TO_JID;BODY_TEXT\n", "this table lacks the columns FROM_JID and SENT_DATE", exportAgain},
		"column twice":         {headerLine + ",jm.to_jid\n", "this table has the column TO_JID twice", "export the table again with each column once"},
		"wrapped sqlcmd":       {wide("TO_JID") + "\n" + wide("FROM_JID") + "\n" + strings.Repeat("-", 80) + "\n", "this looks like sqlcmd output whose lines were wrapped", exportSQLCmd},
		"psql on a screen":     {" to_jid | from_jid | sent_date | body_text \n--------+----------+-----------+-----------\n a | b | c | d\n(1 row)\n", "this is psql's output for reading on a screen", "export the table as CSV: " + exportPsql},
		"sqlcmd, missing":      {"TO_JID,FROM_JID\n------,--------\n", "this table lacks the columns SENT_DATE and BODY_STRING (or another one with a text)", exportAgain},
		"UTF-16, other table":  {string(utf16Bytes("id,name\r\n1,x\r\n", binary.LittleEndian)), "this is no exported table: its first line has none of the archiver's column names", exportAgain},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := openBytes([]byte(c.data))
			var p *problem.Error
			if f != nil || !errors.As(err, &p) {
				t.Fatalf("%v", err)
			}
			if p.Class != problem.Failed || p.Object != "jm.csv" || p.What != c.what || p.Try != c.try {
				t.Errorf("%q\n%q, want\n%q\n%q", p.What, p.Try, c.what, c.try)
			}
		})
	}
}

// TestOpenWithoutFile names what is no file.
func TestOpenWithoutFile(t *testing.T) {
	dir := t.TempDir()
	var p *problem.Error
	if _, err := Open(dir); !errors.As(err, &p) || p.What != "this is a folder, not a file" {
		t.Errorf("folder: %v", err)
	}
	if _, err := Open(os.DevNull); !errors.As(err, &p) || p.What != "this is a pipe or a device: the table is read at more than one place" {
		t.Errorf("device: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none.csv")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestShrunkFile cuts the file off while it is open.
func TestShrunkFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "jm.csv")
	if err := os.WriteFile(name, []byte(headerLine+"\n"+plainLine+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(name, int64(len(headerLine)+10)); err != nil {
		t.Fatal(err)
	}
	var p *problem.Error
	if b, err := f.Records().Next(); b != nil || !errors.As(err, &p) || !errors.Is(err, io.ErrUnexpectedEOF) || p.What != "this file became shorter while it was read" {
		t.Errorf("%v", err)
	}
	if _, _, err := f.ReadRecord(int64(len(headerLine)), 50, nil); !errors.As(err, &p) || p.What != "this file became shorter while it was read" {
		t.Errorf("%v", err)
	}
}

// TestReadRecordRefuses asks for places outside the file.
func TestReadRecordRefuses(t *testing.T) {
	f, err := openBytes([]byte(headerLine + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		offset int64
		length int32
	}{{-1, 1}, {0, -1}, {f.Size(), 1}, {f.Size() + 1, 0}, {1<<63 - 1, 1<<31 - 1}} {
		var p *problem.Error
		if _, _, err := f.ReadRecord(c.offset, c.length, nil); !errors.As(err, &p) || !strings.HasPrefix(p.What, "this file has no record of ") {
			t.Errorf("%d+%d: %v", c.offset, c.length, err)
		}
	}
}
