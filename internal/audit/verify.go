// Package audit tells what an archive of ours shows about itself without being
// opened: whether it is what was recorded, and what happened in its life.
//
// A store is not trusted. Verify computes everything anew from what stands in
// it: every leaf, the tree, the index of participants, the marks; and compares
// the tree with checkpoints, whose signatures and whose copies outside the store
// are all that somebody who can write to the store cannot make.
package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/store"
)

// Store is an archive of ours as this package reads it, in one snapshot.
type Store interface {
	Head() (store.Head, error)
	Marks() (map[string]uint64, error)
	Checkpoint() ([]byte, error)
	Tile(level int, n int64, width int) ([]byte, error)
	Records(ctx context.Context, q store.Query, fn func(*store.Entry) error) error
	Others(ctx context.Context, fn func(*store.Entry) error) error
	Wraps(ctx context.Context) (map[uint64][][]byte, error)
	Postings(ctx context.Context, fn func(epoch, token uint64, indexes []int64) error) error
}

// Options say against what an archive is verified.
type Options struct {
	Name       string         // of the archive, for problems
	Signer     string         // verifier of its checkpoints, as checkpoint.pub has it; "" if nobody is trusted
	Anchors    []Anchor       // checkpoints that were kept elsewhere
	Identities []age.Identity // with these every record is opened too
	Now        time.Time      // to see how old the last checkpoint is
	Progress   func(done, total int64)
}

// Anchor is a file with signed checkpoints, one after the other.
type Anchor struct {
	Name string
	Data []byte
}

// Result is what a verification that succeeded has shown.
type Result struct {
	ID         ledger.ID
	Size       int64 // entries
	Records    int64
	Erased     int64 // of the records
	Epochs     int
	Checkpoint *ledger.Checkpoint // the last one
	Uncovered  int64              // entries after it
	Signed     bool               // the signer was given, and has signed all checkpoints
	Anchored   *ledger.Checkpoint // the newest of the anchors; nil if none was given
	Opened     int64              // records, and their commitments compared
	Shut       int64              // records that none of the identities opens
}

// Grace is how old the last checkpoint may be while entries after it are
// thought to wait for the next one: archivoltd signs one a minute.
const Grace = 5 * time.Minute

// Verify reads the whole archive. The first thing that is wrong, in the order of
// the ledger, is a problem of class Unverified; other errors mean that it could
// not be read.
func Verify(ctx context.Context, s Store, o Options) (*Result, error) {
	v := &verifier{ctx: ctx, s: s, o: o, epochs: map[uint64]*ledger.Epoch{}, highest: map[string]uint64{}, opened: map[uint64]*seal.Epoch{}, edge: map[int]ledger.Tile{}, index: newIndex()}
	var err error
	if v.head, err = s.Head(); errors.Is(err, store.ErrChanged) {
		return nil, err
	} else if err != nil {
		return nil, v.wrong("%v", err)
	}
	v.result = Result{ID: v.head.ID, Size: v.head.Size}
	for _, step := range []func() error{v.checkpoints, v.pass, v.ends, v.marks, v.postings} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &v.result, nil
}

type verifier struct {
	ctx    context.Context
	s      Store
	o      Options
	head   store.Head
	result Result

	expected []expected // in the order of their sizes
	others   []store.Entry
	tree     *ledger.Tree
	next     int64               // index of the next entry
	stored   []byte              // the tile with the hash of the entry before
	edge     map[int]ledger.Tile // by level, tiles that are not full yet
	buf      []byte

	epochs  map[uint64]*ledger.Epoch
	wraps   map[uint64][][]byte
	epoch   uint64 // the last one
	stopped int64  // index of the event that the writer stopped, if nothing followed; -1 otherwise
	highest map[string]uint64
	index   *index
	opened  map[uint64]*seal.Epoch // nil where nothing opens it
}

// expected is a root that the tree must have had.
type expected struct {
	*ledger.Checkpoint
	from string
}

