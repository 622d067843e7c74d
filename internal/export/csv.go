package export

import (
	"bufio"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CSV writes RFC 4180 with a header, for spreadsheets. A cell that a
// spreadsheet would run as a formula gets an apostrophe in front; for exact
// texts there is JSONL.
type CSV struct {
	w      *csv.Writer
	header bool
}

// NewCSV returns a writer to w. With a byte order mark Excel takes the file
// for UTF-8.
func NewCSV(w io.Writer, byteOrderMark bool) *CSV {
	b := bufio.NewWriterSize(w, 256<<10)
	if byteOrderMark {
		_, _ = b.WriteString("\ufeff") // buffered: an error shows at the next write
	}
	c := csv.NewWriter(b)
	c.UseCRLF = true
	return &CSV{w: c}
}

var csvHeader = []string{"time", "from", "to", "room", "nick", "kind", "stanza_id", "refers_to", "thread", "subject", "body", "body_from",
	"stanza_body", "reactions", "files", "recipients", "direction", "copies", "history", "status", "reason", "key", "row", "table", "room_was"}

// Write writes one record.
func (c *CSV) Write(r *Record) error {
	if !c.header {
		c.header = true
		if err := c.w.Write(csvHeader); err != nil {
			return err
		}
	}
	cell := func(s *string) string {
		if s == nil {
			return ""
		}
		return cellText(*s)
	}
	list := func(l []string) string { return cellText(strings.Join(l, " ")) }
	return c.w.Write([]string{cell(r.Time), cell(r.From), cell(r.To), cell(r.Room), cell(r.Nick), r.Kind, cell(r.StanzaID), cell(r.RefersTo),
		cell(r.Thread), cell(r.Subject), cell(r.Body), cell(r.BodyFrom), cell(r.StanzaBody), list(r.Reactions), list(r.Files), list(r.Recipients),
		cell(r.Direction), strconv.Itoa(r.Copies), strconv.FormatBool(r.History), r.Status, cell(r.Reason), cell(r.Key), cellText(r.Row),
		cellText(r.Table), cell(r.RoomWas)})
}

// lineEnds makes all line ends one, which csv.Writer writes as CR LF; a CR that
// stands alone it would leave out.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// cellText makes a text fit for a cell. One byte that is no UTF-8 would keep
// strict readers from the whole file: it becomes U+FFFD, as in JSONL.
func cellText(s string) string {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	return lineEnds.Replace(defuse(s))
}

// defuse keeps a spreadsheet from running a text as a formula. A leading tab,
// line end or NUL counts, since spreadsheets skip it; and so does an
// apostrophe, so that the change can be undone.
func defuse(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r\n\x00'", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// Close writes out what is buffered; the file stays open. An export without
// records has a header.
func (c *CSV) Close() error {
	if !c.header {
		c.header = true
		if err := c.w.Write(csvHeader); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}
