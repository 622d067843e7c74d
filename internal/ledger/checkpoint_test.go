package ledger

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

func TestCheckpoint(t *testing.T) {
	secret, verifier, err := NewSigningKey(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	c := &Checkpoint{ID: id, Size: 12, Root: Hash{1, 2}, Time: time.Date(2026, 11, 24, 12, 30, 0, 5e6, time.UTC)}
	text, err := c.Sign(secret)
	if err != nil {
		t.Fatal(err)
	}
	const body = "archivolt/a100000000000000000000000000000f\n12\nAQIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\ntime 2026-11-24T12:30:00.005Z\n"
	if !strings.HasPrefix(string(text), body+"\n— archivolt/a100000000000000000000000000000f ") {
		t.Errorf("the checkpoint is\n%s", text)
	}
	v, err := note.NewVerifier(verifier)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(text, note.VerifierList(v)); err != nil || n.Text != body { // package note is the oracle
		t.Errorf("package note opens it as %v, %v", n, err)
	}
	back, err := OpenCheckpoint(text, verifier)
	if err != nil || *back != *c {
		t.Errorf("it is read as %+v, %v", back, err)
	}
	if again, err := Verifier(secret); err != nil || again != verifier {
		t.Errorf("the verifier of the key is %q, %v, want %q", again, err, verifier)
	}
	_, other, _ := NewSigningKey(rand.Reader, id)
	if _, err := OpenCheckpoint(text, other); !errors.Is(err, ErrSignature) {
		t.Errorf("with another key: %v", err)
	}
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if got, err := OpenCheckpoint(changed, verifier); err == nil && *got != *c {
			t.Errorf("with byte %d changed it is read as %+v", i, got)
		}
	}
	foreign, _, _ := NewSigningKey(rand.Reader, ID{})
	if _, err := c.Sign(foreign); err == nil {
		t.Error("a key of another archive signs")
	}
}

// TestHugeSize: package tlog would compute for ever with such a size.
func TestHugeSize(t *testing.T) {
	for size, good := range map[int64]bool{MaxSize: true, MaxSize + 1: false, 1<<63 - 1: false} {
		c := Checkpoint{Size: size, Time: time.Unix(0, 0)}
		if _, err := ReadCheckpoint([]byte(c.body() + "\n")); (err == nil) != good {
			t.Errorf("%d: %v", size, err)
		}
	}
}

// FuzzReadCheckpoint: whatever is read has one form.
func FuzzReadCheckpoint(f *testing.F) {
	f.Add("archivolt/a100000000000000000000000000000f\n12\nAQIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\ntime 2026-11-24T12:30:00.005Z\n\n— x AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadCheckpoint([]byte(text))
		if err == nil && !strings.HasPrefix(text, c.body()+"\n") {
			t.Errorf("%q is read as %q", text, c.body())
		}
	})
}
