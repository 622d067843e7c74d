package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/store"
	storesqlite "archivolt/internal/store/sqlite"
)

// Store is the store of an archive of ours, as it is read: in one snapshot,
// which a running archivoltd does not notice. It is not safe for concurrent use.
type Store interface {
	Head() (store.Head, error)
	Marks() (map[string]uint64, error)
	Checkpoint() ([]byte, error)
	Tile(level int, n int64, width int) ([]byte, error)
	// Times gives index and time of every record, milliseconds since 1970.
	Times(ctx context.Context, fn func(index, time int64) error) error
	Records(ctx context.Context, q store.Query, fn func(*store.Entry) error) error
	Others(ctx context.Context, fn func(*store.Entry) error) error
	// Wraps gives the wrapped keys by epoch, those without an entry too.
	Wraps(ctx context.Context) (map[uint64][][]byte, error)
	Postings(ctx context.Context, fn func(epoch, token uint64, indexes []int64) error) error
	Close() error
}

// OpenStore opens the store of the archive of ours that name names.
func OpenStore(name string) (Store, error) {
	s, err := storesqlite.OpenReader(name)
	if errors.Is(err, store.ErrNone) {
		return nil, problem.New(problem.NoArchive, name, "there is no such archive", "check the name")
	}
	if errors.Is(err, store.ErrChanged) { // which says what to do
		return nil, err
	}
	if err != nil {
		return nil, &problem.Error{Class: problem.Failed, Object: name, What: "this archive does not open: " + err.Error(), Try: "see that the file is whole, and that the files beside it with the endings -wal and -shm were copied with it", Err: err}
	}
	return s, nil
}

// own is one ledger of ours as it is stored.
type own struct {
	Store
	path   string
	head   store.Head
	size   int64 // of what is stored, in bytes
	epochs map[uint64]*epoch

	queries []store.Query       // which records are read, in the order of the ledger
	rooms   map[uint64][]uint64 // by epoch the tokens of rooms, one of which a record must have; nil for any
	found   bool                // not all are read
}

func (a *Archive) openOwn(path string) (*own, error) {
	s, err := OpenStore(path)
	if err != nil {
		return nil, err
	}
	o := &own{Store: s, path: path, size: sizeOf(path), queries: []store.Query{{}}}
	if o.head, err = s.Head(); err == nil {
		o.epochs, err = readEpochs(s, o.head.ID, a.identities)
	}
	if err != nil {
		_ = s.Close()                         // only read
		if errors.Is(err, store.ErrChanged) { // it is not damaged
			return nil, err
		}
		return nil, problem.New(problem.Failed, path, "this archive is damaged: "+err.Error(), "archivolt verify says more; restore it from its backup")
	}
	return o, nil
}

// Describe says what is stored.
func (o *own) Describe() string {
	return fmt.Sprintf("archive %s of archivoltd, SQLite, %d entries in its ledger", o.head.ID, o.head.Size)
}

// Notes has nothing to tell.
func (o *own) Notes() []string { return nil }

// Size is the file's, unless only some records are read.
func (o *own) Size() int64 {
	if o.found {
		return 0
	}
	return o.size
}

// perRecord is about how much of the file a record takes.
func (o *own) perRecord(p *part) int64 {
	if o.found {
		return 0 // nobody knows how much is read
	}
	return o.size / int64(max(1, p.index.len()))
}

func (o *own) survey(s *survey, p *part) error {
	defer s.a.advance(o.Size())
	return o.times(s.pool.ctx, func(_, ms int64) error {
		p.index.add(time.UnixMilli(ms), keyNone)
		return nil
	})
}

// times gives index and time of the records that are read.
func (o *own) times(ctx context.Context, fn func(index, ms int64) error) error {
	if !o.found {
		return o.Times(ctx, fn)
	}
	return o.each(ctx, func(e *store.Entry) error { return fn(e.Index, e.Record.Time) })
}

