package review

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// User is somebody who sent or received messages.
type User struct {
	Address        string    // bare
	Sent, Received int64     // messages, each once
	First, Last    time.Time // of those that have a date
}

// span makes the time from first to last reach to at, which is not before it.
// A message without a date says nothing about it.
func span(first, last *time.Time, at time.Time) {
	if first.IsZero() {
		*first = at
	}
	if !at.IsZero() {
		*last = at
	}
}

// Users lists the people in the messages that the filter chooses, busiest
// first.
func Users(ctx context.Context, src Source, f *message.Filter) ([]User, Account, error) {
	users := map[string]*User{}
	get := func(address string, at time.Time) *User {
		u := users[address]
		if u == nil {
			u = &User{Address: address}
			users[address] = u
		}
		span(&u.First, &u.Last, at)
		return u
	}
	account, err := Utterances(ctx, src, f, func(u *transcript.Utterance) error {
		if u.From != "" {
			get(u.From, u.Time).Sent++
		}
		received := u.Recipients
		if u.To != "" && !slices.Contains(received, u.To) {
			received = append(slices.Clone(received), u.To)
		}
		for _, r := range received {
			if r != u.From {
				get(r, u.Time).Received++
			}
		}
		return nil
	})
	list := make([]User, 0, len(users))
	for _, u := range users {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b User) int {
		return cmp.Or(cmp.Compare(b.Sent+b.Received, a.Sent+a.Received), cmp.Compare(a.Address, b.Address))
	})
	return list, account, err
}

// Room is a room in which something was said.
type Room struct {
	Address     string // bare
	Subject     string // the last one set
	Messages    int64
	People      []string // bare addresses of who spoke or was there, sorted
	First, Last time.Time
	Formerly    []string // earlier bare addresses, sorted
}

// Rooms lists the rooms of the messages that the filter chooses, busiest
// first.
func Rooms(ctx context.Context, src Source, f *message.Filter) ([]Room, Account, error) {
	rooms := map[string]*Room{}
	people := map[string]map[string]bool{}
	account, err := Utterances(ctx, src, f, func(u *transcript.Utterance) error {
		if u.Room == "" {
			return nil
		}
		r := rooms[u.Room]
		if r == nil {
			r = &Room{Address: u.Room}
			rooms[u.Room], people[u.Room] = r, map[string]bool{}
		}
		if r.Messages++; u.RoomWas != "" && !slices.Contains(r.Formerly, u.RoomWas) {
			r.Formerly = append(r.Formerly, u.RoomWas)
		}
		span(&r.First, &r.Last, u.Time)
		if u.Row.Kind == message.Topic {
			r.Subject = cmp.Or(u.Row.Subject.Text, u.Row.StanzaSubject)
		}
		if u.From != "" {
			people[u.Room][u.From] = true
		}
		for _, p := range u.Recipients {
			people[u.Room][p] = true
		}
		return nil
	})
	list := make([]Room, 0, len(rooms))
	for _, r := range rooms {
		slices.Sort(r.Formerly)
		r.People = slices.Sorted(maps.Keys(people[r.Address]))
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b Room) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Address, b.Address))
	})
	return list, account, err
}
