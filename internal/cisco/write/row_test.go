package write

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"archivolt/internal/cisco"
	"archivolt/internal/testenv"
)

// The key of the vector in docs/format/cisco.md.
var (
	testKey = [KeySize]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}
	testIV  = [IVSize]byte{0xf0, 0xe0, 0xd0, 0xc0, 0xb0, 0xa0, 0x90, 0x80, 0x70, 0x60, 0x50, 0x40, 0x30, 0x20, 0x10, 0x00}
)

// opened decrypts a stored value with openssl.
func opened(t testing.TB, value string) string {
	t.Helper()
	raw, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(testenv.Command(t, "openssl"), "enc", "-d", "-aes-256-cbc", "-K", hex.EncodeToString(testKey[:]), "-iv", hex.EncodeToString(testIV[:]))
	c.Stdin = strings.NewReader(string(raw))
	out, err := c.Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	return string(out)
}

func TestValue(t *testing.T) {
	e := newEncrypter(testKey, testIV)
	if got := e.value([]byte("Prices are up — see <memo>")); got != "bcRZmqMLHcFGDEfVmdD/jiTReIVml36K5LoxL496WeA=" {
		t.Errorf("the vector comes out as %s", got)
	}
	for n := 1; n <= 33; n++ {
		text := strings.Repeat("x", n)
		if got := opened(t, e.value([]byte(text))); got != text {
			t.Errorf("%d bytes come back as %q", n, got)
		}
	}
	if got := e.value(nil); got != "" {
		t.Errorf("nothing is stored as %q", got)
	}
	key, err := cisco.NewKey(testKey[:], testIV[:])
	if err != nil || e.fingerprint != key.Fingerprint() || e.fingerprint != "07c7e18f7b8e6945" {
		t.Errorf("fingerprint %s, %v", e.fingerprint, err)
	}
}

func TestMostFor(t *testing.T) {
	e := newEncrypter(testKey, testIV)
	for _, chars := range []int{maxJID, maxString} {
		most := mostFor(chars)
		if n := len(e.value(make([]byte, most))); n > chars {
			t.Errorf("%d bytes take %d characters, more than %d", most, n, chars)
		}
		if n := len(e.value(make([]byte, most+1))); n <= chars {
			t.Errorf("%d bytes would fit too: %d characters", most+1, n)
		}
	}
}

var at = time.Date(2026, 11, 24, 13, 0, 0, 123_987_654, time.FixedZone("", 3600))

