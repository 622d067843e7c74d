package review

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"archivolt/internal/message"
)

func check(t *testing.T, archive rows) *Report {
	t.Helper()
	r, err := Check(context.Background(), archive, func(m *message.Message) string { return fmt.Sprintf("%s:%d", m.Source, m.Row) })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// row is a row that is about nothing but its place and its key.
func row(number int64, when time.Time, status message.Status, key, reason string) message.Message {
	return message.Message{Source: "jm.csv", Row: number, Time: when, Status: status, Key: key, Reason: reason, Body: valid(fmt.Sprint(number)), StanzaID: fmt.Sprint(number)}
}

func TestCheck(t *testing.T) {
	day := func(d, hour int) time.Time { return time.Date(2024, 2, d, hour, 0, 0, 0, time.UTC) }
	none := time.Time{}
	direction := func(m message.Message, d message.Direction) message.Message { m.Direction = d; return m }
	archive := rows{
		row(8, none, message.OK, "k1", ""),
		row(9, none, message.NoKey, "", "no key opens it"),
		direction(row(1, day(1, 0), message.OK, "k1", ""), message.In),
		direction(row(2, day(1, 23).Add(time.Hour-time.Millisecond), message.Plain, "", ""), message.In),
		direction(row(3, day(2, 0), message.Damaged, "k1", "the stanza is cut"), message.Out),
		row(4, day(5, 0), message.Damaged, "", "no key opens it"), // 72 hours, and no more
		row(5, day(8, 1), message.OK, "k2", ""),
		with(row(6, day(8, 1), message.Unverified, "k2", "one block"), func(m *message.Message) { m.Encrypted = "OMEMO" }),
		row(7, day(20, 0), message.NoKey, "", "no key opens it"),
	}
	r := check(t, archive)
	if want := (Account{Status: [message.NumStatus]int64{3, 1, 1, 2, 2}, Counts: r.Counts, Keyed: 5, Undated: 2, FirstUnreadable: day(2, 0), LastUnreadable: day(20, 0)}); r.Account != want {
		t.Errorf("the account is %+v, want %+v", r.Account, want)
	}
	if r.Rows != 9 || r.Utterances != 9 || r.In != 2 || r.Out != 1 || r.NoDate != 2 || r.EndToEnd != 1 || !r.First.Equal(day(1, 0)) || !r.Last.Equal(day(20, 0)) {
		t.Errorf("%+v", r)
	}
	if want := []Epoch{{"k1", 3, day(1, 0), day(2, 0)}, {"k2", 2, day(8, 1), day(8, 1)}}; !reflect.DeepEqual(r.Keys, want) {
		t.Errorf("keys: %+v, want %+v", r.Keys, want)
	}
	if want := []Gap{{day(8, 1), day(20, 0)}, {day(5, 0), day(8, 1)}}; !reflect.DeepEqual(r.Gaps, want) {
		t.Errorf("gaps: %+v, want %+v", r.Gaps, want)
	}
	if want := []Day{
		{day(1, 0), 1, 0, map[string]int64{"k1": 1}},
		{day(2, 0), 0, 0, map[string]int64{"k1": 1}},
		{day(5, 0), 0, 1, map[string]int64{}},
		{day(8, 0), 0, 0, map[string]int64{"k2": 2}},
		{day(20, 0), 0, 1, map[string]int64{}},
	}; !reflect.DeepEqual(r.Days, want) {
		t.Errorf("days: %+v, want %+v", r.Days, want)
	}
	if want := []Reason{
		{message.NoKey, "no key opens it", 2, "jm.csv:9"},
		{message.Unverified, "one block", 1, "jm.csv:6"},
		{message.Damaged, "no key opens it", 1, "jm.csv:4"}, // one text, another status
		{message.Damaged, "the stanza is cut", 1, "jm.csv:3"},
	}; !reflect.DeepEqual(r.Reasons, want) {
		t.Errorf("reasons: %+v, want %+v", r.Reasons, want)
	}
}

func TestCheckNothing(t *testing.T) {
	if got := check(t, nil); !reflect.DeepEqual(got, &Report{}) {
		t.Errorf("of an empty archive: %+v", got)
	}
	got := check(t, rows{row(1, time.Time{}, message.OK, "k1", "")})
	if want := []Epoch{{Fingerprint: "k1", Rows: 1}}; !got.First.IsZero() || !got.Last.IsZero() || got.NoDate != 1 || got.Days != nil || got.Gaps != nil || !reflect.DeepEqual(got.Keys, want) {
		t.Errorf("of one row without a date: %+v", got)
	}
}

// TestCheckKeysWithoutDates: a row without a date says nothing about when its
// key was used, wherever the source puts it.
func TestCheckKeysWithoutDates(t *testing.T) {
	none := time.Time{}
	want := []Epoch{{"k1", 3, at(0), at(1)}}
	for _, times := range [][]time.Time{{none, at(0), at(1)}, {at(0), none, at(1)}, {at(0), at(1), none}} {
		var archive rows
		for i, when := range times {
			archive = append(archive, row(int64(i), when, message.OK, "k1", ""))
		}
		if got := check(t, archive); !reflect.DeepEqual(got.Keys, want) {
			t.Errorf("%v: %+v, want %+v", times, got.Keys, want)
		}
	}
}

func TestCheckKeysByFirstUse(t *testing.T) {
	got := check(t, rows{row(1, at(0), message.OK, "z", ""), row(2, at(1), message.OK, "b", ""), row(3, at(1), message.OK, "a", ""), row(4, at(2), message.OK, "z", "")})
	want := []Epoch{{"z", 2, at(0), at(2)}, {"a", 1, at(1), at(1)}, {"b", 1, at(1), at(1)}}
	if !reflect.DeepEqual(got.Keys, want) {
		t.Errorf("%+v, want %+v", got.Keys, want)
	}
}

func TestCheckGaps(t *testing.T) {
	// One gap of each number of days from 4 to 15, in a mixed order, and two of
	// the longest.
	var archive rows
	when := start
	add := func() { archive = append(archive, row(int64(len(archive)), when, message.OK, "k1", "")) }
	add()
	for _, days := range []int{7, 4, 15, 9, 12, 5, 15, 6, 8, 14, 11, 13, 10} {
		when = when.AddDate(0, 0, days)
		add()
	}
	got := check(t, archive).Gaps
	var lengths []int
	for _, g := range got {
		lengths = append(lengths, int(g.To.Sub(g.From)/(24*time.Hour)))
	}
	if want := []int{15, 15, 14, 13, 12, 11, 10, 9, 8, 7}; !reflect.DeepEqual(lengths, want) {
		t.Errorf("the gaps have %d days, want %d", lengths, want)
	}
	if !got[0].From.Before(got[1].From) {
		t.Errorf("of two gaps of one length the later comes first: %v", got[:2])
	}

	for _, c := range []struct {
		after time.Duration
		want  int
	}{{72 * time.Hour, 0}, {72*time.Hour + time.Millisecond, 1}} {
		gaps := check(t, rows{row(1, start, message.OK, "", ""), row(2, start.Add(c.after), message.OK, "", "")}).Gaps
		if len(gaps) != c.want {
			t.Errorf("%v: %d gaps", c.after, len(gaps))
		}
	}
}

// TestCheckLongAgo: a clock that was wrong, or a date that a database makes of
// nothing, may lie before 1970.
func TestCheckLongAgo(t *testing.T) {
	date := func(y, m, d, hour int) time.Time { return time.Date(y, time.Month(m), d, hour, 0, 0, 0, time.UTC) }
	got := check(t, rows{
		row(1, date(1753, 1, 1, 0), message.OK, "k1", ""),
		row(2, date(1969, 12, 30, 12), message.OK, "k1", ""),
		row(3, date(1969, 12, 31, 23), message.OK, "k1", ""),
		row(4, date(1970, 1, 1, 1), message.OK, "k1", ""),
	})
	want := []Day{
		{date(1753, 1, 1, 0), 0, 0, map[string]int64{"k1": 1}},
		{date(1969, 12, 30, 0), 0, 0, map[string]int64{"k1": 1}},
		{date(1969, 12, 31, 0), 0, 0, map[string]int64{"k1": 1}},
		{date(1970, 1, 1, 0), 0, 0, map[string]int64{"k1": 1}},
	}
	if !reflect.DeepEqual(got.Days, want) {
		t.Errorf("%+v, want %+v", got.Days, want)
	}
}

// TestCheckChosenByTheSender: whatever clients call their encryption, it is one
// reason.
func TestCheckChosenByTheSender(t *testing.T) {
	var archive rows
	for i := range 5 {
		method := fmt.Sprint("method ", i)
		m := row(int64(i), at(i), message.OK, "k1", "end-to-end encrypted ("+method+"): the archive does not hold the text")
		archive = append(archive, with(m, func(m *message.Message) { m.Encrypted = method }))
	}
	want := []Reason{{message.OK, "end-to-end encrypted: the archive does not hold the text", 5, "jm.csv:0"}}
	if got := check(t, archive); !reflect.DeepEqual(got.Reasons, want) {
		t.Errorf("%+v, want %+v", got.Reasons, want)
	}
}

// TestCheckManyReasons: the first maxReasons are counted exactly.
func TestCheckManyReasons(t *testing.T) {
	var archive rows
	for i := range 2 * maxReasons {
		archive = append(archive, row(int64(i), at(i), message.Damaged, "", fmt.Sprintf("reason %05d", i)))
	}
	for i := range 3 {
		archive = append(archive, row(int64(i), at(2*maxReasons+i), message.Damaged, "", "reason 00007"))
	}
	r := check(t, archive)
	if r.Further != maxReasons {
		t.Errorf("%d rows have further reasons", r.Further)
	}
	got := r.Reasons
	if want := (Reason{message.Damaged, "reason 00007", 4, "jm.csv:7"}); len(got) != maxReasons || got[0] != want {
		t.Errorf("%d reasons, the first is %+v", len(got), got[0])
	}
}
