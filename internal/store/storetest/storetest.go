// Package storetest is what every store of our own archives must do, as a
// test.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"archivolt/internal/ledger"
	"archivolt/internal/store"
)

// Writer is a store open for writing.
type Writer interface {
	Head() (store.Head, error)
	TakeOver() (store.Head, error)
	Marks() (map[string]uint64, error)
	Append(*store.Batch) error
	SaveCheckpoint([]byte) error
	Tile(level int, n int64, width int) ([]byte, error)
	Close() error
}

// Reader is a store open for reading.
type Reader interface {
	Head() (store.Head, error)
	Checkpoint() ([]byte, error)
	Tile(level int, n int64, width int) ([]byte, error)
	Others(context.Context, func(*store.Entry) error) error
	Wraps(context.Context) (map[uint64][][]byte, error)
	Times(context.Context, func(index, time int64) error) error
	Records(context.Context, store.Query, func(*store.Entry) error) error
	Postings(context.Context, func(epoch, token uint64, indexes []int64) error) error
	Close() error
}

// Place makes and opens one archive.
type Place struct {
	Create func(ledger.ID) (Writer, error)
	Open   func() (Writer, error)
	Read   func() (Reader, error)
}

// ID names the archive of the suite.
var ID = ledger.ID{0xA5, 15: 1}

// Run runs the suite; each test has a place of its own.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, p Place)
	}{
		{"empty", testEmpty}, {"what was appended is read", testAppend}, {"all or nothing", testAtomic},
		{"one writer", testFence}, {"readers see whole batches", testSnapshot}, {"interrupted", testInterrupt},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, place(t)) })
	}
}

// Generator makes batches as a writer would, and remembers them.
type Generator struct {
	Head    store.Head
	Entries []store.Entry
	Marks   map[string]uint64
	Tree    *ledger.Tree

	random *rand.Rand
}

// NewGenerator makes one that continues an empty archive.
func NewGenerator(head store.Head, seed uint64) *Generator {
	tree, err := ledger.NewTree(0, nil)
	if err != nil {
		panic(err) // nothing is read
	}
	return &Generator{Head: head, Marks: map[string]uint64{}, Tree: tree, random: rand.New(rand.NewPCG(seed, 2))}
}

// tokens are of a few people, so that they meet again, some with the highest
// bit set.
func (g *Generator) tokens() (list []byte) {
	var numbers []uint64
	for range g.random.IntN(4) {
		numbers = append(numbers, (g.random.Uint64N(12)+1)*0x1111111111111111)
	}
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers) {
		list = binary.BigEndian.AppendUint64(list, n)
	}
	return list
}

// Batch makes a batch of n entries; now and then one of them is an event or an
// epoch with its wraps.
func (g *Generator) Batch(n int) *store.Batch {
	b := &store.Batch{Marks: map[string]uint64{}}
	for range n {
		e := store.Entry{Index: g.Tree.Size()}
		switch g.random.IntN(20) {
		case 0:
			event := ledger.Event{Time: g.random.Int64N(1e12), Name: ledger.Heartbeat, Detail: fmt.Sprint(e.Index)}
			e.Other = event.Append(nil, ID)
		case 1:
			g.Head.Epoch++
			epoch := ledger.Epoch{Number: g.Head.Epoch, Class: "pq", Recipients: [][32]byte{{1}}}
			e.Other, e.Epoch = epoch.Append(nil, ID), g.Head.Epoch
			e.Wraps = [][]byte{fmt.Appendf(nil, "wrap of %d", e.Epoch), {0, 1, 2}}[:1+g.random.IntN(2)]
		default:
			r := &ledger.Record{Epoch: g.Head.Epoch, Source: fmt.Sprint("source/", g.random.IntN(3)), Time: g.random.Int64N(1e12), Tokens: g.tokens()}
			r.Number = g.Marks[r.Source] + 1
			g.Marks[r.Source], b.Marks[r.Source] = r.Number, r.Number
			e.Sealed = make([]byte, 30+g.random.IntN(5000)) // some need overflow pages
			for i := range e.Sealed {
				e.Sealed[i] = byte(g.random.Uint32())
			}
			r.Commitment[0], r.Sealed[31] = byte(e.Index), byte(e.Index)
			e.Record = r
		}
		g.Entries = append(g.Entries, e)
		b.Entries = append(b.Entries, e)
		g.Tree.Append(ledger.Leaf(Canonical(&e)))
		g.Head.Spool++
	}
	root, err := g.Tree.Root()
	if err != nil {
		panic(err) // the tree is in memory
	}
	g.Head.Size, g.Head.Root = g.Tree.Size(), root
	b.Head, b.Tiles = g.Head, g.Tree.Tiles()
	return b
}

