package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// manager is the service manager that started the daemon, which is told how it
// is (sd_notify(3)). The zero value is for a daemon that nobody asked to tell.
type manager struct {
	socket   string        // that it listens at
	watchdog time.Duration // it restarts the daemon after so long a silence; 0 for never
	log      *slog.Logger
}

// findManager reads what the manager has put into the environment.
func findManager(getenv func(string) string, pid int, log *slog.Logger) *manager {
	m := &manager{socket: getenv("NOTIFY_SOCKET"), log: log}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if whose := getenv("WATCHDOG_PID"); err == nil && usec > 0 && (whose == "" || whose == strconv.Itoa(pid)) {
		m.watchdog = time.Duration(usec) * time.Microsecond
	}
	return m
}

// tell sends assignments such as READY=1. One that cannot be sent is logged:
// capturing goes on without.
func (m *manager) tell(assignments ...string) {
	if m.socket == "" {
		return
	}
	conn, err := net.Dial("unixgram", m.socket) // "@" at its beginning names an abstract one
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // sockets take one
		_, err = conn.Write([]byte(strings.Join(assignments, "\n")))
		conn.Close()
	}
	if err != nil {
		m.log.Warn("the service manager cannot be told", "error", err)
	}
}

// statusEvery is how often the manager's status line is looked at, at least.
const statusEvery = 10 * time.Second

// keepTold tells the manager how the daemon is, until ctx ends. To know that,
// current needs the locks of spool and state: a daemon that hangs on them does
// not get to the next line, and the manager's watchdog ends it.
func (m *manager) keepTold(ctx context.Context, current func() status) {
	if m.socket == "" {
		return
	}
	every := statusEvery
	if m.watchdog > 0 {
		every = min(every, m.watchdog/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		s := current()
		assignments := []string{"WATCHDOG=1"}
		if line := s.line(); line != last {
			assignments, last = append(assignments, "STATUS="+line), line
		}
		m.tell(assignments...)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// line is the status in one line.
func (s *status) line() string {
	if s.Ready {
		return fmt.Sprintf("Capturing from %d of %d servers.", len(s.Servers), len(s.Servers))
	}
	return "Not capturing everything: " + strings.Join(s.Why, ", ") + "."
}

// telling tells the manager that the daemon is ready, and from then on how it
// is; the function that is returned tells that it is ending.
func telling(log *slog.Logger, current func() status) (ending func()) {
	m := findManager(os.Getenv, os.Getpid(), log)
	m.tell("READY=1")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.keepTold(ctx, current)
	}()
	return func() {
		cancel()
		<-done // or its status would come after the last one
		m.tell("STOPPING=1", "STATUS=Bringing what was acknowledged into the archive.")
	}
}
