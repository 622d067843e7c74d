package csvfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// File is an exported table JM, open for reading. Row, ReadRecord and several
// scanners may be used at the same time.
type File struct {
	name     string
	file     io.ReaderAt
	closer   io.Closer
	size     int64
	encoding encoding
	dialect  Dialect
	notes    []string

	columns           []cisco.Column // of each field; UnknownColumn for those ignored
	spans             []span         // of each field, for fixed widths
	begin, end        int64          // bytes of the file that hold the rows
	header, underline []byte         // lines that sqlcmd may repeat; nil for other dialects

	long    sync.Map  // lengths of records that do not fit into a place, by offset
	fetched sync.Pool // of *fetched

	batchSize, maxRecord int // bytes; tests make them small
}

// Open recognises how the table in the file path is written and reads its
// header. For that it looks at the first 256 KiB, which sqlcmd may need for
// its header and underline, and at the last 4 KiB.
//
// A file that holds no such table gives a problem.Error, class Failed, that
// says what it is. One that cannot be read gives the fs.PathError.
func Open(path string) (*File, error) {
	// Opening a pipe would wait for somebody to write to it.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := refuseMode(path, info.Mode()); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	// Its size may have changed in between.
	if info, err = file.Stat(); err != nil {
		file.Close()
		return nil, err
	}
	f, err := newFile(path, file, info.Size())
	if err != nil {
		file.Close()
		return nil, err
	}
	f.closer = file
	return f, nil
}

func newFile(name string, file io.ReaderAt, size int64) (*File, error) {
	f := &File{name: name, file: file, size: size, end: size, batchSize: batchSize, maxRecord: MaxRecord}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) open() error {
	raw := make([]byte, min(f.size, sampleSize))
	if err := readAt(f.file, f.name, raw, 0); err != nil {
		return err
	}
	if err := refuseContent(f.name, raw); err != nil {
		return err
	}
	mark := 0
	f.encoding, mark = sniffEncoding(raw)
	f.begin = int64(mark)
	f.dialect.Encoding = f.encoding.String()
	if f.encoding != utf8Text {
		f.notes = append(f.notes, "is UTF-16")
	}
	whole := f.size <= sampleSize
	text := raw[mark:]
	if f.encoding != utf8Text {
		text, _ = f.encoding.decode(nil, text, whole)
	}
	if err := f.recognise(text, whole); err != nil {
		return err
	}
	return f.cutTrailer()
}

// Close closes the file. Its scanners cannot be used any more, records that
// they delivered can.
func (f *File) Close() error { return f.closer.Close() }

// Size returns the length of the file in bytes.
func (f *File) Size() int64 { return f.size }

// Dialect returns how the file is written.
func (f *File) Dialect() Dialect { return f.dialect }

// Notes returns what is unusual about the file, for people: "lacks the column
// THREAD_ID".
func (f *File) Notes() []string { return slices.Clone(f.notes) }

// ReadRecord reads one record again by its place in the file, as a scanner
// gave it. The memory of buf is reused where it suffices; the buffer returned
// is the one to pass next time, and holds the record's text. It is safe for
// concurrent use with different buffers.
func (f *File) ReadRecord(offset int64, length int32, buf []byte) (Record, []byte, error) {
	rec := Record{Offset: offset, Length: length}
	if offset < 0 || length < 0 || length > 2*MaxRecord || offset > f.size-int64(length) {
		return rec, buf, problem.New(problem.Failed, f.name,
			fmt.Sprintf("this file has no record of %d bytes at byte %d: it has %d bytes", length, offset, f.size),
			"the file was changed after it was read: start again")
	}
	n := int(length)
	need, text := n, 0
	if f.encoding != utf8Text {
		text = n + n/2 + 2
		need += text
	}
	if cap(buf) < need {
		buf = make([]byte, need)
	}
	buf = buf[:need]
	raw := buf[text:]
	if err := readAt(f.file, f.name, raw, offset); err != nil {
		return rec, buf, err
	}
	rec.Text = raw
	if f.encoding != utf8Text {
		rec.Text, _ = f.encoding.decode(buf[:0:text], raw, true)
	}
	return rec, buf, nil
}

// refuseMode says what is wrong with a file that is not an ordinary one.
func refuseMode(path string, mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return problem.New(problem.Failed, path, "this is a folder, not a file", "name the file in it")
	case !mode.IsRegular():
		return problem.New(problem.Failed, path, "this is a pipe or a device: the table is read at more than one place",
			"write it to a file first")
	}
	return nil
}
