//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
)

// stream starts "decrypt --lines --out out.txt" on a pipe that stays open. It
// returns once the command has read far more than a pipe holds, so that it is
// in the middle of its work, waiting for more.
func stream(t *testing.T) (cmd *exec.Cmd, stdin io.WriteCloser, stderr *strings.Builder) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("key.txt", []byte(testText), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command("archivolt", "decrypt", "--key", "key.txt", "--lines", "--out", "out.txt")
	stderr = &strings.Builder{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, strings.Repeat(testValue+"\n", 50_000)); err != nil {
		t.Fatal(err)
	}
	return cmd, stdin, stderr
}

// TestInterrupt presses Ctrl-C while the command waits for input.
func TestInterrupt(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd, stdin, stderr := stream(t)
			defer stdin.Close()
			begin := time.Now()
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
				t.Errorf("ended with %v, want exit 130", err)
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("took %v to stop", took)
			}
			if got := stderr.String(); got != "archivolt: interrupted; nothing unfinished was kept\n" {
				t.Errorf("said %q", got)
			}
			for _, name := range []string{"out.txt", "out.txt.partial"} {
				if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestKilled kills the command: nothing looks complete, and the next run names
// what is left.
func TestKilled(t *testing.T) {
	cmd, stdin, _ := stream(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	_ = cmd.Wait() // killed
	if _, err := os.Stat("out.txt"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("out.txt: %v", err)
	}
	args := []string{"decrypt", "--key", "key.txt", "--lines", "--out", "out.txt"}
	_, stderr, code := runApp(t, testValue, args...)
	if code != 1 || !strings.Contains(stderr, "out.txt.partial: an earlier run left this file unfinished") ||
		!strings.Contains(stderr, "rm out.txt.partial") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if err := os.Remove("out.txt.partial"); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := runApp(t, testValue, args...); code != 0 {
		t.Errorf("after removing it: exit %d, %s", code, stderr)
	}
}

// TestInterruptPipe stops a command that waits for a pipe which nobody writes
// to, and one that nobody reads from.
func TestInterruptPipe(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("key.txt", []byte(testText), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("value.txt", []byte(testValue), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"decrypt", "--key", "key.txt", "--in", "pipe"},
		{"decrypt", "--key", "pipe", "--in", "value.txt"},
		{"decrypt", "--key", "key.txt", "--in", "value.txt", "--out", "pipe"},
		{"keygen", "--out", "pair", "--bits", "16384"},
	} {
		cmd := exec.Command("archivolt", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitUntilBusy(t, cmd.Process.Pid)
		begin := time.Now()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 || time.Since(begin) > time.Second {
			t.Errorf("%v ended with %v after %v", args, err, time.Since(begin))
		}
	}
	if _, err := os.Stat("pair"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pair: %v", err)
	}
}

// waitUntilBusy returns once the process hangs in opening a pipe, or has
// computed for a while: it prints nothing that could be waited for instead.
func waitUntilBusy(t *testing.T, pid int) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", pid)
	if _, err := os.Stat(proc + "/wchan"); err != nil {
		t.Skip("skipped: no /proc to see what a process waits for")
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		threads, err := filepath.Glob(proc + "/task/*/wchan")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			if where, _ := os.ReadFile(thread); strings.Contains(string(where), "partner") || strings.Contains(string(where), "fifo") {
				return
			}
		}
		stat, err := os.ReadFile(proc + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 11 {
			if utime, _ := strconv.Atoi(fields[11]); utime >= 20 {
				return // proc(5): utime, in hundredths of a second
			}
		}
	}
	t.Fatal("the process never got to work")
}

// TestKilledExport kills an export at work: what is left has no name that
// looks complete, and is no export to a verifier.
func TestKilledExport(t *testing.T) {
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 11, Utterances: 20_000})
	cmd := exec.Command("archivolt", append([]string{"export", "jm.csv", "--format", "csv", "--quiet", "--out", "out"}, allKeys...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		if info, err := os.Stat("out.partial/messages.jsonl"); err == nil && info.Size() > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	left, err := filepath.Glob("out*")
	if err != nil || len(left) != 1 || left[0] != "out.partial" {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, stderr, code := runApp(t, "", "verify", "out.partial"); code != 13 || !strings.Contains(stderr, "manifest.json: this file is missing") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if _, stderr, code := runApp(t, "", "export", "jm.csv", "--format", "csv", "--out", "out"); code != 1 || !strings.Contains(stderr, "out.partial") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// TestBrokenPipes closes standard output and error: nothing is left behind.
func TestBrokenPipes(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("key.txt", []byte(testText), 0o600); err != nil {
		t.Fatal(err)
	}
	column := strings.Repeat(testValue+"\nAAAA\n", 50_000)
	if err := os.WriteFile("column.txt", []byte(column), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := exec.Command("archivolt", "decrypt", "--key", "key.txt", "--lines", "--in", "column.txt", "--out", "out.txt")
	cmd.Stderr = w
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("without standard error: %v, want exit 3", err)
	}
	if out := readFile(t, "out.txt"); strings.Count(out, "\n") != 100_000 {
		t.Errorf("%d lines were written", strings.Count(out, "\n"))
	}
	var errs strings.Builder
	cmd = exec.Command("archivolt", "decrypt", "-q", "--key", "key.txt", "--lines", "--in", "column.txt")
	cmd.Stdout, cmd.Stderr = w, &errs
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("without standard output: %v, want exit 1", err)
	}
	if strings.Contains(errs.String(), "pipe") {
		t.Errorf("said %q", errs.String())
	}
	w.Close()
}

// TestInterruptExport presses Ctrl-C in the middle of a long export, into a
// folder and into a pipe that nobody reads.
func TestInterruptExport(t *testing.T) {
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 11, Utterances: 20_000})
	args := append([]string{"export", "jm.csv", "--format", "jsonl", "--quiet"}, allKeys...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, out := range []string{"out", "-"} {
		cmd := exec.Command("archivolt", append(args, "--out", out)...)
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if out == "-" {
			if _, err := r.Read(make([]byte, 1)); err != nil { // it has begun to write
				t.Fatal(err)
			}
		} else {
			for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
				if info, err := os.Stat("out.partial/messages.jsonl"); err == nil && info.Size() > 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nothing was written")
				}
			}
		}
		begin := time.Now()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 || time.Since(begin) > time.Second {
			t.Errorf("--out %s ended with %v after %v", out, err, time.Since(begin))
		}
		for _, name := range []string{"out", "out.partial"} {
			if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	w.Close()
}
