// Package testenv tells tests what the machine has. A test that needs a
// program or a folder that is absent skips and says so; with CI=true a missing
// program is a failure, since there every test has to run.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// InCI tells whether skipping for want of a program is forbidden.
func InCI() bool { return os.Getenv("CI") == "true" }

// Command returns the path of the program name, or ends the test.
func Command(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	missing(tb, name)
	return ""
}

func missing(tb testing.TB, what string) {
	tb.Helper()
	if InCI() {
		tb.Fatalf("%s is not installed, and CI may not skip", what)
	}
	tb.Skipf("skipped: %s is not installed", what)
}

// Unable skips a test for which this machine lacks a right or an ability, such
// as mounting a file system. In CI it fails: nothing that protects a message may
// go untested there without a word.
func Unable(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if InCI() {
		tb.Fatalf(format+", and CI may not skip", args...)
	}
	tb.Skipf("skipped: "+format, args...)
}

// Material returns the path of a folder of other people's test vectors, which
// lie outside this repository: ../shared/material beside it, or where
// ARCHIVOLT_MATERIAL points. Without it the test is skipped.
func Material(tb testing.TB, name string) string {
	tb.Helper()
	dir := os.Getenv("ARCHIVOLT_MATERIAL")
	if dir == "" {
		dir = filepath.Join(Root(tb), "..", "shared", "material")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		tb.Skipf("skipped: no test vectors at %s (set ARCHIVOLT_MATERIAL)", path)
	}
	return path
}

// Root returns the folder that holds go.mod.
func Root(tb testing.TB) string {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("no source path")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}
