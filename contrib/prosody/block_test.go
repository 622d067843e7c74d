//go:build unix

package prosody_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

const blocking = "archivolt_block_unrecorded = true\n"

// TestBlock withholds the acknowledgement: nobody may have the message before
// it is recorded.
func TestBlock(t *testing.T) {
	p, a, c := start(t, testenv.ProsodySetup{Host: blocking}, "anna", "boris", "carla")
	anna, boris, carla := c[0], c[1], c[2]
	a.change(func() { a.holding = true })
	anna.Send(testenv.XMPPMessage{To: boris.JID, Body: "held 0"})
	anna.Send(testenv.XMPPMessage{To: boris.JID, Body: "held 1"})
	anna.Presence("unavailable") // does not overtake them
	a.wait("copy", func() bool { return len(a.with(">held 0<")) == 1 && len(a.held) == 1 })
	a.change(func() {
		held := a.held[0]
		a.held = nil
		go held(nil) // the first on its way out: it goes on to boris, and is held again
	})
	a.wait("copy for boris", func() bool { return len(a.with(">held 0<")) == 2 && len(a.held) == 1 })
	// Others do not wait, and what they say shows that the server works; their
	// messages wait too.
	carla.Raw("<iq type='get' id='p' to='" + p.Domain + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	carla.Send(testenv.XMPPMessage{To: boris.JID, Body: "held too"})
	if got := boris.Received(testenv.XMPPMatch{Prefix: "held"}); len(got) != 0 {
		t.Fatalf("boris has what is not recorded: %s", got)
	}
	a.release()
	got := boris.Wait(testenv.XMPPMatch{Prefix: "held", Count: 3})
	if zero, one := find(got, ">held 0<"), find(got, ">held 1<"); zero > one {
		t.Errorf("out of order: %s", got)
	}
	a.has(6, ">held ")
	a.numbers()
}

func find(texts []string, part string) int {
	for i, text := range texts {
		if strings.Contains(text, part) {
			return i
		}
	}
	return -1
}

// TestBlockFlood has two clients send to each other at full speed while every
// message is held back until it is recorded.
func TestBlockFlood(t *testing.T) {
	_, a, c := start(t, testenv.ProsodySetup{Host: blocking}, "anna", "boris", "carla")
	began := time.Now()
	c[1].Flood(c[2].JID, "chat", "other", 1000)
	flood(c[0], c[1], 1000)
	c[2].Wait(testenv.XMPPMatch{Prefix: "other", Count: 1000})
	t.Logf("2,000 messages from two senders in %v, %d parcels", time.Since(began), a.parcels)
	a.has(2000, ">flood ")
	a.has(2000, ">other ")
	a.complete(1000)
	a.numbers()
	for _, client := range c {
		if refused := client.Received(testenv.XMPPMatch{Type: "error"}); len(refused) > 0 {
			t.Errorf("%d were refused, the first with %s", len(refused), refused[0])
		}
	}
}

// TestBlockRoom holds what a room sends to each of its occupants.
func TestBlockRoom(t *testing.T) {
	p, a, c := start(t, testenv.ProsodySetup{Host: blocking, Room: `modules_enabled = { "archivolt" }` + "\n" + blocking}, "anna", "boris", "carla")
	room := "hall@" + p.Rooms
	for i, client := range c {
		client.Join(room, fmt.Sprintf("nick%d", i))
	}
	a.change(func() { a.holding = true })
	for n := range 10 {
		c[0].Send(testenv.XMPPMessage{To: room, Type: "groupchat", Body: fmt.Sprintf("to all %d", n)})
	}
	a.wait("copy", func() bool { return len(a.with(">to all 0<")) == 1 && len(a.held) > 0 })
	for _, client := range c {
		if got := client.Received(testenv.XMPPMatch{Prefix: "to all"}); len(got) != 0 {
			t.Fatalf("%s has what is not recorded: %s", client.JID, got)
		}
	}
	a.release()
	for _, client := range c {
		got := client.Wait(testenv.XMPPMatch{Prefix: "to all", Count: 10})
		for n := range got {
			if !strings.Contains(got[n], fmt.Sprintf(">to all %d<", n)) {
				t.Errorf("%s has at %d %s", client.JID, n, got[n])
			}
		}
	}
	a.has(10*(1+1+3), ">to all ")
	a.numbers()
}

// TestBlockTimeout has no archive: messages come back, and nobody gets them.
func TestBlockTimeout(t *testing.T) {
	setup := testenv.ProsodySetup{Users: []string{"anna", "boris"}, Host: blocking + "archivolt_block_timeout = 1"}
	p := testenv.StartProsody(t, setup)
	c := logIn(t, p, "anna", "boris")
	began := time.Now()
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, ID: "one", Body: "refused 1"})
	bounce := c[0].Wait(testenv.XMPPMatch{ID: "one", Type: "error"})[0]
	if d := time.Since(began); d < time.Second {
		t.Errorf("refused after %v", d)
	}
	for _, part := range []string{`type="wait"`, "resource-constraint", "could not be recorded"} {
		if !strings.Contains(bounce, part) {
			t.Errorf("the refusal does not hold %q: %s", part, bounce)
		}
	}
	if log := p.Log(); !strings.Contains(log, "messages are refused because they cannot be recorded: no acknowledgement in 1 s: the component archive.example.org is not connected") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	// From here on it is known that waiting is of no use: a hundred are refused
	// in less time than it would take to wait for each.
	c[0].Flood(c[1].JID, "chat", "refused", 100)
	c[0].Wait(testenv.XMPPMatch{Type: "error", Count: 101})
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("a hundred refusals took %v", d)
	}
	a := newArchive(t)
	a.connect(p, componentAddress(p))
	a.has(1, ">refused 1<") // the attempt is on record
	// On a busy machine an acknowledgement may take more than the second that
	// this server waits: then the message is refused, and sent again.
	passed := ""
	for i := 0; passed == ""; i++ {
		if i == 10 {
			t.Fatal("ten messages were refused although the archive is there")
		}
		id, body := fmt.Sprint("again", i), fmt.Sprint("passes ", i)
		c[0].Send(testenv.XMPPMessage{To: c[1].JID, ID: id, Body: body})
		for deadline := time.Now().Add(30 * time.Second); passed == "" && len(c[0].Received(testenv.XMPPMatch{ID: id, Type: "error"})) == 0; time.Sleep(10 * time.Millisecond) {
			if len(c[1].Received(testenv.XMPPMatch{Body: body})) > 0 {
				passed = body
			}
			if time.Now().After(deadline) {
				t.Fatalf("%q neither arrives nor is refused", body)
			}
		}
	}
	a.has(2, ">"+passed+"<")
	a.numbers()
	if got := c[1].Received(testenv.XMPPMatch{Prefix: "refused"}); len(got) != 0 {
		t.Errorf("boris has %s", got)
	}
}

