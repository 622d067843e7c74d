package testenv

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// Proxy is the network between a client and a server: it passes bytes, and
// fails as a network does.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu         sync.Mutex
	sent, back int // bytes that may still pass; below 0 for any number
	trap       *Trap
	sprung     chan struct{}
	hold       chan struct{} // while it is silent; closed when it heals
	all        bool          // on every connection
	deliver    bool          // after it, what was under way
	open       map[net.Conn]bool
}

// Trap is a fault that waits for a text.
type Trap struct {
	Text  string // the piece that holds it does not pass; the sender must write it at once
	Back  bool   // from the server to the client
	Fault Fault
}

// Fault is how a network fails.
type Fault int

// Faults of a network.
const (
	Close        Fault = iota // the connection is cut
	Silent                    // nothing passes on any connection, new ones included, and nobody is told
	SilentForOne              // the same, on this connection only
)

// StartProxy starts one in front of a TCP address; it ends with the test.
func StartProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, sent: -1, back: -1, open: map[net.Conn]bool{}}
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			c := &proxied{client: client, server: server}
			p.mu.Lock()
			p.open[client], p.open[server] = true, true
			p.mu.Unlock()
			p.running.Go(func() { p.pass(c, false) })
			p.running.Go(func() { p.pass(c, true) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.Heal(false)
		p.mu.Lock()
		for c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// CutAfter cuts a connection once so many bytes have passed in a direction;
// below 0 for any number.
func (p *Proxy) CutAfter(sent, back int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent, p.back = sent, back
}

// Set sets a trap, once. The result is closed when it has sprung.
func (p *Proxy) Set(trap Trap) (sprung <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap, p.sprung = &trap, make(chan struct{})
	return p.sprung
}

// Heal ends a silence. What was under way arrives now, as from a network that
// sends it again; or it is lost, with its connections.
func (p *Proxy) Heal(deliver bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deliver = deliver
	if p.hold != nil {
		close(p.hold)
		p.hold = nil
	}
}

// proxied is one connection.
type proxied struct {
	client, server net.Conn
	hold           chan struct{} // while it is silent
}

func (p *Proxy) pass(c *proxied, back bool) {
	from, to := c.client, c.server
	if back {
		from, to = to, from
	}
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.open, from)
		delete(p.open, to)
		p.mu.Unlock()
	}()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		p.mu.Lock()
		left := &p.sent
		if back {
			left = &p.back
		}
		cut := *left >= 0 && n >= *left
		if cut {
			n, *left = *left, 0
		} else if *left >= 0 {
			*left -= n
		}
		if p.trap != nil && p.trap.Back == back && bytes.Contains(piece[:n], []byte(p.trap.Text)) {
			switch p.trap.Fault {
			case Close:
				n, cut = 0, true
			case Silent:
				p.hold, p.all = make(chan struct{}), true
			case SilentForOne:
				p.hold, p.all = make(chan struct{}), false
				c.hold = p.hold
			}
			p.trap = nil
			close(p.sprung)
		}
		hold := c.hold
		if p.hold != nil && p.all {
			hold = p.hold
		}
		p.mu.Unlock()
		if hold != nil {
			<-hold
			p.mu.Lock()
			c.hold = nil
			deliver := p.deliver
			p.mu.Unlock()
			if !deliver {
				return
			}
		}
		if _, werr := to.Write(piece[:n]); cut || err != nil || werr != nil {
			return
		}
	}
}
