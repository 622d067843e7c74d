//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

// cpuOf is the processor time of processes so far, of those that have ended
// among their children too.
func cpuOf(b *testing.B, pids ...int) (sum time.Duration) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime (proc(5)), in hundredths of a second
			var ticks int64
			if _, err := fmt.Sscan(fields[i], &ticks); err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

// BenchmarkEjabberd sends messages through a real ejabberd that archives
// nothing, that sends copies to archivoltd, and that has its own archive
// (XEP-0313, mod_mam) in a real PostgreSQL. What a client can send limits all
// three; the processor time for each message tells them apart.
func BenchmarkEjabberd(b *testing.B) {
	const messages = 5000
	flood := func(b *testing.B, e *testenv.Ejabberd, settled func(done int), archive func() []int) {
		anna := testenv.StartXMPPClient(b, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
		ben := testenv.StartXMPPClient(b, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
		server, beside := cpuOf(b, e.PID()), cpuOf(b, archive()...)
		done := 0
		for b.Loop() {
			prefix := fmt.Sprintf("flood%d ", done)
			anna.Flood(ben.JID, "chat", prefix, messages)
			ben.Wait(testenv.XMPPMatch{Prefix: prefix, Count: messages})
			done += messages
			settled(done)
		}
		b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64((cpuOf(b, e.PID())-server).Microseconds())/float64(done), "µs-ejabberd/message")
		b.ReportMetric(float64((cpuOf(b, archive()...)-beside).Microseconds())/float64(done), "µs-archive/message")
	}
	b.Run("nothing", func(b *testing.B) {
		e := testenv.StartEjabberd(b, "anna", "ben")
		e.Kill()
		e.Change("mod_service_log:", "mod_time:")
		e.Change("    loggers:\n      - archive.example.org\n", "    {}\n")
		e.Start()
		flood(b, e, func(int) {}, func() []int { return nil })
	})
	b.Run("archivoltd", func(b *testing.B) {
		e := testenv.StartEjabberd(b, "anna", "ben")
		d := newDaemon(b, freePort(b), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain, e.Rooms}})
		d.start()
		flood(b, e, func(done int) { d.recorded(uint64(2 * done)) }, func() []int { return []int{d.cmd.Process.Pid} })
		d.stop()
	})
	b.Run("mod_mam", func(b *testing.B) {
		p := testenv.StartPostgres(b, "fsync=on", "synchronous_commit=on")
		p.SQL("postgres", "CREATE DATABASE mam")
		schema, err := os.ReadFile("/usr/share/ejabberd/sql/pg.sql")
		if err != nil {
			testenv.Unable(b, "%v (Debian: ejabberd)", err)
		}
		if found, _ := filepath.Glob("/usr/lib/erlang/lib/p1_pgsql-*"); len(found) == 0 {
			testenv.Unable(b, "ejabberd cannot talk to PostgreSQL (Debian: erlang-p1-pgsql)")
		}
		p.SQL("mam", string(schema))
		e := testenv.StartEjabberd(b, "anna", "ben")
		e.Kill()
		e.Change("mod_service_log:", "mod_time:")
		e.Change("    loggers:\n      - archive.example.org\n", "    {}\n")
		e.Configure("loglevel: info\n", fmt.Sprintf("loglevel: info\nsql_type: pgsql\nsql_server: 127.0.0.1\nsql_port: %d\nsql_database: mam\nsql_username: postgres\nsql_pool_size: 4\n", p.Port))
		e.Configure("  mod_mam: {}\n", "  mod_mam:\n    db_type: sql\n    default: always\n")
		e.Start()
		flood(b, e, func(done int) {
			deadline := time.Now().Add(2 * time.Minute)
			for p.SQL("mam", "SELECT count(*) FROM archive WHERE txt LIKE 'flood%'") != fmt.Sprint(2*done) {
				if time.Now().After(deadline) {
					b.Fatal("mod_mam has not stored everything after two minutes")
				}
			}
		}, p.PIDs)
	})
}
