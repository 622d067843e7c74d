//go:build unix

package prosody_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

// TestFullSpeed has two clients send 5,000 messages as fast as they can.
func TestFullSpeed(t *testing.T) {
	p, a, c := start(t, testenv.ProsodySetup{}, "anna", "boris")
	began := time.Now()
	flood(c[0], c[1], 5000)
	received := time.Since(began)
	a.has(10000, ">flood ")
	t.Logf("5,000 messages were delivered in %v and recorded in %v, in %d parcels", received, time.Since(began), a.parcels)
	if n := a.numbers(); n != 10000 || a.again > 0 {
		t.Errorf("%d copies of 5,000 messages, %d came again", n, a.again)
	}
	a.complete(5000)
	if _, err := os.Stat(filepath.Join(p.Queues, p.Domain, "rejected")); err == nil {
		t.Error("copies were set aside")
	}
}

// flood has from send n messages to to, and waits until to has them.
func flood(from, to *testenv.XMPPClient, n int) {
	from.Flood(to.JID, "chat", "flood", n)
	to.Wait(testenv.XMPPMatch{Prefix: "flood ", Count: n})
}

// complete checks that each of n messages of a flood was recorded once on its
// way out and once on its way in, and in the order in which they were sent.
func (a *archive) complete(n int) {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	next := map[byte]int{}
	for _, c := range a.with(">flood ") {
		if want := fmt.Sprintf(">flood %d<", next[c.Direction]); !strings.Contains(string(c.Stanza), want) {
			a.t.Errorf("instead of %q with direction %c came %s", want, c.Direction, c.Stanza)
			return
		}
		next[c.Direction]++
	}
	if next['O'] != n || next['I'] != n {
		a.t.Errorf("%d out and %d in of %d", next['O'], next['I'], n)
	}
}

// TestConnectionCut resets the archive's connection again and again while
// messages flow. What was not acknowledged comes again, under its number.
func TestConnectionCut(t *testing.T) {
	setup := testenv.ProsodySetup{Users: []string{"anna", "boris"}, Host: "archivolt_batch = 20"}
	p := testenv.StartProsody(t, setup)
	a := newArchive(t)
	w := newWire(t, componentAddress(p))
	a.connect(p, w.listener.Addr().String())
	c := logIn(t, p, "anna", "boris")
	for cut := range 5 {
		// Held back, so that something is under way whenever it is cut.
		a.change(func() { a.holding = true })
		c[0].Flood(c[1].JID, "chat", fmt.Sprintf("round %d", cut), 200)
		a.wait("parcel under way", func() bool { return len(a.held) > 0 })
		w.cut()
		a.wait("new connection", func() bool { return a.up == cut+2 && a.isUp })
		a.release()
		a.has(400, fmt.Sprintf(">round %d ", cut))
	}
	if n := a.numbers(); n != 2000 || a.again == 0 {
		t.Errorf("%d copies of 1,000 messages, %d came again", n, a.again)
	}
}

// TestArchiveRestarted stops the archive while messages flow and starts it
// again.
func TestArchiveRestarted(t *testing.T) {
	setup := testenv.ProsodySetup{Users: []string{"anna", "boris"}}
	p := testenv.StartProsody(t, setup)
	a := newArchive(t)
	_, stop := a.connect(p, componentAddress(p))
	c := logIn(t, p, "anna", "boris")
	c[0].Flood(c[1].JID, "chat", "before", 500)
	stop()
	c[0].Flood(c[1].JID, "chat", "meanwhile", 2000)
	c[1].Wait(testenv.XMPPMatch{Prefix: "meanwhile", Count: 2000})
	a.connect(p, componentAddress(p))
	c[0].Flood(c[1].JID, "chat", "after", 500)
	a.has(1000, ">before ")
	a.has(4000, ">meanwhile ")
	a.has(1000, ">after ")
	if n := a.numbers(); n != 6000 || len(a.kept) != 1 {
		t.Errorf("%d copies from %d queues", n, len(a.kept))
	}
}

