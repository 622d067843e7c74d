// Package ledger is the log that an archive of ours is chained into: what
// entries there are and their canonical bytes, the Merkle tree over them (RFC
// 6962 section 2.1), and the signed checkpoint of its head. It is pure: what it
// makes is stored by others. docs/format/envelope.md is normative.
//
// Compatibility: entries of version 1 are read for ever. Anything else is an
// error, never a guess.
package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Version begins every entry.
const Version = "archivolt ledger v1"

// Sizes in bytes.
const (
	IDSize    = 16  // of an archive's id
	HashSize  = 32  // of SHA-256
	TokenSize = 8   // of a participant token
	MaxTokens = 64  // of a record
	MaxSource = 255 // of the text that names a source
	MaxText   = 64 << 10
)

// ID names an archive: random bytes, made with it.
type ID [IDSize]byte

// String writes the id in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String writes.
func ParseID(text string) (id ID, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != IDSize {
		return id, errors.New("this is no id of an archive, which has 32 hex digits")
	}
	return ID(b), nil
}

// How sources of records are named.
const (
	QueuePrefix      = "queue/"      // host and queue of a server that numbers its copies
	ConnectionPrefix = "connection/" // connection to one that does not: the number is the ordinal on it
)

// Numbered tells whether a source numbers its copies itself, so that a number
// that comes again is a repetition.
func Numbered(source string) bool { return !strings.HasPrefix(source, ConnectionPrefix) }

// Kind says what an entry records.
type Kind string

// The kinds of version 1.
const (
	KindRecord Kind = "record" // a message
	KindEpoch  Kind = "epoch"  // a new data key
	KindEvent  Kind = "event"  // something in the life of the archive
)

// Entry is a Record, an Epoch or an Event.
type Entry interface {
	// Append adds the canonical bytes of the entry in archive id to buf.
	Append(buf []byte, id ID) []byte
}

// Record is the entry of a sealed message.
type Record struct {
	Epoch      uint64
	Source     string // who numbered it
	Number     uint64 // delivery number within Source, from 1
	Time       int64  // of its arrival, milliseconds since 1970 in UTC
	Tokens     []byte // of its participants, TokenSize each, ascending, none twice
	Commitment [HashSize]byte
	Sealed     [HashSize]byte // SHA-256 of nonce and ciphertext
}

// Epoch is the entry of a data key. No record of an epoch stands before it.
type Epoch struct {
	Number     uint64 // from 1, consecutive
	Time       int64  // milliseconds since 1970 in UTC
	Commitment [HashSize]byte
	Class      string           // "pq", "classic", or "pq classic" where both were allowed
	Recipients [][HashSize]byte // fingerprints, ascending
	Writer     string           // program and version
}

// Event is the entry of anything else that an auditor must be able to see,
// silence above all.
type Event struct {
	Time   int64 // milliseconds since 1970 in UTC
	Name   Name
	Detail string // for people, without content of messages; may be empty
}

// Name says what happened.
type Name string

// The events of version 1. Readers keep a name that they do not know.
const (
	Created       Name = "created"            // the archive was made
	Started       Name = "started"            // the writer came up
	Stopped       Name = "stopped"            // it went down in order
	Connected     Name = "connected"          // a source came up
	Lost          Name = "lost"               // a source went away
	Gap           Name = "gap"                // delivery numbers are missing
	SpoolFull     Name = "spool-full"         // nothing more was acknowledged
	SpoolFree     Name = "spool-free"         // acknowledging again
	Recipients    Name = "recipients-changed" // other people can read from here on
	Configuration Name = "configuration"      // its hash
	Heartbeat     Name = "heartbeat"          // hourly: nothing happened, and somebody was there
	Missing       Name = "entries-missing"    // acknowledged entries were taken out of the spool
	AnchorMissing Name = "anchor-missing"     // the writer started without its anchor
)

// Append adds the canonical bytes of the record.
func (r *Record) Append(buf []byte, id ID) []byte {
	buf = begin(buf, id, KindRecord)
	buf = number(buf, r.Epoch)
	buf = field(buf, r.Source)
	buf = number(buf, r.Number)
	buf = number(buf, uint64(r.Time))
	buf = field(buf, r.Tokens)
	buf = field(buf, r.Commitment[:])
	return field(buf, r.Sealed[:])
}

// Append adds the canonical bytes of the epoch.
func (e *Epoch) Append(buf []byte, id ID) []byte {
	buf = begin(buf, id, KindEpoch)
	buf = number(buf, e.Number)
	buf = number(buf, uint64(e.Time))
	buf = field(buf, e.Commitment[:])
	buf = field(buf, e.Class)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(e.Recipients)*HashSize))
	for _, r := range e.Recipients {
		buf = append(buf, r[:]...)
	}
	return field(buf, e.Writer)
}

