package oracle

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sijms/go-ora/v2/network"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/problem"
)

func mustOpen(t *testing.T, s *server, o Options) *Source {
	t.Helper()
	src, err := s.open(o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return src
}

func plain(t *testing.T, rows []sample.Row) *server {
	t.Helper()
	s := newServer(t)
	s.table("TCUSER", "JM", "TABLE", columnsOf(oracleTypes)...)
	s.insert(rows)
	return s
}

func TestSource(t *testing.T) {
	clobs := oracleTypes
	clobs[cisco.ToJID] = "CLOB"
	for name, c := range map[string]struct {
		types  [cisco.NumColumns]string
		refuse []string
	}{
		"documented": {oracleTypes, nil},
		"hardened, and addresses that cannot be searched": {clobs, []string{"DBMS_LOB", "all_tables", "product_component_version"}},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.RunWith(t, sourcetest.Options{EmptyIsNull: true}, func(t *testing.T, rows []sample.Row) sourcetest.Table {
				s := newServer(t)
				for _, part := range c.refuse {
					s.refuse[part] = 904
				}
				s.table("TCUSER", "JM", "TABLE", columnsOf(c.types)...)
				s.insert(rows)
				return mustOpen(t, s, Options{})
			})
		})
	}
}

// TestOneSnapshot: whatever is read is read after SET TRANSACTION READ ONLY,
// that is first in a transaction which the driver does not commit, and nothing
// is ever run but queries.
func TestOneSnapshot(t *testing.T) {
	s := plain(t, sourcetest.Rows())
	src := mustOpen(t, s, Options{})
	ctx := context.Background()
	emit := func(b cisco.Batch) bool { b.Release(); return true }
	if err := errors.Join(src.Scan(ctx, cisco.ScanOptions{Short: true}, emit), src.Scan(ctx, cisco.ScanOptions{}, emit), src.Find(ctx, cisco.Lookup{Equals: []string{"a@x"}}, cisco.ScanOptions{}, emit)); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Advice(ctx); err != nil {
		t.Fatal(err)
	}
	begin := []string{"ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY NLS_CALENDAR = 'GREGORIAN' NLS_NUMERIC_CHARACTERS = '.,'", "(no more commits)", "SET TRANSACTION READ ONLY"}
	if !slices.Equal(s.statements[:3], begin) {
		t.Errorf("it begins with %q", s.statements[:3])
	}
	for _, sql := range s.statements[3:] {
		if !strings.HasPrefix(sql, "SELECT ") {
			t.Errorf("it runs %s", sql)
		}
	}
	if last := s.statements[len(s.statements)-2]; !strings.HasSuffix(last, ") ORDER BY ROWID") {
		t.Errorf("hits come in any order: %s", last)
	}
	if src.Close(); !s.closed {
		t.Error("the connection stays open")
	}
}

// TestTwoScansDiffer: a transaction that sees two states is not relied on.
func TestTwoScansDiffer(t *testing.T) {
	s := plain(t, sourcetest.Rows()[:5])
	src := mustOpen(t, s, Options{})
	emit := func(b cisco.Batch) bool { b.Release(); return true }
	if err := src.Scan(context.Background(), cisco.ScanOptions{}, emit); err != nil {
		t.Fatal(err)
	}
	s.do(`DELETE FROM "TCUSER"."JM" WHERE ROWID = 1`)
	check(t, src.Scan(context.Background(), cisco.ScanOptions{}, emit), problem.Failed, "the table had 5 rows when it was read first, and 4 now", "export the table, and report this")
}

func check(t *testing.T, err error, class problem.Class, what, try string) {
	t.Helper()
	var p *problem.Error
	if !errors.As(err, &p) || p.Class != class || p.What != what || p.Try != try {
		t.Errorf("%+v is not %d, %q, %q", err, class, what, try)
	}
}

