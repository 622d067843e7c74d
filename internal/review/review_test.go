package review

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// rows is an archive in memory. Like a real one it uses a row's memory again
// when fn has returned.
type rows []message.Message

func (r rows) ByTime(ctx context.Context, fn func(*message.Message) error) error {
	for i := range r {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := r[i]
		if err := fn(&m); err != nil {
			return err
		}
		m = message.Message{Source: "used again", Status: message.NoKey, Body: valid("used again")}
	}
	return nil
}

var start = time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func valid(s string) message.Text { return message.Text{Text: s, Valid: true} }

// Addresses without their domain are of example.com.
func full(name string) string { return name + "@example.com" }

// chat is a row of a message between two; the text is its id, too.
func chat(minutes int, from, to, text string) message.Message {
	return message.Message{Row: 1, Time: at(minutes), From: message.ParseJID(full(from) + "/desk"), To: message.ParseJID(full(to) + "/phone"),
		Kind: message.Chat, Direction: message.In, Body: valid(text), StanzaRead: true, StanzaID: text, Status: message.OK, Key: "k1"}
}

// said is a row of a message in a room, as it reached one occupant.
func said(minutes int, room, from, to, text string) message.Message {
	m := chat(minutes, from, to, text)
	m.From = message.ParseJID(full(room) + "/" + full(from))
	m.Kind, m.Room = message.Groupchat, true
	return m
}

// with changes a row.
func with(m message.Message, change func(*message.Message)) message.Message {
	change(&m)
	return m
}

func undated(m *message.Message) { m.Time = time.Time{} }

// unreadable is a row that no key opens.
func unreadable(minutes int) message.Message {
	return message.Message{Row: 9, Time: at(minutes), Direction: message.In, Status: message.NoKey, Reason: "no key opens it"}
}

