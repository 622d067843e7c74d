package capture

import (
	"encoding/binary"
	"errors"

	"archivolt/internal/ledger"
)

// An entry of the spool is a list of fields, each behind its length: the entry
// of the ledger, then what belongs to it, a sealed record, the wraps of an
// epoch, or the name of the source that an event is about. The ledger has that
// name in the event's detail only.

// sourced is an event that is about one source.
type sourced struct {
	ledger.Event
	source string
}

// fields are the event's in the spool.
func (e *sourced) fields(id ledger.ID) [][]byte {
	return [][]byte{e.Append(nil, id), []byte(e.source)}
}

func encode(fields ...[]byte) []byte {
	size := 0
	for _, f := range fields {
		size += 4 + len(f)
	}
	b := make([]byte, 0, size)
	for _, f := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

var errPayload = errors.New("an entry of the spool is not what this program writes")

// decode splits an entry of the spool. The parts share its memory.
func decode(data []byte, id ledger.ID) (entry ledger.Entry, canonical []byte, rest [][]byte, err error) {
	for len(data) > 0 {
		if len(data) < 4 || int64(binary.BigEndian.Uint32(data)) > int64(len(data)-4) {
			return nil, nil, nil, errPayload
		}
		n := binary.BigEndian.Uint32(data)
		rest = append(rest, data[4:4+n:4+n])
		data = data[4+n:]
	}
	if len(rest) == 0 {
		return nil, nil, nil, errPayload
	}
	canonical, rest = rest[0], rest[1:]
	entry, err = ledger.Parse(canonical, id)
	if err != nil {
		return entry, canonical, rest, err
	}
	switch entry.(type) {
	case *ledger.Record:
		if len(rest) != 1 {
			err = errPayload
		}
	case *ledger.Event:
		if len(rest) > 1 {
			err = errPayload
		}
	}
	return entry, canonical, rest, err
}
