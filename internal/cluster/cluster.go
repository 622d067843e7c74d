// Package cluster lets several daemons encrypt with one key, as IM&P's clusters
// do: one is the primary, which makes the key, the others are secondaries, which
// get it from there (Cisco's IM compliance guide, "Encrypt the compliance
// database").
//
// The daemons know each other by addresses and pins of the configuration, and
// talk over TLS 1.3 with a post-quantum key agreement. Each tells the others its
// role and the fingerprint of its key, which is no secret. The keys themselves
// are sent once for each secondary, to whoever knows the encryption password,
// and inside the connection they are an age file that only the secondary's
// keystore opens. docs/format/cluster.md has the protocol.
//
// A daemon that must not encrypt is held: what it has captured waits in its
// spool. That is so for the younger one of two primaries, for a secondary whose
// key is not the primary's, and for whoever runs with a key that was disabled.
package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"sync"
	"time"

	"archivolt/internal/keystore"
	"archivolt/internal/problem"
)

// Role is what a daemon is among the others.
type Role string

// Roles.
const (
	Alone     Role = ""          // there are no others
	Primary   Role = "primary"   // makes the key, and gives it to the others
	Secondary Role = "secondary" // has it from the primary
)

// Statement is what a daemon tells of itself, as JSON. None of it is secret.
type Statement struct {
	Role     Role      `json:"role"`
	Instance string    `json:"instance"` // random, of the process
	Key      string    `json:"key"`      // fingerprint of the key that is enabled in its keystore; empty if none is
	Made     time.Time `json:"made"`     // when the first key of its keystore was made
	Latest   time.Time `json:"latest"`   // when the last one was
	Started  time.Time `json:"started"`  // of the process
}

// senior tells whether s goes before other where both are primaries: the one
// whose first key is older; of two with copies of one keystore the one that has
// made a key since; and else the one that was started earlier.
func (s *Statement) senior(other *Statement) bool {
	if !s.Made.Equal(other.Made) {
		return s.Made.Before(other.Made)
	}
	if !s.Latest.Equal(other.Latest) {
		return s.Latest.After(other.Latest)
	}
	if !s.Started.Equal(other.Started) {
		return s.Started.Before(other.Started)
	}
	return s.Instance < other.Instance
}

// What a peer says gets into the log, the status and the line for systemd, and
// so it must be what this program says: no control characters, no megabytes.
var (
	instancePattern = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)
	keyPattern      = regexp.MustCompile(`^([0-9a-f]{16})?$`)
)

func (s *Statement) valid() bool {
	return (s.Role == Primary || s.Role == Secondary) && instancePattern.MatchString(s.Instance) && keyPattern.MatchString(s.Key)
}

// Peer is another daemon.
type Peer struct {
	Address string // host:port of its cluster.listen
	Pin     string // of its identity
}

// Config says how a Node works.
type Config struct {
	Role     Role
	Listen   string // host:port for the others; empty for none
	Identity *Identity
	Peers    []Peer
	Keystore string // file
	InUse    string // fingerprint of the key that the daemon encrypts with; empty without one
	Locked   bool   // the keystore was not opened, and nothing is encrypted anyway
	Log      *slog.Logger

	every time.Duration // between looks at the keystore and the others; 0 for interval
}

// interval is how often a Node looks at its keystore and asks the others.
const interval = 10 * time.Second

// Node is this daemon among the others. Its methods may be called from several
// goroutines.
type Node struct {
	cfg    Config
	self   Statement // its Key and Made are those of the last look
	asked  chan struct{}
	ending sync.WaitGroup
	cancel context.CancelFunc

	mu      sync.Mutex
	heard   []heard // one for each peer
	held    *problem.Error
	others  int        // other primaries
	joining sync.Mutex // one at a time
}

// heard is what is known of a peer.
type heard struct {
	Statement       // the last one; its Instance is empty before the first
	err       error // of the last attempt
	self      bool  // it is this daemon
}

