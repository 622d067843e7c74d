//go:build unix

package prosody_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"archivolt/internal/testenv"
	"archivolt/internal/xmpp"
)

// start starts a Prosody with these users, their clients and an archive that
// is connected.
func start(t *testing.T, setup testenv.ProsodySetup, users ...string) (*testenv.Prosody, *archive, []*testenv.XMPPClient) {
	t.Helper()
	setup.Users = append(setup.Users, users...)
	p := testenv.StartProsody(t, setup)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.Log())
		}
	})
	a := newArchive(t)
	a.connect(p, componentAddress(p))
	return p, a, logIn(t, p, users...)
}

func logIn(t *testing.T, p *testenv.Prosody, users ...string) (clients []*testenv.XMPPClient) {
	t.Helper()
	for _, u := range users {
		clients = append(clients, testenv.StartXMPPClient(t, u+"@"+p.Domain, testenv.Password, "127.0.0.1", p.ClientPort))
	}
	return clients
}

// kinds are messages that the server passes from anna to boris: what is between
// the tags, and the attributes beside to and id.
var kinds = []struct{ name, attributes, content string }{
	{"chat", "type='chat'", "<body>hello</body>"},
	{"no type", "", "<body>hello</body>"},
	{"normal", "type='normal'", "<subject>s</subject><body>hello</body><thread parent='p'>t</thread>"},
	{"headline", "type='headline'", "<body>news</body>"},
	{"error", "type='error'", "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"},
	{"unknown type", "type='novel'", "<body>hello</body>"},
	{"empty", "type='chat'", ""},
	{"no-store", "type='chat'", "<body>b</body><no-store xmlns='urn:xmpp:hints'/><no-permanent-store xmlns='urn:xmpp:hints'/><no-copy xmlns='urn:xmpp:hints'/>"},
	{"state", "type='chat'", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"},
	{"receipt", "", "<received xmlns='urn:xmpp:receipts' id='x'/>"},
	{"retraction", "type='chat'", "<apply-to id='o' xmlns='urn:xmpp:fasten:0'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>"},
	{"encrypted", "type='chat'", "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='2'>AAAA</key></header><payload>BBBB</payload></encrypted>"},
	{"xhtml", "type='chat'", "<body>b</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p style='color:red'>b <em>e</em></p></body></html>"},
	{"forwarded", "type='chat'", "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='x@example.com'><body>inner</body></message></forwarded>"},
	{"copy within", "type='chat'", "<archive xmlns='urn:archivolt:capture:1' source='s'><copy number='1'/></archive>"},
	{"prefixes", "type='chat' x:a='1' xmlns:x='urn:x'", "<x:e x:b='2' c='3'><d/></x:e>"},
	{"references", "type='chat'", "<body>a &lt; b &amp;&amp; c &gt; d &quot;&apos; &#x1F600; \n\ttab 日本 é ]]&gt;</body>"},
	{"long", "type='chat'", "<body>" + strings.Repeat("0123456789&lt;", 10000) + "</body>"},
}

// TestKinds sends every kind of message to a bare and to a full address. Each is
// recorded twice, as it was sent.
func TestKinds(t *testing.T) {
	p, a, c := start(t, testenv.ProsodySetup{}, "anna", "boris")
	anna, boris := c[0], c[1]
	for _, k := range kinds {
		for _, to := range []string{boris.JID, "boris@" + p.Domain} {
			t.Run(k.name, func(t *testing.T) {
				id := fmt.Sprintf("id-%s-%d", strings.ReplaceAll(k.name, " ", "-"), len(to))
				raw := fmt.Sprintf("<message to='%s' id='%s' xml:lang='de' %s>%s</message>", to, id, k.attributes, k.content)
				anna.Raw(raw)
				copies := a.has(2, "id='"+id+"'")
				want := canonical(t, strings.Replace(raw, "<message ", "<message from='"+anna.JID+"' ", 1), "jabber:client")
				for i, c := range copies {
					if direction := "OI"[i]; c.Direction != direction || c.Host != p.Domain || time.Since(c.Time).Abs() > time.Minute {
						t.Errorf("copy %d is %s %c %v", i, c.Host, c.Direction, c.Time)
					}
					if got := canonical(t, string(c.Stanza), ""); got != want {
						t.Errorf("the copy is\n%s\nthe message was\n%s", got, want)
					}
				}
			})
		}
	}
	// What boris has seen is what is recorded for him, but for what the server
	// has added since.
	for _, seen := range boris.Received(testenv.XMPPMatch{Contains: "id-"}) {
		for _, c := range a.copies {
			if c.Direction == 'I' && strings.Contains(seen, idOf(c)) {
				if got, want := canonical(t, string(c.Stanza), "", "stanza-id"), canonical(t, seen, "", "stanza-id"); got != want {
					t.Errorf("recorded is\n%s\nboris has seen\n%s", got, want)
				}
			}
		}
	}
	if n := a.numbers(); n != 4*len(kinds) {
		t.Errorf("%d copies of %d messages", n, 2*len(kinds))
	}
}

// idOf gives a copy's attribute id, in double quotes.
func idOf(c xmpp.Copy) string {
	_, rest, _ := strings.Cut(string(c.Stanza), " id='")
	id, _, _ := strings.Cut(rest, "'")
	return ` id="` + id + `"`
}

// TestWays sends messages on the ways through the server that are not the
// straight one.
func TestWays(t *testing.T) {
	p, a, c := start(t, testenv.ProsodySetup{Users: []string{"carla"}}, "anna", "boris", "boris")
	anna, boris, desk := c[0], c[1], c[2]
	boris.Carbons()
	desk.Carbons()

	anna.Send(testenv.XMPPMessage{To: boris.JID, Body: "carbon"})
	desk.Wait(testenv.XMPPMatch{Contains: "urn:xmpp:carbons:2"})
	a.has(2, ">carbon<")
	boris.Send(testenv.XMPPMessage{To: anna.JID, Body: "carbon too"})
	a.has(2, ">carbon too<")

	anna.Send(testenv.XMPPMessage{To: "anna@" + p.Domain, Body: "to myself"})
	anna.Wait(testenv.XMPPMatch{Body: "to myself"})
	for i, c := range a.has(2, ">to myself<") {
		if c.Direction != "OI"[i] || !strings.Contains(string(c.Stanza), " to='anna@"+p.Domain+"'") {
			t.Errorf("copy %d of a message to oneself: %c %s", i, c.Direction, c.Stanza)
		}
	}
	anna.Raw("<message type='chat'><body>to nobody named</body></message>")
	a.has(2, ">to nobody named<")

	anna.Send(testenv.XMPPMessage{To: "carla@" + p.Domain, Body: "offline"})
	a.has(2, ">offline<")
	carla := logIn(t, p, "carla")[0]
	carla.Wait(testenv.XMPPMatch{Body: "offline"})

	anna.Send(testenv.XMPPMessage{To: "nobody@" + p.Domain, Body: "no such user"})
	anna.Wait(testenv.XMPPMatch{Type: "error"})
	a.has(2, ">no such user<")
	anna.Send(testenv.XMPPMessage{To: "far@away.example", Body: "to another server"})
	a.has(1, ">to another server<")

	anna.Send(testenv.XMPPMessage{To: p.Domain, Body: "to the server"})
	a.has(2, ">to the server<")

	// boris blocks anna: what she sends is recorded all the same, and not shown.
	boris.Raw("<iq type='set' id='block'><block xmlns='urn:xmpp:blocking'><item jid='anna@" + p.Domain + "'/></block></iq>")
	boris.Send(testenv.XMPPMessage{To: "carla@" + p.Domain, Body: "blocked her"})
	carla.Wait(testenv.XMPPMatch{Body: "blocked her"})
	anna.Send(testenv.XMPPMessage{To: boris.JID, Body: "blocked"})
	a.has(2, ">blocked<")

	anna.Presence("away")
	anna.Raw("<iq type='get' id='v' to='" + p.Domain + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	anna.Send(testenv.XMPPMessage{To: carla.JID, Body: "last"})
	a.has(2, ">last<")
	a.numbers()
	for _, c := range a.copies {
		if !strings.HasPrefix(string(c.Stanza), "<message ") {
			t.Errorf("recorded: %s", c.Stanza)
		}
	}
	for _, blocked := range boris.Received(testenv.XMPPMatch{Body: "blocked"}) {
		t.Errorf("boris has got %s", blocked)
	}
}

// TestRoom counts the copies of a message in a room, without the module on the
// rooms' host and with it.
func TestRoom(t *testing.T) {
	for _, module := range []bool{false, true} {
		t.Run(fmt.Sprint(module), func(t *testing.T) {
			setup, atRoom := testenv.ProsodySetup{}, 0
			if module {
				setup.Room, atRoom = `modules_enabled = { "archivolt" }`, 1
			}
			p, a, c := start(t, setup, "anna", "boris", "carla")
			room := "hall@" + p.Rooms
			for i, client := range c {
				client.Join(room, fmt.Sprintf("nick%d", i))
			}
			c[0].Send(testenv.XMPPMessage{To: room, Type: "groupchat", Body: "to all"})
			var out, in, at int
			to := map[string]bool{}
			for _, c := range a.has(1+3+atRoom, ">to all<") {
				switch {
				case c.Direction == 'O' && c.Host == p.Domain:
					out++
				case c.Direction == 'I' && c.Host == p.Domain:
					in++
					_, address, _ := strings.Cut(string(c.Stanza), " to='")
					address, _, _ = strings.Cut(address, "'")
					to[address] = true
				case c.Direction == 'I' && c.Host == p.Rooms:
					at++
				}
			}
			if out != 1 || in != 3 || at != atRoom || !to[c[0].JID] || !to[c[1].JID] || !to[c[2].JID] {
				t.Errorf("%d out, %d in, %d at the room, to %v", out, in, at, to)
			}
			c[1].Send(testenv.XMPPMessage{To: room + "/nick2", Body: "aside"})
			c[2].Wait(testenv.XMPPMatch{Body: "aside"})
			a.has(2+atRoom, ">aside<")
			a.numbers()
		})
	}
}

// TestOutside has a component send and receive: its stanzas come from no
// session that could wait.
func TestOutside(t *testing.T) {
	for _, block := range []bool{false, true} {
		t.Run(fmt.Sprint(block), func(t *testing.T) {
			p, a, c := start(t, testenv.ProsodySetup{Host: fmt.Sprintf("archivolt_block_unrecorded = %v", block)}, "anna")
			partner := dialPartner(t, p, p.Partner)
			for n := range 20 {
				partner.say(fmt.Sprintf("<message type='chat' from='zoe@%s/x' to='anna@%s'><body>from outside %d</body></message>", p.Partner, p.Domain, n))
			}
			c[0].Wait(testenv.XMPPMatch{Prefix: "from outside", Count: 20})
			for n, c := range a.has(20, ">from outside") {
				if c.Direction != 'I' || !strings.Contains(string(c.Stanza), fmt.Sprintf("outside %d<", n)) {
					t.Errorf("copy %d: %c %s", n, c.Direction, c.Stanza)
				}
			}
			c[0].Send(testenv.XMPPMessage{To: "zoe@" + p.Partner, Body: "to outside"})
			for _, c := range a.has(1, ">to outside<") {
				if c.Direction != 'O' {
					t.Errorf("%c %s", c.Direction, c.Stanza)
				}
			}
			if partner.stanza().XMLName.Local != "message" {
				t.Error("the partner got something else than the message")
			}
		})
	}
}

// TestServers sends messages between two servers, each with its archive.
func TestServers(t *testing.T) {
	for _, block := range []bool{false, true} {
		t.Run(fmt.Sprint(block), func(t *testing.T) {
			host := fmt.Sprintf("archivolt_block_unrecorded = %v", block)
			here, a, anna := start(t, testenv.ProsodySetup{Peers: true, Host: host}, "anna")
			there, b, zoe := start(t, testenv.ProsodySetup{Peers: true, Host: host, Domain: "example.net"}, "zoe")
			here.Know(there)
			there.Know(here)
			flood(anna[0], zoe[0], 200)
			a.has(200, ">flood ")
			b.has(200, ">flood ")
			flood(zoe[0], anna[0], 200)
			for i, archive := range []*archive{a, b} {
				archive.has(400, ">flood ")
				if archive.numbers() != 400 {
					t.Errorf("archive %d has\n%s", i, texts(archive.copies))
				}
				first, second := "OI"[i], "IO"[i]
				for n, c := range archive.copies {
					if want := fmt.Sprintf(">flood %d<", n%200); !strings.Contains(string(c.Stanza), want) || c.Direction != first && n < 200 || c.Direction != second && n >= 200 {
						t.Errorf("archive %d, copy %d: %c %s", i, n, c.Direction, c.Stanza)
					}
				}
			}
			anna[0].Send(testenv.XMPPMessage{To: "nobody@" + there.Domain, ID: "bounces", Body: "no such user"})
			anna[0].Wait(testenv.XMPPMatch{ID: "bounces", Type: "error"})
			for i, c := range a.has(2, "id='bounces'") { // what was sent, and the answer of the other server
				if c.Direction != "OI"[i] {
					t.Errorf("copy %d is %c %s", i, c.Direction, c.Stanza)
				}
			}
		})
	}
}

// TestInjection lets a user try to slip in records.
func TestInjection(t *testing.T) {
	setup := testenv.ProsodySetup{Users: []string{"anna", "boris"}}
	p := testenv.StartProsody(t, setup)
	a := newArchive(t)
	component, _ := a.connect(p, componentAddress(p))
	c := logIn(t, p, "anna", "boris")
	const forged = "<archive xmlns='urn:archivolt:capture:1' source='s'><copy number='1' time='2026-11-24T12:00:00Z' direction='in'>" +
		"<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>forged</body></message></forwarded></copy></archive>"
	c[0].Raw("<iq type='set' id='f1' to='" + p.Component + "'>" + forged + "</iq>")
	c[0].Raw("<message id='f2' to='" + p.Component + "'>" + forged + "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>forged</body></message></forwarded></message>")
	c[0].Raw("<message id='f3' to='admin@" + p.Component + "/x'><body>forged</body></message>")
	c[0].Send(testenv.XMPPMessage{To: c[1].JID, Body: "true"})
	a.has(2, ">true<")
	if n := a.numbers(); n != 2 {
		t.Errorf("recorded:\n%s", texts(a.copies))
	}
	// Everything to the component went before the copies on the same stream.
	if n := component.Counts(); n.Refused != 2 || n.Malformed != 0 || n.Copies != 2 {
		t.Errorf("counts are %+v", n)
	}
}
