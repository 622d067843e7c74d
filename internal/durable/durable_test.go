package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func list(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func check(t *testing.T, name, want string) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
	}
	info, err := os.Stat(name)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v", name, info.Mode())
	}
}

func TestWholeOrNotAtAll(t *testing.T) {
	t.Chdir(t.TempDir())
	f, err := Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	if got := list(t); got != "a.partial" {
		t.Errorf("before Commit: %s", got)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Abort() // as a deferred one
	if got := list(t); got != "a" {
		t.Errorf("after Commit: %s", got)
	}
	check(t, "a", "half")

	f, err = Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("other"); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	if got := list(t); got != "a" {
		t.Errorf("after Abort: %s", got)
	}
	check(t, "a", "half")
}

func TestReplaceAndRefuse(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a", []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteNew("a", []byte("new")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("WriteNew over a file: %v", err)
	}
	if err := Write("a", []byte("new")); err != nil {
		t.Error(err)
	}
	check(t, "a", "new")

	// A file that turns up while ours is being written is kept.
	f, err := CreateNew("b")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("b", []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Commit over a file: %v", err)
	}
	check(t, "b", "theirs")
	if got := list(t); got != "a b" {
		t.Errorf("left behind: %s", got)
	}
}

func TestRemnant(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.partial", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	var remnant *RemnantError
	if err := Write("a", []byte("new")); !errors.As(err, &remnant) || remnant.Path != "a.partial" {
		t.Errorf("with a remnant: %v", err)
	}
	check(t, "a.partial", "half")
}

func TestLinkGoesOnPointing(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("real", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("real/a", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("real", "a"), "link"); err != nil {
		t.Skipf("skipped: no symbolic links here: %v", err)
	}
	if err := Write("link", []byte("new")); err != nil {
		t.Fatal(err)
	}
	check(t, "real/a", "new")
	if info, err := os.Lstat("link"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
}
