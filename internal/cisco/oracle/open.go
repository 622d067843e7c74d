package oracle

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"sync"

	ora "github.com/sijms/go-ora/v2"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// Options say which table is read.
type Options struct {
	Schema   string // empty: the user's own before all others
	Table    string // empty: JM
	Password string // of the user in the connection string
}

// Source is a table JM in a database, open in one transaction. Its methods must
// not be used at the same time.
type Source struct {
	object  string // host and service, for problems
	conn    connection
	cut     func() // ends whatever conn waits for
	table   relation
	notes   []string
	server  string // version
	user    string // in whose name we read
	size    int64
	cutsLOB bool // the server lets us read the beginning of a CLOB

	fields []field // of the select list
	free   sync.Pool
	rows   int64 // of the first whole scan; -1 before it
}

// connection is what is used of the driver. database/sql would open a new
// connection, outside the transaction, when one is lost.
type connection interface {
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	Close() error
}

// relation is a table or view as the catalogue has it.
type relation struct {
	owner, name string
	view        bool
}

func (r relation) quoted() string { return quote(r.owner) + "." + quote(r.name) }

// quote writes an identifier for SQL. A quotation mark cannot be part of one
// (SQL Language Reference, "Database Object Naming Rules").
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, "") + `"` }

// Open connects to the database that url names, as go-ora writes it:
// oracle://user@host:1521/service, with its options behind a question mark.
// It begins the transaction and finds the table.
func Open(ctx context.Context, url string, o Options) (*Source, error) {
	t, err := parse(url, o.Password)
	if err != nil {
		return nil, err
	}
	conn, err := ora.NewConnection("", t.config)
	if err != nil {
		return nil, t.unreachable(ctx, err)
	}
	if err := t.connect(ctx, conn.OpenWithContext); err != nil {
		return nil, err
	}
	s := &Source{object: t.object, conn: conn, cut: t.wire.cut, notes: t.notes}
	if err := s.begin(ctx, o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// sessionSQL makes comparisons exact and numbers and years those of everybody,
// whatever the database's settings are.
const sessionSQL = "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY NLS_CALENDAR = 'GREGORIAN' NLS_NUMERIC_CHARACTERS = '.,'"

// readOnlySQL must be the first statement of its transaction.
const readOnlySQL = "SET TRANSACTION READ ONLY"

func (s *Source) begin(ctx context.Context, o Options) error {
	s.rows = -1
	if err := s.exec(ctx, sessionSQL); err != nil {
		return err
	}
	if _, err := s.conn.BeginTx(context.WithoutCancel(ctx), driver.TxOptions{}); err != nil { // no statement: the driver stops committing
		return s.failed(ctx, err, 0)
	}
	if err := s.exec(ctx, readOnlySQL); err != nil {
		return err
	}
	rows, err := s.query(ctx, userSQL)
	if err != nil {
		return err
	}
	s.user = rows[0][0]
	if rows, err = s.allowed(s.query(ctx, versionSQL)); err != nil {
		return err
	} else if len(rows) == 1 && rows[0][0] != "" {
		s.server = " " + rows[0][0]
	}
	name := o.Table
	if name == "" {
		name = "JM"
	}
	found, err := s.find(ctx, o.Schema, name)
	if err != nil {
		return err
	}
	if found == nil {
		return problem.New(problem.NoArchive, s.object, "there is no table "+name+" that this user may see",
			"name its schema and its table with --schema and --table; if it is there, its owner says GRANT SELECT ON "+quote(strings.ToUpper(name))+" TO "+quote(s.user))
	}
	s.table = *found
	return s.introspect(ctx)
}

// find looks a table or view up, in any letter case. It is nil if there is
// none.
func (s *Source) find(ctx context.Context, schema, name string) (*relation, error) {
	sql, arguments := findSQL, []any{name}
	if schema != "" {
		sql, arguments = findInSchemaSQL, []any{name, schema}
	}
	rows, err := s.query(ctx, sql, arguments...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if len(rows) > 1 && rows[0][3] == rows[1][3] {
		var list []string
		for _, r := range rows {
			list = append(list, r[0]+"."+r[1])
		}
		return nil, problem.New(problem.Usage, s.object, "more than one table has this name: "+strings.Join(list, ", "), "choose one with --schema and --table")
	}
	r := rows[0]
	return &relation{owner: r[0], name: r[1], view: r[2] == "VIEW"}, nil
}

func (s *Source) introspect(ctx context.Context) error {
	columns, err := s.query(ctx, columnsSQL, s.table.owner, s.table.name)
	if err != nil {
		return err
	}
	var known []cisco.Column
	for _, c := range columns {
		known = append(known, cisco.ColumnNamed(c[0]))
	}
	notes, err := cisco.CheckColumns(s.object+", table "+s.table.name, known, "name the right table with --schema and --table")
	if err != nil {
		return err
	}
	s.notes = append(s.notes, notes...)
	lob := false
	for i, c := range columns {
		if known[i] == cisco.UnknownColumn {
			continue
		}
		f := newField(c[0], c[1])
		if f.kind == unreadable {
			return s.typeProblem(s.table, c[0], c[1])
		}
		f.column = known[i]
		s.fields = append(s.fields, f)
		lob = lob || f.kind == clob
	}
	if lob {
		// Hardened servers keep the package from the public.
		rows, err := s.allowed(s.query(ctx, lobSQL))
		if err != nil {
			return err
		}
		s.cutsLOB = len(rows) == 1
	}
	if err := s.measure(ctx); err != nil {
		return err
	}
	if s.size > bigTable {
		s.notes = append(s.notes, fmt.Sprintf("takes %d GB: while it is read, the server must keep undo records of all that changes; read a copy, or at a quiet time", s.size>>30))
	}
	return nil
}

// bigTable is from which size on, in bytes, reading takes long enough for undo
// records to run out.
const bigTable = 20 << 30

// measure finds the size of the table: from the optimizer's statistics, or if
// there are none, from the space it takes, which only its owner sees.
func (s *Source) measure(ctx context.Context) error {
	rows, err := s.allowed(s.query(ctx, sizeSQL, s.table.owner, s.table.name))
	if err == nil && (len(rows) == 0 || rows[0][0] == "") && s.table.owner == s.user {
		rows, err = s.allowed(s.query(ctx, segmentSQL, s.table.name))
	}
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		s.size, _ = strconv.ParseInt(rows[0][0], 10, 64) // empty, or past all sense: unknown
	}
	return nil
}

func (s *Source) typeProblem(r relation, column, kind string) error {
	return problem.New(problem.Failed, s.object+", table "+r.name, "the column "+column+" has the type "+kind+", which is not read",
		"make a view in which it is a VARCHAR2 or CLOB, and name that with --table")
}

// Describe names the server and the table.
func (s *Source) Describe() string {
	return "Oracle" + s.server + ", " + s.object + ", table " + s.table.owner + "." + s.table.name
}

// TableName is the table that was opened.
func (s *Source) TableName() (schema, table string) { return s.table.owner, s.table.name }

// Notes tells what is unusual about the table and the connection.
func (s *Source) Notes() []string { return s.notes }

// Size is how many bytes the server thinks the table has.
func (s *Source) Size() int64 { return s.size }

// Close ends the transaction and the connection.
func (s *Source) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	_ = guarded(s.conn.Close) // it has read all it was to read
	s.cut()
	return nil
}
