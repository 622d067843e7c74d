// This is a stand-in for the driver and an Oracle server. It runs the statements
// on SQLite, which has SUBSTR, LENGTH, LIKE with ESCAPE, CASE and ROWID as
// Oracle does, and brings the rest: the catalogue, TO_CHAR with the masks that
// are used, and NULL for an empty text. It shows that the statements say what is
// meant, not that Oracle takes them.

package oracle

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	ora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/network"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
)

// server is the stand-in: one connection to one database.
type server struct {
	t          *testing.T
	db         *sqlite.Conn
	statements []string       // that were run
	refuse     map[string]int // part of a statement: error code
	failAfter  int64          // rows of table JM; -1 is never
	failWith   error
	block      chan struct{} // closed by cut; where it is not nil, JM gives no row before
	waiting    func()        // called before
	closed     bool
}

// oracleTypes are those of the vendor's guide.
var oracleTypes = [cisco.NumColumns]string{"VARCHAR2", "VARCHAR2", "TIMESTAMP(6)", "VARCHAR2", "VARCHAR2", "VARCHAR2", "VARCHAR2",
	"NUMBER", "NUMBER", "VARCHAR2", "VARCHAR2", "CLOB", "CLOB", "VARCHAR2"}

const catalogue = `
CREATE TABLE dual (dummy); INSERT INTO dual VALUES ('X');
CREATE TABLE product_component_version (product, version); INSERT INTO product_component_version VALUES ('Oracle Database 19c Enterprise Edition', '19.0.0.0.0'), ('PL/SQL', '20');
CREATE TABLE all_objects (owner, object_name, object_type);
CREATE TABLE all_tab_columns (owner, table_name, column_name, data_type, column_id);
CREATE TABLE all_tables (owner, table_name, num_rows, avg_row_len);
CREATE TABLE user_segments (segment_name, bytes);
CREATE TABLE all_ind_expressions (table_owner, table_name, column_expression);
ATTACH ':memory:' AS "TCUSER"; ATTACH ':memory:' AS "READER";`