// TestServerKilled kills Prosody with copies in its queue, some of them
// sent and not acknowledged.
func TestServerKilled(t *testing.T) {
	setup := testenv.ProsodySetup{Users: []string{"anna", "boris"}, Host: "archivolt_batch = 20"}
	p := testenv.StartProsody(t, setup)
	a := newArchive(t)
	_, stop := a.connect(p, componentAddress(p))
	c := logIn(t, p, "anna", "boris")
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "first"})
	a.has(2, ">first<")
	a.change(func() { a.holding = true })
	flood(c[0], c[1], 300)
	a.wait("parcel under way", func() bool { return len(a.held) > 0 })
	p.Kill()
	stop()
	a.change(func() { a.holding = false })
	p.Start()
	a.connect(p, componentAddress(p))
	a.has(600, ">flood ")
	a.complete(300)
	if a.again == 0 {
		t.Error("nothing came again")
	}
	c = logIn(t, p, "anna", "boris")
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "last"})
	a.has(2, ">last<")
	if n := a.numbers(); n != 604 || len(a.kept) != 1 {
		t.Errorf("%d copies of 302 messages, from %d queues", n, len(a.kept))
	}
	emptied(t, p)
}

// TestKilledAtRandom kills Prosody at random moments while messages stream in:
// what it has taken, up to some message, is recorded without a hole.
func TestKilledAtRandom(t *testing.T) {
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna"}, Host: "archivolt_batch = 7\nmodules_disabled = { \"mam\" }"})
	a := newArchive(t)
	const rounds = 10
	for round := range rounds {
		_, stop := a.connect(p, componentAddress(p))
		partner := dialPartner(t, p, p.Partner)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for n := 0; ; n++ {
				_, err := fmt.Fprintf(partner.conn, "<message type='chat' from='zoe@%s' to='anna@%s'><body>round %d flood %d</body></message>", p.Partner, p.Domain, round, n)
				if err != nil {
					return // killed
				}
			}
		}()
		time.Sleep(rand.N(300 * time.Millisecond)) // the moment is what is random
		p.Kill()
		stop()
		<-ended
		p.Start()
	}
	a.connect(p, componentAddress(p))
	emptied(t, p)
	total := a.numbers()
	var next [rounds]int
	for _, c := range a.copies {
		_, body, _ := strings.Cut(string(c.Stanza), "<body>")
		var round, n int
		if _, err := fmt.Sscanf(body, "round %d flood %d<", &round, &n); err != nil || n != next[round] {
			t.Fatalf("%v, or %q where %d was next", err, body, next[round])
		}
		next[round]++
	}
	t.Logf("%d messages in %d rounds, %v; %d came again", total, rounds, next, a.again)
	if len(a.kept) != 1 {
		t.Errorf("copies of %d queues", len(a.kept))
	}
}

// emptied waits until nothing of a message is left in the queue's file.
func emptied(t *testing.T, p *testenv.Prosody) {
	t.Helper()
	var held string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(p.Queues, p.Domain, "*.queue"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no queue: %v", err)
		}
		held = ""
		for _, f := range files {
			b, _ := os.ReadFile(f) // perhaps gone meanwhile
			held += string(b)
			if info, err := os.Stat(f); err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", f, info.Mode())
			}
		}
		if len(files) == 1 && !strings.Contains(held, "<message") {
			return
		}
	}
	t.Errorf("what is acknowledged still lies in the queue:\n%.1000s", held)
}

// TestRefused has the archive take nothing for a while.
func TestRefused(t *testing.T) {
	_, a, c := start(t, testenv.ProsodySetup{}, "anna", "boris")
	a.change(func() { a.refusing = true })
	flood(c[0], c[1], 200)
	a.wait("second attempt", func() bool { return a.parcels >= 2 })
	a.change(func() { a.refusing = false })
	a.has(400, ">flood ")
	a.complete(200)
	a.numbers()
}

