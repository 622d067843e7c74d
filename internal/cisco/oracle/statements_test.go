package oracle

import (
	"strings"
	"testing"

	ora "github.com/sijms/go-ora/v2"

	"archivolt/internal/cisco"
)

// source makes a Source of columns that are "NAME TYPE", as introspection would.
func source(cutsLOB bool, columns ...string) *Source {
	s := &Source{table: relation{owner: "TCUSER", name: "JM"}, cutsLOB: cutsLOB}
	for _, c := range columns {
		name, dataType, _ := strings.Cut(c, " ")
		f := newField(name, dataType)
		f.column = cisco.ColumnNamed(name)
		s.fields = append(s.fields, f)
	}
	return s
}

// TestSelect holds the statements against text that was written by hand from
// the SQL Language Reference.
func TestSelect(t *testing.T) {
	documented := columnsOf(oracleTypes)
	others := []string{"TO_JID NVARCHAR2", "from_jid CHAR", "SENT_DATE TIMESTAMP(9) WITH TIME ZONE", "SUBJECT RAW", "BODY_LEN FLOAT", "BODY_STRING NCHAR", "BODY_TEXT NCLOB", "MESSAGE_TEXT LONG"}
	const hint = "/*+ FULL(t) NO_PARALLEL(t) NO_INMEMORY(t) */ "
	for name, c := range map[string]struct {
		s     *Source
		short bool
		where string
		want  string
	}{
		"documented": {source(true, documented...), false, "",
			`SELECT ` + hint + `"TO_JID", "FROM_JID", TO_CHAR("SENT_DATE", 'YYYY-MM-DD HH24:MI:SS.FF9'), "SUBJECT", "THREAD_ID", "MSG_TYPE", "DIRECTION", TO_CHAR("BODY_LEN", 'TM9'), TO_CHAR("MESSAGE_LEN", 'TM9'), "BODY_STRING", "MESSAGE_STRING", "BODY_TEXT", "MESSAGE_TEXT", "HISTORY_FLAG" FROM "TCUSER"."JM" t`},
		"documented, short": {source(true, documented...), true, "",
			`SELECT ` + hint + `"TO_JID", "FROM_JID", TO_CHAR("SENT_DATE", 'YYYY-MM-DD HH24:MI:SS.FF9'), "SUBJECT", "THREAD_ID", "MSG_TYPE", "DIRECTION", TO_CHAR("BODY_LEN", 'TM9'), TO_CHAR("MESSAGE_LEN", 'TM9'), SUBSTR("BODY_STRING", 1, 256), SUBSTR("MESSAGE_STRING", 1, 256), DBMS_LOB.SUBSTR("BODY_TEXT", 256, 1), DBMS_LOB.SUBSTR("MESSAGE_TEXT", 256, 1), "HISTORY_FLAG", ` +
				`CASE WHEN LENGTH("BODY_STRING") > 128 OR LENGTH("MESSAGE_STRING") > 128 OR LENGTH("BODY_TEXT") > 128 OR LENGTH("MESSAGE_TEXT") > 128 THEN 'Y' ELSE 'N' END FROM "TCUSER"."JM" t`},
		"short, without DBMS_LOB": {source(false, "TO_JID VARCHAR2", "BODY_TEXT CLOB", "BODY_STRING VARCHAR2"), true, "",
			`SELECT ` + hint + `"TO_JID", "BODY_TEXT", SUBSTR("BODY_STRING", 1, 256), CASE WHEN LENGTH("BODY_STRING") > 128 THEN 'Y' ELSE 'N' END FROM "TCUSER"."JM" t`},
		"nothing to cut": {source(true, "MESSAGE_TEXT LONG", "BODY_TEXT BLOB"), true, "",
			`SELECT ` + hint + `"MESSAGE_TEXT", "BODY_TEXT", 'N' FROM "TCUSER"."JM" t`},
		"other types": {source(true, others...), false, "",
			`SELECT ` + hint + `"TO_JID", "from_jid", TO_CHAR(SYS_EXTRACT_UTC("SENT_DATE"), 'YYYY-MM-DD HH24:MI:SS.FF9'), "SUBJECT", TO_CHAR("BODY_LEN", 'TM9'), "BODY_STRING", "BODY_TEXT", "MESSAGE_TEXT" FROM "TCUSER"."JM" t`},
		"other types, short": {source(true, others...), true, "",
			`SELECT ` + hint + `"TO_JID", "from_jid", TO_CHAR(SYS_EXTRACT_UTC("SENT_DATE"), 'YYYY-MM-DD HH24:MI:SS.FF9'), "SUBJECT", TO_CHAR("BODY_LEN", 'TM9'), SUBSTR("BODY_STRING", 1, 256), DBMS_LOB.SUBSTR("BODY_TEXT", 256, 1), "MESSAGE_TEXT", ` +
				`CASE WHEN LENGTH("BODY_STRING") > 128 OR LENGTH("BODY_TEXT") > 128 THEN 'Y' ELSE 'N' END FROM "TCUSER"."JM" t`},
		"dates":  {source(true, "SENT_DATE DATE"), false, "", `SELECT ` + hint + `TO_CHAR("SENT_DATE", 'YYYY-MM-DD HH24:MI:SS') FROM "TCUSER"."JM" t`},
		"local":  {source(true, "SENT_DATE TIMESTAMP(6) WITH LOCAL TIME ZONE"), false, "", `SELECT ` + hint + `TO_CHAR(SYS_EXTRACT_UTC("SENT_DATE"), 'YYYY-MM-DD HH24:MI:SS.FF9') FROM "TCUSER"."JM" t`},
		"lookup": {source(true, "TO_JID VARCHAR2"), false, " WHERE 1 = 0", `SELECT "TO_JID" FROM "TCUSER"."JM" t WHERE 1 = 0`},
	} {
		if got := c.s.selectSQL(c.short, c.where); got != c.want {
			t.Errorf("%s:\n%s\nnot\n%s", name, got, c.want)
		}
	}
}

