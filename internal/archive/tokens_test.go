package archive

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"archivolt/internal/capture/capturetest"
	"archivolt/internal/message"
	"archivolt/internal/review"
	"archivolt/internal/transcript"
)

// TestTokens: what is found by tokens is what a full scan finds. Only in rooms,
// where people are named, their own copies are all there is: not the list of
// recipients, the number of copies and so the time to the millisecond, nor the
// addresses of others who speak under a nick.
func TestTokens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		local := []string{"anna@example.org", "ben@example.org", "clara@example.org", "legal\\20team@example.org"}
		everybody := append(slices.Clone(local), "dora@example.net", "Émile@example.net")
		rooms := []string{"ops@conference.example.org", "all@conference.example.org"}
		p := capturetest.New(t)
		s := &capturetest.Server{Numbered: rapid.Bool().Draw(rt, "numbered"), Now: start}
		for range rapid.IntRange(1, 3).Draw(rt, "epochs") {
			for range rapid.IntRange(1, 30).Draw(rt, "messages") {
				body := rapid.SampledFrom([]string{"yes", "no", "the container", ""}).Draw(rt, "body")
				from := rapid.SampledFrom(everybody).Draw(rt, "from")
				if rapid.IntRange(0, 3).Draw(rt, "kind") > 0 {
					s.Chat(from, rapid.SampledFrom(local).Draw(rt, "to"), body, "")
					continue
				}
				occupants := slices.DeleteFunc(slices.Clone(everybody), func(string) bool { return rapid.Bool().Draw(rt, "absent") })
				s.Say(rapid.SampledFrom(rooms).Draw(rt, "room"), from, "nick of "+from[:1], body, "", append(occupants, from)...)
			}
			p.Run(t, s.Copies())
		}
		some := func(label string, of []string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, 2, rapid.ID).Draw(rt, label)
		}
		users, with, in := some("user", everybody), some("with", everybody), some("in", rooms)
		if len(users)+len(with)+len(in) == 0 {
			users = everybody[:1]
		}
		f := &message.Filter{}
		for _, list := range []struct {
			from []string
			to   *[]string
		}{{users, &f.Users}, {with, &f.With}, {in, &f.Rooms}} {
			for _, a := range list.from {
				*list.to = append(*list.to, message.Pattern(a))
			}
		}
		find := func(a *Archive) (list []string) {
			_, err := review.Utterances(context.Background(), a, f, func(u *transcript.Utterance) error {
				line := fmt.Sprintf("%s >%s%s (%s) %s %q", u.Row.StanzaID, u.To, u.Room, u.Nick, u.Row.Kind, u.Text.Text)
				whole := u.Room == "" || len(users)+len(with) == 0
				if whole || slices.Contains(f.Users, u.From) || slices.Contains(f.With, u.From) {
					line += " from " + u.From
				}
				if whole {
					line += fmt.Sprintf(" %s %dx %q", u.Time, u.Copies, u.Recipients)
				}
				list = append(list, line)
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
			slices.Sort(list)
			return list
		}
		want := find(openOurs(t, p))
		narrowed := openOurs(t, p)
		if _, err := narrowed.LookUp(context.Background(), append(slices.Clone(users), with...), in); err != nil {
			rt.Fatal(err)
		}
		if got := find(narrowed); !slices.Equal(got, want) {
			rt.Fatalf("users %q with %q in %q: got\n%s\nwant\n%s", users, with, in, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestOthersStayShut: a record without the token is not opened.
func TestOthersStayShut(t *testing.T) {
	p := capturetest.New(t)
	s := &capturetest.Server{Numbered: true, Now: start}
	for n := range 300 {
		s.Chat([]string{anna, "ben@example.org", "clara@example.org"}[n%3], carl, "text", "")
	}
	s.Say(ops, anna, "Anna", "in the room", "", anna, ben)
	p.Run(t, s.Copies())
	for _, c := range []struct {
		people, rooms []string
		want          int
	}{
		{[]string{anna}, nil, 102}, {[]string{"Anna@Example.ORG"}, nil, 102}, {[]string{carl}, nil, 300}, {[]string{"nobody@example.org"}, nil, 0},
		{[]string{anna, ben}, nil, 203}, {nil, []string{ops}, 3}, {[]string{anna}, []string{ops}, 2}, {[]string{anna}, []string{"x@example.org"}, 0},
	} {
		a := openOurs(t, p)
		notes, err := a.LookUp(context.Background(), c.people, c.rooms)
		if err != nil || len(notes) != 1 {
			t.Errorf("%q, %v", notes, err)
		}
		if rows := rowsOf(t, a.Rows); len(rows) != c.want {
			t.Errorf("%q in %q: %d rows, want %d", c.people, c.rooms, len(rows), c.want)
		}
		if rows := rowsOf(t, a.ByTime); len(rows) != c.want {
			t.Errorf("%q in %q: %d rows by time, want %d", c.people, c.rooms, len(rows), c.want)
		}
	}
}

// TestShutEpochsAreCounted: what no identity opens has tokens that nobody can
// compute, and is in the account all the same.
func TestShutEpochsAreCounted(t *testing.T) {
	p := capturetest.New(t)
	s := &capturetest.Server{Numbered: true, Now: start}
	stranger := capturetest.New(t)
	for _, to := range []*capturetest.Place{p, stranger, p, stranger} {
		p.SealFor(t, to.Officer.Recipient().String())
		for range 10 {
			s.Chat(anna, carl, "text", "")
			s.Chat(ben, carl, "text", "")
		}
		p.Run(t, s.Copies())
	}
	a := openOurs(t, p)
	notes, err := a.LookUp(context.Background(), []string{anna}, nil)
	if err != nil || len(notes) != 2 || !strings.HasPrefix(notes[0], "2 of 4 data keys do not open") {
		t.Errorf("%q, %v", notes, err)
	}
	var account review.Account
	for _, m := range rowsOf(t, a.ByTime) {
		account.Add(&m)
	}
	if account.Status[message.OK] != 20 || account.Status[message.NoKey] != 40 {
		t.Errorf("%v", account.Status)
	}
	other, err := Open(context.Background(), []string{p.Archive()}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if notes, err := other.LookUp(context.Background(), []string{anna}, nil); notes != nil || err != nil {
		t.Errorf("%q, %v", notes, err)
	}
	if rows := rowsOf(t, other.Rows); len(rows) != 80 {
		t.Errorf("%d rows", len(rows))
	}
	if files, err := filepath.Glob(p.Archive() + "-*"); err != nil || len(files) > 0 {
		t.Errorf("%q, %v", files, err)
	}
}
