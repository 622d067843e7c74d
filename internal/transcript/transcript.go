// Package transcript turns rows into what was said: copies of one message are
// found and become one utterance. It is pure, and works in one pass over rows
// in the order of time with memory for the last minutes only.
//
// Where copies come from: a server logs a message when it leaves its sender
// and again when it reaches each of the recipient's clients; in a room, once
// for every occupant; several servers may each have a share. Which rows are
// copies is decided by:
//
//  1. the same people: sender and recipient without their resources, or the
//     room;
//  2. the same stanza id, if there is one, within Window;
//  3. the same text: clients reuse ids, so an id alone proves nothing. A copy
//     whose text cannot be read counts if its id fits exactly one utterance;
//     In a room one row may know the sender's address and another his nick:
//     these are one person if the nick is the address's localpart, or if one
//     stanza id leaves no choice. Otherwise they are kept apart;
//  4. without an id: the same sender, thread and text within ShortWindow. Here
//     two rows of the same direction to the same client are two utterances.
//
// Replays of a room's history are never utterances, and neither is what says
// nothing: typing, receipts, markers. They are counted.
package transcript

import (
	"container/heap"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"archivolt/internal/message"
)

// How far apart copies of one message may lie.
const (
	Window      = 5 * time.Minute // with a stanza id
	ShortWindow = 5 * time.Second // without
)

// maxPending bounds the utterances held back while copies may still come.
const maxPending = 50_000

// Utterance is a message once, with what its copies tell together.
type Utterance struct {
	Time       time.Time        // of the earliest live copy that opened
	From       string           // real sender's bare address; "" if no copy tells
	To         string           // bare address; "" in a room
	Room       string           // bare address of the room, or ""
	RoomWas    string           // an earlier address of the room that a copy has, or ""
	Nick       string           // the sender's name in the room
	Recipients []string         // bare addresses that a copy was delivered to, sorted
	Directions string           // "I", "O" or "IO"
	Copies     int              // rows, Row included
	Origins    []message.Origin // of all rows, in the order of time
	Text       message.Text
	TextFrom   string // "body" or "stanza" of Row, "copy" of another row, or ""

	// Row is the row that stands for the utterance: the one with the best
	// status, among these the earliest. Kind, ids and key are its own.
	Row message.Message
}

// Counts tells what became of the rows that are no utterances of their own.
type Counts struct {
	Rows       int64 // all rows given
	Utterances int64 // those of which something can be read
	Unread     int64 // rows of which nothing can be read: nobody can say whose copies they are
	Copies     int64 // further rows of an utterance
	Replays    int64 // history pushed to newcomers
	Signals    int64 // rows without anything said
	Errors     int64 // messages that came back (type error)
}

// Collapser finds the copies. Give it all rows in the order of time.
type Collapser struct {
	Counts Counts

	emit    func(*Utterance)
	seed    maphash.Seed
	pending queue
	tables  [numTables]map[uint64][]*entry // of what is pending
	origins []message.Origin               // room for those of further utterances
	empty   [][]*entry                     // lists that tables have no use for now
	spare   []*entry                       // likewise
	now     time.Time
	serial  int64
}

// New returns a Collapser that hands every utterance to emit, in the order of
// time. The utterance is emit's until it returns; its texts and lists may be
// kept.
func New(emit func(*Utterance)) *Collapser {
	c := &Collapser{emit: emit, seed: maphash.MakeSeed()}
	for i := range c.tables {
		c.tables[i] = map[uint64][]*entry{}
	}
	return c
}

// Ways to look for the utterance that a row may be a copy of.
const (
	byMessage  = iota // people, stanza id and text: the usual one
	byID              // people and stanza id, for rows whose text cannot be read
	byText            // people, thread and text, of utterances without an id
	byTextOnly        // the same of utterances with an id, for rows that lost theirs
	numTables
)

// slot is an utterance's place in a table.
type slot struct {
	key uint64 // 0 for none
	at  int
}

// put enters e under a key of the row r.
func (c *Collapser) put(table int, r *row, e *entry) {
	if e.slots[table].key != 0 {
		return
	}
	key := r.keys[table]
	list := c.tables[table][key]
	if last := len(c.empty) - 1; list == nil && last >= 0 {
		list, c.empty = c.empty[last], c.empty[:last]
	}
	e.slots[table] = slot{key, len(list)}
	c.tables[table][key] = append(list, e)
}

