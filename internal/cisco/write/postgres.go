package write

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/problem"
)

// Postgres is an archive in a PostgreSQL database. A connection that was lost
// is made anew by the next call; what became of the call that lost it, Head
// tells. It is not safe for concurrent use.
type Postgres struct {
	config *pgconn.Config
	o      DatabaseOptions
	object string // host and database, for problems
	conn   *pgconn.PgConn
}

// defaultTimeout is how long one request to the server may take.
const defaultTimeout = time.Minute

// settings of the session. The server must notice soon when this machine is
// cut off, since until then the lock of an unfinished batch stays.
var settings = map[string]string{
	"application_name":                    "archivoltd",
	"client_encoding":                     "UTF8",
	"timezone":                            "UTC",
	"datestyle":                           "ISO",
	"standard_conforming_strings":         "on", // the archiver's manual wants it off
	"lock_timeout":                        "30s",
	"statement_timeout":                   "0",
	"idle_in_transaction_session_timeout": "30s",
	"tcp_keepalives_idle":                 "10", // seconds
	"tcp_keepalives_interval":             "5",
	"tcp_keepalives_count":                "3",
}

// OpenPostgres connects to the database that url names, as libpq writes it,
// and looks whether it can hold the archive.
func OpenPostgres(ctx context.Context, url string, o DatabaseOptions) (*Postgres, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, problem.New(problem.Usage, "", "this is no connection string that PostgreSQL understands", "write it as postgres://user@host:5432/tcmadb?sslmode=verify-full")
	}
	if o.Password != "" {
		config.Password = o.Password
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	maps.Copy(config.RuntimeParams, settings)
	p := &Postgres{config: config, o: o, object: config.Host + "/" + config.Database}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := p.connect(ctx); err != nil {
		return nil, err
	}
	p.o.Begun = true // a database that comes back empty is being restored
	return p, nil
}

// connect makes a connection where there is none.
func (p *Postgres) connect(ctx context.Context) (err error) {
	if p.conn != nil && !p.conn.IsClosed() {
		return nil
	}
	if p.conn, err = pgconn.ConnectConfig(ctx, p.config); err != nil {
		p.conn = nil
		return p.unreachable(err)
	}
	if err := p.inspect(ctx); err != nil {
		p.drop()
		return err
	}
	return nil
}

// drop ends a connection that nothing more is wanted from.
func (p *Postgres) drop() {
	if p.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = p.conn.Close(ctx) // the server rolls back what is not finished
	p.conn = nil
}

// Close ends the connection.
func (p *Postgres) Close() error {
	p.drop()
	return nil
}

// inspect looks whether the server and the tables can hold the archive.
func (p *Postgres) inspect(ctx context.Context) error {
	rows, err := p.query(ctx, "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_encoding'), pg_catalog.pg_is_in_recovery(), current_setting('default_transaction_read_only')")
	if err != nil {
		return err
	}
	r := rows[0]
	switch {
	case r[0] == "off" && !p.o.AllowUnsafe:
		return problem.New(problem.Failed, p.object, "the server has fsync = off: a power cut may take the whole archive", "set fsync = on in postgresql.conf")
	case r[1] == "off" && !p.o.AllowUnsafe:
		return problem.New(problem.Failed, p.object, "synchronous_commit is off: the server says that messages are stored before they are on the disk", "set it to on, in postgresql.conf or with ALTER ROLE … SET synchronous_commit = on")
	case r[2] != "UTF8":
		return problem.New(problem.Failed, p.object, "the database has the encoding "+r[2]+", which cannot hold every character", "make one with: createdb --encoding=UTF8 --template=template0 NAME")
	case r[3] == "t" || r[4] == "on":
		return problem.New(problem.Unavailable, p.object, "the server is a standby, or the database is for reading only", "name the primary in the URL")
	}
	if p.o.Create {
		if err := p.create(ctx); err != nil {
			return err
		}
	}
	return p.check(ctx)
}

// postgresTables are the tables with their declarations.
func postgresTables() map[string]string {
	return map[string]string{
		"jm":               columnsSQL(),
		"archivolt_events": eventColumnsSQL(),
		"archivolt_head": "one boolean PRIMARY KEY CHECK (one), version int NOT NULL, id varchar(32) NOT NULL, spool bigint NOT NULL, " +
			"generation bigint NOT NULL, key varchar(16) NOT NULL",
		"archivolt_marks": fmt.Sprintf("source varchar(%d) PRIMARY KEY, mark numeric(20) NOT NULL", MaxSource),
	}
}

