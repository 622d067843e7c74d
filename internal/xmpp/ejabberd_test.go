//go:build unix

package xmpp

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

// wire is a connection that keeps what the server sent.
type wire struct {
	net.Conn
	mu   sync.Mutex
	text []byte
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p[:n]...)
	return n, err
}

// forwarded gives the bytes of the messages that the server itself has
// forwarded, found with encoding/xml.
func (w *wire) forwarded(t *testing.T) (messages []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	depth, start, host := 0, int64(0), false
	for d := xml.NewDecoder(bytes.NewReader(w.text)); ; {
		before := d.InputOffset()
		token, err := d.RawToken()
		if err == io.EOF {
			return messages
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			switch depth++; depth {
			case 2:
				host = slices.Contains(token.Attr, xml.Attr{Name: xml.Name{Local: "from"}, Value: "example.org"})
			case 4:
				start = before
			}
		case xml.EndElement:
			if depth == 4 && host && token.Name.Local == "message" {
				messages = append(messages, string(w.text[start:d.InputOffset()]))
			}
			depth--
		}
	}
}

// collector is a Handler that takes everything and remembers it.
type collector struct {
	mu        sync.Mutex
	change    sync.Cond
	copies    []Copy
	connected int
	lost      []error
}

func newCollector() *collector {
	c := &collector{}
	c.change.L = &c.mu
	return c
}

func (c *collector) Connected(string) { c.add(func() { c.connected++ }) }

func (c *collector) Lost(_ string, err error) { c.add(func() { c.lost = append(c.lost, err) }) }

func (c *collector) Deliver(_ string, copies []Copy, done func(error)) {
	c.add(func() { c.copies = append(c.copies, copies...) })
	done(nil)
}

func (c *collector) add(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.change.Broadcast()
}

// wait waits until a condition holds, which is called with c locked.
func (c *collector) wait(t *testing.T, condition func() bool) {
	t.Helper()
	late := false
	defer time.AfterFunc(time.Minute, func() { c.add(func() { late = true }) }).Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !condition() {
		if late {
			t.Fatalf("after a minute there are %d connections, %d lost, and %d copies, the last\n%s", c.connected, len(c.lost), len(c.copies), stanzas(c.copies[max(0, len(c.copies)-10):]))
		}
		c.change.Wait()
	}
}

// find is with for one that is not locked.
func (c *collector) find(text string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.with(text)
}

// with gives the copies that hold a text. c is locked.
func (c *collector) with(text string) (found []string) {
	for _, x := range c.copies {
		if bytes.Contains(x.Stanza, []byte(text)) {
			found = append(found, string(x.Stanza))
		}
	}
	return found
}

// attach runs a component of an ejabberd until the test ends or stop is
// called. wires gives its connections so far.
func attach(t *testing.T, e *testenv.Ejabberd) (component *Component, h *collector, wires func() []*wire, stop func()) {
	t.Helper()
	h = newCollector()
	var mu sync.Mutex
	var all []*wire
	wires = func() []*wire {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
	c := &Component{Address: fmt.Sprintf("127.0.0.1:%d", e.ComponentPort), Name: e.Component, Secret: []byte(e.Secret), Domains: []string{e.Domain},
		MinBackoff: 10 * time.Millisecond, MaxBackoff: 100 * time.Millisecond}
	fillIn(c)
	c.dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.Address)
		if err != nil {
			return nil, err
		}
		w := &wire{Conn: conn}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, w)
		return w, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, h) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := next(t, ended); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	h.wait(t, func() bool { return h.connected == 1 })
	return c, h, wires, stop
}

func login(t *testing.T, e *testenv.Ejabberd, jid string) *testenv.XMPPClient {
	t.Helper()
	local, resource, _ := strings.Cut(jid, "/")
	if resource != "" {
		resource = "/" + resource
	}
	return testenv.StartXMPPClient(t, local+"@"+e.Domain+resource, testenv.Password, "127.0.0.1", e.ClientPort)
}

