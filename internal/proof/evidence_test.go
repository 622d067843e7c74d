package proof

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
)

// evidenceOf is a ledger of one record, and the evidence for it.
func evidenceOf(t testing.TB) (*LedgerResult, *Evidence) {
	t.Helper()
	id := ledger.ID{1}
	key, plain := [32]byte{2}, []byte("\x01O<message/>")
	m := hmac.New(sha256.New, key[:])
	m.Write(plain)
	entry := (&ledger.Record{Epoch: 1, Source: "queue/a/b", Number: 1, Time: 1, Commitment: [32]byte(m.Sum(nil))}).Append(nil, id)
	leaf := tlog.RecordHash(entry)
	e := &Evidence{Message: 1, Entry: base64.StdEncoding.EncodeToString(entry), Proof: []string{}}
	k, p := base64.StdEncoding.EncodeToString(key[:]), base64.StdEncoding.EncodeToString(plain)
	e.Key, e.Plain = &k, &p
	return &LedgerResult{Archive: id.String(), id: id, name: "a.db", Checkpoint: &ledger.Checkpoint{ID: id, Size: 1, Root: leaf, Time: time.Unix(0, 0)}}, e
}

func walkOver(r *LedgerResult, messages, evidence []byte) error {
	w := &walk{v: &verifier{ctx: context.Background(), dir: "d", manifest: &Manifest{Records: Records{Count: int64(bytes.Count(messages, []byte("\n")))}}},
		ledgers: []*LedgerResult{r}, messages: bufio.NewReader(bytes.NewReader(messages))}
	return w.all(bufio.NewReader(bytes.NewReader(evidence)))
}

const oneMessage = `{"copies":1,"status":"ok","row":"a.db:1"}` + "\n"

func TestEvidence(t *testing.T) {
	r, e := evidenceOf(t)
	line, err := e.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := walkOver(r, []byte(oneMessage), line); err != nil || r.Records != 1 || r.Proven != 1 || r.Opened != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for name, change := range map[string]func(*Evidence){
		"index":   func(e *Evidence) { e.Index = 1 },
		"below 0": func(e *Evidence) { e.Index = -1 },
		"message": func(e *Evidence) { e.Message = 0 },
		"entry":   func(e *Evidence) { e.Entry = "AAAA" },
		"proof":   func(e *Evidence) { e.Proof = []string{*e.Key} },
		"no hash": func(e *Evidence) { e.Proof = []string{"AAAA"} },
		"key":     func(e *Evidence) { e.Key = nil },
		"plain":   func(e *Evidence) { e.Plain = e.Key },
	} {
		r, e := evidenceOf(t)
		change(e)
		line, err := e.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := walkOver(r, []byte(oneMessage), line); problem.ClassOf(err) != problem.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, messages := range []string{"", oneMessage + oneMessage, `{"copies":2,"status":"ok","row":"a.db:1"}` + "\n", `{"copies":1,"status":"ok","row":"a.db:2"}` + "\n", "x\n"} {
		r, _ := evidenceOf(t)
		if err := walkOver(r, []byte(messages), line); problem.ClassOf(err) != problem.Unverified {
			t.Errorf("%q: %v", messages, err)
		}
	}
}

// FuzzEvidence: no panic, whatever stands in the two files.
func FuzzEvidence(f *testing.F) {
	_, e := evidenceOf(f)
	line, err := e.Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(oneMessage), line)
	f.Add([]byte(oneMessage), append(bytes.Clone(line), line...))
	f.Add([]byte("{}\n"), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, messages, evidence []byte) {
		r, _ := evidenceOf(t)
		_ = walkOver(r, messages, evidence)
	})
}