// TestEndsEarly: what was read until then is no archive.
func TestEndsEarly(t *testing.T) {
	code := func(n int, message string) error { return &network.OracleError{ErrCode: n, ErrMsg: message} }
	const lost, back = "the connection was lost after 7 rows", "run the command again when the server is back"
	for name, c := range map[string]struct {
		err       error
		class     problem.Class
		what, try string
	}{
		"snapshot too old": {code(1555, "ORA-01555: snapshot too old: rollback segment number 9"), problem.Unavailable, "incomplete: the server no longer has the state of the start (ORA-01555)", "read at a quiet time, or have UNDO_RETENTION raised (docs/oracle.md)"},
		"of a CLOB":        {code(22924, "ORA-22924: snapshot too old"), problem.Unavailable, "incomplete: the server no longer has the state of the start (ORA-22924)", "read at a quiet time, or have the RETENTION of the CLOB columns raised (docs/oracle.md)"},
		"truncated":        {code(8103, "ORA-08103: object no longer exists"), problem.Unavailable, "incomplete: somebody emptied or dropped the table while it was read (ORA-08103)", "run the command again"},
		"altered":          {code(1466, "ORA-01466: unable to read data - table definition has changed"), problem.Unavailable, "incomplete: somebody changed the table itself while it was read (ORA-01466)", "run the command again"},
		"privileges":       {code(1031, "ORA-01031: insufficient privileges\n"), problem.Failed, "this user may not read the table (ORA-01031: insufficient privileges)", `GRANT SELECT ON "TCUSER"."JM" TO "READER"`},
		"no table":         {code(942, "ORA-00942: table or view \"TCUSER\".\"JM\" does not exist\nHelp: at some address"), problem.Failed, `this user may not read the table (ORA-00942: table or view "TCUSER"."JM" does not exist)`, `GRANT SELECT ON "TCUSER"."JM" TO "READER"`},
		"23ai":             {code(41900, ""), problem.Failed, "this user may not read the table (ORA-41900)", `GRANT SELECT ON "TCUSER"."JM" TO "READER"`},
		"another":          {code(600, "ORA-00600: internal error code\n"), problem.Failed, "the server says: ORA-00600: internal error code", ""},
		"killed":           {code(28, "ORA-00028: your session has been killed"), problem.Unavailable, lost, back},
		"server gone":      {code(3113, "ORA-03113: end-of-file on communication channel"), problem.Unavailable, lost, back},
		"bad connection":   {driver.ErrBadConn, problem.Unavailable, lost, back},
		"cut off":          {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), problem.Unavailable, lost, back},
		"broken":           {network.ErrConnReset, problem.Unavailable, lost, back},
		"driver":           {errors.New("TTC error: received code 99"), problem.Failed, "the driver does not understand the answer after 7 rows", "export the table, and report this"},
	} {
		t.Run(name, func(t *testing.T) {
			s := plain(t, sourcetest.Rows())
			src := mustOpen(t, s, Options{})
			s.failAfter, s.failWith = 7, c.err
			seen := 0
			err := src.Scan(context.Background(), cisco.ScanOptions{BatchBytes: 1}, func(b cisco.Batch) bool { seen += b.Len(); b.Release(); return true })
			if check(t, err, c.class, c.what, c.try); seen != 7 {
				t.Errorf("%d rows", seen)
			}
			if found, err := src.Table(context.Background(), "jm", []string{"TO_JID"}, func([][]byte) error { return nil }); !found || problem.ClassOf(err) != c.class {
				t.Errorf("another table: %v, %v", found, err)
			}
		})
	}
}

