package capture

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"archivolt/internal/cisco/write"
	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/spool"
	"archivolt/internal/store"
)

// Table is a database with table JM, as package cisco/write fills it.
type Table interface {
	Head(context.Context) (write.Head, error)
	TakeOver(context.Context) (write.Head, error)
	Marks(context.Context) (map[string]uint64, error)
	Append(context.Context, *write.Batch) error
	Close() error
}

// Unlocked is what an open keystore gives: the key of the table, and what opens
// the spool.
type Unlocked struct {
	Encoder *write.Encoder // nil while encryption is disabled, which Hold has to tell
	Spool   age.Identity
	Hold    func() error // tells why nothing may be encrypted now; nil for never
}

// StartTable brings an archive in Cisco's format up. The spool is sealed to
// cfg.Recipients, the keystore's own: without keys, while the keystore is
// locked, what comes in waits there. The table is the service's from then on.
func StartTable(cfg Config, table Table, keys *Unlocked) (*Service, error) {
	cfg.setDefaults()
	s := newService(cfg)
	s.locked = keys == nil
	return s.start(&ciscoTable{s: s, table: table, keys: keys, epochs: map[uint64]*seal.Epoch{}})
}

// Errors with which nothing goes into the table, although it would take it.
var (
	ErrLocked = errors.New("the keystore is locked")
	ErrHeld   = errors.New("nothing may be encrypted now")
)

// Files of the state folder, in this format.
const (
	tableName  = "table.json"
	epochsName = "epochs" // folder of the wrapped keys of the spool's last epochs
)

// tableTimeout is how long the database has for one batch.
const tableTimeout = 2 * time.Minute

// ciscoTable is an archive in Cisco's format.
type ciscoTable struct {
	s      *Service
	table  Table
	keys   *Unlocked
	head   write.Head
	state  tableState
	kept   bool                   // table.json has an archive's id
	epochs map[uint64]*seal.Epoch // open, of the spool
	epoch  uint64                 // the last one at the start
	first  uint64                 // entry on the spool's disk, when epochs were last left
}

// tableState is the content of table.json.
type tableState struct {
	Archive    string `json:"archive"`    // id of the one that the spool is for
	Stored     uint64 `json:"stored"`     // number of the last entry of the spool that it had, at least
	Recipients string `json:"recipients"` // fingerprints of whom the spool is sealed for
	Stopped    bool   `json:"stopped"`    // in order, with nothing left in the spool
}

// HasTable tells whether the state folder dir belongs to a table that has been
// filled before. In place of one that is gone, an empty one must not be made.
func HasTable(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, tableName))
	return err == nil
}

// howToGoOn is the way on with a database that is not the one that was left.
const howToGoOn = "docs/ops/cisco.md, Restore, says how to go on all the same"

// olderTable says that the table lacks entries that nobody has any more.
func olderTable(dir string, at position, missing uint64) error {
	return problem.New(problem.Unverified, "the table", fmt.Sprintf("it has the entries of the spool up to %d, and had those up to %d: an older copy of the database was put back, and %d entries are neither in it nor in the spool", at.spool, at.left, missing),
		"restore a newer dump, if there is one; to go on with this one, move "+problem.Quote(filepath.Join(dir, tableName))+" away: what the spool still has comes in, and the log says what is missing ("+howToGoOn+")")
}

func (c *ciscoTable) path() string { return filepath.Join(c.s.cfg.StateDir, tableName) }

func (c *ciscoTable) resume() (at position, err error) {
	if err := os.MkdirAll(filepath.Join(c.s.cfg.StateDir, epochsName), 0o700); err != nil {
		return at, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), tableTimeout)
	defer cancel()
	if c.head, err = c.table.Head(ctx); err != nil {
		return at, err
	}
	if at.marks, err = c.table.Marks(ctx); err != nil {
		return at, err
	}
	text, err := os.ReadFile(c.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return at, err
	default:
		if err := json.Unmarshal(text, &c.state); err != nil {
			return at, problem.New(problem.Failed, c.path(), "this file is damaged", "restore it from its backup; or move it away: then nobody can tell whether this is the database that was left")
		}
	}
	at.id = c.head.ID
	if c.state.Archive != "" && c.state.Archive != at.id.String() {
		return at, problem.New(problem.Unverified, "the table", "this database holds the archive "+at.id.String()+", and "+problem.Quote(c.s.cfg.StateDir)+" belongs to the archive "+c.state.Archive,
			"name the right database, or restore its newest dump into an empty one; if there is none, "+howToGoOn)
	}
	c.kept = c.state.Archive != ""
	c.state.Archive, at.left = at.id.String(), c.state.Stored
	at.size, at.spool, at.orderly, at.recipients = int64(c.head.Spool), c.head.Spool, c.state.Stopped, c.state.Recipients
	c.epoch, err = c.readEpochs(at.id)
	return at, err
}

