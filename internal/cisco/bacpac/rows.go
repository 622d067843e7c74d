package bacpac

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"archivolt/internal/problem"
)

// rowReader reads the rows of one table, part after part.
type rowReader struct {
	file   *File
	table  *table
	fields []field
	parts  []part
	ctx    context.Context

	in    stream
	part  io.ReadCloser // nil between parts
	next  int           // the next of parts
	rows  int64         // read completely
	start int64         // of the row, in the part
	field string        // being read; "" between rows
}

// errBytes is a prefix or value that the model does not allow.
type errBytes string

func (e errBytes) Error() string { return string(e) }

// begin goes to the next row. At the end of the table ok is false.
func (r *rowReader) begin() (ok bool, err error) {
	r.field = ""
	for {
		if r.part == nil {
			if r.next == len(r.parts) {
				return false, nil
			}
			if r.part, err = r.parts[r.next].open(); err != nil {
				r.next++
				return false, r.fault(err)
			}
			r.next++
			r.in.reset(r.ctx, r.part)
		}
		if _, err := r.in.peek(1); err == nil {
			r.start = r.in.pos
			return true, nil
		} else if !errors.Is(err, io.EOF) {
			return false, r.fault(err)
		}
		if r.in.pos != r.parts[r.next-1].size {
			return false, r.fault(io.ErrUnexpectedEOF)
		}
		err = r.part.Close()
		r.part = nil
		if err != nil {
			return false, r.fault(err)
		}
	}
}

// close closes the part that is open.
func (r *rowReader) close() {
	if r.part != nil {
		r.part.Close() // nothing of it is needed
		r.part = nil
	}
}

// length reads how many bytes the value of f has; -1 is NULL.
func (r *rowReader) length(f *field) (int64, error) {
	r.field = f.name
	if f.prefix == 0 {
		return int64(f.width), nil
	}
	b, err := r.in.take(f.prefix)
	if err != nil {
		return 0, r.fault(err)
	}
	n := unsigned(b)
	if n == ^uint64(0)>>(64-8*f.prefix) {
		return -1, nil
	}
	if err := r.checkLength(f, n); err != nil {
		return 0, r.fault(err)
	}
	return int64(n), nil
}

// checkLength refuses what cannot be before memory is used for it.
func (r *rowReader) checkLength(f *field, n uint64) error {
	left := uint64(max(r.parts[r.next-1].size-r.in.pos, 0))
	switch {
	case f.prefix == 8 && n == ^uint64(0)-1:
		return errBytes("is written in pieces of unknown length, which this program does not read")
	case n > uint64(f.most):
		return errBytes(fmt.Sprintf("has the length %d, more than the %d that it may have", n, f.most))
	case f.width > 0 && n != uint64(f.width):
		return errBytes(fmt.Sprintf("has the length %d instead of %d", n, f.width))
	case f.kind == kindDecimal && n < 4:
		return errBytes(fmt.Sprintf("has the length %d, too short for its type", n))
	case f.kind == kindUTF16 && n%2 != 0:
		return errBytes(fmt.Sprintf("has the odd length %d, which UTF-16 cannot have", n))
	case n > left:
		return errBytes(fmt.Sprintf("has the length %d, and only %d bytes are left", n, left))
	case r.in.pos-r.start+int64(n) > MaxValue:
		return errBytes(fmt.Sprintf("makes the row longer than %d MiB", MaxValue>>20))
	}
	return nil
}

// skip passes over a value.
func (r *rowReader) skip(n int64) error {
	if err := r.in.skip(n); err != nil {
		return r.fault(err)
	}
	return nil
}

// text appends a value of n bytes as text. errValue, which is no fault of the
// file's order, is given as it is: the value is passed, and what was appended
// is meaningless.
func (r *rowReader) text(dst []byte, f *field, n int64) ([]byte, error) {
	if f.kind > kindBinary {
		b, err := r.in.take(int(n)) // 19 bytes at most
		if err != nil {
			return dst, r.fault(err)
		}
		return appendValue(dst, f, b)
	}
	from := len(dst)
	if f.kind == kindBinary {
		dst = append(dst, "0x"...)
	}
	for n > 0 {
		step := int(min(n, streamBuffer))
		b, err := r.in.peek(step)
		if err != nil {
			return dst, r.fault(err)
		}
		switch f.kind {
		case kindUTF16:
			if n > int64(step) && endsInHigh(b) {
				b = b[:step-2]
			}
			dst = appendUTF16(dst, b)
		case kindCodePage:
			dst = f.page.append(dst, b)
		case kindBinary:
			dst = appendHex(dst, b)
		}
		r.in.consume(len(b))
		n -= int64(len(b))
	}
	if f.kind == kindCodePage && !utf8.Valid(dst[from:]) {
		dst = append(dst[:from], bytes.ToValidUTF8(dst[from:], []byte("\ufffd"))...)
	}
	return dst, nil
}

// firstText is text for the first characters of UTF-16; cut tells that there
// were more.
func (r *rowReader) firstText(dst []byte, f *field, n int64, characters int) (_ []byte, cut bool, err error) {
	b, err := r.in.peek(int(min(n, int64(4*characters))))
	if err != nil {
		return dst, false, r.fault(err)
	}
	used := firstUTF16(b, characters)
	dst = appendUTF16(dst, b[:used])
	return dst, int64(used) < n, r.skip(n)
}

// end counts a row.
func (r *rowReader) end() { r.rows++ }