// postgresTable is the statement that makes a table.
func postgresTable(name string) string {
	return "CREATE TABLE " + name + " (" + postgresTables()[name] + ")"
}

// PostgresSchema are the statements that make the tables, for administrators
// who do not let archivoltd do it.
func PostgresSchema() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(postgresTables())) {
		b.WriteString(postgresTable(name) + ";\n")
	}
	fmt.Fprintf(&b, "INSERT INTO archivolt_head VALUES (true, %d, replace(gen_random_uuid()::text, '-', ''), 0, 0, '');\n", schemaVersion)
	return b.String()
}

// PostgresGrants are the statements that give a role what it needs to write, and
// nothing else: it can neither read nor change what it has written.
func PostgresGrants(role string) string {
	return "GRANT INSERT ON jm, archivolt_events TO " + role + ";\nGRANT SELECT, UPDATE ON archivolt_head TO " + role + ";\nGRANT SELECT, INSERT, UPDATE ON archivolt_marks TO " + role + ";\n"
}

// create makes the tables that are not there. CREATE TABLE IF NOT EXISTS would
// need the right to make tables even where they are.
func (p *Postgres) create(ctx context.Context) error {
	if p.o.Begun {
		rows, err := p.query(ctx, "SELECT pg_catalog.to_regclass('archivolt_head') IS NULL")
		if err != nil || rows[0][0] == "t" {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(postgresTables())) {
		rows, err := p.query(ctx, "SELECT pg_catalog.to_regclass($1) IS NULL", name)
		if err != nil {
			return err
		}
		if rows[0][0] != "t" {
			continue
		}
		_, err = p.query(ctx, postgresTable(name))
		var server *pgconn.PgError
		if errors.As(err, &server) && server.Code == "42501" { // as for a role with the rights of the manual
			return problem.New(problem.Failed, p.object, "there is no table "+name+", and this user may not make it", byHand+", and grant what they grant: "+postgresTable(name))
		}
		if err != nil {
			return err
		}
	}
	rows, err := p.query(ctx, "SELECT count(*) FROM archivolt_head")
	if err != nil || rows[0][0] != "0" {
		return err
	}
	_, err = p.query(ctx, "INSERT INTO archivolt_head VALUES (true, $1, $2, 0, 0, '') ON CONFLICT DO NOTHING", strconv.Itoa(schemaVersion), newID())
	return err
}

// byHand is the remedy where tables are missing.
const byHand = "make it with the statements in docs/ops/cisco.md"

// check refuses tables that cannot hold every row, or not for good.
func (p *Postgres) check(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(postgresTables())) {
		rows, err := p.query(ctx, "SELECT relpersistence, pg_catalog.has_any_column_privilege(oid, 'INSERT') FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)", name)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return problem.New(problem.NoArchive, p.object, "there is no table "+name+" that this user may see", "if there was one, restore its dump; otherwise "+byHand)
		}
		if rows[0][0] != "p" {
			return problem.New(problem.Failed, p.object, "the table "+name+" is unlogged or temporary: the server empties it after a crash", "ALTER TABLE "+name+" SET LOGGED")
		}
		if rows[0][1] != "t" && name != "archivolt_head" { // whose row is there
			return problem.New(problem.Failed, p.object, "this user may not write to the table "+name, "GRANT INSERT ON "+name+" TO it; docs/ops/cisco.md has all rights that archivoltd needs")
		}
	}
	rows, err := p.query(ctx, `SELECT a.attname, CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 0 THEN a.atttypmod - 4 ELSE 0 END
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = pg_catalog.to_regclass('jm') AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		return err
	}
	limits := map[string]int{} // in characters; 0 for none
	for _, r := range rows {
		if limits[r[0]], err = strconv.Atoi(r[1]); err != nil {
			return err
		}
	}
	for i, name := range Columns {
		is, there := limits[name]
		if !there {
			return problem.New(problem.Failed, p.object, "the table jm has no column "+name, byHand)
		}
		want := 0
		_, _ = fmt.Sscanf(types[i], "varchar(%d)", &want) // other types have no limit
		if is != 0 && (is < want || types[i] == "text") {
			return problem.New(problem.Failed, p.object, fmt.Sprintf("the column %s of table jm holds %d characters only", name, is), "ALTER TABLE jm ALTER COLUMN "+name+" TYPE "+strings.TrimSuffix(types[i], " NN"))
		}
	}
	version, err := p.query(ctx, "SELECT version FROM archivolt_head")
	if err != nil {
		return err
	}
	if len(version) != 1 {
		return errNoHead
	}
	if n, _ := strconv.ParseInt(version[0][0], 10, 64); n != schemaVersion {
		return wrongVersion(p.object, n)
	}
	return nil
}

const headSQL = "SELECT id, spool, generation, key FROM archivolt_head"

// Head returns the state of the archive.
func (p *Postgres) Head(ctx context.Context) (Head, error) { return p.head(ctx, headSQL) }

// TakeOver makes this writer the only one, and returns the head with its
// generation: whoever wrote before gets ErrFenced.
func (p *Postgres) TakeOver(ctx context.Context) (Head, error) {
	return p.head(ctx, "UPDATE archivolt_head SET generation = generation + 1 RETURNING id, spool, generation, key")
}

func (p *Postgres) head(ctx context.Context, sql string) (h Head, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	if err := p.connect(ctx); err != nil {
		return h, err
	}
	rows, err := p.query(ctx, sql)
	if err != nil {
		return h, err
	}
	if len(rows) != 1 {
		return h, errNoHead
	}
	r := rows[0]
	h.Key = r[3]
	_, errSpool := fmt.Sscan(r[1], &h.Spool)
	_, errGeneration := fmt.Sscan(r[2], &h.Generation)
	return h, errors.Join(errSpool, errGeneration, h.setID(r[0]))
}

// Marks returns the highest delivery number of each source.
func (p *Postgres) Marks(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	if err := p.connect(ctx); err != nil {
		return nil, err
	}
	rows, err := p.query(ctx, "SELECT source, mark FROM archivolt_marks")
	if err != nil {
		return nil, err
	}
	marks := make(map[string]uint64, len(rows))
	for _, r := range rows {
		if marks[r[0]], err = strconv.ParseUint(r[1], 10, 64); err != nil {
			return nil, errors.New("the table archivolt_marks is damaged: a number is none")
		}
	}
	return marks, nil
}

// Append adds a batch, in one transaction. It is durable when Append returns
// nil. After ErrFenced and ErrMoved it is not there; after any other error it
// may be, if the connection was lost at the very end: Head tells.
func (p *Postgres) Append(ctx context.Context, b *Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	if err := p.connect(ctx); err != nil {
		return err
	}
	err := p.append(ctx, b)
	if err != nil { // also where the server could go on: nothing of this transaction may stay
		p.drop()
	}
	return err
}

func (p *Postgres) append(ctx context.Context, b *Batch) error {
	if _, err := p.query(ctx, "BEGIN"); err != nil {
		return err
	}
	// The head first: its lock keeps others out until the end.
	rows, err := p.query(ctx, "UPDATE archivolt_head SET spool = $1, key = $2 WHERE generation = $3 AND spool = $4 RETURNING 1",
		number(b.Spool), b.Key, number(b.Generation), number(b.After))
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		h, err := p.head(ctx, headSQL)
		if err == nil {
			err = notNow(h, b)
		}
		return err
	}
	for _, source := range slices.Sorted(maps.Keys(b.Marks)) {
		_, err := p.query(ctx, `INSERT INTO archivolt_marks VALUES ($1, $2)
			ON CONFLICT (source) DO UPDATE SET mark = greatest(archivolt_marks.mark, excluded.mark)`, storable(source), number(b.Marks[source]))
		if err != nil {
			return err
		}
	}
	if err := p.copy(ctx, "jm", Columns, len(b.Rows), func(i int) []Text { cells := b.Rows[i].cells(); return cells[:] }); err != nil {
		return err
	}
	if err := p.copy(ctx, "archivolt_events", EventColumns, len(b.Events), func(i int) []Text { return b.Events[i].cells() }); err != nil {
		return err
	}
	result, err := p.conn.Exec(ctx, "COMMIT").ReadAll()
	if err != nil {
		return p.failed(err)
	}
	// A transaction that failed is rolled back by COMMIT, without an error.
	if tag := result[0].CommandTag.String(); tag != "COMMIT" {
		return problem.New(problem.Unavailable, p.object, "the server answers COMMIT with "+tag, "see the server's log")
	}
	return nil
}

// copy brings n rows into a table.
func (p *Postgres) copy(ctx context.Context, table string, columns []string, n int, row func(i int) []Text) error {
	if n == 0 {
		return nil
	}
	tag, err := p.conn.CopyFrom(ctx, &copyText{n: n, row: row}, "COPY "+table+" ("+strings.Join(columns, ", ")+") FROM STDIN")
	if err != nil {
		return p.failed(err)
	}
	if tag.RowsAffected() != int64(n) {
		return problem.New(problem.Failed, p.object, fmt.Sprintf("of %d rows %d were taken: a trigger or rule on %s keeps the others out", n, tag.RowsAffected(), table), "remove it; nothing is lost, the messages wait")
	}
	return nil
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// copyText reads as rows in the text format of COPY (PostgreSQL manual, COPY,
// "Text Format").
type copyText struct {
	n    int // rows
	row  func(i int) []Text
	next int
	text bytes.Buffer
}

var copyEscaper = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

// writeText writes a text with its escapes. Most have none, being Base64, and
// looking for a byte is faster than replacing it.
func (c *copyText) writeText(text string) {
	if strings.IndexByte(text, '\\') < 0 && strings.IndexByte(text, '\t') < 0 && strings.IndexByte(text, '\n') < 0 && strings.IndexByte(text, '\r') < 0 {
		c.text.WriteString(text)
		return
	}
	_, _ = copyEscaper.WriteString(&c.text, text) // into memory
}

// Read gives what of the text fits into b.
func (c *copyText) Read(b []byte) (int, error) {
	for c.text.Len() < len(b) && c.next < c.n {
		for i, cell := range c.row(c.next) {
			if i > 0 {
				c.text.WriteByte('\t')
			}
			if !cell.Valid {
				c.text.WriteString(`\N`)
				continue
			}
			c.writeText(cell.Text)
		}
		c.text.WriteByte('\n')
		c.next++
	}
	if c.text.Len() == 0 {
		return 0, io.EOF
	}
	return c.text.Read(b)
}

// query runs a statement of which the answer is small.
func (p *Postgres) query(ctx context.Context, sql string, arguments ...string) (rows [][]string, err error) {
	values := make([][]byte, len(arguments))
	for i, a := range arguments {
		values[i] = []byte(a)
	}
	result := p.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, p.failed(result.Err)
	}
	for _, r := range result.Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// failed says what is wrong with a statement. What the server says about data
// may quote it, so of such an error only the code is told.
func (p *Postgres) failed(err error) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		lost := problem.New(problem.Unavailable, p.object, "the connection was lost, or the server does not answer", "see that the server runs, and what its log says")
		lost.Err = err
		return lost
	}
	what, try := "the server says: "+server.Message, "see the server's log"
	switch {
	case strings.HasPrefix(server.Code, "22"), strings.HasPrefix(server.Code, "23"):
		what, try = "the server refuses a row (code "+server.Code+")", "compare the table's columns and constraints with the statements in docs/ops/cisco.md; nothing is lost, the messages wait"
	case server.Code == "42501":
		try = "docs/ops/cisco.md has the rights that archivoltd needs"
	case server.Code == "53100":
		try = "make room on the server's disk; the messages wait"
	}
	refused := problem.New(problem.Unavailable, p.object, what, try)
	refused.Err = err
	return refused
}

// unreachable says why there is no connection.
func (p *Postgres) unreachable(err error) error {
	u := problem.New(problem.Unavailable, p.object, "the database cannot be reached", "see that the server runs and that host, port and firewall are right")
	u.Err = err
	var server *pgconn.PgError
	if errors.As(err, &server) {
		u.What = "the server says: " + server.Message
		switch server.Code {
		case "28P01", "28000":
			u.Try = "set ARCHIVOLT_DB_PASSWORD or ~/.pgpass, or see pg_hba.conf on the server"
		case "3D000":
			u.Class, u.Try = problem.NoArchive, "make it with: createdb --encoding=UTF8 --template=template0 NAME"
		}
	}
	return u
}
