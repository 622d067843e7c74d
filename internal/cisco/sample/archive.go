package sample

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Options say what archive to make.
type Options struct {
	Seed       uint64
	Utterances int           // messages said; rows are some four times as many
	Start      time.Time     // of the first message; 2 January 2024 if zero
	Gap        time.Duration // mean time between messages, by day; 90 seconds if zero
}

// Archive is a made-up table JM with the truth about it.
type Archive struct {
	Keys       []Key // three that an officer has; the lost one is not among them
	Lost       Key
	Rows       []Row // in the order of time
	Utterances []Utterance
	People     map[string]string // bare address to display name
}

// NULL marks an absent cell of a Row.
const NULL = "\x00NULL"

// Columns are the columns of a Row, in the documented order of JM.
var Columns = []string{"TO_JID", "FROM_JID", "SENT_DATE", "SUBJECT", "THREAD_ID", "MSG_TYPE", "DIRECTION",
	"BODY_LEN", "MESSAGE_LEN", "BODY_STRING", "MESSAGE_STRING", "BODY_TEXT", "MESSAGE_TEXT", "HISTORY_FLAG"}

// Row is one stored row and what a reader who has Keys must make of it.
type Row struct {
	Cells [14]string // as stored, NULL for an absent one
	Time  time.Time

	Status     string // ok, plain, unverified, damaged, no-key
	Key        int    // index into Keys of the key that opens it; -1 for none
	To, From   string // the columns' text; "" if it cannot be read
	Body       string // the body column's text, NULL if absent or unreadable
	StanzaBody string // the stanza's, likewise
	StanzaID   string
	Utterance  int  // index into Utterances; -1 for replays and signals
	Stray      bool // damaged so that nothing tells which message it is a copy of

	delivered  string // the recipient, also where nobody can read it
	stanzaLost bool
}

// Utterance is one message said.
type Utterance struct {
	Kind     string // chat, groupchat, correction, retraction, reaction
	From     string // bare address
	To       string // bare address, or "" in a room
	Room     string // bare address, or ""
	Nick     string
	ID       string // stanza id, or ""
	RefersTo string
	Text     string

	// What is left of it for a reader who has Keys: Time is that of the
	// earliest copy that opens. An utterance of which nothing opens cannot be
	// put together, and Copies is 0.
	Time       time.Time
	Copies     int
	Recipients []string // bare addresses of those whose clients got it, sorted
}

// maker holds the state of making an archive.
type maker struct {
	*rand.Rand
	a       *Archive
	people  []string
	rooms   []string
	members map[string][]string
	now     time.Time
	said    map[string][]Utterance // by room or pair, the last few
	replay  map[string][]pending   // by room, the last few messages
}

// pending is a room message as it will be pushed to newcomers.
type pending struct {
	from, stanza, body string
}

// New makes an archive; the same options make the same one.
func New(o Options) *Archive {
	m := &maker{Rand: rand.New(rand.NewPCG(o.Seed, 0x61726368)), a: &Archive{People: map[string]string{}},
		members: map[string][]string{}, said: map[string][]Utterance{}, replay: map[string][]pending{}}
	m.now = o.Start
	if m.now.IsZero() {
		m.now = time.Date(2024, 1, 2, 7, 0, 0, 0, time.UTC)
	}
	if o.Gap == 0 {
		o.Gap = 90 * time.Second
	}
	for range 3 {
		m.a.Keys = append(m.a.Keys, m.key())
	}
	m.a.Lost = m.key()
	m.cast()
	begin := m.now
	// Nine hours of talk a day; the epochs are cut afterwards, by share.
	for range o.Utterances {
		m.now = m.now.Add(time.Duration(m.ExpFloat64()*float64(o.Gap)) / time.Millisecond * time.Millisecond)
		if m.now.Hour() >= 17 {
			m.now = m.now.Truncate(24 * time.Hour).Add(31*time.Hour + time.Duration(m.IntN(3_600_000))*time.Millisecond)
		}
		m.say()
	}
	slices.SortStableFunc(m.a.Rows, func(a, b Row) int { return a.Time.Compare(b.Time) })
	m.encrypt(begin)
	m.finish()
	return m.a
}

