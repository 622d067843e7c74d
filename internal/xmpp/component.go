package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"archivolt/internal/problem"
)

// Copy is one message as a server sent it for the archive.
type Copy struct {
	// Host is the domain of the server's host that sent the copy, in lower case.
	Host string
	// Stanza is the <message/> as its bytes came, the receiver's to keep. Its
	// default namespace is nearly always declared on it (jabber:client). Where
	// it is not, or where a prefix is declared by an element around it alone,
	// these are the very bytes all the same, and do not tell the namespace.
	Stanza []byte
	// Time is when the server handled the message, UTC; zero where it does not say.
	Time time.Time
	// Direction is 'I' for a message on its way to a local user, 'O' for one
	// sent by a local user, 0 where the server does not say.
	Direction byte
	// Source is the id of the sender's queue, 1 to 128 bytes of
	// [A-Za-z0-9._:/-]; empty where the server cannot number its copies.
	Source string
	// Number is the delivery number within Source, from 1 to 2^63-1; 0 without
	// Source. A copy that is sent again has the number that it had.
	Number uint64
}

// Handler is told what happens on a component's connections and takes the
// copies. Connected, Deliver and Lost of one Component are called one after
// the other, never at the same time.
type Handler interface {
	// Connected says that the server has accepted the component. The id is
	// random and belongs to this one connection.
	Connected(connection string)
	// Lost says that the connection is down and why. It is called once for each
	// Connected, and no Deliver follows. When Run is ending because its context
	// has ended, err is that context's error.
	Lost(connection string, err error)
	// Deliver takes copies in the order in which the server sent them: those of
	// one acknowledged parcel, all with one Source and consecutive numbers, or
	// some without. It may block, and then nothing more is read: that is the
	// back-pressure; a server keeps only so much in its memory. Run does not
	// return before Deliver does: so it must not block when the program ends.
	//
	// done must be called once, from any goroutine, also after Deliver has
	// returned or the connection is lost: with nil when the copies are durable,
	// with an error when they cannot be taken now. What has a Source is then
	// acknowledged, or refused and sent again later; the rest has nobody to
	// tell. What is not acknowledged when the connection is lost is sent again
	// on a later one.
	Deliver(connection string, copies []Copy, done func(error))
}

// Component is a connection to one XMPP server as an external component
// (XEP-0114), kept up while Run runs. It must not be copied after first use.
type Component struct {
	Address string      // of the server's component listener, host:port
	Name    string      // the component's domain
	Secret  []byte      // shared with the server
	Domains []string    // hosts of the server whose copies are taken; at least one
	TLS     *tls.Config // for a listener that speaks TLS from the start; nil for none

	MaxStanza  int           // bytes in one stanza as the server writes it, escaped; a longer one ends the connection; 0 for 16 MiB
	MinBackoff time.Duration // before the second attempt; 0 for 1 s. Doubles with each that fails
	MaxBackoff time.Duration // the longest wait, and the wait after a wrong secret; 0 for 1 min
	Idle       time.Duration // silence after which the server is asked whether it is there; 0 for 1 min. It has half that time to answer
	Grace      time.Duration // once Run's context has ended: for acknowledgements under way, and again for the last copies; 0 for 5 s
	Log        *slog.Logger  // adds component, address, connection; nil for slog.Default()

	counts counters
	dial   func(context.Context) (net.Conn, error) // in tests; nil otherwise
}

// Counts are numbers of stanzas since the program started.
type Counts struct {
	Copies    uint64 // given to Deliver
	Presence  uint64 // forwarded presence, dropped
	IQ        uint64 // forwarded iq, dropped
	Ignored   uint64 // messages that forward nothing, and errors
	Refused   uint64 // stanzas that forward, from somebody else: someone tries to slip in records
	Malformed uint64 // parcels that break docs/format/capture.md
	Failed    uint64 // copies without a number that the handler did not take: nobody has them now
}

type counters struct{ copies, presence, iq, ignored, refused, malformed, failed atomic.Uint64 }