// TestEjabberdKinds: every kind of message that a client can send arrives, as
// often as ejabberd handles it, with its bytes.
func TestEjabberdKinds(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris", "carla")
	c, h, wires, stop := attach(t, e)
	anna, phone, boris := login(t, e, "anna/pc"), login(t, e, "anna/phone"), login(t, e, "boris/pc")
	room := "room@" + e.Rooms
	anna.Join(room, "anna")
	boris.Join(room, "boris")

	type m = testenv.XMPPMessage
	to := boris.JID
	for _, k := range []struct {
		message m
		copies  int    // sent, and each time received
		holds   string // in each of them
	}{
		{m{ID: "chat", Body: "Grüße & <b>küsse</b> 👋🏽", Thread: "t1"}, 2, "<body>Grüße &amp; &lt;b&gt;küsse&lt;/b&gt; 👋🏽</body>"},
		{m{ID: "normal", Type: "normal", Subject: "subject", Body: "a letter"}, 2, "<subject>subject</subject>"},
		{m{ID: "headline", Type: "headline", Body: "news"}, 2, "type='headline'"},
		{m{ID: "to-bare", To: "boris@" + e.Domain, Body: "wherever you are"}, 2, "to='boris@example.org'"},
		{m{ID: "self", To: "anna@" + e.Domain + "/phone", Body: "note to myself"}, 2, "to='anna@example.org/phone'"},
		{m{ID: "correction", Body: "the right one", Correct: "chat"}, 2, "<replace xmlns='urn:xmpp:message-correct:0' id='chat'/>"},
		{m{ID: "retraction", Retract: "chat"}, 2, "<retract xmlns='urn:xmpp:message-retract:0'/>"},
		{m{ID: "reaction", ReactTo: "chat", Reactions: []string{"👍"}}, 2, "<reaction>👍</reaction>"},
		{m{ID: "reply", Body: "an answer", ReplyTo: "chat"}, 2, "<reply xmlns='urn:xmpp:reply:0'"},
		{m{ID: "asks", Body: "got it?", AskReceipt: true, Markable: true}, 2, "<request xmlns='urn:xmpp:receipts'/>"},
		{m{ID: "receipt", Receipt: "chat"}, 2, "<received xmlns='urn:xmpp:receipts' id='chat'/>"},
		{m{ID: "marker", Marker: "displayed", Marked: "chat"}, 2, "<displayed xmlns='urn:xmpp:chat-markers:0' id='chat'/>"},
		{m{ID: "state", State: "composing"}, 2, "<composing xmlns='http://jabber.org/protocol/chatstates'/>"},
		{m{ID: "xhtml", Body: "bold", XHTML: "<p><b>bold</b></p>"}, 2, "<html xmlns='http://jabber.org/protocol/xhtml-im'>"},
		{m{ID: "oob", Body: "https://example.org/f.png", OOB: "https://example.org/f.png"}, 2, "<x xmlns='jabber:x:oob'>"},
		{m{ID: "no-store", Body: "off the record", Hints: []string{"no-store", "no-permanent-store", "no-copy"}}, 2, "<no-store xmlns='urn:xmpp:hints'/>"},
		{m{ID: "private", Body: "no carbons", Private: true}, 2, "<private xmlns='urn:xmpp:carbons:2'/>"},
		{m{ID: "room", To: room, Type: "groupchat", Body: "all of you"}, 3, "<body>all of you</body>"}, // anna gets it back
		{m{ID: "room-private", To: room + "/boris", Body: "you alone"}, 2, "<body>you alone</body>"},
		{m{ID: "bounced", To: "nobody@" + e.Domain, Body: "anybody?"}, 2, "<body>anybody?</body>"}, // and what comes back
		{m{ID: "remote", To: "someone@remote.invalid", Body: "far away"}, 2, "<body>far away</body>"},
		{m{ID: "offline", To: "carla@" + e.Domain, Body: "for later"}, 1, "<body>for later</body>"},
	} {
		if k.message.To == "" {
			k.message.To = to
		}
		anna.Send(k.message)
		id := " id='" + k.message.ID + "'"
		h.wait(t, func() bool { return len(h.with(id)) >= k.copies && len(h.with(k.holds)) >= k.copies })
	}
	// The same with Prosody's and ejabberd's words for it: raw, as a client of
	// its own kind would write.
	anna.Raw("<message to=\"" + to + "\"\n id='raw' ><x xmlns='urn:unknown:1' a='&lt;&apos;&quot;&gt;&amp;&#10;'><![CDATA[<&]]></x></message>")
	h.wait(t, func() bool { return len(h.with(" id='raw'")) >= 2 })

	carla := login(t, e, "carla/pc")
	carla.Wait(testenv.XMPPMatch{ID: "offline"})
	h.wait(t, func() bool { return len(h.with("<body>for later</body>")) == 2 })

	// Carbons are messages too: one for each other client that asked for them.
	phone.Carbons()
	anna.Send(m{To: to, ID: "carbon-sent", Body: "also to my phone"})
	boris.Send(m{To: anna.JID, ID: "carbon-received", Body: "also to your phone"})
	phone.Wait(testenv.XMPPMatch{Contains: "carbon-sent"})
	phone.Wait(testenv.XMPPMatch{Contains: "carbon-received"})
	h.wait(t, func() bool { return len(h.with("carbon-sent")) == 3 && len(h.with("carbon-received")) == 3 })

	stop()
	// All of the above has come exactly as often as it should.
	for id, want := range map[string]int{"chat": 2, "normal": 2, "headline": 2, "to-bare": 2, "self": 2, "correction": 2, "retraction": 2, "reaction": 2, "reply": 2,
		"asks": 2, "receipt": 2, "marker": 2, "state": 2, "xhtml": 2, "oob": 2, "no-store": 2, "private": 2, "room": 3, "room-private": 2, "bounced": 2, "remote": 2,
		"offline": 2, "raw": 2} {
		if got := h.find("' id='" + id + "' xmlns='jabber:client'>"); len(got) != want {
			t.Errorf("%s came %d times, expected %d:\n%s", id, len(got), want, strings.Join(got, "\n"))
		}
	}
	if n := len(h.find(" type='error'")); n != 2 {
		t.Errorf("%d errors came, expected 2", n)
	}
	onTheWire := wires()[0].forwarded(t)
	var got []string
	for _, x := range h.copies {
		got = append(got, string(x.Stanza))
		if x.Host != e.Domain || !x.Time.IsZero() || x.Direction != 0 || x.Source != "" || x.Number != 0 {
			t.Errorf("a copy of %+v", x)
		}
	}
	if !slices.Equal(got, onTheWire) {
		t.Errorf("taken:\n%s\non the wire:\n%s", strings.Join(got, "\n"), strings.Join(onTheWire, "\n"))
	}
	n := c.Counts()
	if n.Copies != uint64(len(got)) || n.Presence == 0 || n.IQ == 0 || n.Refused+n.Failed+n.Malformed != 0 {
		t.Errorf("counts are %+v", n)
	}
	if t.Failed() {
		t.Log(strings.Join(got, "\n"))
	}
}

