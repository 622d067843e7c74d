package proof

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archivolt/internal/testenv"
)

// FuzzParseManifest: what is taken for a manifest is written again as the same
// bytes.
func FuzzParseManifest(f *testing.F) {
	b := NewBuilder()
	b.File(RecordsName, 0, [32]byte{})
	empty, _, err := b.Manifest(Manifest{}, officer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(empty)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err != nil {
			return
		}
		if again, err := m.bytes(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v: %q becomes %q", err, data, again)
		}
	})
}

// FuzzParseSignature: a signature has one form.
func FuzzParseSignature(f *testing.F) {
	f.Add(sign([]byte("x"), officer))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, signature, ok := parseSignature(data); ok != (key != nil && signature != nil) || ok && bytes.Count(data, []byte("\n")) != 3 {
			t.Fatalf("%q", data)
		}
	})
}

// TestTextThatIsNoUTF8 makes a manifest that can be read all the same.
func TestTextThatIsNoUTF8(t *testing.T) {
	bad := "a\xffb"
	b := NewBuilder()
	b.File(RecordsName, 0, [32]byte{})
	manifest, _, err := b.Manifest(Manifest{Case: &bad, Filter: Filter{Words: []string{bad}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseManifest(manifest)
	if err != nil || *m.Case != "a\ufffdb" {
		t.Errorf("%v, %s", err, manifest)
	}
}

// TestDocumentedExample holds the worked example of docs/format/manifest.md
// against the verifiers: its files are written as they stand there.
func TestDocumentedExample(t *testing.T) {
	doc := string(get(t, filepath.Join(testenv.Root(t), "docs", "format", "manifest.md")))
	dir := t.TempDir()
	for _, name := range []string{RecordsName, ManifestName, SignatureName} {
		_, rest, ok := strings.Cut(doc, "`"+name+"`:\n\n```\n")
		text, _, ok2 := strings.Cut(rest, "```\n")
		if !ok || !ok2 {
			t.Fatalf("no %s in the document", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startSecond(t, dir)
	s.want("the example", trustedWords, public(officer))
}
