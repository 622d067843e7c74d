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
