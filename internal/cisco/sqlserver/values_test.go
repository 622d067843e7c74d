package sqlserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sqlserver/tdstest"
)

// TestText sends text of all kinds through each type that may hold it.
func TestText(t *testing.T) {
	long := strings.Repeat("0123456789abcdefghij€\U0001f600", 60_000)
	type value struct {
		stored any
		want   string
	}
	values := []value{
		{nil, null}, {"", ""}, {"NULL", "NULL"}, {" blank ", " blank "}, {"a\x00b\r\n\t", "a\x00b\r\n\t"}, {"'; DROP TABLE JM --", "'; DROP TABLE JM --"},
		{"\U0001f468\u200d\U0001f469 ü かな עברית", "\U0001f468\u200d\U0001f469 ü かな עברית"},
		{[]byte{'a', 0, 0x3d, 0xd8, 'b', 0}, "a\ufffdb"}, // a high surrogate alone
		{[]byte{0x00, 0xde}, "\ufffd"},                   // a low one
		{long, long},
	}
	for _, typ := range []string{"nvarchar(4000)", "nvarchar(-1)", "ntext", "varchar(4000)", "text", "xml"} {
		t.Run(typ, func(t *testing.T) {
			var want []cells
			s := tdstest.Start(t, func(db *sqlite.Conn) {
				create(t, db, "CREATE TABLE JM (body_text "+typ+", [from_jid] nvarchar(3071) NOT NULL, sent_date datetime2(7) NOT NULL, To_Jid nvarchar(10) NOT NULL)")
				for _, v := range values {
					if text, ok := v.stored.(string); ok && len(text) > 4000 && typ == "nvarchar(4000)" {
						continue
					}
					tdstest.Insert(t, db, "JM", v.stored, "b@x.com", "2024-05-06 07:08:09.1234567", "a@x.com")
					c := cells{"a@x.com", "b@x.com", "2024-05-06 07:08:09.1234567"}
					for i := 3; i < len(c); i++ {
						c[i] = null
					}
					c[cisco.BodyText] = v.want
					want = append(want, c)
				}
			})
			src := open(t, s)
			compare(t, scan(t, src, cisco.ScanOptions{}), want)

			// Cut to 128 code units; the emoji at their end is not cut in this text.
			for i, row := range scan(t, src, cisco.ScanOptions{Short: true}) {
				isLong := len(want[i][cisco.BodyText]) > 1000
				if row.Short != isLong {
					t.Errorf("row %d: short %v", i+1, row.Short)
				}
				text := row.cells[cisco.BodyText]
				if isLong && (!strings.HasPrefix(long, strings.TrimSuffix(text, "\ufffd")) || len(text) < cisco.ShortChars || len(text) > 4*cisco.ShortChars) {
					t.Errorf("row %d is cut to %.300q", i+1, text)
				}
				if !isLong && text != want[i][cisco.BodyText] {
					t.Errorf("row %d: %q", i+1, text)
				}
			}
			notes := []string{"lacks the columns SUBJECT, THREAD_ID, MSG_TYPE, DIRECTION, BODY_LEN, MESSAGE_LEN, BODY_STRING, MESSAGE_STRING, MESSAGE_TEXT and HISTORY_FLAG"}
			if got := src.Notes()[:1]; !slices.Equal(got, notes) {
				t.Errorf("notes %q", got)
			}
		})
	}
}

