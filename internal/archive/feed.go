package archive

import (
	"context"
	"fmt"
	"slices"

	"archivolt/internal/cisco"
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
	size := max(p.table.Size()/int64(max(1, p.index.len())), leastRow)
	f, ok := p.table.(fetcher)
	fetches := ok && f.Fetches()
	displaced := p.index.displaced()
	switch {
	case displaced == 0:
		return straight, 0
	case int64(displaced)*size <= waitingBudget:
		return waiting, displaced
	case fetches:
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
		f.stream = pool.start(f.depth, (*worker).decode, f.fetch)
	case byTime && p.way == ranges:
		f.nextRange()
	default:
		if byTime && p.way == waiting {
			f.waiting, f.until = map[uint32]*message.Message{}, p.index.len()
		}
		f.stream = pool.start(f.depth, (*worker).decode, p.scan(pool.ctx, cisco.ScanOptions{BatchBytes: f.batch}))
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
		w.decodeSome(j, func(number int64) bool {
			row := int(number - 1)
			return row < p.index.len() && !p.index.before(row, first) && !p.index.before(last, row)
		})
	}, p.scan(f.pool.ctx, cisco.ScanOptions{BatchBytes: f.batch}))
}

// scan gives the batches of the table as jobs.
func (p *part) scan(ctx context.Context, o cisco.ScanOptions) func(emit func(*job) bool) error {
	return func(emit func(*job) bool) error {
		return p.table.Scan(ctx, o, func(b cisco.Batch) bool {
			j := jobs.Get().(*job)
			j.part, j.batch = p, b
			return emit(j)
		})
	}
}

// fetch gives the rows in the order of time as jobs.
func (f *feed) fetch(emit func(*job) bool) error {
	p := f.part
	rows := min(fetchRows, max(1, f.batch*int(p.index.len())/int(max(1, p.table.Size()))))
	places := make([]cisco.Place, 0, rows)
	for i := 0; i < p.index.len(); {
		j := jobs.Get().(*job)
		j.part = p
		places = places[:0]
		for ; i < p.index.len() && len(places) < rows; i++ {
			row := p.index.byTime(i)
			places = append(places, p.index.place(row))
			j.numbers = append(j.numbers, int64(row)+1)
		}
		var err error
		if j.batch, err = p.table.(fetcher).Fetch(f.pool.ctx, places); err != nil {
			return err
		}
		if !emit(j) {
			return nil
		}
	}
	return nil
}

// decode opens the rows of a job.
func (w *worker) decode(j *job) { w.decodeSome(j, nil) }

// decodeSome opens those rows of a job that are wanted.
func (w *worker) decodeSome(j *job, wanted func(number int64) bool) {
	n := j.batch.Len()
	j.decoded = slices.Grow(j.decoded[:0], n)
	for i := range n {
		j.batch.Row(i, &w.row)
		if len(j.numbers) > 0 {
			w.row.Number = j.numbers[i]
		}
		j.bytes += w.row.Size
		if wanted != nil && !wanted(w.row.Number) {
			continue
		}
		j.decoded = j.decoded[:len(j.decoded)+1]
		m := &j.decoded[len(j.decoded)-1]
		w.decoder.Decode(&w.row, j.part.near[w.row.Number], m)
		m.Source = j.part.name
		if m.Room {
			j.part.rooms.know(m)
		}
	}
}

// row returns the next row, valid until the next call, and nil at the end.
func (f *feed) row() (*message.Message, error) {
	if f.waiting == nil {
		return f.inOrder()
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
		m, err := f.inOrder()
		switch {
		case err != nil:
			return nil, err
		case m == nil:
			return nil, f.changed()
		case uint32(m.Row-1) == turn:
			f.next++
			return m, nil
		}
		early := *m
		f.waiting[uint32(m.Row-1)] = &early
	}
}

// finish reads what follows the last row that is wanted.
func (f *feed) finish() error {
	for {
		if m, err := f.inOrder(); m == nil || err != nil {
			return err
		}
	}
}

// inOrder returns the next row of the stream, and nil at its end.
func (f *feed) inOrder() (*message.Message, error) {
	for f.job == nil || f.at == len(f.job.decoded) {
		if f.job != nil {
			f.job.release()
			f.job = nil
		}
		j, err := f.stream.next()
		if err != nil {
			return nil, err
		}
		if j == nil {
			if f.read != f.part.index.len() {
				return nil, f.changed()
			}
			return nil, nil
		}
		f.job, f.at = j, 0
		f.read += j.batch.Len()
		f.a.advance(j.bytes)
	}
	f.at++
	return &f.job.decoded[f.at-1], nil
}

func (f *feed) changed() error {
	return problem.New(problem.Failed, f.part.name,
		fmt.Sprintf("the archive changed while it was read: it had %d rows and then %d", f.part.index.len(), f.read), "run the command again when nobody writes to it")
}
