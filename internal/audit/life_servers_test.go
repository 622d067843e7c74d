package audit

import (
	"slices"
	"testing"
	"time"

	"archivolt/internal/ledger"
)

// TestOneServerAway: of two servers one does not come back after a start, while
// the other one does; nothing of it was captured until it came.
func TestOneServerAway(t *testing.T) {
	var events []ledger.Event
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 8, minute, 0, 0, time.UTC) }
	for _, e := range []struct {
		minute int
		name   ledger.Name
		detail string
	}{
		{0, ledger.Started, ""}, {0, ledger.Configuration, "one"}, {0, ledger.Connected, "h:1/a/X1"}, {0, ledger.Connected, "h:1/b/X2"},
		{10, ledger.Lost, "h:1/a/X1: stop"}, {10, ledger.Lost, "h:1/b/X2: stop"}, {10, ledger.Stopped, ""},
		{11, ledger.Started, ""}, {11, ledger.Configuration, "one"}, {11, ledger.Connected, "h:1/a/X3"}, {41, ledger.Connected, "h:1/b/X4"},
		{42, ledger.Heartbeat, ""}, // then killed
		{45, ledger.Started, ""}, {45, ledger.Configuration, "one"}, {45, ledger.Connected, "h:1/b/X5"}, {50, ledger.Stopped, ""},
		{51, ledger.Started, ""}, {51, ledger.Configuration, "two"}, {51, ledger.Connected, "h:1/b/X6"}, {59, ledger.Heartbeat, ""}, // who knows whether a is in it
	} {
		events = append(events, ledger.Event{Time: at(e.minute).UnixMilli(), Name: e.name, Detail: e.detail})
	}
	const away = " was not connected since the start"
	want := []Period{{at(11), at(41), "h:1/b" + away}, {at(45), at(50), "h:1/a" + away}}
	got := slices.DeleteFunc(LifeOf(events).Lost, func(p Period) bool { return p.From.Equal(p.To) }) // by the stop itself
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
}

// TestManyLosses: a connection that came and went all the time does not keep
// check busy for hours.
func TestManyLosses(t *testing.T) {
	const n = 300_000
	events := []ledger.Event{{Time: 1, Name: ledger.Started}}
	for i := range int64(n) {
		events = append(events, ledger.Event{Time: 2 * i, Name: ledger.Connected, Detail: "h:1/a/X"}, ledger.Event{Time: 2*i + 1, Name: ledger.Lost, Detail: "h:1/a/X: gone"})
	}
	done := make(chan *Life, 1)
	go func() { done <- LifeOf(events) }()
	select {
	case l := <-done:
		if len(l.Lost) != n || !l.Lost[n-1].To.IsZero() || l.Lost[n-2].To.IsZero() {
			t.Errorf("%d losses", len(l.Lost))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not in ten seconds")
	}
}