// TestRow gives each column what a stanza means for it. What is encrypted is
// opened by openssl.
func TestRow(t *testing.T) {
	long := strings.Repeat("ü", 200)
	emoji := strings.Repeat("😀", 70)
	longJID := "room@conference.example.org/" + strings.Repeat("n", 1023) + "@" + strings.Repeat("é", 1000)
	const delayed = "<body>old</body><delay xmlns='urn:xmpp:delay' from='r@rooms.x' stamp='2026-11-24T11:00:00Z'/></message>"
	for _, c := range []struct {
		name      string
		stanza    string
		direction byte
		o         Options
		want      string // TO|FROM|SUBJECT|THREAD|TYPE|DIRECTION|BODY_LEN|body|HISTORY
		cut       string
	}{
		{"a chat", "<message to='ben@example.org/phone' from='anna@example.org/pc' type='chat' id='1'><thread>t1</thread><body>hi &amp; bye</body></message>", 'I', Options{},
			"ben@example.org/phone|anna@example.org/pc|NULL|t1|c|I|8|hi & bye|N", ""},
		{"no type", "<message to='b@x' from='a@x'><body>ü</body></message>", 'O', Options{}, "b@x|a@x|NULL|NULL|n|O|1|ü|N", ""},
		{"a type that is none", "<message to='b@x' from='a@x' type='Chat'/>", 'O', Options{}, "b@x|a@x|NULL|NULL|n|O|0|NULL|N", ""},
		{"a headline", "<message to='b@x' from='x' type='headline'/>", 'I', Options{}, "b@x|x|NULL|NULL|h|I|0|NULL|N", ""},
		{"an error", "<message to='b@x' from='a@x' type='error'><body>was</body><error type='cancel'/></message>", 'I', Options{}, "b@x|a@x|NULL|NULL|e|I|3|was|N", ""},
		{"an empty body", "<message to='b@x' from='a@x'><body/></message>", 'O', Options{}, "b@x|a@x|NULL|NULL|n|O|0||N", ""},
		{"no addresses", "<message><body>b</body></message>", 'O', Options{}, "||NULL|NULL|n|O|1|b|N", ""},
		{"a subject", "<message to='b@x' from='a@x'><subject>secret plans</subject></message>", 'O', Options{}, "b@x|a@x|NULL|NULL|n|O|0|NULL|N", ""},
		{"a subject in clear", "<message to='b@x' from='a@x'><subject>" + long + "</subject></message>", 'O', Options{ClearSubjects: true},
			"b@x|a@x|" + long[:2*128] + "|NULL|n|O|0|NULL|N", "SUBJECT"},
		{"a thread of characters that count twice", "<message to='b@x' from='a@x'><thread>" + emoji + "</thread></message>", 'O', Options{},
			"b@x|a@x|NULL|" + emoji[:4*64] + "|n|O|0|NULL|N", "THREAD_ID"},
		{"a thread that is no text", "<message to='b@x' from='a@x'><thread>\xff</thread></message>", 'O', Options{}, "b@x|a@x|NULL|NULL|n|O|0|NULL|N", ""},
		{"an address that is too long", "<message to='b@x' from='" + longJID + "' type='groupchat'/>", 'I', Options{},
			"b@x|" + longJID[:2286] + "|NULL|NULL|g|I|0|NULL|N", "FROM_JID"},
		{"cut off", "<message to='b@x' from='a@x' type='chat'><body>whole</body><x", 'I', Options{}, "b@x|a@x|NULL|NULL|c|I|5|whole|N", ""},
		{"no message at all", "garbage", 'I', Options{}, "||NULL|NULL|n|I|0|NULL|N", ""},

		// XEP-0045 section 7.2.13, and what somebody could write into his own message.
		{"a replay", "<message to='ben@x/phone' from='r@rooms.x/anna' type='groupchat'>" + delayed, 'I', Options{},
			"ben@x/phone|r@rooms.x/anna|NULL|NULL|g|I|3|old|H", ""},
		{"a replay by a server that says no direction", "<message to='ben@x/phone' from='r@rooms.x/anna' type='groupchat'>" + delayed, 0,
			Options{LocalDomains: []string{"x", "rooms.x"}}, "ben@x/phone|r@rooms.x/anna|NULL|NULL|g|I|3|old|H", ""},
		{"a sender who claims to be late", "<message to='r@rooms.x' from='anna@x/pc' type='groupchat'>" + delayed, 'O', Options{},
			"r@rooms.x|anna@x/pc|NULL|NULL|g|O|3|old|N", ""},
		{"a sender who claims to be late, without a direction", "<message to='r@rooms.x' from='r@rooms.x' type='groupchat'>" + delayed, 0, Options{},
			"r@rooms.x|r@rooms.x|NULL|NULL|g|O|3|old|N", ""},
		{"late, by another hand", "<message to='ben@x/phone' from='other@rooms.x/anna' type='groupchat'>" + delayed, 'I', Options{},
			"ben@x/phone|other@rooms.x/anna|NULL|NULL|g|I|3|old|N", ""},
		{"offline, delivered late", "<message to='ben@x/phone' from='r@rooms.x/anna' type='chat'>" + delayed, 'I', Options{},
			"ben@x/phone|r@rooms.x/anna|NULL|NULL|c|I|3|old|N", ""},

		{"a guess: to abroad", "<message to='ben@y/phone' from='anna@x/pc' type='chat'/>", 0, Options{LocalDomains: []string{"x"}}, "ben@y/phone|anna@x/pc|NULL|NULL|c|O|0|NULL|N", ""},
		{"a guess: from abroad", "<message to='ben@X' from='anna@y/pc' type='chat'/>", 0, Options{LocalDomains: []string{"x"}}, "ben@X|anna@y/pc|NULL|NULL|c|I|0|NULL|N", ""},
		{"a guess: sent", "<message to='ben@x' from='anna@x/pc' type='chat'/>", 0, Options{LocalDomains: []string{"x"}}, "ben@x|anna@x/pc|NULL|NULL|c|O|0|NULL|N", ""},
		{"a guess: delivered", "<message to='ben@x/phone' from='anna@x/pc' type='chat'/>", 0, Options{LocalDomains: []string{"x"}}, "ben@x/phone|anna@x/pc|NULL|NULL|c|I|0|NULL|N", ""},
	} {
		e := NewEncoder(testKey, testIV, c.o)
		rows, report, err := e.Rows([]Copy{{Stanza: []byte(c.stanza), Time: at, Direction: c.direction, Source: "s", Number: 7}})
		if err != nil || len(rows) != 1 || report.Collapsed != 0 {
			t.Errorf("%s: %d rows, %v", c.name, len(rows), err)
			continue
		}
		r := rows[0]
		plain := func(value string) string {
			if value == "" {
				return ""
			}
			return opened(t, value)
		}
		text := func(v Text) string {
			if !v.Valid {
				return "NULL"
			}
			return v.Text
		}
		body := "NULL"
		if r.BodyString.Valid {
			body = plain(r.BodyString.Text)
		}
		got := strings.Join([]string{plain(r.ToJID), plain(r.FromJID), text(r.Subject), text(r.ThreadID), string(rune(r.MsgType)), string(rune(r.Direction)), fmt.Sprint(r.BodyLen), body, string(rune(r.HistoryFlag))}, "|")
		if got != c.want {
			t.Errorf("%s:\n got %.300q\nwant %.300q", c.name, got, c.want)
		}
		stanza := r.MessageString
		if r.MessageText.Valid {
			stanza = r.MessageText
		}
		if opened(t, stanza.Text) != c.stanza || r.MessageLen != utf8.RuneCountInString(c.stanza) || r.MessageString.Valid == r.MessageText.Valid {
			t.Errorf("%s: the stanza is not stored whole", c.name)
		}
		if got := r.cells()[2].Text; got != "2026-11-24 12:00:00.123" {
			t.Errorf("%s: at %s", c.name, got)
		}
		var cuts []string
		for _, x := range report.Cut {
			if x.Source != "s" || x.Number != 7 {
				t.Errorf("%s: %+v", c.name, x)
			}
			cuts = append(cuts, x.Column)
		}
		if strings.Join(cuts, " ") != c.cut {
			t.Errorf("%s: cut are %q, want %q", c.name, cuts, c.cut)
		}
	}
}

