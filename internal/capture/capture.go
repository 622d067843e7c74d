// Package capture is the writing side of an archive of ours: it takes copies of
// messages, seals them, keeps them in the spool, acknowledges, and moves them
// into the store, each chained into the ledger.
//
//	copies → seal → spool (durable) → acknowledged → ledger → store → checkpoint → anchors
//
// What is acknowledged survives kill -9 and power cuts, and comes into the
// store once. A record is identified by its source and delivery number, never
// by its content. docs/life-of-a-message.md walks the whole way.
package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/seal"
	"archivolt/internal/spool"
	"archivolt/internal/store"
	"archivolt/internal/xmpp"
)

// Sink is the store as this package needs it. It is used by one goroutine at a
// time.
type Sink interface {
	Head() (store.Head, error)
	TakeOver() (store.Head, error)
	Marks() (map[string]uint64, error)
	// Records is used once, at the start, for those behind the last anchor.
	Records(context.Context, store.Query, func(*store.Entry) error) error
	// Append is atomic. After an error Head tells whether the batch is there.
	Append(*store.Batch) error
	SaveCheckpoint(text []byte) error
	Tile(level int, n int64, width int) ([]byte, error)
	Close() error
}

// Config says how a Service works.
type Config struct {
	StateDir      string // for what must lie apart from the store: the checkpoint key, the last anchor, the spool
	Recipients    *seal.Recipients
	Writer        string // program and version, for the ledger
	Configuration string // hash of the configuration, for the ledger
	Anchors       []Anchor
	Log           *slog.Logger

	EpochAge        time.Duration // after which a new data key is made; 0 for 24 h
	EpochRecords    int           // likewise, with the next delivery; 0 for seal.MaxRecords less what one brings at most
	CheckpointEvery time.Duration // 0 for a minute
	HeartbeatEvery  time.Duration // 0 for an hour
	SpoolBytes      int64         // 0 for spool.DefaultMax
	SegmentBytes    int64         // 0 for spool.DefaultSegment

	step func(string) // tests end the process here
	now  func() time.Time
}

