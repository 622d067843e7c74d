package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"archivolt/internal/archive"
	"archivolt/internal/message"
	"archivolt/internal/problem"
	"archivolt/internal/proof"
	"archivolt/internal/review"
)

// tally counts the rows of each key on their way.
type tally struct {
	*archive.Archive
	keys map[string]int64 // by fingerprint
}

// ByTime is the archive's.
func (t *tally) ByTime(ctx context.Context, fn func(*message.Message) error) error {
	return t.Archive.ByTime(ctx, t.counting(fn))
}

// Rows is the archive's.
func (t *tally) Rows(ctx context.Context, fn func(*message.Message) error) error {
	return t.Archive.Rows(ctx, t.counting(fn))
}

func (t *tally) counting(fn func(*message.Message) error) func(*message.Message) error {
	return func(m *message.Message) error {
		if m.Key != "" {
			t.keys[m.Key]++
		}
		return fn(m)
	}
}

// manifest says what this export is, but for its files and records.
func (c *exportCmd) manifest(t *tally, r *review.Account) proof.Manifest {
	m := proof.Manifest{
		Tool: proof.Tool{Name: "archivolt", Version: versionText()},
		AsOf: c.asOf, Case: c.Case, Reason: c.Reason, Operator: c.Operator,
		Filter: proof.Filter{Users: c.User, With: c.With, Rooms: c.Room, Since: given(c.Since), Until: given(c.Until),
			Words: c.words, Fast: c.looked, Rows: c.Rows},
		TimeZone: c.zone.String(),
		Counts: proof.Counts{Undated: r.Undated, Rows: proof.ByStatus{OK: r.Status[message.OK], Plain: r.Status[message.Plain],
			Unverified: r.Status[message.Unverified], Damaged: r.Status[message.Damaged], NoKey: r.Status[message.NoKey]}},
	}
	if !c.Rows {
		n := r.Counts
		m.Counts.Messages, m.Counts.Unreadable, m.Counts.Copies = &n.Utterances, &n.Unread, &n.Copies
		m.Counts.Replays, m.Counts.Signals, m.Counts.Errors = &n.Replays, &n.Signals, &n.Errors
	}
	for _, table := range t.Tables() {
		m.Archives = append(m.Archives, proof.Archive{Name: table.Name, Description: table.Description, Rows: table.Rows})
	}
	for _, fingerprint := range slices.Sorted(maps.Keys(t.keys)) {
		m.Keys = append(m.Keys, proof.Key{Fingerprint: fingerprint, Rows: t.keys[fingerprint]})
	}
	return m
}

// given is the text of a flag, nil if it was left out.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// parseAsOf reads --as-of.
func parseAsOf(text string, zone *time.Location) (*time.Time, error) {
	t, _, err := parseTime("--as-of", text, zone)
	if err != nil || text == "" {
		return nil, err
	}
	if t = t.UTC(); t.Nanosecond() != 0 || t.Year() < 1 || t.Year() > 9999 {
		return nil, problem.New(problem.Usage, "--as-of", "this time is not one of whole seconds", "write it as 2024-01-31 08:00:00")
	}
	return &t, nil
}
