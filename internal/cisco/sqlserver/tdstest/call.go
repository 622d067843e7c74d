package tdstest

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// executeSQL reads a call of sp_executesql: the statement, the declaration of
// its parameters, and their values.
func executeSQL(b []byte) (text string, args []any, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the call ends early")
		}
	}()
	if !bytes.HasPrefix(b, []byte{0xff, 0xff, 10, 0}) {
		return "", nil, fmt.Errorf("not sp_executesql")
	}
	b = b[6:] // with the flags
	var values []any
	for len(b) > 0 {
		b = b[1+2*int(b[0])+1:] // name and flags
		var v any
		if v, b, err = parameter(b); err != nil {
			return "", nil, err
		}
		values = append(values, v)
	}
	text, _ = values[0].(string)
	return text, values[2:], nil
}

// parameter reads one value with its type.
func parameter(b []byte) (v any, rest []byte, err error) {
	switch b[0] {
	case 0x26:
		if b[1] != 8 || b[2] != 8 {
			return nil, nil, fmt.Errorf("an integer of %d bytes", b[2])
		}
		return int64(binary.LittleEndian.Uint64(b[3:])), b[11:], nil
	case 0xe7:
		long := binary.LittleEndian.Uint16(b[1:]) == 0xffff
		b = b[3+len(collation):]
		if !long {
			n := int(binary.LittleEndian.Uint16(b))
			return decode(b[2 : 2+n]), b[2+n:], nil
		}
		var text []byte
		for b = b[8:]; ; {
			n := int(binary.LittleEndian.Uint32(b))
			b = b[4:]
			if n == 0 {
				return decode(text), b, nil
			}
			text, b = append(text, b[:n]...), b[n:]
		}
	}
	return nil, nil, fmt.Errorf("a parameter of type %#x", b[0])
}
