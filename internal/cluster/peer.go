package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"archivolt/internal/keystore"
	"archivolt/internal/problem"
)

// What a daemon asks another for.
const (
	statementPath = "/v1/statement" // GET: Statement
	joinPath      = "/v1/join"      // POST: joinRequest; the answer is keystore.Share's
)

// Limits of a conversation.
const (
	askTimeout  = 5 * time.Second
	joinTimeout = time.Minute // Argon2id on a small machine
	maxQuestion = 64 << 10    // bytes
	maxAnswer   = 8 << 20     // bytes
	// maxConnections is how many are open at once, whoever opens them: the spool
	// needs files too.
	maxConnections = 64
	// wrongPause is how long the next attempt waits after a wrong password.
	wrongPause = time.Second
)

// joinRequest asks for the keys.
type joinRequest struct {
	Recipient string `json:"recipient"` // of the keystore that asks
	Password  []byte `json:"password"`  // of the keystore that is asked
}

// serve answers on listener until ctx ends.
func (n *Node) serve(ctx context.Context, listener net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statementPath, func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		s := n.self
		n.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&s) // who asked has left
	})
	mux.HandleFunc("POST "+joinPath, func(w http.ResponseWriter, r *http.Request) { n.join(ctx, w, r) })
	var open atomic.Int64
	limit := func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > maxConnections {
				_ = c.Close() // before its handshake
			}
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server := &http.Server{Handler: mux, TLSConfig: n.cfg.Identity.server(), MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: askTimeout, ReadTimeout: askTimeout, WriteTimeout: joinTimeout, IdleTimeout: time.Minute,
		ConnState: limit,
		ErrorLog:  log.New(io.Discard, "", 0)} // handshakes that fail are nothing to wake anybody for
	n.ending.Go(func() { _ = server.ServeTLS(listener, "", "") }) // until it is closed
	n.ending.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
}

// join gives the keys to a daemon that knows the password, until ctx ends.
func (n *Node) join(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	log := n.cfg.Log.With("from", r.RemoteAddr)
	if n.cfg.Role != Primary || n.secondPrimary() {
		http.Error(w, "not the primary", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	defer clear(body)
	var q joinRequest
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	defer clear(q.Password)
	if err != nil {
		http.Error(w, "this is no request to join", http.StatusBadRequest)
		return
	}
	if !n.joining.TryLock() {
		http.Error(w, "another daemon is joining", http.StatusTooManyRequests)
		return
	}
	defer n.joining.Unlock()
	if ctx.Err() != nil { // Close waits for nobody who comes now
		return
	}
	k, err := keystore.Open(n.cfg.Keystore, q.Password)
	if problem.ClassOf(err) == problem.Passphrase {
		log.Warn("a daemon that wanted to join was refused: the password was wrong")
		select { // guesses take time, also those of who leaves: the lock is held
		case <-time.After(wrongPause):
		case <-ctx.Done():
		}
		http.Error(w, "the password is wrong", http.StatusForbidden)
		return
	}
	var sealed []byte
	if err == nil {
		defer k.Close()
		sealed, err = k.Share(q.Recipient)
	}
	if err != nil {
		log.Error("a daemon that wanted to join did not get the keys", "error", err)
		http.Error(w, "the keys cannot be given", http.StatusConflict)
		return
	}
	log.Info("the keys were given to another daemon", "recipient", keystore.RecipientFingerprint(q.Recipient))
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(sealed) // who asked has left, and asks again
}

// secondPrimary tells whether this daemon is held for being one.
func (n *Node) secondPrimary() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	senior, _, _ := n.primaries()
	return senior != nil && senior.senior(&n.self)
}

// client talks to one peer.
type client struct {
	Peer
	http http.Client
}

func newClient(p Peer) *client {
	return &client{p, http.Client{
		Transport:     &http.Transport{TLSClientConfig: pinned(p.Pin), MaxIdleConns: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// ask sends a request, and returns the answer's body if its status is 200.
func (c *client) ask(ctx context.Context, method, path string, body []byte) (answer []byte, status int, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "https://"+c.Address+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, 0, reason(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = errors.New("its answer is far too long")
	}
	return answer, response.StatusCode, err
}

// reason is why there was no answer, without the address, which the caller
// names.
func reason(err error) error {
	var network *net.OpError
	switch {
	case errors.Is(err, errPin):
		return errPin
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("it does not answer in time")
	case errors.As(err, &network):
		return network.Err
	}
	return errors.New("it is no archivoltd with cluster: in its configuration, or one of another version")
}

// statement asks what the peer is.
func (c *client) statement(ctx context.Context) (*Statement, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, status, err := c.ask(ctx, http.MethodGet, statementPath, nil)
	if err != nil {
		return nil, err
	}
	s := &Statement{}
	if err := json.Unmarshal(answer, s); status != http.StatusOK || err != nil || !s.valid() {
		return nil, errors.New("it gives an answer that this version does not understand")
	}
	return s, nil
}

// FindPrimary asks peers, and returns the one that is the primary: the senior
// one, if several say so. Without one it returns nil, and what each said.
func FindPrimary(ctx context.Context, peers []Peer) (found *Peer, said []string) {
	var senior *Statement
	for i := range peers {
		c := newClient(peers[i])
		s, err := c.statement(ctx)
		c.close()
		switch {
		case err != nil:
			said = append(said, fmt.Sprintf("%s: %v", peers[i].Address, err))
		case s.Role != Primary:
			said = append(said, fmt.Sprintf("%s: it is a %s", peers[i].Address, s.Role))
		case senior == nil || s.senior(senior):
			senior, found = s, &peers[i]
		}
	}
	return found, said
}

// Join brings the primary's keys into the keystore path, which is made if it
// does not exist. The password must be that of both.
func Join(ctx context.Context, primary Peer, path string, password []byte) (*keystore.Keystore, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	c := newClient(primary)
	defer c.close()
	return keystore.Join(path, password, func(recipient string) ([]byte, error) {
		question, err := json.Marshal(joinRequest{recipient, password})
		if err != nil {
			return nil, err
		}
		defer clear(question)
		answer, status, err := c.ask(ctx, http.MethodPost, joinPath, question)
		if err != nil {
			return nil, problem.New(problem.Unavailable, primary.Address, "the primary was lost: "+err.Error(), "see that archivoltd runs there, then try again")
		}
		switch status {
		case http.StatusOK:
			return answer, nil
		case http.StatusForbidden:
			return nil, problem.New(problem.Passphrase, primary.Address, "this is not the encryption password of the primary's keystore", "type it again")
		case http.StatusNotFound:
			return nil, problem.New(problem.Failed, primary.Address, "this daemon is not the primary", "see role: in its configuration and what it has logged")
		case http.StatusTooManyRequests:
			return nil, problem.New(problem.Failed, primary.Address, "another daemon is joining at this moment", "try again")
		}
		return nil, problem.New(problem.Failed, primary.Address, fmt.Sprintf("the primary does not give its keys (status %d)", status), "its log says why: encryption may be disabled, or its keystore lie where archivoltd must not write")
	})
}
