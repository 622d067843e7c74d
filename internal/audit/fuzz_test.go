package audit

import (
	"bytes"
	"testing"
)

// FuzzSplitCheckpoints: no panic, and what is split is a part of the file, in
// its order.
func FuzzSplitCheckpoints(f *testing.F) {
	const one = "archivolt/00000000000000000000000000000000\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\ntime 2026-11-24T12:00:00.000Z\n\n\u2014 a b\n"
	f.Add([]byte(one))
	f.Add([]byte(one + "\n" + one))
	f.Add([]byte("\n\n\u2014 "))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := splitCheckpoints(data)
		if err != nil {
			return
		}
		rest := data
		for _, c := range list {
			_, after, found := bytes.Cut(rest, c)
			if !found || len(c) == 0 {
				t.Fatalf("%q is not in its place", c)
			}
			rest = after
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			t.Fatalf("%q is left over", rest)
		}
	})
}

// FuzzParseVerifier: no panic.
func FuzzParseVerifier(f *testing.F) {
	f.Add("archivolt/00000000000000000000000000000000+0a0b0c0d+AQEB")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = ParseVerifier("f", text)
	})
}