func (m *maker) key() (k Key) {
	for i := range k.Key {
		k.Key[i] = byte(m.Uint32())
	}
	for i := range k.IV {
		k.IV[i] = byte(m.Uint32())
	}
	return k
}

// cast invents the people and rooms, odd addresses among them.
func (m *maker) cast() {
	names := []string{"Anna Berg", "Boris Iwanow", "Chloé Martin", "Dmitri Papadakis", "Eiko Tanaka", "Farid Haddad", "Gül Demir", "Håkan Ström",
		"Ines Costa", "Jun Li", "Katya Orlova", "Liam O'Brien", "Maya Cohen", "Niran Suksawat", "Olga Nowak", "Pedro Núñez"}
	for i, name := range names {
		local := strings.ToLower(strings.NewReplacer(" ", ".", "'", "", "é", "e", "ü", "u", "å", "a", "ö", "o", "ú", "u", "ñ", "n").Replace(name))
		domain := "example.com"
		switch {
		case i == 3:
			domain = "xn--bcher-kva.example" // an IDN host in its ASCII form
		case i == 5:
			local = `farid\20haddad`
		case i == 9:
			local, domain = "j", "im.cn" // shorter than a block
		case i == 12:
			local = strings.Repeat("maya.cohen.", 12) + "legal"
		case i == 14:
			domain = "partner.example" // federated
		}
		bare := local + "@" + domain
		m.people = append(m.people, bare)
		m.a.People[bare] = name
	}
	for i, room := range []string{"ops", "trading", `legal\20hold`, "r7"} {
		bare := room + "@conference-2-standalone.example.com"
		m.rooms = append(m.rooms, bare)
		for j, p := range m.people {
			if (j+i)%3 != 0 && p != m.people[14] {
				m.members[bare] = append(m.members[bare], p)
			}
		}
	}
}

// client is one of a person's clients. Now and then it spells the address in
// another case, as people type it.
func (m *maker) client(bare string) string {
	if m.IntN(50) == 0 {
		bare = strings.ToUpper(bare[:1]) + bare[1:]
	}
	return bare + fmt.Sprintf("/jabber_%d", 1000+m.IntN(40))
}

func pick[T any](m *maker, list []T) T { return list[m.IntN(len(list))] }

// text invents what is said.
func (m *maker) text() string {
	body := pick(m, Bodies())
	switch m.IntN(40) {
	case 0, 1, 2, 3:
		return pick(m, []string{"ok", "Yes.", "да", "はい", "no", "👍", "+1", "=sum", "thx"})
	case 4:
		return fmt.Sprintf("%s\nSecond line, with \"quotes\", commas; and\ttabs (%d)", body, m.IntN(1e9))
	case 5:
		return fmt.Sprintf("<b>%s</b> & \"co\" ]]> &amp; %d", body, m.IntN(1e9))
	case 6:
		// Longer than the 4000 characters of a short column.
		return strings.Repeat(body+" ", 60+m.IntN(40)) + fmt.Sprint(m.IntN(1e9))
	case 7:
		return base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%08d", m.IntN(1e8)) + strings.Repeat("attachment ", 2) + "x")) // what looks like a value
	case 8:
		return pick(m, []string{"+", "=", "-", "@"}) + body
	}
	return fmt.Sprintf("%s (%d)", body, m.IntN(1e9))
}

// id invents a stanza id: unique, reused as by a client that counts from one,
// or none.
func (m *maker) id() string {
	switch n := m.IntN(20); {
	case n < 2:
		return ""
	case n < 4:
		return fmt.Sprint(1 + m.IntN(5))
	}
	return fmt.Sprintf("%04x:%04x:%04x:%04x:%04x", m.IntN(1<<16), m.IntN(1<<16), m.IntN(1<<16), m.IntN(1<<16), m.IntN(1<<16))
}

func (m *maker) say() {
	switch m.IntN(10) {
	case 0, 1, 2:
		m.sayInRoom()
	case 3:
		m.signal()
	default:
		m.sayToOne()
	}
}