// TestCancelledWhileWaiting: the server says nothing, and nobody waits for it.
func TestCancelledWhileWaiting(t *testing.T) {
	s := plain(t, sourcetest.Rows())
	ctx, cancel := context.WithCancel(context.Background())
	s.block, s.waiting = make(chan struct{}), cancel
	src := mustOpen(t, s, Options{})
	if err := src.Scan(ctx, cisco.ScanOptions{}, func(b cisco.Batch) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

func TestFindsTheTable(t *testing.T) {
	few := []string{"TO_JID VARCHAR2", "SENT_DATE DATE"}
	jm := []string{"to_jid VARCHAR2", "From_Jid VARCHAR2", "SENT_DATE DATE", "BODY_STRING VARCHAR2", "EXTRA XMLTYPE"}
	const lacks = "lacks the columns SUBJECT, THREAD_ID, MSG_TYPE, DIRECTION, BODY_LEN, MESSAGE_LEN, MESSAGE_STRING, BODY_TEXT, MESSAGE_TEXT and HISTORY_FLAG"
	for name, c := range map[string]struct {
		tables    [][2]string
		columns   []string
		o         Options
		want      string
		class     problem.Class
		what, try string
	}{
		"another's":     {[][2]string{{"TCUSER", "JM"}}, jm, Options{}, "Oracle 19.0.0.0.0, host/service, table TCUSER.JM", 0, "", ""},
		"own first":     {[][2]string{{"TCUSER", "JM"}, {"READER", "JM"}}, jm, Options{}, "Oracle 19.0.0.0.0, host/service, table READER.JM", 0, "", ""},
		"named":         {[][2]string{{"TCUSER", "Copy"}, {"READER", "JM"}}, jm, Options{Schema: "tcuser", Table: "COPY"}, "Oracle 19.0.0.0.0, host/service, table TCUSER.Copy", 0, "", ""},
		"none":          {nil, nil, Options{}, "", problem.NoArchive, "there is no table JM that this user may see", `name its schema and its table with --schema and --table; if it is there, its owner says GRANT SELECT ON "JM" TO "READER"`},
		"not there":     {[][2]string{{"TCUSER", "JM"}}, jm, Options{Schema: "READER"}, "", problem.NoArchive, "there is no table JM that this user may see", `name its schema and its table with --schema and --table; if it is there, its owner says GRANT SELECT ON "JM" TO "READER"`},
		"another table": {[][2]string{{"TCUSER", "JM"}}, few, Options{}, "", problem.Failed, "this table lacks the columns FROM_JID and BODY_STRING (or another one with a text)", "name the right table with --schema and --table"},
		"type":          {[][2]string{{"TCUSER", "JM"}}, append(slices.Clone(jm[:4]), "BODY_TEXT XMLTYPE"), Options{}, "", problem.Failed, "the column BODY_TEXT has the type XMLTYPE, which is not read", "make a view in which it is a VARCHAR2 or CLOB, and name that with --table"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			for _, table := range c.tables {
				s.table(table[0], table[1], "TABLE", c.columns...)
			}
			src, err := s.open(c.o)
			if c.want == "" {
				check(t, err, c.class, c.what, c.try)
				return
			}
			if err != nil || src.Describe() != c.want {
				t.Fatalf("%v, %s", err, src.Describe())
			}
			if want := []string{lacks, "has 1 column that is not the archiver's, which is ignored"}; !slices.Equal(src.Notes(), want) {
				t.Errorf("%q", src.Notes())
			}
		})
	}
	s := newServer(t)
	s.table("TCUSER", "JM_A", "TABLE", jm...)
	s.do("INSERT INTO all_objects VALUES ('TCUSER', 'jm_a', 'VIEW');")
	_, err := s.open(Options{Table: "Jm_a"})
	check(t, err, problem.Usage, "more than one table has this name: TCUSER.JM_A, TCUSER.jm_a", "choose one with --schema and --table")
}

func TestRefusedAtTheBeginning(t *testing.T) {
	for part, want := range map[string]string{
		"ALTER SESSION":   "the server says: ORA-00900: the server's words",
		"SET TRANSACTION": "the server says: ORA-00900: the server's words",
		"all_objects":     "the server says: ORA-00900: the server's words",
		"all_tab_columns": "the server says: ORA-00900: the server's words",
	} {
		s := plain(t, nil)
		s.refuse[part] = 900
		_, err := s.open(Options{})
		check(t, err, problem.Failed, want, "")
	}
	s := plain(t, nil)
	s.refuse["DBMS_LOB"] = 3113 // no refusal: the end
	_, err := s.open(Options{})
	check(t, err, problem.Unavailable, "the connection was lost after 0 rows", "run the command again when the server is back")
}

func TestSize(t *testing.T) {
	for name, c := range map[string]struct {
		owner, facts string
		want         int64
		note         bool
	}{
		"statistics": {"TCUSER", "INSERT INTO all_tables VALUES ('TCUSER', 'JM', 1000, 321)", 321000, false},
		"big":        {"TCUSER", "INSERT INTO all_tables VALUES ('TCUSER', 'JM', 100000000, 321)", 32100000000, true},
		"none":       {"TCUSER", "INSERT INTO all_tables VALUES ('TCUSER', 'JM', NULL, NULL); INSERT INTO user_segments VALUES ('JM', 65536)", 0, false},
		"own, none":  {"READER", "INSERT INTO all_tables VALUES ('READER', 'JM', NULL, NULL); INSERT INTO user_segments VALUES ('JM', 65536), ('JM', 1), ('X', 5)", 65537, false},
		"nothing":    {"READER", "", 0, false},
	} {
		s := newServer(t)
		s.table(c.owner, "JM", "TABLE", columnsOf(oracleTypes)...)
		s.do(c.facts)
		src := mustOpen(t, s, Options{})
		note := slices.Contains(src.Notes(), "takes 29 GB: while it is read, the server must keep undo records of all that changes; read a copy, or at a quiet time")
		if src.Size() != c.want || note != c.note {
			t.Errorf("%s: %d, %q", name, src.Size(), src.Notes())
		}
	}
}

func TestAdvice(t *testing.T) {
	const to, from = `CREATE INDEX "TCUSER"."ARCHIVOLT_TO_JID" ON "TCUSER"."JM" (SUBSTR("TO_JID", 1, 64)) ONLINE;`, `CREATE INDEX "TCUSER"."ARCHIVOLT_FROM_JID" ON "TCUSER"."JM" (SUBSTR("FROM_JID", 1, 64)) ONLINE;`
	for name, c := range map[string]struct{ kind, facts, want string }{
		"none":    {"TABLE", "INSERT INTO all_ind_expressions VALUES ('TCUSER', 'JM', 'SUBSTR(\"TO_JID\",1,640)'), ('TCUSER', 'JM2', 'SUBSTR(\"TO_JID\",1,64)')", to + "\n" + from},
		"one":     {"TABLE", "INSERT INTO all_ind_expressions VALUES ('TCUSER', 'JM', 'SUBSTR(\"TO_JID\",1,64)')", from},
		"both":    {"TABLE", "INSERT INTO all_ind_expressions VALUES ('TCUSER', 'JM', 'SUBSTR(\"TO_JID\",1,64)'), ('TCUSER', 'JM', 'SUBSTR(\"FROM_JID\",1,64)')", ""},
		"of view": {"VIEW", "", ""},
	} {
		s := newServer(t)
		s.table("TCUSER", "JM", c.kind, columnsOf(oracleTypes)...)
		s.do(c.facts)
		if got, err := mustOpen(t, s, Options{}).Advice(context.Background()); err != nil || got != c.want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

func TestTable(t *testing.T) {
	s := plain(t, nil)
	s.table("TCUSER", "TC_ROOMS", "TABLE", "ROOM_JID VARCHAR2", "subject VARCHAR2", "START_MSG_ID NUMBER", "STAMP TIMESTAMP(6)", "CONFIG CLOB", "FORM XMLTYPE")
	s.table("READER", "TC_USERS", "TABLE", "ROOM_JID VARCHAR2")
	s.do(`INSERT INTO "TCUSER"."TC_ROOMS" VALUES ('r@x', NULL, 5, '2024-01-31 09:00:00.123', '<x/>', NULL), ('s@x', 'it', NULL, NULL, NULL, NULL)`)
	src := mustOpen(t, s, Options{})
	var got []string
	list := func(cells [][]byte) error {
		line := ""
		for _, c := range cells {
			if c == nil {
				line += "NULL|"
			} else {
				line += string(c) + "|"
			}
		}
		got = append(got, line)
		return nil
	}
	found, err := src.Table(context.Background(), "tc_rooms", []string{"Room_JID", "TYPE", "SUBJECT", "START_MSG_ID", "STAMP", "CONFIG"}, list)
	if want := []string{"r@x|NULL|NULL|5|2024-01-31 09:00:00.123000000|<x/>|", "s@x|NULL|it|NULL|NULL|NULL|"}; !found || err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, %q", found, err, got)
	}
	got = nil
	found, err = src.Table(context.Background(), "TC_ROOMS", []string{"NONE"}, list)
	if want := []string{"NULL|", "NULL|"}; !found || err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, %q", found, err, got)
	}
	enough := errors.New("enough")
	if found, err := src.Table(context.Background(), "TC_ROOMS", []string{"SUBJECT"}, func([][]byte) error { return enough }); !found || err != enough {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := src.Table(context.Background(), "TC_USERS", nil, nil); found || err != nil {
		t.Errorf("a table of another schema: %v, %v", found, err)
	}
	_, err = src.Table(context.Background(), "TC_ROOMS", []string{"FORM"}, list)
	check(t, err, problem.Failed, "the column FORM has the type XMLTYPE, which is not read", "make a view in which it is a VARCHAR2 or CLOB, and name that with --table")
}

// TestUnknownValue: a value that is no text spoils its row, not the others.
func TestUnknownValue(t *testing.T) {
	src := source(true, "TO_JID VARCHAR2", "SUBJECT RAW")
	var b cisco.RowBuffer
	src.add(&b, 1, []driver.Value{"a@x", 3.5}, false)
	src.add(&b, 2, []driver.Value{"", []byte("bytes")}, false)
	var r cisco.Row
	if b.Row(0, &r); r.Problem != "the driver gives no text for the column SUBJECT" || string(r.Cells[cisco.ToJID]) != "a@x" {
		t.Errorf("%+v", r)
	}
	if b.Row(1, &r); r.Problem != "" || r.Cells[cisco.ToJID] != nil || string(r.Cells[cisco.Subject]) != "bytes" {
		t.Errorf("%+v", r)
	}
}

// cesu writes text as Oracle's character set UTF8 does: each UTF-16 unit by
// itself.
func cesu(text string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		if u < 0x800 {
			b = utf8.AppendRune(b, rune(u))
		} else {
			b = append(b, 0xe0|byte(u>>12), 0x80|byte(u>>6&0x3f), 0x80|byte(u&0x3f))
		}
	}
	return string(b)
}

func FuzzText(f *testing.F) {
	f.Add("a😀b\U0010ffff한\ud7ff\ue000")
	f.Add("\xed\xa0\xbd")
	f.Add("\xed\xa0\xbd\xed\xa0\xbd\xed\xb8\x80")
	f.Add("\xed\xa0\x00\xed\xb8\x80")
	f.Fuzz(func(t *testing.T, text string) {
		if utf8.ValidString(text) {
			for _, stored := range []string{text, cesu(text)} {
				if got := string(appendText([]byte("before"), stored)); got != "before"+text {
					t.Errorf("%q becomes %q", stored, got)
				}
			}
		}
		if got := appendText(nil, text); len(got) > len(text) {
			t.Errorf("%q becomes %q", text, got)
		}
		if n := firstChars([]byte(text), 3); string([]rune(text[:n])) != string([]rune(text)[:min(3, len([]rune(text)))]) {
			t.Errorf("%d bytes of %q", n, text)
		}
	})
}
