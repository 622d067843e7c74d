//go:build unix

package main

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"archivolt/internal/ledger"
	"archivolt/internal/testenv"
)

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestEjabberd sends 5,000 messages through a real ejabberd at the speed of
// the client, into a real archive.
func TestEjabberd(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "ben")
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain, e.Rooms}})
	d.start()
	anna := testenv.StartXMPPClient(t, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
	const n = 5000
	anna.Flood(ben.JID, "chat", "flood", n)
	ben.Wait(testenv.XMPPMatch{Prefix: "flood", Count: n})
	d.recorded(2 * n) // sent, and received
	d.stop()
	list, events := d.records()
	seen := map[string]int{}
	for _, r := range list {
		if body, ok := r.Body(); ok && strings.HasPrefix(body, "flood") {
			seen[body]++
			if !strings.Contains(r.raw, ">"+body+"<") || !strings.HasPrefix(r.source, "connection/ejabberd/"+e.Component+"/") {
				t.Fatalf("a record of %s is %s", r.source, r.raw)
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d messages are there", len(seen), n)
	}
	for body, times := range seen {
		if times != 2 {
			t.Errorf("%q is there %d times", body, times)
		}
	}
	d.wantOnce("flood", n)
	var names []string
	for _, e := range events {
		names = append(names, string(e.Name))
	}
	if got := fmt.Sprint(names); got != fmt.Sprint([]ledger.Name{ledger.Created, ledger.Started, ledger.Configuration, ledger.Connected, ledger.Lost, ledger.Stopped}) {
		t.Errorf("the events are %s", got)
	}
	if log := d.log.String(); strings.Contains(log, "flood") || strings.Contains(log, "anna@") || strings.Contains(log, e.Secret) {
		t.Error("the log holds what it must not")
	}
}

// TestStatus asks the daemon while the server is there, and after it is gone.
func TestStatus(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna")
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain}})
	d.start()
	stdout, stderr, code := archivoltd(t, "status", "--config", d.config())
	if code != 0 || !strings.Contains(stdout, "ejabberd archive.example.org: connected, best effort\n") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	e.Kill()
	d.until("without its server", func() bool { return !d.status().Ready })
	stdout, stderr, code = archivoltd(t, "status", "--config", d.config())
	if code != 1 || !strings.Contains(stdout, "NOT READY: archive.example.org is not connected\n") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	e.Start()
	d.until("ready again", func() bool { return d.status().Ready })
	d.stop()
	_, stderr, code = archivoltd(t, "status", "--config", d.config())
	if code != 14 || !strings.Contains(stderr, "archivoltd does not answer: ") {
		t.Errorf("%d %s", code, stderr)
	}
}
