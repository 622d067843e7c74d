package oracle

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sijms/go-ora/v2/network"

	"archivolt/internal/problem"
)

const secret = "tiger/%&:@ä"

// listen serves each connection with f, and returns the address.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return l.Addr().String()
}

// silent reads, and never answers.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// refuse is a listener that answers each request with a TNS packet of type
// REFUSE, which gives the reason as listeners write it.
func refuse(code int) func(net.Conn) {
	return func(c net.Conn) {
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint16(head))-8); err != nil {
			return
		}
		reason := fmt.Sprintf("(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=%d)(ERROR_STACK=(ERROR=(CODE=%d)(EMFI=4))))", code, code)
		packet := []byte{0, byte(12 + len(reason)), 0, 0, 4, 0, 0, 0, 34, 0, 0, byte(len(reason))}
		_, _ = c.Write(append(packet, reason...))
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestNoConnection(t *testing.T) {
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // our refusal of its certificate
	tls.StartTLS()
	t.Cleanup(tls.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	const closes, port = "the server closes the connection at once", "see that this is the port of Oracle's listener; one with TLS, mostly 2484, needs SSL=true in the URL"
	for name, c := range map[string]struct {
		host, options string
		class         problem.Class
		what, try     string
	}{
		"nobody listens":   {free(t), "", problem.Unavailable, "the database cannot be reached", "see that the server runs and that host, port and firewall are right"},
		"no such host":     {"no.such.host.invalid:1521", "", problem.Unavailable, "no host has this name", "check the host in the URL"},
		"closed at once":   {listen(t, func(net.Conn) {}), "", problem.Unavailable, closes, port},
		"closed later":     {listen(t, func(c net.Conn) { _, _ = bufio.NewReader(c).ReadByte() }), "", problem.Unavailable, closes, port},
		"silent":           {listen(t, silent), "?CONNECT%20TIMEOUT=1", problem.Unavailable, "the server does not answer within 1s", "see that host and port are those of Oracle's listener; CONNECT TIMEOUT=SECONDS in the URL waits longer"},
		"another protocol": {listen(t, func(c net.Conn) { _, _ = c.Write([]byte{0, 8, 0, 0, 99, 0, 0, 0}); silent(c) }), "", problem.Unavailable, "what answers is no Oracle server that the driver understands", port},
		"short packet":     {listen(t, func(c net.Conn) { _, _ = c.Write([]byte{0, 8, 0, 0, 4, 0, 0, 0}); silent(c) }), "", problem.Unavailable, "what answers is no Oracle server that the driver understands", port},
		"no such service":  {listen(t, refuse(12514)), "", problem.NoArchive, "the listener knows no such service (ORA-12514)", "lsnrctl services on the server lists them; a SID is written as oracle://user@host:1521/?SID=NAME"},
		"no such SID":      {listen(t, refuse(12505)), "", problem.NoArchive, "the listener knows no such SID (ORA-12505)", "lsnrctl services on the server lists what it knows; a service is written behind the port, without SID="},
		"another refusal":  {listen(t, refuse(12518)), "", problem.Unavailable, "the server says: ORA-12518", ""},
		"TLS, unknown":     {tls.Listener.Addr().String(), "?SSL=true", problem.Unavailable, "the server's certificate is not trusted", "add WALLET=FOLDER to the URL, with a cwallet.sso that holds the authority that signed it; or add that to the authorities of this computer"},
		"no TLS":           {plain.Listener.Addr().String(), "?SSL=true", problem.Unavailable, "the server offers no encrypted connection on this port", "use the port with TLS, mostly 2484; without SSL=true in the URL all is read over the wire as it is: do so only where nobody listens"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(context.Background(), "oracle://scott@"+c.host+"/tcmadb"+c.options, Options{Password: secret})
			if err == nil {
				s.Close()
			}
			check(t, err, c.class, c.what, c.try)
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), "tiger") {
					t.Errorf("it tells the password: %v", e)
				}
			}
		})
	}
}

func TestGivenUp(t *testing.T) {
	host := listen(t, silent)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, "oracle://scott@"+host+"/tcmadb", Options{Password: secret}); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	asked := make(chan struct{})
	host = listen(t, func(c net.Conn) {
		_, _ = bufio.NewReader(c).ReadByte()
		close(asked)
		silent(c)
	})
	ctx, cancel = context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if _, err := Open(ctx, "oracle://scott@"+host+"/tcmadb", Options{Password: secret}); err != context.Canceled {
		t.Errorf("%v", err)
	}
}

