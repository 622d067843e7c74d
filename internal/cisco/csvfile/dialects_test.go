package csvfile

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"archivolt/internal/cisco"
)

const (
	headerLine = "TO_JID,FROM_JID,SENT_DATE,SUBJECT,THREAD_ID,MSG_TYPE,DIRECTION,BODY_LEN,MESSAGE_LEN,BODY_STRING,MESSAGE_STRING,BODY_TEXT,MESSAGE_TEXT,HISTORY_FLAG"
	// plainLine is a row of SSMS; plainRow is what it means.
	plainLine = "anna@x.com,ben@x.com/desk,2024-05-06 07:08:09.123,NULL,t1,c,O,4,40,QUJD,REVG,NULL,NULL,N"
	plainNote = "has no header: the documented order of columns is assumed"
	ssms      = "comma-separated, with header, UTF-8"
	ssmsQuote = "comma-separated, quoted, with header, UTF-8"
)

func plainRow() readRow {
	return readRow{Cells: [cisco.NumColumns]string{"anna@x.com", "ben@x.com/desk", "2024-05-06 07:08:09.123", null, "t1", "c", "O",
		"4", "40", "QUJD", "REVG", null, null, "N", null, null, null}}
}

// with is the plain row with other cells.
func with(cells ...any) readRow {
	r := plainRow()
	for i := 0; i < len(cells); i += 2 {
		r.Cells[cells[i].(cisco.Column)] = cells[i+1].(string)
	}
	return r
}

// short is a row of which only some cells are there.
func short(problem string, cells ...any) readRow {
	r := readRow{Problem: problem}
	for i := range r.Cells {
		r.Cells[i] = null
	}
	for i := 0; i < len(cells); i += 2 {
		r.Cells[cells[i].(cisco.Column)] = cells[i+1].(string)
	}
	return r
}

// body is the plain line with another BODY_STRING, spelled as in the file.
func body(cell string) string { return strings.Replace(plainLine, "QUJD", cell, 1) }

// sep writes a line with another separator than the comma.
func sep(line, by string) string { return strings.ReplaceAll(line, ",", by) }

// widths are those of padded columns.
var widths = [cisco.NumColumns]int{24, 24, 24, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16}

// pad writes a line as sqlcmd does, with the lengths on the right.
func pad(line, by string) string {
	cells := strings.Split(line, ",")
	for i, c := range cells {
		width := -widths[i]
		if c == "4" || c == "40" {
			width = widths[i]
		}
		cells[i] = fmt.Sprintf("%*s", width, c)
	}
	return strings.Join(cells, by)
}

// dashes is the underline that goes with pad.
func dashes(by string) string {
	var cells []string
	for _, width := range widths[:cisco.HistoryFlag+1] {
		cells = append(cells, strings.Repeat("-", width))
	}
	return strings.Join(cells, by)
}

type dialectCase struct {
	name    string
	data    string
	dialect string
	notes   []string
	rows    []readRow
}

