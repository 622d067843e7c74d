package capture

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/store"
	"archivolt/internal/store/sqlite"
	"archivolt/internal/xmpp"
)

// place is where a daemon keeps what it has.
type place struct {
	dir        string
	id         ledger.ID
	officer    age.Identity
	recipients *seal.Recipients
}

func newPlace(t testing.TB) *place {
	t.Helper()
	officer, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &place{dir: t.TempDir(), id: ledger.ID{0xA5, 1}, officer: officer, recipients: parseRecipients(t, officer.Recipient().String())}
}

func parseRecipients(t testing.TB, text string) *seal.Recipients {
	t.Helper()
	r, err := seal.ParseRecipients(false, seal.File{Name: "officer.pub", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *place) db() string { return filepath.Join(p.dir, "archive.db") }

func (p *place) config() Config {
	return Config{StateDir: filepath.Join(p.dir, "state"), Recipients: p.recipients, Writer: "test 1", Configuration: "0000", Log: slog.New(slog.DiscardHandler)}
}

// sink opens the store, or makes it.
func (p *place) sink(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(p.db())
	if errors.Is(err, store.ErrNone) {
		s, err = sqlite.Create(p.db(), p.id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *place) start(t testing.TB, cfg Config) *Service {
	t.Helper()
	s, err := Start(cfg, p.sink(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t testing.TB, s *Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil && !errors.Is(err, store.ErrFenced) {
		t.Error(err)
	}
}

// stopAtOnce ends a service and waits for no archive: what is not stored stays
// in the spool.
func stopAtOnce(t testing.TB, s *Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// text is the stanza with a number.
func text(n uint64) string {
	return fmt.Sprintf("<message xmlns='jabber:client' from='anna@example.org/desk' to='ben%d@example.org' id='m%d' type='chat'><body>known text %d</body></message>", n%3, n, n)
}

func numbered(from, to uint64) (list []xmpp.Copy) {
	for n := from; n <= to; n++ {
		list = append(list, xmpp.Copy{Host: "example.org", Source: "q1", Number: n, Stanza: []byte(text(n)), Direction: 'O', Time: time.UnixMilli(1700000000000 + int64(n))})
	}
	return list
}

// deliver delivers and waits for the answer.
func deliver(s *Service, copies []xmpp.Copy) error {
	answer := make(chan error, 1)
	s.Deliver("c1", copies, func(err error) { answer <- err })
	return <-answer
}

// audited is what an archive holds, read and checked without the code that
// wrote it, as far as that goes.
type audited struct {
	head    store.Head
	records []opened
	events  []ledger.Event
	epochs  []ledger.Epoch
}

type opened struct {
	ledger.Record
	index   int64
	content seal.Content
}

// audit reads the whole archive: it computes every leaf and the root with
// package tlog, opens every record, and compares its commitment.
func (p *place) audit(t testing.TB) *audited {
	t.Helper()
	r, err := sqlite.OpenReader(p.db())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a := &audited{}
	if a.head, err = r.Head(); err != nil {
		t.Fatal(err)
	}
	leaves := map[int64]tlog.Hash{}
	wraps := map[uint64][][]byte{}
	err = r.Others(context.Background(), func(e *store.Entry) error {
		leaves[e.Index] = tlog.RecordHash(e.Other)
		entry, err := ledger.Parse(e.Other, p.id)
		if err != nil {
			return err
		}
		switch entry := entry.(type) {
		case *ledger.Event:
			a.events = append(a.events, *entry)
		case *ledger.Epoch:
			a.epochs = append(a.epochs, *entry)
			wraps[entry.Number] = e.Wraps
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	epochs := map[uint64]*seal.Epoch{}
	err = r.Records(context.Background(), store.Query{}, func(e *store.Entry) error {
		leaves[e.Index] = tlog.RecordHash(e.Record.Append(nil, p.id))
		epoch := epochs[e.Record.Epoch]
		if epoch == nil {
			if epoch, err = seal.OpenEpoch(p.id, e.Record.Epoch, wraps[e.Record.Epoch], p.officer); err != nil {
				return err
			}
			epochs[e.Record.Epoch] = epoch
		}
		h := seal.Header{Source: e.Record.Source, Number: e.Record.Number, Time: e.Record.Time, Tokens: e.Record.Tokens}
		plain, err := epoch.Open(nil, &h, e.Sealed)
		if err != nil {
			return fmt.Errorf("record %d: %w", e.Index, err)
		}
		if seal.Commit(epoch.RecordKey(&h), plain) != e.Record.Commitment {
			return fmt.Errorf("record %d: the commitment does not fit", e.Index)
		}
		c, err := seal.ParseContent(plain)
		record := *e.Record
		record.Tokens = bytes.Clone(record.Tokens)
		a.records = append(a.records, opened{record, e.Index, c})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (list []tlog.Hash, err error) {
		for _, i := range indexes {
			list = append(list, hashes[i])
		}
		return list, nil
	})
	for i := range a.head.Size {
		leaf, ok := leaves[i]
		if !ok {
			t.Fatalf("entry %d of %d is missing", i, a.head.Size)
		}
		more, err := tlog.StoredHashesForRecordHash(i, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	if root, err := tlog.TreeHash(a.head.Size, reader); err != nil || root != a.head.Root || int64(len(leaves)) != a.head.Size {
		t.Fatalf("the root over %d entries is %v, the head of %d says %v, %v", len(leaves), root, a.head.Size, a.head.Root, err)
	}
	checkpoint, err := r.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := os.ReadFile(filepath.Join(p.dir, "state", VerifierName))
	if err != nil {
		t.Fatal(err)
	}
	if checkpoint != nil {
		c, err := ledger.OpenCheckpoint(checkpoint, strings.TrimSpace(string(verifier)))
		if err != nil {
			t.Fatal(err)
		}
		if then, err := tlog.TreeHash(c.Size, reader); err != nil || c.Size > 0 && then != c.Root {
			t.Fatalf("the checkpoint of %d entries has root %v, want %v, %v", c.Size, c.Root, then, err)
		}
	}
	return a
}

func (a *audited) named(name ledger.Name) (details []string) {
	for _, e := range a.events {
		if e.Name == name {
			details = append(details, e.Detail)
		}
	}
	return details
}

func (a *audited) names() (list []ledger.Name) {
	for _, e := range a.events {
		list = append(list, e.Name)
	}
	return list
}

// wantNumbered wants the stanzas 1 to last, each once.
func (a *audited) wantNumbered(t testing.TB, last uint64) {
	t.Helper()
	seen := map[uint64]bool{}
	for _, r := range a.records {
		if r.Source != "queue/example.org/q1" || string(r.content.Stanza) != text(r.Number) || r.content.Direction != 'O' || r.Time != 1700000000000+int64(r.Number) || seen[r.Number] {
			t.Fatalf("record %d is %s %d %q, seen before: %v", r.index, r.Source, r.Number, r.content.Stanza, seen[r.Number])
		}
		seen[r.Number] = true
	}
	if uint64(len(seen)) != last || last > 0 && !seen[last] {
		t.Fatalf("there are %d records of 1 to %d", len(seen), last)
	}
}

func TestCapture(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	s.Connected("c1")
	for _, step := range [][2]uint64{{1, 1}, {2, 500}, {400, 500}, {501, 502}, {1, 502}} {
		if err := deliver(s, numbered(step[0], step[1])); err != nil {
			t.Fatal(err)
		}
	}
	s.Lost("c1", errors.New("the peer went away"))
	stop(t, s)
	a := p.audit(t)
	a.wantNumbered(t, 502)
	if got := s.Status(); got.Received != 1+499+101+2+502 || got.Recorded != 502 || got.Redelivered != 101+502 || got.Connected != 0 {
		t.Errorf("status %+v", got)
	}
	want := []ledger.Name{ledger.Created, ledger.Started, ledger.Configuration, ledger.Connected, ledger.Lost, ledger.Stopped}
	if got := a.names(); !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("the events are %v, want %v", got, want)
	}
	if len(a.epochs) != 1 || a.epochs[0].Class != "classic" || a.epochs[0].Writer != "test 1" || !slices.Equal(a.epochs[0].Recipients, p.recipients.Fingerprints()) {
		t.Errorf("the epochs are %+v", a.epochs)
	}
	if err := deliver(s, numbered(503, 503)); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end a delivery gives %v", err)
	}

	s = p.start(t, p.config())
	if err := deliver(s, numbered(503, 600)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	a = p.audit(t)
	a.wantNumbered(t, 600)
	if got := a.named(ledger.Started); len(got) != 2 || got[1] != "test 1, after an orderly end" {
		t.Errorf("the starts are %q", got)
	}
	if len(a.epochs) != 2 || a.epochs[0].Commitment == a.epochs[1].Commitment {
		t.Error("a start does not begin an epoch")
	}
}

func sorted(names []ledger.Name) []ledger.Name {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

func TestGap(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	for _, step := range [][2]uint64{{3, 4}, {10, 10}} {
		if err := deliver(s, numbered(step[0], step[1])); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	a := p.audit(t)
	want := []string{"queue/example.org/q1: the numbers 1 to 2 were never delivered", "queue/example.org/q1: the numbers 5 to 9 were never delivered"}
	if got := a.named(ledger.Gap); !slices.Equal(got, want) {
		t.Errorf("the gaps are %q", got)
	}
	if len(a.records) != 3 {
		t.Errorf("%d records", len(a.records))
	}
}

// TestLongNames: two queues on a host with a very long name keep their own
// numbers.
func TestLongNames(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	for _, queue := range []string{"q1", "q2"} {
		if err := deliver(s, []xmpp.Copy{{Host: strings.Repeat("x", 255), Source: queue, Number: 1, Stanza: []byte("<message/>")}}); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	if a := p.audit(t); len(a.records) != 2 || a.records[0].Source == a.records[1].Source {
		t.Errorf("%d records", len(a.records))
	}
}

// TestWithoutNumbers: nothing is dropped, since a message may be said twice.
func TestWithoutNumbers(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	same := []xmpp.Copy{{Host: "example.org", Stanza: []byte(text(1))}, {Host: "example.org", Stanza: []byte(text(1))}}
	for _, connection := range []string{"a", "b", "a"} {
		answer := make(chan error, 1)
		s.Deliver(connection, same, func(err error) { answer <- err })
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	var got []string
	for _, r := range p.audit(t).records {
		got = append(got, fmt.Sprint(r.Source, " ", r.Number))
	}
	want := []string{"connection/a 1", "connection/a 2", "connection/b 1", "connection/b 2", "connection/a 3", "connection/a 4"}
	if !slices.Equal(got, want) {
		t.Errorf("the records are %q", got)
	}
}

// TestHostileStanzas: whatever came is recorded as it came.
func TestHostileStanzas(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	stanzas := []string{"", "x", "<message", "<message from='a@b' to='", "<message from='\xff@x' to='" + strings.Repeat("y", 5000) + "'/>",
		"<message>" + strings.Repeat("<a>", 10_000), strings.Repeat("x", 3<<20), "<!DOCTYPE a [<!ENTITY b 'c'>]><message>&b;</message>"}
	var copies []xmpp.Copy
	for _, one := range stanzas {
		copies = append(copies, xmpp.Copy{Stanza: []byte(one)})
	}
	if err := deliver(s, copies); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	for i, r := range p.audit(t).records {
		if string(r.content.Stanza) != stanzas[i] {
			t.Errorf("stanza %d is kept as %.100q", i, r.content.Stanza)
		}
	}
}

// TestTokens: a person's records are found through his token, and only his.
func TestTokens(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	stanzas := map[string][]string{
		"<message xmlns='jabber:client' from='Anna@Example.org/desk' to='ben@example.org'/>":                         {"anna@example.org", "ben@example.org"},
		"<message xmlns='jabber:client' from='room@conf.example.org/Anna' to='ben@example.org/x' type='groupchat'/>": {"room@conf.example.org", "ben@example.org"},
		"<message xmlns='jabber:client' from='ben@example.org' to='ben@example.org/x'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='ben@example.org/y' to='cleo@example.org'/></forwarded></sent></message>": {"ben@example.org", "cleo@example.org"},
	}
	stanzas["<message xmlns='jabber:client' to='ben@example.org' from='anna@example.org'><a></message>"] = []string{"anna@example.org", "ben@example.org", seal.Unknown}
	stanzas["<message xmlns='jabber:client' "+manyAttributes+" to='ben@example.org' from='anna@example.org'/>"] = []string{seal.Unknown}
	stanzas["no stanza"] = []string{seal.Unknown}
	order := slices.Sorted(maps.Keys(stanzas))
	var copies []xmpp.Copy
	for _, one := range order {
		copies = append(copies, xmpp.Copy{Stanza: []byte(one)})
	}
	if err := deliver(s, copies); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	a := p.audit(t)
	r, err := sqlite.OpenReader(p.db())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var wraps [][]byte
	_ = r.Others(context.Background(), func(e *store.Entry) error { // read without error by audit
		wraps = append(wraps, e.Wraps...)
		return nil
	})
	epoch, err := seal.OpenEpoch(p.id, 1, wraps, p.officer)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"anna@example.org", "ben@example.org", "cleo@example.org", "room@conf.example.org", "nobody@example.org", seal.Unknown} {
		got := map[int64]bool{}
		err := r.Records(context.Background(), store.Query{Tokens: map[uint64][]uint64{1: {store.TokenNumber(epoch.Token(who))}}}, func(e *store.Entry) error {
			got[e.Index] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range a.records {
			if want := slices.Contains(stanzas[order[i]], who); got[r.index] != want {
				t.Errorf("%s: record %d found: %v, want %v", who, i, got[r.index], want)
			}
		}
	}
}

// manyAttributes are more than are read.
var manyAttributes = func() (text string) {
	for i := range 100 {
		text += fmt.Sprintf("a%d='' ", i)
	}
	return text
}()

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func TestEpochs(t *testing.T) {
	p := newPlace(t)
	c := &clock{now: time.Now()}
	cfg := p.config()
	cfg.EpochRecords, cfg.EpochAge, cfg.now = 10, time.Hour, c.time
	s := p.start(t, cfg)
	for _, step := range [][2]uint64{{1, 4}, {5, 12}, {13, 22}, {23, 25}} { // epochs 1, 1, 2, 3
		if err := deliver(s, numbered(step[0], step[1])); err != nil {
			t.Fatal(err)
		}
	}
	c.add(time.Hour)
	if err := deliver(s, numbered(26, 27)); err != nil { // 4
		t.Fatal(err)
	}
	stop(t, s)
	a := p.audit(t)
	a.wantNumbered(t, 27)
	count := map[uint64]int{}
	for _, r := range a.records {
		count[r.Epoch]++
	}
	if want := map[uint64]int{1: 12, 2: 10, 3: 3, 4: 2}; !maps.Equal(count, want) {
		t.Errorf("records by epoch: %v, want %v", count, want)
	}
	for i, e := range a.epochs {
		if e.Number != uint64(i)+1 {
			t.Errorf("epoch %d has the number %d", i, e.Number)
		}
	}
}

func TestSecondDaemon(t *testing.T) {
	p := newPlace(t)
	first := p.start(t, p.config())
	_, err := Start(p.config(), p.sink(t))
	if problem.ClassOf(err) != problem.Failed || !strings.Contains(err.Error(), "another archivoltd") {
		t.Errorf("a second daemon on one state_dir: %v", err)
	}
	if err := deliver(first, numbered(1, 3)); err != nil {
		t.Errorf("the first one is disturbed: %v", err)
	}
	stop(t, first)
	p.audit(t).wantNumbered(t, 3)
}

func TestRecipientsChanged(t *testing.T) {
	p := newPlace(t)
	stop(t, p.start(t, p.config()))
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	p.recipients = parseRecipients(t, other.Recipient().String())
	stop(t, p.start(t, p.config()))
	stop(t, p.start(t, p.config()))
	if got := p.audit(t).named(ledger.Recipients); !slices.Equal(got, []string{fingerprints(p.recipients)}) {
		t.Errorf("changes of recipients: %q", got)
	}
}

// TestAnchors: a checkpoint goes to each, and none is missed for another.
func TestAnchors(t *testing.T) {
	p := newPlace(t)
	cfg := p.config()
	file := filepath.Join(p.dir, "checkpoints")
	cfg.Anchors = []Anchor{FileAnchor(filepath.Join(p.dir, "nowhere", "x")), FileAnchor(file)}
	s := p.start(t, cfg)
	if err := deliver(s, numbered(1, 3)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	verifier, _ := os.ReadFile(filepath.Join(p.dir, "state", VerifierName))
	list := strings.SplitAfter(strings.TrimSpace(string(text)), "\n\narchivolt/")
	last := list[len(list)-1]
	if !strings.HasPrefix(last, "archivolt/") {
		last = "archivolt/" + last
	}
	c, err := ledger.OpenCheckpoint([]byte(last+"\n"), strings.TrimSpace(string(verifier)))
	if err != nil || c.Size != p.audit(t).head.Size {
		t.Errorf("the last anchored checkpoint is %+v, %v", c, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// TestNothingOfAFinishedEpochOpens: with everything on the daemon's disks no
// message of a finished epoch can be read, and no token be matched.
func TestNothingOfAFinishedEpochOpens(t *testing.T) {
	p := newPlace(t)
	s := p.start(t, p.config())
	if err := deliver(s, numbered(1, 50)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	a := p.audit(t)
	needles := map[string][]byte{"text": []byte("known text"), "sender": []byte("anna"), "recipient": []byte("ben1")}
	identity := p.officer.(*age.X25519Identity).String()
	needles["identity"] = []byte(identity)
	err := filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for what, needle := range needles {
			if bytes.Contains(content, needle) {
				t.Errorf("%s holds a %s", path, what)
			}
		}
		// Any 32 bytes on the disk may be tried as the data key, and as the
		// key of tokens.
		for i := 0; i+seal.KeySize <= len(content); i++ {
			key := content[i : i+seal.KeySize]
			e, err := seal.FromKey(p.id, 1, key)
			if err != nil {
				return err
			}
			if e.Commitment() == a.epochs[0].Commitment {
				t.Fatalf("%s holds the data key at byte %d", path, i)
			}
			m := hmac.New(sha256.New, key)
			m.Write([]byte("anna@example.org"))
			if token := m.Sum(nil)[:ledger.TokenSize]; bytes.Contains(a.records[0].Tokens, token) {
				t.Fatalf("%s holds the key of tokens at byte %d", path, i)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) recipientText() string { return p.officer.(*age.X25519Identity).Recipient().String() }