// TestEjabberdFlood: 5,000 messages at full speed all arrive, sent and
// received, in their order.
func TestEjabberdFlood(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris")
	_, h, wires, stop := attach(t, e)
	anna, boris := login(t, e, "anna/pc"), login(t, e, "boris/pc")
	const n = 5000
	start := time.Now()
	anna.Flood(boris.JID, "", "flood", n)
	boris.Wait(testenv.XMPPMatch{Prefix: "flood ", Count: n})
	h.wait(t, func() bool { return len(h.copies) >= 2*n })
	t.Logf("%d copies in %v", 2*n, time.Since(start))
	stop()
	seen := map[string]int{}
	for i := range n {
		seen[fmt.Sprintf("<body>flood %d</body>", i)] = 0
	}
	for _, x := range h.copies {
		from, to := bytes.Index(x.Stanza, []byte("<body>")), bytes.Index(x.Stanza, []byte("</body>"))
		if from < 0 || to < 0 {
			t.Fatalf("a copy of %s", x.Stanza)
		}
		seen[string(x.Stanza[from:to+len("</body>")])]++
	}
	for body, times := range seen {
		if times != 2 {
			t.Errorf("%s came %d times", body, times)
		}
	}
	if len(seen) != n || len(wires()[0].forwarded(t)) != 2*n {
		t.Errorf("%d messages came", len(seen))
	}
}

