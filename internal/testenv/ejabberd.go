//go:build unix

package testenv

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ejabberd is a real ejabberd of a test's own, on loopback, that sends copies
// to a component with contrib/ejabberd/archivolt.yml.
type Ejabberd struct {
	Domain        string // of its users
	Rooms         string // domain of its rooms (XEP-0045)
	Component     string // name of the component
	Secret        string // of the component
	ClientPort    int    // for clients, without TLS
	ComponentPort int

	t     testing.TB
	dir   string
	libs  string
	users []string
	cmd   *exec.Cmd
	stdin io.Closer
	exit  chan struct{}
	out   bytes.Buffer
}

// Password is that of every user of the servers for tests.
const Password = "correct horse"

// StartEjabberd starts an ejabberd with these users of example.org (localparts;
// everybody's password is Password). It is stopped and removed with the test.
// Where there is no ejabberd the test is skipped, in CI it fails.
func StartEjabberd(t testing.TB, users ...string) *Ejabberd {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*/ejabberd-*/ebin/ejabberd.beam")
	if _, err := exec.LookPath("erl"); err != nil || len(found) == 0 {
		missing(t, "ejabberd (Debian: ejabberd)")
	}
	slices.Sort(found)
	e := &Ejabberd{Domain: "example.org", Rooms: "conference.example.org", Component: "archive.example.org", Secret: "component secret",
		t: t, dir: t.TempDir(), users: users, libs: filepath.Dir(filepath.Dir(filepath.Dir(found[len(found)-1])))}
	ports := freePorts(t, 3)
	e.ClientPort, e.ComponentPort = ports[0], ports[1]
	fragment, err := os.ReadFile(filepath.Join(Root(t), "contrib", "ejabberd", "archivolt.yml"))
	if err != nil {
		t.Fatal(err)
	}
	e.write("archivolt.yml", string(fragment))
	e.Change("port: 5347", fmt.Sprintf("port: %d", e.ComponentPort))
	e.Change("CHANGE ME", e.Secret)
	e.write("ejabberd.yml", fmt.Sprintf(ejabberdConfig, filepath.Join(e.dir, "archivolt.yml"), e.ClientPort, ports[2]))
	e.Start()
	t.Cleanup(e.Kill)
	return e
}

// ejabberdConfig has the modules of Debian's own configuration that concern
// messages, no encryption, and no limits on speed. The server's own archive
// holds rooms only: without a database beside it, its time for a message grows
// with the number that a user has.
const ejabberdConfig = `loglevel: info
hosts: [example.org]
include_config_file: %s
auth_password_format: plain
s2s_use_starttls: optional
s2s_timeout: 5
listen:
  -
    port: %d
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
  -
    port: %d
    ip: "127.0.0.1"
    module: ejabberd_s2s_in
shaper_rules:
  max_user_offline_messages: 1000
modules:
  mod_caps: {}
  mod_carboncopy: {}
  mod_client_state: {}
  mod_disco: {}
  mod_last: {}
  mod_mam: {}
  mod_muc:
    default_room_options:
      mam: true
  mod_offline:
    access_max_user_messages: max_user_offline_messages
  mod_ping: {}
  mod_privacy: {}
  mod_pubsub:
    plugins: [flat, pep]
  mod_roster: {}
  mod_stream_mgmt: {}
`

// Change replaces a text in the server's copy of contrib/ejabberd/archivolt.yml,
// which must hold it once. It takes effect with the next Start.
func (e *Ejabberd) Change(old, new string) {
	e.t.Helper()
	e.change("archivolt.yml", old, new)
}

// Configure does the same with the server's main configuration.
func (e *Ejabberd) Configure(old, new string) {
	e.t.Helper()
	e.change("ejabberd.yml", old, new)
}

func (e *Ejabberd) change(name, old, new string) {
	e.t.Helper()
	b, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil {
		e.t.Fatal(err)
	}
	if bytes.Count(b, []byte(old)) != 1 {
		e.t.Fatalf("%s does not hold %q once", name, old)
	}
	e.write(name, strings.Replace(string(b), old, new, 1))
}

// PID is the id of the server's process.
func (e *Ejabberd) PID() int { return e.cmd.Process.Pid }

func (e *Ejabberd) write(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// Start starts the server, again after Kill, and waits until it takes clients.
func (e *Ejabberd) Start() {
	e.t.Helper()
	// No name for the node: so there is no port mapper, and two servers do not
	// meet. The server ends when its standard input does, so that it cannot
	// outlive a test that is killed.
	var program strings.Builder
	for _, u := range e.users {
		fmt.Fprintf(&program, "ejabberd_auth:try_register(<<%q>>, <<%q>>, <<%q>>), ", u, e.Domain, Password)
	}
	program.WriteString(`io:format("~nready~n"), spawn(fun() -> io:get_line(""), halt(0, [{flush, false}]) end).`)
	e.cmd = exec.Command("erl", "-noshell", "-mnesia", "dir", fmt.Sprintf("%q", filepath.Join(e.dir, "mnesia")), "-s", "ejabberd", "-eval", program.String())
	e.cmd.Dir = e.dir
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	e.cmd.Env = append(os.Environ(), "HOME="+e.dir, "ERL_LIBS="+e.libs, "ERL_CRASH_DUMP="+os.DevNull,
		"EJABBERD_CONFIG_PATH="+filepath.Join(e.dir, "ejabberd.yml"), "EJABBERD_LOG_PATH="+filepath.Join(e.dir, "ejabberd.log"))
	stdin, err := e.cmd.StdinPipe()
	if err != nil {
		e.t.Fatal(err)
	}
	stdout, err := e.cmd.StdoutPipe()
	if err != nil {
		e.t.Fatal(err)
	}
	e.cmd.Stderr = e.cmd.Stdout
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.stdin, e.exit = stdin, make(chan struct{})
	ready := make(chan struct{})
	e.out.Reset()
	go func() {
		defer close(e.exit)
		defer e.cmd.Wait()
		isReady := false
		for r := bufio.NewReader(stdout); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if isReady {
				continue
			}
			if e.out.WriteString(line); line == "ready\n" {
				isReady = true
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-e.exit:
		e.t.Fatalf("ejabberd does not start:\n%s\n%s", e.out.String(), e.Log())
	case <-time.After(time.Minute):
		e.Kill()
		e.t.Fatalf("ejabberd does not start in a minute:\n%s", e.Log())
	}
}

// Kill ends the server at once, as kill -9 does.
func (e *Ejabberd) Kill() {
	syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL) // perhaps gone already
	<-e.exit
	e.stdin.Close()
}

// Log is what the server has logged so far.
func (e *Ejabberd) Log() string {
	b, _ := os.ReadFile(filepath.Join(e.dir, "ejabberd.log")) // perhaps not there yet
	return string(b)
}

// freePorts gives ports on loopback on which nobody listens.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // only when all are found: so all differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