// TestDates gives SENT_DATE in each type; the wanted text is written by hand.
func TestDates(t *testing.T) {
	for _, c := range []struct{ typ, stored, want string }{
		{"datetime", "2024-02-29 23:59:59.998", "2024-02-29 23:59:59.997"},
		{"datetime", "2024-02-29 23:59:59.999", "2024-03-01 00:00:00.000"},
		{"datetime", "1753-01-01 00:00:00", "1753-01-01 00:00:00.000"},
		{"datetime", "1899-12-31 12:00:00.004", "1899-12-31 12:00:00.003"},
		{"smalldatetime", "2024-05-06 07:08:29", "2024-05-06 07:08:00.000"},
		{"datetime2(7)", "0001-01-01 00:00:00.0000001", "0001-01-01 00:00:00.0000001"},
		{"datetime2(7)", "9999-12-31 23:59:59.9999999", "9999-12-31 23:59:59.9999999"},
		{"datetime2(3)", "2024-05-06 07:08:09.120", "2024-05-06 07:08:09.120"},
		{"datetime2(0)", "2024-05-06 07:08:09", "2024-05-06 07:08:09.000"},
		{"nvarchar(40)", "2024-05-06T07:08:09.1Z", "2024-05-06T07:08:09.1Z"},
		{"varchar(40)", "May  6 2024  7:08AM", "May  6 2024  7:08AM"},
		{"sql_variant", "2024-05-06T07:08:09", "2024-05-06T07:08:09"},
	} {
		t.Run(c.typ+" "+c.stored, func(t *testing.T) {
			s := tdstest.Start(t, func(db *sqlite.Conn) {
				create(t, db, strings.Replace(tdstest.JM, "SENT_DATE datetime", "SENT_DATE "+c.typ, 1))
				insert(t, db, []cells{plain(cisco.SentDate, c.stored)})
			})
			compare(t, scan(t, open(t, s), cisco.ScanOptions{}), []cells{plain(cisco.SentDate, c.want)})
		})
	}
}

func TestNumbers(t *testing.T) {
	rows := []cells{plain(cisco.BodyLen, "-2147483648", cisco.MessageLen, "2147483647"), plain(cisco.BodyLen, "0", cisco.MessageLen, "-1")}
	compare(t, scan(t, open(t, start(t, rows)), cisco.ScanOptions{}), rows)
	s := tdstest.Start(t, func(db *sqlite.Conn) {
		create(t, db, strings.Replace(strings.Replace(tdstest.JM, "BODY_LEN int", "BODY_LEN bigint", 1), "MESSAGE_LEN int", "MESSAGE_LEN decimal", 1))
		insert(t, db, []cells{plain(cisco.BodyLen, "9223372036854775807", cisco.MessageLen, "-9223372036854775808")})
	})
	compare(t, scan(t, open(t, s), cisco.ScanOptions{}), []cells{plain(cisco.BodyLen, "9223372036854775807", cisco.MessageLen, "-9223372036854775808")})
}

// TestShort cuts several columns, and says for each row whether it did.
func TestShort(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	rows := []cells{
		plain(cisco.BodyString, text(128), cisco.MessageText, text(128)),
		plain(cisco.BodyString, text(129)),
		plain(cisco.BodyString, null, cisco.MessageText, text(2_000_000)),
		plain(cisco.Subject, text(128)),
		plain(cisco.ToJID, text(3071)),
		plain(cisco.BodyString, text(127)+" "+"   "), // LEN would not count these
	}
	want := slices.Clone(rows)
	want[1][cisco.BodyString] = text(128)
	want[2][cisco.MessageText] = text(128)
	want[5][cisco.BodyString] = text(127) + " "
	src := open(t, start(t, rows))
	got := scan(t, src, cisco.ScanOptions{Short: true})
	compare(t, got, want)
	for i, short := range []bool{false, true, true, false, false, true} {
		if got[i].Short != short {
			t.Errorf("row %d: short %v", i+1, got[i].Short)
		}
	}
	compare(t, scan(t, src, cisco.ScanOptions{}), rows)
}

