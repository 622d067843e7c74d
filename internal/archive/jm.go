package archive

import (
	"context"
	"slices"

	"archivolt/internal/cisco"
)

// jm is a table of Cisco's as it is stored.
type jm struct {
	table
	rooms *rooms                     // of its database; nil for a file
	near  map[int64]cisco.Neighbours // of rows that a neighbour may settle, by number
}

func (t *jm) scan(ctx context.Context, p *part, bytes int, emit func(*job) bool) error {
	return t.batches(ctx, p, cisco.ScanOptions{BatchBytes: bytes}, emit)
}

// batches gives the batches of the table as jobs.
func (t *jm) batches(ctx context.Context, p *part, o cisco.ScanOptions, emit func(*job) bool) error {
	return t.Scan(ctx, o, func(b cisco.Batch) bool {
		j := jobs.Get().(*job)
		j.part, j.batch = p, b
		return emit(j)
	})
}

func (t *jm) fetches() bool {
	f, ok := t.table.(fetcher)
	return ok && f.Fetches()
}

func (t *jm) fetch(ctx context.Context, p *part, rows []int, j *job) error {
	places := make([]cisco.Place, 0, len(rows))
	for _, row := range rows {
		places = append(places, p.index.place(row))
		j.numbers = append(j.numbers, int64(row)+1)
	}
	b, err := t.table.(fetcher).Fetch(ctx, places)
	if err == nil {
		j.batch = b
	}
	return err
}

func (t *jm) open(w *worker, j *job, wanted func(row int) bool) {
	stored := j.batch.(cisco.Batch)
	n := stored.Len()
	j.opened, j.rows = slices.Grow(j.opened[:0], n), slices.Grow(j.rows[:0], n)
	for i := range n {
		stored.Row(i, &w.row)
		if len(j.numbers) > 0 {
			w.row.Number = j.numbers[i]
		}
		j.bytes += w.row.Size
		row := int(w.row.Number - 1)
		if wanted != nil && !wanted(row) {
			continue
		}
		j.rows = append(j.rows, row)
		j.opened = j.opened[:len(j.opened)+1]
		m := &j.opened[len(j.opened)-1]
		w.decoder.Decode(&w.row, t.near[w.row.Number], m)
		m.Source = j.part.name
		if m.Room {
			t.rooms.know(m)
		}
	}
}

func (t *jm) survey(s *survey, p *part) error {
	open := 0
	err := s.each(t, p, cisco.ScanOptions{Short: true}, func(w *worker, j *job) {
		stored := j.batch.(cisco.Batch)
		for i := range stored.Len() {
			stored.Row(i, &w.row)
			j.bytes += w.row.Size
			j.seen = append(j.seen, s.look(w, false))
		}
	}, func(j *job) {
		for _, r := range j.seen {
			p.index.add(r.time, r.key)
			s.note(r)
			if r.key == keyOpen {
				open++
			}
		}
	})
	if err != nil || open == 0 {
		return err
	}
	return s.lookAgain(t, p)
}

func (t *jm) ordered(s *survey, p *part) error {
	t.near = s.neighbours(p)
	if p.way != fetching {
		return nil
	}
	return s.locate(t, p)
}