var dialectCases = []dialectCase{
	{"SSMS", headerLine + "\r\n" + plainLine + "\r\n" + plainLine + "\r\n", ssms, nil, []readRow{with(), with()}},
	{"SSMS with mark", "\ufeff" + headerLine + "\r\n" + plainLine + "\r\n", ssms, nil, []readRow{with()}},
	{"LF", headerLine + "\n" + plainLine + "\n", ssms, nil, []readRow{with()}},
	{"no final line end", headerLine + "\n" + plainLine, ssms, nil, []readRow{with()}},
	{"cut off in the final line end", headerLine + "\r\n" + plainLine + "\r", ssms, nil, []readRow{with()}},
	{"header only", headerLine + "\r\n", ssms, nil, nil},
	{"header without line end", headerLine, ssms, nil, nil},
	{"empty lines", "\r\n" + headerLine + "\n\n\r\n" + plainLine + "\n\n\n" + plainLine + "\n\n", ssms, nil, []readRow{with(), with()}},
	{"blanks are a row", headerLine + "\n  \n" + plainLine + "\n", ssms, nil,
		[]readRow{short("has 1 field instead of 14", cisco.ToJID, "  "), with()}},
	{"psql CSV", strings.ToLower(headerLine) + "\n" + strings.ReplaceAll(plainLine, "NULL", "") + "\n", ssms, nil, []readRow{with()}},
	{"NULL and text", headerLine + "\n" + body(`"NULL"`) + "\n" + body(`NULL`) + "\n" + body(`""`) + "\n" + body(``) + "\n" + body(`null`) + "\n" + body(" NULL") + "\n",
		ssms, nil, []readRow{with(cisco.BodyString, "NULL"), with(cisco.BodyString, null), with(cisco.BodyString, ""), with(cisco.BodyString, null),
			with(cisco.BodyString, "null"), with(cisco.BodyString, " NULL")}},
	{"NULL at the end", headerLine + "\n" + strings.TrimSuffix(plainLine, "N") + "\n" + plainLine + "ULL\n", ssms, nil,
		[]readRow{with(cisco.HistoryFlag, null), with(cisco.HistoryFlag, null)}},
	{"quoted line ends and commas", headerLine + "\r\n" + body("\"a,b\r\nc\nd,\"") + "\r\n" + body("\"\n\"") + "\r\n", ssmsQuote, nil,
		[]readRow{with(cisco.BodyString, "a,b\r\nc\nd,"), with(cisco.BodyString, "\n")}},
	{"doubled quotes", headerLine + "\n" + body(`""""`) + "\n" + body(`"a ""b"" c"`) + "\n" + body(`"""`+"\n"+`""""d"`) + "\n", ssmsQuote, nil,
		[]readRow{with(cisco.BodyString, `"`), with(cisco.BodyString, `a "b" c`), with(cisco.BodyString, `"`+"\n"+`""d`)}},
	{"all quoted", `"` + sep(headerLine, `","`) + "\"\r\n\"" + sep(plainLine, `","`) + "\"\r\n", ssmsQuote, nil,
		[]readRow{with(cisco.Subject, "NULL", cisco.BodyText, "NULL", cisco.MessageText, "NULL")}},
	{"quoted late", headerLine + "\n" + strings.Repeat(plainLine+"\n", 4000) + body("\"a\nb\"") + "\n", ssms, nil,
		append(slices.Repeat([]readRow{with()}, 4000), with(cisco.BodyString, "a\nb"))},
	{"formulas", headerLine + "\n" + body("+QUJD") + "\n" + body("=1+1") + "\n" + body("-1") + "\n" + body("@x") + "\n" + body("'x") + "\n", ssms, nil,
		[]readRow{with(cisco.BodyString, "+QUJD"), with(cisco.BodyString, "=1+1"), with(cisco.BodyString, "-1"), with(cisco.BodyString, "@x"), with(cisco.BodyString, "'x")}},
	{"quote in a cell", headerLine + "\n" + body(`6" pipe`) + "\n" + body(`x"`) + "\n" + body(`x "`+"\n") + "\n", ssms, nil,
		[]readRow{with(cisco.BodyString, `6" pipe`), with(cisco.BodyString, `x"`),
			short("has 10 fields instead of 14", cisco.ToJID, "anna@x.com", cisco.FromJID, "ben@x.com/desk", cisco.SentDate, "2024-05-06 07:08:09.123",
				cisco.ThreadID, "t1", cisco.MsgType, "c", cisco.Direction, "O", cisco.BodyLen, "4", cisco.MessageLen, "40", cisco.BodyString, `x "`),
			short("has 5 fields instead of 14", cisco.FromJID, "REVG", cisco.ThreadID, "N")}},
	{"quoted word in a cell", headerLine + "\n" + body(`"Prices" are up`) + "\n" + plainLine + "\n", ssms, nil,
		[]readRow{with(cisco.BodyString, `"Prices" are up`), with()}},
	{"quote not doubled", headerLine + "\n" + body(`"a "b" c"`) + "\n" + plainLine + "\n", ssms, nil,
		[]readRow{{with(cisco.BodyString, `"a "b" c"`).Cells, undoubledQuote}, with()}},
	{"lone quote as a cell", headerLine + "\n" + body(`"`) + "\n" + plainLine + "\n", ssms, nil,
		[]readRow{unclosed(), with()}},
	{"CR after a quoted cell", headerLine + "\n" + plainLine[:len(plainLine)-1] + "\"N\"\r\n" + plainLine[:len(plainLine)-1] + "\"N\"\r\r\n" + plainLine[:len(plainLine)-1] + "\"N\"\r",
		ssms, nil, []readRow{with(), with(cisco.HistoryFlag, "\"N\"\r"), with()}},
	{"unclosed in the first row", headerLine + "\n" + body(`"x`) + "\n" + plainLine + "\n" + plainLine + "\n", ssms, nil, []readRow{unclosed(), with(), with()}},
	{"unclosed in the middle", headerLine + "\n" + plainLine + "\n" + body(`"x`) + "\n" + plainLine + "\n", ssms, nil, []readRow{with(), unclosed(), with()}},
	{"unclosed in the last row", headerLine + "\r\n" + plainLine + "\r\n" + body(`"x`) + "\r\n", ssms, nil, []readRow{with(), unclosed()}},
	{"unclosed at the end", headerLine + "\n" + plainLine + "\n" + body(`"x`), ssms, nil, []readRow{with(), unclosed()}},
	{"unclosed before quoted cells", headerLine + "\n" + body(`"x`) + "\n" + body("\"a\nb\"") + "\n" + plainLine + "\n", ssmsQuote, nil,
		[]readRow{unclosed(), with(cisco.BodyString, "a\nb"), with()}},
	{"unclosed again and again", headerLine + "\n" + strings.Repeat(body(`"x`)+"\n"+plainLine+"\n", 20), ssms, nil,
		slices.Repeat([]readRow{unclosed(), with()}, 20)},
	{"quotes in two rows", headerLine + "\n" + body(`"one`) + "\n" + strings.Repeat(plainLine+"\n", 9) + body(`two"`) + "\n" + body(`"one`) + "\n" + body(`two"`) + "\n", ssms, nil,
		slices.Concat([]readRow{unclosed()}, slices.Repeat([]readRow{with()}, 9), []readRow{with(cisco.BodyString, `two"`), unclosed(), with(cisco.BodyString, `two"`)})},
	{"a row in a quoted cell", headerLine + "\n" + body(`"x,y"`) + "\n" + body("\"one\n"+plainLine+"\ntwo\"") + "\n", ssmsQuote, nil,
		[]readRow{with(cisco.BodyString, "x,y"), with(cisco.BodyString, "one\n"+plainLine+"\ntwo")}},
	{"quoted word as a cell, then quotes in two rows", headerLine + "\n" + body(`"x"`) + "\n" + body(`"one`) + "\n" + plainLine + "\n" + body(`two"`) + "\n", ssms, nil,
		[]readRow{with(cisco.BodyString, "x"), unclosed(), with(), with(cisco.BodyString, `two"`)}},
	{"short and long rows", headerLine + "\n" + plainLine + ",a,b\n" + "a,b\n" + plainLine + "\n", ssms, nil,
		[]readRow{{with().Cells, "has 16 fields instead of 14"}, short("has 2 fields instead of 14", cisco.ToJID, "a", cisco.FromJID, "b"), with()}},
	{"other order and case", "history_flag,Message_Text,BODY_TEXT,MESSAGE_STRING,body_string,MESSAGE_LEN,BODY_LEN,DIRECTION,MSG_TYPE,THREAD_ID,SUBJECT,SENT_DATE,FROM_JID,TO_JID\n" +
		"N,NULL,NULL,REVG,QUJD,40,4,O,c,t1,NULL,2024-05-06 07:08:09.123,ben@x.com/desk,anna@x.com\n", ssms, nil, []readRow{with()}},
	{"spelled names", "[TO_JID], jm.from_jid ,\"SENT_DATE\",dbo.[jm].[Subject],`THREAD_ID`,\"jm\".\"msg_type\",[dbo].[JM].[DIRECTION],BODY_LEN,MESSAGE_LEN,BODY_STRING,MESSAGE_STRING,BODY_TEXT,MESSAGE_TEXT,\"HISTORY_FLAG\"\n" +
		plainLine + "\n", ssmsQuote, nil, []readRow{with()}},
	{"more columns", "id," + headerLine + ",,note\n7," + plainLine + ",,x\n", ssms, []string{"has 3 columns that are not the archiver's, which are ignored"}, []readRow{with()}},
	{"one more column", headerLine + ",note\n" + plainLine + ",\"x\ny\"\n", ssmsQuote, []string{"has 1 column that is not the archiver's, which is ignored"}, []readRow{with()}},
	{"fewest columns", "sent_date,from_jid,to_jid,message_text\n2024-05-06,a,b,REVG\n", ssms,
		[]string{"lacks the columns SUBJECT, THREAD_ID, MSG_TYPE, DIRECTION, BODY_LEN, MESSAGE_LEN, BODY_STRING, MESSAGE_STRING, BODY_TEXT and HISTORY_FLAG"},
		[]readRow{short("", cisco.SentDate, "2024-05-06", cisco.FromJID, "a", cisco.ToJID, "b", cisco.MessageText, "REVG")}},
	{"no THREAD_ID", strings.Replace(headerLine, "THREAD_ID,", "", 1) + "\n" + strings.Replace(plainLine, "t1,", "", 1) + "\n", ssms,
		[]string{"lacks the column THREAD_ID"}, []readRow{with(cisco.ThreadID, null)}},
	{"no header", plainLine + "\n" + plainLine + "\n", "comma-separated, without header, UTF-8", []string{plainNote}, []readRow{with(), with()}},
	{"no header, quoted", sep(body("\"a\nb\""), ";") + "\n" + sep(plainLine, ";") + "\n", "semicolon-separated, quoted, without header, UTF-8", []string{plainNote},
		[]readRow{with(cisco.BodyString, "a\nb"), with()}},
	{"no header, a subject like a column", strings.Replace(plainLine, "NULL", "Subject", 1) + "\n", "comma-separated, without header, UTF-8", []string{plainNote},
		[]readRow{with(cisco.Subject, "Subject")}},
	{"no header, Oracle's date", strings.Replace(plainLine, "2024-05-06 07:08:09.123", "06-MAY-24 07.08.09.123000 AM", 1) + "\n", "comma-separated, without header, UTF-8",
		[]string{plainNote}, []readRow{with(cisco.SentDate, "06-MAY-24 07.08.09.123000 AM")}},
	{"semicolons", sep(headerLine, ";") + "\n" + strings.Replace(sep(plainLine, ";"), "QUJD", "1,5", 1) + "\n", "semicolon-separated, with header, UTF-8", nil,
		[]readRow{with(cisco.BodyString, "1,5")}},
	{"tabs", sep(headerLine, "\t") + "\r\n" + sep(plainLine, "\t") + "\r\n" + sep(body("\"a\tb\""), "\t") + "\r\n", "tab-separated, quoted, with header, UTF-8", nil,
		[]readRow{with(), with(cisco.BodyString, "a\tb")}},
	{"pipes", sep(headerLine, "|") + "\n" + sep(plainLine, "|") + "\n", "pipe-separated, with header, UTF-8", nil, []readRow{with()}},
	{"psql unaligned", sep(headerLine, "|") + "\n" + sep(plainLine, "|") + "\n(1 row)\n", "pipe-separated, with header, UTF-8", nil, []readRow{with()}},
	{"a NUL and bad UTF-8", headerLine + "\n" + body("a\x00b\xe4\xff") + "\n", ssms, nil, []readRow{with(cisco.BodyString, "a\x00b\xe4\xff")}},
	{"psql text", sep(headerLine, "\t") + "\n" + strings.ReplaceAll(sep(plainLine, "\t"), "NULL", `\N`) + "\n" +
		sep(body(`a\tb\nc\\d\re\b\f\v\x41\x4\101\7\q\\N\x`), "\t") + "\n" + sep(body(`"a`), "\t") + "\n" + sep(body(""), "\t") + "\n" + sep(body("x\\"), "\t") + "\n",
		"PostgreSQL text format, tab-separated, with header, UTF-8", nil,
		[]readRow{with(), with(cisco.Subject, "NULL", cisco.BodyText, "NULL", cisco.MessageText, "NULL", cisco.BodyString, "a\tb\nc\\d\re\b\f\vA\x04A\x07q\\Nx"),
			with(cisco.Subject, "NULL", cisco.BodyText, "NULL", cisco.MessageText, "NULL", cisco.BodyString, `"a`),
			with(cisco.Subject, "NULL", cisco.BodyText, "NULL", cisco.MessageText, "NULL", cisco.BodyString, ""),
			with(cisco.Subject, "NULL", cisco.BodyText, "NULL", cisco.MessageText, "NULL", cisco.BodyString, "x\\")}},
	{"psql text without header", strings.ReplaceAll(sep(plainLine, "\t"), "NULL", `\N`) + "\n", "PostgreSQL text format, tab-separated, without header, UTF-8", []string{plainNote},
		[]readRow{with()}},
	{"5 MB quoted", headerLine + "\n" + body(`"`+strings.Repeat("QUJD\n,", 5<<20/6)+`"`) + "\n" + plainLine + "\n", ssms, nil,
		[]readRow{with(cisco.BodyString, strings.Repeat("QUJD\n,", 5<<20/6)), with()}},
	{"5 MB unquoted", headerLine + "\n" + body(strings.Repeat("QUJD", 5<<20/4)) + "\n" + plainLine + "\n", ssms, nil,
		[]readRow{with(cisco.BodyString, strings.Repeat("QUJD", 5<<20/4)), with()}},
	{"UTF-16LE with mark", string(utf16Bytes("\ufeff"+headerLine+"\r\n"+body("ä😀€")+"\r\n"+body("\"😀\n\"")+"\r\n", binary.LittleEndian)),
		"comma-separated, quoted, with header, UTF-16LE", []string{"is UTF-16"}, []readRow{with(cisco.BodyString, "ä😀€"), with(cisco.BodyString, "😀\n")}},
	{"UTF-16LE without mark", string(utf16Bytes(headerLine+"\n"+body("ä😀€"), binary.LittleEndian)),
		"comma-separated, with header, UTF-16LE", []string{"is UTF-16"}, []readRow{with(cisco.BodyString, "ä😀€")}},
	{"UTF-16BE", string(utf16Bytes("\ufeff"+headerLine+"\n"+body("ä😀€")+"\n", binary.BigEndian)),
		"comma-separated, with header, UTF-16BE", []string{"is UTF-16"}, []readRow{with(cisco.BodyString, "ä😀€")}},
	{"UTF-16BE without mark", string(utf16Bytes(headerLine+"\n"+plainLine, binary.BigEndian)),
		"comma-separated, with header, UTF-16BE", []string{"is UTF-16"}, []readRow{with()}},
	{"UTF-16 with half pairs", string(utf16Bytes(headerLine+"\n"+strings.TrimSuffix(plainLine, "N"), binary.LittleEndian)) + "\x00\xd8\x00\xdc\x00\xdc\x00\xd8\n\x00" +
		string(utf16Bytes(strings.TrimSuffix(plainLine, "N"), binary.LittleEndian)) + "N",
		"comma-separated, with header, UTF-16LE", []string{"is UTF-16"}, []readRow{with(cisco.HistoryFlag, "\U00010000\ufffd\ufffd"), with(cisco.HistoryFlag, "\ufffd")}},
	{"UTF-16, 2 MB", string(utf16Bytes("\ufeff"+headerLine+"\n"+strings.Repeat(body("ä😀€")+"\n", 10000), binary.LittleEndian)),
		"comma-separated, with header, UTF-16LE", []string{"is UTF-16"}, slices.Repeat([]readRow{with(cisco.BodyString, "ä😀€")}, 10000)},
	{"sqlcmd, commas", "Changed database context to 'jm'.\r\n" + pad(headerLine, ",") + "\r\n" + dashes(",") + "\r\n" + pad(plainLine, ",") + "\r\n" + pad(body(`"x`), ",") + "\r\n\r\n(2 rows affected)\r\n",
		"sqlcmd output, comma-separated, with header, UTF-8", []string{"has lines before the header, which are skipped"}, []readRow{with(), with(cisco.BodyString, `"x`)}},
	{"sqlcmd, tabs, no padding", sep(headerLine, "\t") + "\n" + sep("-,-,-,-,-,-,-,-,-,-,-,-,-,-", "\t") + "\n" + sep(plainLine, "\t") + "\n\n(1 row affected)\n\n",
		"sqlcmd output, tab-separated, with header, UTF-8", nil, []readRow{with()}},
	{"sqlcmd, pipes, German", pad(headerLine, "|") + "\n" + dashes("|") + "\n" + strings.Replace(pad(plainLine, "|"), "QUJD", "a,b ", 1) + "\n\n(1 Zeilen betroffen)",
		"sqlcmd output, pipe-separated, with header, UTF-8", nil, []readRow{with(cisco.BodyString, "a,b")}},
	{"sqlcmd, count in words", pad(headerLine, "|") + "\n" + dashes("|") + "\n" + pad(plainLine, "|") + "\n\n(eine Zeile betroffen)\n",
		"sqlcmd output, pipe-separated, with header, UTF-8", nil, []readRow{with()}},
	{"sqlcmd, no rows", pad(headerLine, "|") + "\r\n" + dashes("|") + "\r\n\r\n(0 rows affected)\r\n",
		"sqlcmd output, pipe-separated, with header, UTF-8", nil, nil},
	{"sqlcmd, repeated header", pad(headerLine, ",") + "\n" + dashes(",") + "\n" + pad(plainLine, ",") + "\n\n" + pad(headerLine, ",") + "\n" + dashes(",") + "\n" + pad(plainLine, ",") + "\n",
		"sqlcmd output, comma-separated, with header, UTF-8", nil, []readRow{with(), with()}},
	{"sqlcmd without header", pad(plainLine, "|") + "\n\n(1 rows affected)\n", "sqlcmd output, pipe-separated, without header, UTF-8", []string{plainNote}, []readRow{with()}},
	{"sqlcmd, separator in a cell", pad(headerLine, ",") + "\n" + dashes(",") + "\n" + plainLine + ",x\n" + pad(plainLine, ",") + "\n",
		"sqlcmd output, comma-separated, with header, UTF-8", nil, []readRow{{with().Cells, "has 15 fields instead of 14"}, with()}},
	{"sqlcmd, fixed widths", pad(headerLine, " ") + "\r\n" + dashes(" ") + "\r\n" + pad(plainLine, " ") + "\r\n" + pad(body("a b  c"), " ") + "\r\n\r\n(2 rows affected)\r\n",
		"sqlcmd output, fixed widths, with header, UTF-8", nil, []readRow{with(), with(cisco.BodyString, "a b  c")}},
	{"sqlcmd, fixed widths, UTF-16", string(utf16Bytes("\ufeff"+pad(headerLine, " ")+"\r\n"+dashes(" ")+"\r\n"+strings.Replace(pad(plainLine, " "), "QUJD   ", "ä😀€    ", 1)+"\r\n"+
		strings.Replace(pad(plainLine, " "), "QUJD   ", "ä😀€   ", 1)+"\r\n\r\n(2 rows affected)\r\n", binary.LittleEndian)),
		"sqlcmd output, fixed widths, with header, UTF-16LE", []string{"is UTF-16"}, []readRow{with(cisco.BodyString, "ä😀€"), with(cisco.BodyString, "ä😀€")}},
	{"sqlcmd, fixed widths, trimmed", strings.TrimRight(pad(headerLine, " "), " ") + "\n" + dashes(" ") + "\n" + strings.TrimRight(pad(plainLine, " "), " ") + "\n" + pad(plainLine, " ") + "  \n",
		"sqlcmd output, fixed widths, with header, UTF-8", nil, []readRow{with(), with()}},
	{"sqlcmd, fixed widths, bad rows", pad(headerLine, " ") + "\n" + dashes(" ") + "\nx\n" + strings.Replace(pad(plainLine, " "), "ben", "xxben", 1) + "\n" + pad(plainLine, " ") + " x\n" +
		strings.TrimRight(strings.TrimSuffix(pad(plainLine, " "), "N               "), " ") + "\n" + pad(plainLine, " ") + "\n",
		"sqlcmd output, fixed widths, with header, UTF-8", nil,
		[]readRow{short(misfit), short(misfit, cisco.ToJID, "anna@x.com", cisco.FromJID, "xxben@x.com/desk", cisco.SentDate, "  2024-05-06 07:08:09.12"),
			{with().Cells, misfit}, {with(cisco.HistoryFlag, null).Cells, misfit}, with()}},
	{"SSMS results to file, no count", pad(headerLine, " ") + "\r\n" + dashes(" ") + "\r\n" + pad(plainLine, " ") + "\r\n\r\nCompletion time: 2024-05-06T07:08:09.1234567+02:00\r\n",
		"sqlcmd output, fixed widths, with header, UTF-8", nil, []readRow{with()}},
	{"psql unaligned, no rows", sep(headerLine, "|") + "\n(0 rows)\n", "pipe-separated, with header, UTF-8", nil, nil},
	{"parentheses that are no count", headerLine + "\n" + plainLine + "\n\n(x)\n", ssms, nil, []readRow{with(), short("has 1 field instead of 14", cisco.ToJID, "(x)")}},
	{"a number in parentheses below a row", headerLine + "\n" + plainLine + "\n(5 x)\n", ssms, nil, []readRow{with(), short("has 1 field instead of 14", cisco.ToJID, "(5 x)")}},
	{"nothing but a line in parentheses", headerLine + "\n(5 x)\n", ssms, nil, []readRow{short("has 1 field instead of 14", cisco.ToJID, "(5 x)")}},
	{"SSMS results to file", pad(headerLine, " ") + "\r\n" + dashes(" ") + "\r\n" + pad(plainLine, " ") + "\r\n\r\n(1 row affected)\r\n\r\n\r\nCompletion time: 2024-05-06T07:08:09.1234567+02:00\r\n",
		"sqlcmd output, fixed widths, with header, UTF-8", nil, []readRow{with()}},
}