// TestBatches holds the size of batches against what was asked for.
func TestBatches(t *testing.T) {
	var rows []cells
	for i := range 500 {
		rows = append(rows, plain(cisco.BodyText, strings.Repeat(fmt.Sprint(i%10), 1000)))
	}
	rows[250][cisco.BodyText] = strings.Repeat("y", 3<<20)
	src := open(t, start(t, rows))
	for _, bytes := range []int{0, 1, 5000, 1 << 20} {
		var sizes []int
		var all []got
		err := src.Scan(t.Context(), cisco.ScanOptions{BatchBytes: bytes}, func(b cisco.Batch) bool {
			sizes = append(sizes, b.Len())
			all = append(all, take(b)...)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, all, rows)
		most := slices.Max(sizes)
		if full := max(1, bytes/1000); bytes > 0 && most > full+1 {
			t.Errorf("%d bytes asked for: %d rows of 1 kB in a batch", bytes, most)
		}
		if bytes == 0 && (most > 270 || most < 200) {
			t.Errorf("%d rows of 1 kB in a batch", most)
		}
	}
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		name, script, fails string
		notes               []string
	}{
		{"the documented ones", tdstest.JM, "", nil},
		{"one more", strings.TrimSuffix(tdstest.JM, ")") + ", [a]]b] int)", "", []string{"has 1 column that is not the archiver's, which is ignored"}},
		{"two more, one less", strings.Replace(strings.TrimSuffix(tdstest.JM, ")")+", x int, y xml)", "THREAD_ID nvarchar(128), ", "", 1), "",
			[]string{"lacks the column THREAD_ID", "has 2 columns that are not the archiver's, which are ignored"}},
		{"no texts", "CREATE TABLE JM (TO_JID nvarchar(3), FROM_JID nvarchar(3), SENT_DATE datetime)",
			"this table lacks the column BODY_STRING (or another one with a text)", nil},
		{"another table", "CREATE TABLE JM (id int)",
			"this table lacks the columns TO_JID, FROM_JID, SENT_DATE and BODY_STRING (or another one with a text)", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tdstest.Start(t, func(db *sqlite.Conn) { create(t, db, strings.ReplaceAll(c.script, "[a]]b]", `"a]b"`)) })
			src, err := Open(t.Context(), s.URL(), Options{Password: tdstest.Password, AllowLocks: true})
			if c.fails != "" {
				want(t, err, failed, c.fails)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			var notes []string
			for _, n := range src.Notes() {
				if strings.HasPrefix(n, "lacks") || strings.HasPrefix(n, "has") {
					notes = append(notes, n)
				}
			}
			if !slices.Equal(notes, c.notes) {
				t.Errorf("notes %q, want %q", notes, c.notes)
			}
			if rows := scan(t, src, cisco.ScanOptions{}); len(rows) != 0 {
				t.Errorf("%d rows of an empty table", len(rows))
			}
		})
	}
}

