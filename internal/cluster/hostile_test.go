package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestGuessesAbandoned: who does not wait for the answer to a guess cannot make
// the next one earlier.
func TestGuessesAbandoned(t *testing.T) {
	const question = `{"recipient":"r","password":"Z3Vlc3M="}`
	a := newMachine(t)
	a.enable()
	a.start(Primary)
	c := newClient(a.peer())
	defer c.close()
	guesses := func() (at []time.Time) {
		for _, line := range regexp.MustCompile(`"time":"([^"]+)".*the password was wrong`).FindAllStringSubmatch(a.logged(), -1) {
			guessed, err := time.Parse(time.RFC3339Nano, line[1])
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, guessed)
		}
		return at
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _, _ = c.ask(ctx, http.MethodPost, joinPath, []byte(question)) // there is no answer
	}()
	until(t, "a guess", func() bool { return len(guesses()) == 1 })
	leave()
	<-left
	until(t, "another", func() bool {
		_, status, err := c.ask(t.Context(), http.MethodPost, joinPath, []byte(question))
		return err == nil && status == http.StatusForbidden
	})
	if at := guesses(); len(at) != 2 || at[1].Sub(at[0]) < wrongPause {
		t.Errorf("guesses at %v", at)
	}
}

// TestSlowQuestion: a question that does not come to its end keeps nobody from
// joining.
func TestSlowQuestion(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.enable()
	a.start(Primary)
	half, whole := io.Pipe()
	defer whole.Close()
	go func() {
		c := newClient(a.peer())
		defer c.close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+a.address+joinPath, half)
		if err == nil {
			_, _ = c.http.Do(r) // ends with the test
		}
	}()
	if _, err := whole.Write([]byte("{")); err != nil { // returns once it is read to be sent
		t.Fatal(err)
	}
	if _, err := whole.Write([]byte(" ")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.join(a.peer(), password); err != nil {
		t.Error(err)
	}
}

// TestCloseJoin: a join that has begun is at its end when Close returns, so that
// the process does not end in the middle of writing the keystore.
func TestCloseJoin(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.enable()
	node := a.start(Primary)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = b.join(a.peer(), password) // whether it came through does not matter
	}()
	until(t, "joining", func() bool {
		if !node.joining.TryLock() {
			return true
		}
		node.joining.Unlock()
		return false
	})
	node.Close()
	if !node.joining.TryLock() {
		t.Error("a join goes on after Close")
	} else {
		node.joining.Unlock()
	}
	if _, err := os.Lstat(a.keystore() + ".partial"); err == nil {
		t.Error("an unfinished keystore is left")
	}
	<-ended
}

// TestHostileStatement: what a peer says of itself gets into the log, the status
// and the line for systemd only if it is what archivoltd says.
func TestHostileStatement(t *testing.T) {
	const fine = `{"role":"primary","instance":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","key":"0123456789abcdef","made":"2026-11-24T12:00:00Z","started":"2026-11-24T12:00:00Z"}`
	for name, change := range map[string]struct{ old, new string }{
		"a line for systemd": {"0123456789abcdef", `x\nMAINPID=1`},
		"a terminal":         {"0123456789abcdef", `\u001b]0;x\u0007`},
		"a long key":         {"0123456789abcdef", strings.Repeat("a", 2<<20)},
		"a long instance":    {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", strings.Repeat("A", 2<<20)},
		"nothing":            {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			peer, b := newMachine(t), newMachine(t)
			text := strings.Replace(fine, change.old, change.new, 1)
			l, err := net.Listen("tcp", peer.address)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{TLSConfig: peer.identity.server(), ErrorLog: log.New(io.Discard, "", 0),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })}
			defer server.Close()
			go func() { _ = server.ServeTLS(l, "", "") }()
			b.enable()
			node := b.start(Secondary, peer.peer())
			err = node.Hold()
			p := node.Status().Peers[0]
			if change.old == "" {
				if err == nil || !p.Up || p.Key != "0123456789abcdef" {
					t.Errorf("%v, %+v", err, p)
				}
				return
			}
			if err != nil || p.Up || p.Key != "" || !strings.Contains(p.Why, "does not understand") {
				t.Errorf("held: %.100v; %.200s", err, fmt.Sprint(p))
			}
		})
	}
}

// TestManyConnections: who opens connections without end uses up a few of the
// process's files, not those that the spool needs; then it answers again.
func TestManyConnections(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.enable()
	a.start(Primary)
	var open []net.Conn
	for range 3 * maxConnections {
		c, err := net.Dial("tcp", a.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	var closed atomic.Int64
	var reading sync.WaitGroup
	soon := time.Now().Add(askTimeout / 2) // before the handshakes time out
	for _, c := range open {
		reading.Go(func() {
			err := c.SetReadDeadline(soon)
			if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				closed.Add(1)
			}
		})
	}
	reading.Wait()
	if n := closed.Load(); n != 2*maxConnections {
		t.Errorf("of %d connections %d were closed", len(open), n)
	}
	for _, c := range open {
		c.Close()
	}
	until(t, "answered", func() bool {
		c := newClient(a.peer())
		defer c.close()
		_, err := c.statement(t.Context())
		return err == nil
	})
	if _, err := b.join(a.peer(), password); err != nil {
		t.Error(err)
	}
}