func (c *ciscoTable) save() error {
	content, err := json.MarshalIndent(&c.state, "", "  ")
	if err != nil {
		return err
	}
	return replace(c.path(), append(content, '\n'))
}

// holds cannot tell: the table keeps no trace of the entries that it was made
// from.
func (c *ciscoTable) holds(ledger.Hash, uint64) (bool, error) { return true, nil }

func (c *ciscoTable) takeOver() (epoch uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), tableTimeout)
	defer cancel()
	spool := c.head.Spool
	if c.head, err = c.table.TakeOver(ctx); err != nil {
		return 0, err
	}
	if c.head.Spool != spool {
		return 0, problem.New(problem.Failed, "the table", "another archivoltd is writing to it", "stop that one first: it has now been shut out; then start again")
	}
	return c.epoch, nil
}

// epochFile holds the wraps of an epoch, each behind its length.
func (c *ciscoTable) epochFile(number uint64) string {
	return filepath.Join(c.s.cfg.StateDir, epochsName, fmt.Sprintf("%020d.age", number))
}

// readEpochs opens the epochs that entries left in the spool may belong to, and
// returns the last one's number.
func (c *ciscoTable) readEpochs(id ledger.ID) (last uint64, err error) {
	entries, err := os.ReadDir(filepath.Join(c.s.cfg.StateDir, epochsName))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		digits, ours := strings.CutSuffix(e.Name(), ".age")
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ours || err != nil {
			continue
		}
		last = max(last, number)
		if c.keys == nil {
			continue
		}
		data, err := os.ReadFile(c.epochFile(number))
		if err != nil {
			return 0, err
		}
		var wraps [][]byte
		for len(data) >= 4 && int64(binary.BigEndian.Uint32(data)) <= int64(len(data)-4) {
			n := binary.BigEndian.Uint32(data)
			wraps = append(wraps, data[4:4+n])
			data = data[4+n:]
		}
		if c.epochs[number], err = seal.OpenEpoch(id, number, wraps, c.keys.Spool); err != nil {
			return 0, problem.New(problem.Failed, c.epochFile(number), "this key of the spool does not open with the keystore: "+err.Error(), "restore the keystore that was in use when it was written")
		}
	}
	return last, nil
}

// enter keeps the key of a new epoch, before anything of it leaves the spool.
func (c *ciscoTable) enter(e *ledger.Epoch, wraps [][]byte) error {
	if _, open := c.epochs[e.Number]; open {
		return nil
	}
	epoch, err := seal.OpenEpoch(c.s.id, e.Number, wraps, c.keys.Spool)
	if err != nil {
		return problem.New(problem.Failed, spoolDir(c.s.cfg.StateDir), "what is in the spool was sealed for another keystore", "restore the keystore that was in use when it was written")
	}
	if err := replace(c.epochFile(e.Number), encode(wraps...)); err != nil {
		return err
	}
	c.epochs[e.Number] = epoch
	return nil
}

