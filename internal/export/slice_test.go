package export

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// TestSlices: days by the zone, edits and reactions with their message, what
// cannot be placed by itself.
func TestSlices(t *testing.T) {
	var got []string
	names := map[string]bool{}
	for _, s := range goldenSlices(t) {
		if names[s.Name()] || names[s.ID()] || len(s.Name()) > 80 {
			t.Errorf("%s is no name for one slice", s.Name())
		}
		names[s.Name()], names[s.ID()] = true, true
		line := fmt.Sprintf("%s %s %v %d:", s.Day.Format("2006-01-02"), s.Room, s.People, s.Part)
		for _, e := range s.Events {
			line += " " + value(e.Record.StanzaID)
			for _, x := range e.Edits {
				line += "+" + value(x.Record.StanzaID)
			}
			for _, x := range e.Reactions {
				line += "*" + value(x.Record.StanzaID)
			}
			if e.Retracted != nil {
				line += "-" + value(e.Retracted.Record.StanzaID)
			}
		}
		got = append(got, line)
	}
	want := []string{
		"0001-01-01  [anna@example.com boris@example.com] 1: m0",
		"2024-01-31  [] 1: ",
		"2024-01-31  [anna@example.com boris@example.com] 1: m1+m4*m5 m2-m6 m3 m7 m8",
		"2024-01-31 customs@conf.example.com [anna@example.com boris@example.com carla@example.com] 1: r1 r2 r3",
		"2024-02-01  [anna@example.com boris@example.com] 1: m9",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLongDay: a day with too many messages is cut into parts, and nothing is
// lost.
func TestLongDay(t *testing.T) {
	events, parts := 0, 0
	s := NewSlicer(time.UTC, func(s *Slice) error {
		parts++
		if events += len(s.Events); s.Part != parts || len(s.Events) > MaxEvents {
			t.Errorf("part %d comes as number %d with %d events", s.Part, parts, len(s.Events))
		}
		return nil
	})
	for i := range 2*MaxEvents + 5 {
		if err := s.Add(&transcript.Utterance{From: "a@x", To: "b@x", Time: noon.Add(time.Duration(i) * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if events != 2*MaxEvents+5 || parts != 3 {
		t.Errorf("%d events in %d parts", events, parts)
	}
	events, parts = 0, 0
	long := message.Text{Text: strings.Repeat("x", MaxBytes/4), Valid: true}
	for i := range 9 {
		if err := s.Add(&transcript.Utterance{From: "a@x", To: "b@x", Time: noon.AddDate(0, 0, 1).Add(time.Duration(i) * time.Millisecond), Text: long}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil || events != 9 || parts != 3 {
		t.Errorf("%d long events in %d parts, %v", events, parts, err)
	}
}
