package export

import (
	"bufio"
	_ "embed"
	"html/template"
	"io"
	"mime/quotedprintable"
	"time"
)

// EML writes one mail message for each slice (docs/format/exports.md): the
// transcript as text and as HTML. It needs no more memory than one slice.
type EML struct {
	files mailFolder
	look  Look
}

// NewEML returns a writer that makes its files in dir.
func NewEML(dir Folder, look Look) *EML { return &EML{newMailFolder(dir), look} }

// Write makes the file of one slice.
func (x *EML) Write(s *Slice) error {
	return x.files.create(s.Name()+".eml", func(w *bufio.Writer) error { return writeEML(w, s, &x.look) })
}

// Close ends the export.
func (x *EML) Close() error { return nil }

//go:embed eml.html
var emlHTML string

var emlTemplate = template.Must(template.New("eml").Parse(emlHTML))

func writeEML(w io.Writer, s *Slice, look *Look) error {
	t := newTalk(s, look, true)
	line := boundary(s, "eml")
	b := appendMailHeaders(nil, t, line, "alternative")
	b = append(b, "\r\n--"+line+"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"...)
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := writeText(w, t); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\r\n--"+line+"\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"); err != nil {
		return err
	}
	page := quotedprintable.NewWriter(w)
	err := emlTemplate.Execute(page, map[string]any{"Title": oneLine(look.conversation(s)) + ", " + s.day(), "Heading": t.heading(), "Views": t.views()})
	if err != nil {
		return err
	}
	if err := page.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(w, "\r\n--"+line+"--\r\n")
	return err
}

// appendMailHeaders appends the fields of RFC 5322 and MIME that all formats of
// mail share. From is who spoke first, To all others. A slice without dates has
// no Date, though RFC 5322 section 3.6 wants one: any would be a false one.
func appendMailHeaders(b []byte, t *talk, line, kind string) []byte {
	first := &actor{name: "unknown sender"}
	for _, e := range t.slice.Events {
		if a := t.cast.of(&e.Record); a != nil {
			first = a
			break
		}
	}
	b = appendMailboxes(b, "From", []mailbox{first.mailbox()})
	var others []mailbox
	for _, a := range t.cast.actors {
		if a != first {
			others = append(others, a.mailbox())
		}
	}
	if len(others) > 0 {
		b = appendMailboxes(b, "To", others)
	}
	b = appendHeader(b, "Subject", shorten(oneLine(t.look.conversation(t.slice)), maxHeaderText)+", "+t.slice.day())
	if begin, _ := t.look.span(t.slice); !begin.IsZero() {
		b = append(b, "Date: "+begin.In(t.look.zone()).Format(time.RFC1123Z)+"\r\n"...)
	}
	b = append(b, "Message-ID: <"+t.slice.ID()+"@archivolt"+noAddress+">\r\n"...)
	return append(b, "MIME-Version: 1.0\r\nContent-Type: multipart/"+kind+";\r\n boundary=\""+line+"\"\r\n"...)
}

// mailbox is an actor in a header.
func (a *actor) mailbox() mailbox {
	m := mailbox{name: a.name, address: a.address}
	if a.name == a.address {
		m.name = ""
	}
	return m
}
