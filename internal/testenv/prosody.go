//go:build unix

package testenv

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Prosody is a real Prosody of a test's own, on loopback, with
// contrib/prosody/mod_archivolt where its users are.
type Prosody struct {
	Domain        string // of its users
	Rooms         string // domain of its rooms (XEP-0045)
	Component     string // name of the component that archives
	Partner       string // name of another component, which stands for the world outside
	Secret        string // of both components
	ClientPort    int    // for clients, without TLS
	ComponentPort int
	ServerPort    int    // for other servers, without TLS
	Queues        string // folder of mod_archivolt's queues, one for each host

	t    testing.TB
	dir  string
	attr *syscall.SysProcAttr
	cmd  *exec.Cmd
	exit chan struct{}
	out  bytes.Buffer
}

// ProsodySetup is what a test wants of its Prosody.
type ProsodySetup struct {
	Domain string   // example.org if empty
	Users  []string // localparts; everybody's password is Password
	Host   string   // lines of configuration for Domain
	Room   string   // lines of configuration for Rooms
	Peers  bool     // whether it speaks to other servers, as Know says

	// Lua holds further files for the path on which the server finds its
	// libraries, by name.
	Lua map[string]string
}

// StartProsody starts a Prosody; it is stopped and removed with the test.
// Where there is no Prosody the test is skipped, in CI it fails.
func StartProsody(t testing.TB, setup ProsodySetup) *Prosody {
	t.Helper()
	if _, err := exec.LookPath("prosody"); err != nil {
		missing(t, "Prosody (Debian: prosody)")
	}
	dir, err := os.MkdirTemp("", "archivolt-prosody-") // not t.TempDir: the server's user has to get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ports := freePorts(t, 3)
	domain := cmp.Or(setup.Domain, "example.org")
	p := &Prosody{Domain: domain, Rooms: "conference." + domain, Component: "archive." + domain, Partner: "partner." + domain,
		Secret: "component secret", ClientPort: ports[0], ComponentPort: ports[1], ServerPort: ports[2], Queues: filepath.Join(dir, "data", "archivolt"),
		t: t, dir: dir, attr: &syscall.SysProcAttr{Setpgid: true}}
	module := filepath.Join(Root(t), "contrib", "prosody", "mod_archivolt")
	if err := os.CopyFS(filepath.Join(dir, "modules", "mod_archivolt"), os.DirFS(module)); err != nil {
		t.Fatal(err)
	}
	for _, u := range setup.Users {
		p.write(filepath.Join("data", strings.ReplaceAll(p.Domain, ".", "%2e"), "accounts", u+".dat"), fmt.Sprintf("return { [\"password\"] = %q; };\n", Password))
	}
	disabled := `"s2s"`
	if setup.Peers {
		disabled = ""
	}
	p.write("modules/mod_test_peers.lua", prosodyPeers)
	for name, text := range setup.Lua {
		p.write(filepath.Join("lua", name), text)
	}
	p.write("prosody.cfg.lua", fmt.Sprintf(prosodyConfig, dir, p.ClientPort, p.ComponentPort, p.ServerPort, disabled,
		p.Domain, setup.Host, p.Rooms, setup.Room, p.Component, p.Secret, p.Partner))
	if os.Getuid() == 0 { // the server refuses to run as root
		p.giveTo("prosody")
	}
	p.Start()
	t.Cleanup(p.Kill)
	return p
}

// prosodyConfig has the modules of Debian's own configuration that concern
// messages, no encryption, and no limits on speed.
const prosodyConfig = `pidfile = "%[1]s/prosody.pid"
log = { { levels = { min = "info" }, to = "file", filename = "%[1]s/prosody.log" } }
data_path = "%[1]s/data"
plugin_paths = { "%[1]s/modules" }
interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { %[2]d }
c2s_direct_tls_ports = {}
component_ports = { %[3]d }
s2s_ports = { %[4]d }
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}
c2s_require_encryption = false
s2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
modules_enabled = { "roster", "saslauth", "disco", "blocklist", "carbons", "csi_simple", "dialback", "mam", "pep", "ping", "private", "smacks", "test_peers", "vcard4" }
modules_disabled = { "tls", %[5]s }
test_peers = "%[1]s/peers"
archivolt_component = "%[10]s"

VirtualHost "%[6]s"
modules_enabled = { "archivolt" }
%[7]s

Component "%[8]s" "muc"
restrict_room_creation = false
muc_room_locking = false
%[9]s

Component "%[10]s"
component_secret = "%[11]s"
disco_hidden = true
modules_disabled = { "s2s" }

Component "%[12]s"
component_secret = "%[11]s"
`

