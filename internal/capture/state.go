package capture

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"archivolt/internal/durable"
	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/spool"
	"archivolt/internal/store"
)

// Files of the state folder.
const (
	keyName      = "checkpoint.key" // signs checkpoints
	VerifierName = "checkpoint.pub" // for who checks them
	anchorName   = "anchor.json"    // the last checkpoint, and what else the store must not fall behind
	spoolName    = "spool"
)

func spoolDir(dir string) string { return filepath.Join(dir, spoolName) }

// state is what lies apart from the store, so that an older copy of the store
// is not taken for it.
type state struct {
	path     string
	key      string
	verifier string
	Missing  bool // there is a store, and no anchor

	mu sync.Mutex
	anchor
	checkpoint *ledger.Checkpoint
}

// anchor is the content of the file.
type anchor struct {
	Checkpoint string            `json:"checkpoint"` // signed; empty before the first
	Marks      map[string]uint64 `json:"marks"`      // delivery numbers that the store had then, by source
	Recipients string            `json:"recipients"` // fingerprints of who can read
	Stopped    bool              `json:"stopped"`    // in order, with nothing left in the spool
}

// openState reads the state of an archive, or makes it for a new one.
func openState(dir string, id ledger.ID, isNew bool) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	st := &state{path: filepath.Join(dir, anchorName)}
	keyFile := filepath.Join(dir, keyName)
	key, err := os.ReadFile(keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && isNew:
		secret, verifier, err := ledger.NewSigningKey(rand.Reader, id)
		if err != nil {
			return nil, err
		}
		if err := replace(filepath.Join(dir, VerifierName), []byte(verifier+"\n")); err != nil {
			return nil, err
		}
		if err := replace(keyFile, []byte(secret+"\n")); err != nil {
			return nil, err
		}
		key = []byte(secret)
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.Failed, keyFile, "the key that signs this archive's checkpoints is missing",
			"restore the folder "+problem.Quote(dir)+" from its backup; what is captured without this key would look like a forgery")
	case err != nil:
		return nil, err
	}
	st.key = strings.TrimSpace(string(key))
	probe := ledger.Checkpoint{ID: id}
	if _, err := probe.Sign(st.key); err != nil {
		return nil, problem.New(problem.Failed, keyFile, "this is not the checkpoint key of archive "+id.String(),
			"state_dir belongs to another archive: give each archive a state_dir of its own, or restore the right one")
	}
	if st.verifier, err = ledger.Verifier(st.key); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, VerifierName)); errors.Is(err, fs.ErrNotExist) {
		if err := replace(filepath.Join(dir, VerifierName), []byte(st.verifier+"\n")); err != nil {
			return nil, err
		}
	}

	text, err := os.ReadFile(st.path)
	if errors.Is(err, fs.ErrNotExist) {
		st.Missing = !isNew
		return st, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &st.anchor); err != nil {
		return nil, problem.New(problem.Failed, st.path, "this file is damaged", "restore it from its backup; if there is none, move it away: the next start records that the anchor was missing")
	}
	if st.Checkpoint != "" {
		if st.checkpoint, err = ledger.OpenCheckpoint([]byte(st.Checkpoint), st.verifier); err != nil {
			return nil, problem.New(problem.Unverified, st.path, err.Error(), "somebody has changed this file: restore it from its backup")
		}
	}
	return st, nil
}

// last returns size and time of the last checkpoint.
func (st *state) last() (size int64, at time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.checkpoint == nil {
		return 0, time.Time{}
	}
	return st.checkpoint.Size, st.checkpoint.Time
}

// set keeps a checkpoint durably.
func (st *state) set(c *ledger.Checkpoint, text []byte, marks map[string]uint64, stopped bool) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.checkpoint, st.Checkpoint, st.Marks, st.Stopped = c, string(text), marks, stopped
	content, err := json.MarshalIndent(&st.anchor, "", "  ")
	if err != nil {
		return err
	}
	return replace(st.path, append(content, '\n'))
}

