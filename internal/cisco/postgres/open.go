package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// Options say which table is read.
type Options struct {
	Schema   string // empty: wherever it is found
	Table    string // empty: jm
	Password string // used where the connection string has none
}

// Source is a table JM in a database, open in one transaction. Its methods must
// not be used at the same time.
type Source struct {
	object   string // host and database, for problems
	conn     *pgconn.PgConn
	table    relation
	notes    []string
	server   string // version
	encoding string
	size     int64

	fields []field // of the select list, behind the place
	free   sync.Pool
	long   string // the condition that some value is longer than cisco.ShortChars
}

// relation is a table as the catalogue has it.
type relation struct {
	schema, name string
	oid          string
	heap         bool // has ctids that find rows
}

func (r relation) quoted() string { return quote(r.schema) + "." + quote(r.name) }

// quote writes an identifier for SQL (PostgreSQL manual, 4.1.1).
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// field is one column that is read.
type field struct {
	column cisco.Column
	name   string // quoted
	stamp  bool   // a timestamp, read as such
	text   bool   // can be read without a conversion
}

// Open connects to the database that url names, as libpq writes it (a URL or
// keywords; PGPASSWORD, ~/.pgpass and services are looked at too), begins the
// transaction and finds the table.
func Open(ctx context.Context, url string, o Options) (*Source, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, problem.New(problem.Usage, "", "this is no connection string that PostgreSQL understands", "write it as postgres://user@host:5432/tcmadb?sslmode=verify-full")
	}
	if o.Password != "" {
		config.Password = o.Password
	}
	s := &Source{object: fmt.Sprintf("%s/%s", config.Host, config.Database)}
	for name, value := range settings {
		if _, ok := config.RuntimeParams[name]; !ok || name != "application_name" {
			config.RuntimeParams[name] = value
		}
	}
	if s.conn, err = pgconn.ConnectConfig(ctx, config); err != nil {
		return nil, s.unreachable(ctx, err)
	}
	if err := s.begin(ctx, o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// settings of the session. Two scans must give the same order: no scan joins
// another one in its middle, and none is shared between processes.
var settings = map[string]string{
	"application_name":                    "archivolt",
	"default_transaction_read_only":       "on",
	"synchronize_seqscans":                "off",
	"max_parallel_workers_per_gather":     "0",
	"lock_timeout":                        "10s", // behind somebody who changes the table
	"statement_timeout":                   "0",   // a whole archive is one statement
	"idle_in_transaction_session_timeout": "0",
	"standard_conforming_strings":         "on", // the archiver's manual wants it off
	"client_encoding":                     "UTF8",
	"row_security":                        "off", // a policy that hides rows is an error
	"timezone":                            "UTC",
	"datestyle":                           "ISO",
}

func (s *Source) begin(ctx context.Context, o Options) error {
	if _, err := s.query(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return err
	}
	rows, err := s.query(ctx, "SELECT current_setting('server_version')")
	if err != nil {
		return err
	}
	s.server = rows[0][0]
	if s.encoding = s.conn.ParameterStatus("server_encoding"); s.encoding == "SQL_ASCII" {
		// The server knows of no characters: what is no UTF-8 comes as it is.
		if _, err := s.query(ctx, "SET client_encoding = 'SQL_ASCII'"); err != nil {
			return err
		}
	}
	name := o.Table
	if name == "" {
		name = "jm"
	}
	found, err := s.find(ctx, o.Schema, name)
	if err != nil {
		return err
	}
	if found == nil {
		return problem.New(problem.NoArchive, s.object, "there is no table "+name+" that this user may see", "name its schema and its table with --schema and --table")
	}
	s.table = *found
	return s.introspect(ctx)
}

// find looks a relation up, in any letter case. It is nil if there is none.
func (s *Source) find(ctx context.Context, schema, name string) (*relation, error) {
	rows, err := s.query(ctx, findSQL, name, schema)
	if err != nil {
		return nil, err
	}
	switch {
	case len(rows) == 0:
		return nil, nil
	case len(rows) > 1 && rows[0][4] == rows[1][4] && rows[0][6] == rows[1][6]:
		var list []string
		for _, r := range rows {
			list = append(list, r[0]+"."+r[1])
		}
		return nil, problem.New(problem.Usage, s.object, "more than one table has this name: "+strings.Join(list, ", "), "choose one with --schema and --table")
	}
	r := rows[0]
	return &relation{schema: r[0], name: r[1], oid: r[2], heap: (r[3] == "r" || r[3] == "m") && r[5] == "f"}, nil
}

func (s *Source) introspect(ctx context.Context) error {
	columns, err := s.query(ctx, columnsSQL, s.table.oid)
	if err != nil {
		return err
	}
	var known []cisco.Column
	for _, c := range columns {
		known = append(known, cisco.ColumnNamed(c[0]))
	}
	if s.notes, err = cisco.CheckColumns(s.object+", table "+s.table.name, known, "name the right table with --schema and --table"); err != nil {
		return err
	}
	for i, c := range columns {
		if known[i] == cisco.UnknownColumn {
			continue
		}
		s.fields = append(s.fields, field{column: known[i], name: quote(c[0]), stamp: c[1] == "timestamp" || c[1] == "timestamptz", text: c[1] == "varchar" || c[1] == "text" || c[1] == "bpchar"})
	}
	s.long = s.longCondition()
	hidden, err := s.query(ctx, hiddenSQL, s.table.oid)
	if err != nil {
		return err
	}
	for _, h := range hidden {
		s.notes = append(s.notes, "has "+h[0]+" beside it, which this user may not read: GRANT SELECT ON "+quote(s.table.schema)+"."+quote(h[0]))
	}
	if s.table.heap {
		size, err := s.query(ctx, "SELECT pg_catalog.pg_table_size($1::oid)", s.table.oid)
		if err != nil {
			return err
		}
		fmt.Sscan(size[0][0], &s.size)
	}
	if s.size > bigTable {
		s.notes = append(s.notes, fmt.Sprintf("takes %d GB: while it is read, the server cannot clear away rows that are deleted; read a copy if that matters", s.size>>30))
	}
	return nil
}

// bigTable is from which size on, in bytes, reading takes long enough for
// VACUUM to matter.
const bigTable = 20 << 30

// Describe names the server and the table.
func (s *Source) Describe() string {
	return "PostgreSQL " + s.server + ", " + s.object + ", table " + s.table.schema + "." + s.table.name
}

// TableName is the table that was opened.
func (s *Source) TableName() (schema, table string) { return s.table.schema, s.table.name }

// Notes tells what is unusual about the table.
func (s *Source) Notes() []string { return s.notes }

// Size is how many bytes the table takes.
func (s *Source) Size() int64 { return s.size }

// Close ends the transaction and the connection.
func (s *Source) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.conn.Close(ctx) // it has read all it was to read
	return nil
}

// unreachable says why there is no connection.
func (s *Source) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p := problem.New(problem.Unavailable, s.object, "the database cannot be reached", "see that the server runs and that host, port and firewall are right")
	p.Err = err
	var server *pgconn.PgError
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &server):
		switch server.Code {
		case "28P01", "28000":
			p.What, p.Try = "the server refuses this user or password ("+server.Message+")", "set ARCHIVOLT_DB_PASSWORD, or see pg_hba.conf on the server"
			if server.Routine == "ClientAuthentication" {
				p.Try = "see pg_hba.conf on the server; sslmode=require in the URL, if it wants an encrypted connection"
			}
		case "3D000":
			p.Class, p.What, p.Try = problem.NoArchive, "there is no such database", "psql -l lists them"
		default:
			p.What = "the server says: " + server.Message
		}
	case errors.As(err, &dns):
		p.What, p.Try = "no host has this name", "check the host in the URL"
	case errors.As(err, &unknown), errors.As(err, &host):
		p.What, p.Try = "the server's certificate is not trusted", "add sslrootcert=FILE to the URL, the certificate of the authority that signed it"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		p.What, p.Try = "the server offers no encrypted connection", "sslmode=disable in the URL reads over the wire as it is: do so only where nobody listens"
	}
	return p
}