// prosodyPeers is a module that finds other servers in a file instead of in
// the DNS.
const prosodyPeers = `module:set_global();
local manual, service = require "net.resolvers.manual", require "net.resolvers.service";
local path = module:get_option_string("test_peers");
function service.new()
	local targets = {};
	local file = io.open(path);
	if file then
		targets[1] = { "tcp4", "127.0.0.1", tonumber(file:read("*a")) };
		file:close();
	end
	return manual.new(targets);
end
`

// Know makes other the one server that this one knows.
func (p *Prosody) Know(other *Prosody) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "peers"), []byte(strconv.Itoa(other.ServerPort)), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Prosody) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// Configure replaces a text in the configuration; it counts from the next Start.
func (p *Prosody) Configure(before, after string) {
	p.t.Helper()
	path := filepath.Join(p.dir, "prosody.cfg.lua")
	b, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	if strings.Count(string(b), before) != 1 {
		p.t.Fatalf("the configuration does not hold %q once", before)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), before, after, 1)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// giveTo makes a system user the owner of everything, and the server run as it.
func (p *Prosody) giveTo(name string) {
	p.t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		p.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	p.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	err = filepath.WalkDir(p.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// Start starts the server, again after Kill, and waits until it listens.
func (p *Prosody) Start() {
	p.t.Helper()
	// The shell beside it ends the server when its standard input ends, so that
	// it cannot outlive a test that is killed.
	p.cmd = exec.Command("sh", "-c", `exec 3<&0; (read _ <&3; kill -9 0) >/dev/null 2>&1 & exec prosody -F --config "$0" </dev/null`, filepath.Join(p.dir, "prosody.cfg.lua"))
	p.cmd.Dir, p.cmd.SysProcAttr = p.dir, p.attr
	p.cmd.Env = append(os.Environ(), "HOME="+p.dir, "LUA_PATH="+filepath.Join(p.dir, "lua", "?.lua")+";;")
	p.out.Reset()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if _, err := p.cmd.StdinPipe(); err != nil { // open while the test lives
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exit = make(chan struct{})
	go func(cmd *exec.Cmd, exit chan struct{}) {
		cmd.Wait() // ends the shell, too, by closing its input
		close(exit)
	}(p.cmd, p.exit)
	for deadline := time.Now().Add(time.Minute); !p.listens(); {
		select {
		case <-p.exit:
			p.t.Fatalf("Prosody does not start:\n%s\n%s", p.out.String(), p.Log())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.Kill()
			p.t.Fatalf("Prosody does not start in a minute:\n%s", p.Log())
		}
	}
}

func (p *Prosody) listens() bool {
	for _, port := range []int{p.ClientPort, p.ComponentPort} {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		c.Close()
	}
	return true
}

// Kill ends the server at once, as kill -9 does.
func (p *Prosody) Kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // perhaps gone already
	<-p.exit
}

// Stop ends the server in order.
func (p *Prosody) Stop() {
	p.t.Helper()
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exit:
	case <-time.After(time.Minute):
		p.t.Fatalf("Prosody does not stop in a minute:\n%s", p.Log())
	}
}

// Logged waits until the server has logged a line that holds text, since the
// last Start.
func (p *Prosody) Logged(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		log := p.Log()
		if strings.Contains(log[strings.LastIndex(log, "Hello and welcome to Prosody")+1:], text) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("Prosody does not log %q in a minute:\n%s", text, log)
		}
	}
}

// Log is what the server has logged so far.
func (p *Prosody) Log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "prosody.log")) // perhaps not there yet
	return string(b)
}
