package export

import (
	"archive/zip"
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/problem"
)

// maxRSMF is the size of the largest file that Relativity processes.
const maxRSMF = 2 << 30

// RSMF writes Relativity's short message format 2.0.0, one file for each slice
// (docs/format/exports.md). It needs no more memory than one slice.
type RSMF struct {
	files mailFolder
	look  Look
	limit int64 // maxRSMF, less in tests
}

// NewRSMF returns a writer that makes its files in dir.
func NewRSMF(dir Folder, look Look) *RSMF {
	return &RSMF{files: newMailFolder(dir), look: look, limit: maxRSMF}
}

// Write makes the file of one slice. A slice that needs more than 2 GB is an
// error, since no review platform would take the file.
func (x *RSMF) Write(s *Slice) error {
	name := s.Name() + ".rsmf"
	return x.files.create(name, func(w *bufio.Writer) error {
		limited := &limitedWriter{w: w, left: x.limit, name: name}
		return writeRSMF(limited, s, &x.look)
	})
}

// Close ends the export.
func (x *RSMF) Close() error { return nil }

// limitedWriter refuses to write more than fits into a file.
type limitedWriter struct {
	w    io.Writer
	left int64
	name string
}

// Write implements io.Writer.
func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, problem.New(problem.Failed, l.name, "one day of this conversation is more than an RSMF file holds (2 GB)",
			"Narrow the export with --since and --until, or use --format jsonl")
	}
	return l.w.Write(p)
}

func writeRSMF(w io.Writer, s *Slice, look *Look) error {
	t := newTalk(s, look, false)
	line := boundary(s, "rsmf")
	b := appendMailHeaders(nil, t, line, "mixed")
	b = appendRSMFHeaders(b, t)
	b = append(b, "\r\n--"+line+"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"...)
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := writeText(w, t); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\r\n--"+line+"\r\nContent-Type: application/zip; name=\"rsmf.zip\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"rsmf.zip\"\r\n\r\n"); err != nil {
		return err
	}
	if err := writeRSMFZip(w, t); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\r\n--"+line+"--\r\n")
	return err
}

// writeText writes a transcript in quoted-printable.
func writeText(w io.Writer, t *talk) error {
	text := quotedprintable.NewWriter(w)
	b := t.appendHeading(nil)
	for v := range t.views() {
		if _, err := text.Write(b); err != nil {
			return err
		}
		b = appendText(b[:0], v)
	}
	if _, err := text.Write(b); err != nil {
		return err
	}
	return text.Close()
}

