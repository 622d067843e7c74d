package problem

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"testing"

	"archivolt/internal/testenv"
)

func TestClassOf(t *testing.T) {
	p := &Error{Class: WrongKey, Object: "key.pem", What: "does not open", Err: fs.ErrNotExist}
	wrapped := fmt.Errorf("while reading: %w", p)
	if ClassOf(wrapped) != WrongKey || !errors.Is(wrapped, fs.ErrNotExist) || p.Error() != "key.pem: does not open" {
		t.Errorf("%v of class %v", wrapped, ClassOf(wrapped))
	}
	if ClassOf(errors.New("other")) != Failed {
		t.Error("a plain error has another class than Failed")
	}
}

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{
		"private_key.pem": "private_key.pem",
		"my key.pem":      "'my key.pem'",
		"it's.pem":        `'it'\''s.pem'`,
		"-rf":             "'./-rf'",
		"$(id)":           "'$(id)'",
		"":                "''",
		"schlüssel.pem":   "'schlüssel.pem'",
	} {
		if got := Quote(name); got != want {
			t.Errorf("Quote(%q) = %s, want %s", name, got, want)
		}
	}
}

// TestQuoteInAShell gives names to a real shell, which must see one word each.
func TestQuoteInAShell(t *testing.T) {
	sh := testenv.Command(t, "sh")
	for _, name := range []string{"a b", "it's", "$(id)", "`id`", "a;b", "a\nb", "*", "~", "ü", `back\slash`, "#", "!"} {
		out, err := exec.Command(sh, "-c", "printf %s "+Quote(name)).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q comes out as %q, %v", name, out, err)
		}
	}
}
