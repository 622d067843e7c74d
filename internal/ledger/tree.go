package ledger

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a hash of the tree (RFC 6962 section 2.1).
type Hash = tlog.Hash

// TileHeight is the height of a tile: 256 hashes of one level, as in C2SP's
// tlog-tiles.
const TileHeight = 8

// tileWidth is the most hashes in a tile.
const tileWidth = 1 << TileHeight

// MaxSize is how many entries a ledger has at most. What says that it has more
// is refused before anybody computes with it: package tlog does not end for
// numbers near 2^63.
const MaxSize = 1 << 48

// Leaf is the hash of an entry's canonical bytes.
func Leaf(entry []byte) Hash { return tlog.RecordHash(entry) }

// Tile is a run of hashes of the tree, as it is stored: those of level
// TileHeight×Level, from number N×256 on, at most 256. One that is not full is
// replaced by a longer one as the tree grows.
type Tile struct {
	Level  int
	N      int64
	Hashes []byte // HashSize bytes each
}

// Tree is a growing tree. It holds the tiles of its right edge, a few
// kilobytes. It is not safe for concurrent use.
type Tree struct {
	size  int64
	edge  []Tile // the last tile of each level, which may be full
	dirty []Tile // finished since Tiles was called
	since int64  // size when Tiles was called
}

// NewTree continues the tree of size leaves. read returns the hashes of a tile
// that has width of them.
func NewTree(size int64, read func(level int, n int64, width int) ([]byte, error)) (*Tree, error) {
	t := &Tree{size: size, since: size}
	for level, n := 0, size; n > 0; level, n = level+1, n>>TileHeight {
		number := (n - 1) >> TileHeight
		width := int(n - number<<TileHeight)
		hashes, err := read(level, number, width)
		if err != nil {
			return nil, err
		}
		if len(hashes) < width*HashSize {
			return nil, fmt.Errorf("the tile %d of level %d of the ledger's tree is too short", number, level)
		}
		t.edge = append(t.edge, Tile{Level: level, N: number, Hashes: append(make([]byte, 0, tileWidth*HashSize), hashes[:width*HashSize]...)})
	}
	return t, nil
}

// Size returns how many entries the tree has.
func (t *Tree) Size() int64 { return t.size }

// Append adds a leaf.
func (t *Tree) Append(leaf Hash) {
	t.size++
	for level, hash := 0, leaf; ; level++ {
		if level == len(t.edge) {
			t.edge = append(t.edge, Tile{Level: level, Hashes: make([]byte, 0, tileWidth*HashSize)})
		}
		e := &t.edge[level]
		if len(e.Hashes) == tileWidth*HashSize {
			t.dirty = append(t.dirty, *e)
			*e = Tile{Level: level, N: e.N + 1, Hashes: make([]byte, 0, tileWidth*HashSize)}
		}
		e.Hashes = append(e.Hashes, hash[:]...)
		if len(e.Hashes) < tileWidth*HashSize {
			return
		}
		hash = rootOf(e.Hashes)
	}
}

// rootOf is the root over the hashes of a full tile.
func rootOf(hashes []byte) Hash {
	var level [tileWidth]Hash
	n := len(hashes) / HashSize
	for i := range n {
		level[i] = Hash(hashes[i*HashSize:])
	}
	for ; n > 1; n /= 2 {
		for i := range n / 2 {
			level[i] = tlog.NodeHash(level[2*i], level[2*i+1])
		}
	}
	return level[0]
}

// Tiles returns the tiles that changed since the last call, for storing. They
// are the caller's until the next Append.
func (t *Tree) Tiles() []Tile {
	tiles := t.dirty
	for _, e := range t.edge {
		shift := TileHeight * e.Level
		if t.size>>shift > t.since>>shift {
			tiles = append(tiles, e)
		}
	}
	t.dirty, t.since = nil, t.size
	return tiles
}

// Root returns the root hash; that of the empty tree is SHA-256 of nothing.
func (t *Tree) Root() (Hash, error) {
	return tlog.TreeHash(t.size, tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		hashes := make([]Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			e := t.edge[level/TileHeight]
			inner := level % TileHeight
			first := n<<inner - e.N<<TileHeight
			if first < 0 || int(first+1<<inner)*HashSize > len(e.Hashes) {
				return nil, errors.New("a hash of the ledger's tree is not on its right edge")
			}
			hashes[i] = rootOf(e.Hashes[first*HashSize : (first+1<<inner)*HashSize])
		}
		return hashes, nil
	}))
}

// Tiles reads the tiles of a stored tree: width hashes of the tile n of a
// level, or more.
type Tiles interface {
	Tile(level int, n int64, width int) ([]byte, error)
}

// Reader gives hashes of the tree of size entries and the given root, out of
// tiles that need not be trusted: each is checked against the root.
func Reader(size int64, root Hash, tiles Tiles) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, &tileReader{tiles})
}

// tileReader reads tiles for package tlog.
type tileReader struct{ tiles Tiles }

// Height is that of every tile.
func (r *tileReader) Height() int { return TileHeight }

// ReadTiles gives the hashes of several tiles.
func (r *tileReader) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, w := range wanted {
		hashes, err := r.tiles.Tile(w.L, w.N, w.W)
		if err != nil {
			return nil, err
		}
		if len(hashes) < w.W*HashSize {
			return nil, fmt.Errorf("the tile %d of level %d of the ledger's tree is too short", w.N, w.L)
		}
		data = append(data, hashes[:w.W*HashSize])
	}
	return data, nil
}

// SaveTiles does nothing: the tiles are stored already.
func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// RootAt is the root that the tree had when it had size entries.
func RootAt(size int64, tree tlog.HashReader) (Hash, error) { return tlog.TreeHash(size, tree) }

// LeafAt returns the leaf at index of the tree of the given size and root.
func LeafAt(size int64, root Hash, tiles Tiles, index int64) (Hash, error) {
	hashes, err := Reader(size, root, tiles).ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return Hash{}, err
	}
	return hashes[0], nil
}

// Prove returns the inclusion proof of entry index in a tree of size entries
// (RFC 6962 section 2.1.1).
func Prove(size, index int64, tree tlog.HashReader) ([]Hash, error) {
	return tlog.ProveRecord(size, index, tree)
}

// CheckProof tells whether the leaf stands at index in the tree of the given
// size and root.
func CheckProof(proof []Hash, size int64, root Hash, index int64, leaf Hash) error {
	return tlog.CheckRecord(proof, size, root, index, leaf)
}
