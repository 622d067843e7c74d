package archive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// truthUtterances makes some 200,000 rows.
const truthUtterances = 60_000

// write stores the rows as a CSV file in another order than that of time.
func write(t testing.TB, rows []sample.Row, shuffle bool) (path string, order []int) {
	t.Helper()
	order = make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	if shuffle {
		r := rand.New(rand.NewPCG(7, 7))
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	shuffled := make([]sample.Row, len(rows))
	for i, j := range order {
		shuffled[i] = rows[j]
	}
	path = filepath.Join(t.TempDir(), "jm.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := sample.WriteCSV(f, shuffled); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path, order
}

func officerKeys(t testing.TB, a *sample.Archive) (list []*cisco.Key) {
	t.Helper()
	for _, k := range a.Keys {
		key, err := cisco.NewKey(k.Key[:], k.IV[:])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, key)
	}
	return list
}

// TestRowsEqualTruth reads a shuffled archive with three keys, plain rows, a
// lost key and damage, and compares every row with what was written.
func TestRowsEqualTruth(t *testing.T) {
	truth := sample.New(sample.Options{Seed: 1, Utterances: truthUtterances})
	path, order := write(t, truth.Rows, true)
	list := officerKeys(t, truth)
	a, err := Open(context.Background(), []string{path}, Keys{Cisco: list}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	seen, wrong := 0, 0
	count := map[string]int{}
	err = a.Rows(context.Background(), func(m *message.Message) error {
		want := truth.Rows[order[seen]]
		seen++
		count[m.Status.String()]++
		if m.Row != int64(seen) {
			return fmt.Errorf("row %d comes as number %d", seen, m.Row)
		}
		body, stanzaBody := sample.NULL, sample.NULL
		if m.Body.Valid {
			body = m.Body.Text
		}
		if m.StanzaBody.Valid {
			stanzaBody = m.StanzaBody.Text
		}
		key := ""
		if want.Key >= 0 {
			key = list[want.Key].Fingerprint()
		}
		got := []string{m.Status.String(), m.Key, m.From.Raw, m.To.Raw, body, stanzaBody, m.StanzaID, m.Time.Format("15:04:05.000")}
		expected := []string{want.Status, key, want.From, want.To, want.Body, want.StanzaBody, want.StanzaID, want.Time.Format("15:04:05.000")}
		if !slices.Equal(got, expected) {
			if wrong++; wrong <= 10 {
				t.Errorf("row %d (%s):\n got %.100q\nwant %.100q\nstored %.60q", m.Row, m.Reason, got, expected, want.Cells)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != len(truth.Rows) || wrong > 0 {
		t.Errorf("%d of %d rows, %d wrong", seen, len(truth.Rows), wrong)
	}
	t.Logf("%d rows: %v", seen, count)
	for _, s := range []string{"ok", "plain", "damaged", "no-key"} {
		if count[s] < 100 {
			t.Errorf("only %d rows are %s: the archive shows too little", count[s], s)
		}
	}
}

// TestUtterancesEqualTruth compares message by message: none missing, none
// doubled, none put together from different ones.
func TestUtterancesEqualTruth(t *testing.T) {
	truth := sample.New(sample.Options{Seed: 2, Utterances: truthUtterances})
	path, _ := write(t, truth.Rows, true)
	a, err := Open(context.Background(), []string{path}, Keys{Cisco: officerKeys(t, truth)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	got := map[string]int{}
	alone, strays := 0, 0
	last := ""
	c := transcript.New(func(u *transcript.Utterance) {
		at := u.Time.Format("2006-01-02T15:04:05.000")
		if at < last {
			t.Errorf("%s comes after %s", at, last)
		}
		last = at
		switch {
		case u.Row.Status == message.NoKey:
			alone++
			return
		case u.Row.Status == message.Damaged && u.Text.Text == "" && !u.Row.StanzaRead && u.Copies == 1:
			strays++
			return
		}
		got[line(at, u.Row.Kind.String(), u.From, u.To, u.Room, u.Row.RefersTo, u.Text.Text, u.Copies, u.Recipients)]++
	})
	if err := a.ByTime(context.Background(), func(m *message.Message) error { c.Add(m); return nil }); err != nil {
		t.Fatal(err)
	}
	c.Flush()

	want := map[string]int{}
	for _, u := range truth.Utterances {
		if u.Copies > 0 {
			want[line(u.Time.Format("2006-01-02T15:04:05.000"), u.Kind, u.From, u.To, u.Room, u.RefersTo, u.Text, u.Copies, u.Recipients)]++
		}
	}
	shown := 0
	for k, n := range want {
		if got[k] != n {
			if shown++; shown <= 30 {
				t.Errorf("missing %d of %.200s", n-got[k], k)
			}
		}
	}
	for k, n := range got {
		if want[k] < n {
			if shown++; shown <= 60 {
				t.Errorf("%d too many of %.200s", n-want[k], k)
			}
		}
	}
	lost, lostTrack := 0, 0
	for _, r := range truth.Rows {
		if r.Status == "no-key" && r.Cells[13] != "H" {
			lost++
		}
	}
	for _, r := range truth.Rows {
		if r.Stray && r.Cells[13] != "H" {
			lostTrack++
		}
	}
	if alone != lost || strays != lostTrack {
		t.Errorf("%d rows without a key stand alone, not %d; %d damaged rows, not %d", alone, lost, strays, lostTrack)
	}
	t.Logf("%+v, %d utterances wrong, %d strays", c.Counts, shown, strays)
}

func line(at, kind, from, to, room, refers, text string, copies int, recipients []string) string {
	return fmt.Sprintf("%s %s %s>%s%s refers=%s copies=%d to=%s %q", at, kind, from, to, room, refers, copies, strings.Join(recipients, ","), text)
}