// TestBlockFull refuses messages at once while the queue takes nothing.
func TestBlockFull(t *testing.T) {
	p, a, c := start(t, testenv.ProsodySetup{Host: blocking + "archivolt_max_queue = 1"}, "anna", "boris")
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, ID: "one", Body: "refused"})
	if bounce := c[0].Wait(testenv.XMPPMatch{ID: "one", Type: "error"})[0]; !strings.Contains(bounce, "resource-constraint") {
		t.Errorf("refused with %s", bounce)
	}
	if log := p.Log(); !strings.Contains(log, "messages are refused because they cannot be recorded: the queue is full") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	if n := a.numbers(); n != 0 || len(c[1].Received(testenv.XMPPMatch{Body: "refused"})) != 0 {
		t.Errorf("recorded or delivered:\n%s", texts(a.copies))
	}
}

// TestBlockReconnected has a sender come back under the same resource while
// messages wait, one of them to the sender's own account: the session is gone,
// the messages count.
func TestBlockReconnected(t *testing.T) {
	for _, to := range []string{"to='boris@example.org'", ""} {
		t.Run(to, func(t *testing.T) {
			p, a, c := start(t, testenv.ProsodySetup{Host: blocking, Users: []string{"anna"}}, "boris")
			anna := testenv.StartXMPPClient(t, "anna@"+p.Domain+"/pc", testenv.Password, "127.0.0.1", p.ClientPort)
			a.change(func() { a.holding = true })
			anna.Raw("<message " + to + " type='chat'><body>held</body></message>")
			a.wait("copy", func() bool { return len(a.with(">held<")) == 1 && len(a.held) == 1 })
			recipient := testenv.StartXMPPClient(t, "anna@"+p.Domain+"/pc", testenv.Password, "127.0.0.1", p.ClientPort)
			if to != "" {
				recipient = c[0]
			}
			a.release()
			recipient.Wait(testenv.XMPPMatch{Body: "held"})
			a.has(2, ">held<")
		})
	}
}

// TestBlockStopped stops the server while a message waits: its sender learns
// that it was not delivered.
func TestBlockStopped(t *testing.T) {
	p, a, c := start(t, testenv.ProsodySetup{Host: blocking}, "anna", "boris")
	a.change(func() { a.holding = true })
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, ID: "one", Body: "held"})
	a.wait("copy", func() bool { return len(a.with(">held<")) == 1 && len(a.held) == 1 })
	p.Stop()
	if bounce := c[0].Wait(testenv.XMPPMatch{ID: "one", Type: "error"})[0]; !strings.Contains(bounce, "resource-constraint") {
		t.Errorf("refused with %s", bounce)
	}
}
