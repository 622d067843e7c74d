//go:build unix

package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

// played is a service manager's socket.
type played struct {
	t    *testing.T
	conn *net.UnixConn
}

// play listens as a service manager does; a name that begins with "@" is
// abstract.
func play(t *testing.T, name string) *played {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &played{t, conn}
}

// next waits for one datagram and returns its assignments.
func (p *played) next() []string {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := p.conn.Read(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Split(string(b[:n]), "\n")
}

// want waits for a datagram that has all these assignments, and lets those
// pass that only say that the daemon is alive.
func (p *played) want(assignments ...string) {
	p.t.Helper()
	for {
		got := p.next()
		if slices.Equal(got, assignments) {
			return
		}
		if !slices.Equal(got, []string{"WATCHDOG=1"}) {
			p.t.Fatalf("the daemon tells %q, want %q", got, assignments)
		}
	}
}

// TestNotify: a daemon under a service manager says when it is ready, what it
// lacks, that it is alive, and that it is ending.
func TestNotify(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna")
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain}})
	socket := filepath.Join(t.TempDir(), "notify")
	m := play(t, socket)
	d.env = []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=300000"}
	d.start()
	m.want("READY=1")
	// It may look before the connection is up.
	const capturing, without = "STATUS=Capturing from 1 of 1 servers.", "STATUS=Not capturing everything: archive.example.org is not connected."
	if got := m.next(); slices.Equal(got, []string{"WATCHDOG=1", without}) {
		m.want("WATCHDOG=1", capturing)
	} else if !slices.Equal(got, []string{"WATCHDOG=1", capturing}) {
		t.Fatalf("the daemon tells %q", got)
	}
	m.want("WATCHDOG=1") // and again, without news
	e.Kill()
	m.want("WATCHDOG=1", without)
	e.Start()
	m.want("WATCHDOG=1", capturing)
	d.stop()
	m.want("STOPPING=1", "STATUS=Bringing what was acknowledged into the archive.")
}

// TestNotifyWithoutStart: a daemon that does not start is never called ready.
func TestNotifyWithoutStart(t *testing.T) {
	d := newDaemon(t, freePort(t), server{"ejabberd", "archive.example.org", "s3cret", freePort(t), []string{"example.org"}})
	if err := os.WriteFile(filepath.Join(d.dir, "archive.db"), []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "notify")
	m := play(t, socket)
	c := exec.Command(os.Args[0], "run", "--config", d.config())
	c.Env = append(os.Environ(), asDaemon+"=1", "NOTIFY_SOCKET="+socket)
	out, err := c.CombinedOutput()
	if err == nil {
		t.Fatalf("it has run:\n%s", out)
	}
	if err := m.conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, err := m.conn.Read(b); err == nil {
		t.Errorf("it tells %q", b[:n])
	}
}

// TestManager: what the environment says, as sd_notify(3) and
// sd_watchdog_enabled(3) have it.
func TestManager(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"120000000", "", 2 * time.Minute}, {"120000000", "42", 2 * time.Minute}, {"120000000", "43", 0},
		{"0", "42", 0}, {"-1", "", 0}, {"2min", "", 0},
	} {
		env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if m := findManager(func(name string) string { return env[name] }, 42, nil); m.watchdog != c.want || m.socket != "" {
			t.Errorf("%v: %+v", c, m)
		}
	}
	var log bytes.Buffer
	lost := manager{socket: filepath.Join(t.TempDir(), "nobody"), log: slog.New(slog.NewTextHandler(&log, nil))}
	lost.tell("READY=1")
	if !strings.Contains(log.String(), "the service manager cannot be told") {
		t.Errorf("the log holds %q", log.String())
	}
	var nobody manager
	nobody.tell("READY=1")
	nobody.keepTold(context.Background(), nil) // returns at once
	if s := (&status{Why: []string{"the spool is full", "the store takes nothing"}}).line(); s != "Not capturing everything: the spool is full, the store takes nothing." {
		t.Errorf("the line is %q", s)
	}
}

// TestAbstractSocket: "@" stands for the zero byte that begins such a name.
func TestAbstractSocket(t *testing.T) {
	name := "@archivolt-test-" + filepath.Base(t.TempDir()) + "-" + time.Now().Format("150405.000000000")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skipf("skipped: no abstract sockets here: %v", err)
	}
	defer conn.Close()
	m := manager{socket: name, log: slog.New(slog.DiscardHandler)}
	m.tell("READY=1", "STATUS=well")
	b := make([]byte, 100)
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(b)
	if err != nil || string(b[:n]) != "READY=1\nSTATUS=well" {
		t.Errorf("%q %v", b[:n], err)
	}
}
