package archive

import (
	"context"
	"slices"
	"time"

	"archivolt/internal/cisco"
	"archivolt/internal/message"
)

// Survey makes the first pass, if it has not been made.
func (a *Archive) Survey(ctx context.Context) error {
	if a.surveyed {
		return nil
	}
	s := &survey{a: a, pool: a.newPool(ctx), numbers: map[string]uint8{"": keyNone}, unsettled: map[string]bool{}}
	defer s.pool.close()
	for i, k := range a.keys {
		if keyFirst+i <= 255 { // rows of further keys settle no others
			s.numbers[k.Fingerprint()] = uint8(keyFirst + i)
		}
	}
	a.begin(false)
	for _, p := range a.parts {
		if err := s.survey(p); err != nil {
			return err
		}
	}
	if len(s.unsettled) > 0 {
		if err := s.settle(); err != nil {
			return err
		}
		a.settled = s.settled
	}
	a.overlap = overlap(a.parts)
	for _, r := range a.rooms {
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	a.surveyed = true
	return nil
}

// survey is the first pass on its way.
type survey struct {
	a         *Archive
	pool      *pool
	numbers   map[string]uint8  // of keys, by fingerprint
	unsettled map[string]bool   // short ciphertexts that stand alone
	settled   map[string]string // of these, the fingerprint of the key
}

// seen is what the survey learns of one row.
type seen struct {
	row   int // its index, where only some rows are looked at
	time  time.Time
	key   uint8
	block string // a body of one block, if it stands alone or is looked for
	by    string // fingerprint of the key that the row's anchor gives to block
}

// maxUnsettled bounds the short ciphertexts that are looked for elsewhere.
const maxUnsettled = 100_000

// each scans the table t of p, lets the workers do work, and gives each job to
// fn.
func (s *survey) each(t *jm, p *part, o cisco.ScanOptions, work func(*worker, *job), fn func(*job)) error {
	o.BatchBytes = ordinaryBatch
	stream := s.pool.start(2*cap(s.pool.todo), work, func(emit func(*job) bool) error { return t.batches(s.pool.ctx, p, o, emit) })
	for {
		j, err := stream.next()
		if j == nil || err != nil {
			return err
		}
		fn(j)
		s.a.advance(j.bytes)
		j.release()
	}
}

func (s *survey) survey(p *part) error {
	p.index = index{}
	if err := p.stored.survey(s, p); err != nil {
		return err
	}
	if !p.index.sorted() {
		p.index.sort()
	}
	p.way, p.most = p.chooseWay()
	return p.stored.ordered(s, p)
}

func (s *survey) note(r seen) {
	if r.block != "" && len(s.unsettled) < maxUnsettled {
		s.unsettled[r.block] = true
	}
}

// look surveys the worker's row: nearly always a glance at the stanza is
// enough. What was cut is left open, unless whole is set.
func (s *survey) look(w *worker, whole bool) (r seen) {
	if t, ok := cisco.ParseSentDate(w.row.Cells[cisco.SentDate]); ok {
		r.time = t
	}
	if plain, fingerprint := w.decoder.Glance(&w.row); plain {
		r.key = keyPlain
		return r
	} else if fingerprint != "" {
		r.key = s.numbers[fingerprint]
		return r
	}
	if w.row.Short && !whole {
		if len(s.a.keys) > 0 { // without keys no row settles another
			r.key = keyOpen
		}
		return r
	}
	var m message.Message
	w.decoder.Decode(&w.row, cisco.Neighbours{}, &m)
	switch m.Status {
	case message.Plain:
		r.key = keyPlain
	case message.OK, message.Damaged:
		r.key = s.numbers[m.Key]
	case message.Unverified:
		r.block = w.decoder.LoneBlock()
	}
	return r
}

// lookAgain reads the table whole for the rows that were left open.
func (s *survey) lookAgain(t *jm, p *part) error {
	return s.each(t, p, cisco.ScanOptions{}, func(w *worker, j *job) {
		stored := j.batch.(cisco.Batch)
		for i := range stored.Len() {
			stored.Row(i, &w.row)
			row := int(w.row.Number - 1)
			if row >= p.index.len() || p.index.key(row) != keyOpen {
				continue
			}
			r := s.look(w, true)
			r.row = row
			j.seen = append(j.seen, r)
		}
	}, func(j *job) {
		for _, r := range j.seen {
			s.note(r)
			p.index.setKey(r.row, r.key)
		}
	})
}

// locate notes where each row of the table lies, for reading them in another
// order.
func (s *survey) locate(t *jm, p *part) error {
	return s.each(t, p, cisco.ScanOptions{Short: true}, func(w *worker, j *job) {
		stored := j.batch.(cisco.Batch)
		for i := range stored.Len() {
			stored.Row(i, &w.row)
			j.places = append(j.places, w.row.Place)
		}
	}, func(j *job) {
		for _, place := range j.places {
			p.index.addPlace(place)
		}
	})
}

// neighbours finds, for each row that is not settled, the keys of the rows
// before and after it in time, if these opened.
func (s *survey) neighbours(p *part) map[int64]cisco.Neighbours {
	name := func(i int) string {
		if i < 0 || i >= p.index.len() {
			return ""
		}
		if k := p.index.key(p.index.byTime(i)); k >= keyFirst {
			return s.a.keys[k-keyFirst].Fingerprint()
		}
		return ""
	}
	near := map[int64]cisco.Neighbours{}
	for i := range p.index.len() {
		row := p.index.byTime(i)
		if p.index.key(row) != keyNone {
			continue
		}
		if n := (cisco.Neighbours{Before: name(i - 1), After: name(i + 1)}); n != (cisco.Neighbours{}) {
			near[int64(row)+1] = n
		}
	}
	return near
}

// settle looks for rows with an anchor that hold the same short ciphertexts.
func (s *survey) settle() error {
	s.settled = map[string]string{}
	s.a.begin(false)
	for _, p := range s.a.parts {
		t, ok := p.stored.(*jm)
		if !ok {
			continue
		}
		err := s.each(t, p, cisco.ScanOptions{}, func(w *worker, j *job) {
			stored := j.batch.(cisco.Batch)
			for i := range stored.Len() {
				stored.Row(i, &w.row)
				j.bytes += w.row.Size
				if block, by := w.decoder.AnchoredBlock(&w.row); by != "" && s.unsettled[block] {
					j.seen = append(j.seen, seen{block: block, by: by})
				}
			}
		}, func(j *job) {
			for _, r := range j.seen {
				s.settled[r.block] = r.by
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// overlap tells how many tables have rows of one time at most, at least 1.
func overlap(parts []*part) int {
	type end struct {
		time int64
		step int
	}
	var ends []end
	for _, p := range parts {
		if n := p.index.len(); n > 0 {
			ends = append(ends, end{p.index.time(p.index.byTime(0)), 1}, end{p.index.time(p.index.byTime(n - 1)), -1})
		}
	}
	slices.SortFunc(ends, func(x, y end) int {
		if x.time != y.time {
			return int(max(-1, min(1, x.time-y.time)))
		}
		return y.step - x.step // one begins before another ends
	})
	most, now := 1, 0
	for _, e := range ends {
		now += e.step
		most = max(most, now)
	}
	return most
}