// TestEjabberdEnd: a component that is told to end in the middle of a flood
// has taken everything that ejabberd had sent to it.
func TestEjabberdEnd(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris")
	_, h, wires, stop := attach(t, e)
	anna, boris := login(t, e, "anna/pc"), login(t, e, "boris/pc")
	anna.Flood(boris.JID, "", "flood", 2000)
	h.wait(t, func() bool { return len(h.copies) > 500 })
	stop()
	if h.lost[0] != context.Canceled || !bytes.HasSuffix(wires()[0].text, []byte("</stream:stream>")) {
		t.Errorf("ended with %v", h.lost)
	}
	if got, want := stanzas(h.copies), strings.Join(wires()[0].forwarded(t), "\n")+"\n"; got != want {
		t.Errorf("%d bytes were taken, of %d", len(got), len(want))
	}
	t.Logf("%d copies of 4000 were on the wire", len(h.copies))
}

// TestEjabberdComesBack: a component finds its server again after a
// connection that broke and after a server that was killed.
func TestEjabberdComesBack(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris")
	_, h, wires, _ := attach(t, e)
	talk := func(text string) {
		t.Helper()
		anna, boris := login(t, e, "anna"), login(t, e, "boris")
		anna.Send(testenv.XMPPMessage{To: boris.JID, Body: text})
		h.wait(t, func() bool { return len(h.with(text)) == 2 })
	}
	talk("one")
	wires()[0].Conn.Close()
	h.wait(t, func() bool { return h.connected == 2 && len(h.lost) == 1 })
	talk("two")
	e.Kill()
	e.Start()
	h.wait(t, func() bool { return h.connected == 3 && len(h.lost) == 2 })
	talk("three")
}

// TestEjabberdAway: while the component is away the users notice nothing,
// ejabberd does not look for the component elsewhere, and the copies are lost.
// Without the rule in contrib/ejabberd/archivolt.yml it does look elsewhere.
func TestEjabberdAway(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris")
	_, _, _, stop := attach(t, e)
	stop()
	talk := func(text string) {
		t.Helper()
		anna, boris := login(t, e, "anna"), login(t, e, "boris")
		anna.Send(testenv.XMPPMessage{To: boris.JID, Body: text})
		boris.Wait(testenv.XMPPMatch{Body: text})
		boris.Send(testenv.XMPPMessage{To: anna.JID, Body: text})
		anna.Wait(testenv.XMPPMatch{Body: text})
		if errors := append(anna.Received(testenv.XMPPMatch{Type: "error"}), boris.Received(testenv.XMPPMatch{Type: "error"})...); len(errors) > 0 {
			t.Errorf("the users got %q", errors)
		}
	}
	talk("while it is away")
	_, h, _, stop := attach(t, e)
	talk("when it is back")
	h.wait(t, func() bool { return len(h.with("when it is back")) == 4 })
	if lost := h.find("while it is away"); len(lost) > 0 {
		t.Errorf("ejabberd kept %q: docs/ejabberd.md says that it does not", lost)
	}
	stop()
	const attempt = "Outbound s2s connection started: example.org -> archive.example.org"
	if strings.Contains(e.Log(), attempt) {
		t.Errorf("ejabberd looks for the component elsewhere:\n%s", e.Log())
	}
	e.Kill()
	e.Change("\ns2s_access: s2s_except_archivolt\n", "\n")
	e.Start()
	talk("without the rule")
	waitFor(t, func() bool { return strings.Contains(e.Log(), attempt) })
}