func texts(t *testing.T, src Source, f *message.Filter) (list []string) {
	t.Helper()
	_, err := Utterances(context.Background(), src, f, func(u *transcript.Utterance) error {
		list = append(list, u.Text.Text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestUtterances(t *testing.T) {
	archive := rows{
		with(chat(0, "anna", "boris", "undated"), undated),
		with(chat(0, "anna", "boris", "hello"), func(m *message.Message) { m.Direction = message.Out }),
		chat(0, "anna", "boris", "hello"), // the copy
		unreadable(1),
		chat(2, "boris", "anna", "yes"),
		said(3, "ops", "carla", "anna", "meeting"),
		said(3, "ops", "carla", "boris", "meeting"),
		with(chat(4, "anna", "boris", "hello"), func(m *message.Message) { m.History = true }),
		with(chat(5, "anna", "boris", "…"), func(m *message.Message) { m.Kind = message.Signal }),
		with(chat(6, "anna", "boris", "back"), func(m *message.Message) { m.Kind = message.ErrorKind }),
	}
	for _, c := range []struct {
		name   string
		filter message.Filter
		want   []string
	}{
		{"all, also what cannot be read", message.Filter{}, []string{"undated", "hello", "", "yes", "meeting"}},
		{"what cannot be read was sent at a time", message.Filter{Since: at(1), Until: at(2)}, []string{""}},
		{"but nobody knows by whom", message.Filter{Users: []string{"*"}}, []string{"undated", "hello", "yes", "meeting"}},
		{"or what it says", message.Filter{Words: []string{"e"}}, []string{"undated", "hello", "yes", "meeting"}},
		{"or where", message.Filter{Rooms: []string{"*"}}, []string{"meeting"}},
		{"one who took part", message.Filter{Users: []string{full("boris")}}, []string{"undated", "hello", "yes", "meeting"}},
		{"a conversation", message.Filter{With: []string{full("carla"), full("boris")}}, []string{"meeting"}},
	} {
		if got := texts(t, archive, &c.filter); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		account, err := Utterances(context.Background(), archive, &c.filter, func(*transcript.Utterance) error { return nil })
		want := Account{Keyed: 9, Undated: 1, Status: [message.NumStatus]int64{message.OK: 9, message.NoKey: 1}, FirstUnreadable: at(1), LastUnreadable: at(1),
			Counts: transcript.Counts{Rows: 10, Utterances: 4, Unread: 1, Copies: 2, Replays: 1, Signals: 1, Errors: 1}}
		if err != nil || account != want {
			t.Errorf("%s: whatever is chosen, all rows are accounted for: %+v, %v, want %+v", c.name, account, err, want)
		}
	}
}

// TestErrorsEndTheReading: of the writer and of the reader, wherever they come.
func TestErrorsEndTheReading(t *testing.T) {
	full := errors.New("the disk is full")
	var archive rows
	for i := range 30 {
		archive = append(archive, chat(i, "anna", "boris", fmt.Sprint("message ", i)))
	}
	everything := message.Filter{}
	for _, failAt := range []int{1, 2, 15, 25, 29, 30} { // the last ones come when the reading is over
		calls := 0
		_, err := Utterances(context.Background(), archive, &everything, func(*transcript.Utterance) error {
			if calls++; calls == failAt {
				return full
			}
			return nil
		})
		if !errors.Is(err, full) || calls != failAt {
			t.Errorf("an error at call %d: %d calls, %v", failAt, calls, err)
		}
		calls = 0
		_, err = Search(context.Background(), archive, &message.Filter{Words: []string{"message 14"}}, 30, func(Hit) error {
			if calls++; calls == failAt {
				return full
			}
			return nil
		})
		if !errors.Is(err, full) || calls != failAt {
			t.Errorf("Search, an error at call %d: %d calls, %v", failAt, calls, err)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Utterances(ctx, archive, &everything, func(*transcript.Utterance) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Utterances, cancelled: %v", err)
	}
	if _, _, err := Users(ctx, archive, &everything); !errors.Is(err, context.Canceled) {
		t.Errorf("Users, cancelled: %v", err)
	}
	if _, _, err := Rooms(ctx, archive, &everything); !errors.Is(err, context.Canceled) {
		t.Errorf("Rooms, cancelled: %v", err)
	}
	if _, err := Search(ctx, archive, &everything, 1, func(Hit) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Search, cancelled: %v", err)
	}
	if r, err := Check(ctx, archive, func(*message.Message) string { return "" }); !errors.Is(err, context.Canceled) || r == nil {
		t.Errorf("Check, cancelled: %v, %v", r, err)
	}
}

func TestAccountAdd(t *testing.T) {
	row := func(minutes int, s message.Status) message.Message {
		return message.Message{Time: at(minutes), Status: s}
	}
	none := message.Message{Status: message.NoKey} // without a date
	for _, c := range []struct {
		name        string
		rows        rows
		unreadable  int64
		opened      int64
		first, last time.Time
	}{
		{"nothing", nil, 0, 0, time.Time{}, time.Time{}},
		{"what can be read has no place", rows{row(1, message.OK), row(2, message.Plain), row(3, message.Unverified)}, 0, 2, time.Time{}, time.Time{}},
		{"in the order of time", rows{row(1, message.OK), row(2, message.Damaged), row(3, message.NoKey), row(4, message.OK)}, 2, 2, at(2), at(3)},
		{"in the order of the source", rows{row(3, message.NoKey), row(1, message.NoKey), row(2, message.Damaged)}, 3, 0, at(1), at(3)},
		{"without a date before", rows{none, row(2, message.NoKey), row(3, message.NoKey)}, 3, 0, at(2), at(3)},
		{"without a date between", rows{row(2, message.NoKey), none, row(3, message.NoKey)}, 3, 0, at(2), at(3)},
		{"without a date after", rows{row(2, message.NoKey), row(3, message.NoKey), none}, 3, 0, at(2), at(3)},
		{"without a date alone", rows{none}, 1, 0, time.Time{}, time.Time{}},
	} {
		var a Account
		for i := range c.rows {
			a.Add(&c.rows[i])
		}
		if a.Unreadable() != c.unreadable || a.Opened() != c.opened || !a.FirstUnreadable.Equal(c.first) || !a.LastUnreadable.Equal(c.last) {
			t.Errorf("%s: %d unreadable, %d opened, %v to %v", c.name, a.Unreadable(), a.Opened(), a.FirstUnreadable, a.LastUnreadable)
		}
	}
}

// anything draws archives in the order of time, with copies, broken rows and
// rows without a date.
func anything() *rapid.Generator[rows] {
	names := rapid.SampledFrom([]string{"anna", "boris", "carla"})
	row := rapid.Custom(func(t *rapid.T) message.Message {
		m := chat(rapid.IntRange(-10_000, 10_000).Draw(t, "minutes"), names.Draw(t, "from"), names.Draw(t, "to"), rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "text"))
		if rapid.Bool().Draw(t, "in a room") {
			m = said(0, "ops", names.Draw(t, "from"), names.Draw(t, "to"), m.Body.Text)
			m.Time = at(rapid.IntRange(0, 20).Draw(t, "minutes"))
		}
		m.Kind = message.Kind(rapid.IntRange(0, int(message.Signal)).Draw(t, "kind"))
		m.Status = message.Status(rapid.IntRange(0, int(message.NumStatus)-1).Draw(t, "status"))
		m.Direction = rapid.SampledFrom([]message.Direction{message.In, message.Out, 0}).Draw(t, "direction")
		m.History = rapid.IntRange(0, 4).Draw(t, "history") == 0
		m.Key = rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "key")
		m.Reason = rapid.SampledFrom([]string{"", "broken", "one block"}).Draw(t, "reason")
		if rapid.IntRange(0, 4).Draw(t, "no date") == 0 {
			m.Time = time.Time{}
		}
		if !m.Status.Readable() && rapid.Bool().Draw(t, "nothing of it") {
			m.From, m.To, m.Body, m.StanzaID = message.JID{}, message.JID{}, message.Text{}, ""
		}
		return m
	})
	return rapid.Map(rapid.SliceOfN(row, 0, 30), func(list []message.Message) rows {
		slices.SortStableFunc(list, func(a, b message.Message) int { return a.Time.Compare(b.Time) }) // those without a date come first
		return list
	})
}

// TestEveryRowIsAccountedFor: in every answer, whatever the filter chooses.
func TestEveryRowIsAccountedFor(t *testing.T) {
	archives := anything()
	rapid.Check(t, func(t *rapid.T) {
		archive := archives.Draw(t, "archive")
		f := message.Filter{Words: rapid.SampledFrom([][]string{nil, {"a"}, {"nowhere"}}).Draw(t, "words")}
		if rapid.Bool().Draw(t, "one user") {
			f.Users = []string{full("anna")}
		}
		ctx := context.Background()
		accounts := map[string]Account{}
		var err [5]error
		accounts["Utterances"], err[0] = Utterances(ctx, archive, &f, func(*transcript.Utterance) error { return nil })
		_, accounts["Users"], err[1] = Users(ctx, archive, &f)
		_, accounts["Rooms"], err[2] = Rooms(ctx, archive, &f)
		accounts["Search"], err[3] = Search(ctx, archive, &f, rapid.IntRange(0, 3).Draw(t, "around"), func(Hit) error { return nil })
		report, e := Check(ctx, archive, func(*message.Message) string { return "" })
		accounts["Check"], err[4] = report.Account, e
		if errors.Join(err[:]...) != nil {
			t.Fatal(err)
		}
		for name, a := range accounts {
			n := int64(len(archive))
			var byStatus int64
			for _, s := range a.Status {
				byStatus += s
			}
			if a.Rows != n || byStatus != n || a.Utterances+a.Copies+a.Replays+a.Signals+a.Errors != n {
				t.Errorf("%s: %d rows, and an account of %+v", name, n, a)
			}
			if a != accounts["Utterances"] {
				t.Errorf("%s: %+v, and Utterances %+v", name, a, accounts["Utterances"])
			}
		}

		// What check counts adds up, too.
		var inDays, withKey, withReason, reasons, epochs int64
		for i, d := range report.Days {
			inDays += d.Plain + d.NoKey
			for _, k := range d.Keys {
				inDays += k
			}
			if i > 0 && !d.Date.After(report.Days[i-1].Date) {
				t.Errorf("the day %v after %v", d.Date, report.Days[i-1].Date)
			}
		}
		for i := range archive {
			if archive[i].Key != "" {
				withKey++
			}
			if archive[i].Reason != "" {
				withReason++
			}
		}
		for _, r := range report.Reasons {
			reasons += r.Rows
		}
		for _, k := range report.Keys {
			epochs += k.Rows
		}
		if inDays+report.NoDate != int64(len(archive)) || epochs != withKey || reasons != withReason {
			t.Errorf("%d rows in days and %d without a date of %d; %d with a key of %d; %d with a reason of %d",
				inDays, report.NoDate, len(archive), epochs, withKey, reasons, withReason)
		}
	})
}

func TestSubject(t *testing.T) {
	u := &transcript.Utterance{Time: start, From: "a", To: "b", Recipients: []string{"b", "c"}, Room: "r", Text: valid("text"),
		Row: message.Message{Subject: valid("subject"), StanzaSubject: "of the stanza", StanzaBody: valid("other text"), Files: []string{"f1", "f2"}}}
	want := message.Subject{Time: start, People: []string{"b", "c", "a", "b"}, Room: "r", Texts: []string{"text", "subject", "of the stanza", "other text", "f1", "f2"}}
	if got := Subject(u); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(u.Recipients) != 2 {
		t.Errorf("the recipients became %q", u.Recipients)
	}
	u = &transcript.Utterance{Text: valid("text"), Row: message.Message{StanzaBody: valid("text")}}
	if got := Subject(u); !reflect.DeepEqual(got.Texts, []string{"text"}) || len(got.People) != 0 {
		t.Errorf("one text twice, and nobody: %+v", got)
	}
	u = &transcript.Utterance{Text: valid("text")}
	if got := Subject(u); !reflect.DeepEqual(got.Texts, []string{"text"}) {
		t.Errorf("no stanza: %+v", got)
	}
}

func TestRowSubject(t *testing.T) {
	for _, c := range []struct {
		name   string
		row    message.Message
		people []string
		room   string
		texts  []string
	}{
		{"two people", chat(0, "anna", "boris", "hello"), []string{full("anna"), full("boris")}, "", []string{"hello"}},
		{"a room, to an occupant: the owner of the nick and the occupant; the room is nobody", said(0, "ops", "anna", "boris", "hello"),
			[]string{full("anna"), full("boris")}, full("ops"), []string{"hello"}},
		{"a room, from an occupant", with(chat(0, "anna", "ops", "hello"), func(m *message.Message) { m.Room, m.Direction = true, message.Out }),
			[]string{full("anna")}, full("ops"), []string{"hello"}},
		{"nothing but the addresses of the stanza", with(chat(0, "anna", "boris", "hello"), func(m *message.Message) {
			m.StanzaFrom, m.StanzaTo, m.From, m.To = m.From, m.To, message.JID{}, message.JID{}
		}), []string{full("anna"), full("boris")}, "", []string{"hello"}},
		// A carbon is addressed to the user's own client; the people are inside.
		{"a carbon: also the people of the message in it", with(chat(0, "anna", "anna", "hello"), func(m *message.Message) {
			m.Carbon, m.CarbonFrom, m.CarbonTo = true, message.ParseJID(full("anna")+"/desk"), message.ParseJID(full("boris"))
		}), []string{full("anna"), full("anna"), full("anna"), full("boris")}, "", []string{"hello"}},
		// What a record of --rows shows can be searched for.
		{"every text", with(chat(0, "anna", "boris", "hello"), func(m *message.Message) {
			m.StanzaBody, m.Subject, m.StanzaSubject, m.Files = valid("b"), valid("c"), "d", []string{"e"}
		}), []string{full("anna"), full("boris")}, "", []string{"hello", "b", "c", "d", "e"}},
		{"nothing can be read", unreadable(0), nil, "", nil},
	} {
		got := RowSubject(&c.row)
		if want := (message.Subject{Time: c.row.Time, People: c.people, Room: c.room, Texts: c.texts}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}

func TestConversation(t *testing.T) {
	for _, c := range []struct{ from, to, room, want string }{
		{"anna", "boris", "", "anna boris"},
		{"boris", "anna", "", "anna boris"},
		{"anna", "anna", "", "anna anna"},
		{"anna", "", "", " anna"},
		{"", "anna", "", " anna"},
		{"anna", "", "ops", "ops"},
	} {
		if got := Conversation(&transcript.Utterance{From: c.from, To: c.to, Room: c.room}); got != c.want {
			t.Errorf("from %q to %q in %q: %q, want %q", c.from, c.to, c.room, got, c.want)
		}
	}
}
