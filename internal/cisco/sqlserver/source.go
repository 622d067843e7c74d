package sqlserver

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/microsoft/go-mssqldb/msdsn"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// Options say which table to open and how to log in.
type Options struct {
	Schema   string // dbo if empty; in any letter case
	Table    string // jm if empty; in any letter case
	Password string // of the login; not needed for Windows accounts on Windows
	// AllowLocks reads even where the server may lock the whole table against
	// writers until the reading ends.
	AllowLocks bool
}

// Source is table JM of a live SQL Server, open for reading over one
// connection. It is used by one goroutine at a time.
type Source struct {
	session *session
	version string
	way     way
	names   []tableName // all tables and views of the database
	jm      *table
	plan    plan
	notes   []string
	size    int64
	begun   bool // the SNAPSHOT transaction
	witness witness
	buffers sync.Pool
}

// way is how a database lets itself be read.
type way struct {
	snapshot  bool // SNAPSHOT transactions are allowed
	versioned bool // READ COMMITTED reads versions instead of locking
	readOnly  bool // nobody can write
}

// Open logs in to the server that url names, as go-mssqldb understands it
// (docs/sqlserver.md), and looks at the table. url holds no password. ctx is
// for opening only.
//
// Errors are problem.Errors whose object is host/database: Unavailable if
// there is no connection or the login is refused, NoArchive if there is no
// such database or table, Usage for a connection string that makes no sense,
// Failed for a missing permission or a table that is not JM.
func Open(ctx context.Context, url string, o Options) (*Source, error) {
	cfg, err := configure(url, o.Password)
	if err != nil {
		return nil, err
	}
	session, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &Source{session: session}
	if err := s.inspect(ctx, cmp.Or(o.Schema, "dbo"), cmp.Or(o.Table, "jm")); err != nil {
		session.close()
		return nil, err
	}
	if s.locks() && !o.AllowLocks {
		session.close()
		return nil, problem.New(problem.Failed, session.object, "reading would lock the whole table, and the archiver could not write until it ends: "+
			"the database allows no snapshot, and the table has no index that allows short reads",
			"read a restored copy with --allow-locks, or let an administrator run: ALTER DATABASE "+quote(session.cfg.Database)+" SET ALLOW_SNAPSHOT_ISOLATION ON")
	}
	return s, nil
}

