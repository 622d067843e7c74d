package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	mssql "github.com/microsoft/go-mssqldb"

	"archivolt/internal/problem"
)

// Error numbers of SQL Server (sys.messages).
const (
	noObject       = 208  // invalid object name
	noDatabase     = 911  // the database does not exist
	cannotOpen     = 4060 // the login asked for a database that it does not get
	loginFailed    = 18456
	untrustedLogin = 18452 // Windows account of an untrusted domain
	passwordOver   = 18487 // expired
	passwordChange = 18488 // must be changed
	deadlockVictim = 1205
	lockTimeout    = 1222
)

var (
	permissionDenied = []int32{229, 230, 262, 297, 300, 371, 916}
	loginRefused     = []int32{loginFailed, untrustedLogin, passwordOver, passwordChange, 18486, 18450, 18451, 18470}
	// The snapshot is gone: not allowed any more, version store full, or the
	// table was altered.
	snapshotGone = []int32{3951, 3952, 3957, 3958, 3959, 3960, 3961, 3966, 3967}
	// Memory, locks, workers, resource governor.
	shortOf = []int32{701, 802, 1204, 8645, 8651, 8657, 10928, 10929, 40501, 49918, 49919, 49920}
)

// numbers are those of all errors that came with err, the last first; none if it is not the
// server's.
func numbers(err error) (all []int32) {
	var e mssql.Error
	if !errors.As(err, &e) {
		return nil
	}
	all = append(all, e.Number)
	for _, more := range slices.Backward(e.All) {
		all = append(all, more.Number)
	}
	return all
}

func has(all []int32, any ...int32) bool {
	return slices.ContainsFunc(all, func(n int32) bool { return slices.Contains(any, n) })
}

// again tells whether the statement may simply be sent once more: somebody
// else's lock was in the way.
func again(err error) bool { return has(numbers(err), lockTimeout, deadlockVictim) }

// problem says what err, of the driver, means to a person. n is how many rows
// the reading had given before; below 0 there is none yet. A broken-off
// context is returned as its own error.
func (s *session) problem(ctx context.Context, err error, n int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *problem.Error
	if errors.As(err, &known) {
		return err
	}
	after := ""
	if n >= 0 {
		after = fmt.Sprintf(" after %d rows", n)
	}
	say := func(c problem.Class, what, try string) error {
		return &problem.Error{Class: c, Object: s.object, What: what, Try: try, Err: err}
	}
	all := numbers(err)
	var e mssql.Error
	var fatal mssql.ServerError
	switch {
	case !errors.As(err, &e) || errors.As(err, &fatal) || e.Class >= 20:
		return say(problem.Unavailable, "the connection was lost"+after, "try again; nothing that was read is left out silently")
	case has(all, lockTimeout):
		return say(problem.Unavailable, fmt.Sprintf("another program holds a lock on the table, and it was not waited for longer than %d seconds; reading ended%s",
			int(LockTimeout.Seconds()), after), "try again, when no maintenance runs")
	case has(all, deadlockVictim):
		return say(problem.Unavailable, "the server ended the statement to let another program go on (a deadlock)"+after, "try again")
	case has(all, snapshotGone...):
		return say(problem.Unavailable, fmt.Sprintf("the server could not keep the snapshot of the table%s (error %d)", after, e.Number), "try again, when no maintenance runs")
	case has(all, shortOf...):
		return say(problem.Unavailable, fmt.Sprintf("the server is short of resources%s (error %d)", after, e.Number), "try again later")
	case has(all, noObject, noDatabase):
		return say(problem.NoArchive, "the table or the database is gone", "look whether it was renamed or dropped")
	case has(all, permissionDenied...):
		return say(problem.Failed, "this login may not read the table", grant)
	}
	return say(problem.Failed, fmt.Sprintf("SQL Server refused to go on%s (error %d)", after, e.Number),
		fmt.Sprintf("see what it means: SELECT text FROM sys.messages WHERE message_id = %d", e.Number))
}

// grant is what mends a missing permission, before the table's name is known.
const grant = "let an administrator of the database grant SELECT on the table to this login; docs/sqlserver.md has the statements"

