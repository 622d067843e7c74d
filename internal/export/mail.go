package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of what goes into a header; the transcript has everything.
const (
	maxHeaderText  = 500        // bytes of a subject or of a name
	maxHeaderField = 32 << 10   // bytes of a list
	maxWord        = 60         // letters of an unencoded word, so that lines stay short
	maxLine        = 76         // RFC 2047 section 2; RFC 5322 allows 998
	noAddress      = ".invalid" // RFC 2606: belongs to nobody
)

// mailbox is a person in a header (RFC 5322 section 3.4).
type mailbox struct {
	name    string // may be empty
	address string // bare XMPP address
}

// appendHeader appends an unstructured field. Whatever the value, the field
// ends where it should: line ends and control characters are shown as code
// points, and what is not plain ASCII is encoded (RFC 2047).
func appendHeader(b []byte, name, value string) []byte {
	value = shorten(oneLine(value), maxHeaderField)
	b = append(b, name...)
	b = append(b, ':', ' ')
	if !isPlain(value) {
		b = appendEncoded(b, value, len(name)+2)
		return append(b, '\r', '\n')
	}
	at := len(name) + 2
	for i, word := range strings.Split(value, " ") {
		if i > 0 && at+1+len(word) > maxLine {
			b = append(b, '\r', '\n')
			at = 0
		}
		if i > 0 {
			b = append(b, ' ')
			at++
		}
		b = append(b, word...)
		at += len(word)
	}
	return append(b, '\r', '\n')
}

// isPlain tells whether a text can stand in a header as it is: printable ASCII,
// nothing that a reader would decode, no blank that folding could lose.
func isPlain(s string) bool {
	word := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			if word == 0 {
				return false
			}
			word = 0
		case c < ' ' || c > '~':
			return false
		default:
			if word++; word > maxWord {
				return false
			}
		}
	}
	return (word > 0 || s == "") && !strings.Contains(s, "=?")
}

// appendEncoded appends encoded words, folded; at is how much of the line is
// taken. Every word holds whole characters.
func appendEncoded(b []byte, s string, at int) []byte {
	const before, after = "=?utf-8?B?", "?="
	for first := true; first || s != ""; first = false {
		room := (maxLine - at - len(before) - len(after)) / 4 * 3
		if !first || room < utf8.UTFMax {
			b = append(b, '\r', '\n', ' ')
			room = (maxLine - 1 - len(before) - len(after)) / 4 * 3
		}
		n := min(len(s), room)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		b = append(b, before...)
		b = base64.StdEncoding.AppendEncode(b, []byte(s[:n]))
		b = append(b, after...)
		s = s[n:]
	}
	return b
}

// appendMailboxes appends a field of addresses, each in a line of its own, as
// many as fit into a header. An address that mail does not know becomes part of
// the name, beside one that belongs to nobody.
func appendMailboxes(b []byte, name string, list []mailbox) []byte {
	b = append(b, name...)
	b = append(b, ':')
	begin := len(b)
	for i, m := range list {
		if len(b)-begin > maxHeaderField {
			break
		}
		if i > 0 {
			b = append(b, ",\r\n"...)
		}
		b = append(b, ' ')
		spec, ok := addrSpec(m.address)
		shown := m.name
		if !ok && m.address != "" {
			if shown != "" && shown != m.address {
				shown += " "
			} else {
				shown = ""
			}
			shown += "(" + m.address + ")"
		}
		shown = shorten(oneLine(shown), maxHeaderText)
		switch {
		case shown == "":
		case isPlain(shown) && len(shown) <= maxWord:
			b = append(b, '"')
			b = appendQuoted(b, shown)
			b = append(b, "\"\r\n "...)
		default:
			b = appendEncoded(b, shown, len(name)+2)
			b = append(b, "\r\n "...)
		}
		b = append(b, '<')
		b = append(b, spec...)
		b = append(b, '>')
	}
	return append(b, '\r', '\n')
}

func appendQuoted(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return b
}

// addrSpec is an address as a header holds it (RFC 5322 section 3.4.1), with
// its local part quoted if need be. For one that is no mail address it returns
// false and an address below .invalid that is the same in every file.
func addrSpec(address string) (string, bool) {
	at := strings.LastIndexByte(address, '@')
	local, domain := address[:max(at, 0)], address[at+1:]
	if at > 0 && len(address) <= 254 && isDomain(domain) && isPrintable(local) && !strings.Contains(address, "=?") {
		if isDotAtom(local) {
			return address, true
		}
		quoted := appendQuoted([]byte{'"'}, local)
		return string(append(quoted, '"')) + "@" + domain, true
	}
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:8]) + "@participant" + noAddress, false
}

func isPrintable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func isDotAtom(s string) bool {
	return !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && !strings.Contains(s, "..") &&
		strings.IndexFunc(s, func(r rune) bool {
			return !isAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r)
		}) < 0
}

func isDomain(s string) bool {
	for _, label := range strings.Split(s, ".") {
		if label == "" || strings.IndexFunc(label, func(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '_' }) >= 0 {
			return false
		}
	}
	return true
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// boundary divides the parts of a message. Neither Base64 nor quoted-printable
// can hold it (RFC 2045 section 6.7).
func boundary(s *Slice, level string) string { return "=_" + level + s.ID() }

// mailFolder makes the files of an export that has one for each slice.
type mailFolder struct {
	dir Folder
	w   *bufio.Writer // reused
}

func newMailFolder(dir Folder) mailFolder {
	return mailFolder{dir, bufio.NewWriterSize(io.Discard, 64<<10)}
}

// create makes a file and lets write fill it.
func (m mailFolder) create(name string, write func(w *bufio.Writer) error) error {
	f, err := m.dir.Create(name)
	if err != nil {
		return err
	}
	m.w.Reset(f)
	err = write(m.w)
	if err == nil {
		err = m.w.Flush()
	}
	m.w.Reset(io.Discard) // a file that failed keeps no text here
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// base64Lines breaks what a Base64 encoder writes into lines (RFC 2045 section 6.8).
type base64Lines struct {
	w  io.Writer
	at int // in the line
}

// Write implements io.Writer.
func (l *base64Lines) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(maxLine-l.at, len(p)-done)
		if _, err := l.w.Write(p[done : done+n]); err != nil {
			return done, err
		}
		done += n
		if l.at += n; l.at == maxLine {
			l.at = 0
			if _, err := io.WriteString(l.w, "\r\n"); err != nil {
				return done, err
			}
		}
	}
	return len(p), nil
}
