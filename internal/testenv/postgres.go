//go:build unix

package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres is a real PostgreSQL server of a test's own, on loopback, with the
// superuser "postgres", who needs no password, and trust in everybody.
type Postgres struct {
	Port int

	t       testing.TB
	bin     string
	dir     string
	attr    *syscall.SysProcAttr
	options []string
}

// StartPostgres makes a cluster and starts it; it is stopped and removed with
// the test. Options are settings, such as "wal_level=minimal". Where there is
// no PostgreSQL the test is skipped, in CI it fails.
func StartPostgres(t testing.TB, options ...string) *Postgres {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		found = append(found, path)
	}
	if len(found) == 0 {
		missing(t, "PostgreSQL's server (Debian: postgresql)")
	}
	slices.Sort(found)
	dir, err := os.MkdirTemp("", "archivolt-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &Postgres{t: t, bin: filepath.Dir(found[len(found)-1]), dir: dir, options: options}
	if os.Getuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	p.run("initdb", "-D", p.data(), "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	p.Start()
	t.Cleanup(func() { _ = p.command("pg_ctl", "-D", p.data(), "-m", "immediate", "stop").Run() }) // perhaps stopped already
	return p
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) command(name string, arguments ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(p.bin, name), arguments...)
	c.Dir, c.SysProcAttr = p.dir, p.attr
	return c
}

func (p *Postgres) run(name string, arguments ...string) {
	p.t.Helper()
	if out, err := p.command(name, arguments...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Start starts the server and waits until it answers.
func (p *Postgres) Start() {
	p.t.Helper()
	options := []string{"-c", "listen_addresses=127.0.0.1", "-p", strconv.Itoa(p.Port), "-c", "unix_socket_directories=" + p.dir, "-c", "fsync=off", "-c", "max_wal_size=4GB"}
	for _, o := range p.options {
		options = append(options, "-c", o)
	}
	p.run("pg_ctl", "-D", p.data(), "-l", filepath.Join(p.dir, "log"), "-w", "-o", strings.Join(options, " "), "start")
}

// Kill stops the server as a power cut would: all its processes end at once.
func (p *Postgres) Kill() {
	p.t.Helper()
	p.run("pg_ctl", "-D", p.data(), "-m", "immediate", "-w", "stop")
}

// PIDs are the ids of the server's processes at this moment.
func (p *Postgres) PIDs() (list []int) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.data(), "postmaster.pid"))
	if err != nil {
		p.t.Fatal(err)
	}
	var first int
	if _, err := fmt.Sscan(string(text), &first); err != nil {
		p.t.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", first, first))
	if err != nil {
		p.t.Fatal(err)
	}
	list = []int{first}
	for _, word := range strings.Fields(string(children)) {
		n, _ := strconv.Atoi(word)
		list = append(list, n)
	}
	return list
}

// URL is the connection string of a user for a database.
func (p *Postgres) URL(name, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", name, p.Port, database)
}

// SQL runs statements as the superuser with psql and returns its unaligned
// output: columns divided by |.
func (p *Postgres) SQL(database, statements string) string {
	p.t.Helper()
	out, err := p.psql(database, statements)
	if err != nil {
		p.t.Fatalf("psql: %v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

func (p *Postgres) psql(database, statements string) (string, error) {
	c := p.command("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", strconv.Itoa(p.Port), "-U", "postgres", "-d", database, "-f", "-")
	c.Stdin = strings.NewReader(statements)
	out, err := c.CombinedOutput()
	return string(out), err
}

// CopyCSV loads CSV as "psql --csv" writes it into a table.
func (p *Postgres) CopyCSV(database, table, csv string) {
	p.t.Helper()
	c := p.command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", strconv.Itoa(p.Port), "-U", "postgres", "-d", database,
		"-c", "COPY "+table+" FROM STDIN WITH (FORMAT csv, HEADER)")
	c.Stdin = strings.NewReader(csv)
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Fatalf("COPY: %v\n%s", err, out)
	}
}

// JM is the documented table of the Message Archiver for PostgreSQL (Cisco
// database setup guide, "External database tables").
const JM = `CREATE TABLE jm (to_jid varchar(3071) NOT NULL, from_jid varchar(3071) NOT NULL, sent_date timestamp NOT NULL,
	subject varchar(128), thread_id varchar(128), msg_type varchar(1) NOT NULL, direction varchar(1) NOT NULL,
	body_len int NOT NULL, message_len int NOT NULL, body_string varchar(4000), message_string varchar(4000),
	body_text text, message_text text, history_flag varchar(1) NOT NULL);`
