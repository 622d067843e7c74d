package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/csvfile"
	"archivolt/internal/message"
	"archivolt/internal/problem"
)

// jobRows is how many rows are decoded at a time.
const jobRows = 256

// job is a run of rows on its way through the workers.
type job struct {
	part    *part
	batch   *csvfile.Batch // owns the records, or nil
	records []csvfile.Record
	buffers [][]byte // that own the records where there is no batch
	numbers []int64  // of the records
	bytes   int64
	decoded []message.Message // what a pass gives
	seen    []seen            // what a survey gives
	done    chan struct{}
}

// free holds jobs that are done: their messages are some 200 kB.
var free = sync.Pool{New: func() any { return new(job) }}

func newJob(p *part) *job {
	j := free.Get().(*job)
	*j = job{part: p, buffers: j.buffers, numbers: j.numbers[:0], decoded: j.decoded[:0], seen: j.seen[:0]}
	return j
}

// worker is what one goroutine decodes with.
type worker struct {
	decoder *cisco.Decoder
	row     cisco.Row
}

// run reads jobs from produce, lets the workers do work on each, and hands
// them to consume in order. Memory is bounded by the number of jobs under way.
func (a *Archive) run(ctx context.Context, produce func(emit func(*job) bool) error, work func(*worker, *job), consume func(*job) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := max(1, runtime.GOMAXPROCS(0))
	todo, ordered := make(chan *job, 2*n), make(chan *job, 2*n)

	var failed error // of produce; read after ordered was closed
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(ordered)
		defer close(todo)
		failed = produce(func(j *job) bool {
			j.done = make(chan struct{})
			select {
			case ordered <- j:
			case <-ctx.Done():
				return false
			}
			select {
			case todo <- j:
				return true
			case <-ctx.Done():
				close(j.done)
				return false
			}
		})
	})
	for range n {
		wg.Go(func() {
			w := &worker{decoder: a.decoder()}
			for j := range todo {
				if ctx.Err() == nil {
					work(w, j)
				}
				close(j.done)
			}
		})
	}
	var err error
	for j := range ordered {
		<-j.done
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = consume(j)
		}
		if err != nil {
			cancel()
		}
		if j.batch != nil {
			j.batch.Release()
		}
		free.Put(j)
	}
	wg.Wait()
	return errors.Join(err, failed)
}

// produce reads the whole file in order.
func (p *part) produce(emit func(*job) bool) error {
	scan := p.file.Scan()
	for {
		batch, err := scan.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		j := newJob(p)
		j.batch, j.records = batch, batch.Records
		for i := range batch.Records {
			j.numbers = append(j.numbers, batch.First+int64(i))
			j.bytes += int64(batch.Records[i].Length)
		}
		if !emit(j) {
			return nil
		}
	}
}

// produceByTime reads the rows of the file in the order of time.
func (p *part) produceByTime(emit func(*job) bool) error {
	if p.index.order == nil {
		return p.produce(emit)
	}
	for i := 0; i < p.index.len(); {
		j := newJob(p)
		for ; i < p.index.len() && len(j.records) < jobRows; i++ {
			row := p.index.byTime(i)
			offset, length := p.index.place(row)
			n := len(j.records)
			if n == len(j.buffers) {
				j.buffers = append(j.buffers, nil)
			}
			record, buffer, err := p.file.ReadRecord(offset, length, j.buffers[n])
			if err != nil {
				return err
			}
			j.buffers[n] = buffer
			j.records = append(j.records, record)
			j.numbers = append(j.numbers, int64(row)+1)
			j.bytes += int64(length)
		}
		if !emit(j) {
			return nil
		}
	}
	return nil
}

// decode opens the rows of a job.
func (w *worker) decode(j *job) {
	j.decoded = slices.Grow(j.decoded[:0], len(j.records))[:len(j.records)]
	for i := range j.records {
		j.part.file.Row(&j.records[i], j.numbers[i], &w.row)
		w.decoder.Decode(&w.row, j.part.near[j.numbers[i]], &j.decoded[i])
		j.decoded[i].Source = j.part.name
	}
}

// pass gives the rows of one file to fn.
func (a *Archive) pass(ctx context.Context, p *part, byTime bool, fn func(*message.Message) error) error {
	produce := p.produce
	if byTime {
		produce = p.produceByTime
	}
	rows := 0
	err := a.run(ctx, produce, (*worker).decode, func(j *job) error {
		for i := range j.decoded {
			if err := fn(&j.decoded[i]); err != nil {
				return err
			}
		}
		rows += len(j.decoded)
		a.advance(j.bytes)
		return nil
	})
	if err == nil && rows != p.index.len() {
		err = problem.New(problem.Failed, p.name,
			fmt.Sprintf("the file changed while it was read: it had %d rows and then %d", p.index.len(), rows), "run the command again when nobody writes to it")
	}
	return err
}

// merge gives the rows of several files to fn in the order of time.
func (a *Archive) merge(ctx context.Context, fn func(*message.Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams := make([]*stream, len(a.parts))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before waiting
	for i, p := range a.parts {
		s := &stream{ch: make(chan message.Message, jobRows)}
		streams[i] = s
		wg.Go(func() {
			defer close(s.ch)
			s.err = a.pass(ctx, p, true, func(m *message.Message) error {
				select {
				case s.ch <- *m:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	for _, s := range streams {
		if err := s.next(); err != nil {
			return err
		}
	}
	for {
		var first *stream
		for _, s := range streams { // files are few
			if s.open && (first == nil || s.head.Time.Before(first.head.Time)) {
				first = s
			}
		}
		if first == nil {
			return ctx.Err()
		}
		if err := fn(&first.head); err != nil {
			return err
		}
		if err := first.next(); err != nil {
			return err
		}
	}
}

// stream is one file's rows in the order of time.
type stream struct {
	ch   chan message.Message
	head message.Message
	open bool
	err  error // valid when ch is closed
}

func (s *stream) next() error {
	s.head, s.open = <-s.ch
	if !s.open {
		return s.err
	}
	return nil
}