// each gives the records that are read.
func (o *own) each(ctx context.Context, fn func(*store.Entry) error) error {
	for _, q := range o.queries {
		err := o.Records(ctx, q, func(e *store.Entry) error {
			if q.Tokens != nil && !o.inRooms(e.Record) {
				return nil
			}
			return fn(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inRooms tells whether a record may belong to one of the rooms that are asked
// for.
func (o *own) inRooms(r *ledger.Record) bool {
	if o.rooms == nil {
		return true
	}
	wanted := o.rooms[r.Epoch]
	for token := range slices.Chunk(r.Tokens, ledger.TokenSize) {
		if len(token) == ledger.TokenSize && slices.Contains(wanted, store.TokenNumber([ledger.TokenSize]byte(token))) {
			return true
		}
	}
	return false
}

func (o *own) ordered(s *survey, p *part) error {
	if p.way != fetching {
		return nil
	}
	return o.times(s.pool.ctx, func(index, _ int64) error {
		p.index.places.add(uint64(index))
		return nil
	})
}

// records is a batch of sealed records.
type records struct {
	entries []store.Entry
	headers []ledger.Record
	bytes   []byte
}

// Len returns how many there are.
func (r *records) Len() int { return len(r.entries) }

// Release does nothing: others take care of the memory.
func (r *records) Release() {}

// add keeps a copy of e.
func (r *records) add(e *store.Entry) {
	begin := len(r.bytes)
	r.bytes = append(append(r.bytes, e.Record.Tokens...), e.Sealed...)
	tokens := begin + len(e.Record.Tokens)
	r.headers = append(r.headers, *e.Record)
	r.headers[len(r.headers)-1].Tokens = r.bytes[begin:tokens:tokens]
	c := store.Entry{Index: e.Index}
	if e.Sealed != nil {
		c.Sealed = r.bytes[tokens:len(r.bytes):len(r.bytes)]
	}
	r.entries = append(r.entries, c)
}

func (o *own) scan(ctx context.Context, p *part, bytes int, emit func(*job) bool) error {
	r := &records{bytes: make([]byte, 0, bytes)}
	first := 0
	send := func() error {
		j := jobs.Get().(*job)
		j.part, j.batch = p, r
		for i := range r.entries {
			j.numbers = append(j.numbers, int64(first+i))
		}
		j.bytes = int64(len(r.entries)) * o.perRecord(p)
		first += len(r.entries)
		if !emit(j) {
			return errStopped
		}
		r = &records{bytes: make([]byte, 0, bytes)}
		return nil
	}
	err := o.each(ctx, func(e *store.Entry) error {
		if r.Len() > 0 && (len(r.bytes)+len(e.Sealed)+len(e.Record.Tokens) > bytes || r.Len() == maxRecords) {
			if err := send(); err != nil {
				return err
			}
		}
		r.add(e)
		return nil
	})
	if err == nil && r.Len() > 0 {
		err = send()
	}
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// maxRecords bounds the records of a batch, whatever their size.
const maxRecords = 1024

func (o *own) fetches() bool { return true }

func (o *own) fetch(ctx context.Context, p *part, rows []int, j *job) error {
	r := &records{}
	for _, row := range rows {
		index := int64(p.index.places.at(row))
		before := r.Len()
		err := o.Records(ctx, store.Query{From: index, To: index + 1}, func(e *store.Entry) error {
			r.add(e)
			return nil
		})
		if err != nil {
			return err
		}
		if r.Len() != before+1 {
			return fmt.Errorf("%s: entry %d is not there any more", p.name, index)
		}
		j.numbers = append(j.numbers, int64(row))
	}
	j.batch = r
	j.bytes = int64(len(rows)) * o.perRecord(p)
	return nil
}

func (o *own) open(w *worker, j *job, wanted func(row int) bool) {
	r := j.batch.(*records)
	n := r.Len()
	j.opened, j.rows = slices.Grow(j.opened[:0], n), slices.Grow(j.rows[:0], n)
	for i := range n {
		row := int(j.numbers[i])
		if wanted != nil && !wanted(row) {
			continue
		}
		j.rows = append(j.rows, row)
		j.opened = j.opened[:len(j.opened)+1]
		m := &j.opened[len(j.opened)-1]
		e := r.entries[i]
		e.Record = &r.headers[i]
		w.opener.open(o, &e, m)
		m.Source = j.part.name
	}
}

// sizeOf is how many bytes the files of a store have.
func sizeOf(path string) (n int64) {
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}

// headerOf is what of a record is authenticated with it.
func headerOf(r *ledger.Record) seal.Header {
	return seal.Header{Source: r.Source, Number: r.Number, Time: r.Time, Tokens: r.Tokens}
}

// Ledger is a ledger of an archive of ours, for those who read what it says of
// itself; not while rows are read.
type Ledger struct {
	Name string // as Tables has it
	Store
}

// Ledgers lists the ledgers of an archive of ours; those of Cisco's have none.
func (a *Archive) Ledgers() (list []Ledger) {
	for _, p := range a.parts {
		if o, ours := p.stored.(*own); ours {
			list = append(list, Ledger{p.name, o.Store})
		}
	}
	return list
}
