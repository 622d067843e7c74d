package proof

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
)

// Evidence is a line of ledger.jsonl: it ties one record of an archive of ours,
// of which messages.jsonl tells, to the ledger.
type Evidence struct {
	Message int64    `json:"message"` // line of messages.jsonl, from 1
	Index   int64    `json:"index"`   // of the entry in the ledger, from 0
	Entry   string   `json:"entry"`   // Base64 of the entry's canonical bytes
	Key     *string  `json:"key"`     // Base64 of the commitment's key; nil for a record that did not open
	Plain   *string  `json:"plain"`   // Base64 of the canonical plaintext, nil likewise
	Proof   []string `json:"proof"`   // Base64 of the hashes of the inclusion proof (RFC 6962 section 2.1.1); nil if there is none
}

// Append adds the line with its LF to buf.
func (e *Evidence) Append(buf []byte) ([]byte, error) {
	line, err := json.Marshal(e)
	return append(append(buf, line...), '\n'), err
}

// LedgerResult is what the evidence for one ledger has shown.
type LedgerResult struct {
	Archive    string
	Checkpoint *ledger.Checkpoint // nil if the export has none
	Signed     bool               // the checkpoint is signed by a verifier that was given
	Records    int64              // of the export
	Proven     int64              // of these, shown to be in the ledger of the checkpoint
	Opened     int64              // of these, with the plaintext that was committed to

	id   ledger.ID
	name string // of the archive in the manifest
}

// evidence checks ledger.jsonl. checkpoints are verifiers of checkpoints that are
// trusted.
func (v *verifier) evidence(checkpoints []string) (results []*LedgerResult, err error) {
	for _, a := range v.manifest.Archives {
		if a.Ledger == nil {
			return nil, nil // then no other has one
		}
		r, err := v.ledger(a, checkpoints)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return nil, nil
	}
	messages, err := v.open(RecordsName)
	if err != nil {
		return nil, err
	}
	defer messages.Close()
	f, err := v.open(LedgerName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w := &walk{v: v, ledgers: results, messages: bufio.NewReaderSize(reader{v.ctx, messages}, 1<<20)}
	return results, w.all(bufio.NewReaderSize(reader{v.ctx, f}, 1<<20))
}

// ledger reads the checkpoint of a ledger.
func (v *verifier) ledger(a Archive, checkpoints []string) (*LedgerResult, error) {
	l := a.Ledger
	r := &LedgerResult{Archive: l.Archive, name: a.Name}
	var err error
	if r.id, err = ledger.ParseID(l.Archive); err != nil || l.Checkpoint == nil {
		return r, err
	}
	c, err := ledger.ReadCheckpoint([]byte(*l.Checkpoint))
	if err != nil || c.ID != r.id {
		return nil, v.wrong(ManifestName, "the checkpoint of archive "+l.Archive+" is none of it", tryOriginal)
	}
	r.Checkpoint = c
	for _, verifier := range checkpoints {
		_, err := ledger.OpenCheckpoint([]byte(*l.Checkpoint), verifier)
		switch {
		case err == nil:
			r.Signed = true
		case strings.HasPrefix(verifier, ledger.Origin(c.ID)+"+"):
			return nil, v.wrong(ManifestName, "the checkpoint of archive "+l.Archive+" is not signed by the verifier that is trusted", "ask for the original; the archive itself may have been forged before it was exported")
		}
	}
	return r, nil
}

// walk goes through messages.jsonl and ledger.jsonl together.
type walk struct {
	v        *verifier
	ledgers  []*LedgerResult
	messages *bufio.Reader

	line    int64 // of ledger.jsonl
	message int64 // whose evidence is being read
	copies  int64 // that it says to have
	row     string
	seen    int64 // evidence for it
	found   bool  // that of its row
}

func (w *walk) wrong(format string, args ...any) error {
	return problem.New(problem.Unverified, filepath.Join(w.v.dir, LedgerName)+":"+strconv.FormatInt(w.line, 10), fmt.Sprintf(format, args...), tryOriginal)
}

// all reads every line.
func (w *walk) all(in *bufio.Reader) error {
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if w.v.ctx.Err() != nil {
			return w.v.ctx.Err()
		}
		w.line++
		if err != nil {
			return w.wrong("this line cannot be read: %v", err)
		}
		var e Evidence
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil || len(bytes.TrimSpace(line[d.InputOffset():])) > 0 {
			return w.wrong("this line is no evidence")
		}
		if err := w.turnTo(e.Message); err != nil {
			return err
		}
		if err := w.check(&e); err != nil {
			return err
		}
	}
	if err := w.finished(); err != nil {
		return err
	}
	if w.message != w.v.manifest.Records.Count {
		return w.wrong("there is no evidence for message %d", w.message+1)
	}
	return nil
}

