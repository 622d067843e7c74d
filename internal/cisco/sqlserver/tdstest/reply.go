package tdstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Tokens and status bits of DONE ([MS-TDS] 2.2.7).
const (
	tokenReturnStatus = 0x79
	tokenColumns      = 0x81
	tokenError        = 0xaa
	tokenRow          = 0xd1
	tokenNBCRow       = 0xd2
	tokenEnvChange    = 0xe3
	tokenDone         = 0xfd
	tokenDoneProc     = 0xfe
	tokenDoneInProc   = 0xff

	doneMore      = 0x01
	doneError     = 0x02
	doneCount     = 0x10
	doneAttention = 0x20
)

// token writes a token with its length in two bytes.
func (c *client) token(kind byte, data []byte) {
	_, _ = c.Write(binary.LittleEndian.AppendUint16([]byte{kind}, uint16(len(data)))) // the end of the message tells
	_, _ = c.Write(data)
}

// shortText is text with its length in characters in one byte.
func shortText(text string) []byte {
	b := utf16le(text)
	return append([]byte{byte(len(b) / 2)}, b...)
}

func (c *client) envChange(kind byte, now, before []byte) {
	c.token(tokenEnvChange, append(append([]byte{kind}, now...), before...))
}

func (c *client) error(r *refusal) {
	b := binary.LittleEndian.AppendUint32(nil, uint32(r.number))
	b = append(b, 1, r.class)
	text := utf16le(r.text)
	b = append(binary.LittleEndian.AppendUint16(b, uint16(len(text)/2)), text...)
	b = append(append(b, shortText("standin")...), 0)
	c.token(tokenError, binary.LittleEndian.AppendUint32(b, 1))
}

func (c *client) done(kind byte, status uint16, rows int) {
	b := binary.LittleEndian.AppendUint16([]byte{kind}, status)
	b = binary.LittleEndian.AppendUint16(b, 0xc1) // SELECT
	_, _ = c.Write(binary.LittleEndian.AppendUint64(b, uint64(rows)))
}

// reply is the answer to one statement.
type reply struct {
	client  *client
	call    bool // of a procedure
	columns []columnType
	rows    int // of the current result set
	ended   bool
}

// How a statement goes on when something went wrong.
var (
	errCut   = errors.New("the connection was cut")
	errQuiet = errors.New("the answer ends early")
	errLose  = errors.New("the row is not sent")
	errGone  = errors.New("the client gave up")
)

// end ends the answer. A refusal is sent; other errors end the connection.
func (r *reply) end(err error) error {
	c := r.client
	var refused *refusal
	switch {
	case err == errGone:
		c.done(tokenDone, doneAttention, 0)
		return nil
	case errors.As(err, &refused):
		c.error(refused)
	case err != nil && err != errQuiet:
		return err
	}
	status := uint16(0)
	if refused != nil {
		status = doneError
	}
	if r.call {
		if refused != nil {
			c.done(tokenDoneInProc, doneError|doneMore, 0)
		}
		_, _ = c.Write([]byte{tokenReturnStatus, 0, 0, 0, 0})
		c.done(tokenDoneProc, status, 0)
	} else if refused != nil || !r.ended {
		c.done(tokenDone, status, 0)
	}
	return nil
}

// finish ends a result set. The last one of a batch ends the answer.
func (r *reply) finish(last bool) {
	status := uint16(doneCount)
	if r.call || !last {
		status |= doneMore
	}
	kind := byte(tokenDone)
	if r.call {
		kind = tokenDoneInProc
	}
	r.client.done(kind, status, r.rows)
	r.ended = last
}

// columnType is a type as it goes over the wire.
type columnType struct {
	name  string // nvarchar, ntext, int, bigint, bit, datetime, smalldatetime, datetime2
	size  int    // characters of nvarchar, -1 is max
	scale int    // of datetime2
}

var collation = []byte{0x09, 0x04, 0xd0, 0x00, 0x34}