func newServer(t *testing.T) *server {
	t.Helper()
	db, err := sqlite.OpenConn(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &server{t: t, db: db, failAfter: -1, refuse: map[string]int{}}
	s.function("SYS_CONTEXT", 2, func(a []sqlite.Value) (string, bool) { return "READER", true })
	s.function("DBMS_LOB_SUBSTR", 3, func(a []sqlite.Value) (string, bool) {
		text := []rune(a[0].Text())
		return string(text[:min(len(text), a[1].Int())]), a[0].Type() != sqlite.TypeNull
	})
	s.function("TO_CLOB", 1, func(a []sqlite.Value) (string, bool) { return a[0].Text(), true })
	s.function("SYS_EXTRACT_UTC", 1, func(a []sqlite.Value) (string, bool) {
		at, err := time.Parse(time.RFC3339, a[0].Text())
		return at.UTC().Format("2006-01-02 15:04:05.000"), err == nil
	})
	s.function("TO_CHAR", 2, func(a []sqlite.Value) (string, bool) {
		v := a[0].Text()
		switch mask := a[1].Text(); mask {
		case "TM9":
		case "YYYY-MM-DD HH24:MI:SS":
			v = v[:len("2006-01-02 15:04:05")]
		case "YYYY-MM-DD HH24:MI:SS.FF9":
			v += "000000"
		default:
			t.Errorf("mask %q", mask)
		}
		return v, a[0].Type() != sqlite.TypeNull
	})
	s.do("PRAGMA case_sensitive_like = ON;" + catalogue)
	return s
}

func (s *server) function(name string, arguments int, f func(a []sqlite.Value) (text string, ok bool)) {
	if err := s.db.CreateFunction(name, &sqlite.FunctionImpl{NArgs: arguments, Scalar: func(_ sqlite.Context, a []sqlite.Value) (sqlite.Value, error) {
		if text, ok := f(a); ok {
			return sqlite.TextValue(text), nil
		}
		return sqlite.Value{}, nil
	}}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) do(script string) {
	s.t.Helper()
	if err := sqlitex.ExecuteScript(s.db, script, nil); err != nil {
		s.t.Fatal(err)
	}
}

// table makes a table or view of the catalogue: columns are "NAME TYPE".
func (s *server) table(owner, name, kind string, columns ...string) {
	s.t.Helper()
	var list []string
	for i, c := range columns {
		column, dataType, _ := strings.Cut(c, " ")
		list = append(list, `"`+column+`"`)
		s.do(fmt.Sprintf("INSERT INTO all_tab_columns VALUES ('%s', '%s', '%s', '%s', %d);", owner, name, column, dataType, i+1))
	}
	s.do(fmt.Sprintf(`INSERT INTO all_objects VALUES ('%s', '%s', '%s'); CREATE TABLE "%s"."%s" (%s);`, owner, name, kind, owner, name, strings.Join(list, ", ")))
}

func columnsOf(types [cisco.NumColumns]string) (list []string) {
	for i, name := range cisco.ColumnNames() {
		list = append(list, name+" "+types[i])
	}
	return list
}

// insert puts rows into TCUSER.JM.
func (s *server) insert(rows []sample.Row) {
	s.t.Helper()
	for _, r := range rows {
		cells := make([]any, len(r.Cells))
		for i, c := range r.Cells {
			if c != sample.NULL && c != "" {
				cells[i] = c
			}
		}
		if err := sqlitex.Execute(s.db, `INSERT INTO "TCUSER"."JM" VALUES (`+strings.Repeat("?,", 13)+"?)", &sqlitex.ExecOptions{Args: cells}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.do(`INSERT INTO all_tables SELECT 'TCUSER', 'JM', count(*), ifnull(avg(length(BODY_STRING) + ifnull(length(MESSAGE_STRING), 0) + 200), 0) FROM "TCUSER"."JM";`)
}

// open begins the reading, as Open does behind the driver.
func (s *server) open(o Options) (*Source, error) {
	src := &Source{object: "host/service", conn: s, cut: func() {}}
	if s.block != nil {
		src.cut = func() { close(s.block) }
	}
	return src, src.begin(context.Background(), o)
}

func (s *server) Close() error { s.closed = true; return nil }

func (s *server) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	s.statements = append(s.statements, "(no more commits)")
	return nil, nil
}

func (s *server) refused(sql string) error {
	s.statements = append(s.statements, sql)
	for part, code := range s.refuse {
		if strings.Contains(sql, part) {
			return &network.OracleError{ErrCode: code, ErrMsg: fmt.Sprintf("ORA-%05d: the server's words\nHelp: more of them", code)}
		}
	}
	return nil
}

func (s *server) ExecContext(_ context.Context, sql string, _ []driver.NamedValue) (driver.Result, error) {
	return nil, s.refused(sql)
}

func (s *server) QueryContext(_ context.Context, sql string, arguments []driver.NamedValue) (driver.Rows, error) {
	if err := s.refused(sql); err != nil {
		return nil, err
	}
	stmt, _, err := s.db.PrepareTransient(shallow(strings.ReplaceAll(sql, "DBMS_LOB.SUBSTR(", "DBMS_LOB_SUBSTR(")))
	if err != nil {
		s.t.Errorf("%v in %.2000s", err, sql)
		return nil, &network.OracleError{ErrCode: 900}
	}
	for _, a := range arguments {
		switch v := a.Value.(type) {
		case string:
			stmt.BindText(a.Ordinal, v)
		case ora.NVarChar:
			stmt.BindText(a.Ordinal, string(v))
		default:
			s.t.Errorf("an argument of type %T", v)
		}
	}
	return &rows{server: s, stmt: stmt, jm: strings.Contains(sql, `"JM"`)}, nil
}

// shallow nests the parts of a condition less deeply than one after the other:
// SQLite bounds the depth.
func shallow(sql string) string {
	head, rest, ok := strings.Cut(sql, " WHERE ((")
	if !ok {
		return sql
	}
	condition, tail, _ := strings.Cut(rest, "))")
	var nest func(list []string) string
	nest = func(list []string) string {
		if n := len(list) / 2; n > 0 {
			return "(" + nest(list[:n]) + " OR " + nest(list[n:]) + ")"
		}
		return "(" + list[0] + ")"
	}
	return head + " WHERE " + nest(strings.Split(condition, ") OR (")) + tail
}

type rows struct {
	server *server
	stmt   *sqlite.Stmt
	jm     bool
	count  int64
}

func (r *rows) Columns() []string { return make([]string, r.stmt.ColumnCount()) }
func (r *rows) Close() error      { return r.stmt.Finalize() }

func (r *rows) Next(values []driver.Value) error {
	if r.jm && r.server.block != nil {
		r.server.waiting()
		<-r.server.block
		return io.ErrUnexpectedEOF
	}
	if r.jm && r.count == r.server.failAfter {
		return r.server.failWith
	}
	if more, err := r.stmt.Step(); err != nil || !more {
		if err != nil {
			r.server.t.Error(err)
		}
		return io.EOF
	}
	r.count++
	for i := range values {
		values[i] = nil
		if r.stmt.ColumnType(i) != sqlite.TypeNull {
			values[i] = r.stmt.ColumnText(i)
		}
	}
	return nil
}
