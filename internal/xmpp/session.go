package xmpp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1" // XEP-0114 asks for it
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"archivolt/internal/problem"
)

// session is one connection, from the dialling to its end. One goroutine reads
// and calls the handler, one writes; done callbacks come from anywhere.
type session struct {
	c    *Component
	h    Handler
	conn net.Conn
	id   string // of the connection

	split  splitter
	reader reader    // of the present stanza
	spaces []binding // declared by the stream's header
	out    *outbox
	log    *slog.Logger

	up    bool // the server has accepted the component
	asked bool // a ping is under way, and nothing has come since

	copies  []Copy // without a number, not delivered yet
	bytes   int    // in them
	worked  bool   // copies have been delivered
	refused tally  // stanzas
	failed  tally  // copies

	mu      sync.Mutex
	ending  bool          // Run's context has ended
	open    int           // parcels without their acknowledgement
	settled chan struct{} // closed when ending and open is 0
	gone    chan struct{} // closed when the connection is
}

// A batch of copies without numbers is delivered when nothing more has come
// yet, or when it has grown so large.
const (
	batchCopies = 256
	batchBytes  = 1 << 20
)

// connect keeps one connection until it is lost, and says why. good tells that
// it brought copies or was up for long.
func (c *Component) connect(ctx context.Context, h Handler) (good bool, err error) {
	setup, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	conn, err := c.open(setup)
	if err != nil {
		return false, c.lost(cause(err), "see whether the server runs and listens for components there", err)
	}
	s := &session{c: c, h: h, conn: conn, id: rand.Text(), out: newOutbox(conn),
		settled: make(chan struct{}), gone: make(chan struct{})}
	s.log = c.log().With("component", c.Name, "connection", s.id)
	s.split = splitter{source: s, max: c.MaxStanza}
	if s.split.max <= 0 {
		s.split.max = maxStanza
	}

	deadline, _ := setup.Deadline()
	conn.SetReadDeadline(deadline)
	release := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	err = s.handshake()
	if !release() {
		err = ctx.Err()
	}
	if err != nil {
		s.hangUp(err)
		return false, c.explain(err, "the component was not accepted")
	}
	s.up = true
	start := time.Now()
	s.log.Info("connected to the XMPP server", "address", c.Address)
	h.Connected(s.id)
	stop := context.AfterFunc(ctx, s.end)
	err = s.read()
	stop()
	s.deliver() // what came whole before the end
	s.hangUp(err)
	good = s.worked || time.Since(start) > orDefault(c.MaxBackoff, maxBackoff)
	if err = c.explain(err, "the connection was lost"); ctx.Err() != nil {
		err = ctx.Err()
	}
	s.sayRefused(s.refused.rest())
	s.sayFailed(s.failed.rest())
	h.Lost(s.id, err)
	return good, err
}

func (c *Component) open(ctx context.Context) (net.Conn, error) {
	if c.dial != nil {
		return c.dial(ctx)
	}
	d := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	if c.TLS != nil {
		return (&tls.Dialer{NetDialer: d, Config: c.TLS}).DialContext(ctx, "tcp", c.Address)
	}
	return d.DialContext(ctx, "tcp", c.Address)
}

// Read reads from the connection for the splitter. After a silence it asks the
// server whether it is there.
func (s *session) Read(p []byte) (int, error) {
	limit := orDefault(s.c.Idle, idle)
	for {
		s.mu.Lock()
		ending := s.ending
		if s.up && !ending { // otherwise the deadline is another's
			s.conn.SetReadDeadline(time.Now().Add(limit))
		}
		s.mu.Unlock()
		n, err := s.conn.Read(p)
		if n > 0 || err == nil {
			s.asked = false
			return n, nil
		}
		if !s.up || ending || !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		s.mu.Lock()
		ending = s.ending
		s.mu.Unlock()
		if ending {
			continue // with the deadline that end has set
		}
		if s.asked {
			return 0, errSilent
		}
		s.asked = true
		limit /= 2
		s.out.put(fmt.Appendf(nil, "<iq type='get' id='%s' from='%s' to='%s'><ping xmlns='%s'/></iq>",
			rand.Text(), escape(s.c.Name), escape(s.c.Domains[0]), pingSpace))
	}
}

var (
	errSilent = errors.New("the server said nothing for too long, not even when asked")
	errClosed = errors.New("the server closed the stream")
)

