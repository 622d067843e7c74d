package passphrase

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"archivolt/internal/problem"
)

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{"secret": "secret", "secret\n": "secret", "secret\r\nmore": "secret", " two words \nx": " two words ", "\xef\xbb\xbfsecret\n": "secret",
		"\xff\xfes\x00e\x00\n\x00": "se", "\xff\xff\x01\n": "\xff\xff\x01", "": "", "\n": "", "\r\nlater": ""} {
		got, err := FirstLine("file", []byte(text))
		if string(got) != want || (err == nil) != (want != "") || err != nil && problem.ClassOf(err) != problem.Passphrase {
			t.Errorf("%q gives %q, %v", text, got, err)
		}
	}
}

func TestShared(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: Windows has no mode bits")
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		if got, shared := Shared(name); shared != want || got != mode {
			t.Errorf("%04o: %04o, %v", mode, got, shared)
		}
	}
	if _, shared := Shared(name + "x"); shared {
		t.Error("a file that is not there is shared")
	}
}

func TestNoTerminal(t *testing.T) {
	var out bytes.Buffer
	p := Prompt{Err: &out}
	if text, err := p.AskNew(t.Context(), "? "); text != nil || err != nil || out.Len() > 0 {
		t.Errorf("%q, %v, %q", text, err, out.String())
	}
}
