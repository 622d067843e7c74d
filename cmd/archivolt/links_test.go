package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"archivolt/internal/testenv"
)

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	citedPattern   = regexp.MustCompile(`\bdocs/[A-Za-z0-9_./-]*\.md\b`)
	headingPattern = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notInAnchors   = regexp.MustCompile(`[^\p{L}\p{N}\-_]`)
)

// anchors are what links may name in a document, as forges make them of its
// headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range headingPattern.FindAllStringSubmatch(text, -1) {
		heading := linkPattern.ReplaceAllString(m[1], "")
		found[notInAnchors.ReplaceAllString(strings.ReplaceAll(strings.ToLower(heading), " ", "-"), "")] = true
	}
	return found
}

// TestLinks: the files that the documentation links to are there, with the
// headings, and so are the documents that sources, errors and units cite.
func TestLinks(t *testing.T) {
	root := testenv.Root(t)
	links, cited := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "dist") {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".md", ".go", ".yml", ".yaml", ".lua", ".service", ".py", ".sh":
		default:
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(data)
		name, _ := filepath.Rel(root, path)
		for _, doc := range citedPattern.FindAllString(text, -1) {
			cited++
			if _, err := os.Stat(filepath.Join(root, doc)); err != nil {
				t.Errorf("%s cites %s, which is not there", name, doc)
			}
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		for _, m := range linkPattern.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			file, heading, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
				continue
			}
			if heading == "" {
				continue
			}
			there, err := os.ReadFile(target)
			if err != nil || !anchors(string(there))[heading] {
				t.Errorf("%s links to %s, which has no such heading", name, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links < 50 || cited < 20 {
		t.Errorf("only %d links and %d citations found", links, cited)
	}
}
