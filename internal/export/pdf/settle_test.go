package pdf

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSettle: dates and names are made equal wherever they lie, and nothing
// else is touched.
func TestSettle(t *testing.T) {
	const before = "/Title (node00000077)\n/CreationDate (D:20240131080000+00'00')\n/ModDate (D:20240131080000Z)>> (\\(node00000001\\)) /ID (node00000077) /Headers [(node00000080) (node00000078)] [(node00000077) 5 0 R]"
	const after = "/Title (node00000077)\n                                       \n                            >> (\\(node00000001\\)) /ID (node00000000) /Headers [(node00000002) (node00000001)] [(node00000000) 5 0 R]"
	for _, ahead := range []int{0, 1, 1<<20 - 1} {
		for shift := 0; shift <= 2*len(before); shift += 5 {
			pad := strings.Repeat("x", max(0, ahead-shift))
			name := filepath.Join(t.TempDir(), "x.pdf")
			if err := os.WriteFile(name, []byte(pad+before+"xx"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := settle(f); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(name); err != nil || string(bytes.Trim(got, "x")) != after || len(got) != len(pad+before+"xx") {
				t.Fatalf("%d, %d: %v\n%s, want\n%s", ahead, shift, err, bytes.Trim(got, "x"), after)
			}
			if ahead < 2 {
				break
			}
		}
	}
}