// forget takes e out of a table, in constant time.
func (c *Collapser) forget(table int, e *entry) {
	s := e.slots[table]
	if s.key == 0 {
		return
	}
	list := c.tables[table][s.key]
	last := list[len(list)-1]
	list[s.at] = last
	last.slots[table].at = s.at
	list[len(list)-1] = nil
	e.slots[table] = slot{}
	if len(list) == 1 {
		delete(c.tables[table], s.key)
		c.empty = append(c.empty, list[:0])
		return
	}
	c.tables[table][s.key] = list[:len(list)-1]
}

// entry is an utterance under construction.
type entry struct {
	Utterance
	first   time.Time // of the first row, which decides the window
	slots   [numTables]slot
	clients []string // direction and client of the rows, without an id
	owner   string   // of the nick, by the table of occupants
	posed   bool     // the nick was the address of another
	idLost  bool     // no row with a readable id yet, and one that lost it
	serial  int64    // order of arrival, for equal times
	index   int      // in the queue
}

// Add takes the next row. Rows must not go back in time; a row without a date
// is placed at the time of the row before it.
func (c *Collapser) Add(m *message.Message) {
	c.Counts.Rows++
	switch {
	case m.History:
		c.Counts.Replays++
		return
	case m.Kind == message.ErrorKind:
		c.Counts.Errors++
		return
	case m.Kind == message.Signal:
		c.Counts.Signals++
		return
	}
	if m.Time.After(c.now) {
		c.now = m.Time
		c.release(c.now.Add(-Window))
	}
	row := c.look(m)
	if e := c.find(&row); e != nil {
		c.Counts.Copies++
		c.join(e, &row)
		heap.Fix(&c.pending, e.index)
		return
	}
	c.start(&row)
	if len(c.pending) > maxPending {
		c.send(heap.Pop(&c.pending).(*entry))
	}
}

// Flush hands out what is still held back.
func (c *Collapser) Flush() {
	for len(c.pending) > 0 {
		c.send(heap.Pop(&c.pending).(*entry))
	}
}

func (c *Collapser) release(before time.Time) {
	for len(c.pending) > 0 && c.pending[0].Time.Before(before) {
		c.send(heap.Pop(&c.pending).(*entry))
	}
}

func (c *Collapser) send(e *entry) {
	for table := range numTables {
		c.forget(table, e)
	}
	switch {
	case e.From == "" && e.owner != "":
		e.From = e.owner
		e.Row.Reason = because(e.Row.Reason, "the sender is who had this nick when TC_USERS was read")
	case e.posed:
		e.Row.Reason = because(e.Row.Reason, "the nick is an address; TC_USERS gives it to another person, who is taken for the sender")
	}
	slices.Sort(e.Recipients)
	e.Recipients = slices.Compact(e.Recipients)
	if e.unread() {
		c.Counts.Unread++
	} else {
		c.Counts.Utterances++
	}
	c.emit(&e.Utterance)
	if len(c.spare) < maxSpare {
		clear(e.clients)
		*e = entry{clients: e.clients[:0]}
		c.spare = append(c.spare, e)
	}
}

// maxSpare bounds the utterances whose memory is kept for others.
const maxSpare = 1000

// entry returns an empty one.
func (c *Collapser) entry() *entry {
	last := len(c.spare) - 1
	if last < 0 {
		return &entry{}
	}
	e := c.spare[last]
	c.spare = c.spare[:last]
	return e
}

// because adds to a reason.
func because(reason, more string) string {
	if reason == "" {
		return more
	}
	return reason + "; " + more
}

// unread tells whether nothing that was said can be read.
func (u *Utterance) unread() bool {
	return !u.Row.Status.Readable() && !u.Row.StanzaRead && u.Text.Text == ""
}

// row is a message with the roles of its addresses found.
type row struct {
	*message.Message
	sender   string // bare address; "" if unknown
	to       string // bare address of the recipient, or of the room
	room     string
	nick     string
	delivery string // bare address that this copy went to
	text     message.Text
	textFrom string
	posed    bool              // the nick is the address of another
	keys     [numTables]uint64 // under which it is looked for
}

// look finds out who spoke, to whom, and where.
func (c *Collapser) look(m *message.Message) row {
	r := row{Message: m}
	if r.text, r.textFrom = m.Shown(); r.text.Text == "" && !m.Status.Readable() && !m.StanzaRead {
		r.text, r.textFrom = message.Text{}, "" // there may have been more
	}
	from, to := m.Sender(), m.Recipient()
	r.delivery = to.Bare
	if m.Carbon {
		from, to = m.CarbonFrom, m.CarbonTo
	}
	speaker := from.Bare
	if from.NickIsAddress() { // somebody in a room, whose nick is his address
		speaker = message.ParseJID(from.Resource).Bare
	}
	switch {
	case m.Room && m.Table != "":
		r.room, r.sender, r.nick = to.Bare, from.Bare, m.Nick.Resource
	case m.Room && m.ToRoom():
		r.room, r.sender = to.Bare, from.Bare
	case m.Room:
		r.room, r.nick = from.Bare, from.Resource
		if from.NickIsAddress() {
			r.sender = speaker
			if m.NickOwner != "" && m.NickOwner != speaker {
				r.sender, r.posed = m.NickOwner, true
			}
		}
	default:
		r.sender, r.to = speaker, to.Bare
	}
	if m.Direction == message.Out && !m.Carbon || m.ToRoom() {
		r.delivery = ""
	}
	c.identify(&r)
	return r
}

