package export

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a reviewed file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test ./internal/export -update, then review):\n%s", path, got)
	}
}

// memory is a Folder that keeps its files.
type memory map[string]*bytes.Buffer

type file struct{ *bytes.Buffer }

func (file) Close() error { return nil }

func (m memory) Create(name string) (io.WriteCloser, error) {
	if m[name] != nil {
		return nil, os.ErrExist
	}
	m[name] = &bytes.Buffer{}
	return file{m[name]}, nil
}

// goldenLook shows the golden conversation.
func goldenLook(t *testing.T) Look {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	people := map[string]string{"anna@example.com": "Anna Berg", "boris@example.com": `Борис "Bo" Иванов`}
	return Look{Title: "Case 17 <trade & customs>", Zone: zone,
		Person: func(address string) string { return people[address] },
		Room: func(address string) string {
			return map[string]string{"customs@conf.example.com": "Customs & Trade"}[address]
		}}
}

// goldenConversation is what every format has to show: several scripts, an edit,
// a retraction, reactions, files, an unreadable row, hostile texts, a reply to
// yesterday, a message without a date, two people and a room.
func goldenConversation() (list []*transcript.Utterance) {
	at := time.Date(2024, 1, 31, 8, 0, 0, 0, time.UTC)
	row := int64(0)
	add := func(u transcript.Utterance, change func(*message.Message)) {
		row++
		at = at.Add(61 * time.Second)
		u.Row.Source, u.Row.Row = "jm.csv", row
		if u.Row.Kind == message.Chat && u.Room != "" {
			u.Row.Kind = message.Groupchat
		}
		if u.Row.Key == "" && u.Row.Status == message.OK {
			u.Row.Key = "SHA256:abc"
		}
		u.Time, u.Copies, u.Directions = at, 2, "IO"
		if u.Text.Valid {
			u.TextFrom = "body"
		}
		if change != nil {
			change(&u.Row)
		}
		list = append(list, &u)
	}
	pair := func(from, to, id, text string) transcript.Utterance {
		return transcript.Utterance{From: from, To: to, Recipients: []string{to}, Text: message.Text{Text: text, Valid: true}, Row: message.Message{StanzaID: id}}
	}
	const anna, boris, carla = "anna@example.com", "boris@example.com", "carla@example.com"
	first := pair(anna, boris, "m0", "a message without a date")
	add(first, nil)
	list[0].Time = time.Time{}
	add(pair(anna, boris, "m1", "Good morning! <b>Rotterdam</b> & \"customs\""), nil)
	add(pair(boris, anna, "m2", "Доброе утро.\nZweite Zeile, 税関の書類, تم الإرسال, שלום 👍🏽"), nil)
	add(pair(anna, boris, "m3", "=HYPERLINK(\"http://evil.example\") \u202egnp.exe\u202c"), nil)
	add(pair(anna, boris, "m4", "Good evening!"), func(m *message.Message) { m.Kind, m.RefersTo = message.Correction, "m1" })
	add(pair(boris, anna, "m5", ""), func(m *message.Message) {
		m.Kind, m.RefersTo, m.Reactions = message.Reaction, "m1", []string{"👍", "🚚"}
	})
	list[len(list)-1].Text, list[len(list)-1].TextFrom = message.Text{}, ""
	add(pair(boris, anna, "m6", ""), func(m *message.Message) { m.Kind, m.RefersTo = message.Retraction, "m2" })
	list[len(list)-1].Text, list[len(list)-1].TextFrom = message.Text{}, ""
	add(pair(anna, boris, "m7", "see the file"), func(m *message.Message) { m.Files = []string{"https://files.example.com/a b.pdf"} })
	add(transcript.Utterance{Row: message.Message{Status: message.NoKey, Reason: "no key opens MESSAGE_STRING, TO_JID, FROM_JID, BODY_STRING"}}, nil)
	add(pair(anna, boris, "m8", "an edit of yesterday's"), func(m *message.Message) { m.Kind, m.RefersTo = message.Correction, "before" })
	room := func(from, id, text string) transcript.Utterance {
		return transcript.Utterance{From: from, Room: "customs@conf.example.com", Nick: "nick", Recipients: []string{anna, boris, carla}, Text: message.Text{Text: text, Valid: true},
			Row: message.Message{StanzaID: id, Room: true}}
	}
	add(room(carla, "r1", "Subject: injected\r\nBcc: all@example.com"), nil)
	add(room(carla, "r2", ""), func(m *message.Message) { m.Kind, m.StanzaSubject = message.Topic, "New subject" })
	list[len(list)-1].Text, list[len(list)-1].TextFrom = message.Text{}, ""
	add(room("", "r3", "by a nick alone"), func(m *message.Message) {
		m.Status, m.Reason = message.Unverified, "a single block cannot show that the key is right"
	})
	at = at.Add(24 * time.Hour)
	add(pair(boris, anna, "m9", "the next day"), func(m *message.Message) { m.Status, m.Key = message.Plain, "" })
	return list
}

// goldenSlices are the slices of the golden conversation.
func goldenSlices(t *testing.T) (list []*Slice) {
	t.Helper()
	s := NewSlicer(goldenLook(t).Zone, func(s *Slice) error { list = append(list, s); return nil })
	for _, u := range goldenConversation() {
		if err := s.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return list
}
