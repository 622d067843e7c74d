package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func nothing(string) bool { return false }

// exports allows to replace what an export writes.
func exports(name string) bool {
	return slices.Contains([]string{"messages.csv", "messages.jsonl"}, name)
}

// tree lists what lies below the current folder, folders with a slash.
func tree(t *testing.T) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if path != "." {
			name := filepath.ToSlash(path)
			if d.IsDir() {
				name += "/"
			}
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill writes a file of an unfinished folder, synced and closed.
func fill(t *testing.T, d *Dir, name, text string) {
	t.Helper()
	f, err := d.File(name)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, errors.Join(err, f.Sync(), f.Close()))
}

func put(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

func TestDirWholeOrNotAtAll(t *testing.T) {
	t.Chdir(t.TempDir())
	d, err := CreateDir("case/17", nothing) // the folder above it, too, is new
	must(t, err)
	fill(t, d, "messages.csv", "a")
	fill(t, d, "messages.jsonl", "b")
	if got := tree(t); got != "case/ case/17.partial/ case/17.partial/messages.csv case/17.partial/messages.jsonl" {
		t.Errorf("before Commit: %s", got)
	}
	must(t, d.Commit(nothing))
	d.Abort() // as a deferred one
	if got := tree(t); got != "case/ case/17/ case/17/messages.csv case/17/messages.jsonl" {
		t.Errorf("after Commit: %s", got)
	}
	check(t, "case/17/messages.csv", "a")
	check(t, "case/17/messages.jsonl", "b")
	if runtime.GOOS == "windows" {
		return // no mode bits
	}
	for _, name := range []string{"case", "case/17"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestDirAbort(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "case/messages.csv", "old")
	d, err := CreateDir("case", exports)
	must(t, err)
	fill(t, d, "messages.csv", "half")
	d.Abort()
	d.Abort()
	if got := tree(t); got != "case/ case/messages.csv" {
		t.Errorf("after Abort: %s", got)
	}
	if text, err := os.ReadFile("case/messages.csv"); err != nil || string(text) != "old" {
		t.Errorf("the old export is %q, %v", text, err)
	}
}

// TestDirCommitOnce: a second Commit, or one after Abort, has nothing to give;
// it must not take away what is there.
func TestDirCommitOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	d, err := CreateDir("case", exports)
	must(t, err)
	fill(t, d, "messages.csv", "a")
	must(t, d.Commit(exports))
	if err := d.Commit(exports); err == nil {
		t.Error("a second Commit has no error")
	}
	check(t, "case/messages.csv", "a")

	d, err = CreateDir("case", exports)
	must(t, err)
	d.Abort()
	if err := d.Commit(exports); err == nil {
		t.Error("a Commit after Abort has no error")
	}
	check(t, "case/messages.csv", "a")
}

func TestDirRefusesWhatIsThere(t *testing.T) {
	for _, c := range []struct {
		name        string
		make        func(t *testing.T)
		replaceable func(string) bool
		refused     string // the name in the way; "" if it may be replaced
	}{
		{"nothing", func(*testing.T) {}, nothing, ""},
		{"an empty folder", func(t *testing.T) { must(t, os.Mkdir("case", 0o755)) }, nothing, ""},
		{"a file", func(t *testing.T) { put(t, "case/notes.txt", "x") }, nothing, "notes.txt"},
		{"an earlier export that may not be replaced", func(t *testing.T) { put(t, "case/messages.csv", "x") }, nothing, "messages.csv"},
		{"an earlier export that may be", func(t *testing.T) { put(t, "case/messages.csv", "x"); put(t, "case/messages.jsonl", "x") }, exports, ""},
		{"an earlier export and something else", func(t *testing.T) { put(t, "case/messages.csv", "x"); put(t, "case/notes.txt", "x") }, exports, "notes.txt"},
		{"a hidden file", func(t *testing.T) { put(t, "case/.profile", "x") }, exports, ".profile"},
		{"a folder of a name that may be replaced", func(t *testing.T) { put(t, "case/messages.csv/x", "x") }, exports, "messages.csv"},
		{"a link of a name that may be replaced", func(t *testing.T) {
			put(t, "elsewhere.csv", "x")
			must(t, os.Mkdir("case", 0o755))
			if err := os.Symlink("../elsewhere.csv", "case/messages.csv"); err != nil {
				t.Skipf("skipped: no symbolic links here: %v", err)
			}
		}, exports, "messages.csv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			c.make(t)
			before := tree(t)
			d, err := CreateDir("case", c.replaceable)
			var occupied *NotEmptyError
			switch {
			case c.refused != "":
				if !errors.As(err, &occupied) || *occupied != (NotEmptyError{Path: "case", Name: c.refused}) {
					t.Fatalf("%v, want that %s is in the way", err, c.refused)
				}
				if got := tree(t); got != before {
					t.Errorf("%s became %s", before, got)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			fill(t, d, "messages.jsonl", "new")
			must(t, d.Commit(c.replaceable))
			if got := tree(t); got != "case/ case/messages.jsonl" {
				t.Errorf("after Commit: %s", got)
			}
			check(t, "case/messages.jsonl", "new")
		})
	}
}

// TestDirKeepsWhatTurnsUp: an export takes hours, and somebody may have put a
// file into the folder meanwhile.
func TestDirKeepsWhatTurnsUp(t *testing.T) {
	t.Chdir(t.TempDir())
	d, err := CreateDir("case", exports)
	must(t, err)
	fill(t, d, "messages.csv", "new")
	put(t, "case/notes.txt", "theirs")
	var occupied *NotEmptyError
	if err := d.Commit(exports); !errors.As(err, &occupied) || occupied.Name != "notes.txt" {
		t.Errorf("Commit: %v", err)
	}
	if got := tree(t); got != "case/ case/notes.txt" {
		t.Errorf("after Commit: %s", got)
	}
}

func TestDirRemnant(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "case.partial/messages.csv", "half")
	var remnant *RemnantError
	if _, err := CreateDir("case", exports); !errors.As(err, &remnant) || remnant.Path != "case.partial" {
		t.Errorf("with a remnant: %v", err)
	}
	if _, err := CreateDir("case/", exports); !errors.As(err, &remnant) || remnant.Path != "case.partial" {
		t.Errorf("with a remnant, and a slash: %v", err)
	}
	if got := tree(t); got != "case.partial/ case.partial/messages.csv" {
		t.Errorf("left behind: %s", got)
	}
}

// TestDirReplacedRemnant: a run was killed while it replaced an export.
func TestDirReplacedRemnant(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "case.replaced/messages.csv", "earlier")
	var remnant *RemnantError
	if _, err := CreateDir("case", exports); !errors.As(err, &remnant) || remnant.Path != "case.replaced" || !remnant.Replaced {
		t.Errorf("with a remnant: %v", err)
	}
	if got := tree(t); got != "case.replaced/ case.replaced/messages.csv" {
		t.Errorf("left behind: %s", got)
	}
}

func TestDirOverAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "case", "x")
	var path *fs.PathError
	for _, name := range []string{"case", "case/17"} {
		if _, err := CreateDir(name, exports); !errors.As(err, &path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := tree(t); got != "case" {
		t.Errorf("left behind: %s", got)
	}
}

// TestDirNotFromWithin: no folder can be renamed over the one that a name with
// nothing but dots stands for. This must be said before the work, not after.
func TestDirNotFromWithin(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.MkdirAll("a/b", 0o700))
	t.Chdir("a/b")
	for _, name := range []string{".", "./", "x/.."} {
		d, err := CreateDir(name, exports)
		var path *fs.PathError
		if !errors.As(err, &path) || path.Path != "." {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			d.Abort()
		}
	}
	if got := tree(t); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

func TestDirFile(t *testing.T) {
	t.Chdir(t.TempDir())
	d, err := CreateDir("case", nothing)
	must(t, err)
	defer d.Abort()
	fill(t, d, "messages.csv", "a")
	if _, err := d.File("messages.csv"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the same file again: %v", err)
	}
	check(t, "case.partial/messages.csv", "a")
}