// identify hashes the parts of the row's identities.
func (c *Collapser) identify(r *row) {
	people := c.key(2, r.sender, r.to)
	if r.room != "" {
		people = c.key(1, r.room)
	}
	r.keys[byID] = c.key(people, r.StanzaID)
	r.keys[byMessage] = c.key(r.keys[byID], r.text.Text)
	r.keys[byText] = c.key(people, r.Thread.Text, r.text.Text)
	r.keys[byTextOnly] = r.keys[byText]
}

// key hashes more parts of an identity into the key of the first; it is never 0.
func (c *Collapser) key(of uint64, parts ...string) uint64 {
	const odd = 0x9e3779b97f4a7c15 // so that the order of the parts counts
	for _, p := range parts {
		of = of*odd ^ maphash.String(c.seed, p)
	}
	return of | 1
}

// find returns the utterance that r is a copy of, or nil.
func (c *Collapser) find(r *row) *entry {
	if r.sender == "" && r.room == "" && r.to == "" {
		return nil // nobody can say whose copy this would be
	}
	if r.StanzaID != "" {
		if e := c.findByID(r); e != nil {
			return e
		}
	}
	if !r.text.Valid {
		return nil
	}
	var fits candidates
	consider := func(e *entry) {
		switch {
		case !e.sameSpeaker(r) || !e.sameText(r) || r.Time.Sub(e.first) > ShortWindow:
		case r.idLost() || e.idLost, r.StanzaID == "" && !slices.Contains(e.clients, r.client()):
			// One of the two has an id that cannot be read, or neither has one.
			fits.add(e, r)
		}
	}
	for _, e := range c.tables[byText][r.keys[byText]] {
		consider(e)
	}
	if fits == (candidates{}) && r.idLost() {
		for _, e := range c.tables[byTextOnly][r.keys[byTextOnly]] {
			consider(e)
		}
	}
	return fits.best(false)
}

// candidates are the utterances that a row may be a copy of. In a room with
// plain nicks one row knows the sender's address and another his nick: that
// both are one person is certain only if the nick is the address's localpart.
type candidates struct {
	proven *entry // the earliest whose speaker is known to be the row's
	guess  *entry // the earliest of the others
	others int    // how many others there are
}

func (c *candidates) add(e *entry, r *row) {
	switch {
	case e.provenSpeaker(r):
		if c.proven == nil || e.serial < c.proven.serial {
			c.proven = e
		}
	default:
		if c.others++; c.guess == nil || e.serial < c.guess.serial {
			c.guess = e
		}
	}
}

// best returns the candidate to join. A guess is taken only with an id that
// both have, and if there is no choice.
func (c *candidates) best(sameID bool) *entry {
	if c.proven == nil && sameID && c.others == 1 {
		return c.guess
	}
	return c.proven
}

// provenSpeaker tells whether the row and the utterance are known to have one
// sender.
func (e *entry) provenSpeaker(r *row) bool {
	switch {
	case e.Room == "" || e.From != "" && r.sender != "" || e.Nick != "" && r.nick != "":
		return true // sameSpeaker has compared them
	case e.From != "" && r.nick != "":
		return nickOf(e.From, r.nick)
	case r.sender != "" && e.Nick != "":
		return nickOf(r.sender, e.Nick)
	}
	return true // nothing is known of either
}

func nickOf(address, nick string) bool {
	local, _, _ := strings.Cut(address, "@")
	return strings.EqualFold(local, nick)
}

// idLost tells whether the row may have an id that cannot be read.
func (r *row) idLost() bool { return r.StanzaID == "" && r.Status == message.Damaged }

// findByID looks for the same id: with the same text, or, where one of the two
// texts cannot be read, if only one utterance fits.
func (c *Collapser) findByID(r *row) *entry {
	near := func(e *entry) bool { return e.sameSpeaker(r) && r.Time.Sub(e.first) <= Window }
	if r.text.Valid {
		var fits candidates
		for _, e := range c.tables[byMessage][r.keys[byMessage]] {
			if near(e) && e.sameText(r) {
				fits.add(e, r)
			}
		}
		if e := fits.best(true); e != nil {
			return e
		}
	}
	var only *entry
	for i, e := range c.tables[byID][r.keys[byID]] {
		if !near(e) || r.text.Valid && e.Text.Valid {
			if i == maxSameID {
				return nil
			}
			continue
		}
		if only != nil {
			return nil
		}
		only = e
	}
	return only
}

