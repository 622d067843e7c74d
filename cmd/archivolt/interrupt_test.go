//go:build unix

package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
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
