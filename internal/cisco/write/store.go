package write

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Head is the state of an archive after its last batch.
type Head struct {
	ID         [16]byte // of the archive, random
	Spool      uint64   // number of the last entry of the queue in front of it whose rows are stored
	Generation uint64   // of the writer: who takes over counts it up
	Key        string   // fingerprint of the key of the last batch; empty before the first
}

// Batch is what is stored together: all of it or nothing.
type Batch struct {
	Rows       []Row
	Events     []Event           // of the entries from After+1 to Spool, in their order
	Marks      map[string]uint64 // by source: the highest delivery number in this batch
	After      uint64            // Head.Spool before it
	Spool      uint64            // Head.Spool after it
	Generation uint64            // of the writer, as TakeOver gave it
	Key        string            // Encoder.Fingerprint
}

// MaxSource is the longest name of a source, in bytes.
const MaxSource = 512

// check refuses what no database could take back.
func (b *Batch) check() error {
	if b.Spool < b.After || b.Spool == b.After && len(b.Rows) > 0 {
		return fmt.Errorf("a batch of the entries %d to %d", b.After+1, b.Spool)
	}
	last := b.After
	for _, e := range b.Events {
		if e.Entry <= last || e.Entry > b.Spool {
			return fmt.Errorf("an event of entry %d behind entry %d, in a batch that ends with entry %d", e.Entry, last, b.Spool)
		}
		last = e.Entry
	}
	for source := range b.Marks {
		if len(source) > MaxSource || source == "" {
			return fmt.Errorf("a source whose name has %d bytes", len(source))
		}
	}
	return nil
}

// Errors of Append. Nothing was written then.
var (
	// ErrFenced says that another writer has taken over.
	ErrFenced = errors.New("another archivoltd writes to this archive now")
	// ErrMoved says that the archive does not end where the batch begins: an
	// earlier Append has stored more than its caller knows, or an older copy of
	// the archive was put back. Head tells.
	ErrMoved = errors.New("the archive does not end where this batch begins")
)

// DatabaseOptions say how a database is opened.
type DatabaseOptions struct {
	Create   bool          // make the tables, and the file, where they are not there
	Begun    bool          // there was an archive: where it is gone, Create begins no new one
	Password string        // of PostgreSQL, where the connection string has none
	Timeout  time.Duration // of one request to the server; 0 for a minute
	// AllowUnsafe takes a PostgreSQL server that says a batch is stored before it
	// is on the disk. For tests.
	AllowUnsafe bool
}

// schemaVersion is that of the tables beside JM.
const schemaVersion = 1

// types are those of JM's columns in the guide's PostgreSQL dialect, which
// SQLite takes too. NN stands for NOT NULL.
var types = [...]string{"varchar(3071) NN", "varchar(3071) NN", "timestamp NN", "varchar(128)", "varchar(128)", "varchar(1) NN", "varchar(1) NN",
	"int NN", "int NN", "varchar(4000)", "varchar(4000)", "text", "text", "varchar(1) NN"}

var notNull = strings.NewReplacer("NN", "NOT NULL")

// columnsSQL declares JM's columns.
func columnsSQL() string {
	var b []byte
	for i, name := range Columns {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, "%s %s", name, notNull.Replace(types[i]))
	}
	return string(b)
}

func newID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails since Go 1.24
	return hex.EncodeToString(id[:])
}

// setID reads what newID makes.
func (h *Head) setID(text string) error {
	id, err := hex.DecodeString(text)
	if err != nil || len(id) != len(h.ID) {
		return errors.New("the table archivolt_head is damaged: its id is none")
	}
	copy(h.ID[:], id)
	return nil
}

var errNoHead = errors.New("the table archivolt_head is damaged: it has no row")

// notNow says why a head does not take a batch.
func notNow(h Head, b *Batch) error {
	if h.Generation > b.Generation { // it only grows: a lower one is an older copy's
		return ErrFenced
	}
	return ErrMoved
}
