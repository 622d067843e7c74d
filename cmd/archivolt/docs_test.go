package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// TestDocs executes the documentation: in every block marked "console" the
// lines that begin with "$ " are run by a real shell, in one folder per
// document, and must print the lines below them. In those, "..." stands for
// any text.
func TestDocs(t *testing.T) {
	testenv.Command(t, "sh")
	testenv.Command(t, "openssl")
	root := testenv.Root(t)
	documents, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, more...)
	}
	total := 0
	for _, path := range documents {
		steps := readSteps(t, path)
		if len(steps) == 0 {
			continue
		}
		total += len(steps)
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := t.TempDir()
			for _, s := range steps {
				if strings.HasPrefix(s.command, "go run ") || strings.HasPrefix(s.command, "make ") {
					continue // run by .ci/run on a fresh clone
				}
				cmd := exec.Command("sh", "-c", s.command)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				if got := string(out); !s.matches(got) {
					t.Errorf("%s:%d: %s\nprints\n%s\nnot\n%s", filepath.Base(path), s.line, s.command, got, s.output)
				} else if err != nil && !strings.Contains(s.output, "archivolt: ") {
					t.Errorf("%s:%d: %s: %v", filepath.Base(path), s.line, s.command, err)
				}
			}
		})
	}
	if total < 10 {
		t.Errorf("only %d commands found in the documentation", total)
	}
}

// step is one command of a document with what it prints.
type step struct {
	line            int
	command, output string
}

func (s step) matches(got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(s.output)), `\.\.\.`, `(?s:.*)`)
	return regexp.MustCompile(`\A` + pattern + `\s*\z`).MatchString(strings.TrimLeft(got, "\n"))
}

func readSteps(t *testing.T, path string) (steps []step) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case !inside:
			inside = line == "```console"
		case line == "```":
			inside = false
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, step{line: i + 1, command: line[2:]})
		case len(steps) == 0:
			t.Fatalf("%s:%d: output without a command", path, i+1)
		default:
			last := &steps[len(steps)-1]
			if strings.HasSuffix(last.command, `\`) && last.output == "" {
				last.command += "\n" + strings.TrimPrefix(line, "> ")
				continue
			}
			last.output += line + "\n"
		}
	}
	return steps
}

// TestExitCodesAreDocumented holds docs/exit-codes.md against exitCode.
func TestExitCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "exit-codes.md"))
	if err != nil {
		t.Fatal(err)
	}
	for c := problem.Failed; c <= problem.Unverified; c++ {
		code := c.ExitCode()
		if !strings.Contains(string(doc), fmt.Sprintf("\n| %d |", code)) {
			t.Errorf("exit code %d is not in docs/exit-codes.md", code)
		}
	}
}
