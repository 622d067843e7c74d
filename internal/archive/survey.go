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
	a.begin()
	unsettled := map[string]bool{} // short ciphertexts that stand alone
	for _, p := range a.parts {
		if err := a.survey(ctx, p, unsettled); err != nil {
			return err
		}
	}
	if len(unsettled) > 0 {
		if err := a.settle(ctx, unsettled); err != nil {
			return err
		}
	}
	a.surveyed = true
	return nil
}

// seen is what the survey learns of one row.
type seen struct {
	time  time.Time
	key   uint8
	block string // a body of one block, if it stands alone or is looked for
	by    string // fingerprint of the key that the row's anchor gives to block
}

// maxUnsettled bounds the short ciphertexts that are looked for elsewhere.
const maxUnsettled = 100_000

func (a *Archive) survey(ctx context.Context, p *part, unsettled map[string]bool) error {
	numbers := map[string]uint8{"": keyNone}
	for i, k := range a.keys {
		numbers[k.Fingerprint()] = uint8(min(keyFirst+i, 255))
	}
	p.index = index{}
	work := func(w *worker, j *job) {
		j.seen = slices.Grow(j.seen[:0], len(j.records))[:len(j.records)]
		for i := range j.records {
			p.file.Row(&j.records[i], j.numbers[i], &w.row)
			j.seen[i] = w.look(numbers)
		}
	}
	err := a.run(ctx, p.produce, work, func(j *job) error {
		for _, s := range j.seen {
			if s.block != "" && len(unsettled) < maxUnsettled {
				unsettled[s.block] = true
			}
			p.index.add(s.time, s.key)
		}
		a.advance(j.bytes)
		return nil
	})
	if err != nil {
		return err
	}
	if !p.index.sorted() {
		if err := a.locate(ctx, p); err != nil {
			return err
		}
		p.index.sort()
	}
	p.near = a.neighbours(p)
	return nil
}

// locate notes where each row of the file lies, for reading them in another
// order.
func (a *Archive) locate(ctx context.Context, p *part) error {
	return a.run(ctx, p.produce, func(*worker, *job) {}, func(j *job) error {
		for i := range j.records {
			p.index.addPlace(j.records[i].Offset, j.records[i].Length)
		}
		return nil
	})
}

// look surveys the worker's row: nearly always a glance at the stanza is
// enough.
func (w *worker) look(numbers map[string]uint8) (s seen) {
	if t, ok := cisco.ParseSentDate(w.row.Cells[cisco.SentDate]); ok {
		s.time = t
	}
	if plain, fingerprint := w.decoder.Glance(&w.row); plain {
		s.key = keyPlain
		return s
	} else if fingerprint != "" {
		s.key = numbers[fingerprint]
		return s
	}
	var m message.Message
	w.decoder.Decode(&w.row, cisco.Neighbours{}, &m)
	switch m.Status {
	case message.Plain:
		s.key = keyPlain
	case message.OK, message.Damaged:
		s.key = numbers[m.Key]
	case message.Unverified:
		s.block = w.decoder.LoneBlock()
	}
	return s
}

// neighbours finds, for each row that is not settled, the keys of the rows
// before and after it in time, if these opened.
func (a *Archive) neighbours(p *part) map[int64]cisco.Neighbours {
	name := func(i int) string {
		if i < 0 || i >= p.index.len() {
			return ""
		}
		if k := p.index.key(p.index.byTime(i)); k >= keyFirst {
			return a.keys[k-keyFirst].Fingerprint()
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
func (a *Archive) settle(ctx context.Context, unsettled map[string]bool) error {
	a.settled = map[string]string{}
	a.begin()
	for _, p := range a.parts {
		work := func(w *worker, j *job) {
			for i := range j.records {
				p.file.Row(&j.records[i], j.numbers[i], &w.row)
				if block, by := w.decoder.AnchoredBlock(&w.row); by != "" && unsettled[block] {
					j.seen = append(j.seen, seen{block: block, by: by})
				}
			}
		}
		err := a.run(ctx, p.produce, work, func(j *job) error {
			for _, s := range j.seen {
				a.settled[s.block] = s.by
			}
			a.advance(j.bytes)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
