package archive

import (
	"fmt"

	"archivolt/internal/message"
	"archivolt/internal/problem"
)

// Bounds of memory, in bytes of rows as their table stores them; opened they
// take about twice as much.
const (
	bufferBudget  = 8 << 20  // rows on their way through the workers
	waitingBudget = 8 << 20  // rows that wait for their turn in time
	scanBudget    = 64 << 20 // the same in a table that can only be read from its beginning
	ordinaryBatch = 128 << 10
	smallestBatch = 16 << 10
)

// leastRow is what a row is thought to take at least, in bytes.
const leastRow = 1 << 10

// fetchRows is how many rows are fetched at a time.
const fetchRows = 256

// way is how a table is read in the order of time.
type way int

const (
	straight way = iota // it is in that order
	waiting             // nearly: rows that come early wait
	fetching            // each row is looked up
	ranges              // it is read several times, each time for the rows of one range of time
)

// chooseWay finds out how p is read in the order of time. most is how many
// rows may wait.
func (p *part) chooseWay() (w way, most int) {
	size := max(p.stored.Size()/int64(max(1, p.index.len())), leastRow)
	displaced := p.index.displaced()
	switch {
	case displaced == 0:
		return straight, 0
	case int64(displaced)*size <= waitingBudget:
		return waiting, displaced
	case p.stored.fetches():
		return fetching, 0
	}
	return ranges, int(max(1, scanBudget/size))
}

// feed is the rows of one table, one after the other.
type feed struct {
	a     *Archive
	part  *part
	pool  *pool
	batch int // bytes of text in a batch
	depth int // batches under way

	stream *stream
	job    *job
	at     int // in the job
	read   int // rows that the stream gave, those passed over too

	byTime  bool
	from    int // of the rows in the order of time: those of this scan
	until   int
	next    int                         // the one whose turn it is
	waiting map[uint32]*message.Message // rows read before their turn
}

// feed starts reading p. among is how many tables are read at a time.
func (a *Archive) feed(pool *pool, p *part, byTime bool, among int) *feed {
	share := bufferBudget / (4 * among)
	f := &feed{a: a, part: p, pool: pool, byTime: byTime, batch: min(ordinaryBatch, max(smallestBatch, share)), depth: 2 * cap(pool.todo)}
	if among > 1 {
		f.depth = 2
	}
	switch {
	case byTime && p.way == fetching:
		f.stream = pool.start(f.depth, (*worker).open, f.fetch)
	case byTime && p.way == ranges:
		f.nextRange()
	default:
		if byTime && p.way == waiting {
			f.waiting, f.until = map[uint32]*message.Message{}, p.index.len()
		}
		f.stream = pool.start(f.depth, (*worker).open, f.scan)
	}
	return f
}

// nextRange starts the scan for the next range of time.
func (f *feed) nextRange() {
	p := f.part
	f.from, f.next, f.until = f.until, f.until, min(f.until+p.most, p.index.len())
	f.waiting, f.read = map[uint32]*message.Message{}, 0
	first, last := p.index.byTime(f.from), p.index.byTime(f.until-1)
	f.stream = f.pool.start(f.depth, func(w *worker, j *job) {
		p.stored.open(w, j, func(row int) bool {
			return row < p.index.len() && !p.index.before(row, first) && !p.index.before(last, row)
		})
	}, f.scan)
}

// open opens the rows of a job.
func (w *worker) open(j *job) { j.part.stored.open(w, j, nil) }

// scan gives all rows as jobs.
func (f *feed) scan(emit func(*job) bool) error {
	return f.part.stored.scan(f.pool.ctx, f.part, f.batch, emit)
}

// fetch gives the rows in the order of time as jobs.
func (f *feed) fetch(emit func(*job) bool) error {
	p := f.part
	most := min(fetchRows, max(1, f.batch*int(p.index.len())/int(max(1, p.stored.Size()))))
	rows := make([]int, 0, most)
	for i := 0; i < p.index.len(); {
		j := jobs.Get().(*job)
		j.part = p
		rows = rows[:0]
		for ; i < p.index.len() && len(rows) < most; i++ {
			rows = append(rows, p.index.byTime(i))
		}
		if err := p.stored.fetch(f.pool.ctx, p, rows, j); err != nil {
			return err
		}
		if !emit(j) {
			return nil
		}
	}
	return nil
}

// row returns the next row, valid until the next call, and nil at the end.
func (f *feed) row() (*message.Message, error) {
	if f.waiting == nil {
		m, _, err := f.inOrder()
		return m, err
	}
	for {
		if f.next == f.until {
			if err := f.finish(); err != nil || f.until == f.part.index.len() {
				return nil, err
			}
			f.nextRange()
		}
		turn := uint32(f.part.index.byTime(f.next))
		if m, ok := f.waiting[turn]; ok {
			delete(f.waiting, turn)
			f.next++
			return m, nil
		}
		m, row, err := f.inOrder()
		switch {
		case err != nil:
			return nil, err
		case m == nil:
			return nil, f.changed()
		case uint32(row) == turn:
			f.next++
			return m, nil
		}
		early := *m
		f.waiting[uint32(row)] = &early
	}
}

// finish reads what follows the last row that is wanted.
func (f *feed) finish() error {
	for {
		if m, _, err := f.inOrder(); m == nil || err != nil {
			return err
		}
	}
}

// inOrder returns the next row of the stream with its index, and nil at its end.
func (f *feed) inOrder() (m *message.Message, row int, err error) {
	for f.job == nil || f.at == len(f.job.opened) {
		if f.job != nil {
			f.job.release()
			f.job = nil
		}
		j, err := f.stream.next()
		if err != nil {
			return nil, 0, err
		}
		if j == nil {
			if f.read != f.part.index.len() {
				return nil, 0, f.changed()
			}
			return nil, 0, nil
		}
		f.job, f.at = j, 0
		f.read += j.batch.Len()
		f.a.advance(j.bytes)
	}
	f.at++
	return &f.job.opened[f.at-1], f.job.rows[f.at-1], nil
}

func (f *feed) changed() error {
	return problem.New(problem.Failed, f.part.name,
		fmt.Sprintf("the archive changed while it was read: it had %d rows and then %d", f.part.index.len(), f.read), "run the command again when nobody writes to it")
}