func (c *Config) setDefaults() {
	orDefault := func(d *time.Duration, other time.Duration) {
		if *d == 0 {
			*d = other
		}
	}
	orDefault(&c.EpochAge, 24*time.Hour)
	orDefault(&c.CheckpointEvery, time.Minute)
	orDefault(&c.HeartbeatEvery, time.Hour)
	if c.EpochRecords == 0 {
		c.EpochRecords = seal.MaxRecords - 16*maxCopies
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.step == nil {
		c.step = func(string) {}
	}
	if c.now == nil {
		c.now = time.Now
	}
}

// Steps at which tests end the process.
const (
	stepKeyMade       = "key made"
	stepWrapWritten   = "wrap written"
	stepSpoolAppended = "spool appended"
	stepAcknowledged  = "acknowledged"
	stepBatchMade     = "batch made"
	stepHeadSwapped   = "store committed and head swapped"
	stepCheckpoint    = "checkpoint signed"
	stepAnchored      = "anchored"
)

// Limits of what is done at once.
const (
	maxCopies     = 1000     // appended to the spool together
	maxCopyBytes  = 8 << 20  // likewise, of their stanzas
	maxStoreBytes = 8 << 20  // moved into the store together
	queued        = 256      // deliveries that wait
	maxWaiting    = 64 << 20 // bytes of their stanzas; a single larger delivery is taken alone
)

// Service captures. It implements xmpp.Handler; it may be used from several
// goroutines.
type Service struct {
	cfg   Config
	id    ledger.ID
	lock  io.Closer // of the state folder
	spool *spool.Spool

	deliveries chan delivery
	events     chan sourced
	lost       chan string   // connections that are gone, after their events
	room       chan struct{} // the spool was trimmed
	more       chan struct{} // the spool has more
	draining   chan struct{} // Stop was called
	sealed     chan struct{} // nothing more comes into the spool
	done       chan struct{} // everything has ended
	stopOnce   sync.Once
	delivering sync.RWMutex // read-locked while Deliver waits
	fatal      atomic.Pointer[error]
	budget     *budget
	keepers    []*keeper // of the anchors

	sealer sealer
	storer storer
	counts counters
	found  found
	ledger bool // the archive is of our own format
	locked bool // the keystore is, and nothing goes into the table
}

// found is what the start has found; it does not change afterwards.
type found struct{ disorderly, anchorMissing, otherRecipients bool }

// delivery is what a source has sent together.
type delivery struct {
	connection string
	copies     []xmpp.Copy
	done       func(error)
}

func (d *delivery) bytes() (sum int) {
	for i := range d.copies {
		sum += len(d.copies[i].Stanza)
	}
	return sum
}

var _ xmpp.Handler = (*Service)(nil)

// Start brings an archive of ours up: it looks whether the store is the one
// that was left, finishes what was in the spool, and begins a new epoch. The
// sink is the service's from then on, which closes it, also when it does not
// start.
func Start(cfg Config, sink Sink) (*Service, error) {
	cfg.setDefaults()
	s := newService(cfg)
	s.ledger = true
	return s.start(&chained{s: s, sink: sink})
}

func newService(cfg Config) *Service {
	return &Service{cfg: cfg,
		deliveries: make(chan delivery, queued), events: make(chan sourced, 16), lost: make(chan string, 16), budget: newBudget(maxWaiting),
		room: make(chan struct{}, 1), more: make(chan struct{}, 1),
		draining: make(chan struct{}), sealed: make(chan struct{}), done: make(chan struct{})}
}

func (s *Service) start(to archive) (started *Service, err error) {
	running := false
	var lock io.Closer
	defer func() {
		switch {
		case err == nil:
		case running: // the storer closes what is open
			s.fail(err)
			close(s.sealed)
			<-s.done
		default:
			if s.spool != nil {
				s.spool.Close()
			}
			if lock != nil {
				lock.Close()
			}
			to.close()
		}
	}()
	// The lock comes first: a second daemon must neither make keys beside the
	// one that is running, nor fence it off.
	if lock, err = spool.Lock(s.cfg.StateDir); err != nil {
		return nil, spoolProblem(s.cfg.StateDir, err)
	}
	s.lock = lock
	at, err := to.resume()
	if err != nil {
		return nil, err
	}
	s.id = at.id
	s.spool, err = spool.Open(spoolDir(s.cfg.StateDir), spool.Options{ID: s.id, Max: s.cfg.SpoolBytes, Segment: s.cfg.SegmentBytes, Next: at.spool + 1})
	if err != nil {
		return nil, spoolProblem(s.cfg.StateDir, err)
	}
	if err := s.checkSpool(to, at); err != nil {
		return nil, err
	}
	epoch, err := to.takeOver()
	if err != nil {
		return nil, err
	}
	s.storer = storer{s: s, to: to, reader: s.spool.Reader(at.spool)}
	s.counts.moved.Store(at.spool)
	s.sealer = sealer{s: s, marks: maps.Clone(at.marks), ordinals: map[string]uint64{}, refused: map[string]refusal{}, number: epoch}
	backlog, err := s.sealer.recover(at.spool)
	if err != nil {
		return nil, err
	}
	events := s.started(at, backlog)
	running = true
	for _, a := range s.cfg.Anchors {
		s.keepers = append(s.keepers, newKeeper(a, s))
	}
	go s.storer.run() // which makes room for what follows, if the spool is full
	for _, e := range events {
		if err := s.sealer.append(e.Append(nil, s.id)); err != nil {
			return nil, cmp.Or(s.Err(), err)
		}
	}
	if err := s.sealer.newEpoch(s.cfg.now()); err != nil {
		return nil, cmp.Or(s.Err(), err)
	}
	go s.sealer.run()
	return s, nil
}

// Connected records that a source came up.
func (s *Service) Connected(connection string) {
	s.counts.connected.Add(1)
	s.event(ledger.Connected, connection, connection)
}

// Lost records that a source went away.
func (s *Service) Lost(connection string, err error) {
	s.counts.connected.Add(-1)
	s.event(ledger.Lost, connection, fmt.Sprintf("%s: %v", connection, err))
	select {
	case s.lost <- connection:
	case <-s.sealed:
	}
}

// event puts an event of a connection into the ledger. It waits for its turn,
// not for the disk.
func (s *Service) event(name ledger.Name, connection, detail string) {
	select {
	case s.events <- sourced{ledger.Event{Time: s.cfg.now().UnixMilli(), Name: name, Detail: detail}, ledger.ConnectionPrefix + connection}:
	case <-s.sealed:
	}
}

// ErrStopped says that the service takes nothing more.
var ErrStopped = errors.New("the archive is being closed")

// Deliver takes copies. It waits while too many others do.
func (s *Service) Deliver(connection string, copies []xmpp.Copy, done func(error)) {
	s.delivering.RLock()
	defer s.delivering.RUnlock()
	select {
	case <-s.sealed:
		done(ErrStopped)
		return
	default:
	}
	d := delivery{connection, copies, done}
	if !s.budget.take(d.bytes()) {
		done(ErrStopped)
		return
	}
	select {
	case s.deliveries <- d:
	case <-s.sealed:
		done(ErrStopped)
	}
}

// Done is closed when the service has ended, by Stop or because it had to; Err
// then tells why.
func (s *Service) Done() <-chan struct{} { return s.done }

// Err returns what ended the service, nil if Stop did.
func (s *Service) Err() error {
	if e := s.fatal.Load(); e != nil {
		return *e
	}
	return nil
}

// fail ends the service.
func (s *Service) fail(err error) {
	s.fatal.CompareAndSwap(nil, &err)
	s.stopOnce.Do(func() { close(s.draining) })
}

// Stop takes nothing more, brings what was acknowledged into the store, as far
// as ctx allows, signs the last checkpoint and closes the store. What is left
// in the spool is finished after the next start.
func (s *Service) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.draining) })
	select {
	case <-s.done:
	case <-ctx.Done():
		s.storer.hurry.Store(true)
		<-s.done
	}
	return s.Err()
}