// fault makes a problem of an error inside the current part. A cancelled
// context is given as it is.
func (r *rowReader) fault(cause error) error {
	if r.ctx.Err() != nil && errors.Is(cause, r.ctx.Err()) {
		return cause
	}
	where := printable(r.parts[r.next-1].name)
	count := fmt.Sprintf("; %d rows were read before", r.rows)
	if r.rows == 1 {
		count = "; 1 row was read before"
	}
	var words errBytes
	what, try := "", copyAgain
	if errors.As(cause, &words) {
		what = fmt.Sprintf("%s does not fit its model: in row %d, the column %s %s", where, r.rows+1, printable(r.field), string(words))
		try = "copy the file again, or export the database again; if this stays so, please report it with the column's type"
	} else {
		what, try = readFault(cause)
		what = where + " " + what
		if r.field != "" {
			what += fmt.Sprintf(" (in row %d, column %s)", r.rows+1, printable(r.field))
		}
	}
	return &problem.Error{Class: problem.Failed, Object: r.file.name, What: what + count, Try: try, Err: cause}
}

// Bounds of a probe.
const (
	probeRows  = 200
	probeBytes = 1 << 20
)

// reader makes the reader of a table's rows. Where SqlPackage is known, or
// said, to write a type otherwise than documented, the beginning of the rows
// decides. note says so if it decides for another layout than the usual.
func (f *File) reader(ctx context.Context, t *table, target func(name string) int) (r *rowReader, note string, err error) {
	fields, differs, err := f.fields(t, asExported, target)
	if err != nil {
		return nil, "", err
	}
	r = &rowReader{file: f, table: t, fields: fields, parts: f.tables[t], ctx: ctx}
	if len(r.parts) > 0 && len(fields) == 0 {
		return nil, "", f.fault("this archive has rows for the table "+t.String()+", which has no columns", exportAgain, nil)
	}
	if !differs {
		return r, "", nil
	}
	for _, l := range layouts() {
		fields, _, err := f.fields(t, l, target)
		if err != nil {
			return nil, "", err
		}
		if slices.ContainsFunc(fields, func(f field) bool { return f.kind == kindCodePage && f.page == nil }) {
			continue // better the usual layout's error than text in a wrong code page
		}
		if fits, doubtful := r.probe(fields); fits && !doubtful {
			r.fields = fields
			if l != asExported {
				note = "has its rows " + l.String()
			}
			break
		}
	}
	return r, note, ctx.Err()
}

// probe reads the beginning of the rows with other fields. doubtful tells that
// there is text in columns of the char types and that all of it would be
// printable ASCII if it were not UTF-16, which UTF-16 hardly ever is.
func (r *rowReader) probe(fields []field) (fits, doubtful bool) {
	p := &rowReader{file: r.file, table: r.table, fields: fields, parts: r.parts, ctx: r.ctx}
	defer p.close()
	seen, ascii := false, true
	var text []byte
	for p.rows < probeRows && p.in.pos < probeBytes && p.next <= 1 {
		ok, err := p.begin()
		if err != nil {
			return false, false
		}
		if !ok {
			break
		}
		for i := range fields {
			f := &fields[i]
			n, err := p.length(f)
			if err != nil {
				return false, false
			}
			if n < 0 {
				continue
			}
			if f.kind == kindUTF16 && n > 0 && f.char {
				seen = true
				b, err := p.in.peek(int(min(n, streamBuffer)))
				ascii = ascii && err == nil && isASCII(b)
			}
			if f.kind <= kindBinary {
				err = p.skip(n)
			} else {
				text, err = p.text(text[:0], f, n)
			}
			if err != nil {
				return false, false
			}
		}
		p.end()
	}
	return true, seen && ascii
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Rows reads a table whole: fn gets the named columns of each row as text, nil
// for NULL and for columns that the table lacks. The cells are valid until fn
// returns. Without names it gives all columns that are in the data. Names
// match in any letter case; found is false if there is no such table. With an
// empty schema the table must be the only one of its name.
//
// An error of fn ends the reading and is returned.
func (f *File) Rows(ctx context.Context, schema, name string, columns []string, fn func(cells [][]byte) error) (found bool, err error) {
	t, err := f.find(schema, name)
	if t == nil || err != nil {
		return false, err
	}
	if columns == nil {
		for i := range t.columns {
			if c := &t.columns[i]; !c.computed() {
				columns = append(columns, c.name)
			}
		}
	}
	r, _, err := f.reader(ctx, t, func(name string) int {
		return slices.IndexFunc(columns, func(c string) bool { return strings.EqualFold(c, name) })
	})
	if err != nil {
		return true, err
	}
	defer r.close()
	cells := make([][]byte, len(columns))
	held := make([][]byte, len(columns)) // memory of the cells, kept from row to row
	for {
		ok, err := r.begin()
		if !ok || err != nil {
			return true, err
		}
		clear(cells)
		for i := range r.fields {
			f := &r.fields[i]
			n, err := r.length(f)
			switch {
			case err != nil:
				return true, err
			case n < 0:
			case f.target < 0:
				err = r.skip(n)
			default:
				held[f.target], err = r.text(held[f.target][:0], f, n)
				cells[f.target] = held[f.target]
				if cells[f.target] == nil {
					cells[f.target] = []byte{}
				}
				if errors.Is(err, errValue) {
					err = r.fault(errBytes("has a value that its type does not have"))
				}
			}
			if err != nil {
				return true, err
			}
		}
		r.end()
		if err := fn(cells); err != nil {
			return true, err
		}
	}
}