// TestEjabberdForgery: what a user sends to the component is no copy.
func TestEjabberdForgery(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna")
	c, h, _, _ := attach(t, e)
	anna := login(t, e, "anna")
	forged := "<message xmlns='jabber:client' from='boris@example.org' to='carla@example.org'><body>forged</body></message>"
	forwarded := "<forwarded xmlns='urn:xmpp:forward:0'>" + forged + "</forwarded>"
	anna.Raw("<message to='" + e.Component + "'>" + forwarded + "</message>")
	anna.Raw("<message to='anyone@" + e.Component + "/x'>" + forwarded + "</message>")
	anna.Raw("<iq type='set' id='1' to='" + e.Component + "'><archive xmlns='urn:archivolt:capture:1' source='x'><copy number='1' time='2026-11-24T12:00:00Z' direction='in'>" + forwarded + "</copy></archive></iq>")
	waitFor(t, func() bool { return c.Counts().Refused == 3 })
	// The messages themselves, which anna did send, are copies as any other.
	h.wait(t, func() bool { return len(h.with("forged")) == 2 })
	for _, s := range h.find("forged") {
		if !strings.Contains(s[:strings.Index(s, ">")], "from='anna@example.org/") {
			t.Errorf("took %s", s)
		}
	}
	// The server does not let her be somebody else.
	anna.Raw("<message from='example.org' to='" + e.Component + "'>" + forwarded + "</message>")
	login(t, e, "anna").Send(testenv.XMPPMessage{To: "anna@example.org", Body: "afterwards"})
	h.wait(t, func() bool { return len(h.with("afterwards")) > 0 })
	if n := len(h.find("forged")); n != 2 {
		t.Errorf("%d copies hold the forgery", n)
	}
}

// TestEjabberdPrefixes: ejabberd passes on prefixes that only the client's
// stream declares. That must not end the connection, or any user could.
func TestEjabberdPrefixes(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris", "carla")
	_, h, wires, stop := attach(t, e)
	anna := testenv.StartOddXMPPClient(t, "anna@"+e.Domain, testenv.Password, "127.0.0.1", e.ClientPort, "xmlns:x='urn:x'")
	for i, to := range []string{e.Component, "carla@" + e.Domain} {
		anna.Raw(fmt.Sprintf("<message id='prefix-%d' to='%s'><x:a x:b='c'>d</x:a><body>e</body></message>", i, to))
	}
	h.wait(t, func() bool { return len(h.with("<x:a x:b='c'>d</x:a>")) == 2 })
	login(t, e, "boris").Send(testenv.XMPPMessage{To: "boris@" + e.Domain, Body: "afterwards"})
	h.wait(t, func() bool { return len(h.with("afterwards")) == 2 })
	stop()
	if len(wires()) != 1 {
		t.Errorf("there were %d connections: %v", len(wires()), h.lost)
	}
}