// maxSameID is how many messages with one id are looked at for a copy whose
// text cannot be read: where a client gives all its messages one id, no copy
// can be told by it.
const maxSameID = 64

// client is what a second message has in common with the first, and a copy of
// it has not: the direction and the recipient's client, in one source. Two
// sources may hold the same row.
func (r *row) client() string {
	return string(r.Direction) + r.Recipient().Raw + "\x00" + r.Source
}

// sameText compares what is said, and what it is said about, which a damaged
// row may have lost.
func (e *entry) sameText(r *row) bool {
	if e.Text.Text != r.text.Text {
		return false
	}
	return e.Row.Status == message.Damaged || r.Status == message.Damaged ||
		e.Row.Kind == r.Kind && e.Row.RefersTo == r.RefersTo && slices.Equal(e.Row.Reactions, r.Reactions)
}

// sameSpeaker tells whether nothing speaks against one sender.
func (e *entry) sameSpeaker(r *row) bool {
	if e.Room != r.room {
		return false
	}
	if e.From != "" && r.sender != "" {
		return e.From == r.sender
	}
	return e.Nick == "" || r.nick == "" || e.Nick == r.nick
}

// start makes a new utterance of r.
func (c *Collapser) start(r *row) {
	c.serial++
	e := c.entry()
	e.first, e.serial = r.Time, c.serial
	e.Row, e.Time, e.Room = *r.Message, r.Time, r.room
	if r.room == "" {
		e.To = r.to
	}
	e.idLost = r.idLost()
	e.Text, e.TextFrom = r.text, r.textFrom
	c.join(e, r)
	heap.Push(&c.pending, e)
}

// join adds the row r to the utterance.
func (c *Collapser) join(e *entry, r *row) {
	e.Copies++
	c.addOrigin(e, r.Origin())
	if e.From == "" {
		e.From = r.sender
	}
	if e.Nick == "" {
		e.Nick = r.nick
	}
	if e.RoomWas == "" {
		e.RoomWas = r.Message.RoomWas
	}
	e.posed = e.posed || r.posed
	if e.owner == "" {
		e.owner = r.NickOwner
	}
	if r.delivery != "" {
		e.Recipients = append(e.Recipients, r.delivery)
	}
	if r.StanzaID == "" {
		e.clients = append(e.clients, r.client())
	}
	switch r.Direction {
	case message.In, message.Out:
		if d := string(r.Direction); e.Directions == "" {
			e.Directions = d
		} else if e.Directions != d {
			e.Directions = "IO"
		}
	}
	if r.Status < e.Row.Status {
		if !e.Row.Status.Readable() && r.Status.Readable() {
			e.Time = r.Time
		}
		if !r.text.Valid && e.Text.Valid {
			e.TextFrom = "copy"
		}
		id := e.Row.StanzaID
		e.Row = *r.Message
		if e.Row.StanzaID == "" {
			e.Row.StanzaID = id
		}
		if r.text.Valid {
			e.Text, e.TextFrom = r.text, r.textFrom
		}
	}
	if !e.Text.Valid && r.text.Valid {
		e.Text, e.TextFrom = r.text, "copy"
	}
	c.register(e, r)
}

// addOrigin notes where a row of the utterance came from. Most utterances have
// one or two: for these many are allocated at once.
func (c *Collapser) addOrigin(e *entry, o message.Origin) {
	if e.Origins == nil {
		if len(c.origins) < 2 {
			c.origins = make([]message.Origin, 512)
		}
		e.Origins, c.origins = c.origins[:0:2], c.origins[2:]
	}
	e.Origins = append(e.Origins, o)
}

// register enters the utterance under what r adds to the knowledge of it.
func (c *Collapser) register(e *entry, r *row) {
	if r.StanzaID != "" {
		e.idLost = false
		c.put(byID, r, e)
		c.forget(byText, e)
	}
	if !r.text.Valid {
		return
	}
	switch {
	case r.StanzaID != "":
		c.put(byMessage, r, e)
		c.put(byTextOnly, r, e)
	case e.slots[byID].key == 0:
		c.put(byText, r, e)
	}
}

// queue is a heap of utterances by time.
type queue []*entry

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if !q[i].Time.Equal(q[j].Time) {
		return q[i].Time.Before(q[j].Time)
	}
	return q[i].serial < q[j].serial
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}
