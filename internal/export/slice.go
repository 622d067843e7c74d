package export

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// Folder is where an export makes its files.
type Folder interface {
	// Create makes a new file of that name, which no other file of the export
	// has.
	Create(name string) (io.WriteCloser, error)
}

// Look is how records are shown to people.
type Look struct {
	Title  string                      // of the case; may be empty
	Zone   *time.Location              // of the days, and of times that are shown
	Person func(address string) string // display name of a bare address, "" if unknown
	Room   func(address string) string // display name of a room, "" if unknown
}

// Slice is what was said in one conversation on one day: the unit that review
// platforms load (RSMF) and that people read.
type Slice struct {
	Room   string    // bare address of the room, or "" for two people
	People []string  // bare addresses of all who take part, sorted
	Day    time.Time // midnight in the zone; zero for messages without a date
	Part   int       // from 1; more than 1 where a day is longer than MaxEvents or MaxBytes
	Events []*Event  // in the order of time
}

// Bounds of a slice. RSMF allows 10,000 events and 2 GB; a slice is held in
// memory, so its texts are bounded by far less.
const (
	MaxEvents = 10_000
	MaxBytes  = 32 << 20 // of texts
)

// Event is one message with what was later done to it, as far as that happened
// on the same day. What came later is an event of its own.
type Event struct {
	Record    Record
	Time      time.Time // zero without a date
	Edits     []*Event  // corrections, in order: each holds the text that replaced the one before
	Retracted *Event    // the retraction, or nil. The text stays: the archive has it
	Reactions []*Event  // in order; Record.Reactions holds the emojis
}

// Slicer puts messages into slices, one day at a time: memory holds what was
// said on one day.
type Slicer struct {
	zone  *time.Location
	emit  func(*Slice) error
	day   time.Time
	parts map[string]int // slices of the day already given, by conversation
	open  map[string]*building
}

// building is a slice under construction.
type building struct {
	Slice
	count  int // of messages, those put with others too
	bytes  int // of texts
	people map[string]bool
	byID   map[string]*Event // the last message of each stanza id
}

// NewSlicer returns a Slicer that gives every slice to emit: day by day, the
// conversations of a day in the order of their names.
func NewSlicer(zone *time.Location, emit func(*Slice) error) *Slicer {
	return &Slicer{zone: zone, emit: emit, parts: map[string]int{}, open: map[string]*building{}}
}

// Add takes the next message, in the order of time.
func (s *Slicer) Add(u *transcript.Utterance) error {
	var day time.Time
	if !u.Time.IsZero() {
		y, m, d := u.Time.In(s.zone).Date()
		day = time.Date(y, m, d, 0, 0, 0, 0, s.zone)
	}
	if !day.Equal(s.day) {
		if err := s.Close(); err != nil {
			return err
		}
		s.day = day
	}
	key := conversation(u)
	b := s.open[key]
	if b == nil {
		s.parts[key]++
		b = &building{Slice: Slice{Room: u.Room, Day: day, Part: s.parts[key]}, people: map[string]bool{}, byID: map[string]*Event{}}
		s.open[key] = b
	}
	kept := *u // u is ours until we return
	b.add(&Event{Record: Utterance(&kept), Time: u.Time}, &kept)
	b.bytes += len(u.Text.Text) + len(u.Row.StanzaBody.Text) + len(u.Row.StanzaSubject)
	if b.count++; b.count < MaxEvents && b.bytes < MaxBytes {
		return nil
	}
	delete(s.open, key)
	return s.finish(b)
}

// Close gives the slices of the last day.
func (s *Slicer) Close() error {
	for _, key := range sortedKeys(s.open) {
		if err := s.finish(s.open[key]); err != nil {
			return err
		}
	}
	clear(s.open)
	clear(s.parts)
	return nil
}

func (s *Slicer) finish(b *building) error {
	b.People = sortedKeys(b.people)
	return s.emit(&b.Slice)
}

// conversation names the room, or the two people, of a message.
func conversation(u *transcript.Utterance) string {
	if u.Room != "" {
		return "room " + u.Room
	}
	return "pair " + min(u.From, u.To) + " " + max(u.From, u.To)
}

// add puts an event where it belongs: with the message that it is about, if
// that is here and the same person may do this to it, otherwise by itself.
func (b *building) add(e *Event, u *transcript.Utterance) {
	for _, p := range append([]string{u.From, u.To}, u.Recipients...) {
		if p != "" {
			b.people[p] = true
		}
	}
	about := b.byID[u.Row.RefersTo]
	own := about != nil && u.Row.RefersTo != "" && value(about.Record.From) == u.From
	switch {
	case u.Row.Kind == message.Correction && own:
		about.Edits = append(about.Edits, e)
		return
	case u.Row.Kind == message.Retraction && about != nil && about.Retracted == nil && (own || u.Room != ""): // a moderator's, XEP-0425
		about.Retracted = e
		return
	case u.Row.Kind == message.Reaction && about != nil:
		about.Reactions = append(about.Reactions, e)
		return
	}
	b.Events = append(b.Events, e)
	if u.Row.StanzaID != "" {
		b.byID[u.Row.StanzaID] = e
	}
}

// Name is a file name for the slice, without an ending: the day, what can be
// shown of the conversation, and what tells it from all others. It is made of
// letters that every file system takes, and at most 80 bytes long.
func (s *Slice) Name() string {
	day := "undated"
	if !s.Day.IsZero() {
		day = s.Day.Format("2006-01-02")
	}
	who := s.Room
	if who == "" {
		who = strings.Join(s.pair(), "_")
	}
	sum := sha256.Sum256([]byte(s.identity()))
	shown := []byte(who)
	for i, c := range shown {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' || c == '@') {
			shown[i] = '-'
		}
	}
	return day + "_" + string(shown[:min(len(shown), 50)]) + "_" + hex.EncodeToString(sum[:6])
}

// ID names the slice for other programs: equal exports have equal ones.
func (s *Slice) ID() string {
	sum := sha256.Sum256([]byte(s.identity()))
	return hex.EncodeToString(sum[:16])
}

func (s *Slice) identity() string {
	day := ""
	if !s.Day.IsZero() {
		day = s.Day.Format(time.RFC3339)
	}
	return strings.Join([]string{day, strconv.Itoa(s.Part), s.key()}, "\x00")
}

func (s *Slice) key() string {
	if s.Room != "" {
		return "room " + s.Room
	}
	return "pair " + strings.Join(s.pair(), " ")
}

// pair is the two people of a conversation outside of rooms.
func (s *Slice) pair() []string {
	if len(s.Events) == 0 {
		return nil
	}
	r := s.Events[0].Record
	pair := []string{value(r.From), value(r.To)}
	slices.SortFunc(pair, cmp.Compare[string])
	return pair
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func sortedKeys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