// inspect looks at the server, the database and the table.
func (s *Source) inspect(ctx context.Context, schema, name string) error {
	if err := s.lookAtServer(ctx); err != nil {
		return err
	}
	var err error
	if s.names, err = s.tableNames(ctx); err != nil {
		return err
	}
	found := s.lookUp(schema, name)
	switch len(found) {
	case 0:
		return problem.New(problem.NoArchive, s.session.object, "there is no table "+schema+"."+name+", or this login may not see it",
			"look at database=NAME, or let an administrator of the database run: "+grantSelect(schema, name)+
				" (with the name of the user who reads in the end)")
	case 1:
	default:
		return problem.New(problem.Usage, s.session.object, fmt.Sprintf("there are %d tables %s.%s, which differ in letter case", len(found), schema, name),
			"name it exactly as it is written")
	}
	if s.jm, err = s.lookAt(ctx, found[0]); err != nil {
		return err
	}
	if s.plan, err = s.newPlan(); err != nil {
		return err
	}
	s.size = s.lookAtSize(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.noteConditions()
	return nil
}

// noteConditions notes what an officer should know before reading.
func (s *Source) noteConditions() {
	cfg := s.session.cfg
	if cfg.Encryption == msdsn.EncryptionOff || cfg.Encryption == msdsn.EncryptionDisabled {
		s.notes = append(s.notes, "the connection is not encrypted: add encrypt=true, so that nobody on the network can read along")
	} else if cfg.TrustServerCertificate {
		s.notes = append(s.notes, "the certificate of the server is not checked: anybody on the network can pose as the server and read along")
	}
	if s.way.snapshot || s.way.readOnly {
		return
	}
	if s.locks() {
		s.notes = append(s.notes, "is read under locks that last until the end: whoever writes to it may have to wait")
	}
	s.notes = append(s.notes, "the database allows no snapshot: rows that come or go while the table is read may make the reading end with an error")
}

// locks tells whether one statement would read the table under locks that last:
// those of rows with long values.
func (s *Source) locks() bool {
	if s.way.snapshot || s.way.versioned || s.way.readOnly || len(s.jm.key.columns) > 0 {
		return false
	}
	for _, c := range s.jm.columns {
		if c.length == -1 || c.typ == "ntext" || c.typ == "text" {
			return true
		}
	}
	return false
}

// Describe names the server's version, the table and how it is read.
func (s *Source) Describe() string {
	how := "one SELECT"
	switch {
	case s.way.snapshot:
		how = "a snapshot"
	case len(s.jm.key.columns) > 0:
		how = "short batches"
	}
	return fmt.Sprintf("SQL Server %s, table %s.%s, read in %s", s.version, s.jm.schema, s.jm.name, how)
}

// TableName is the table that was opened.
func (s *Source) TableName() (schema, table string) { return s.jm.schema, s.jm.name }

// Notes says what is unusual about the table or the connection.
func (s *Source) Notes() []string { return s.notes }

// Size estimates how much text one scan gives, in bytes, from the pages that
// the table takes; 0 if the login may not know. A page holds more than text, so
// a scan tends to give less.
func (s *Source) Size() int64 { return s.size }

// Close ends the connection, and with it the SNAPSHOT transaction.
func (s *Source) Close() error {
	if s.begun {
		ctx, cancel := context.WithTimeout(context.Background(), cancelGrace)
		defer cancel()
		_ = s.session.run(ctx, endSnapshot) // the server rolls back anyway when the connection ends
	}
	s.session.close()
	return nil
}

// begin begins the SNAPSHOT transaction, where there is to be one.
func (s *Source) begin(ctx context.Context) error {
	if !s.way.snapshot || s.begun {
		return nil
	}
	if err := s.session.run(ctx, beginSnapshot); err != nil {
		return err
	}
	s.begun = true
	return nil
}

// plan is what a scan selects of JM.
type plan struct {
	columns []cisco.Column // of the first expressions of each list
	full    []string
	short   []string // BODY_* and MESSAGE_* cut, and a bit for whether it happened
}

// newPlan takes the columns of JM by name, and refuses a table that is not JM.
func (s *Source) newPlan() (plan, error) {
	var found [cisco.NumColumns]*column
	var known []cisco.Column
	for i := range s.jm.columns {
		c := cisco.ColumnNamed(s.jm.columns[i].name)
		if known = append(known, c); c != cisco.UnknownColumn {
			found[c] = &s.jm.columns[i]
		}
	}
	notes, err := cisco.CheckColumns(s.session.object+", table "+s.jm.schema+"."+s.jm.name, known, "name the table that has the columns of JM with --schema and --table")
	if err != nil {
		return plan{}, err
	}
	s.notes = append(s.notes, notes...)
	var p plan
	var conditions []string
	for c, col := range found {
		c := cisco.Column(c)
		text := c >= cisco.BodyString && c <= cisco.MessageText
		switch {
		case col == nil:
		case c == cisco.SentDate:
			p.columns, p.full, p.short = append(p.columns, c), append(p.full, col.moment()), append(p.short, col.moment())
		case text:
			piece, longer := col.piece(cisco.ShortChars)
			p.columns, p.full, p.short = append(p.columns, c), append(p.full, col.whole()), append(p.short, piece)
			conditions = append(conditions, longer)
		default:
			p.columns, p.full, p.short = append(p.columns, c), append(p.full, col.whole()), append(p.short, col.whole())
		}
	}
	p.short = append(p.short, anyOf(conditions))
	return p, nil
}