func TestKinds(t *testing.T) {
	for dataType, want := range map[string]kind{"VARCHAR2": text, "NVARCHAR2": text, "CHAR": text, "NCHAR": text, "CLOB": clob, "NCLOB": clob, "LONG": native, "RAW": native, "LONG RAW": native, "BLOB": native,
		"DATE": date, "TIMESTAMP(0)": stamp, "TIMESTAMP(6)": stamp, "TIMESTAMP(3) WITH TIME ZONE": zoned, "TIMESTAMP(9) WITH LOCAL TIME ZONE": zoned,
		"NUMBER": number, "FLOAT": number, "BINARY_FLOAT": number, "BINARY_DOUBLE": number,
		"XMLTYPE": unreadable, "JSON": unreadable, "BOOLEAN": unreadable, "INTERVAL DAY(2) TO SECOND(6)": unreadable, "BFILE": unreadable, "ROWID": unreadable, "": unreadable} {
		if got := newField("X", dataType).kind; got != want {
			t.Errorf("%s is read as %d, not %d", dataType, got, want)
		}
	}
}

func TestWhere(t *testing.T) {
	long := strings.Repeat("x", 64)
	astral := strings.Repeat("😀", 33) // 66 units, of which an index may hold 64
	fields := source(true, "FROM_JID VARCHAR2").fields
	national := source(true, "TO_JID NVARCHAR2").fields
	for name, c := range map[string]struct {
		fields    []field
		lookup    cisco.Lookup
		want      string
		arguments []any
	}{
		"nothing": {fields, cisco.Lookup{}, ` WHERE 1 = 0`, nil},
		"empty":   {fields, cisco.Lookup{Equals: []string{""}}, ` WHERE 1 = 0`, nil},
		"both": {fields, cisco.Lookup{Starts: []string{`a_%\'b`}, Equals: []string{`a_%\'b`}},
			` WHERE ((SUBSTR("FROM_JID", 1, 64) LIKE :1 ESCAPE '\') OR (SUBSTR("FROM_JID", 1, 64) = :2 AND "FROM_JID" = :3))`,
			[]any{`a\_\%\\'b%`, `a_%\'b`, `a_%\'b`}},
		"fills the index": {fields, cisco.Lookup{Starts: []string{long}, Equals: []string{long}},
			` WHERE ((SUBSTR("FROM_JID", 1, 64) LIKE :1 ESCAPE '\') OR (SUBSTR("FROM_JID", 1, 64) = :2 AND "FROM_JID" = :3))`,
			[]any{long + "%", long, long}},
		"longer than the index": {fields, cisco.Lookup{Starts: []string{long + "_"}, Equals: []string{long + "_"}},
			` WHERE ((SUBSTR("FROM_JID", 1, 64) LIKE :1 ESCAPE '\' AND "FROM_JID" LIKE :2 ESCAPE '\') OR (SUBSTR("FROM_JID", 1, 64) LIKE :3 ESCAPE '\' AND "FROM_JID" = :4))`,
			[]any{long + "%", long + `\_%`, long + "%", long + "_"}},
		"national": {national, cisco.Lookup{Equals: []string{astral}},
			` WHERE ((SUBSTR("TO_JID", 1, 64) LIKE :1 ESCAPE '\' AND "TO_JID" = :2))`,
			[]any{ora.NVarChar(strings.Repeat("😀", 32) + "%"), ora.NVarChar(astral)}},
	} {
		got, arguments := where(c.fields, &c.lookup)
		same := len(arguments) == len(c.arguments)
		for i := range arguments {
			same = same && arguments[i] == c.arguments[i]
		}
		if got != c.want || !same {
			t.Errorf("%s:\n%s\nnot\n%s\n%q", name, got, c.want, arguments)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	if got := (relation{owner: `TC"USER`, name: "Jm x"}).quoted(); got != `"TCUSER"."Jm x"` {
		t.Error(got)
	}
}