// TestSpill: a value is in the first of the two columns exactly if it has at
// most 4000 characters as it is stored.
func TestSpill(t *testing.T) {
	e := NewEncoder(testKey, testIV, Options{})
	for _, c := range []struct {
		bytes int
		short bool
	}{{1, true}, {2991, true}, {2992, false}, {4000, false}, {100_000, false}} {
		body := strings.Repeat("x", c.bytes)
		rows, _, err := e.Rows([]Copy{{Stanza: []byte("<message><body>" + body + "</body></message>"), Time: at, Direction: 'I'}})
		if err != nil {
			t.Fatal(err)
		}
		r := rows[0]
		v := r.BodyString
		if !c.short {
			v = r.BodyText
		}
		if r.BodyString.Valid != c.short || r.BodyText.Valid == c.short || opened(t, v.Text) != body || r.BodyLen != c.bytes || c.short != (len(v.Text) <= 4000) {
			t.Errorf("%d bytes: in BODY_STRING %v, in BODY_TEXT %v, %d characters", c.bytes, r.BodyString.Valid, r.BodyText.Valid, len(v.Text))
		}
	}
}

func TestRefused(t *testing.T) {
	e := NewEncoder(testKey, testIV, Options{})
	for name, c := range map[string]Copy{"no time": {Stanza: []byte("<message/>"), Direction: 'I'}, "a direction": {Stanza: []byte("<message/>"), Time: at, Direction: 'X'}} {
		if rows, _, err := e.Rows([]Copy{c}); err == nil {
			t.Errorf("%s: %v", name, rows)
		}
	}
	for year, want := range map[int]string{1: "1753-01-01 00:00:00.000", 1753: "1753-11-24 12:00:00.000", 12026: "9999-12-31 23:59:59.000"} {
		rows, report, err := e.Rows([]Copy{{Stanza: []byte("<message/>"), Time: time.Date(year, 11, 24, 12, 0, 0, 0, time.UTC), Direction: 'I'}})
		if err != nil || rows[0].cells()[2].Text != want || (len(report.Cut) == 1) != (year != 1753) {
			t.Errorf("year %d: %s, %+v, %v", year, rows[0].cells()[2].Text, report, err)
		}
	}
}

