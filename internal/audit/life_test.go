package audit

import (
	"context"
	"slices"
	"testing"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/store"
)

// told is a store of events.
type told struct {
	Store
	events []ledger.Event
}

func (s *told) Head() (store.Head, error) { return store.Head{Size: int64(len(s.events))}, nil }

func (s *told) Checkpoint() ([]byte, error) { return nil, nil }

func (s *told) Marks() (map[string]uint64, error) { return nil, nil }

func (s *told) Others(_ context.Context, fn func(*store.Entry) error) error {
	for i, e := range s.events {
		if err := fn(&store.Entry{Index: int64(i), Other: e.Append(nil, ledger.ID{})}); err != nil {
			return err
		}
	}
	return nil
}

// TestReadLife has a day on which much went wrong.
func TestReadLife(t *testing.T) {
	at := func(clock string) time.Time {
		d, err := time.Parse("2006-01-02 15:04", "2026-03-01 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	s := &told{}
	for _, e := range []struct {
		clock string
		name  ledger.Name
	}{
		{"08:00", ledger.Created}, {"08:00", ledger.Started}, {"08:00", ledger.AnchorMissing}, {"08:01", ledger.Connected}, {"09:00", ledger.Heartbeat},
		{"09:10", ledger.Lost}, {"09:25", ledger.Connected}, {"10:00", ledger.Heartbeat}, // then killed
		{"11:30", ledger.Started}, {"11:31", ledger.SpoolFull}, {"11:40", ledger.SpoolFree}, {"11:45", ledger.SpoolFull}, {"12:30", ledger.Heartbeat},
		{"14:30", ledger.Heartbeat}, {"14:40", ledger.Gap}, {"15:00", ledger.Recipients}, {"15:10", ledger.Lost}, {"15:20", ledger.Stopped},
		{"18:00", ledger.Started}, {"18:00", "of-a-later-version"},
	} {
		s.events = append(s.events, ledger.Event{Time: at(e.clock).UnixMilli(), Name: e.name})
	}
	l, err := ReadLife(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	periods := func(what string, got []Period, want ...[2]string) {
		t.Helper()
		var list []Period
		for _, w := range want {
			p := Period{From: at(w[0])}
			if w[1] != "" {
				p.To = at(w[1])
			}
			list = append(list, p)
		}
		if !slices.Equal(got, list) {
			t.Errorf("%s: %v, want %v", what, got, list)
		}
	}
	periods("down", l.Down, [2]string{"10:00", "11:30"}, [2]string{"15:20", "18:00"})
	periods("lost", l.Lost, [2]string{"09:10", "09:25"}, [2]string{"15:10", "15:20"})
	periods("full", l.Full, [2]string{"11:31", "11:40"}, [2]string{"11:45", ""})
	periods("silent", l.Silent, [2]string{"12:30", "14:30"})
	if len(l.Starts) != 3 || l.Starts[0].Disorder || !l.Starts[1].Disorder || !l.Starts[1].Sign.Equal(at("10:00")) || l.Starts[2].Disorder || !l.Running {
		t.Errorf("%+v", l.Starts)
	}
	if len(l.Gaps) != 1 || len(l.Recipients) != 1 || len(l.Others) != 2 || l.Others[1].Name != "of-a-later-version" || l.Checkpoint != nil {
		t.Errorf("%+v", l)
	}
}

// TestLifeOf: of several servers each comes back by itself, and a start to which
// no server connects is a time in which nothing came.
func TestLifeOf(t *testing.T) {
	var events []ledger.Event
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 8, minute, 0, 0, time.UTC) }
	for _, e := range []struct {
		minute int
		name   ledger.Name
		detail string
	}{
		{0, ledger.Started, ""}, {1, ledger.Connected, "10.0.0.1:5347/a/X1"}, {1, ledger.Connected, "10.0.0.1:5347/b/X2"},
		{2, ledger.Lost, "10.0.0.1:5347/a/X1: archive at 10.0.0.1:5347: a/b"}, {3, ledger.Lost, "10.0.0.1:5347/b/X2: c/d"},
		{4, ledger.Connected, "10.0.0.1:5347/b/X3"}, {9, ledger.Connected, "10.0.0.1:5347/a/X4"},
		{10, ledger.Lost, "10.0.0.1:5347/b/X3: gone"}, {11, ledger.Heartbeat, ""}, // then killed
		{20, ledger.Started, ""}, {25, ledger.Connected, "10.0.0.1:5347/a/X5"}, {30, ledger.Stopped, ""},
		{35, ledger.Started, ""}, {40, ledger.Heartbeat, ""}, // then killed
		{41, ledger.Started, ""}, {43, ledger.Stopped, ""},
		{44, ledger.Started, ""}, {45, ledger.Configuration, ""}, {50, ledger.Heartbeat, ""},
	} {
		events = append(events, ledger.Event{Time: at(e.minute).UnixMilli(), Name: e.name, Detail: e.detail})
	}
	alone := "no server was connected since the start"
	want := []Period{
		{at(2), at(9), events[3].Detail}, {at(3), at(4), events[4].Detail}, {at(10), at(30), events[7].Detail},
		{at(20), at(25), alone}, {at(35), at(40), alone}, {at(41), at(43), alone}, {at(44), time.Time{}, alone},
	}
	l := LifeOf(events)
	if !slices.Equal(l.Lost, want) {
		t.Errorf("%v\nwant\n%v", l.Lost, want)
	}
	if down := []Period{{From: at(11), To: at(20)}, {From: at(30), To: at(35)}, {From: at(40), To: at(41)}, {From: at(43), To: at(44)}}; !slices.Equal(l.Down, down) || !l.Running {
		t.Errorf("%v, %v", l.Down, l.Running)
	}
	if l := LifeOf(nil); l.Running || len(l.Lost) > 0 {
		t.Errorf("%+v", l)
	}
}