// Start begins to answer the others and to ask them, until Close.
func Start(c Config) (*Node, error) {
	if c.every == 0 {
		c.every = interval
	}
	n := &Node{cfg: c, self: Statement{Role: c.Role, Instance: rand.Text(), Started: time.Now().UTC()},
		asked: make(chan struct{}), heard: make([]heard, len(c.Peers))}
	if err := n.look(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	if c.Listen != "" {
		listener, err := net.Listen("tcp", c.Listen)
		if err != nil {
			cancel()
			return nil, problem.New(problem.Failed, "cluster: listen: "+c.Listen, "the address cannot be used", "see what else listens there, or give another; the machine must have it")
		}
		n.serve(ctx, listener)
	}
	n.ending.Go(func() { n.run(ctx) })
	return n, nil
}

// Close ends it. A join that has begun to change the keystore is finished
// first: an unfinished file would be in the way of the next one.
func (n *Node) Close() {
	n.cancel()
	n.ending.Wait()
	n.joining.Lock()
	defer n.joining.Unlock()
}

// run looks and asks until ctx ends.
func (n *Node) run(ctx context.Context) {
	clients := make([]*client, len(n.cfg.Peers))
	for i, p := range n.cfg.Peers {
		clients[i] = newClient(p)
		defer clients[i].close()
	}
	ticker := time.NewTicker(n.cfg.every)
	defer ticker.Stop()
	for first := true; ; first = false {
		if err := n.look(); err != nil {
			n.cfg.Log.Error("the keystore cannot be read; what was known of it stands", "error", err)
		}
		var round sync.WaitGroup
		for i := range clients {
			round.Go(func() {
				s, err := clients[i].statement(ctx)
				n.hear(i, s, err)
			})
		}
		round.Wait()
		n.judge()
		if first {
			close(n.asked)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look reads what the keystore says in clear.
func (n *Node) look() error {
	known, err := keystore.Inspect(n.cfg.Keystore)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	last := known.Keys[len(known.Keys)-1]
	n.self.Made, n.self.Latest, n.self.Key = known.Keys[0].Made, last.Made, ""
	if last.Enabled() {
		n.self.Key = last.Fingerprint
	}
	return nil
}

// hear notes what a peer has said, or that it has not. What it said before
// stands until it says something else.
func (n *Node) hear(i int, s *Statement, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &n.heard[i]
	log := n.cfg.Log.With("peer", n.cfg.Peers[i].Address)
	switch {
	case err != nil && h.err == nil:
		log.Warn("another daemon does not answer", "error", err)
	case err == nil && (h.err != nil || h.Instance != s.Instance || h.Role != s.Role || h.Key != s.Key):
		log.Info("another daemon answers", "role", s.Role, "key", s.Key)
	}
	h.err = err
	if err == nil {
		h.Statement, h.self = *s, s.Instance == n.self.Instance
	}
}

// primaries returns the senior one of the peers that said they are primaries,
// with its address, and how many there are.
func (n *Node) primaries() (senior *Statement, address string, count int) {
	for i := range n.heard {
		h := &n.heard[i]
		if h.self || h.Role != Primary {
			continue
		}
		count++
		if senior == nil || h.senior(senior) {
			senior, address = &h.Statement, n.cfg.Peers[i].Address
		}
	}
	return senior, address, count
}

// judge finds out whether this daemon may encrypt. What has changed is logged.
func (n *Node) judge() {
	n.mu.Lock()
	defer n.mu.Unlock()
	held := n.verdict()
	switch {
	case held != nil && (n.held == nil || n.held.Error() != held.Error()):
		n.cfg.Log.Error("held: what is captured waits in the spool", "error", held, "try", held.Try)
	case held == nil && n.held != nil:
		n.cfg.Log.Info("no longer held")
	}
	n.held = held
	_, address, others := n.primaries()
	if n.cfg.Role == Primary && others > 0 && others != n.others {
		n.cfg.Log.Error("there is more than one primary", "peer", address, "try", "write role: secondary into the configuration of all but the oldest, then archivoltd key join there")
	}
	n.others = others
}

func (n *Node) verdict() *problem.Error {
	restart := "start archivoltd again with the encryption password"
	switch {
	case n.self.Key == "" && n.cfg.Role == Secondary:
		return problem.New(problem.Failed, n.cfg.Keystore, "encryption is disabled", "archivoltd key enable at the primary, archivoltd key join here, then "+restart)
	case n.self.Key == "":
		return problem.New(problem.Failed, n.cfg.Keystore, "encryption is disabled", "archivoltd key enable, then "+restart)
	case n.cfg.Locked:
	case n.self.Key != n.cfg.InUse:
		return problem.New(problem.Failed, n.cfg.Keystore, "there is a new key: "+n.self.Key, restart)
	}
	senior, address, _ := n.primaries()
	switch {
	case senior == nil:
	case n.cfg.Role == Primary && senior.senior(&n.self):
		return problem.New(problem.Failed, "cluster", fmt.Sprintf("this is a second primary: %s is one since %s", address, senior.Made.Format(time.RFC3339)),
			"write role: secondary into the configuration, then archivoltd key join, and "+restart)
	case n.cfg.Role == Secondary && senior.Key == "":
		return problem.New(problem.Failed, "cluster", "encryption is disabled at the primary, "+address, "archivoltd key enable there, then archivoltd key join here")
	case n.cfg.Role == Secondary && senior.Key != n.self.Key:
		return problem.New(problem.Failed, "cluster", "the primary, "+address+", has the key "+senior.Key+", and this daemon "+n.self.Key, "archivoltd key join, then "+restart)
	}
	return nil
}

// Hold tells why this daemon must not encrypt now, nil if it may. At first it
// waits until the others were asked once, for some seconds at most.
func (n *Node) Hold() error {
	<-n.asked
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held != nil {
		return n.held
	}
	return nil
}

// Status is how a Node is, as JSON.
type Status struct {
	Role      Role         `json:"role"`
	Key       string       `json:"key"`            // fingerprint of the one that is enabled in the keystore
	Held      string       `json:"held,omitempty"` // why nothing is encrypted
	Try       string       `json:"try,omitempty"`  // what mends it
	Primaries int          `json:"primaries"`      // that are known, this one among them
	Peers     []PeerStatus `json:"peers"`
}

// PeerStatus is what is known of another daemon.
type PeerStatus struct {
	Address string `json:"address"`
	Up      bool   `json:"up"`            // it has answered the last time
	Why     string `json:"why,omitempty"` // it has not
	Role    Role   `json:"role"`          // by its last answer, as is Key
	Key     string `json:"key"`
}

// Status tells how the node is.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Status{Role: n.cfg.Role, Key: n.self.Key, Peers: []PeerStatus{}}
	if n.held != nil {
		s.Held, s.Try = n.held.Error(), n.held.Try
	}
	for i := range n.heard {
		h := &n.heard[i]
		p := PeerStatus{Address: n.cfg.Peers[i].Address, Up: h.err == nil && h.Instance != "", Role: h.Role, Key: h.Key}
		if h.err != nil {
			p.Why = h.err.Error()
		}
		s.Peers = append(s.Peers, p)
	}
	_, _, s.Primaries = n.primaries()
	if n.cfg.Role == Primary {
		s.Primaries++
	}
	return s
}