func (m *maker) sayToOne() {
	from, to := pick(m, m.people), pick(m, m.people)
	for to == from {
		to = pick(m, m.people)
	}
	u := Utterance{Kind: "chat", From: from, To: to, ID: m.id(), Text: m.text()}
	extra := m.refer(&u, from+" "+to)
	thread := NULL
	if m.IntN(3) == 0 {
		thread = fmt.Sprintf("t%06d", m.IntN(1e6))
	}
	sender := m.client(from)
	index := len(m.a.Utterances)
	local := from != m.people[14]
	if local {
		m.row(index, rowOf{to: to, from: sender, kind: "c", direction: "O", thread: thread, u: &u, extra: extra})
	}
	if to != m.people[14] { // who is on another server has no row of his own here
		n := 1
		if m.IntN(6) == 0 {
			n = 2 // two clients
		}
		clients := map[string]bool{}
		for range n {
			if c := m.client(to); !clients[c] {
				clients[c] = true
				m.row(index, rowOf{to: c, from: sender, kind: "c", direction: "I", thread: thread, u: &u, extra: extra})
			}
		}
	}
	m.remember(u, from+" "+to)
}

func (m *maker) sayInRoom() {
	room := pick(m, m.rooms)
	members := m.members[room]
	from := pick(m, members)
	u := Utterance{Kind: "groupchat", From: from, Room: room, ID: m.id(), Text: m.text()}
	extra := m.refer(&u, room)
	sender := m.client(from)
	u.Nick = sender
	index := len(m.a.Utterances)
	m.row(index, rowOf{to: room, from: sender, kind: "g", direction: "O", thread: NULL, u: &u, extra: extra})
	for _, p := range members {
		if m.IntN(3) > 0 || p == from {
			m.row(index, rowOf{to: m.client(p), from: room + "/" + sender, kind: "g", direction: "I", thread: NULL, u: &u, extra: extra})
		}
	}
	if u.Text != "" && u.Kind == "groupchat" {
		m.replay[room] = append(m.replay[room], pending{from: room + "/" + sender, body: u.Text, stanza: u.ID})
		if len(m.replay[room]) > 3 {
			m.replay[room] = m.replay[room][1:]
		}
	}
	m.remember(u, room)
	if m.IntN(12) == 0 { // somebody enters and is shown what was said
		who := m.client(pick(m, members))
		for _, r := range m.replay[room] {
			old := Utterance{ID: r.stanza, Text: r.body}
			m.row(-1, rowOf{to: who, from: r.from, kind: "g", direction: "I", thread: NULL, u: &old, history: true,
				extra: "<delay xmlns='urn:xmpp:delay' stamp='2024-01-01T00:00:00Z'/>"})
		}
	}
}

// refer turns some utterances into corrections, retractions or reactions of
// an earlier one, and returns the elements that say so.
func (m *maker) refer(u *Utterance, where string) string {
	earlier := m.said[where]
	if len(earlier) == 0 || m.IntN(15) > 0 {
		if m.IntN(4) == 0 && u.Text != "" {
			return "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><span>" + escape(u.Text) + "</span></body></html>"
		}
		return ""
	}
	old := earlier[len(earlier)-1]
	if old.ID == "" {
		return ""
	}
	u.RefersTo = old.ID
	switch m.IntN(3) {
	case 0:
		u.Kind = "correction"
		return "<replace xmlns='urn:xmpp:message-correct:0' id='" + old.ID + "'/>"
	case 1:
		u.Kind, u.Text = "retraction", ""
		return "<retract xmlns='urn:xmpp:message-retract:1' id='" + old.ID + "'/>"
	}
	u.Kind, u.Text = "reaction", ""
	return "<reactions xmlns='urn:xmpp:reactions:0' id='" + old.ID + "'><reaction>👍</reaction></reactions>"
}

func (m *maker) remember(u Utterance, where string) {
	m.a.Utterances = append(m.a.Utterances, u)
	if u.Kind == "chat" || u.Kind == "groupchat" {
		m.said[where] = append(m.said[where], u)
	}
}

// signal makes rows without anything said.
func (m *maker) signal() {
	from, to := pick(m, m.people), pick(m, m.people)
	u := Utterance{ID: m.id()}
	m.row(-1, rowOf{to: m.client(to), from: m.client(from), kind: "c", direction: "I", thread: NULL, u: &u,
		extra: pick(m, []string{"<composing xmlns='http://jabber.org/protocol/chatstates'/>", "<received xmlns='urn:xmpp:receipts' id='x1'/>",
			"<displayed xmlns='urn:xmpp:chat-markers:0' id='x1'/>"})})
}