// Left returns, after the end, how many entries the spool holds that are not
// in the store. They are moved after the next start.
func (s *Service) Left() uint64 {
	select {
	case <-s.done:
		return s.queued()
	default:
		return 0
	}
}

// queued is how many entries the spool holds that are not in the store.
func (s *Service) queued() uint64 {
	moved := s.counts.moved.Load() // first: the spool only grows
	return s.spool.Next() - 1 - moved
}

func (s *Service) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

type counters struct {
	connected                                              atomic.Int64
	received, recorded, redelivered, gaps, refused, stored atomic.Uint64
	storeFailures, anchorFailures                          atomic.Uint64
	moved                                                  atomic.Uint64 // number of the last entry of the spool that is stored
	full                                                   atomic.Bool
	oldest                                                 atomic.Int64 // arrival of the oldest that is not stored, ms; 0 if all is
	storeFailing, anchorFailing                            atomic.Bool  // anchorFailing: of state_dir's own
}

// Status is how a service is.
type Status struct {
	Archive     string    `json:"archive"`     // its id
	Connected   int64     `json:"connected"`   // connections that are up
	Received    uint64    `json:"received"`    // copies since the start
	Recorded    uint64    `json:"recorded"`    // of these, durable
	Redelivered uint64    `json:"redelivered"` // of these, dropped: they were durable already
	Gaps        uint64    `json:"gaps"`        // in delivery numbers
	Refused     uint64    `json:"refused"`     // copies that were not taken: the spool was full
	Stored      uint64    `json:"stored"`      // entries moved into the store
	Queued      uint64    `json:"queued"`      // entries in the spool that are not in the store
	SpoolBytes  int64     `json:"spool_bytes"` // on disk
	SpoolMax    int64     `json:"spool_max"`   // that they may be
	SpoolFull   bool      `json:"spool_full"`  // nothing is acknowledged
	StoreDown   bool      `json:"store_down"`  // the store took the last batch not
	StoreFails  uint64    `json:"store_fails"` // attempts at the store that failed
	Locked      bool      `json:"locked"`      // the keystore of Cisco's format: the store gets nothing
	Waiting     float64   `json:"waiting"`     // age of the oldest entry that is not in the store, seconds
	Ledger      bool      `json:"ledger"`      // there is one: the archive has our own format
	Checkpoint  time.Time `json:"checkpoint"`  // time of the last one
	Size        int64     `json:"ledger_size"` // entries it covers

	Anchors        int    `json:"anchors"`         // that get each checkpoint
	AnchorsFailing int64  `json:"anchors_failing"` // that did not take the last one
	AnchorFails    uint64 `json:"anchor_fails"`    // checkpoints that an anchor did not take
	AnchorDown     bool   `json:"anchor_down"`     // the last checkpoint could not be kept in state_dir

	Disorderly      bool `json:"disorderly_end"`   // this run began after an end that was not orderly
	AnchorMissing   bool `json:"missing_anchor"`   // it found no anchor of its own beside an archive that has entries
	OtherRecipients bool `json:"other_recipients"` // it seals for other people than the run before
}

// Status tells how the service is.
func (s *Service) Status() Status {
	c := &s.counts
	used, most := s.spool.Bytes()
	st := Status{Archive: s.id.String(), Connected: c.connected.Load(), Received: c.received.Load(), Recorded: c.recorded.Load(), Redelivered: c.redelivered.Load(),
		Gaps: c.gaps.Load(), Refused: c.refused.Load(), Stored: c.stored.Load(), SpoolBytes: used, SpoolMax: most, SpoolFull: c.full.Load(), StoreDown: c.storeFailing.Load(), Locked: s.locked, Ledger: s.ledger,
		Queued: s.queued(), StoreFails: c.storeFailures.Load(), Anchors: len(s.cfg.Anchors), AnchorsFailing: s.anchorsFailing(), AnchorDown: c.anchorFailing.Load(), AnchorFails: c.anchorFailures.Load(),
		Disorderly: s.found.disorderly, AnchorMissing: s.found.anchorMissing, OtherRecipients: s.found.otherRecipients}
	if ms := c.oldest.Load(); ms > 0 {
		st.Waiting = max(0, s.cfg.now().Sub(time.UnixMilli(ms)).Seconds())
	}
	st.Size, st.Checkpoint = s.storer.to.last()
	return st
}