// Canonical is the entry as it stands in the ledger.
func Canonical(e *store.Entry) []byte {
	if e.Record != nil {
		return e.Record.Append(nil, ID)
	}
	return e.Other
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func testEmpty(t *testing.T, p Place) {
	if _, err := p.Open(); !errors.Is(err, store.ErrNone) {
		t.Errorf("where nothing is, opening gives %v", err)
	}
	if _, err := p.Read(); !errors.Is(err, store.ErrNone) {
		t.Errorf("where nothing is, reading gives %v", err)
	}
	w := must[Writer](t)(p.Create(ID))
	defer w.Close()
	tree, _ := ledger.NewTree(0, nil)
	root := must[ledger.Hash](t)(tree.Root())
	if got := must[store.Head](t)(w.Head()); got != (store.Head{ID: ID, Root: root}) {
		t.Errorf("the head is %+v", got)
	}
	if got := must[map[string]uint64](t)(w.Marks()); len(got) != 0 {
		t.Errorf("marks: %v", got)
	}
	if _, err := p.Create(ID); err == nil {
		t.Error("an archive was made over another")
	}
}

// fill makes an archive of some batches.
func fill(t *testing.T, p Place, sizes ...int) (Writer, *Generator) {
	t.Helper()
	w := must[Writer](t)(p.Create(ID))
	t.Cleanup(func() { w.Close() })
	g := NewGenerator(must[store.Head](t)(w.TakeOver()), 7)
	for _, n := range sizes {
		if err := w.Append(g.Batch(n)); err != nil {
			t.Fatal(err)
		}
	}
	return w, g
}

// kept is a copy of an entry that was only lent.
func kept(e *store.Entry) store.Entry {
	c := *e
	c.Sealed, c.Other = bytes.Clone(e.Sealed), bytes.Clone(e.Other)
	if e.Record != nil {
		r := *e.Record
		r.Tokens = bytes.Clone(r.Tokens)
		c.Record = &r
	}
	return c
}

func records(t *testing.T, r Reader, q store.Query) (list []store.Entry) {
	t.Helper()
	err := r.Records(context.Background(), q, func(e *store.Entry) error {
		list = append(list, kept(e))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func choose(entries []store.Entry, chosen func(*store.Entry) bool) (list []store.Entry) {
	for _, e := range entries {
		if chosen(&e) {
			list = append(list, kept(&e))
		}
	}
	return list
}

func same(t *testing.T, what string, got, want []store.Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d entries, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if g, w := &got[i], &want[i]; g.Index != w.Index || !bytes.Equal(Canonical(g), Canonical(w)) || !bytes.Equal(g.Sealed, w.Sealed) || g.Epoch != w.Epoch || !reflect.DeepEqual(g.Wraps, w.Wraps) {
			t.Errorf("%s: entry %d is\n%+v, want\n%+v", what, i, *g, *w)
			return
		}
	}
}

func testAppend(t *testing.T, p Place) {
	w, g := fill(t, p, 1, 700, 3, 50)
	if err := w.SaveCheckpoint([]byte("checkpoint 1")); err != nil {
		t.Fatal(err)
	}
	if err := w.SaveCheckpoint([]byte("checkpoint 2")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = must[Writer](t)(p.Open())
	defer w.Close()
	if got := must[store.Head](t)(w.Head()); got != g.Head {
		t.Errorf("the head is %+v, want %+v", got, g.Head)
	}
	if got := must[map[string]uint64](t)(w.Marks()); !maps.Equal(got, g.Marks) {
		t.Errorf("the marks are %v, want %v", got, g.Marks)
	}
	tree, err := ledger.NewTree(g.Head.Size, w.Tile)
	if err != nil {
		t.Fatal(err)
	}
	if root := must[ledger.Hash](t)(tree.Root()); root != g.Head.Root {
		t.Errorf("the tree continues with root %v, want %v", root, g.Head.Root)
	}
	if err := w.Append(g.Batch(20)); err != nil {
		t.Fatal(err)
	}

	r := must[Reader](t)(p.Read())
	defer r.Close()
	if got := string(must[[]byte](t)(r.Checkpoint())); got != "checkpoint 2" {
		t.Errorf("the checkpoint is %q", got)
	}
	isRecord := func(e *store.Entry) bool { return e.Record != nil }
	same(t, "all records", records(t, r, store.Query{}), choose(g.Entries, isRecord))
	same(t, "from 100 to 300", records(t, r, store.Query{From: 100, To: 300}),
		choose(g.Entries, func(e *store.Entry) bool { return isRecord(e) && e.Index >= 100 && e.Index < 300 }))
	var others []store.Entry
	if err := r.Others(context.Background(), func(e *store.Entry) error { others = append(others, kept(e)); return nil }); err != nil {
		t.Fatal(err)
	}
	same(t, "the others", others, choose(g.Entries, func(e *store.Entry) bool { return e.Record == nil }))
	wraps := map[uint64][][]byte{}
	for _, e := range g.Entries {
		if len(e.Wraps) > 0 {
			wraps[e.Epoch] = e.Wraps
		}
	}
	if got := must[map[uint64][][]byte](t)(r.Wraps(context.Background())); !reflect.DeepEqual(got, wraps) {
		t.Errorf("the wraps are %x, want %x", got, wraps)
	}
	var times, wanted [][2]int64
	if err := r.Times(context.Background(), func(index, time int64) error { times = append(times, [2]int64{index, time}); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, e := range choose(g.Entries, isRecord) {
		wanted = append(wanted, [2]int64{e.Index, e.Record.Time})
	}
	if !slices.Equal(times, wanted) {
		t.Errorf("there are %d times, want %d", len(times), len(wanted))
	}

	tokens := map[uint64][]uint64{0: {0x1111111111111111}, 2: {0x2222222222222222, 12 * 0x1111111111111111}, 99: {1}}
	has := func(e *store.Entry) bool {
		if e.Record == nil {
			return false
		}
		for token := range slices.Chunk(e.Record.Tokens, ledger.TokenSize) {
			if slices.Contains(tokens[e.Record.Epoch], store.TokenNumber([ledger.TokenSize]byte(token))) {
				return true
			}
		}
		return false
	}
	same(t, "by token", records(t, r, store.Query{Tokens: tokens}), choose(g.Entries, has))
	same(t, "by token, from 100 on", records(t, r, store.Query{From: 100, Tokens: tokens}), choose(g.Entries, func(e *store.Entry) bool { return has(e) && e.Index >= 100 }))
	same(t, "by no token", records(t, r, store.Query{Tokens: map[uint64][]uint64{}}), nil)

	samePostings(t, r, g.Entries)
}

// samePostings compares the index of participants with the tokens of the
// entries.
func samePostings(t *testing.T, r Reader, entries []store.Entry) {
	t.Helper()
	type key struct {
		epoch, token uint64
		index        int64
	}
	got, want := map[key]int{}, map[key]int{}
	err := r.Postings(context.Background(), func(epoch, token uint64, indexes []int64) error {
		for _, i := range indexes {
			got[key{epoch, token, i}]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Record == nil {
			continue
		}
		for token := range slices.Chunk(e.Record.Tokens, ledger.TokenSize) {
			want[key{e.Record.Epoch, store.TokenNumber([ledger.TokenSize]byte(token)), e.Index}]++
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("there are %d postings, want %d", len(got), len(want))
	}
}

func testAtomic(t *testing.T, p Place) {
	w, g := fill(t, p, 100)
	before := g.Head
	bad := *g.Batch(50)
	bad.Entries = slices.Clone(bad.Entries)
	last := &bad.Entries[len(bad.Entries)-1]
	last.Index = 3 // which is taken
	if err := w.Append(&bad); err == nil || errors.Is(err, store.ErrFenced) {
		t.Fatalf("a batch with an index that is taken: %v", err)
	}
	if got := must[store.Head](t)(w.Head()); got != before {
		t.Errorf("after a batch that failed the head is %+v, want %+v", got, before)
	}
	r := must[Reader](t)(p.Read())
	defer r.Close()
	for _, e := range records(t, r, store.Query{From: 100}) {
		t.Errorf("record %d of a batch that failed is there", e.Index)
	}
	// The same again, whole: nothing of the attempt that failed may be left,
	// nor of one that the store refused before it read the entries.
	last.Index = before.Size + 49
	if err := w.Append(&bad); err != nil {
		t.Errorf("the batch, mended: %v", err)
	}
	if err := w.Append(&bad); !errors.Is(err, store.ErrFenced) {
		t.Errorf("the same batch twice: %v", err)
	}
	if err := w.Append(g.Batch(50)); err != nil {
		t.Errorf("the batch after it: %v", err)
	}
	after := must[Reader](t)(p.Read())
	defer after.Close()
	same(t, "all records", records(t, after, store.Query{}), choose(g.Entries, func(e *store.Entry) bool { return e.Record != nil }))
	samePostings(t, after, g.Entries)
	if got := must[map[string]uint64](t)(w.Marks()); !maps.Equal(got, g.Marks) {
		t.Errorf("the marks are %v, want %v", got, g.Marks)
	}
}

func testFence(t *testing.T, p Place) {
	w, g := fill(t, p, 10)
	other := must[Writer](t)(p.Open())
	defer other.Close()
	head := must[store.Head](t)(other.TakeOver())
	if head.Generation != g.Head.Generation+1 {
		t.Errorf("the generation is %d after %d", head.Generation, g.Head.Generation)
	}
	before := g.Head
	b := g.Batch(10)
	if err := w.Append(b); !errors.Is(err, store.ErrFenced) {
		t.Errorf("the writer that was taken over from gets %v", err)
	}
	before.Generation++
	if got := must[store.Head](t)(other.Head()); got != before {
		t.Errorf("the head is %+v, want %+v", got, before)
	}
	b.Head.Generation = head.Generation
	if err := other.Append(b); err != nil {
		t.Error(err)
	}
}

func testSnapshot(t *testing.T, p Place) {
	w, g := fill(t, p, 400)
	r := must[Reader](t)(p.Read())
	defer r.Close()
	before := must[store.Head](t)(r.Head())
	n := 0
	err := r.Records(context.Background(), store.Query{}, func(*store.Entry) error {
		n++
		if n%50 == 0 { // a writer is not held up by the reader
			return w.Append(g.Batch(5))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(records(t, r, store.Query{})); got != n {
		t.Errorf("the reader sees %d records, and %d a moment ago", got, n)
	}
	if got := must[store.Head](t)(r.Head()); got != before {
		t.Errorf("the head is %+v, and was %+v", got, before)
	}
	again := must[Reader](t)(p.Read())
	defer again.Close()
	if got := must[store.Head](t)(again.Head()); got != g.Head {
		t.Errorf("who opens now sees the head %+v, want %+v", got, g.Head)
	}
}

func testInterrupt(t *testing.T, p Place) {
	fill(t, p, 100)
	r := must[Reader](t)(p.Read())
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	err := r.Records(ctx, store.Query{}, func(*store.Entry) error {
		n++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) && !(err == nil && n < 100) {
		t.Errorf("%d records after the interrupt, %v", n, err)
	}
	stop := errors.New("enough")
	if err := r.Records(context.Background(), store.Query{}, func(*store.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the reader's own error comes back as %v", err)
	}
}
