package ledger

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

var id = ID{0: 0xA1, 15: 0x0F}

// samples are one entry of each kind with its bytes, written by hand from
// docs/format/envelope.md.
var samples = []struct {
	entry Entry
	bytes []string // hex of a length, then text or hex of a value
}{
	{&Record{Epoch: 2, Source: "prosody/q1", Number: 7, Time: 1700000000123, Tokens: []byte("aaaaaaaabbbbbbbb"), Commitment: [32]byte{1}, Sealed: [32]byte{31: 2}},
		[]string{"00000013", "'archivolt ledger v1", "00000010", "a100000000000000000000000000000f", "00000006", "'record",
			"00000008", "0000000000000002", "0000000a", "'prosody/q1", "00000008", "0000000000000007", "00000008", "0000018bcfe5687b",
			"00000010", "'aaaaaaaabbbbbbbb", "00000020", "01" + strings.Repeat("00", 31), "00000020", strings.Repeat("00", 31) + "02"}},
	{&Epoch{Number: 1, Time: -1, Commitment: [32]byte{3}, Class: "classic", Recipients: [][32]byte{{4}, {5}}, Writer: "archivoltd 1"},
		[]string{"00000013", "'archivolt ledger v1", "00000010", "a100000000000000000000000000000f", "00000005", "'epoch",
			"00000008", "0000000000000001", "00000008", "ffffffffffffffff", "00000020", "03" + strings.Repeat("00", 31), "00000007", "'classic",
			"00000040", "04" + strings.Repeat("00", 31) + "05" + strings.Repeat("00", 31), "0000000c", "'archivoltd 1"}},
	{&Event{Time: 5, Name: Gap, Detail: "17 to 19"},
		[]string{"00000013", "'archivolt ledger v1", "00000010", "a100000000000000000000000000000f", "00000005", "'event",
			"00000008", "0000000000000005", "00000003", "'gap", "00000008", "'17 to 19"}},
}

func written(t *testing.T, parts []string) (all []byte) {
	for _, p := range parts {
		if text, ok := strings.CutPrefix(p, "'"); ok {
			all = append(all, text...)
			continue
		}
		b, err := hex.DecodeString(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func TestEntries(t *testing.T) {
	for _, s := range samples {
		want := written(t, s.bytes)
		if got := s.entry.Append(nil, id); string(got) != string(want) {
			t.Errorf("%T is\n%x, want\n%x", s.entry, got, want)
		}
		back, err := Parse(want, id)
		if err != nil || !reflect.DeepEqual(back, s.entry) {
			t.Errorf("%T is read as %+v, %v", s.entry, back, err)
		}
		for i := range want {
			if _, err := Parse(want[:i], id); err == nil {
				t.Errorf("%T is read although only %d of %d bytes are there", s.entry, i, len(want))
			}
		}
		if _, err := Parse(append(want, 0), id); err == nil {
			t.Errorf("%T is read with a byte too many", s.entry)
		}
		if _, err := Parse(want, ID{}); err == nil {
			t.Errorf("%T is read as one of another archive", s.entry)
		}
	}
}

func TestTokensInOrder(t *testing.T) {
	for _, tokens := range []string{"bbbbbbbbaaaaaaaa", "aaaaaaaaaaaaaaaa", "aaaaaaa"} {
		r := *samples[0].entry.(*Record)
		r.Tokens = []byte(tokens)
		if _, err := Parse(r.Append(nil, id), id); err == nil {
			t.Errorf("a record with the tokens %q is read", tokens)
		}
	}
}

// FuzzParse: whatever is taken has one form.
func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add(s.entry.Append(nil, id))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entry, err := Parse(data, id)
		if err != nil {
			return
		}
		if again := entry.Append(nil, id); string(again) != string(data) {
			t.Errorf("%x is written again as %x", data, again)
		}
	})
}
