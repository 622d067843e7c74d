package archive

import (
	"context"
	"runtime"
	"sync"

	"archivolt/internal/cisco"
	"archivolt/internal/message"
)

// job is a batch of rows on its way through the workers.
type job struct {
	part    *part
	batch   batch
	numbers []int64 // of the rows, where the batch does not know them
	work    func(*worker, *job)
	done    chan struct{}

	bytes  int64             // read for it
	opened []message.Message // what stored.open gives
	rows   []int             // the indexes of these
	seen   []seen            // what a survey gives
	places []cisco.Place     // what locate gives
}

// batch is rows as they are stored.
type batch interface {
	Len() int
	Release()
}

// jobs holds those that are done: their messages are some 200 kB each.
var jobs = sync.Pool{New: func() any { return new(job) }}

// release gives the job's memory back.
func (j *job) release() {
	if j.batch != nil {
		j.batch.Release()
	}
	*j = job{numbers: j.numbers[:0], opened: j.opened[:0], rows: j.rows[:0], seen: j.seen[:0], places: j.places[:0]}
	jobs.Put(j)
}

// worker is what one goroutine opens rows with.
type worker struct {
	decoder *cisco.Decoder
	row     cisco.Row
	opener  opener // of ours
}

// pool is the workers of one reading, one for each processor, however many
// tables are read.
type pool struct {
	ctx    context.Context
	cancel context.CancelFunc
	todo   chan *job
	wg     sync.WaitGroup // of the workers
	feeds  sync.WaitGroup // of the streams
}

func (a *Archive) newPool(ctx context.Context) *pool {
	n := max(1, runtime.GOMAXPROCS(0))
	p := &pool{todo: make(chan *job, 2*n)}
	p.ctx, p.cancel = context.WithCancel(ctx)
	for range n {
		p.wg.Go(func() {
			w := &worker{decoder: a.decoder()}
			for j := range p.todo {
				if p.ctx.Err() == nil {
					j.work(w, j)
				}
				close(j.done)
			}
		})
	}
	return p
}

// close ends all streams and workers and waits for them.
func (p *pool) close() {
	p.cancel()
	p.feeds.Wait()
	close(p.todo)
	p.wg.Wait()
}

// stream is jobs in order: read from one table, worked on by the pool. Memory
// is bounded by how many are under way.
type stream struct {
	pool    *pool
	ordered chan *job
	failed  error // of the reading; valid when ordered is closed
}

// start reads with produce and lets the workers do work; at most depth jobs are
// under way beside those in work.
func (p *pool) start(depth int, work func(*worker, *job), produce func(emit func(*job) bool) error) *stream {
	s := &stream{pool: p, ordered: make(chan *job, depth)}
	p.feeds.Go(func() {
		defer close(s.ordered)
		s.failed = produce(func(j *job) bool {
			j.work, j.done = work, make(chan struct{})
			select {
			case s.ordered <- j:
			case <-p.ctx.Done():
				j.release()
				return false
			}
			select {
			case p.todo <- j:
				return true
			case <-p.ctx.Done():
				close(j.done)
				return false
			}
		})
	})
	return s
}

// next returns the next job when it is done, and nil at the end. The caller
// releases it.
func (s *stream) next() (*job, error) {
	j, ok := <-s.ordered
	if !ok {
		if s.failed == nil {
			s.failed = s.pool.ctx.Err() // then the end may be no end
		}
		return nil, s.failed
	}
	<-j.done
	if err := s.pool.ctx.Err(); err != nil {
		return nil, err
	}
	return j, nil
}