// Counts gives the numbers so far. It may be called at any time.
func (c *Component) Counts() Counts {
	n := &c.counts
	return Counts{n.copies.Load(), n.presence.Load(), n.iq.Load(), n.ignored.Load(), n.refused.Load(), n.malformed.Load(), n.failed.Load()}
}

// Run connects, hands copies to h, and connects again whenever the connection
// is lost, until ctx ends; then it gives nil. What Check refuses is returned at
// once; a server that refuses the component is
// logged and asked again.
func (c *Component) Run(ctx context.Context, h Handler) error {
	if err := c.Check(); err != nil {
		return err
	}
	failures := 0
	for {
		good, err := c.connect(ctx, h)
		if ctx.Err() != nil {
			return nil
		}
		if good {
			failures = 0
		}
		wait := c.backoff(failures)
		failures++
		if refused(err) {
			wait = orDefault(c.MaxBackoff, maxBackoff)
		}
		attributes := []any{"component", c.Name, "address", c.Address, "error", err.Error(), "again_in", wait.Round(time.Millisecond).String()}
		var p *problem.Error
		if errors.As(err, &p) && p.Try != "" {
			attributes = append(attributes, "try", p.Try)
		}
		c.log().Warn("no connection to the XMPP server", attributes...)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// Defaults of a Component's fields.
const (
	maxStanza  = 16 << 20
	minBackoff = time.Second
	maxBackoff = time.Minute
	idle       = time.Minute
	grace      = 5 * time.Second
	// handshake is the time for connecting, TLS and XEP-0114's handshake.
	handshake = 30 * time.Second
)

func orDefault(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}

func (c *Component) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.Default()
}

// backoff is the wait after so many failures in a row: it doubles, and half of
// it is random, so that many components do not come back at once.
func (c *Component) backoff(failures int) time.Duration {
	least, most := orDefault(c.MinBackoff, minBackoff), orDefault(c.MaxBackoff, maxBackoff)
	wait := most
	if failures < 32 && least<<failures>>failures == least {
		wait = min(most, least<<failures)
	}
	return wait/2 + rand.N(wait/2+1)
}

// refused tells whether err is of the kind that a further attempt does not
// mend: somebody has to change something first.
func refused(err error) bool {
	var s *StreamError
	if !errors.As(err, &s) || !s.Remote {
		return false
	}
	switch s.Condition {
	case "not-authorized", "host-unknown", "conflict", "invalid-namespace", "invalid-from":
		return true
	}
	return false
}

// Check refuses what no server can work with, with a problem of class Usage. It
// connects to nothing.
func (c *Component) Check() error {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil || host == "" {
		return problem.New(problem.Usage, c.Address, "this is no address of a component listener", "write it as host:port, such as 127.0.0.1:5347")
	}
	if !isDomain(c.Name) {
		return problem.New(problem.Usage, c.Name, "this is no name for a component", "it is a domain, such as archive.example.org")
	}
	if len(c.Secret) == 0 {
		return problem.New(problem.Usage, c.Name, "the component has no secret", "give it the one that the server's configuration has for this component")
	}
	if len(c.Domains) == 0 {
		return problem.New(problem.Usage, c.Name, "no local domain is named, and copies are only taken from local domains", "name the domains that the server hosts, such as example.org")
	}
	for _, d := range c.Domains {
		if !isDomain(d) {
			return problem.New(problem.Usage, d, "this is no local domain", "name domains that the server hosts, such as example.org")
		}
	}
	return nil
}

func isDomain(s string) bool { return s != "" && !strings.ContainsAny(s, "@/ \t\r\n") }

// local gives the domain that from is, in lower case, if it is a bare domain
// and one of c.Domains.
func (c *Component) local(from string) (string, bool) {
	for _, d := range c.Domains {
		if len(d) == len(from) && strings.EqualFold(d, from) { // folding also knows letters of other lengths, such as the Kelvin sign
			return strings.ToLower(d), true
		}
	}
	return "", false
}
