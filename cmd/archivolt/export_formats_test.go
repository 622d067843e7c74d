package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/testenv"
)

// TestAllFormats writes every format at once, twice: both folders are equal,
// both verifiers find them intact, and --overwrite replaces what an export made.
func TestAllFormats(t *testing.T) {
	testenv.Command(t, "chromium")
	python := testenv.Python(t, "cryptography")
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 8, Utterances: 60, Gap: time.Hour})
	if _, stderr, code := runApp(t, "", "identity", "new", "--out", "officer.id"); code != 0 {
		t.Fatal(stderr)
	}
	command := []string{"export", "jm.csv", "--identity", "officer.id", "--case", "17", "--timezone", "Europe/Berlin"}
	for _, f := range formats() {
		command = append(command, "--format", f.name)
	}
	command = append(command, allKeys...)
	for _, more := range [][]string{{"--out", "one"}, {"--out", "two"}, {"--out", "two", "--overwrite"}} {
		if _, stderr, code := runApp(t, "", append(command, more...)...); code != 3 {
			t.Fatalf("%q: exit %d: %s", more, code, stderr)
		}
	}
	if out, err := exec.Command("diff", "-r", "one", "two").CombinedOutput(); err != nil {
		t.Errorf("two exports differ: %s", out)
	}
	for _, pattern := range []string{"*.rsmf", "*.eml", "messages.jsonl", "messages.csv", "messages.html", "messages.dat", "messages-*.pdf", "manifest.json", "manifest.sig"} {
		if found, err := filepath.Glob("one/" + pattern); err != nil || len(found) == 0 {
			t.Errorf("no %s", pattern)
		}
	}
	if out, stderr, code := runApp(t, "", "verify", "one", "--signer", "officer.id.pub"); code != 0 || !strings.Contains(out, "signer trusted") {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
	if out, err := exec.Command(python, filepath.Join(testenv.Root(t), "contrib", "verify", "archivolt_verify.py"), "one").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
