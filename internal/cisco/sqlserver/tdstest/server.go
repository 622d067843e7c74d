package tdstest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// What a client must say to get in.
const (
	User     = "archivolt_reader"
	Password = "pass;word{}"
	Database = "tcmadb"
)

// Version is the ProductVersion that a server claims to have.
const Version = "16.0.4135.4"

// JM creates the table with its documented columns.
const JM = "CREATE TABLE JM (TO_JID nvarchar(3071) NOT NULL, FROM_JID nvarchar(3071) NOT NULL, SENT_DATE datetime NOT NULL, " +
	"SUBJECT nvarchar(128), THREAD_ID nvarchar(128), MSG_TYPE nvarchar(1) NOT NULL, DIRECTION nvarchar(1) NOT NULL, " +
	"BODY_LEN int NOT NULL, MESSAGE_LEN int NOT NULL, BODY_STRING nvarchar(4000), MESSAGE_STRING nvarchar(4000), " +
	"BODY_TEXT nvarchar(-1), MESSAGE_TEXT nvarchar(-1), HISTORY_FLAG nvarchar(1) NOT NULL)"

// Behaviour is what a server does beside answering.
type Behaviour struct {
	Snapshot  bool // ALLOW_SNAPSHOT_ISOLATION
	Versioned bool // READ_COMMITTED_SNAPSHOT
	ReadOnly  bool // the database is READ_ONLY
	TLS       bool // a self-signed certificate, and encryption for clients that can
	Mute      bool // accepts connections and never says anything
	NoSize    bool // error 262 for sys.dm_db_partition_stats
	Deny      bool // error 229 for rows

	// Fault happens when a statement has sent After rows of a table, Times
	// times in all (0: each time).
	Fault Fault
	After int
	Times int
}

// Fault is something that goes wrong.
type Fault struct {
	Error int32 // this error
	Cut   bool  // the connection ends, in the middle of a packet
	Stall bool  // nothing more is sent until the client gives up
	Deaf  bool  // with Stall: not even then
	Short bool  // the answer ends early, and looks complete
	Lose  bool  // one row does not arrive, which only the number of rows tells
}

// Server is a running stand-in.
type Server struct {
	listener    net.Listener
	certificate tls.Certificate
	wait        sync.WaitGroup

	mu         sync.Mutex // of what follows
	db         *sqlite.Conn
	behaviour  Behaviour
	faults     int // how often one happened
	faulted    chan struct{}
	statements []string
	readOnly   []bool // of each login
	conns      []net.Conn
	closed     bool
}

// Start starts a server whose tables fill makes, and ends it with the test.
func Start(t testing.TB, fill func(db *sqlite.Conn)) *Server {
	t.Helper()
	db, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	fill(db)
	if err := normalise(db); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: listener, db: db}
	if s.certificate, err = selfSigned(); err != nil {
		t.Fatal(err)
	}
	s.wait.Go(s.accept)
	t.Cleanup(func() {
		s.mu.Lock()
		s.closed = true
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		listener.Close()
		s.wait.Wait()
		db.Close()
	})
	return s
}

// Behave changes what the server does, for logins and statements that come
// later.
func (s *Server) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour, s.faults, s.faulted = b, 0, make(chan struct{})
}

// Faulted is closed when the fault of the last Behave happens for the first time.
func (s *Server) Faulted() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faulted
}

// Change lets a test change the tables.
func (s *Server) Change(t testing.TB, change func(db *sqlite.Conn)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.db)
	if err := normalise(s.db); err != nil {
		t.Fatal(err)
	}
}

// Insert inserts a row: nil, string, int64, or []byte for raw UTF-16LE.
func Insert(t testing.TB, db *sqlite.Conn, table string, values ...any) {
	t.Helper()
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")
	if err := sqlitex.Execute(db, `INSERT INTO "`+table+`" VALUES (`+marks+")", &sqlitex.ExecOptions{Args: values}); err != nil {
		t.Fatal(err)
	}
}

// Address is host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// URL is the connection string of User and Database, with further parameters
// as name=value. Without one about encryption there is none.
func (s *Server) URL(parameters ...string) string {
	u := "sqlserver://" + User + "@" + s.Address() + "?database=" + Database
	if !slices.ContainsFunc(parameters, func(p string) bool { return strings.HasPrefix(p, "encrypt=") }) {
		u += "&encrypt=false"
	}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		u += "&" + url.QueryEscape(name) + "=" + url.QueryEscape(value)
	}
	return u
}

// Statements returns the text of all statements since the last call.
func (s *Server) Statements() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.statements
	s.statements = nil
	return all
}

// ReadOnlyIntent tells for each login whether it asked for read-only intent.
func (s *Server) ReadOnlyIntent() []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.readOnly)
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			conn.Close()
		}
		s.conns = append(s.conns, conn)
		b := s.behaviour
		s.mu.Unlock()
		s.wait.Go(func() {
			defer conn.Close()
			c := &client{server: s, raw: conn, transport: conn, db: s.db, packet: 4096, in: make(chan message)}
			if b.Mute {
				_, _ = io.Copy(io.Discard, conn)
				return
			}
			if err := c.login(b); err != nil {
				return
			}
			c.serve()
			if c.snapshot != 0 {
				c.db.Close()
			}
		})
	}
}

// fault tells what goes wrong after n rows, if anything.
func (s *Server) fault(n int) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.behaviour
	if b.Fault == (Fault{}) || n != b.After || b.Times > 0 && s.faults >= b.Times {
		return Fault{}, false
	}
	if s.faults == 0 {
		close(s.faulted)
	}
	s.faults++
	return b.Fault, true
}

// refusal is an error that a statement is answered with.
type refusal struct {
	number int32
	class  byte
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.number, r.text) }

func refuse(number int32, text string) *refusal {
	class := map[int32]byte{102: 15, 208: 16, 229: 14, 262: 14, 1205: 13, 1222: 16, 3952: 16, 4060: 11, 18456: 14}[number]
	if class == 0 {
		class = 16
	}
	return &refusal{number, class, text}
}