// leave forgets the keys of epochs of which nothing is on the spool's disk any
// more. What is stored stays there for a while, and where an older copy of the
// database is put back, it is what that lacks.
func (c *ciscoTable) leave() error {
	first := c.s.spool.First()
	if len(c.epochs) < 2 || first == c.first {
		return nil
	}
	oldest, err := c.oldest(first)
	if err != nil {
		return err
	}
	c.first = first
	for number, epoch := range c.epochs {
		if number >= oldest {
			continue
		}
		if err := os.Remove(c.epochFile(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		epoch.Forget()
		delete(c.epochs, number)
	}
	return nil
}

// oldest returns the number of the epoch that the spool's disk begins with, at
// the entry first.
func (c *ciscoTable) oldest(first uint64) (uint64, error) {
	r := c.s.spool.Reader(first - 1)
	defer r.Close()
	for {
		entries, err := r.Next(1)
		if err != nil || len(entries) == 0 {
			return 0, err
		}
		for _, e := range entries {
			entry, _, _, err := decode(e.Data, c.s.id)
			if err != nil {
				return 0, err
			}
			switch entry := entry.(type) {
			case *ledger.Epoch:
				return entry.Number, nil
			case *ledger.Record:
				return entry.Epoch, nil
			}
		}
	}
}

func (c *ciscoTable) put(entries []spool.Entry) error {
	if c.keys == nil {
		return ErrLocked
	}
	if c.keys.Hold != nil {
		if err := c.keys.Hold(); err != nil {
			return fmt.Errorf("%w: %w", ErrHeld, err)
		}
	}
	batch := &write.Batch{Generation: c.head.Generation, After: c.head.Spool, Spool: entries[len(entries)-1].Number, Key: c.keys.Encoder.Fingerprint(), Marks: map[string]uint64{}}
	copies := make([]write.Copy, 0, len(entries))
	for _, e := range entries {
		entry, _, rest, err := decode(e.Data, c.s.id)
		if err != nil {
			return err
		}
		switch entry := entry.(type) {
		case *ledger.Epoch:
			if err := c.enter(entry, rest); err != nil {
				return err
			}
			c.state.Recipients = hexList(entry.Recipients)
		case *ledger.Record:
			one, err := c.open(entry, rest[0])
			if err != nil {
				return err
			}
			copies = append(copies, one)
			if ledger.Numbered(entry.Source) {
				batch.Marks[entry.Source] = max(batch.Marks[entry.Source], entry.Number)
			}
		case *ledger.Event:
			event := write.Event{Entry: e.Number, Time: time.UnixMilli(entry.Time), Name: string(entry.Name), Detail: entry.Detail}
			if len(rest) > 0 {
				event.Source = string(rest[0])
			}
			batch.Events = append(batch.Events, event)
		}
	}
	rows, report, err := c.keys.Encoder.Rows(copies)
	if err != nil {
		return err
	}
	for _, cut := range report.Cut {
		c.s.cfg.Log.Warn("a value was cut to what its column takes; the stanza holds it whole", "column", cut.Column, "source", cut.Source, "number", cut.Number)
	}
	batch.Rows = rows
	c.s.cfg.step(stepBatchMade)
	ctx, cancel := context.WithTimeout(context.Background(), tableTimeout)
	defer cancel()
	if err := c.table.Append(ctx, batch); err != nil {
		if failed := c.checkpoint(false); failed != nil { // the database may come back as an older copy
			c.s.cfg.Log.Error("how far the table is could not be noted", "error", failed)
		}
		if errors.Is(err, write.ErrFenced) {
			return store.ErrFenced
		}
		return err
	}
	c.keys.Encoder.Stored()
	c.head.Spool = batch.Spool
	c.s.cfg.step(stepHeadSwapped)
	return c.leave()
}

// open opens a record of the spool.
func (c *ciscoTable) open(r *ledger.Record, sealed []byte) (write.Copy, error) {
	epoch := c.epochs[r.Epoch]
	if epoch == nil {
		p := problem.New(problem.Failed, filepath.Join(c.s.cfg.StateDir, epochsName), fmt.Sprintf("the key of epoch %d of the spool is missing", r.Epoch), "restore this folder from the backup that the spool is from")
		p.Err = errPayload
		return write.Copy{}, p
	}
	plain, err := epoch.Open(nil, &seal.Header{Source: r.Source, Number: r.Number, Time: r.Time, Tokens: r.Tokens}, sealed)
	if err != nil {
		return write.Copy{}, fmt.Errorf("%w: %w", errPayload, err)
	}
	content, err := seal.ParseContent(plain)
	if err != nil {
		return write.Copy{}, fmt.Errorf("%w: %w", errPayload, err)
	}
	return write.Copy{Stanza: content.Stanza, Time: time.UnixMilli(r.Time).UTC(), Direction: content.Direction, Source: r.Source, Number: r.Number}, nil
}

func (c *ciscoTable) again() (stored uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), tableTimeout)
	defer cancel()
	head, err := c.table.Head(ctx)
	if err != nil {
		return 0, err
	}
	switch {
	case head.ID != c.head.ID, head.Generation < c.head.Generation, head.Spool < c.head.Spool:
		p := problem.New(problem.Failed, "the table", "an older or another copy of the database was put back while archivoltd was running",
			"start archivoltd again: it looks whether the spool still has what this one lacks")
		p.Err = errReplaced
		return 0, p
	case head.Generation > c.head.Generation:
		return 0, store.ErrFenced
	}
	if head.Spool > c.head.Spool && c.keys != nil && c.keys.Encoder != nil {
		c.keys.Encoder.Stored() // the batch is there; only the answer was lost
	}
	c.head = head
	return head.Spool, nil
}

// checkpoint notes how far the table is, so that an older copy of it is noticed,
// and whether this is the orderly end. There is no ledger in this format, and so
// nothing to sign.
func (c *ciscoTable) checkpoint(stopped bool) error {
	if c.kept && c.state.Stopped == stopped && c.state.Stored == c.head.Spool {
		return nil
	}
	c.state.Stopped, c.state.Stored = stopped, c.head.Spool
	err := c.save()
	c.kept = err == nil
	return err
}

func (c *ciscoTable) last() (size int64, at time.Time) { return 0, time.Time{} }

func (c *ciscoTable) close() error { return c.table.Close() }
