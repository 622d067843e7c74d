package sqlserver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"archivolt/internal/problem"
)

const (
	// LockTimeout is how long a statement waits for somebody else's lock.
	LockTimeout = 5 * time.Second
	// connectTimeout is for everything up to the end of the login.
	connectTimeout = 30 * time.Second
	// cancelGrace is how long the server may take to confirm that it gave up a
	// statement. The driver itself would wait for up to 10 seconds.
	cancelGrace = 300 * time.Millisecond
	// packetBytes is the largest packet that an encrypted connection has.
	packetBytes = 16383
)

// parameters of a connection string that make sense here. The driver ignores
// those that it does not know, and a misspelt "encrypt" must not go unnoticed.
// Left out on purpose: "change password", which writes; "log"; "timezone".
var parameters = []string{
	msdsn.Database, msdsn.Encrypt, msdsn.TrustServerCertificate, msdsn.Certificate, msdsn.ServerCertificate, msdsn.HostNameInCertificate,
	msdsn.TLSMin, msdsn.PacketSize, msdsn.ConnectionTimeout, msdsn.DialTimeout, msdsn.KeepAlive, msdsn.ServerSpn, msdsn.WorkstationID,
	msdsn.AppName, msdsn.ApplicationIntent, msdsn.FailoverPartner, msdsn.FailOverPort, msdsn.FailoverPartnerSpn, msdsn.Protocol,
	msdsn.MultiSubnetFailover, msdsn.NoTraceID, msdsn.EpaEnabled, "authenticator",
	msdsn.Server, msdsn.UserID, msdsn.Port, // the parts of the URL before the parameters
}

// configure reads the connection string.
func configure(text, password string) (msdsn.Config, error) {
	cfg, err := msdsn.Parse(text)
	if _, ok := cfg.Parameters[msdsn.Encrypt]; err == nil && !ok {
		// As Microsoft's own drivers do since 2022; this one would send rows in clear.
		separator := "?"
		if strings.Contains(text, "?") {
			separator = "&"
		}
		cfg, err = msdsn.Parse(text + separator + "encrypt=true")
	}
	object := objectOf(cfg)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the text, which names a user
		}
		return cfg, problem.New(problem.Usage, object, "the connection string cannot be used: "+err.Error(),
			"write sqlserver://USER@HOST:PORT?database=NAME&encrypt=true")
	}
	for name := range cfg.Parameters {
		if !slices.Contains(parameters, name) {
			return cfg, problem.New(problem.Usage, object, "the connection string has the parameter "+name+", which means nothing here",
				"docs/sqlserver.md lists the parameters")
		}
	}
	cfg.Password = password
	cfg.ReadOnlyIntent = true
	cfg.DisableRetry = true
	if _, ok := cfg.Parameters[msdsn.PacketSize]; !ok {
		cfg.PacketSize = packetBytes
	}
	if _, ok := cfg.Parameters[msdsn.AppName]; !ok {
		cfg.AppName = "archivolt"
	}
	return cfg, nil
}

