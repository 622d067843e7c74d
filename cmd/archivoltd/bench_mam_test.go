//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"archivolt/internal/testenv"
)

// archiveDatabase is a PostgreSQL that brings what it commits to the disk, the
// same for all that are compared.
type archiveDatabase struct {
	*testenv.Postgres
	watch *pgconn.PgConn // counts rows
}

func newArchiveDatabase(b *testing.B) *archiveDatabase {
	p := testenv.StartPostgres(b, "fsync=on", "synchronous_commit=on")
	p.SQL("postgres", "CREATE DATABASE archive")
	watch, err := pgconn.Connect(b.Context(), p.URL("postgres", "archive"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { watch.Close(context.Background()) }) // the benchmark's own context has ended by then
	return &archiveDatabase{p, watch}
}

// processes are the server's, without the one that counts for this benchmark.
func (d *archiveDatabase) processes() []int {
	return slices.DeleteFunc(d.PIDs(), func(pid int) bool { return pid == int(d.watch.PID()) })
}

// count asks for a number.
func (d *archiveDatabase) count(b *testing.B, sql string) (n int) {
	result, err := d.watch.Exec(b.Context(), sql).ReadAll()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(string(result[0].Rows[0][0]), &n); err != nil {
		b.Fatal(err)
	}
	return n
}

// until waits for exactly so many rows.
func (d *archiveDatabase) until(b *testing.B, table string, rows int) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		count := d.count(b, "SELECT count(*) FROM "+table)
		if count == rows {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("after two minutes %s has %d rows, want %d", table, count, rows)
		}
	}
}

// rows counts a table's, and reports how many a transaction has brought in.
func (d *archiveDatabase) rows(b *testing.B, table string) (n int) {
	n = d.count(b, "SELECT count(*) FROM "+table)
	b.ReportMetric(float64(n)/float64(d.count(b, "SELECT count(DISTINCT xmin::text) FROM "+table)), "rows/transaction")
	return n
}

// BenchmarkEjabberd sends messages through a real ejabberd that archives
// nothing; that has its own archive (XEP-0313, mod_mam) in a real PostgreSQL;
// and that sends copies to archivoltd, which writes an archive of our own or
// table JM into such a PostgreSQL. The time ends when everything is in the
// archive. What a client can send limits all of them; the processor time for
// each message tells them apart.
//
// Each has two rows of a message: mod_mam one in the archive of each user, we
// one for each copy, as its sender sent it and as its recipient got it.
func BenchmarkEjabberd(b *testing.B) {
	const messages, rows = 5000, 2
	speed := map[string]float64{}
	flood := func(b *testing.B, name string, e *testenv.Ejabberd, archived func(rows int), processes map[string]func() []int) {
		anna := testenv.StartXMPPClient(b, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
		ben := testenv.StartXMPPClient(b, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
		processes["ejabberd"] = func() []int { return []int{e.PID()} }
		before := map[string]time.Duration{}
		for who, pids := range processes {
			before[who] = testenv.ProcessorTime(b, pids()...)
		}
		done := 0
		for b.Loop() {
			prefix := fmt.Sprintf("flood%d ", done)
			anna.Flood(ben.JID, "chat", prefix, messages)
			ben.Wait(testenv.XMPPMatch{Prefix: prefix, Count: messages})
			done += messages
			archived(rows * done)
		}
		for who, pids := range processes {
			b.ReportMetric(float64((testenv.ProcessorTime(b, pids()...)-before[who]).Microseconds())/float64(done), "µs-"+who+"/message")
		}
		speed[name] = float64(done) / b.Elapsed().Seconds()
		b.ReportMetric(speed[name], "messages/s")
		for _, peer := range []string{"nothing", "mod_mam"} {
			if s, ran := speed[peer]; ran && peer != name {
				b.ReportMetric(speed[name]/s, "of-"+peer)
			}
		}
	}
	// alone is an ejabberd that sends no copies.
	alone := func(b *testing.B) *testenv.Ejabberd {
		e := testenv.StartEjabberd(b, "anna", "ben")
		e.Kill()
		e.Change("mod_service_log:", "mod_time:")
		e.Change("    loggers:\n      - archive.example.org\n", "    {}\n")
		return e
	}
	// capturing is one that sends copies to a daemon, not started yet.
	capturing := func(b *testing.B) (e *testenv.Ejabberd, d *daemon, pids func() []int) {
		e = testenv.StartEjabberd(b, "anna", "ben")
		d = newDaemon(b, freePort(b), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain, e.Rooms}})
		return e, d, func() []int { return []int{d.cmd.Process.Pid} }
	}
	b.Run("nothing", func(b *testing.B) {
		e := alone(b)
		e.Start()
		flood(b, "nothing", e, func(int) {}, map[string]func() []int{})
	})
	b.Run("mod_mam", func(b *testing.B) {
		schema, err := os.ReadFile("/usr/share/ejabberd/sql/pg.sql")
		if err != nil {
			testenv.Unable(b, "%v (Debian: ejabberd)", err)
		}
		if found, _ := filepath.Glob("/usr/lib/erlang/lib/p1_pgsql-*"); len(found) == 0 {
			testenv.Unable(b, "ejabberd cannot talk to PostgreSQL (Debian: erlang-p1-pgsql)")
		}
		p := newArchiveDatabase(b)
		p.SQL("archive", string(schema))
		e := alone(b)
		e.Configure("loglevel: info\n", fmt.Sprintf("loglevel: info\nsql_type: pgsql\nsql_server: 127.0.0.1\nsql_port: %d\nsql_database: archive\nsql_username: postgres\nsql_pool_size: 4\n", p.Port))
		e.Configure("  mod_mam: {}\n", "  mod_mam:\n    db_type: sql\n    default: always\n")
		e.Start()
		flood(b, "mod_mam", e, func(rows int) { p.until(b, "archive", rows) }, map[string]func() []int{"postgres": p.processes})
		p.rows(b, "archive")
	})
	b.Run("archivoltd", func(b *testing.B) {
		e, d, pids := capturing(b)
		d.start()
		flood(b, "archivoltd", e, func(rows int) { d.stored(uint64(rows)) }, map[string]func() []int{"archivoltd": pids})
		d.stop()
	})
	b.Run("archivoltd_cisco", func(b *testing.B) {
		p := newArchiveDatabase(b)
		e, d, pids := capturing(b)
		d.useCisco(p.URL("postgres", "archive"))
		d.env = append(d.env, "ARCHIVOLT_PASSPHRASE="+tablePassword)
		d.start()
		flood(b, "archivoltd_cisco", e, func(rows int) { d.stored(uint64(rows)) }, map[string]func() []int{"archivoltd": pids, "postgres": p.processes})
		if done, n := int(d.status().Recorded), p.rows(b, "jm"); n != done { // not counted each time, since the table is large
			b.Errorf("the table has %d rows, want %d", n, done)
		}
		d.stop()
	})
}
