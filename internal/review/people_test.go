package review

import (
	"context"
	"reflect"
	"testing"
	"time"

	"archivolt/internal/message"
)

func topic(m *message.Message) {
	m.Subject, m.Kind, m.Body = m.Body, message.Topic, message.Text{}
}

// busy is an archive of everything that Users and Rooms must tell apart.
var busy = rows{
	with(chat(0, "dora", "boris", "undated"), undated),
	with(said(0, "ops", "dora", "boris", "undated in the room"), undated),
	with(chat(0, "anna", "boris", "hello"), func(m *message.Message) { m.Direction = message.Out }),
	chat(0, "anna", "boris", "hello"), // the same message: sent once, received once
	chat(1, "boris", "anna", "yes"),
	said(2, "ops", "anna", "anna", "meeting"), // the speaker's own copy is not received
	said(2, "ops", "anna", "boris", "meeting"),
	said(2, "ops", "anna", "carla", "meeting"),
	chat(3, "anna", "anna", "note"), // to herself
	with(said(4, "ops", "boris", "anna", "Old subject"), topic),
	with(said(5, "ops", "boris", "anna", "New subject"), topic),
	with(said(6, "lunch", "carla", "boris", "soup"), func(m *message.Message) { m.Key, m.Status = "", message.Plain }),
	with(chat(7, "anna", "boris", "meeting"), func(m *message.Message) { m.History = true }),
	with(chat(8, "eve", "boris", "…"), func(m *message.Message) { m.Kind = message.Signal }),
	with(chat(9, "eve", "boris", "back"), func(m *message.Message) { m.Kind = message.ErrorKind }),
	unreadable(10),
}

func TestUsers(t *testing.T) {
	none := time.Time{}
	all := []User{
		// hello, yes, meeting, two subjects, soup, and dora's two.
		{full("boris"), 3, 5, at(0), at(6)},
		{full("anna"), 3, 3, at(0), at(5)}, // hello, meeting, note; yes, two subjects
		{full("carla"), 1, 1, at(2), at(6)},
		{full("dora"), 2, 0, none, none}, // nobody knows when
	}
	for _, c := range []struct {
		name   string
		filter message.Filter
		want   []User
	}{
		{"all, busiest first, then by address", message.Filter{}, all},
		{"a time", message.Filter{Since: at(0), Until: at(2)}, []User{{full("anna"), 1, 1, at(0), at(1)}, {full("boris"), 1, 1, at(0), at(1)}}},
		{"a room", message.Filter{Rooms: []string{full("lunch")}}, []User{{full("boris"), 0, 1, at(6), at(6)}, {full("carla"), 1, 0, at(6), at(6)}}},
		{"a word", message.Filter{Words: []string{"note"}}, []User{{full("anna"), 1, 0, at(3), at(3)}}},
		{"nothing", message.Filter{Words: []string{"nowhere"}}, []User{}},
	} {
		got, account, err := Users(context.Background(), busy, &c.filter)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want\n%+v", c.name, got, err, c.want)
		}
		if account.Rows != int64(len(busy)) {
			t.Errorf("%s: %d rows of %d", c.name, account.Rows, len(busy))
		}
	}
}

// TestUsersBySentCopyAlone: to another domain there is only the sender's copy.
func TestUsersBySentCopyAlone(t *testing.T) {
	archive := rows{with(chat(0, "anna", "boris", "hello"), func(m *message.Message) { m.Direction = message.Out })}
	got, _, err := Users(context.Background(), archive, &message.Filter{})
	if want := []User{{full("anna"), 1, 0, at(0), at(0)}, {full("boris"), 0, 1, at(0), at(0)}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRooms(t *testing.T) {
	people := func(names ...string) (list []string) {
		for _, n := range names {
			list = append(list, full(n))
		}
		return list
	}
	for _, c := range []struct {
		name   string
		filter message.Filter
		want   []Room
	}{
		{"all, busiest first", message.Filter{}, []Room{
			{full("ops"), "New subject", 4, people("anna", "boris", "carla", "dora"), at(2), at(5), nil},
			{full("lunch"), "", 1, people("boris", "carla"), at(6), at(6), nil},
		}},
		{"one user", message.Filter{With: people("boris", "carla")}, []Room{
			{full("lunch"), "", 1, people("boris", "carla"), at(6), at(6), nil},
			{full("ops"), "", 1, people("anna", "boris", "carla"), at(2), at(2), nil},
		}},
		{"until the first subject", message.Filter{Rooms: people("ops"), Until: at(5)}, []Room{{full("ops"), "Old subject", 2, people("anna", "boris", "carla"), at(2), at(4), nil}}},
		{"nothing", message.Filter{Rooms: people("nowhere")}, []Room{}},
	} {
		got, account, err := Rooms(context.Background(), busy, &c.filter)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want\n%+v", c.name, got, err, c.want)
		}
		if account.Rows != int64(len(busy)) {
			t.Errorf("%s: %d rows of %d", c.name, account.Rows, len(busy))
		}
	}
}

// TestRoomSubject: from the column or, where there is none, from the stanza;
// an empty one takes the subject away.
func TestRoomSubject(t *testing.T) {
	fromStanza := func(m *message.Message) { topic(m); m.StanzaSubject, m.Subject = m.Subject.Text, message.Text{} }
	first, second := said(0, "ops", "anna", "boris", "first"), said(1, "ops", "anna", "boris", "second")
	for _, c := range []struct {
		name    string
		archive rows
		want    string
	}{
		{"of the column", rows{with(first, topic), with(second, topic)}, "second"},
		{"of the stanza", rows{with(first, topic), with(second, fromStanza)}, "second"},
		{"taken away", rows{with(first, topic), with(second, func(m *message.Message) { topic(m); m.Subject = valid("") })}, ""},
		{"what is said sets none", rows{with(first, topic), with(second, func(m *message.Message) { m.Subject = valid("x") })}, "first"},
	} {
		got, _, err := Rooms(context.Background(), c.archive, &message.Filter{})
		if err != nil || len(got) != 1 || got[0].Subject != c.want || got[0].Messages != 2 {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// TestRoomWithNicks: where nicks are no addresses, nobody knows who spoke; the
// room is no person.
func TestRoomWithNicks(t *testing.T) {
	archive := rows{with(said(0, "ops", "anna", "boris", "hello"), func(m *message.Message) { m.From = message.ParseJID(full("ops") + "/Anna") })}
	rooms, _, err := Rooms(context.Background(), archive, &message.Filter{})
	if want := []Room{{full("ops"), "", 1, []string{full("boris")}, at(0), at(0), nil}}; err != nil || !reflect.DeepEqual(rooms, want) {
		t.Errorf("%+v, %v", rooms, err)
	}
	users, _, err := Users(context.Background(), archive, &message.Filter{})
	if want := []User{{full("boris"), 0, 1, at(0), at(0)}}; err != nil || !reflect.DeepEqual(users, want) {
		t.Errorf("%+v, %v", users, err)
	}
}