// readLine reads a line without its LF.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case len(line) > MaxLine:
			return nil, fmt.Errorf("it has more than %d MiB", MaxLine>>20)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, errors.New("it is not ended by a line feed")
		default:
			return nil, err
		}
	}
}

// turnTo goes on to the message that the next evidence is for.
func (w *walk) turnTo(message int64) error {
	if message == w.message && message > 0 {
		return nil
	}
	if err := w.finished(); err != nil {
		return err
	}
	if message != w.message+1 {
		return w.wrong("evidence for message %d comes after that for %d", message, w.message)
	}
	line, err := readLine(w.messages)
	if err != nil {
		return w.wrong("there is no message %d", message)
	}
	if _, wrong := recordStatus(line); wrong != "" { // the file has been replaced since
		return w.wrong("message %d %s", message, wrong)
	}
	w.message, w.seen, w.found, w.row, w.copies = message, 0, false, "", 0
	s := members{rest: line}
	s.blanks()
	for s.next() {
		switch text(s.name) {
		case "row":
			w.row = text(s.value)
		case "copies":
			w.copies, _ = strconv.ParseInt(string(s.value), 10, 64) // 0 for what is no number, which no record has
		}
	}
	return nil
}

// finished wants all evidence for the message before.
func (w *walk) finished() error {
	switch {
	case w.message == 0:
	case !w.found:
		return w.wrong("there is no evidence for the row of message %d", w.message)
	case w.seen != w.copies:
		return w.wrong("message %d says that it has %d copies, and there is evidence for %d", w.message, w.copies, w.seen)
	}
	return nil
}

// check checks one line.
func (w *walk) check(e *Evidence) error {
	entry, err := base64.StdEncoding.DecodeString(e.Entry)
	if err != nil {
		return w.wrong("its entry is no Base64")
	}
	var of *LedgerResult
	var record *ledger.Record
	for _, r := range w.ledgers {
		parsed, err := ledger.Parse(entry, r.id)
		if found, ok := parsed.(*ledger.Record); err == nil && ok {
			of, record = r, found
			break
		}
	}
	if of == nil {
		return w.wrong("its entry is not one of a record in the archives that the manifest names")
	}
	w.seen++
	of.Records++
	for _, r := range w.ledgers { // copies of one archive have one id
		if r.id == of.id && w.row == r.name+":"+strconv.FormatInt(e.Index+1, 10) {
			w.found = true
		}
	}
	if err := w.inclusion(e, of, entry); err != nil {
		return err
	}
	return w.commitment(e, of, record)
}

func (w *walk) inclusion(e *Evidence, of *LedgerResult, entry []byte) error {
	if e.Proof == nil {
		return nil
	}
	c := of.Checkpoint
	if c == nil {
		return w.wrong("it has a proof, and the manifest has no checkpoint of its ledger")
	}
	proof := make([]ledger.Hash, 0, len(e.Proof))
	for _, text := range e.Proof {
		h := decode32(text)
		if h == nil {
			return w.wrong("a hash of its proof is not the Base64 of 32 bytes")
		}
		proof = append(proof, ledger.Hash(h))
	}
	if e.Index < 0 || e.Index >= c.Size || ledger.CheckProof(proof, c.Size, c.Root, e.Index, ledger.Leaf(entry)) != nil {
		return w.wrong("its entry is not the one with number %d in the ledger of the checkpoint", e.Index)
	}
	of.Proven++
	return nil
}

func (w *walk) commitment(e *Evidence, of *LedgerResult, record *ledger.Record) error {
	if e.Key == nil && e.Plain == nil {
		return nil
	}
	if e.Key == nil || e.Plain == nil {
		return w.wrong("it has one of key and plaintext, and not the other")
	}
	key := decode32(*e.Key)
	plain, err := base64.StdEncoding.DecodeString(*e.Plain)
	if key == nil || err != nil {
		return w.wrong("its key or its plaintext is not in Base64")
	}
	m := hmac.New(sha256.New, key)
	m.Write(plain)
	if !hmac.Equal(m.Sum(nil), record.Commitment[:]) {
		return w.wrong("its plaintext is not the one that the ledger has a commitment to")
	}
	of.Opened++
	return nil
}
