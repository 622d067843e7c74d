package oracle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	neturl "net/url"
	"strings"
	"sync"
	"time"

	ora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/configurations"

	"archivolt/internal/problem"
)

const (
	// connectTimeout is how long the server may take to let us in, unless the
	// URL says otherwise.
	connectTimeout = time.Minute
	// closeTimeout is how long it may take to say goodbye.
	closeTimeout = 2 * time.Second
	// prefetchRows is how many rows come with one answer. All their text, that
	// of CLOBs included, lies in memory at once. The driver's own rule would
	// fetch about nine rows of table JM.
	prefetchRows = 500
)

// target is where to connect.
type target struct {
	object  string // host and service, for problems
	config  *configurations.ConnectionConfig
	timeout time.Duration
	wire    *wire
	notes   []string
}

// secretOptions of the driver hold a password; traceOptions write all that is
// read into a file.
var (
	secretOptions = []string{"WALLET PASSWORD", "OS PASS", "OS PASSWORD", "OS HASH", "OS PASSHASH", "OS PASSWORD HASH"}
	traceOptions  = []string{"TRACE FILE", "TRACE DIR", "TRACE FOLDER", "TRACE DIRECTORY"}
)

// parse reads a connection string. What the driver says about a bad one is not
// shown: it may quote the password.
func parse(url, password string) (*target, error) {
	bad := func(object, what string) error {
		return problem.New(problem.Usage, object, what, "write it as oracle://user@host:1521/service")
	}
	u, err := neturl.Parse(url)
	if err != nil || !strings.EqualFold(u.Scheme, "oracle") || u.Hostname() == "" {
		return nil, bad("", "this is no connection string for Oracle")
	}
	options := map[string]bool{}
	for name := range u.Query() {
		options[strings.ToUpper(name)] = true
	}
	for _, name := range secretOptions {
		if options[name] {
			return nil, problem.New(problem.Usage, "", "the option "+name+" puts a password into the URL", "use ARCHIVOLT_DB_PASSWORD, or a wallet that opens by itself (cwallet.sso)")
		}
	}
	for _, name := range traceOptions {
		if options[name] {
			return nil, problem.New(problem.Usage, "", "the option "+name+" would write messages into a file", "leave it out")
		}
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "1521")
	}
	user := u.User.Username()
	t := &target{object: u.Hostname() + "/" + strings.Trim(u.Path, "/"), timeout: connectTimeout, wire: &wire{}}
	switch {
	case password != "":
		u.User = neturl.UserPassword(user, password)
	case !options["WALLET"] && !options["AUTH TYPE"]:
		return nil, problem.New(problem.Usage, t.object, "a password is missing", "set ARCHIVOLT_DB_PASSWORD")
	}
	c, err := ora.ParseConfig(u.String())
	option, unknown := "", false
	if err != nil {
		option, unknown = strings.CutPrefix(err.Error(), "unknown URL option: ")
	}
	switch {
	case unknown:
		return nil, bad(t.object, "the URL has an option that the driver does not know: "+option)
	case err != nil && (options["WALLET"] || errors.Is(err, fs.ErrNotExist)):
		return nil, problem.New(problem.Usage, t.object, "the wallet cannot be used", "name the folder of a cwallet.sso that may be read; without ARCHIVOLT_DB_PASSWORD it must hold the password for this host, port and service")
	case err != nil:
		return nil, bad(t.object, "this connection string lacks the service, or an option has a wrong value")
	case c.DBAPrivilege != configurations.NONE:
		return nil, problem.New(problem.Usage, t.object, "as SYS or with its privileges Oracle shows no fixed state of the table", "use an ordinary user that may read it: docs/oracle.md makes one")
	}
	if t.object == u.Hostname()+"/" {
		t.object += c.SID + c.ServiceName
	}
	if options["TIMEOUT"] || options["CONNECT TIMEOUT"] || options["CONNECTION TIMEOUT"] {
		t.timeout = c.Timeout
	}
	c.Timeout = 0 // it would end a long search too
	if !options["PREFETCH_ROWS"] {
		c.PrefetchRows = prefetchRows
	}
	c.Lob = configurations.INLINE // a CLOB comes with its row, not in a round trip of its own
	c.Dialer = t.wire
	if c.SSL && !c.SSLVerify {
		t.notes = append(t.notes, "comes from a server that has not proved who it is (SSL VERIFY=false)")
	}
	t.config = c
	return t, nil
}

// connect opens the connection. The driver heeds a context in some calls only
// and talks to the server from two goroutines to do so; closing the wire
// always works.
func (t *target) connect(ctx context.Context, open func(context.Context) error) error {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if t.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, t.timeout)
	}
	defer cancel()
	t.wire.ctx = limited
	stop := context.AfterFunc(limited, t.wire.cut)
	err := guarded(func() error { return open(context.WithoutCancel(ctx)) })
	if stop() && err == nil {
		return nil
	}
	defer t.wire.cut()
	if ctx.Err() == nil && limited.Err() != nil {
		return problem.New(problem.Unavailable, t.object, fmt.Sprintf("the server does not answer within %v", t.timeout), "see that host and port are those of Oracle's listener; CONNECT TIMEOUT=SECONDS in the URL waits longer")
	}
	return t.unreachable(ctx, err)
}

// wire is the network connection below the driver.
type wire struct {
	ctx    context.Context // for dialling
	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

// DialContext connects for the driver, with the wire's own context.
func (w *wire) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(w.ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	w.conn = conn // one that a listener redirected from has been closed
	return conn, nil
}

// cut closes the connection, so that whoever waits for it waits no more.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.conn != nil {
		w.conn.Close()
	}
}

// guarded runs a call of the driver, which panics over some answers that no
// Oracle server gives.
func guarded(call func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = errNotOracle
		}
	}()
	return call()
}

// errNotOracle is an answer that the driver cannot take apart.
var errNotOracle = errors.New("an answer that is not Oracle's")