const (
	tryBackup = "find out who can write to this file; restore it from a backup that verifies"
	trySigner = "take checkpoint.pub from the state folder of the archivoltd that writes this archive"
)

func (v *verifier) wrong(format string, args ...any) error {
	return problem.New(problem.Unverified, v.o.Name, fmt.Sprintf(format, args...), tryBackup)
}

func (v *verifier) wrongEntry(index int64, format string, args ...any) error {
	return v.wrong("entry %d: "+format, append([]any{index}, args...)...)
}

// checkpoints reads the archive's own checkpoint and those of the anchors.
func (v *verifier) checkpoints() error {
	text, err := v.s.Checkpoint()
	if err != nil {
		return err
	}
	if text == nil {
		return v.wrong("there is no signed checkpoint, and archivoltd signs one when it starts: somebody has removed it, and nothing shows who wrote this")
	}
	c, err := v.open(text)
	if err != nil {
		return v.wrong("its checkpoint: %v", err)
	}
	v.result.Checkpoint, v.result.Signed = c, v.o.Signer != ""
	v.expected = []expected{{c, "its checkpoint"}}
	for _, a := range v.o.Anchors {
		list, err := splitCheckpoints(a.Data)
		if err != nil {
			return problem.New(problem.Failed, a.Name, err.Error(), "name a file to which archivoltd appends its checkpoints, or in which one was saved")
		}
		for i, text := range list {
			c, err := v.open(text)
			if err != nil {
				return problem.New(problem.Unverified, a.Name, fmt.Sprintf("checkpoint %d: %v", i+1, err), "see that this is the anchor of this archive; keep it where nobody who can write to the archive can write to it")
			}
			v.expected = append(v.expected, expected{c, a.Name})
			if v.result.Anchored == nil || c.Size > v.result.Anchored.Size || c.Size == v.result.Anchored.Size && c.Time.After(v.result.Anchored.Time) {
				v.result.Anchored = c
			}
		}
	}
	slices.SortStableFunc(v.expected, func(a, b expected) int { return cmp.Compare(a.Size, b.Size) })
	return nil
}

// open reads a checkpoint of this archive.
func (v *verifier) open(text []byte) (c *ledger.Checkpoint, err error) {
	if v.o.Signer != "" {
		c, err = ledger.OpenCheckpoint(text, v.o.Signer)
	} else {
		c, err = ledger.ReadCheckpoint(text)
	}
	if err == nil && c.ID != v.head.ID {
		err = fmt.Errorf("it is of archive %s, and this is %s", c.ID, v.head.ID)
	}
	return c, err
}

// splitCheckpoints splits the text of an anchor: of each checkpoint the body,
// an empty line, its signatures, and an empty line or the end.
func splitCheckpoints(data []byte) (list [][]byte, err error) {
	for rest := data; len(bytes.TrimSpace(rest)) > 0; {
		rest = bytes.TrimLeft(rest, "\r\n")
		body, after, found := bytes.Cut(rest, []byte("\n\n"))
		if !found {
			return nil, errors.New("this is no file of signed checkpoints")
		}
		n := 0
		for bytes.HasPrefix(after[n:], []byte("\u2014 ")) {
			end := bytes.IndexByte(after[n:], '\n')
			if end < 0 {
				return nil, errors.New("the last checkpoint in this file is cut off")
			}
			n += end + 1
		}
		if n == 0 {
			return nil, errors.New("this is no file of signed checkpoints")
		}
		list = append(list, rest[:len(body)+2+n])
		rest = after[n:]
	}
	if len(list) == 0 {
		return nil, errors.New("this file holds no checkpoint")
	}
	return list, nil
}

