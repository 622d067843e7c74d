// Package review answers an officer's questions to an archive: who spoke, in
// which rooms, what was said. It reads the archive once for each question, in
// memory that does not grow with it, and accounts for every row in every
// answer.
package review

import (
	"context"
	"slices"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// Source is an archive as this package needs it: rows, opened, in the order of
// time. The message is fn's until it returns; its strings may be kept. An error
// of fn ends the reading and is returned.
type Source interface {
	ByTime(ctx context.Context, fn func(*message.Message) error) error
}

// Account tells what became of every row.
type Account struct {
	Status [message.NumStatus]int64 // rows by status
	transcript.Counts
	Keyed   int64 // rows of which a key opens something
	Undated int64 // rows whose date cannot be read: no time chooses them

	// FirstUnreadable and LastUnreadable are the places, in time, of the rows
	// that could not be read.
	FirstUnreadable, LastUnreadable time.Time
}

// Unreadable returns how many rows could not be read.
func (a *Account) Unreadable() int64 { return a.Status[message.Damaged] + a.Status[message.NoKey] }

// Opened returns how many encrypted rows could be read.
func (a *Account) Opened() int64 { return a.Status[message.OK] + a.Status[message.Unverified] }

// Add counts a row.
func (a *Account) Add(m *message.Message) {
	a.Status[m.Status]++
	if m.Key != "" {
		a.Keyed++
	}
	if m.Time.IsZero() {
		a.Undated++
	}
	if m.Status.Readable() || m.Time.IsZero() {
		return
	}
	if a.FirstUnreadable.IsZero() || m.Time.Before(a.FirstUnreadable) {
		a.FirstUnreadable = m.Time
	}
	if m.Time.After(a.LastUnreadable) {
		a.LastUnreadable = m.Time
	}
}

// Utterances gives every message of src that the filter chooses to fn, once
// and in the order of time, and accounts for all rows. The message is fn's
// until it returns; its texts and lists may be kept. Rows that cannot be
// read are messages too; only a filter that asks for words, people or rooms
// leaves them out, since nobody can say whether it would choose them.
func Utterances(ctx context.Context, src Source, f *message.Filter, fn func(*transcript.Utterance) error) (Account, error) {
	var account Account
	var failed error
	c := transcript.New(func(u *transcript.Utterance) {
		if failed != nil {
			return
		}
		if !f.Everything() {
			if s := Subject(u); !f.Match(&s) {
				return
			}
		}
		failed = fn(u)
	})
	err := src.ByTime(ctx, func(m *message.Message) error {
		account.Add(m)
		c.Add(m)
		return failed
	})
	if err == nil {
		c.Flush()
		err = failed
	}
	account.Counts = c.Counts
	return account, err
}

// Subject is what a filter looks at in an utterance.
func Subject(u *transcript.Utterance) message.Subject {
	s := message.Subject{Time: u.Time, Room: u.Room, Was: u.RoomWas, People: slices.Clone(u.Recipients)}
	for _, p := range []string{u.From, u.To} {
		if p != "" {
			s.People = append(s.People, p)
		}
	}
	for _, t := range []string{u.Text.Text, u.Row.Subject.Text, u.Row.StanzaSubject} {
		if t != "" {
			s.Texts = append(s.Texts, t)
		}
	}
	if u.Row.StanzaBody.Valid && u.Row.StanzaBody.Text != u.Text.Text {
		s.Texts = append(s.Texts, u.Row.StanzaBody.Text)
	}
	s.Texts = append(s.Texts, u.Row.Files...)
	return s
}

// RowSubject is what a filter looks at in a single row.
func RowSubject(m *message.Message) message.Subject {
	s := message.Subject{Time: m.Time, Was: m.RoomWas}
	if m.Room {
		if s.Room = m.Sender().Bare; m.ToRoom() {
			s.Room = m.Recipient().Bare
		}
	}
	for _, j := range []message.JID{m.Sender(), m.Recipient(), m.CarbonFrom, m.CarbonTo} {
		if j.Bare == "" {
			continue
		}
		if j.Bare != s.Room { // the room is nobody
			s.People = append(s.People, j.Bare)
		}
		if j.NickIsAddress() {
			s.People = append(s.People, message.ParseJID(j.Resource).Bare)
		}
	}
	for _, t := range []string{m.Body.Text, m.StanzaBody.Text, m.Subject.Text, m.StanzaSubject} {
		if t != "" {
			s.Texts = append(s.Texts, t)
		}
	}
	s.Texts = append(s.Texts, m.Files...)
	return s
}

// Conversation names the two people, or the room, that an utterance belongs to.
func Conversation(u *transcript.Utterance) string {
	if u.Room != "" {
		return u.Room
	}
	if u.From < u.To {
		return u.From + " " + u.To
	}
	return u.To + " " + u.From
}
