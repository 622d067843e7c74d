package bacpac

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"archivolt/internal/problem"
)

// Remedies.
const (
	exportAgain = "export the database again: in SSMS, Tasks > Export Data-tier Application; or " +
		"sqlpackage /Action:Export /SourceServerName:SERVER /SourceDatabaseName:DATABASE /TargetFile:archive.bacpac"
	copyAgain = "copy the file again and compare its size with the original; if they are equal, export the database again"
)

// magics are the beginnings of files that are no zip archive.
var magics = []struct{ begin, what, try string }{
	{"TAPE", "this is a backup of SQL Server (.bak), not a bacpac", "restore it on a server, and there " + exportAgain},
	{"MSSQLBAK", "this is a compressed backup of SQL Server (.bak), not a bacpac", "restore it on a server, and there " + exportAgain},
	{"\x1f\x8b", "this is compressed with gzip", "uncompress it first"},
	{"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive", "unpack it first"},
	{"SQLite format 3\x00", "this is an SQLite database, not a bacpac", exportAgain},
	{"PGDMP", "this is a dump of PostgreSQL, not a bacpac", exportAgain},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is a file of an old Office program, or an encrypted one, not a bacpac", exportAgain},
}

// refuseMode says what is wrong with a file that is not an ordinary one.
func refuseMode(path string, mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return problem.New(problem.Failed, path, "this is a folder, not a file", "name the file in it")
	case !mode.IsRegular():
		return problem.New(problem.Failed, path, "this is a pipe or a device: a bacpac is read at more than one place", "write it to a file first")
	}
	return nil
}

// refuseContent recognises by its beginning what is certainly no zip archive.
func refuseContent(path string, r io.ReaderAt, size int64) error {
	head := make([]byte, min(size, 4096))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return err
	}
	refuse := func(what, try string) error { return problem.New(problem.Failed, path, what, try) }
	switch {
	case len(head) == 0:
		return refuse("this file is empty", exportAgain)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return nil
	case bytes.HasPrefix(head, []byte("PK")):
		return refuse("this is a zip archive in several volumes, or a damaged one", copyAgain)
	}
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.begin)) {
			return refuse(m.what, m.try)
		}
	}
	if isText(head) {
		return refuse("this is text, not a bacpac", "if it is an exported table, name it with the ending .csv; otherwise "+exportAgain)
	}
	return refuse("this is no bacpac: it does not begin as a zip archive does", exportAgain)
}

// isText tells whether the beginning of a file may be text, UTF-16 included.
func isText(head []byte) bool {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return true
	}
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 && utf8.FullRune(head) || r < ' ' && !strings.ContainsRune("\t\r\n\f", r) {
			return false
		}
		head = head[n:]
	}
	return true
}

// notBacpac says what a zip archive without a model is.
func notBacpac(archive *zip.Reader) string {
	for _, entry := range archive.File {
		switch dir, _, _ := strings.Cut(entry.Name, "/"); {
		case dir == "xl":
			return "this is an Excel workbook, not a bacpac"
		case dir == "word":
			return "this is a Word document, not a bacpac"
		case strings.HasSuffix(entry.Name, "/model.xml"):
			return "this is a zip archive with the parts of a bacpac in a folder: pack what is in the folder"
		case strings.HasSuffix(strings.ToLower(entry.Name), ".bacpac"):
			return "this is a zip archive with a bacpac in it: unpack it first"
		}
	}
	return "this is a zip archive, but no bacpac: it has no model.xml"
}

// fault makes a problem about the file.
func (f *File) fault(what, try string, cause error) error {
	return &problem.Error{Class: problem.Failed, Object: f.name, What: what, Try: try, Err: cause}
}

// partFault makes a problem of a part that cannot be opened or read.
func (f *File) partFault(name string, cause error) error {
	what, try := readFault(cause)
	return f.fault(printable(name)+" "+what, try, cause)
}

// readFault says what is wrong with a part, for an error of reading it.
func readFault(cause error) (what, try string) {
	var corrupt flate.CorruptInputError
	var path *fs.PathError
	switch {
	case errors.Is(cause, zip.ErrChecksum):
		return "is damaged: its checksum differs", copyAgain
	case errors.Is(cause, zip.ErrAlgorithm):
		return "is compressed in a way that this program does not read", "unpack the archive and pack it again as an ordinary zip"
	case errors.As(cause, &corrupt), errors.Is(cause, zip.ErrFormat):
		return "is damaged: its compressed bytes are invalid", copyAgain
	case errors.Is(cause, io.ErrUnexpectedEOF), errors.Is(cause, io.EOF):
		return "is cut off", copyAgain
	case errors.As(cause, &path):
		return "cannot be read: " + path.Err.Error(), "see that the disk or share is there, and start again"
	}
	return "cannot be read: " + cause.Error(), copyAgain
}