// objectOf names host and database, as errors do.
func objectOf(cfg msdsn.Config) string {
	object := cfg.Host
	if cfg.Instance != "" {
		object += `\` + cfg.Instance
	}
	if object == "" {
		return "sqlserver://"
	}
	return strings.TrimSuffix(object+"/"+cfg.Database, "/")
}

// session is one connection. The driver's connection is used without
// database/sql, which would copy every value once more, and would open a
// second connection, without our settings, when the first is lost.
type session struct {
	conn   driver.Conn
	wire   *wire
	cfg    msdsn.Config
	object string
}

// connect dials, logs in and makes the session harmless.
func connect(ctx context.Context, cfg msdsn.Config) (*session, error) {
	s := &session{wire: &wire{keepAlive: cfg.KeepAlive}, cfg: cfg, object: objectOf(cfg)}
	// The driver connects once: there is no pool that would do it again.
	connector := mssql.NewConnectorConfig(cfg)
	connector.Dialer = s.wire
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	// The driver heeds the context while it dials, but neither while it looks up
	// a name nor while it waits for the first answers.
	type result struct {
		conn driver.Conn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		conn, err := connector.Connect(limited)
		results <- result{conn, err}
	}()
	select {
	case r := <-results:
		if r.err != nil {
			s.wire.cut()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, s.loginProblem(r.err)
		}
		s.conn, s.cfg.Password = r.conn, ""
	case <-limited.Done():
		s.wire.cut()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.loginProblem(limited.Err())
	}
	if err := s.run(ctx, setSession); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() { s.wire.cut() }

// run executes a statement that gives no rows.
func (s *session) run(ctx context.Context, text string) error {
	a, err := s.query(ctx, 0, text)
	if err != nil {
		return s.problem(ctx, err, -1)
	}
	defer a.close()
	if _, err := a.next(); err != io.EOF {
		return s.problem(ctx, err, -1)
	}
	return nil
}

// rows executes a statement that gives few rows and returns them all.
func (s *session) rows(ctx context.Context, columns int, text string, args ...any) (all [][]driver.Value, err error) {
	a, err := s.query(ctx, columns, text, args...)
	if err != nil {
		return nil, s.problem(ctx, err, -1)
	}
	defer a.close()
	for {
		row, err := a.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, s.problem(ctx, err, -1)
		}
		all = append(all, row)
	}
}

// answer is what a statement gives, row by row.
type answer struct {
	rows    driver.Rows
	columns int
	finish  func()
}

// query sends a statement whose answer has so many columns. Errors are the
// driver's, for session.problem.
func (s *session) query(ctx context.Context, columns int, text string, args ...any) (*answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(cancelGrace):
			s.wire.cut()
		}
	})
	finish := func() {
		close(done)
		stop()
		cancel()
	}
	rows, err := s.send(ctx, text, args)
	if err != nil {
		finish()
		return nil, err
	}
	// close cancels before it waits, and the wire is cut if that takes long.
	a := &answer{rows: rows, columns: columns, finish: func() {
		cancel()
		_ = rows.Close() // what was wrong has been seen by next
		finish()
	}}
	if len(rows.Columns()) != columns {
		a.close()
		return nil, errStrange
	}
	return a, nil
}

func (s *session) send(ctx context.Context, text string, args []any) (driver.Rows, error) {
	stmt, err := s.conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return stmt.(driver.StmtQueryContext).QueryContext(ctx, values)
}

// next returns the next row, or io.EOF at the end of the result set.
func (a *answer) next() ([]driver.Value, error) {
	row := make([]driver.Value, a.columns)
	return row, a.rows.Next(row)
}

// errUnconfirmed is an answer that ends without saying how much it was,
// errStrange one to another question.
var (
	errUnconfirmed = errors.New("the answer ends without its number of rows")
	errStrange     = errors.New("the answer has other columns than were asked for")
)

// confirm reads the number of rows that follows a result set of n rows.
func (a *answer) confirm(n int64) error {
	more, ok := a.rows.(driver.RowsNextResultSet)
	if !ok || !more.HasNextResultSet() {
		return errUnconfirmed
	}
	if err := more.NextResultSet(); err != nil {
		return err
	}
	if a.columns = len(a.rows.Columns()); a.columns != 1 {
		return errStrange
	}
	row, err := a.next()
	if err == io.EOF || err == nil && row[0] != n {
		return errUnconfirmed
	}
	if err != nil {
		return err
	}
	if _, err := a.next(); err != io.EOF {
		return err
	}
	return nil
}

// close gives up what was not read yet.
func (a *answer) close() { a.finish() }

// wire dials for the driver, and keeps what it dialled so that it can be cut.
type wire struct {
	keepAlive time.Duration

	mu    sync.Mutex
	conns []net.Conn
	gone  bool
}

// DialContext dials as net.Dialer does.
func (w *wire) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{KeepAlive: w.keepAlive}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		conn.Close()
		return nil, net.ErrClosed
	}
	w.conns = append(w.conns, conn)
	return conn, nil
}

// cut ends all that the driver waits for.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, conn := range w.conns {
		conn.Close()
	}
}