// TestBadRequest has an archive that cannot bear some copies. They are set
// aside, the others pass, in order.
func TestBadRequest(t *testing.T) {
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "boris"}})
	c := logIn(t, p, "anna", "boris")
	for n := range 30 {
		body := fmt.Sprintf("good %d", n)
		if n%10 == 5 {
			body = fmt.Sprintf("bad %d", n)
		}
		c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: body})
	}
	c[1].Wait(testenv.XMPPMatch{Prefix: "", Count: 30})
	archive := dialPartner(t, p, p.Component)
	var passed []string
	for len(passed) < 2*27 {
		e := archive.stanza()
		if e.XMLName.Local != "iq" {
			continue
		}
		if strings.Contains(e.Inner, ">bad ") {
			archive.say(fmt.Sprintf("<iq type='error' id='%s' from='%s' to='%s'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", e.ID, e.To, e.From))
			continue
		}
		archive.say(fmt.Sprintf("<iq type='result' id='%s' from='%s' to='%s'/>", e.ID, e.To, e.From))
		for _, part := range strings.Split(e.Inner, "<copy ")[1:] {
			_, body, _ := strings.Cut(part, "<body>")
			body, _, _ = strings.Cut(body, "<")
			passed = append(passed, body)
		}
	}
	next := 0
	for n := range 30 {
		if n%10 != 5 {
			want := fmt.Sprintf("good %d", n)
			if passed[next] != want || passed[next+1] != want {
				t.Fatalf("%q passed at %d, expected %q twice", passed[next:next+2], next, want)
			}
			next += 2
		}
	}
	path := filepath.Join(p.Queues, p.Domain, "rejected")
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(kept), ">bad "); n != 6 || strings.Contains(string(kept), ">good ") {
		t.Errorf("%d copies are set aside:\n%s", n, kept)
	}
	if log := p.Log(); strings.Count(log, "is not in the archive: the daemon answers modify/bad-request; it is kept in "+path) != 6 {
		t.Errorf("the log does not name them:\n%s", log)
	}
}

// TestStreamEnds has an archive that hangs up over some copies. They are set
// aside after some attempts, the others pass.
func TestStreamEnds(t *testing.T) {
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "boris"}})
	c := logIn(t, p, "anna", "boris")
	for _, body := range []string{"good 1", "bad", "good 2"} {
		c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: body})
	}
	c[1].Wait(testenv.XMPPMatch{Count: 3})
	passed, hung := "", 0
	archive := dialPartner(t, p, p.Component)
	for strings.Count(passed, ">good 2<") < 2 {
		e := archive.stanza()
		if e.XMLName.Local != "iq" {
			continue
		}
		if !strings.Contains(e.Inner, ">bad<") {
			passed += e.Inner
			archive.say(fmt.Sprintf("<iq type='result' id='%s' from='%s' to='%s'/>", e.ID, e.To, e.From))
			continue
		}
		hung++
		archive.say("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		archive.rest()
		archive = dialPartner(t, p, p.Component)
	}
	if n := strings.Count(passed, ">good 1<"); n != 2 || hung < 20 {
		t.Errorf("%d copies of the first message passed, and the stream ended %d times", n, hung)
	}
	kept, err := os.ReadFile(filepath.Join(p.Queues, p.Domain, "rejected"))
	if err != nil || strings.Count(string(kept), ">bad<") != 2 || strings.Contains(string(kept), "good") {
		t.Errorf("set aside: %s, %v", kept, err)
	}
}

// TestQueueFull fills a small queue while the archive is away: messages pass,
// and the copies that are lost leave a gap in the numbers.
func TestQueueFull(t *testing.T) {
	setup := testenv.ProsodySetup{Users: []string{"anna", "boris"}, Host: "archivolt_max_queue = 16384"}
	p := testenv.StartProsody(t, setup)
	c := logIn(t, p, "anna", "boris")
	flood(c[0], c[1], 100)
	if log := p.Log(); !strings.Contains(log, "copies are lost, 1 so far, and missing from the archive: the queue is full") {
		t.Errorf("the log says nothing of it:\n%s", log)
	}
	a := newArchive(t)
	a.connect(p, componentAddress(p))
	a.wait("copies", func() bool { return len(a.copies) > 0 })
	kept := emptyQueue(t, p, a)
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "last"})
	last := a.has(2, ">last<")
	if kept < 20 || kept > 120 || last[0].Number != 201 || last[1].Number != 202 {
		t.Errorf("%d copies of 200 were kept; the next has number %d", kept, last[0].Number)
	}
	for n, c := range a.copies[:kept] {
		if c.Number != uint64(n+1) {
			t.Errorf("copy %d has number %d", n, c.Number)
		}
	}
	if want := fmt.Sprintf("the queue takes copies again, from number 201 on; %d were lost", 200-kept); !strings.Contains(p.Log(), want) {
		t.Errorf("the log does not say %q:\n%s", want, p.Log())
	}
}

// emptyQueue waits until everything in the queue is acknowledged, and gives the
// number of copies so far.
func emptyQueue(t *testing.T, p *testenv.Prosody, a *archive) int {
	t.Helper()
	emptied(t, p)
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.copies)
}