// TestEjabberdOddities: nothing that ejabberd lets a user send ends the
// component's connection, to other users or to the component itself.
func TestEjabberdOddities(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris", "carla")
	_, h, wires, stop := attach(t, e)
	boris := login(t, e, "boris")
	odd := map[string]string{
		"comment":      "<a><!-- > --></a>",
		"instruction":  "<a><?b <c> ?></a>",
		"section":      "<a><![CDATA[</a>]]]]><![CDATA[>]]></a>",
		"deep":         strings.Repeat("<a>", 2000) + strings.Repeat("</a>", 2000),
		"nested":       strings.Repeat("<a xmlns='b'>", 1000) + strings.Repeat("</a>", 1000),
		"attributes":   "<a" + manyAttributes(5000) + "/>",
		"long name":    "<" + strings.Repeat("a", 100000) + "/>",
		"long value":   "<a b='" + strings.Repeat("&apos;>", 20000) + "'/>",
		"marks":        "<a>" + strings.Repeat("]]&gt;&#x10FFFF;&#13;", 5000) + "</a>",
		"names":        "<ä.-·:é/><ä xmlns:é='ü' é:ß='\"'/>",
		"control":      "<a>&#1;\x00\x01</a>",
		"noncharacter": "<a>\uffff&#xFFFE;</a>",
		"forwarded":    "<forwarded xmlns='urn:xmpp:forward:0'><message/><message xmlns='jabber:client'><forwarded xmlns='urn:xmpp:forward:0'/></message></forwarded>",
	}
	for name, inner := range odd {
		anna := login(t, e, "anna")
		for i, to := range []string{e.Component, "carla@" + e.Domain} {
			anna.Raw(fmt.Sprintf("<message id='%s %d' to='%s'>%s<body>e</body></message>", name, i, to, inner))
		}
		boris.Send(testenv.XMPPMessage{To: boris.JID, Body: "after " + name + "."})
		h.wait(t, func() bool { return len(h.with("after "+name+".")) == 2 })
	}
	stop()
	taken := 0
	for name := range odd {
		n := len(h.with("id='" + name + " "))
		t.Logf("%s: %d copies of 2", name, n)
		taken += n
	}
	if len(wires()) != 1 || taken < 12 {
		t.Errorf("there were %d connections (%v) and %d copies", len(wires()), h.lost, taken)
	}
	if got, want := stanzas(h.copies), strings.Join(wires()[0].forwarded(t), "\n")+"\n"; got != want {
		t.Errorf("%d bytes were taken, of %d", len(got), len(want))
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d='b'", i)
	}
	return b.String()
}

// TestEjabberdTLS: the listener with the option tls, as docs/ejabberd.md has it.
func TestEjabberdTLS(t *testing.T) {
	certificate, trust := certify(t)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "component.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	e := testenv.StartEjabberd(t, "anna")
	e.Kill()
	e.Change("    max_fsm_queue:", fmt.Sprintf("    tls: true\n    certfile: %q\n    max_fsm_queue:", file))
	e.Start()
	h := newCollector()
	c := &Component{Address: fmt.Sprintf("127.0.0.1:%d", e.ComponentPort), Name: e.Component, Secret: []byte(e.Secret), TLS: trust}
	fillIn(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, h) }()
	h.wait(t, func() bool { return h.connected == 1 })
	login(t, e, "anna").Send(testenv.XMPPMessage{To: "anna@example.org", Body: "through TLS"})
	h.wait(t, func() bool { return len(h.with("through TLS")) == 2 })
	cancel()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
}

func TestEjabberdWrongSecret(t *testing.T) {
	e := testenv.StartEjabberd(t)
	for what, c := range map[string]*Component{"secret": {Secret: []byte("wrong")}, "name": {Name: "other.example.org"}} {
		log := &logged{}
		c.Address, c.Log = fmt.Sprintf("127.0.0.1:%d", e.ComponentPort), log.logger()
		c.MinBackoff, c.MaxBackoff = time.Millisecond, time.Hour
		if c.Secret == nil {
			c.Secret = []byte(e.Secret)
		}
		fillIn(c)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, newCollector()) }()
		waitFor(t, func() bool { return strings.Contains(log.String(), "again_in=1h0m0s") })
		cancel()
		if err := next(t, ended); err != nil {
			t.Error(err)
		}
		if text := log.String(); !strings.Contains(text, "the server does not accept the name and secret of this component") {
			t.Errorf("wrong %s: the log says\n%s", what, text)
		}
	}
}
