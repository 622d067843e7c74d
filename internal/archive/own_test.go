package archive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/capture/capturetest"
	"archivolt/internal/message"
	"archivolt/internal/review"
	"archivolt/internal/transcript"
	"archivolt/internal/xmpp"
)

const (
	anna, ben, carl = "anna@example.org", "ben@example.org", "carl@example.net"
	ops             = "ops@conference.example.org"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// openOurs opens the archives of places with their officers' identities.
func openOurs(t *testing.T, places ...*capturetest.Place) *Archive {
	t.Helper()
	var names []string
	var keys Keys
	for _, p := range places {
		names = append(names, p.Archive())
		keys.Identities = append(keys.Identities, p.Officer)
	}
	a, err := Open(context.Background(), names, keys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func identities(p *capturetest.Place) []age.Identity { return []age.Identity{p.Officer} }

func rowsOf(t *testing.T, read func(context.Context, func(*message.Message) error) error) (list []message.Message) {
	t.Helper()
	if err := read(context.Background(), func(m *message.Message) error {
		list = append(list, *m)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// said says each utterance in a line.
func said(t *testing.T, a *Archive, f *message.Filter) (list []string) {
	t.Helper()
	_, err := review.Utterances(context.Background(), a, f, func(u *transcript.Utterance) error {
		list = append(list, fmt.Sprintf("%s %s>%s%s (%s) %s %q %dx %v", u.Time.Format("15:04:05"), u.From, u.To, u.Room, u.Nick, u.Row.Kind, u.Text.Text, u.Copies, u.Recipients))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestEachMessageOnce: whatever a server copies, and whether it numbers its
// copies and knows their direction or not.
func TestEachMessageOnce(t *testing.T) {
	for _, numbered := range []bool{true, false} {
		t.Run(fmt.Sprintf("numbered=%v", numbered), func(t *testing.T) {
			s := &capturetest.Server{Numbered: numbered, Now: start}
			id := s.Chat(anna, ben, "Good morning", "<thread>t1</thread>")
			s.Chat(anna, carl, "to another server", "")
			s.Chat(carl, ben, "from another server", "")
			s.Chat(anna, ben, "Good evening", "<replace xmlns='urn:xmpp:message-correct:0' id='"+id+"'/>")
			s.Chat(ben, anna, "", "<reactions xmlns='urn:xmpp:reactions:0' id='"+id+"'><reaction>👍</reaction></reactions>")
			s.Chat(ben, anna, "", "<composing xmlns='http://jabber.org/protocol/chatstates'/>")
			s.Say(ops, anna, "Anna B", "in the room", "", anna, ben, carl)
			s.Say(ops, carl, "Carl", "a guest", "", anna, ben)
			s.Say(ops, carl, "Carl", "of yesterday", "<delay xmlns='urn:xmpp:delay' from='"+ops+"' stamp='2026-02-28T09:00:00Z'/>", ben)
			p := capturetest.New(t)
			p.Run(t, s.Copies())
			a := openOurs(t, p)
			want := []string{
				`09:00:01 anna@example.org>ben@example.org () chat "Good morning" 2x [ben@example.org]`,
				`09:00:02 anna@example.org>carl@example.net () chat "to another server" 1x []`,
				`09:00:03 carl@example.net>ben@example.org () chat "from another server" 1x [ben@example.org]`,
				`09:00:04 anna@example.org>ben@example.org () correction "Good evening" 2x [ben@example.org]`,
				`09:00:05 ben@example.org>anna@example.org () reaction "" 2x [anna@example.org]`,
				`09:00:07 anna@example.org>ops@conference.example.org (Anna B) groupchat "in the room" 3x [anna@example.org ben@example.org]`,
				`09:00:08 >ops@conference.example.org (Carl) groupchat "a guest" 2x [anna@example.org ben@example.org]`,
			}
			if !numbered { // nobody says that the copy to the other server was not one that arrived
				want[1] = strings.Replace(want[1], "[]", "[carl@example.net]", 1)
			}
			if got := said(t, a, &message.Filter{}); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			rows := rowsOf(t, a.Rows)
			for _, m := range rows {
				if m.Status != message.OK || len(m.Key) != 16 {
					t.Errorf("row %d: %s, key %q", m.Row, m.Status, m.Key)
				}
			}
			if first := rows[0]; first.From.Raw != anna+"/desk" || first.Thread.Text != "t1" || first.Body.Valid || first.StanzaBody.Text != "Good morning" || first.StanzaID != id || first.Source != "archive.db" {
				t.Errorf("%+v", first)
			}
			if r, err := review.Check(context.Background(), a, func(*message.Message) string { return "" }); err != nil || r.Replays != 1 || r.Signals != map[bool]int64{true: 2, false: 2}[numbered] {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// execute changes an archive that nobody else has open.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range statements {
		if err := sqlitex.ExecuteTransient(conn, s, nil); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestStatusOfRecords(t *testing.T) {
	p := capturetest.New(t)
	s := &capturetest.Server{Numbered: true, Now: start}
	run := func() {
		for range 4 {
			s.Chat(anna, carl, "text", "")
		}
		p.Run(t, s.Copies())
	}
	run() // epoch 1
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	p.SealFor(t, other.Recipient().String())
	run() // epoch 2
	p.SealFor(t, p.Officer.Recipient().String())
	run() // 3: its entry will speak of another key
	run() // 4: will have no entry
	run() // 5: its wrapped key will be damaged
	run() // 6: will have no wrapped key
	execute(t, p.Archive(),
		"UPDATE records SET sealed = zeroblob(length(sealed)) WHERE idx = (SELECT min(idx) FROM records)",
		"UPDATE records SET time = time + 1 WHERE idx = (SELECT min(idx) + 1 FROM records)",
		"UPDATE records SET sealed = NULL WHERE idx = (SELECT min(idx) + 2 FROM records)",
		"UPDATE records SET sealed = x'00' WHERE idx = (SELECT min(idx) FROM records WHERE epoch = 3)",
		"UPDATE entries SET entry = substr(entry, 1, 80) || zeroblob(32) || substr(entry, 113) WHERE idx = (SELECT idx FROM wraps WHERE epoch = 3)",
		"DELETE FROM entries WHERE idx = (SELECT idx FROM wraps WHERE epoch = 4)",
		"UPDATE wraps SET wrap = substr(wrap, 1, length(wrap) - 1) WHERE epoch = 5",
		"DELETE FROM wraps WHERE epoch = 6")
	a := openOurs(t, p)
	var got []string
	for _, m := range rowsOf(t, a.Rows) {
		got = append(got, m.Status.String()+": "+m.Reason)
	}
	const changed = "damaged: the record is not what was sealed: it, or what stands beside it in clear, was changed"
	none, otherKey, noEntry := "no-key: its data key is sealed for none of the identities given", "unverified: the record's data key is not the one that the ledger has an entry of", "unverified: the ledger has no entry of the record's data key: nobody can say who made it"
	want := []string{changed, changed, "damaged: the record was erased", "ok: ", none, none, none, none, changed, otherKey, otherKey, otherKey, noEntry, noEntry, noEntry, noEntry}
	for range 4 {
		want = append(want, "no-key: its wrapped data key is damaged")
	}
	for range 4 {
		want = append(want, none)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	shut, err := Open(context.Background(), []string{p.Archive()}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer shut.Close()
	for _, m := range rowsOf(t, shut.Rows) {
		if m.Key != "" || m.Status.Readable() || m.Time.IsZero() {
			t.Errorf("without an identity: %+v", m)
		}
	}
}

// TestRecordsInOrder: of records that came late, of several ledgers, in each way of
// reading.
func TestRecordsInOrder(t *testing.T) {
	var places []*capturetest.Place
	for i := range 2 {
		p := capturetest.New(t)
		early := &capturetest.Server{Numbered: true, Now: start.Add(time.Duration(i) * 20 * time.Minute)}
		for n := range 600 {
			early.Chat(anna, carl, fmt.Sprintf("%d early %d", i, n), "")
		}
		late := early.Copies()
		early.Now = start.Add(2 * time.Hour)
		for n := range 300 {
			early.Chat(anna, carl, fmt.Sprintf("%d late %d", i, n), "")
		}
		now := early.Copies()
		for i := range now {
			now[i].Source = "q2"
			now[i].Number -= 600
		}
		p.Run(t, now, late)
		places = append(places, p)
	}
	for _, each := range []way{waiting, fetching, ranges} {
		a := openOurs(t, places...)
		if err := a.Survey(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, p := range a.parts {
			if p.way != waiting {
				t.Errorf("way %d", p.way)
			}
			p.way, p.most = each, 100
			if each == fetching {
				s := &survey{a: a, pool: a.newPool(context.Background())}
				if err := p.stored.ordered(s, p); err != nil {
					t.Fatal(err)
				}
				s.pool.close()
			}
		}
		byTime, byRow := rowsOf(t, a.ByTime), rowsOf(t, a.Rows)
		if len(byTime) != 1800 || len(byRow) != 1800 || byRow[0].StanzaBody.Text != "0 late 0" || byRow[300].StanzaBody.Text != "0 early 0" || byRow[900].StanzaBody.Text != "1 late 0" {
			t.Fatalf("way %d: %d and %d rows", each, len(byTime), len(byRow))
		}
		want := slices.Clone(byRow)
		slices.SortStableFunc(want, func(a, b message.Message) int { return a.Time.Compare(b.Time) })
		for i := range want {
			if byTime[i].StanzaBody.Text != want[i].StanzaBody.Text {
				t.Fatalf("way %d: at %d %q, want %q", each, i, byTime[i].StanzaBody.Text, want[i].StanzaBody.Text)
			}
		}
	}
}

// TestReadWhileCapturing: reading sees whole batches, holds nobody up and
// leaves no file.
func TestReadWhileCapturing(t *testing.T) {
	p := capturetest.New(t)
	s := &capturetest.Server{Numbered: true, Now: start}
	daemon := p.Start(t)
	total := 0
	for range 20 {
		for range 50 {
			s.Chat(anna, carl, "text", "")
			total++
		}
		capturetest.Deliver(t, daemon, "c1", s.Copies())
		if kind, err := KindOf([]string{p.Archive()}); err != nil || kind != Own {
			t.Fatalf("kind %d, %v", kind, err)
		}
		a := openOurs(t, p)
		rows := rowsOf(t, a.ByTime)
		for i, m := range rows {
			if m.Status != message.OK || i > 0 && m.Row <= rows[i-1].Row {
				t.Fatalf("%+v", m)
			}
		}
		a.Close()
	}
	capturetest.Stop(t, daemon)
	if rows := rowsOf(t, openOurs(t, p).ByTime); len(rows) != total {
		t.Errorf("%d rows of %d", len(rows), total)
	}
	files, err := filepath.Glob(p.Archive() + "*")
	if err != nil || len(files) != 1 {
		t.Errorf("%q, %v", files, err)
	}
}

func TestKinds(t *testing.T) {
	p := capturetest.New(t)
	p.Run(t, []xmpp.Copy{{Host: capturetest.Domain, Source: "q", Number: 1, Stanza: []byte("<message/>"), Time: start}})
	dir := t.TempDir()
	csv := filepath.Join(dir, "jm.csv")
	if err := os.WriteFile(csv, []byte("to_jid,from_jid,sent_date,body_string\na@b,c@d,2024-01-31 09:00:00,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{p.Archive(), csv}, {csv, p.Archive()}, {dir, p.Archive()}} {
		if _, err := KindOf(names); err == nil || !strings.Contains(err.Error(), "not read as one") {
			t.Errorf("%q: %v", names, err)
		}
		if _, err := Open(context.Background(), names, Keys{}, Options{}); err == nil || !strings.Contains(err.Error(), "not read as one") {
			t.Errorf("%q: %v", names, err)
		}
	}
	if k, err := KindOf([]string{filepath.Join(dir, "none")}); k != Cisco || err != nil {
		t.Errorf("%d, %v", k, err)
	}
	for _, name := range []string{p.Archive(), filepath.Dir(p.Archive())} {
		if k, err := KindOf([]string{name}); k != Own || err != nil {
			t.Errorf("%s: %d, %v", name, k, err)
		}
	}
	a := openOurs(t, p)
	if d := a.Describe(); len(d) != 1 || !strings.Contains(d[0], p.ID.String()) {
		t.Errorf("%q", d)
	}
}