// appendRSMFHeaders appends what Relativity maps to fields of its own.
func appendRSMFHeaders(b []byte, t *talk) []byte {
	b = appendHeader(b, "X-RSMF-Version", "2.0.0")
	b = appendHeader(b, "X-RSMF-Generator", "Archivolt")
	b = appendHeader(b, "X-RSMF-Application", platform)
	if begin, end := t.look.span(t.slice); !begin.IsZero() {
		b = appendHeader(b, "X-RSMF-BeginDate", t.look.stamp(begin))
		b = appendHeader(b, "X-RSMF-EndDate", t.look.stamp(end))
	}
	b = appendHeader(b, "X-RSMF-EventCount", strconv.Itoa(len(t.slice.Events)))
	b = appendHeader(b, "X-RSMF-AttachmentCount", "0")
	b = appendHeader(b, "X-RSMF-EventCollectionID", t.slice.collection())
	b = appendHeader(b, "X-RSMF-ParticipantCount", strconv.Itoa(len(t.cast.actors)))
	var names []string
	for _, a := range t.cast.actors {
		name := a.shown
		if strings.ContainsAny(name, `,"`) { // a comma stands between two names
			name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
		names = append(names, name)
	}
	return appendHeader(b, "X-RSMF-Participants", strings.Join(names, ", "))
}

func writeRSMFZip(w io.Writer, t *talk) error {
	lines := base64.NewEncoder(base64.StdEncoding, &base64Lines{w: w})
	z := zip.NewWriter(lines)
	// The date is the zip format's first: the same slice gives the same bytes.
	entry, err := z.CreateHeader(&zip.FileHeader{Name: "rsmf_manifest.json", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		return err
	}
	if err := writeManifest(entry, t); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return lines.Close()
}

// The types below are those of rsmf_schema_2_0_0.json, as far as they are used.
type rsmfParticipant struct {
	ID        string       `json:"id"`
	Display   string       `json:"display"`
	Email     string       `json:"email,omitempty"`
	AccountID string       `json:"account_id,omitempty"`
	Custom    []rsmfCustom `json:"custom,omitempty"`
}

type rsmfConversation struct {
	ID           string       `json:"id"`
	Display      string       `json:"display"`
	Platform     string       `json:"platform"`
	Type         string       `json:"type"`
	Participants []string     `json:"participants"`
	Custom       []rsmfCustom `json:"custom,omitempty"`
}

type rsmfEvent struct {
	ID           string         `json:"id"`
	Type         string         `json:"type"`
	Conversation string         `json:"conversation"`
	Participant  string         `json:"participant,omitempty"`
	Timestamp    string         `json:"timestamp,omitempty"`
	Parent       string         `json:"parent,omitempty"`
	Body         string         `json:"body"`
	Deleted      bool           `json:"deleted,omitempty"`
	Edits        []rsmfEdit     `json:"edits,omitempty"`
	Reactions    []rsmfReaction `json:"reactions,omitempty"`
	Custom       []rsmfCustom   `json:"custom,omitempty"`
}

type rsmfEdit struct {
	Participant string  `json:"participant"`
	Timestamp   string  `json:"timestamp,omitempty"`
	Previous    *string `json:"previous,omitempty"`
	New         *string `json:"new,omitempty"`
}

type rsmfReaction struct {
	Value        string   `json:"value"`
	Count        int      `json:"count"`
	Participants []string `json:"participants,omitempty"`
}

type rsmfCustom struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const conversationID = "C1"

// writeManifest writes rsmf_manifest.json, each event in a line of its own.
func writeManifest(w io.Writer, t *talk) error {
	var people []rsmfParticipant
	c := rsmfConversation{ID: conversationID, Display: t.look.conversation(t.slice), Platform: platform, Type: "direct", Participants: []string{}}
	if t.slice.Room != "" {
		c.Type = "channel"
	}
	for _, a := range t.cast.actors {
		p := rsmfParticipant{ID: a.id, Display: a.name, AccountID: a.address}
		if spec, ok := addrSpec(a.address); ok && spec == a.address {
			p.Email = spec
		}
		p.Custom = appendCustom(p.Custom, "nick", a.nick)
		people = append(people, p)
		c.Participants = append(c.Participants, a.id)
	}
	c.Custom = appendCustom(c.Custom, "room", t.slice.Room)
	c.Custom = appendCustom(c.Custom, "case", t.look.Title)
	c.Custom = appendCustom(c.Custom, "day", t.slice.day())
	c.Custom = appendCustom(c.Custom, "time-zone", t.look.zone().String())
	if people == nil {
		people = []rsmfParticipant{}
	}

	write := func(text string) error { _, err := io.WriteString(w, text); return err }
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := write(`{"version":"2.0.0","eventcollectionid":"` + t.slice.collection() + `","participants":`); err != nil {
		return err
	}
	if err := enc.Encode(people); err != nil {
		return err
	}
	if err := write(`,"conversations":`); err != nil {
		return err
	}
	if err := enc.Encode([]rsmfConversation{c}); err != nil {
		return err
	}
	before := `,"events":[`
	if len(t.slice.Events) == 0 {
		if err := write(before); err != nil {
			return err
		}
	}
	clear(t.ids)
	for i, e := range t.slice.Events {
		if err := write(before); err != nil {
			return err
		}
		before = ","
		event := t.event(i, e)
		t.pass(i, e)
		if err := enc.Encode(event); err != nil {
			return err
		}
	}
	return write("]}\n")
}

// event makes event i of the manifest.
func (t *talk) event(i int, e *Event) *rsmfEvent {
	r := &e.Record
	body, generated := t.body(e)
	x := &rsmfEvent{ID: "E" + strconv.Itoa(i+1), Type: "message", Conversation: conversationID,
		Timestamp: t.look.stamp(e.Time), Body: body, Deleted: e.Retracted != nil}
	if a := t.cast.of(r); a != nil {
		x.Participant = a.id
	}
	if isUnread(r) {
		x.Type = "unknown"
	}
	if id := value(r.RefersTo); id != "" {
		x.Parent = t.ids[id]
	}
	if r.Kind == message.Correction.String() && r.Body != nil && x.Participant != "" {
		x.Edits = append(x.Edits, rsmfEdit{Participant: x.Participant, Timestamp: x.Timestamp, New: r.Body})
	}
	previous := r.Body
	for _, edit := range e.Edits {
		x.Edits = append(x.Edits, rsmfEdit{Participant: t.cast.of(&edit.Record).id, Timestamp: t.look.stamp(edit.Time), Previous: previous, New: edit.Record.Body})
		if edit.Record.Body != nil {
			previous = edit.Record.Body
		}
	}
	x.Reactions = t.reactions(e)
	for _, f := range r.Files {
		if x.Body != "" {
			x.Body += "\n"
		}
		x.Body += "[file, not in the archive: " + f + "]"
	}
	if generated {
		x.Custom = appendCustom(x.Custom, "generated-body", "the body is not a text of the archive")
	}
	x.Custom = appendCustom(x.Custom, "note", t.note(r))
	if x.Timestamp == "" {
		x.Custom = appendCustom(x.Custom, "time", "not in the archive")
	}
	x.Custom = appendProvenance(x.Custom, "", r)
	for i, edit := range e.Edits {
		x.Custom = appendProvenance(x.Custom, "edit-"+strconv.Itoa(i+1)+".", &edit.Record)
	}
	if e.Retracted != nil {
		x.Custom = appendCustom(x.Custom, "retraction.from", t.cast.shown(&e.Retracted.Record))
		x.Custom = appendProvenance(x.Custom, "retraction.", &e.Retracted.Record)
	}
	for i, reaction := range e.Reactions {
		x.Custom = appendProvenance(x.Custom, "reaction-"+strconv.Itoa(i+1)+".", &reaction.Record)
	}
	return x
}

// reactions counts who reacted how. The last reaction of a person replaces the
// earlier ones (XEP-0444 section 4.2); these remain in the custom fields.
func (t *talk) reactions(e *Event) (list []rsmfReaction) {
	last := map[string]int{}
	for i, x := range e.Reactions {
		last[castKey(&x.Record)] = i
	}
	place := map[string]int{}
	for i, x := range e.Reactions {
		if last[castKey(&x.Record)] != i {
			continue
		}
		for _, emoji := range x.Record.Reactions {
			if emoji == "" {
				continue
			}
			at, known := place[emoji]
			if !known {
				at = len(list)
				place[emoji] = at
				list = append(list, rsmfReaction{Value: emoji})
			}
			list[at].Count++
			if a := t.cast.of(&x.Record); a != nil {
				list[at].Participants = append(list[at].Participants, a.id)
			}
		}
	}
	return list
}

// appendCustom appends a custom field, which may not be empty.
func appendCustom(list []rsmfCustom, name, text string) []rsmfCustom {
	if text == "" {
		return list
	}
	return append(list, rsmfCustom{name, text})
}

// appendProvenance appends what the archive says about a record beside its text.
// With a prefix the record is one that was folded into another's event.
func appendProvenance(list []rsmfCustom, prefix string, r *Record) []rsmfCustom {
	add := func(name, text string) { list = appendCustom(list, prefix+name, text) }
	add("kind", r.Kind)
	add("row", r.Row)
	add("table", r.Table)
	add("stanza-id", value(r.StanzaID))
	add("refers-to", value(r.RefersTo))
	if prefix != "" {
		add("time", value(r.Time))
	}
	add("reactions", strings.Join(r.Reactions, " "))
	add("status", r.Status)
	add("reason", value(r.Reason))
	add("key-fingerprint", value(r.Key))
	add("body-from", value(r.BodyFrom))
	add("nick", value(r.Nick))
	add("to", value(r.To))
	add("recipients", strings.Join(r.Recipients, ", "))
	add("direction", value(r.Direction))
	add("copies", strconv.Itoa(r.Copies))
	add("thread", value(r.Thread))
	add("subject", value(r.Subject))
	add("history", strconv.FormatBool(r.History))
	for i, f := range r.Files {
		add("file-"+strconv.Itoa(i+1), f)
	}
	return list
}