// chat is a copy of one direction.
func chat(direction byte, from, to, kind, id, body string) Copy {
	text := "<message from='" + from + "' to='" + to + "' type='" + kind + "'"
	if id != "" {
		text += " id='" + id + "'"
	}
	text += "><body>" + body + "</body>"
	if direction == 'I' {
		text += "<stanza-id xmlns='urn:xmpp:sid:0' by='x' id='9'/>" // as servers do
	}
	return Copy{Stanza: []byte(text + "</message>"), Time: at, Direction: direction}
}

func TestPerMessage(t *testing.T) {
	const room = "r@rooms.x"
	for _, c := range []struct {
		name   string
		copies []Copy
		want   []int // those that have rows
	}{
		{"between local users", []Copy{chat('O', "a@x/1", "b@x", "chat", "1", "hi"), chat('I', "a@x/1", "b@x/1", "chat", "1", "hi"), chat('I', "a@x/1", "b@x/2", "chat", "1", "hi")}, []int{0}},
		{"the same without ids", []Copy{chat('O', "a@x/1", "b@x", "chat", "", "hi"), chat('I', "a@x/1", "b@x/1", "chat", "", "hi"), chat('I', "a@x/1", "b@x/2", "chat", "", "hi")}, []int{0}},
		{"said twice", []Copy{chat('O', "a@x/1", "b@x", "chat", "", "hi"), chat('O', "a@x/1", "b@x", "chat", "", "hi"), chat('I', "a@x/1", "b@x/1", "chat", "", "hi"), chat('I', "a@x/1", "b@x/1", "chat", "", "hi")}, []int{0, 1}},
		{"received once more than sent", []Copy{chat('O', "a@x/1", "b@x", "chat", "", "hi"), chat('I', "a@x/1", "b@x/1", "chat", "", "hi"), chat('I', "a@x/1", "b@x/1", "chat", "", "hi")}, []int{0, 1}}, // two equal ones, of which the second has a row
		{"the recipient first", []Copy{chat('I', "a@x/1", "b@x/1", "chat", "1", "hi"), chat('O', "a@x/1", "b@x", "chat", "1", "hi"), chat('I', "a@x/1", "b@x/2", "chat", "1", "hi")}, []int{0, 1}},
		{"from abroad to two clients", []Copy{chat('I', "a@y/1", "b@x/1", "chat", "1", "hi"), chat('I', "a@y/1", "b@x/2", "chat", "1", "hi")}, []int{0}},
		{"from abroad to two people", []Copy{chat('I', "a@y/1", "b@x/1", "chat", "1", "hi"), chat('I', "a@y/1", "c@x/1", "chat", "1", "hi")}, []int{0, 1}},
		{"to two people", []Copy{chat('O', "a@x/1", "b@x", "chat", "1", "hi"), chat('O', "a@x/1", "c@x", "chat", "1", "hi"), chat('I', "a@x/1", "c@x/1", "chat", "1", "hi")}, []int{0, 1}},
		{"an id used again", []Copy{chat('I', "a@y/1", "b@x/1", "chat", "1", "hi"), chat('I', "a@y/1", "b@x/1", "chat", "1", "ho"), chat('I', "a@y/1", "b@x/2", "chat", "1", "ho")}, []int{0, 1}},
		{"an id and text used again", []Copy{chat('I', "a@y/1", "b@x/1", "chat", "1", "hi"), chat('I', "a@y/1", "b@x/1", "chat", "1", "hi")}, []int{0, 1}},
		{"in a room", []Copy{chat('O', "a@x/1", room, "groupchat", "1", "hi"), chat('I', room+"/a", "a@x/1", "groupchat", "1", "hi"), chat('I', room+"/a", "b@x/1", "groupchat", "1", "hi")}, []int{0, 1}},
		{"in a room, twice", []Copy{chat('I', room+"/a", "a@x/1", "groupchat", "", "hi"), chat('I', room+"/a", "b@x/1", "groupchat", "", "hi"), chat('I', room+"/a", "a@x/1", "groupchat", "", "hi"), chat('I', room+"/a", "b@x/1", "groupchat", "", "hi")}, []int{0, 2}},
		{"in a room, by two", []Copy{chat('I', room+"/a", "c@x/1", "groupchat", "1", "hi"), chat('I', room+"/b", "c@x/1", "groupchat", "1", "hi")}, []int{0, 1}},
		{"without directions", []Copy{chat(0, "a@x/1", "b@x", "chat", "1", "hi"), chat(0, "a@x/1", "b@x/1", "chat", "1", "hi")}, []int{0}},
		{"without directions and ids", []Copy{chat(0, "a@x/1", "b@x", "chat", "", "hi"), chat(0, "a@x/1", "b@x/1", "chat", "", "hi")}, []int{0, 1}},
		{"without directions, to two people", []Copy{chat(0, "a@x/1", "b@x", "chat", "1", "hi"), chat(0, "a@x/1", "c@x", "chat", "1", "hi")}, []int{0, 1}},
		{"that cannot be read", []Copy{{Stanza: []byte("<message from='a@y' id='1' "), Time: at, Direction: 'I'}, {Stanza: []byte("<message from='a@y' id='1'  "), Time: at, Direction: 'I'}}, []int{0, 1}},
	} {
		// In one batch, and each in its own; a batch that failed is made again.
		for _, size := range []int{len(c.copies), 1} {
			e := NewEncoder(testKey, testIV, Options{PerMessage: true})
			var got []int
			n := 0
			for batch := range slices.Chunk(c.copies, size) {
				var first []Row
				for try := range 3 {
					rows, report, err := e.Rows(batch)
					if err != nil || len(rows)+report.Collapsed != len(batch) {
						t.Fatal(err)
					}
					if try == 0 {
						first = rows
					} else if !slices.Equal(rows, first) {
						t.Errorf("%s: another try has other rows", c.name)
					}
				}
				e.Stored()
				for _, r := range first {
					for n < len(c.copies) && e.value(c.copies[n].Stanza) != r.MessageString.Text {
						n++
					}
					got = append(got, n)
					n++
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, %d together: rows for %v, want %v", c.name, size, got, c.want)
			}
		}
	}
}

// TestForget: what was seen long ago is no copy, and memory is bounded.
func TestForget(t *testing.T) {
	e := NewEncoder(testKey, testIV, Options{PerMessage: true})
	now := at
	e.collapse.now = func() time.Time { return now }
	count := func(id int, direction byte) int {
		rows, _, err := e.Rows([]Copy{chat(direction, "a@x/1", "b@x", "chat", fmt.Sprint(id), "hi")})
		if err != nil {
			t.Fatal(err)
		}
		e.Stored()
		return len(rows)
	}
	count(1, 'O')
	now = now.Add(remember)
	if n := count(1, 'I'); n != 0 {
		t.Errorf("within the time: %d rows", n)
	}
	now = now.Add(remember + 1)
	if n := count(1, 'I'); n != 1 {
		t.Errorf("after the time: %d rows", n)
	}
	for i := range 5000 {
		count(i, 'O')
		now = now.Add(time.Second)
	}
	if n := len(e.collapse.stored); n > 1024 {
		t.Errorf("%d messages are remembered", n)
	}
}

// FuzzRow: any stanza becomes a row that every database takes and that holds
// it whole.
func FuzzRow(f *testing.F) {
	f.Add([]byte("<message to='b@x' from='a@x' type='chat'><subject>s</subject><thread>t</thread><body>b</body></message>"))
	f.Add([]byte("<message from='\xff' to=\"&#x1F600;\"><thread>&#0;\x00</thread><body"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e := NewEncoder(testKey, testIV, Options{PerMessage: true, ClearSubjects: true})
		rows, _, err := e.Rows([]Copy{{Stanza: raw, Time: at}})
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		limits := []int{3071, 3071, 23, 128, 128, 1, 1, 9, 9, 4000, 4000, 1 << 30, 1 << 30, 1}
		for i, c := range rows[0].cells() {
			if utf8.RuneCountInString(c.Text) > limits[i] || !utf8.ValidString(c.Text) || strings.ContainsRune(c.Text, 0) {
				t.Fatalf("%s: %q", Columns[i], c.Text)
			}
			if !c.Valid && strings.Contains(types[i], "NN") {
				t.Fatalf("%s is NULL", Columns[i])
			}
		}
		key, err := cisco.NewKey(testKey[:], testIV[:])
		if err != nil {
			t.Fatal(err)
		}
		stored, err := base64.StdEncoding.DecodeString(rows[0].MessageString.Text + rows[0].MessageText.Text)
		if err != nil || len(raw) == 0 {
			return
		}
		if plain, err := key.NewDecrypter().Decrypt(nil, stored); err != nil || string(plain) != string(raw) {
			t.Fatalf("%q comes back as %q, %v", raw, plain, err)
		}
	})
}