// pass goes through all entries in the order of the ledger.
func (v *verifier) pass() (err error) {
	if v.tree, err = ledger.NewTree(0, nil); err != nil {
		return err
	}
	if v.wraps, err = v.s.Wraps(v.ctx); err != nil {
		return err
	}
	v.stopped = -1
	err = v.s.Others(v.ctx, func(e *store.Entry) error {
		v.others = append(v.others, *e)
		return nil
	})
	if err != nil {
		return err
	}
	if err := v.roots(); err != nil { // a checkpoint of nothing
		return err
	}
	others := v.others
	until := func(index int64) error {
		for len(others) > 0 && others[0].Index <= index {
			if err := v.other(&others[0]); err != nil {
				return err
			}
			others = others[1:]
		}
		return nil
	}
	err = v.s.Records(v.ctx, store.Query{From: math.MinInt64}, func(e *store.Entry) error {
		if err := until(e.Index); err != nil {
			return err
		}
		return v.record(e)
	})
	if err == nil {
		err = until(1<<63 - 1)
	}
	if err == nil && v.next < v.head.Size {
		err = v.wrongEntry(v.next, "it is missing, and so is all that followed until entry %d", v.head.Size-1)
	}
	return err
}

// add compares the leaf of an entry with the stored tree.
func (v *verifier) add(index int64, canonical []byte) error {
	switch {
	case index < 0:
		return v.wrongEntry(index, "it lies before the beginning of the ledger")
	case index < v.next:
		return v.wrongEntry(index, "there are two of them")
	case index > v.next:
		return v.wrongEntry(v.next, "it is missing")
	case index >= v.head.Size:
		return v.wrongEntry(index, "it lies behind the end of the ledger, which has %d entries", v.head.Size)
	}
	leaf := ledger.Leaf(canonical)
	at := int(index & (1<<ledger.TileHeight - 1))
	if at == 0 {
		if err := v.tiles(false); err != nil {
			return err
		}
		var err error
		if v.stored, err = v.s.Tile(0, index>>ledger.TileHeight, 1<<ledger.TileHeight); err != nil {
			return err
		}
		if v.o.Progress != nil {
			v.o.Progress(index, v.head.Size)
		}
	}
	if len(v.stored) < (at+1)*ledger.HashSize {
		return v.wrongEntry(index, "the ledger's tree has no hash of it: a tile was removed or cut")
	}
	if !bytes.Equal(v.stored[at*ledger.HashSize:][:ledger.HashSize], leaf[:]) {
		return v.wrongEntry(index, "it is not what was recorded: what stands in clear gives another hash than the ledger's tree has")
	}
	v.tree.Append(leaf)
	v.next++
	return v.roots()
}

