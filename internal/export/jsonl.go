package export

import (
	"bufio"
	"io"
	"unicode/utf8"
)

// JSONL writes one record on each line (docs/format/jsonl.md).
type JSONL struct {
	w *bufio.Writer
}

// NewJSONL returns a writer to w.
func NewJSONL(w io.Writer) *JSONL { return &JSONL{w: bufio.NewWriterSize(w, 256<<10)} }

// Write writes one record.
func (j *JSONL) Write(r *Record) error {
	b := AppendJSONL(j.w.AvailableBuffer(), r)
	if len(b) > j.w.Available() { // no line is cut where the output breaks off
		if err := j.w.Flush(); err != nil {
			return err
		}
	}
	_, err := j.w.Write(b)
	return err
}

// AppendJSONL appends the line of a record, LF included, to b. It is written by
// hand because every row of an archive passes here; a test compares it with
// encoding/json.
func AppendJSONL(b []byte, r *Record) []byte {
	b = append(b, '{')
	b = appendField(b, "time", r.Time)
	b = appendField(b, "from", r.From)
	b = appendField(b, "to", r.To)
	b = appendField(b, "room", r.Room)
	if r.RoomWas != nil {
		b = appendField(b, "room_was", r.RoomWas)
	}
	if r.Nick != nil {
		b = appendField(b, "nick", r.Nick)
	}
	b = appendField(b, "kind", &r.Kind)
	b = appendField(b, "stanza_id", r.StanzaID)
	b = appendField(b, "refers_to", r.RefersTo)
	b = appendField(b, "thread", r.Thread)
	b = appendField(b, "subject", r.Subject)
	b = appendField(b, "body", r.Body)
	b = appendField(b, "body_from", r.BodyFrom)
	if r.StanzaBody != nil {
		b = appendField(b, "stanza_body", r.StanzaBody)
	}
	if len(r.Reactions) > 0 {
		b = appendList(b, "reactions", r.Reactions)
	}
	if len(r.Files) > 0 {
		b = appendList(b, "files", r.Files)
	}
	b = appendList(b, "recipients", r.Recipients)
	b = appendField(b, "direction", r.Direction)
	b = append(b, `,"copies":`...)
	b = appendInt(b, r.Copies)
	b = append(b, `,"history":`...)
	b = appendBool(b, r.History)
	b = appendField(b, "status", &r.Status)
	b = appendField(b, "reason", r.Reason)
	b = appendField(b, "key", r.Key)
	if r.Table != "" {
		b = appendField(b, "table", &r.Table)
	}
	b = appendField(b, "row", &r.Row)
	return append(b, '}', '\n')
}

// Close writes out what is buffered; the file stays open.
func (j *JSONL) Close() error { return j.w.Flush() }

func appendField(b []byte, name string, value *string) []byte {
	b = appendName(b, name)
	if value == nil {
		return append(b, "null"...)
	}
	return appendString(b, *value)
}

func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func appendList(b []byte, name string, values []string) []byte {
	b = append(appendName(b, name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// appendString writes a JSON string (RFC 8259 section 7). Invalid UTF-8
// becomes U+FFFD, as in encoding/json; the separators U+2028 and U+2029 are
// escaped for readers that take them for line ends.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[begin:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			case '\b':
				b = append(b, `\b`...)
			case '\f':
				b = append(b, `\f`...)
			default:
				b = append(b, `\u00`...)
				b = append(b, hex[c>>4], hex[c&15])
			}
			i++
			begin = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r == 0x2028 || r == 0x2029 {
			b = append(b, s[begin:i]...)
			switch r {
			case 0x2028:
				b = append(b, `\u2028`...)
			case 0x2029:
				b = append(b, `\u2029`...)
			default:
				b = append(b, `\ufffd`...)
			}
			begin = i + n
		}
		i += n
	}
	b = append(b, s[begin:]...)
	return append(b, '"')
}

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}
