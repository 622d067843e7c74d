package sample

import (
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"
	"unicode"

	"archivolt/internal/testenv"
)

// TestValueAgainstOpenSSL opens every sample value with openssl: this package
// plays IM&P, so its cipher is checked by nobody's code but openssl's.
func TestValueAgainstOpenSSL(t *testing.T) {
	openssl := testenv.Command(t, "openssl")
	k := NewKey()
	for _, body := range append(Bodies(), "", "exactly sixteen.", strings.Repeat("long ", 2000)) {
		cmd := exec.Command(openssl, "enc", "-d", "-aes-256-cbc", "-a", "-A",
			"-K", hex.EncodeToString(k.Key[:]), "-iv", hex.EncodeToString(k.IV[:]))
		cmd.Stdin = strings.NewReader(k.Value(body))
		out, err := cmd.Output()
		if err != nil || string(out) != body {
			t.Errorf("%q comes out as %q, %v", body, out, err)
		}
	}
}

// TestText is the form of the vendor's document.
func TestText(t *testing.T) {
	var k Key
	k.Key[31], k.IV[0] = 0x0a, 0xf0
	want := "key = " + strings.Repeat("00", 31) + "0a\niv  = f0" + strings.Repeat("00", 15) + "\n"
	if got := k.Text(); got != want {
		t.Errorf("%q", got)
	}
}

// TestScripts counts the scripts that the sample is there to show.
func TestScripts(t *testing.T) {
	all := strings.Join(Bodies(), "")
	for name, table := range map[string]*unicode.RangeTable{"Latin": unicode.Latin, "Greek": unicode.Greek, "Cyrillic": unicode.Cyrillic,
		"Han": unicode.Han, "Hiragana": unicode.Hiragana, "Arabic": unicode.Arabic, "Hebrew": unicode.Hebrew, "Thai": unicode.Thai} {
		if strings.IndexFunc(all, func(r rune) bool { return unicode.Is(table, r) }) < 0 {
			t.Errorf("no %s", name)
		}
	}
}
