package review

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// Report is what check finds in an archive.
type Report struct {
	Account
	First, Last time.Time // of the rows that have a date
	NoDate      int64     // rows whose date cannot be read
	In, Out     int64     // rows by direction
	Keys        []Epoch   // by first use
	Days        []Day     // that have rows, in order
	Gaps        []Gap     // longest first
	Reasons     []Reason  // why rows could not be read or are not certain, most frequent first
	Further     int64     // rows with a reason that is not listed: there are too many
	EndToEnd    int64     // rows whose text was encrypted by the clients
}

// Epoch is the use of one key.
type Epoch struct {
	Fingerprint string
	Rows        int64
	First, Last time.Time // of the rows that have a date
}

// Day counts the rows of one day in UTC.
type Day struct {
	Date  time.Time
	Plain int64
	NoKey int64            // and damaged ones of unknown key
	Keys  map[string]int64 // by fingerprint, damaged rows too
}

// Gap is a time without rows.
type Gap struct{ From, To time.Time }

// Reason is a reason that rows have in common.
type Reason struct {
	Status  message.Status
	Text    string
	Rows    int64
	Example string // the first row that has it
}

// What is worth reporting, and how much of it.
const (
	minGap     = 72 * time.Hour // longer than a weekend
	maxGaps    = 10
	maxReasons = 1000
)

// Check reads the whole archive. place names a row.
func Check(ctx context.Context, src Source, place func(*message.Message) string) (*Report, error) {
	r := &Report{}
	keys := map[string]*Epoch{}
	days := map[int64]*Day{}
	reasons := map[Reason]*Reason{}
	var last time.Time
	c := transcript.New(func(*transcript.Utterance) {})
	err := src.ByTime(ctx, func(m *message.Message) error {
		r.Account.Add(m)
		c.Add(m)
		switch {
		case m.Table != "": // TC_MSGARCHIVE has none, and AFT_LOG another one
		case m.Direction == message.In:
			r.In++
		case m.Direction == message.Out:
			r.Out++
		}
		if m.Encrypted != "" {
			r.EndToEnd++
		}
		if m.Reason != "" {
			k := Reason{Status: m.Status, Text: m.Reason}
			if m.Encrypted != "" { // the method's name is the sender's to choose
				k.Text = strings.Replace(k.Text, " ("+m.Encrypted+")", "", 1)
			}
			if e := reasons[k]; e != nil {
				e.Rows++
			} else if len(reasons) < maxReasons {
				reasons[k] = &Reason{Status: m.Status, Text: k.Text, Rows: 1, Example: place(m)}
			} else {
				r.Further++
			}
		}
		if m.Key != "" {
			e := keys[m.Key]
			if e == nil {
				e = &Epoch{Fingerprint: m.Key}
				keys[m.Key] = e
			}
			e.Rows++
			span(&e.First, &e.Last, m.Time)
		}
		if m.Time.IsZero() {
			r.NoDate++
			return nil
		}
		if r.First.IsZero() {
			r.First = m.Time
		} else if m.Time.Sub(last) > minGap {
			r.Gaps = append(r.Gaps, Gap{From: last, To: m.Time})
		}
		last, r.Last = m.Time, m.Time
		date := m.Time.Truncate(24 * time.Hour) // of UTC, also before 1970
		d := days[date.Unix()]
		if d == nil {
			d = &Day{Date: date, Keys: map[string]int64{}}
			days[date.Unix()] = d
			r.Days = append(r.Days, *d)
		}
		switch {
		case m.Key != "":
			d.Keys[m.Key]++
		case m.Status == message.Plain:
			d.Plain++
		default:
			d.NoKey++
		}
		return nil
	})
	c.Flush()
	r.Account.Counts = c.Counts
	for i, d := range r.Days {
		r.Days[i] = *days[d.Date.Unix()]
	}
	for _, e := range keys {
		r.Keys = append(r.Keys, *e)
	}
	slices.SortFunc(r.Keys, func(a, b Epoch) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	slices.SortFunc(r.Gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(b.To.Sub(b.From), a.To.Sub(a.From)), a.From.Compare(b.From))
	})
	r.Gaps = r.Gaps[:min(len(r.Gaps), maxGaps)]
	for _, e := range reasons {
		r.Reasons = append(r.Reasons, *e)
	}
	slices.SortFunc(r.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Text, b.Text))
	})
	return r, err
}