// replace writes a file of the state folder, which is locked: what a run that
// was killed has left unfinished is in the way.
func replace(path string, content []byte) error {
	if err := os.Remove(path + durable.Suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.Write(path, content)
}

// checkStore refuses a store that is not the one that was left, or a later
// state of it, and returns its delivery numbers. What it cannot see, since it
// would have to read everything, archivolt verify does.
func checkStore(sink Sink, st *state, head store.Head) (map[string]uint64, error) {
	notTheOne := func(what string) error {
		return problem.New(problem.Unverified, "the store", what,
			"find out who changed or replaced it, with archivolt verify; restore the newest backup if it is whole. To go on with this store all the same, move "+problem.Quote(st.path)+" away: the ledger will say so")
	}
	tree, err := ledger.NewTree(head.Size, sink.Tile)
	if err != nil {
		return nil, notTheOne("its ledger cannot be continued: " + err.Error())
	}
	root, err := tree.Root()
	if err != nil {
		return nil, err
	}
	if root != head.Root {
		return nil, notTheOne("its head is not that of its ledger")
	}
	marks, err := sink.Marks()
	if err != nil {
		return nil, err
	}
	if st.checkpoint == nil {
		return marks, nil
	}
	c := st.checkpoint
	if head.Size < c.Size {
		return nil, notTheOne(fmt.Sprintf("it ends with entry %d, and entry %d was recorded at %s: an older copy was put back, or records were removed", head.Size, c.Size, c.Time.Format(time.RFC3339)))
	}
	if c.Size > 0 {
		then, err := ledger.RootAt(c.Size, ledger.Reader(head.Size, root, sink))
		if err != nil {
			return nil, notTheOne("its ledger is damaged: " + err.Error())
		}
		if then != c.Root {
			return nil, notTheOne(fmt.Sprintf("its first %d entries are not those that were recorded until %s", c.Size, c.Time.Format(time.RFC3339)))
		}
	}
	if st.Stopped && head.Size != c.Size {
		return nil, notTheOne(fmt.Sprintf("archivoltd had stopped in order with %d entries in it, and it has %d: somebody else has written to it", c.Size, head.Size))
	}
	// A delivery number that somebody has raised would make the next messages
	// look like repetitions, and they would be dropped.
	want := map[string]uint64{}
	for source, mark := range st.Marks {
		want[source] = mark
	}
	err = sink.Records(context.Background(), store.Query{From: c.Size}, func(e *store.Entry) error {
		if ledger.Numbered(e.Record.Source) {
			want[e.Record.Source] = max(want[e.Record.Source], e.Record.Number)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for source, mark := range marks {
		if !ledger.Numbered(source) {
			delete(marks, source)
			continue
		}
		if want[source] != mark {
			return nil, notTheOne(fmt.Sprintf("the last delivery number of %s is given as %d, and is %d", source, mark, want[source]))
		}
	}
	if len(marks) != len(want) {
		return nil, notTheOne("it has forgotten the delivery numbers of a source")
	}
	return marks, nil
}

// spoolProblem says what is wrong with the spool.
func spoolProblem(dir string, err error) error {
	var damage *spool.DamageError
	var known *problem.Error
	switch {
	case errors.As(err, &known):
	case errors.As(err, &damage):
		return problem.New(problem.Failed, filepath.Join(spoolDir(dir), damage.File), damage.Error(),
			"this disk has lost what it said it had. Copy the folder away for whoever can repair it, then move this one file out of it: what it holds, "+
				"which was acknowledged, is then missing from the archive, and the ledger will say so")
	case errors.Is(err, spool.ErrLocked):
		return problem.New(problem.Failed, spoolDir(dir), "another archivoltd is running with this state_dir", "stop it first, or give each its own state_dir and archive")
	case errors.Is(err, errPayload):
		return problem.New(problem.Failed, spoolDir(dir), err.Error(), "start it with the version of archivoltd that wrote it")
	}
	return err
}