// denied adds the statement that grants what is missing for table t.
func denied(err error, schema, name string) error {
	var p *problem.Error
	if errors.As(err, &p) && p.Try == grant {
		p.Try = "let an administrator of the database run: " + grantSelect(schema, name) + " (with the name of the user who reads in the end)"
	}
	return err
}

// loginProblem says why there is no session.
func (s *session) loginProblem(err error) error {
	say := func(c problem.Class, what, try string) error {
		return &problem.Error{Class: c, Object: s.object, What: what, Try: try, Err: err}
	}
	text, all := err.Error(), numbers(err)
	var opError *net.OpError
	var dns *net.DNSError
	switch {
	// A real server lets 18456 follow 4060.
	case has(all, cannotOpen, noDatabase):
		return say(problem.NoArchive, "there is no such database, or this login may not open it",
			"look at the name after database=, and whether the login has a user in that database (docs/sqlserver.md has the statements)")
	case has(all, passwordOver, passwordChange):
		return say(problem.Unavailable, "the password of this login has expired or must be changed first", "change it with the server's own tools")
	case has(all, untrustedLogin):
		return say(problem.Unavailable, "the server does not take this Windows account", "use an account of its domain, or a login of the server itself")
	case has(all, loginRefused...):
		return say(problem.Unavailable, "the server refused the login",
			"put the password into the environment variable ARCHIVOLT_DB_PASSWORD, and look at the user's name before the @")
	case len(all) > 0:
		return say(problem.Unavailable, fmt.Sprintf("the server refused the connection (error %d)", all[0]), "ask its administrator, who finds the reason in the server's log")
	// The driver passes certificate errors on as text only.
	case strings.Contains(text, "TLS Handshake failed") && (strings.Contains(text, "x509:") || strings.Contains(text, "certificate")):
		return s.certificateProblem(text, say)
	case strings.Contains(text, "TLS Handshake failed"):
		return say(problem.Unavailable, "the server and this program agree on no encryption", "look at encrypt= and tlsmin= in docs/sqlserver.md")
	case strings.Contains(text, "server does not support encryption"):
		return say(problem.Unavailable, "the server offers no encryption, which encrypt=true asks for", "have a certificate set up for the server")
	case strings.Contains(text, "no instance matching"):
		return say(problem.Unavailable, "there is no instance of that name, or the SQL Server Browser (UDP port 1434) does not answer",
			"give the port instead: sqlserver://HOST:PORT?database=NAME. A database is named after database=, not after the slash")
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return say(problem.Unavailable, "cannot be reached: there is no answer", "look at the name of the host, the port and the firewall")
	case errors.Is(err, syscall.ECONNREFUSED):
		return say(problem.Unavailable, "cannot be reached: nothing listens on that port", "look at the port, and whether the server accepts TCP/IP")
	case errors.As(err, &dns):
		return say(problem.Unavailable, "cannot be reached: there is no host of that name", "look at the name of the host")
	case errors.As(err, &opError) && opError.Op == "dial":
		return say(problem.Unavailable, "cannot be reached", "look at the name of the host, the port and the firewall")
	}
	return say(problem.Unavailable, "what answers there does not end the login as SQL Server does", "look at the port")
}

// certificateProblem says what is wrong with the server's certificate.
func (s *session) certificateProblem(text string, say func(problem.Class, string, string) error) error {
	const blind = "; TrustServerCertificate=true looks at no certificate at all: then anybody on the network can pose as the server and read along"
	switch {
	case strings.Contains(text, "valid for") || strings.Contains(text, "any IP SANs"):
		return say(problem.Unavailable, "the certificate of the server is made for another name",
			"name the host as the certificate does, or give that name with hostNameInCertificate=NAME"+blind)
	case strings.Contains(text, "expired"):
		return say(problem.Unavailable, "the certificate of the server has expired or is not valid yet", "have it renewed, and look at this computer's clock"+blind)
	}
	return say(problem.Unavailable, "the certificate of the server is signed by nobody whom this computer trusts",
		"get the certificate of the authority that signed it, or the server's own, as a .pem file and give it with certificate=FILE"+blind)
}
