//go:build unix

package prosody_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"archivolt/internal/testenv"
	"archivolt/internal/xmpp"
)

// limit bounds every wait of these tests.
const limit = time.Minute

// archive plays what archivoltd is behind its component: it keeps copies by
// source and number, drops those that it has, and answers as a test wants.
type archive struct {
	t *testing.T

	mu       sync.Mutex
	changed  chan struct{}                   // closed and replaced when something changes
	copies   []xmpp.Copy                     // each once, as they came
	kept     map[string]map[uint64]xmpp.Copy // by source and number
	top      map[string]uint64               // highest number of each source
	again    int                             // copies that came again
	parcels  int
	refusing bool // takes nothing
	holding  bool // takes, and does not acknowledge
	held     []func(error)
	up       int // connections so far
	isUp     bool
}

func newArchive(t *testing.T) *archive {
	return &archive{t: t, kept: map[string]map[uint64]xmpp.Copy{}, top: map[string]uint64{}, changed: make(chan struct{})}
}

func (a *archive) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *archive) Connected(string)   { a.change(func() { a.up++; a.isUp = true }) }
func (a *archive) Lost(string, error) { a.change(func() { a.isUp = false; a.held = nil }) }

func (a *archive) Deliver(_ string, copies []xmpp.Copy, done func(error)) {
	var now func()
	a.change(func() {
		a.parcels++
		if a.refusing {
			now = func() { done(errors.New("full")) }
			return
		}
		for _, c := range copies {
			if c.Source == "" || c.Number == 0 || c.Time.IsZero() || c.Direction == 0 {
				a.t.Errorf("a copy without source, number, time or direction: %+v", c)
			}
			of := a.kept[c.Source]
			if of == nil {
				of = map[uint64]xmpp.Copy{}
				a.kept[c.Source] = of
			}
			if was, ok := of[c.Number]; ok {
				a.again++
				if string(was.Stanza) != string(c.Stanza) || !was.Time.Equal(c.Time) || was.Direction != c.Direction || was.Host != c.Host {
					a.t.Errorf("number %d of %s came again as another copy", c.Number, c.Source)
				}
				continue
			}
			if top := a.top[c.Source]; c.Number <= top {
				a.t.Errorf("number %d of %s came behind %d", c.Number, c.Source, top)
			}
			a.top[c.Source] = c.Number
			of[c.Number] = c
			a.copies = append(a.copies, c)
		}
		if a.holding {
			a.held = append(a.held, done)
		} else {
			now = func() { done(nil) }
		}
	})
	if now != nil {
		now()
	}
}

// release acknowledges what was held and holds no more.
func (a *archive) release() {
	var held []func(error)
	a.change(func() { held, a.held, a.holding = a.held, nil, false })
	for _, done := range held {
		done(nil)
	}
}

// wait waits until is holds, asked with the archive locked.
func (a *archive) wait(what string, is func() bool) {
	a.t.Helper()
	timeout := time.After(limit)
	for {
		a.mu.Lock()
		ok, changed := is(), a.changed
		a.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			a.t.Fatalf("in %v there was no %s", limit, what)
		}
	}
}

// has waits for n copies in whose text part occurs and gives all of these.
func (a *archive) has(n int, part string) (found []xmpp.Copy) {
	a.t.Helper()
	a.wait(fmt.Sprintf("%d copies with %q", n, part), func() bool {
		found = a.with(part)
		return len(found) >= n
	})
	if len(found) != n {
		a.t.Errorf("%d copies with %q, expected %d:\n%s", len(found), part, n, texts(found))
	}
	return found
}

// with gives the copies in whose text part occurs. The archive is locked.
func (a *archive) with(part string) (found []xmpp.Copy) {
	for _, c := range a.copies {
		if strings.Contains(string(c.Stanza), part) {
			found = append(found, c)
		}
	}
	return found
}

// numbers checks that the numbers of each source are consecutive from 1, and
// gives how many copies there are.
func (a *archive) numbers() int {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for source, of := range a.kept {
		for n := uint64(1); n <= uint64(len(of)); n++ {
			if _, ok := of[n]; !ok {
				a.t.Errorf("source %s has %d copies and no number %d", source, len(of), n)
			}
		}
	}
	return len(a.copies)
}

func texts(copies []xmpp.Copy) string {
	var b strings.Builder
	for _, c := range copies {
		fmt.Fprintf(&b, "%s %d %c %s\n", c.Host, c.Number, c.Direction, c.Stanza)
	}
	return b.String()
}

// connect runs the component over address until stop, which waits for its end.
func (a *archive) connect(p *testenv.Prosody, address string) (c *xmpp.Component, stop func()) {
	a.t.Helper()
	c = &xmpp.Component{Address: address, Name: p.Component, Secret: []byte(p.Secret), Domains: []string{p.Domain, p.Rooms},
		MinBackoff: 10 * time.Millisecond, MaxBackoff: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	a.mu.Lock()
	before := a.up
	a.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := c.Run(ctx, a); err != nil {
			a.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	a.t.Cleanup(stop)
	a.wait("connection", func() bool { return a.up > before })
	return c, stop
}

func componentAddress(p *testenv.Prosody) string { return fmt.Sprintf("127.0.0.1:%d", p.ComponentPort) }

// wire forwards connections to an address, and can be cut.
type wire struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l}
	t.Cleanup(func() { l.Close(); w.cut() })
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				here.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, here, there)
			w.mu.Unlock()
			go func() { io.Copy(here, there); here.Close() }()
			go func() { io.Copy(there, here); there.Close() }()
		}
	}()
	return w
}

// cut resets the connections that are open, as when the program behind them is
// killed.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
	w.open = nil
}

// canonical writes XML so that texts which mean the same are the same: names
// with their namespace, attributes in order, and without what ignore names.
func canonical(t *testing.T, text, namespace string, ignore ...string) string {
	t.Helper()
	var b strings.Builder
	skipping := 0
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		d.DefaultSpace = namespace
		token, err := d.Token()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if skipping > 0 || slices.Contains(ignore, e.Name.Local) {
				skipping++
				continue
			}
			fmt.Fprintf(&b, "<{%s}%s", e.Name.Space, e.Name.Local)
			var attributes []string
			for _, at := range e.Attr {
				if at.Name.Space != "xmlns" && !(at.Name.Space == "" && at.Name.Local == "xmlns") {
					attributes = append(attributes, fmt.Sprintf(" {%s}%s=%q", at.Name.Space, at.Name.Local, at.Value))
				}
			}
			slices.Sort(attributes)
			b.WriteString(strings.Join(attributes, "") + ">")
		case xml.EndElement:
			if skipping > 0 {
				skipping--
				continue
			}
			b.WriteString("</>")
		case xml.CharData:
			if skipping == 0 {
				b.Write(e)
			}
		}
	}
}
