package oracle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/sijms/go-ora/v2/network"

	"archivolt/internal/problem"
)

// outcome is what an error of the server means to people.
type outcome struct {
	class     problem.Class
	what, try string
}

// connecting lists the errors by which a server or its listener keeps us out
// (Database Error Messages).
var connecting = map[int]outcome{
	1005:  {problem.Unavailable, "the server wants a password", "set ARCHIVOLT_DB_PASSWORD"},
	1017:  {problem.Unavailable, "the server refuses this user or password", "set ARCHIVOLT_DB_PASSWORD, and mind its letter case"},
	1033:  {problem.Unavailable, "the database is being started or stopped", "try again later"},
	1034:  {problem.Unavailable, "the database is not started", "ask its administrator for STARTUP"},
	1045:  {problem.Unavailable, "this user may not log in", "GRANT CREATE SESSION TO the user"},
	12505: {problem.NoArchive, "the listener knows no such SID", "lsnrctl services on the server lists what it knows; a service is written behind the port, without SID="},
	12506: {problem.Unavailable, "the listener lets this computer not in", "have its address added to the service's access list"},
	12514: {problem.NoArchive, "the listener knows no such service", "lsnrctl services on the server lists them; a SID is written as oracle://user@host:1521/?SID=NAME"},
	12516: {problem.Unavailable, "the server takes no further connection", "try again later"},
	12519: {problem.Unavailable, "the server takes no further connection", "try again later"},
	12520: {problem.Unavailable, "the server takes no further connection", "try again later"},
	12526: {problem.Unavailable, "the database is open to administrators only", "try again later"},
	12528: {problem.Unavailable, "the database is being started or stopped", "try again later"},
	12660: {problem.Unavailable, "the server wants another network encryption", "add ENCRYPTION=REQUIRED to the URL"},
	28000: {problem.Unavailable, "this user's account is locked", "ALTER USER name ACCOUNT UNLOCK"},
	28001: {problem.Unavailable, "this user's password has expired", "ALTER USER name IDENTIFIED BY the new one"},
	28040: {problem.Unavailable, "the server knows no way to check a password that the driver knows", "see SQLNET.ALLOWED_LOGON_VERSION_SERVER in its sqlnet.ora"},
}

// incomplete lists the errors that end a reading although nobody is in the
// wrong.
var incomplete = map[int]outcome{
	1555:  {problem.Unavailable, "incomplete: the server no longer has the state of the start", "read at a quiet time, or have UNDO_RETENTION raised (docs/oracle.md)"},
	22924: {problem.Unavailable, "incomplete: the server no longer has the state of the start", "read at a quiet time, or have the RETENTION of the CLOB columns raised (docs/oracle.md)"},
	1466:  {problem.Unavailable, "incomplete: somebody changed the table itself while it was read", "run the command again"},
	8103:  {problem.Unavailable, "incomplete: somebody emptied or dropped the table while it was read", "run the command again"},
}

// lost lists the errors that say that the connection is gone.
var lost = map[int]bool{28: true, 603: true, 1012: true, 1033: true, 1034: true, 1089: true, 1092: true, 2396: true, 3113: true, 3114: true, 3135: true, 12537: true, 12547: true, 12570: true}

// said is the server's own message. Newer servers add further lines.
func said(e *network.OracleError) string {
	line, _, _ := strings.Cut(strings.TrimSpace(e.ErrMsg), "\n")
	if line == "" {
		return fmt.Sprintf("ORA-%05d", e.ErrCode)
	}
	return strings.TrimSpace(line)
}

// unreachable says why there is no connection.
func (t *target) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p := problem.New(problem.Unavailable, t.object, "the database cannot be reached", "see that the server runs and that host, port and firewall are right")
	p.Err = err
	var server *network.OracleError
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &server):
		if o, ok := connecting[server.ErrCode]; ok {
			p.Class, p.What, p.Try = o.class, fmt.Sprintf("%s (ORA-%05d)", o.what, server.ErrCode), o.try
		} else {
			p.What, p.Try = "the server says: "+said(server), ""
		}
	case errors.As(err, &dns):
		p.What, p.Try = "no host has this name", "check the host in the URL"
	case errors.As(err, &authority):
		p.What, p.Try = "the server's certificate is not trusted", "add WALLET=FOLDER to the URL, with a cwallet.sso that holds the authority that signed it; or add that to the authorities of this computer"
	case errors.As(err, &host):
		p.What, p.Try = "the server's certificate is for another host", "write the host in the URL as it stands in the certificate"
	case errors.As(err, &invalid):
		p.What, p.Try = "the server's certificate is not valid any more, or not yet", "have it renewed, and see the clock of this computer"
	case errors.As(err, &plain):
		p.What, p.Try = "the server offers no encrypted connection on this port", "use the port with TLS, mostly 2484; without SSL=true in the URL all is read over the wire as it is: do so only where nobody listens"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, driver.ErrBadConn), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		p.What, p.Try = "the server closes the connection at once", "see that this is the port of Oracle's listener; one with TLS, mostly 2484, needs SSL=true in the URL"
	case errors.Is(err, errNotOracle), !errors.As(err, new(net.Error)):
		p.What, p.Try = "what answers is no Oracle server that the driver understands", "see that this is the port of Oracle's listener; one with TLS, mostly 2484, needs SSL=true in the URL"
	}
	return p
}

// failed says why a statement ended early, after some rows.
func (s *Source) failed(ctx context.Context, err error, rows int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var server *network.OracleError
	switch {
	case errors.As(err, &server) && !lost[server.ErrCode]:
		return s.refused(server)
	case server == nil && !isLost(err):
		p := problem.Newf(problem.Failed, s.object, "the driver does not understand the answer after %d rows", rows)
		p.Try, p.Err = "export the table, and report this", err
		return p
	}
	p := problem.New(problem.Unavailable, s.object, fmt.Sprintf("the connection was lost after %d rows", rows), "run the command again when the server is back")
	p.Err = err
	return p
}

// isLost tells errors of the network from others.
func isLost(err error) bool {
	for _, e := range []error{driver.ErrBadConn, network.ErrConnReset, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, new(net.Error))
}

func (s *Source) refused(server *network.OracleError) *problem.Error {
	p := problem.New(problem.Failed, s.object, "the server says: "+said(server), "")
	p.Err = server
	o, known := incomplete[server.ErrCode]
	switch {
	case known:
		p.Class, p.What, p.Try = o.class, fmt.Sprintf("%s (ORA-%05d)", o.what, server.ErrCode), o.try
	case server.ErrCode == 942 || server.ErrCode == 1031 || server.ErrCode == 41900: // 23ai tells the three apart
		p.What = "this user may not read the table (" + said(server) + ")"
		if s.table.name != "" {
			p.Try = "GRANT SELECT ON " + s.table.quoted() + " TO " + quote(s.user)
		}
	}
	return p
}
