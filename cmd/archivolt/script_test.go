package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"archivolt/internal/testenv"
)

// TestMain makes "archivolt" a command that the tests can call: this very
// program, through its real main.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"archivolt": main})
}

// TestScripts runs testdata/*.txtar. The officer's test keys of internal/keys
// lie in $KEYS.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("KEYS", filepath.Join(testenv.Root(t), "internal", "keys", "testdata"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			// [openssl] is whether it is there; in CI it must be.
			_, err := exec.LookPath(name)
			if err != nil && testenv.InCI() {
				return false, err
			}
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"mode": checkMode, "exits": checkExit},
	})
}

// checkMode is the command "mode 0600 FILE": the file's permission bits.
func checkMode(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: mode 0600 FILE")
	}
	if runtime.GOOS == "windows" {
		return
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, not %s", args[1], got, args[0])
	}
}

// checkExit is the command "exits N archivolt ARGS": the exit code.
func checkExit(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: exits N COMMAND ARGS")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit %s, not %s", code, args[0])
	}
}
