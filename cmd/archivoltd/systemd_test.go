//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"archivolt/internal/testenv"
)

// unitLines are the values of a setting of contrib/systemd/archivoltd.service.
func unitLines(t *testing.T, setting string) (values []string) {
	t.Helper()
	for _, line := range strings.Split(read(t, contrib(t, "systemd", "archivoltd.service")), "\n") {
		if value, ok := strings.CutPrefix(line, setting+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

// TestUnit has systemd's own tool read the unit, and rate its sandbox.
func TestUnit(t *testing.T) {
	analyze := testenv.Command(t, "systemd-analyze")
	unit := filepath.Join(t.TempDir(), "archivoltd.service")
	text := strings.Replace(read(t, contrib(t, "systemd", "archivoltd.service")), "/usr/local/bin/archivoltd", os.Args[0], 1)
	if !strings.Contains(text, os.Args[0]) {
		t.Fatal("the unit does not start /usr/local/bin/archivoltd")
	}
	if password := "\nLoadCredential=" + credential + ":"; strings.Contains(text, "\n#"+password[1:]) {
		text = strings.Replace(text, "\n#"+password[1:], password, 1)
	} else {
		t.Error("the unit does not show how the password comes in")
	}
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// Of what is wrong only that counts which it says of this unit: it reads
	// others beside it.
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "archivoltd.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 1.2 of 10; the rest is the network, which it is for.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// syscalls expands a set of system calls as systemd knows it.
func syscalls(t *testing.T, analyze, set string) (names []string) {
	t.Helper()
	out, err := exec.Command(analyze, "syscall-filter", set).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(out), "\n")[1:] {
		switch word := strings.TrimSpace(line); {
		case strings.HasPrefix(word, "@"):
			names = append(names, syscalls(t, analyze, word)...)
		case word != "" && !strings.HasPrefix(word, "#"):
			names = append(names, word)
		}
	}
	return names
}

// TestSandbox follows a daemon that captures from a real ejabberd, and holds
// what it asks of the kernel against what the unit allows. (That systemd itself
// enforces it cannot be tried without starting a system.)
func TestSandbox(t *testing.T) {
	analyze, strace := testenv.Command(t, "systemd-analyze"), testenv.Command(t, "strace")
	if out, err := exec.Command(strace, "-f", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		testenv.Unable(t, "strace may not follow programs here: %s", out)
	}
	allowed := map[string]bool{"execve": true, "exit": true} // by systemd itself, in every filter
	for _, list := range unitLines(t, "SystemCallFilter") {
		list, not := strings.CutPrefix(list, "~")
		for _, set := range strings.Fields(list) {
			for _, name := range syscalls(t, analyze, set) {
				allowed[name] = !not
			}
		}
	}
	if !allowed["pwrite64"] || allowed["mount"] || allowed["ptrace"] {
		t.Fatalf("the filter is not understood: %v", allowed)
	}
	// Refused, and done without.
	allowed["prlimit64"] = true // the Go runtime raises the limit of open files where it may
	if os.Getuid() == 0 {
		allowed["fchown"] = true // SQLite, as root alone, gives its files to the owner of the archive
	}
	families := strings.Fields(strings.Join(unitLines(t, "RestrictAddressFamilies"), " "))

	e := testenv.StartEjabberd(t, "anna", "ben")
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain}})
	trace := filepath.Join(t.TempDir(), "trace")
	d.under = []string{strace, "-f", "-qq", "-o", trace}
	socket := filepath.Join(t.TempDir(), "notify")
	m := play(t, socket)
	d.env = []string{"NOTIFY_SOCKET=" + socket}
	d.start()
	under := d.cmd.Process.Pid
	child, err := strconv.Atoi(strings.TrimSpace(read(t, fmt.Sprintf("/proc/%d/task/%d/children", under, under))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // strace would leave it running
		if d.cmd != nil {
			_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
		}
	})
	m.want("READY=1")
	anna := testenv.StartXMPPClient(t, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
	anna.Flood(ben.JID, "chat", "traced", 50)
	ben.Wait(testenv.XMPPMatch{Prefix: "traced", Count: 50})
	d.recorded(100)
	d.scrape()
	if err := syscall.Kill(child, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-d.exited
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the daemon ends with code %d", code)
	}
	d.cmd = nil

	call := regexp.MustCompile(`^\d+ +(\w+)\((.*)`)
	seen := map[string]bool{}
	for _, line := range strings.Split(read(t, trace), "\n") {
		f := call.FindStringSubmatch(line)
		if f == nil {
			continue // signals, exits, and the second halves of calls
		}
		name, args := f[1], f[2]
		seen[name] = true
		if !allowed[name] {
			t.Errorf("SystemCallFilter refuses %s", line)
		}
		family, _, _ := strings.Cut(args, ",")
		switch {
		case name == "mmap" && strings.Contains(args, "PROT_WRITE|PROT_EXEC"),
			(name == "mprotect" || name == "pkey_mprotect") && strings.Contains(args, "PROT_EXEC"):
			t.Errorf("MemoryDenyWriteExecute refuses %s", line)
		case name == "socket" && !slices.Contains(families, family):
			t.Errorf("RestrictAddressFamilies refuses %s", line)
		case name == "openat" && regexp.MustCompile(`O_WRONLY|O_RDWR|O_CREAT`).MatchString(args) && !strings.Contains(args, `"`+d.dir) && !strings.Contains(args, `"/dev/null"`):
			t.Errorf("ProtectSystem refuses %s", line)
		}
	}
	for _, name := range []string{"mmap", "socket", "openat", "fdatasync", "fsync"} {
		if !seen[name] {
			t.Errorf("the trace has no %s", name)
		}
	}
}