// TestNoQueue starts the server where no queue can be made, and mends that
// while it runs.
func TestNoQueue(t *testing.T) {
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "boris"}})
	p.Kill()
	if err := os.RemoveAll(p.Queues); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Queues, nil, 0o600); err != nil { // a file where the folder has to be
		t.Fatal(err)
	}
	p.Start()
	c := logIn(t, p, "anna", "boris")
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "lost"})
	c[1].Wait(testenv.XMPPMatch{Body: "lost"})
	if err := os.Remove(p.Queues); err != nil {
		t.Fatal(err)
	}
	p.Logged("copies go to " + p.Component)
	a := newArchive(t)
	a.connect(p, componentAddress(p))
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "kept"})
	if kept := a.has(2, ">kept<"); kept[0].Number != 3 || kept[1].Number != 4 {
		t.Errorf("numbers are %d and %d", kept[0].Number, kept[1].Number)
	}
	for _, want := range []string{"cannot be opened, and nothing is recorded: ", "copies are lost, 1 so far, and missing from the archive: the queue cannot be opened", "from number 3 on; 2 were lost"} {
		if log := p.Log(); !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
}

// TestLostNumbersSurvive kills the server after copies were lost: their numbers
// are used up all the same.
func TestLostNumbersSurvive(t *testing.T) {
	setup := testenv.ProsodySetup{Users: []string{"anna", "boris"}, Host: "archivolt_max_queue = 1"}
	p := testenv.StartProsody(t, setup)
	c := logIn(t, p, "anna", "boris")
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "lost"})
	c[1].Wait(testenv.XMPPMatch{Body: "lost"})
	p.Kill()
	p.Configure("archivolt_max_queue = 1", "archivolt_max_queue = 100000")
	p.Start()
	a := newArchive(t)
	a.connect(p, componentAddress(p))
	c = logIn(t, p, "anna", "boris")
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "kept"})
	if kept := a.has(2, ">kept<"); kept[0].Number < 2 {
		t.Errorf("the next number is %d", kept[0].Number)
	}
}

// TestDisk has a disk that confirms nothing for a while: no copy is sent before
// it is on the disk.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	state, attempts := filepath.Join(dir, "state"), filepath.Join(dir, "attempts")
	for _, path := range []string{dir, filepath.Dir(dir)} { // the server is another user
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	broken := func(yes bool) {
		if err := os.WriteFile(state, fmt.Append(nil, yes), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	broken(false)
	// It takes the place of lua-posix.
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "boris"}, Lua: map[string]string{
		"posix/fcntl.lua": "return { O_RDONLY = 0, open = function (path) return path end }",
		"posix/unistd.lua": fmt.Sprintf(`return { close = function () end, fsync = function (path)
			local log = assert(io.open(%q, "a")); log:write("x"); log:close();
			local file = assert(io.open(%q)); local broken = file:read("*a"); file:close();
			if broken == "true" then return nil, "Input/output error" end
			return 0
		end }`, attempts, state),
	}})
	a := newArchive(t)
	_, stop := a.connect(p, componentAddress(p))
	c := logIn(t, p, "anna", "boris")
	if log := p.Log(); !strings.Contains(log, "written to the disk by lua-posix") {
		t.Fatalf("another way of syncing is used:\n%s", log)
	}
	broken(true)
	before := size(t, attempts)
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "waits for the disk"})
	c[1].Wait(testenv.XMPPMatch{Body: "waits for the disk"})
	more(t, attempts, before+4)
	if n := a.numbers(); n != 0 {
		t.Errorf("sent before it was on the disk:\n%s", texts(a.copies))
	}
	p.Logged("the queue cannot be brought to the disk: Input/output error")
	broken(false)
	a.has(2, ">waits for the disk<")
	a.numbers()

	// With the archive away a copy gets to the disk as well.
	emptied(t, p)
	stop()
	before = size(t, attempts)
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "nobody is there"})
	c[1].Wait(testenv.XMPPMatch{Body: "nobody is there"})
	more(t, attempts, before+1)
}

// more waits until a file has so many bytes.
func more(t *testing.T, path string, bytes int64) {
	t.Helper()
	for deadline := time.Now().Add(limit); size(t, path) < bytes; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody tries to bring it to the disk")
		}
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
