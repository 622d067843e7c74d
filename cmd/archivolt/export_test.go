package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/export"
	"archivolt/internal/proof"
	"archivolt/internal/testenv"
)

// TestSecondVerifier runs contrib/verify as a person does, over an export of
// the sample, signed and not, and changed.
func TestSecondVerifier(t *testing.T) {
	python := testenv.Python(t, "cryptography")
	script := filepath.Join(testenv.Root(t), "contrib", "verify", "archivolt_verify.py")
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 12, Utterances: 300})
	if _, stderr, code := runApp(t, "", "identity", "new", "--out", "id"); code != 0 {
		t.Fatal(stderr)
	}
	args := slices.Concat([]string{"export", "jm.csv", "--format", "csv"}, allKeys)
	for _, more := range [][]string{{"--out", "signed", "--identity", "id"}, {"--out", "plain"}, {"--out", "rows", "--rows"}} {
		if _, stderr, code := runApp(t, "", append(args, more...)...); code != 3 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
	}
	check := func(want string, code int, args ...string) {
		t.Helper()
		out, err := exec.Command(python, append([]string{script}, args...)...).CombinedOutput()
		got := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		}
		if got != code || !strings.Contains(string(out), want) {
			t.Errorf("%q: exit %d, %s, want %d, %s", args, got, out, code, want)
		}
	}
	check("signed: intact since signing; signer trusted", 0, "signed", "--signer", "id.pub")
	check("signed: intact since signing; signer not checked", 0, "signed")
	check("not signed: anybody could have made it", 0, "plain")
	check("not signed", 0, "rows")
	check("usage", 2)
	check("no verifier", 2, "signed", "--signer", "id")
	text := readFile(t, "signed/messages.csv")
	if err := os.WriteFile("signed/messages.csv", []byte(text[1:]), 0o600); err != nil {
		t.Fatal(err)
	}
	check("messages.csv: this file was changed", 13, "signed", "--signer", "id.pub")
}

// TestManifestCounts compares the manifest with the truth about the sample.
func TestManifestCounts(t *testing.T) {
	t.Chdir(t.TempDir())
	truth := makeArchive(t, sample.Options{Seed: 3, Utterances: 2000})
	if _, stderr, code := runApp(t, "", slices.Concat([]string{"export", "jm.csv", "--format", "jsonl", "--rows", "--out", "out"}, allKeys)...); code != 3 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	m, err := proof.ParseManifest([]byte(readFile(t, "out/manifest.json")))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for _, r := range truth.Rows {
		want[r.Status]++
	}
	got := map[string]int64{}
	for status, n := range map[string]int64{"ok": m.Records.Status.OK, "plain": m.Records.Status.Plain, "unverified": m.Records.Status.Unverified, "damaged": m.Records.Status.Damaged, "no-key": m.Records.Status.NoKey} {
		if n > 0 {
			got[status] = n
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || m.Counts.Rows != m.Records.Status || len(m.Archives) != 1 || m.Archives[0].Rows != int64(len(truth.Rows)) {
		t.Errorf("%v, want %v; %+v", got, want, m.Archives)
	}
	keyed := int64(0)
	for _, k := range m.Keys {
		keyed += k.Rows
	}
	if len(m.Keys) != 3 || keyed < m.Records.Status.OK {
		t.Errorf("keys %+v", m.Keys)
	}
}

// daily is a format of slices that a test can look at.
type daily struct{ folder export.Folder }

func (d daily) Write(s *export.Slice) error {
	f, err := d.folder.Create(s.Name() + ".eml")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d events\n", len(s.Events))
	return errors.Join(err, f.Close())
}

func (daily) Close() error { return nil }

// TestSlicedFormat adds a format of conversations and days to the list.
func TestSlicedFormat(t *testing.T) {
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 4, Utterances: 60, Gap: 2 * time.Hour})
	known := append(formats(), format{name: "daily", slices: func(_ context.Context, f *exportFolder, _ export.Look) (sliceWriter, error) { return daily{f}, nil }})
	run := func(out string, rows bool) error {
		c := &exportCmd{Format: []string{"daily"}, Out: out, Rows: rows}
		c.Key, c.Archive = []string{"key1.txt", "key2.txt", "key3.txt", "lost.txt"}, []string{"jm.csv"}
		var nothing strings.Builder
		return c.run(&app{ctx: t.Context(), out: &nothing, err: &nothing, getenv: func(string) string { return "" }}, known)
	}
	if err := run("out", false); err != nil && !strings.Contains(err.Error(), "could not be read") {
		t.Fatal(err)
	}
	slices, err := filepath.Glob("out/*.eml")
	if err != nil || len(slices) < 5 {
		t.Errorf("%d slices, %v", len(slices), err)
	}
	if out, stderr, code := runApp(t, "", "verify", "out"); code != 0 || !strings.Contains(out, fmt.Sprintf("in %d files", len(slices)+1)) {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
	if err := run("rows", true); err == nil || !strings.Contains(err.Error(), "made of conversations") {
		t.Errorf("slices of rows: %v", err)
	}
	for _, name := range []string{"a.eml", "a.rsmf", "messages.dat", "manifest.json", "manifest.sig"} {
		if !mayReplace(name) {
			t.Errorf("%s may not be replaced", name)
		}
	}
	if mayReplace("notes.txt") || mayReplace("eml") || mayReplace("manifest.json.bak") {
		t.Error("a stranger's file may be replaced")
	}
}

// TestSpace gives the disk less room than the archive takes.
func TestSpace(t *testing.T) {
	t.Chdir(t.TempDir())
	makeArchive(t, sample.Options{Seed: 4, Utterances: 50})
	run := func(free int64, known bool, args ...string) (string, error) {
		var notes strings.Builder
		var asked string
		a := &app{ctx: t.Context(), in: strings.NewReader(""), out: &notes, err: &notes, getenv: func(string) string { return "" },
			free: func(path string) (int64, bool) { asked = path; return free, known }}
		code := a.run(slices.Concat([]string{"export", "jm.csv", "--format", "csv", "--out", "a/b/c", "--overwrite"}, allKeys, args))
		if here, err := os.Getwd(); err != nil || asked != here && !strings.HasPrefix(asked, filepath.Join(here, "a")) {
			t.Errorf("asked about %q", asked)
		}
		if code != 0 && code != 3 {
			return notes.String(), errors.New("failed")
		}
		return notes.String(), nil
	}
	if said, err := run(1000, true); err == nil || !strings.Contains(said, "a/b/c: this disk has room for 1 MiB, and the archive has 1 MiB") {
		t.Errorf("%v: %s", err, said)
	}
	if _, err := os.Stat("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder was made: %v", err)
	}
	if said, err := run(1000, true, "--user", "anna*"); err != nil || !strings.Contains(said, "may still fit") {
		t.Errorf("%v: %s", err, said)
	}
	for _, known := range []bool{true, false} {
		if said, err := run(map[bool]int64{true: 1 << 40}[known], known); err != nil || strings.Contains(said, "room") {
			t.Errorf("%v: %s", err, said)
		}
	}
	if n, known := freeSpace("."); known && n <= 0 {
		t.Errorf("%d bytes free", n)
	}
}