// handshake is that of XEP-0114 section 3.
func (s *session) handshake() error {
	s.out.put(fmt.Appendf(nil, "<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' to='%s'>",
		componentSpace, streamSpace, escape(s.c.Name)))
	ev, text, err := s.await()
	if err != nil {
		return err
	}
	if ev != header {
		return malformed("no stream header")
	}
	r := reader{text: text}
	root, err := r.root()
	if err != nil {
		return err
	}
	if !root.is(streamSpace, "stream") {
		return &StreamError{Condition: "invalid-namespace", Text: "this is no XMPP stream"}
	}
	s.spaces = r.spaces
	// A server that refuses the name of the component gives no id, and says
	// why next.
	if id := root.attribute("id"); id != "" {
		sum := sha1.Sum(append([]byte(id), s.c.Secret...))
		s.out.put(fmt.Appendf(nil, "<handshake>%x</handshake>", sum))
	}
	if ev, text, err = s.await(); err != nil {
		return err
	}
	if ev == footer {
		return errClosed
	}
	r = reader{text: text, spaces: s.spaces}
	if root, err = r.root(); err != nil {
		return err
	}
	if root.is(streamSpace, "error") {
		return r.streamError(root)
	}
	if root.local != "handshake" {
		return malformed("something else than the answer to the handshake")
	}
	return nil
}

// await reads up to the next event.
func (s *session) await() (event, []byte, error) {
	for {
		ev, text, err := s.split.next()
		if err != nil || ev != more {
			return ev, text, err
		}
		if err := s.split.fill(); err != nil {
			return more, nil, err
		}
	}
}

// read takes stanzas until the connection ends.
func (s *session) read() error {
	for {
		ev, text, err := s.split.next()
		switch {
		case err != nil:
			return err
		case ev == more:
			s.deliver()
			if err := s.split.fill(); err != nil {
				return err
			}
		case ev == footer:
			return errClosed
		case ev == stanza:
			if err := s.stanza(text); err != nil {
				return err
			}
		}
	}
}

// stanza does what one element of the stream asks for. text is the splitter's.
func (s *session) stanza(text []byte) error {
	r := &s.reader
	r.reset(text, s.spaces)
	root, err := r.root()
	if err != nil {
		return err
	}
	switch root.space {
	case streamSpace:
		if root.local == "error" {
			return r.streamError(root)
		}
		return nil
	case componentSpace, clientSpace, serverSpace:
	default:
		return nil
	}
	switch root.local {
	case "message":
		return s.message(r, root)
	case "iq":
		s.deliver() // what came earlier goes first
		return s.iq(r, root)
	}
	return nil
}