// Append adds the canonical bytes of the event.
func (e *Event) Append(buf []byte, id ID) []byte {
	buf = begin(buf, id, KindEvent)
	buf = number(buf, uint64(e.Time))
	buf = field(buf, e.Name)
	return field(buf, e.Detail)
}

func begin(buf []byte, id ID, kind Kind) []byte {
	buf = field(buf, Version)
	buf = field(buf, id[:])
	return field(buf, kind)
}

// field adds a length, 32 bits with the highest byte first, and the bytes.
func field[T ~string | ~[]byte](buf []byte, value T) []byte {
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(value)))
	return append(buf, value...)
}

func number(buf []byte, n uint64) []byte {
	buf = binary.BigEndian.AppendUint32(buf, 8)
	return binary.BigEndian.AppendUint64(buf, n)
}

// Parse reads the canonical bytes of an entry of archive id. Whatever it
// takes, Append writes again byte for byte. The entry shares no memory with
// data.
func Parse(data []byte, id ID) (Entry, error) {
	p := parser{rest: data}
	if v := p.text(len(Version)); p.err == nil && v != Version {
		return nil, errors.New("the entry has a version that this program does not know")
	}
	if got := p.fixed(IDSize); p.err == nil && ID(got) != id {
		return nil, errors.New("the entry belongs to another archive")
	}
	var entry Entry
	switch kind := Kind(p.text(16)); {
	case p.err != nil:
	case kind == KindRecord:
		entry = p.record()
	case kind == KindEpoch:
		entry = p.epoch()
	case kind == KindEvent:
		entry = p.event()
	default:
		return nil, errors.New("the entry is of a kind that this program does not know")
	}
	if p.err == nil && len(p.rest) > 0 {
		p.err = fmt.Errorf("the entry has %d bytes too many", len(p.rest))
	}
	if p.err != nil {
		return nil, p.err
	}
	return entry, nil
}

// parser reads fields until the first error.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) field(most int) []byte {
	if p.err != nil {
		return nil
	}
	if len(p.rest) < 4 {
		p.err = errors.New("the entry is cut off")
		return nil
	}
	n := int64(binary.BigEndian.Uint32(p.rest))
	switch {
	case n > int64(most):
		p.err = errors.New("a field of the entry is too long")
	case n > int64(len(p.rest)-4):
		p.err = errors.New("the entry is cut off")
	default:
		value := p.rest[4 : 4+n]
		p.rest = p.rest[4+n:]
		return value
	}
	return nil
}

func (p *parser) text(most int) string { return string(p.field(most)) }

func (p *parser) fixed(size int) []byte {
	value := p.field(size)
	if p.err == nil && len(value) != size {
		p.err = errors.New("a field of the entry is too short")
	}
	if p.err != nil {
		return make([]byte, size)
	}
	return value
}

func (p *parser) number() uint64 { return binary.BigEndian.Uint64(p.fixed(8)) }

func (p *parser) record() *Record {
	r := &Record{Epoch: p.number(), Source: p.text(MaxSource), Number: p.number(), Time: int64(p.number()), Tokens: slices.Clone(p.field(MaxTokens * TokenSize))}
	r.Commitment, r.Sealed = [HashSize]byte(p.fixed(HashSize)), [HashSize]byte(p.fixed(HashSize))
	if p.err == nil && !ascending(r.Tokens, TokenSize) {
		p.err = errors.New("the tokens of the entry are not in order")
	}
	return r
}

func (p *parser) epoch() *Epoch {
	e := &Epoch{Number: p.number(), Time: int64(p.number()), Commitment: [HashSize]byte(p.fixed(HashSize)), Class: p.text(64)}
	list := p.field(MaxText)
	if p.err == nil && !ascending(list, HashSize) {
		p.err = errors.New("the recipients of the entry are not in order")
	}
	if p.err == nil {
		for one := range slices.Chunk(list, HashSize) {
			e.Recipients = append(e.Recipients, [HashSize]byte(one))
		}
	}
	e.Writer = p.text(MaxText)
	return e
}

func (p *parser) event() *Event {
	return &Event{Time: int64(p.number()), Name: Name(p.text(64)), Detail: p.text(MaxText)}
}

// ascending tells whether list holds whole values of size bytes, each greater
// than the one before.
func ascending(list []byte, size int) bool {
	if len(list)%size != 0 {
		return false
	}
	for i := size; i < len(list); i += size {
		if slices.Compare(list[i-size:i], list[i:i+size]) >= 0 {
			return false
		}
	}
	return true
}
