// Package capturetest makes archives of ours for tests, by package capture
// itself, with messages as real servers copy them. For tests only.
package capturetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"archivolt/internal/capture"
	"archivolt/internal/cisco/write"
	"archivolt/internal/ledger"
	"archivolt/internal/seal"
	"archivolt/internal/store"
	"archivolt/internal/store/sqlite"
	"archivolt/internal/xmpp"
)

// Place is where a daemon keeps what it has.
type Place struct {
	Dir     string
	ID      ledger.ID
	Officer *age.X25519Identity
	Config  capture.Config // of the next Run

	runs int
}

// New makes an empty place, whose officer has an X25519 identity.
func New(t testing.TB) *Place {
	t.Helper()
	officer, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	p := &Place{Dir: t.TempDir(), ID: ledger.ID{0xA5, 1}, Officer: officer}
	p.Config = capture.Config{Writer: "archivoltd test", Configuration: "0000", Log: slog.New(slog.DiscardHandler)}
	p.MoveTo(p.Dir)
	p.SealFor(t, officer.Recipient().String())
	return p
}

// MoveTo has everything in another folder.
func (p *Place) MoveTo(dir string) {
	p.Dir = dir
	p.Config.StateDir, p.Config.Anchors = filepath.Join(dir, "state"), []capture.Anchor{capture.FileAnchor(p.Anchor())}
}

// SealFor changes who can read what is captured from the next Run on.
func (p *Place) SealFor(t testing.TB, recipients ...string) {
	t.Helper()
	p.sealFor(t, []byte(strings.Join(recipients, "\n")))
}

// SealForFile is SealFor with a file of recipients.
func (p *Place) SealForFile(t testing.TB, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	p.sealFor(t, data)
}

func (p *Place) sealFor(t testing.TB, recipients []byte) {
	t.Helper()
	r, err := seal.ParseRecipients(true, seal.File{Name: "officer.pub", Data: recipients})
	if err != nil {
		t.Fatal(err)
	}
	p.Config.Recipients = r
}

// Archive is the file of the store.
func (p *Place) Archive() string { return filepath.Join(p.Dir, "archive.db") }

// Anchor is the file to which checkpoints go.
func (p *Place) Anchor() string { return filepath.Join(p.Dir, "anchors.txt") }

// VerifierFile is the public half of the checkpoint key.
func (p *Place) VerifierFile() string {
	return filepath.Join(p.Config.StateDir, capture.VerifierName)
}

// Verifier is what it says.
func (p *Place) Verifier(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(p.VerifierFile())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// Start brings the daemon up; the test ends it.
func (p *Place) Start(t testing.TB) *capture.Service {
	t.Helper()
	s, err := p.TryStart()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Stop(t, s) })
	return s
}

// TryStart brings the daemon up, if it comes up.
func (p *Place) TryStart() (*capture.Service, error) {
	sink, err := sqlite.Open(p.Archive())
	if errors.Is(err, store.ErrNone) {
		sink, err = sqlite.Create(p.Archive(), p.ID)
	}
	if err != nil {
		return nil, err
	}
	return capture.Start(p.Config, sink)
}

// TableKey is the text of the key under which StartTable encrypts.
var TableKey = fmt.Sprintf("key = %x\niv = %x\n", tableKey, tableIV)

var (
	tableKey = [write.KeySize]byte(bytes.Repeat([]byte{7}, write.KeySize))
	tableIV  = [write.IVSize]byte(bytes.Repeat([]byte{9}, write.IVSize))
)