// message takes the copies that a <message/> forwards.
func (s *session) message(r *reader, root element) error {
	host, local := s.c.local(root.attribute("from"))
	isError := root.attribute("type") == "error" // comes back from somebody: not the server's own
	found, held := false, false
	err := r.children(root, func(child element) error {
		if !child.is(forwardSpace, "forwarded") {
			return nil
		}
		found = true
		if !local || isError {
			return nil
		}
		f, err := r.forwarded(child)
		if err != nil {
			return err
		}
		held = held || len(f.messages)+f.presence+f.iq > 0
		s.c.counts.presence.Add(uint64(f.presence))
		s.c.counts.iq.Add(uint64(f.iq))
		for _, m := range f.messages {
			s.copies = append(s.copies, Copy{Host: host, Stanza: bytes.Clone(m), Time: f.time})
			s.bytes += len(m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if found && !local {
		s.refuse()
	} else if !held {
		s.c.counts.ignored.Add(1)
	}
	if len(s.copies) >= batchCopies || s.bytes >= batchBytes {
		s.deliver()
	}
	return nil
}

// deliver hands over the copies without numbers that have come together.
func (s *session) deliver() {
	if len(s.copies) == 0 {
		return
	}
	copies := s.copies
	s.copies, s.bytes = make([]Copy, 0, len(copies)), 0
	s.hand(copies, func(err error) {
		if err != nil {
			s.c.counts.failed.Add(uint64(len(copies)))
			s.sayFailed(s.failed.add(len(copies)))
		}
	})
}

// parcel hands over the copies of one <archive/> and answers when they are
// durable.
func (s *session) parcel(q iq, copies []Copy) {
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return // not answered: it is sent again
	}
	s.open++
	s.mu.Unlock()
	s.hand(copies, func(err error) {
		if err == nil {
			s.out.put(q.result(""))
		} else {
			s.out.put(q.failure("wait", "resource-constraint"))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
		if s.ending && s.open == 0 {
			close(s.settled)
		}
	})
}

// hand calls the handler with a done that works once.
func (s *session) hand(copies []Copy, done func(error)) {
	s.c.counts.copies.Add(uint64(len(copies)))
	s.worked = true
	var once sync.Once
	s.h.Deliver(s.id, copies, func(err error) { once.Do(func() { done(err) }) })
}

// end closes the stream in order when Run's context has ended: acknowledgements
// that are under way are waited for, then the stream is closed, and what the
// server had sent before it saw that is still read.
func (s *session) end() {
	limit := orDefault(s.c.Grace, grace)
	s.mu.Lock()
	s.ending = true
	if s.open == 0 {
		close(s.settled)
	}
	s.conn.SetReadDeadline(time.Now().Add(2 * limit))
	s.mu.Unlock()
	select {
	case <-s.settled:
	case <-s.gone:
	case <-time.After(limit):
	}
	s.out.last([]byte("</stream:stream>"))
}

// hangUp ends the connection. An error that this side found is told to the
// server, which then gets a moment to read it.
func (s *session) hangUp(err error) {
	close(s.gone)
	var e *StreamError
	ours := errors.As(err, &e) && !e.Remote
	if ours {
		s.out.last(fmt.Appendf(nil, "<stream:error><%s xmlns='%s'/></stream:error></stream:stream>", e.Condition, streamsSpace))
	} else {
		s.out.last([]byte("</stream:stream>"))
	}
	s.out.drain(farewell)
	if ours {
		// Unread bytes would make the closing a reset, and that can overtake
		// what was written.
		s.conn.SetReadDeadline(time.Now().Add(farewell))
		io.Copy(io.Discard, s.conn)
	}
	s.conn.Close()
}

// farewell is how long an end waits for the other side.
const farewell = 2 * time.Second

// refuse counts a stanza that forwards and is not from a local domain.
func (s *session) refuse() {
	s.c.counts.refused.Add(1)
	s.sayRefused(s.refused.add(1))
}

func (s *session) sayRefused(n int) {
	if n > 0 {
		s.log.Warn("refused copies that do not come from a local domain", "stanzas", n, "local_domains", strings.Join(s.c.Domains, " "))
	}
}

func (s *session) sayFailed(n int) {
	if n > 0 {
		s.log.Error("copies were not recorded, and their sender does not keep them", "copies", n)
	}
}

// tally counts what is logged at once the first time and then once a minute,
// so that no one can fill the log.
type tally struct {
	mu   sync.Mutex
	n    int
	last time.Time
}

// add counts n more and gives how many are to be reported now.
func (t *tally) add(n int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
	if time.Since(t.last) < time.Minute {
		return 0
	}
	n, t.n, t.last = t.n, 0, time.Now()
	return n
}

// rest gives how many have not been reported.
func (t *tally) rest() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.n
	t.n = 0
	return n
}

// explain makes a problem of why a connection ended.
func (c *Component) explain(err error, otherwise string) error {
	var s *StreamError
	switch {
	case errors.As(err, &s) && s.Remote:
		switch s.Condition {
		case "not-authorized":
			return c.lost("the server does not accept the name and secret of this component", "make both the same here and in the server's configuration", err)
		case "host-unknown":
			return c.lost("the server knows no component of this name", "name it in the server's configuration", err)
		case "conflict":
			return c.lost("the server has this component already, from another connection", "see whether another archivoltd runs; a connection that broke may also still be counted for some minutes", err)
		}
		return c.lost(s.Error(), "", err)
	case errors.As(err, &s) && s.Condition == "policy-violation":
		return c.lost(s.Error(), "the limit must be above the largest stanza that the server takes from its users, as the server writes it: escaped, it may be six times as long", err)
	case s != nil:
		return c.lost(s.Error(), "", err)
	case errors.Is(err, errClosed):
		return c.lost(err.Error(), "the server's log may say why; ejabberd also closes it when max_fsm_queue copies wait to be taken (docs/ejabberd.md)", err)
	case errors.Is(err, errSilent):
		return c.lost(err.Error(), "", err)
	}
	return c.lost(otherwise+": "+cause(err), "", err)
}

func (c *Component) lost(what, try string, err error) error {
	p := problem.New(problem.Unavailable, c.Name+" at "+c.Address, what, try)
	p.Err = err
	return p
}

// cause gives the cause alone: addresses and operations are named already.
func cause(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it was cut off"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}
