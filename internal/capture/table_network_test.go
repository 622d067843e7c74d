//go:build unix

package capture

import (
	"fmt"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

// TestTableNetwork has the network between the daemon and a real PostgreSQL fail
// around a COMMIT, so that nobody knows whether the batch is there: before the
// server has it, and before the daemon has the answer; by a cut, by silence, and
// by silence on this one connection alone, while the daemon connects anew. What
// was under way is lost, or arrives late. More comes in meanwhile. Each message
// is there afterwards, once and in order.
func TestTableNetwork(t *testing.T) {
	server := testenv.StartPostgres(t, "fsync=on", "autovacuum=off")
	server.SQL("postgres", "CREATE DATABASE im")
	proxy := testenv.StartProxy(t, fmt.Sprintf("127.0.0.1:%d", server.Port))
	p := newPlace(t)
	s := p.startPostgres(t, fmt.Sprintf("postgres://postgres@%s/im?sslmode=disable", proxy.Addr()), 2*time.Second)
	next := uint64(1)
	load := func(n uint64) {
		t.Helper()
		if err := deliver(s, numbered(next, next+n-1)); err != nil {
			t.Fatal(err)
		}
		next += n
	}
	drained := func() { until(t, func() bool { return s.Status().Queued == 0 }) }
	load(100)
	drained()
	const commit = "COMMIT\x00" // in a query of the simple protocol, and in the tag of its answer
	for name, c := range map[string]struct {
		fault   testenv.Fault
		deliver bool
	}{
		"cut":                   {fault: testenv.Close},
		"silent":                {fault: testenv.Silent},
		"silent, then late":     {fault: testenv.Silent, deliver: true},
		"one silent":            {fault: testenv.SilentForOne},
		"one silent, then late": {fault: testenv.SilentForOne, deliver: true},
	} {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, answer %t", name, back), func(t *testing.T) {
				before := next - 1
				fails := s.Status().StoreFails
				sprung := proxy.Set(testenv.Trap{Text: commit, Back: back, Fault: c.fault})
				load(10)
				<-sprung
				until(t, func() bool { return s.Status().StoreFails > fails }) // the daemon does not know
				stored := before
				if back {
					stored += 10
				}
				if got := server.SQL("im", "SELECT count(*) FROM jm"); c.fault != testenv.Close && (c.fault == testenv.Silent || !back) && got != fmt.Sprint(stored) {
					t.Errorf("the table has %s rows, want %d", got, stored)
				}
				load(10)
				if c.fault == testenv.SilentForOne && !back { // the batch is sent again, and waits for the lock of the one before
					until(t, func() bool {
						return server.SQL("im", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'archivoltd' AND wait_event_type = 'Lock'") == "1"
					})
				}
				proxy.Heal(c.deliver)
				drained()
				load(10)
				drained()
				wantRows(t, inOrder(t, server, "im"), next-1)
			})
		}
	}
	stop(t, s)
	wantRows(t, inOrder(t, server, "im"), next-1)
	if marks := server.SQL("im", "SELECT source, mark FROM archivolt_marks"); marks != fmt.Sprintf("queue/example.org/q1|%d", next-1) {
		t.Errorf("marks: %s", marks)
	}
}