// TestNames finds a table whose name has to be quoted, in any letter case.
func TestNames(t *testing.T) {
	s := tdstest.Start(t, func(db *sqlite.Conn) {
		create(t, db, strings.Replace(tdstest.JM, "TABLE JM", `TABLE "J]M 'x' --"`, 1))
		create(t, db, `INSERT INTO "J]M 'x' --" VALUES ('a', 'b', '2024-01-01 00:00:00', null, null, 'c', 'I', 1, 1, '', null, null, null, 'N')`)
	})
	src, err := Open(t.Context(), s.URL(), Options{Schema: "DBO", Table: "j]m 'X' --", Password: tdstest.Password, AllowLocks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	compare(t, scan(t, src, cisco.ScanOptions{}), []cells{{"a", "b", "2024-01-01 00:00:00.000", null, null, "c", "I", "1", "1", "", null, null, null, "N"}})
	for _, text := range s.Statements() {
		parse(t, text)
	}
}

func TestTable(t *testing.T) {
	s := tdstest.Start(t, func(db *sqlite.Conn) {
		create(t, db, tdstest.JM+"; CREATE TABLE tc_rooms (ROOM_JID nvarchar(3071), CONFIG nvarchar(-1), START_MSG_ID bigint, STAMP datetime, RAW varbinary(8)); CREATE TABLE empty (a int)")
		tdstest.Insert(t, db, "tc_rooms", "r@x", "", int64(7), "2024-01-02 03:04:05.006", "AB")
		tdstest.Insert(t, db, "tc_rooms", nil, "<x/>", nil, nil, nil)
	})
	src := open(t, s)
	read := func(name string, columns ...string) (found bool, rows []string) {
		found, err := src.Table(t.Context(), name, columns, func(cells [][]byte) error {
			var row []string
			for _, c := range cells {
				if c == nil {
					row = append(row, "-")
				} else {
					row = append(row, "'"+string(c)+"'")
				}
			}
			rows = append(rows, strings.Join(row, " "))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found, rows
	}
	for _, c := range []struct {
		name    string
		columns []string
		found   bool
		rows    []string
	}{
		{"TC_ROOMS", []string{"config", "Room_Jid", "NONE", "START_MSG_ID", "STAMP", "raw"}, true,
			[]string{"'' 'r@x' - '7' '2024-01-02 03:04:05.007' '0x4142'", "'<x/>' - - - - -"}},
		{"TC_Rooms", []string{"NONE"}, true, []string{"-", "-"}},
		{"EMPTY", []string{"a"}, true, nil},
		{"TC_USERS", []string{"ROLE"}, false, nil},
	} {
		if found, rows := read(c.name, c.columns...); found != c.found || !slices.Equal(rows, c.rows) {
			t.Errorf("%s: %v %q", c.name, found, rows)
		}
	}
	stop := fmt.Errorf("stop")
	n := 0
	found, err := src.Table(t.Context(), "TC_ROOMS", []string{"CONFIG"}, func([][]byte) error { n++; return stop })
	if !found || err != stop || n != 1 {
		t.Errorf("%v, %v after %d rows", found, err, n)
	}
	compare(t, scan(t, src, cisco.ScanOptions{}), nil) // the connection still serves
}

// TestDateKeys walks along dates of each type: the value that ends a batch has
// to come back exactly, or the next one begins a row too early or too late.
func TestDateKeys(t *testing.T) {
	for _, c := range []struct {
		typ  string
		step time.Duration // between rows
		form string
	}{
		{"datetime", 10 * time.Millisecond / 3, "2006-01-02 15:04:05.000"},
		{"smalldatetime", time.Minute, "2006-01-02 15:04:05.000"},
		{"datetime2(0)", time.Second, "2006-01-02 15:04:05.000"},
		{"datetime2(3)", time.Millisecond, "2006-01-02 15:04:05.000"},
		{"datetime2(7)", 100 * time.Nanosecond, "2006-01-02 15:04:05.0000000"},
	} {
		t.Run(c.typ, func(t *testing.T) {
			begin := time.Date(2024, 2, 29, 23, 59, 0, 0, time.UTC)
			var rows []cells
			for i := range 900 {
				date := begin.Add(time.Duration(i) * c.step)
				stored := date.Format(c.form)
				if c.typ == "datetime" {
					stored = datetime(date.Round(time.Millisecond))
				}
				if strings.HasSuffix(stored, "0000") && c.typ == "datetime2(7)" {
					stored = strings.TrimSuffix(stored, "0000") // whole milliseconds
				}
				rows = append(rows, plain(cisco.SentDate, stored, cisco.ThreadID, fmt.Sprint(i)))
			}
			s := tdstest.Start(t, func(db *sqlite.Conn) {
				create(t, db, strings.Replace(tdstest.JM, "SENT_DATE datetime", "SENT_DATE "+c.typ, 1)+"; CREATE INDEX i ON JM (SENT_DATE)")
				insert(t, db, rows)
			})
			src := open(t, s)
			compare(t, scan(t, src, cisco.ScanOptions{}), rows)
			if sent := strings.Join(s.Statements(), "\n"); !strings.Contains(sent, "> CONVERT("+c.typ+", @p2, 126)") {
				t.Error("the table was not read along the date")
			}
		})
	}
}