// unclosed is the plain row up to a BODY_STRING whose quote is not closed.
func unclosed() readRow {
	r := with(cisco.BodyString, null, cisco.MessageString, null, cisco.HistoryFlag, null)
	r.Problem = unclosedQuote
	return r
}

// TestDialects reads each case with ordinary and with tiny batches.
func TestDialects(t *testing.T) {
	for _, c := range dialectCases {
		t.Run(c.name, func(t *testing.T) {
			f, err := openFile(t, []byte(c.data))
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Dialect().String(); got != c.dialect {
				t.Errorf("dialect %q, want %q", got, c.dialect)
			}
			if got := f.Notes(); !slices.Equal(got, c.notes) {
				t.Errorf("notes %q, want %q", got, c.notes)
			}
			if f.Size() != int64(len(c.data)) {
				t.Errorf("size %d, want %d", f.Size(), len(c.data))
			}
			for _, size := range []int{batchSize, 7, 100} {
				rows, _, err := readAll(t, f, size)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, size, rows, c.rows)
			}
		})
	}
}

func compare(t *testing.T, size int, got, want []readRow) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i].Problem != want[i].Problem {
			t.Fatalf("batches of %d, row %d: problem %q, want %q", size, i+1, got[i].Problem, want[i].Problem)
		}
		for c, cell := range got[i].Cells {
			if cell != want[i].Cells[c] {
				t.Fatalf("batches of %d, row %d: %v is %.80q, want %.80q", size, i+1, cisco.Column(c), cell, want[i].Cells[c])
			}
		}
	}
	if len(got) != len(want) {
		t.Fatalf("batches of %d: %d rows, want %d", size, len(got), len(want))
	}
}