// StartTable brings the daemon up with a table in Cisco's format, in the SQLite
// file or the PostgreSQL database that name names.
func (p *Place) StartTable(t testing.TB, name string) *capture.Service {
	t.Helper()
	o := write.DatabaseOptions{Create: true, AllowUnsafe: true} // the servers of tests have fsync off
	var table capture.Table
	var err error
	if strings.Contains(name, "://") {
		table, err = write.OpenPostgres(context.Background(), name, o)
	} else {
		table, err = write.OpenSQLite(name, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg := p.Config
	cfg.Anchors = nil
	s, err := capture.StartTable(cfg, table, &capture.Unlocked{Encoder: write.NewEncoder(tableKey, tableIV, write.Options{}), Spool: p.Officer})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Stop takes the daemon down in order.
func Stop(t testing.TB, s *capture.Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// Run starts the daemon, delivers each parcel on one connection, and stops it.
func (p *Place) Run(t testing.TB, parcels ...[]xmpp.Copy) {
	t.Helper()
	s := p.Start(t)
	p.runs++
	connection := fmt.Sprintf("c%d", p.runs)
	s.Connected(connection)
	p.await(t, connection) // what comes at the same time is recorded in any order
	for _, copies := range parcels {
		Deliver(t, s, connection, copies)
	}
	s.Lost(connection, errors.New("the server has ended it"))
	Stop(t, s)
}

// await waits until the store has an event about a connection.
func (p *Place) await(t testing.TB, connection string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r, err := sqlite.OpenReader(p.Archive())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		err = r.Others(context.Background(), func(e *store.Entry) error {
			entry, err := ledger.Parse(e.Other, p.ID)
			if event, ok := entry.(*ledger.Event); ok && event.Name == ledger.Connected && event.Detail == connection {
				found = true
			}
			return err
		})
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if found {
			return
		}
	}
	t.Fatal("the event is not recorded")
}

// Deliver delivers copies and waits until they are acknowledged.
func Deliver(t testing.TB, s *capture.Service, connection string, copies []xmpp.Copy) {
	t.Helper()
	done := make(chan error, 1)
	s.Deliver(connection, copies, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Server plays an XMPP server: what its users do, it copies as servers do.
type Server struct {
	Numbered bool // as our module in Prosody; otherwise as mod_service_log in ejabberd
	Now      time.Time

	ids    int
	number uint64
	copies []xmpp.Copy
}

// Domain is that of the server's users, Rooms that of its rooms.
const (
	Domain = "example.org"
	Rooms  = "conference.example.org"
)

// Copies returns what was copied since the last call.
func (s *Server) Copies() []xmpp.Copy {
	c := s.copies
	s.copies = nil
	return c
}

func (s *Server) copy(direction byte, stanza string) {
	s.Now = s.Now.Add(3 * time.Millisecond)
	c := xmpp.Copy{Host: Domain, Stanza: []byte(stanza)}
	if s.Numbered {
		s.number++
		c.Source, c.Number, c.Time, c.Direction = "q1", s.number, s.Now, direction
	} else {
		c.Time = s.Now // the daemon's own clock in earnest, for which tests would have to wait
	}
	s.copies = append(s.copies, c)
}

// Local tells whether somebody is one of the server's own users.
func Local(user string) bool { return strings.HasSuffix(user, "@"+Domain) }

// Chat sends a message between two users, with further elements beside the
// body, and returns its id.
func (s *Server) Chat(from, to, body, more string) (id string) {
	s.Now = s.Now.Add(time.Second)
	s.ids++
	id = fmt.Sprintf("id%d", s.ids)
	stanza := func(to string) string {
		return fmt.Sprintf("<message xmlns='jabber:client' from='%s/desk' to='%s' id='%s' type='chat'>%s%s</message>", from, to, id, bodyElement(body), more)
	}
	if Local(from) {
		s.copy('O', stanza(to))
	}
	if Local(to) {
		s.copy('I', stanza(to+"/phone"))
	}
	return id
}

// Say says something in a room, which goes to each of the occupants.
func (s *Server) Say(room, from, nick, body, more string, occupants ...string) (id string) {
	s.Now = s.Now.Add(time.Second)
	s.ids++
	id = fmt.Sprintf("id%d", s.ids)
	stanza := func(from, to string) string {
		return fmt.Sprintf("<message xmlns='jabber:client' from='%s' to='%s' id='%s' type='groupchat'>%s%s</message>", from, to, id, bodyElement(body), more)
	}
	if Local(from) {
		s.copy('O', stanza(from+"/desk", room))
	}
	for _, to := range occupants {
		if Local(to) {
			s.copy('I', stanza(room+"/"+nick, to+"/phone"))
		}
	}
	return id
}

func bodyElement(body string) string {
	if body == "" {
		return ""
	}
	return "<body>" + body + "</body>"
}
