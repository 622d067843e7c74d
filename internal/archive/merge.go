package archive

import (
	"container/heap"
	"context"
	"slices"

	"archivolt/internal/message"
)

// Rows gives every row to fn in the order of the tables and of the rows in
// them. The message is fn's until it returns; its strings may be kept. An
// error of fn ends the reading and is returned.
func (a *Archive) Rows(ctx context.Context, fn func(*message.Message) error) error {
	if err := a.Survey(ctx); err != nil {
		return err
	}
	a.begin(false)
	pool := a.newPool(ctx)
	defer pool.close()
	for _, p := range a.parts {
		if err := drain(a.feed(pool, p, false, 1), fn); err != nil {
			return err
		}
	}
	return nil
}

// ByTime is Rows in the order of time: by SENT_DATE, rows of equal time in the
// order of the source, rows without a readable date first.
func (a *Archive) ByTime(ctx context.Context, fn func(*message.Message) error) error {
	if err := a.Survey(ctx); err != nil {
		return err
	}
	a.begin(true)
	pool := a.newPool(ctx)
	defer pool.close()
	if len(a.parts) == 1 {
		return drain(a.feed(pool, a.parts[0], true, 1), fn)
	}
	return a.merge(pool, fn)
}

func drain(f *feed, fn func(*message.Message) error) error {
	for {
		m, err := f.row()
		if m == nil || err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
	}
}

// merge gives the rows of several tables to fn in the order of time. A table
// is read only while it has a row whose turn may come, so that a folder of
// daily exports costs no more memory than one file.
func (a *Archive) merge(pool *pool, fn func(*message.Message) error) error {
	var later []*head // tables not begun, the first last
	for i, p := range a.parts {
		if p.index.len() > 0 {
			later = append(later, &head{part: p, position: i, time: p.index.time(p.index.byTime(0))})
		}
	}
	slices.SortFunc(later, func(x, y *head) int { return y.compare(x) })
	var open heads
	for {
		for n := len(later) - 1; n >= 0 && (len(open) == 0 || later[n].compare(open[0]) < 0); n-- {
			h := later[n]
			later = later[:n]
			h.feed = a.feed(pool, h.part, true, a.overlap)
			if more, err := h.advance(); err != nil {
				return err
			} else if more {
				heap.Push(&open, h)
			}
		}
		if len(open) == 0 {
			return pool.ctx.Err()
		}
		first := open[0]
		if err := fn(first.row); err != nil {
			return err
		}
		more, err := first.advance()
		if err != nil {
			return err
		}
		if more {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
}

// head is the row at which a table stands.
type head struct {
	part     *part
	position int // among the tables
	feed     *feed
	row      *message.Message
	time     int64 // of row, in milliseconds
}

// advance goes to the next row and tells whether there is one.
func (h *head) advance() (more bool, err error) {
	h.row, err = h.feed.row()
	if h.row == nil || err != nil {
		return false, err
	}
	h.time = milliseconds(h.row.Time)
	return true, nil
}

func (h *head) compare(o *head) int {
	switch {
	case h.time != o.time:
		if h.time < o.time {
			return -1
		}
		return 1
	default:
		return h.position - o.position
	}
}

// heads is a heap.
type heads []*head

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)        { *h = append(*h, x.(*head)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