// TestRefused: what a server says once it is reached.
func TestRefused(t *testing.T) {
	target := &target{object: "host/service"}
	for code, c := range map[int]struct {
		class     problem.Class
		what, try string
	}{
		1017:  {problem.Unavailable, "the server refuses this user or password (ORA-01017)", "set ARCHIVOLT_DB_PASSWORD, and mind its letter case"},
		1045:  {problem.Unavailable, "this user may not log in (ORA-01045)", "GRANT CREATE SESSION TO the user"},
		28000: {problem.Unavailable, "this user's account is locked (ORA-28000)", "ALTER USER name ACCOUNT UNLOCK"},
		28001: {problem.Unavailable, "this user's password has expired (ORA-28001)", "ALTER USER name IDENTIFIED BY the new one"},
		1034:  {problem.Unavailable, "the database is not started (ORA-01034)", "ask its administrator for STARTUP"},
		4031:  {problem.Unavailable, "the server says: ORA-04031: unable to allocate", ""},
	} {
		err := target.unreachable(context.Background(), fmt.Errorf("login: %w", &network.OracleError{ErrCode: code, ErrMsg: fmt.Sprintf("ORA-%05d: unable to allocate\n", code)}))
		check(t, err, c.class, c.what, c.try)
	}
}

func TestConnectionStrings(t *testing.T) {
	const write = "write it as oracle://user@host:1521/service"
	const noService = "this connection string lacks the service, or an option has a wrong value"
	for url, c := range map[string]struct{ what, try string }{
		"oracle://[":                            {"this is no connection string for Oracle", write},
		"postgres://u@h/s":                      {"this is no connection string for Oracle", write},
		"oracle:///s":                           {"this is no connection string for Oracle", write},
		"oracle://u@h":                          {noService, write},
		"oracle://u@h/s?CONNECT TIMEOUT=x":      {noService, write},
		"oracle://u@h/s?Sslmode=on":             {"the URL has an option that the driver does not know: Sslmode", write},
		"oracle://u@h/s?wallet password=tiger":  {"the option WALLET PASSWORD puts a password into the URL", "use ARCHIVOLT_DB_PASSWORD, or a wallet that opens by itself (cwallet.sso)"},
		"oracle://u@h/s?OS%20PASS=tiger":        {"the option OS PASS puts a password into the URL", "use ARCHIVOLT_DB_PASSWORD, or a wallet that opens by itself (cwallet.sso)"},
		"oracle://u@h/s?trace+file=/tmp/x":      {"the option TRACE FILE would write messages into a file", "leave it out"},
		"oracle://u@h/s?wallet=/no/such/folder": {"the wallet cannot be used", "name the folder of a cwallet.sso that may be read; without ARCHIVOLT_DB_PASSWORD it must hold the password for this host, port and service"},
		"oracle://sys@h/s":                      {"as SYS or with its privileges Oracle shows no fixed state of the table", "use an ordinary user that may read it: docs/oracle.md makes one"},
		"oracle://u@h/s?dba privilege=sysdba":   {"as SYS or with its privileges Oracle shows no fixed state of the table", "use an ordinary user that may read it: docs/oracle.md makes one"},
	} {
		_, err := parse(url, secret)
		check(t, err, problem.Usage, c.what, c.try)
		if strings.Contains(fmt.Sprint(err), "tiger") {
			t.Errorf("it tells the password: %v", err)
		}
	}
	_, err := parse("oracle://u@h/s", "")
	check(t, err, problem.Usage, "a password is missing", "set ARCHIVOLT_DB_PASSWORD")

	for url, want := range map[string]string{
		"oracle://scott@h/tcmadb":                            "h/tcmadb scott h 1521 tcmadb  false true 1m0s 500 0s",
		"ORACLE://scott@10.1.2.3:1522/tc.example.org":        "10.1.2.3/tc.example.org scott 10.1.2.3 1522 tc.example.org  false true 1m0s 500 0s",
		"oracle://scott@[::1]/?SID=ORCL":                     "::1/ORCL scott ::1 1521  ORCL false true 1m0s 500 0s",
		"oracle://scott@h:2484/s?SSL=true&timeout=5":         "h/s scott h 2484 s  true true 5s 500 0s",
		"oracle://scott@h/s?SSL=true&SSL VERIFY=false":       "h/s scott h 1521 s  true false 1m0s 500 0s",
		"oracle://scott@h/s?PREFETCH_ROWS=50&lob fetch=post": "h/s scott h 1521 s  false true 1m0s 50 0s",
	} {
		target, err := parse(url, secret)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		c := target.config
		got := fmt.Sprintf("%s %s %s %d %s %s %v %v %v %d %v", target.object, c.UserID, c.Servers[0].Addr, c.Servers[0].Port, c.ServiceName, c.SID, c.SSL, c.SSLVerify, target.timeout, c.PrefetchRows, c.Timeout)
		if got != want || c.Password != secret || c.Lob != 0 {
			t.Errorf("%s: %s, password %q", url, got, c.Password)
		}
		if note := len(target.notes) == 1; note != !c.SSLVerify {
			t.Errorf("%s: %q", url, target.notes)
		}
	}
}
