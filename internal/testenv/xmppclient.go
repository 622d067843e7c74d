package testenv

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

//go:embed xmppclient.py
var xmppClient string

// XMPPClient is an XMPP client of other people's making, slixmpp, in a process
// of its own. It is for one goroutine. Whatever goes wrong ends the test.
type XMPPClient struct {
	JID string // full: with the resource that the server gave

	t      testing.TB
	stdin  io.WriteCloser
	lines  chan []byte
	stderr *bytes.Buffer
	ended  chan struct{} // stderr is whole
}

// XMPPMessage is a message to send. What is empty is left out.
type XMPPMessage struct {
	To         string   `json:"to"`
	Type       string   `json:"type,omitempty"` // "chat" if empty
	ID         string   `json:"id,omitempty"`   // made up if empty
	Body       string   `json:"body,omitempty"`
	Subject    string   `json:"subject,omitempty"`
	Thread     string   `json:"thread,omitempty"`
	State      string   `json:"state,omitempty"`       // XEP-0085: active, composing, paused, inactive, gone
	AskReceipt bool     `json:"ask_receipt,omitempty"` // XEP-0184
	Receipt    string   `json:"receipt,omitempty"`     // of the message with that id
	Markable   bool     `json:"markable,omitempty"`    // XEP-0333
	Marker     string   `json:"marker,omitempty"`      // received, displayed, acknowledged
	Marked     string   `json:"marked,omitempty"`      // the id that Marker is about
	Correct    string   `json:"correct,omitempty"`     // XEP-0308, an id
	Retract    string   `json:"retract,omitempty"`     // XEP-0424, an id
	ReactTo    string   `json:"react_to,omitempty"`    // XEP-0444, an id
	Reactions  []string `json:"reactions,omitempty"`   // emoji
	ReplyTo    string   `json:"reply_to,omitempty"`    // XEP-0461, an id
	XHTML      string   `json:"xhtml,omitempty"`       // XEP-0071, a <p>, <div> or text
	OOB        string   `json:"oob,omitempty"`         // XEP-0066, a URL
	Hints      []string `json:"hints,omitempty"`       // XEP-0334: no-store, no-copy, no-permanent-store, store
	Private    bool     `json:"private,omitempty"`     // XEP-0280: no carbons of it
}

// XMPPMatch says which received messages are meant. What is empty does not
// matter.
type XMPPMatch struct {
	ID       string `json:"id,omitempty"`
	Body     string `json:"body,omitempty"`
	Prefix   string `json:"prefix,omitempty"` // of the body
	Type     string `json:"type,omitempty"`
	Contains string `json:"contains,omitempty"` // in the stanza as ElementTree writes it
	Count    int    `json:"count,omitempty"`    // for Wait: so many of them; 1 if 0
}

// StartXMPPClient starts a client, logs it in at the server on host and port
// without TLS and sends its presence. The client ends with the test. jid may
// name a resource.
func StartXMPPClient(t testing.TB, jid, password, host string, port int) *XMPPClient {
	t.Helper()
	return StartOddXMPPClient(t, jid, password, host, port, "")
}

// StartOddXMPPClient is StartXMPPClient for one whose stream header has further
// attributes, such as declarations of prefixes.
func StartOddXMPPClient(t testing.TB, jid, password, host string, port int, attributes string) *XMPPClient {
	t.Helper()
	script := filepath.Join(t.TempDir(), "client.py")
	if err := os.WriteFile(script, []byte(xmppClient), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(Python(t, "slixmpp"), script)
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &XMPPClient{t: t, stdin: stdin, lines: make(chan []byte), stderr: stderr, ended: make(chan struct{})}
	stop := make(chan struct{})
	go func() {
		defer close(c.ended)
		defer cmd.Wait()
		defer close(c.lines)
		for r := bufio.NewReader(stdout); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			select {
			case c.lines <- line:
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		stdin.Close() // it ends
		select {
		case <-c.ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-c.ended
		}
	})
	c.JID = c.call("connect", map[string]any{"jid": jid, "password": password, "host": host, "port": port, "header": " " + attributes}).JID
	return c
}

type xmppAnswer struct {
	OK    bool     `json:"ok"`
	Error string   `json:"error"`
	JID   string   `json:"jid"`
	ID    string   `json:"id"`
	XML   []string `json:"xml"`
}

// xmppWait is the longest that a client may take for one command.
const xmppWait = 2 * time.Minute

// call gives a command and waits for its answer.
func (c *XMPPClient) call(do string, arguments any) xmppAnswer {
	c.t.Helper()
	fields := map[string]any{}
	b, err := json.Marshal(arguments)
	if err == nil {
		err = json.Unmarshal(b, &fields)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	fields["do"] = do
	if b, err = json.Marshal(fields); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.stdin.Write(append(b, '\n')); err != nil {
		c.t.Fatalf("the XMPP client %s is gone: %v", c.JID, err)
	}
	select {
	case line, ok := <-c.lines:
		var a xmppAnswer
		if !ok {
			<-c.ended
			c.t.Fatalf("the XMPP client %s is gone:\n%s", c.JID, c.stderr)
		}
		if err := json.Unmarshal(line, &a); err != nil || !a.OK {
			c.t.Fatalf("the XMPP client %s, told to %s, says: %s", c.JID, do, strings.TrimSpace(string(line)))
		}
		return a
	case <-time.After(xmppWait):
		c.t.Fatalf("the XMPP client %s, told to %s, says nothing", c.JID, do)
	}
	panic("unreachable")
}

// Send sends a message and gives its id.
func (c *XMPPClient) Send(m XMPPMessage) (id string) {
	c.t.Helper()
	return c.call("send", m).ID
}

// Raw sends the text of a stanza as it is.
func (c *XMPPClient) Raw(xml string) {
	c.t.Helper()
	c.call("raw", map[string]any{"xml": xml})
}

// Flood sends n messages of a type ("chat" if empty) as fast as it can. Their
// bodies are prefix, a space, and 0 to n-1. It returns when all have left the
// process.
func (c *XMPPClient) Flood(to, kind, prefix string, n int) {
	c.t.Helper()
	c.call("flood", map[string]any{"to": to, "type": kind, "prefix": prefix, "count": n})
}

// Join enters a room (XEP-0045), which the server may make for it.
func (c *XMPPClient) Join(room, nick string) {
	c.t.Helper()
	c.call("join", map[string]any{"room": room, "nick": nick})
}

// Unlock accepts the proposed configuration of a room that Join has made, as
// some servers want before others may enter.
func (c *XMPPClient) Unlock(room string) {
	c.t.Helper()
	c.call("unlock", map[string]any{"room": room})
}

// Carbons asks the server for carbons (XEP-0280).
func (c *XMPPClient) Carbons() {
	c.t.Helper()
	c.call("carbons", struct{}{})
}

// Presence sends presence: of the type, such as "unavailable", or available.
func (c *XMPPClient) Presence(kind string) {
	c.t.Helper()
	c.call("presence", map[string]any{"type": kind})
}

// Wait waits until enough messages that match have been received, and gives
// all that match, in order, as ElementTree writes them.
func (c *XMPPClient) Wait(m XMPPMatch) []string {
	c.t.Helper()
	return c.call("wait", m).XML
}

// Received gives the messages that match and have been received so far.
func (c *XMPPClient) Received(m XMPPMatch) []string {
	c.t.Helper()
	return c.call("received", m).XML
}

// Disconnect logs out. The client cannot be used after that.
func (c *XMPPClient) Disconnect() {
	c.t.Helper()
	c.call("disconnect", struct{}{})
}
