package xmpp

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// deadline bounds every wait of these tests.
const deadline = 20 * time.Second

// server plays a server over a pipe: it says what a test tells it to.
type server struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// play starts a component whose connections the test answers, in turn, with
// what it receives from the channel. The component ends with the test.
func play(t *testing.T, c *Component, h Handler) (connections <-chan *server, stop func()) {
	t.Helper()
	dialled := make(chan *server)
	var mu sync.Mutex
	var open []net.Conn
	ctx, cancel := context.WithCancel(context.Background())
	fillIn(c)
	c.dial = func(ctx context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		s := &server{t: t, conn: there, in: bufio.NewReader(there)}
		select {
		case dialled <- s:
			mu.Lock()
			defer mu.Unlock()
			open = append(open, there)
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, h) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Run ends with %v", err)
				}
			case <-time.After(deadline):
				t.Error("Run does not end")
			}
		})
	}
	t.Cleanup(func() {
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		stop()
	})
	return dialled, stop
}

func fillIn(c *Component) {
	if c.Address == "" {
		c.Address = "server.example.org:5347"
	}
	if c.Name == "" {
		c.Name = "archive.example.org"
	}
	if c.Secret == nil {
		c.Secret = []byte("test")
	}
	if c.Domains == nil {
		c.Domains = []string{"example.org"}
	}
	if c.MinBackoff == 0 {
		c.MinBackoff, c.MaxBackoff = time.Millisecond, 4*time.Millisecond
	}
	if c.Grace == 0 {
		c.Grace = deadline
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// accept plays the handshake of XEP-0114 section 3 and gives the server.
func accept(t *testing.T, connections <-chan *server) *server {
	t.Helper()
	s := next(t, connections)
	s.expect("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='archive.example.org'>")
	s.say("<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:component:accept' from='archive.example.org' id='3BF96D32'>")
	s.expect("<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>") // the example of XEP-0114; its secret is "test"
	s.say("<handshake/>")
	return s
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(deadline):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

func (s *server) say(text string) {
	s.t.Helper()
	s.conn.SetWriteDeadline(time.Now().Add(deadline))
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.t.Fatalf("the component does not read: %v", err)
	}
}

func (s *server) expect(text string) {
	s.t.Helper()
	got := make([]byte, len(text))
	s.conn.SetReadDeadline(time.Now().Add(deadline))
	n, err := io.ReadFull(s.in, got)
	if string(got[:n]) != text {
		s.t.Fatalf("the component says\n%s (%v), expected\n%s", got[:n], err, text)
	}
}

// rest reads until the component closes the stream, and hangs up.
func (s *server) rest() string {
	s.t.Helper()
	defer s.conn.Close()
	s.conn.SetReadDeadline(time.Now().Add(deadline))
	var text string
	for !strings.HasSuffix(text, "</stream:stream>") {
		part, err := s.in.ReadString('>')
		if text += part; err != nil {
			s.t.Errorf("the component says %q and does not close the stream: %v", text, err)
			break
		}
	}
	return text
}

// delivery is one call of Deliver.
type delivery struct {
	connection string
	copies     []Copy
	done       func(error)
}

// recorder is a Handler that passes on what it is told.
type recorder struct {
	connected  chan string
	deliveries chan delivery
	lost       chan error
}

func newRecorder() *recorder {
	return &recorder{make(chan string, 100), make(chan delivery, 100), make(chan error, 100)}
}

func (r *recorder) Connected(connection string) { r.connected <- connection }

func (r *recorder) Lost(connection string, err error) { r.lost <- err }

func (r *recorder) Deliver(connection string, copies []Copy, done func(error)) {
	r.deliveries <- delivery{connection, copies, done}
}

// logged is a log to look into.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// stanzas gives the text of copies, one a line.
func stanzas(copies []Copy) string {
	var b strings.Builder
	for _, c := range copies {
		b.Write(c.Stanza)
		b.WriteByte('\n')
	}
	return b.String()
}
