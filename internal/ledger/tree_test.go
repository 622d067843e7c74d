package ledger

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// stored is a tree as a store keeps it, with every tile that was ever written.
type stored map[string][]byte

func (s stored) Tile(level int, n int64, width int) ([]byte, error) {
	return s[fmt.Sprint(level, "/", n)], nil
}

func (s stored) keep(tiles []Tile) {
	for _, t := range tiles {
		s[fmt.Sprint(t.Level, "/", t.N)] = bytes.Clone(t.Hashes)
	}
}

// oracle is the tree of package tlog, hash by hash.
type oracle []tlog.Hash

func (o oracle) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, o[i])
	}
	return hashes, nil
}

func (o *oracle) add(t interface{ Fatal(...any) }, n int64, leaf Hash) {
	hashes, err := tlog.StoredHashesForRecordHash(n, leaf, *o)
	if err != nil {
		t.Fatal(err)
	}
	*o = append(*o, hashes...)
}

func leaf(i int64) Hash { return Leaf(fmt.Append(nil, "entry ", i)) }

func TestEmptyTree(t *testing.T) {
	tree, err := NewTree(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.Root()
	if err != nil || hex.EncodeToString(root[:]) != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" { // RFC 6962 section 2.1
		t.Errorf("the root of the empty tree is %x, %v", root, err)
	}
}

// TestTree grows a tree in uneven steps, continuing from what is stored after
// each, and compares it with package tlog.
func TestTree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom([]int64{0, 1, 2, 3, 100, 255, 256, 257, 511, 1000, 65536 - 255}), 1, 8).Draw(r, "steps")
		kept, want := stored{}, oracle{}
		size := int64(0)
		for _, step := range steps {
			tree, err := NewTree(size, kept.Tile)
			if err != nil {
				r.Fatal(err)
			}
			for range step {
				tree.Append(leaf(size))
				want.add(r, size, leaf(size))
				size++
			}
			kept.keep(tree.Tiles())
			if more := tree.Tiles(); len(more) > 0 {
				r.Fatalf("%d tiles are to be stored a second time", len(more))
			}
			root, err := tree.Root()
			if err != nil {
				r.Fatal(err)
			}
			expected, err := tlog.TreeHash(size, want)
			if err != nil || root != expected {
				r.Fatalf("with %d entries the root is %v, want %v, %v", size, root, expected, err)
			}
			if size == 0 {
				continue
			}
			reader := Reader(size, root, kept)
			index := rapid.Int64Range(0, size-1).Draw(r, "index")
			proof, err := Prove(size, index, reader)
			if err != nil {
				r.Fatal(err)
			}
			if err := tlog.CheckRecord(proof, size, root, index, leaf(index)); err != nil {
				r.Fatal(err)
			}
			earlier := rapid.Int64Range(1, size).Draw(r, "earlier")
			then, err := RootAt(earlier, reader)
			expected, _ = tlog.TreeHash(earlier, want)
			if err != nil || then != expected {
				r.Fatalf("with %d of %d entries the root was %v, want %v, %v", earlier, size, then, expected, err)
			}
		}
	})
}

// TestDamagedTile changes one byte of each stored tile in turn.
func TestDamagedTile(t *testing.T) {
	tree, _ := NewTree(0, nil)
	kept := stored{}
	const size = 70_000
	for i := range int64(size) {
		tree.Append(leaf(i))
	}
	kept.keep(tree.Tiles())
	root, err := tree.Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Prove(size, 300, Reader(size, root, kept)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0/1", "1/0", "2/0"} { // on the way of entry 300
		kept[name][len(kept[name])-1] ^= 1
		if _, err := Prove(size, 300, Reader(size, root, kept)); err == nil {
			t.Errorf("the damage of tile %s is not seen", name)
		}
		kept[name][len(kept[name])-1] ^= 1
	}
	whole := kept["1/0"]
	kept["1/0"] = whole[:len(whole)-1]
	kept["1/1"] = kept["1/1"][:16]
	if _, err := Prove(size, 300, Reader(size, root, kept)); err == nil {
		t.Error("a cut tile is not seen")
	}
	if _, err := NewTree(size, kept.Tile); err == nil {
		t.Error("a tree with a cut tile is continued")
	}
}