// roots compares the tree with the checkpoints of its present size.
func (v *verifier) roots() error {
	for len(v.expected) > 0 && v.expected[0].Size == v.next {
		root, err := v.tree.Root()
		if err != nil {
			return err
		}
		e := v.expected[0]
		if root != e.Root {
			return v.wrong("its first %d entries are not those that were recorded until %s, as %s says: they were replaced", e.Size, stamp(e.Time), e.from)
		}
		v.expected = v.expected[1:]
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// maxLevels is how many levels of tiles a tree of 2^63 entries has at most.
const maxLevels = 8

// tiles compares the tiles that have been completed, at the end all of them.
func (v *verifier) tiles(all bool) error {
	for _, t := range v.tree.Tiles() {
		if len(t.Hashes) < ledger.HashSize<<ledger.TileHeight {
			t.Hashes = bytes.Clone(t.Hashes)
			v.edge[t.Level] = t
			continue
		}
		delete(v.edge, t.Level)
		if err := v.tile(t); err != nil {
			return err
		}
	}
	for level := 0; all && level < maxLevels; level++ {
		if t, ok := v.edge[level]; ok {
			if err := v.tile(t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) tile(t ledger.Tile) error {
	stored, err := v.s.Tile(t.Level, t.N, len(t.Hashes)/ledger.HashSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored, t.Hashes) {
		return v.wrong("the tile %d of level %d of the ledger's tree, over the entries from %d on, is not what the entries give", t.N, t.Level, t.N<<(ledger.TileHeight*(t.Level+1)))
	}
	return nil
}

// other checks an epoch or an event.
func (v *verifier) other(e *store.Entry) error {
	entry, err := ledger.Parse(e.Other, v.head.ID)
	if err != nil {
		return v.wrongEntry(e.Index, "it cannot be read: %v", err)
	}
	if err := v.add(e.Index, e.Other); err != nil {
		return err
	}
	event, isEvent := entry.(*ledger.Event)
	if e.Index == 0 && (!isEvent || event.Name != ledger.Created) {
		return v.wrongEntry(0, "the ledger does not begin with the archive's creation")
	}
	if err := v.running(e.Index, isEvent && event.Name == ledger.Started); err != nil {
		return err
	}
	if isEvent {
		if len(e.Wraps) > 0 {
			return v.wrongEntry(e.Index, "a wrapped key stands with it, and it is no epoch")
		}
		if event.Name == ledger.Stopped {
			v.stopped = e.Index
		}
		return nil
	}
	found, isEpoch := entry.(*ledger.Epoch)
	switch {
	case !isEpoch:
		return v.wrongEntry(e.Index, "a record stands where epochs and events do")
	case found.Number != v.epoch+1:
		return v.wrongEntry(e.Index, "it begins epoch %d, and epoch %d is the next", found.Number, v.epoch+1)
	case len(e.Wraps) == 0:
		return v.wrongEntry(e.Index, "the wrapped key of epoch %d is missing: nobody can open its records any more", found.Number)
	case e.Epoch != found.Number:
		return v.wrongEntry(e.Index, "it is of epoch %d, and the wrapped key with it of epoch %d", found.Number, e.Epoch)
	}
	v.epoch = found.Number
	v.epochs[found.Number] = found
	v.result.Epochs++
	if len(v.o.Identities) == 0 {
		return nil
	}
	opened, err := seal.OpenEpoch(v.head.ID, found.Number, e.Wraps, v.o.Identities...)
	switch {
	case errors.Is(err, seal.ErrNotRecipient):
		return nil
	case err != nil:
		return v.wrongEntry(e.Index, "the wrapped key of epoch %d is damaged", found.Number)
	case opened.Commitment() != found.Commitment:
		return v.wrongEntry(e.Index, "the wrapped key of epoch %d is not the one that the entry speaks of: it was exchanged", found.Number)
	}
	v.opened[found.Number] = opened
	return nil
}

// running wants nothing between the end of the writer and its next start.
func (v *verifier) running(index int64, starts bool) error {
	if v.stopped >= 0 && !starts {
		return v.wrongEntry(index, "it was recorded when archivoltd had stopped, with entry %d, and not started again: somebody else wrote it", v.stopped)
	}
	v.stopped = -1
	return nil
}

// record checks a record.
func (v *verifier) record(e *store.Entry) error {
	r := e.Record
	if e.Sealed == nil {
		v.result.Erased++
	} else if sha256.Sum256(e.Sealed) != r.Sealed {
		return v.wrongEntry(e.Index, "its sealed bytes are not those whose hash stands beside them")
	}
	v.buf = r.Append(v.buf[:0], v.head.ID)
	if err := v.add(e.Index, v.buf); err != nil {
		return err
	}
	v.result.Records++
	if err := v.running(e.Index, false); err != nil {
		return err
	}
	switch {
	case v.epochs[r.Epoch] == nil:
		return v.wrongEntry(e.Index, "it is sealed under epoch %d, which no entry before it begins", r.Epoch)
	case r.Epoch != v.epoch:
		return v.wrongEntry(e.Index, "it is sealed under epoch %d, when epoch %d had begun", r.Epoch, v.epoch)
	case r.Number <= v.highest[r.Source]:
		return v.wrongEntry(e.Index, "its delivery number %d comes after %d of the same source", r.Number, v.highest[r.Source])
	}
	v.highest[r.Source] = max(v.highest[r.Source], r.Number)
	for token := range slices.Chunk(r.Tokens, ledger.TokenSize) {
		if len(token) == ledger.TokenSize {
			v.index.record(r.Epoch, store.TokenNumber([ledger.TokenSize]byte(token)), e.Index)
		}
	}
	return v.unseal(e)
}

// unseal opens a record where somebody wants that, and compares its commitment.
func (v *verifier) unseal(e *store.Entry) error {
	if len(v.o.Identities) == 0 || e.Sealed == nil {
		return nil
	}
	r := e.Record
	k := v.opened[r.Epoch]
	if k == nil {
		v.result.Shut++
		return nil
	}
	h := seal.Header{Source: r.Source, Number: r.Number, Time: r.Time, Tokens: r.Tokens}
	plain, err := k.Open(nil, &h, e.Sealed)
	if err != nil {
		return v.wrongEntry(e.Index, "%v", err)
	}
	defer clear(plain)
	if seal.Commit(k.RecordKey(&h), plain) != r.Commitment {
		return v.wrongEntry(e.Index, "its commitment is to another text than it holds")
	}
	v.result.Opened++
	return nil
}

// ends compares what stands for the whole.
func (v *verifier) ends() error {
	if err := v.tiles(true); err != nil {
		return err
	}
	root, err := v.tree.Root()
	if err != nil {
		return err
	}
	switch {
	case root != v.head.Root:
		return v.wrong("the root in its head is not that of its ledger")
	case v.head.Epoch != v.epoch:
		return v.wrong("its head says that epoch %d is the last, and the ledger has %d", v.head.Epoch, v.epoch)
	case len(v.expected) > 0:
		e := v.expected[len(v.expected)-1]
		return v.wrong("it ends with entry %d, and %d entries were recorded until %s, as %s says: an older copy was put back, or entries were removed", v.head.Size-1, e.Size, stamp(e.Time), e.from)
	}
	for number := range v.wraps {
		if v.epochs[number] == nil {
			return v.wrong("there is a wrapped key of epoch %d, of which the ledger knows nothing", number)
		}
	}
	c := v.result.Checkpoint
	if v.result.Uncovered = v.head.Size - c.Size; v.result.Uncovered > 0 && v.o.Now.Sub(c.Time) > Grace {
		return problem.New(problem.Unverified, v.o.Name, fmt.Sprintf("entry %d: from here on no signed checkpoint covers the ledger, %d entries; the last was signed at %s, and archivoltd signs one a minute: it was killed then, or somebody else wrote them", c.Size, v.result.Uncovered, stamp(c.Time)),
			"ask whoever runs archivoltd whether it was killed at that time; when it runs again it signs what it finds to be its own")
	}
	return nil
}

// marks compares the highest delivery numbers of sources that number their
// copies. The others have none.
func (v *verifier) marks() error {
	marks, err := v.s.Marks()
	if err != nil {
		return err
	}
	for _, source := range sortedKeys(marks, v.highest) {
		if marks[source] != v.highest[source] && (ledger.Numbered(source) || marks[source] != 0) {
			return v.wrong("the last delivery number of %s is given as %d, and is %d: messages would be taken for repetitions, or gaps not be seen", source, marks[source], v.highest[source])
		}
	}
	return nil
}

func sortedKeys(maps ...map[string]uint64) (list []string) {
	for _, m := range maps {
		for k := range m {
			list = append(list, k)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// IsVerifier tells whether text is the verifier of an archive's checkpoints.
func IsVerifier(text string) bool {
	return strings.HasPrefix(text, "archivolt/") && strings.Count(text, "+") >= 2
}

// ParseVerifier reads the verifier of an archive's checkpoints, as the file
// checkpoint.pub has it. The object is what a problem names.
func ParseVerifier(object, text string) (string, error) {
	text = strings.TrimSpace(text)
	if _, err := ledger.OpenCheckpoint(nil, text); !IsVerifier(text) || !errors.Is(err, ledger.ErrSignature) {
		return "", problem.New(problem.Failed, object, "this is no verifier of an archive's checkpoints", trySigner)
	}
	return text, nil
}