// begin describes the columns of a result set.
func (r *reply) begin(columns ...columnType) error {
	r.columns, r.rows = columns, 0
	b := binary.LittleEndian.AppendUint16([]byte{tokenColumns}, uint16(len(columns)))
	for _, t := range columns {
		b = append(b, 0, 0, 0, 0, 9, 0) // user type; nullable and writable
		switch t.name {
		case "nvarchar":
			size := uint16(2 * t.size)
			if t.size < 0 {
				size = 0xffff
			}
			b = append(binary.LittleEndian.AppendUint16(append(b, 0xe7), size), collation...)
		case "ntext":
			b = append(binary.LittleEndian.AppendUint32(append(b, 0x63), math.MaxInt32-1), collation...)
			b = append(b, 1, 2, 0)
			b = append(b, utf16le("JM")...)
		case "int", "bigint":
			b = append(b, 0x26, t.width())
		case "bit":
			b = append(b, 0x68, 1)
		case "datetime", "smalldatetime":
			b = append(b, 0x6f, t.width())
		case "datetime2":
			b = append(b, 0x2a, byte(t.scale))
		default:
			return fmt.Errorf("type %s does not go over this wire", t.name)
		}
		b = append(b, 0) // no name
	}
	_, err := r.client.Write(b)
	return err
}

// width is how many bytes a value of fixed length has.
func (t columnType) width() byte {
	switch t.name {
	case "int", "smalldatetime":
		return 4
	case "bit":
		return 1
	}
	return 8
}

// row sends values: nil, []byte as UTF-16LE, string, int64, bool. Dates are text of
// the form 2006-01-02 15:04:05.999. Every other row is an NBCROW, and every
// other long value does not say how long it is.
func (r *reply) row(values ...any) error {
	r.rows++
	b := []byte{tokenRow}
	compressed := r.rows%2 == 0
	if compressed {
		nulls := make([]byte, (len(values)+7)/8)
		for i, v := range values {
			if v == nil {
				nulls[i/8] |= 1 << (i % 8)
			}
		}
		b = append([]byte{tokenNBCRow}, nulls...)
	}
	for i, v := range values {
		if v == nil && compressed {
			continue
		}
		var err error
		if b, err = r.columns[i].appendValue(b, v, r.rows%4 > 1); err != nil {
			return err
		}
	}
	_, err := r.client.Write(b)
	return err
}

func (t columnType) appendValue(b []byte, v any, unknownLength bool) ([]byte, error) {
	if text, ok := v.(string); ok && (t.name == "nvarchar" || t.name == "ntext") {
		v = utf16le(text)
	}
	switch v := v.(type) {
	case nil:
		switch {
		case t.name == "nvarchar" && t.size < 0:
			return binary.LittleEndian.AppendUint64(b, math.MaxUint64), nil
		case t.name == "nvarchar":
			return append(b, 0xff, 0xff), nil
		}
		return append(b, 0), nil
	case []byte:
		return t.appendText(b, v, unknownLength), nil
	case int64:
		if t.width() == 4 {
			return binary.LittleEndian.AppendUint32(append(b, 4), uint32(v)), nil
		}
		return binary.LittleEndian.AppendUint64(append(b, 8), uint64(v)), nil
	case bool:
		if v {
			return append(b, 1, 1), nil
		}
		return append(b, 1, 0), nil
	case string:
		return t.appendDate(b, v)
	}
	return nil, fmt.Errorf("a value of type %T does not go over this wire", v)
}

// appendText writes UTF-16LE, long values in chunks.
func (t columnType) appendText(b, text []byte, unknownLength bool) []byte {
	switch {
	case t.name == "ntext":
		b = append(b, 16)
		b = append(b, make([]byte, 16+8)...) // text pointer and timestamp
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
	case t.size >= 0:
		return append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
	}
	total := uint64(len(text))
	if unknownLength {
		total = math.MaxUint64 - 1
	}
	b = binary.LittleEndian.AppendUint64(b, total)
	for len(text) > 0 {
		n := min(len(text), 7999) // odd, so that chunks cut characters in two
		b = append(binary.LittleEndian.AppendUint32(b, uint32(n)), text[:n]...)
		text = text[n:]
	}
	return append(b, 0, 0, 0, 0)
}
