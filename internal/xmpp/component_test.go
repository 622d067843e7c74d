package xmpp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"archivolt/internal/problem"
)

// copyOf is a <copy/> with a number and what is forwarded.
func copyOf(number, forwarded string) string {
	return `<copy number='` + number + `' time='2026-11-24T12:00:00Z' direction='in'><forwarded xmlns='urn:xmpp:forward:0'>` + forwarded + `</forwarded></copy>`
}

// parcelOf is an iq with copies from example.org's queue "q".
func parcelOf(id, copies string) string {
	return `<iq type='set' id='` + id + `' from='example.org' to='archive.example.org'><archive xmlns='urn:archivolt:capture:1' source='q'>` + copies + `</archive></iq>`
}

func resultOf(id string) string {
	return `<iq type='result' id='` + id + `' from='archive.example.org' to='example.org'></iq>`
}

const errorOf = `<iq type='error' id='%s' from='archive.example.org' to='%s'><error type='%s'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`

const hello = `<message xmlns='jabber:client'><body>hello</body></message>`

// TestParcel plays a server with Archivolt's module for Prosody.
func TestParcel(t *testing.T) {
	r := newRecorder()
	c := &Component{}
	connections, _ := play(t, c, r)
	s := accept(t, connections)
	id := next(t, r.connected)
	const one = `<message xmlns='jabber:client' from='a@example.org/x' to='b@example.org' id="m&amp;1"><body>a &lt; b</body></message>`
	const two = `<message xmlns='jabber:client'/>`
	s.say(`<iq type='set' id='q&apos;1' from='Example.org' to='archive.example.org'><c:archive xmlns:c='urn:archivolt:capture:1' source='queue/1'>` +
		` <c:copy number='17' time='2026-11-24T12:00:00.123Z' direction='out'><forwarded xmlns='urn:xmpp:forward:0'>` + one + `</forwarded></c:copy>` +
		`<c:copy number='18' time='2026-11-24T13:00:00+01:00' direction='in'><forwarded xmlns='urn:xmpp:forward:0'> ` + two + ` </forwarded></c:copy>` +
		`</c:archive></iq>`)
	d := next(t, r.deliveries)
	if d.connection != id || len(d.copies) != 2 || stanzas(d.copies) != one+"\n"+two+"\n" {
		t.Fatalf("delivered %q on %q, connection %q", stanzas(d.copies), d.connection, id)
	}
	for i, want := range []Copy{
		{Host: "example.org", Time: time.Date(2026, 11, 24, 12, 0, 0, 123e6, time.UTC), Direction: 'O', Source: "queue/1", Number: 17},
		{Host: "example.org", Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Direction: 'I', Source: "queue/1", Number: 18},
	} {
		got := d.copies[i]
		if got.Host != want.Host || !got.Time.Equal(want.Time) || got.Time.Location() != time.UTC || got.Direction != want.Direction || got.Source != want.Source || got.Number != want.Number {
			t.Errorf("copy %d is %+v, expected %+v", i, got, want)
		}
	}
	go d.done(nil)
	s.expect(`<iq type='result' id='q&apos;1' from='archive.example.org' to='Example.org'></iq>`)
	d.done(errors.New("again")) // has no effect
	if n := c.Counts(); n != (Counts{Copies: 2}) {
		t.Errorf("counts are %+v", n)
	}
}

// TestParcelsApart: answers come in the order of done, and a refusal is one of
// the kind that asks to try again.
func TestParcelsApart(t *testing.T) {
	r := newRecorder()
	connections, _ := play(t, &Component{}, r)
	s := accept(t, connections)
	s.say(parcelOf("1", copyOf("1", hello)) + parcelOf("2", copyOf("2", hello)) + parcelOf("3", copyOf("9223372036854775807", hello)))
	one, two, three := next(t, r.deliveries), next(t, r.deliveries), next(t, r.deliveries)
	three.done(nil)
	s.expect(resultOf("3"))
	one.done(errors.New("the disk is full"))
	s.expect(fmt.Sprintf(errorOf, "1", "example.org", "wait", "resource-constraint"))
	two.done(nil)
	s.expect(resultOf("2"))
}

// TestServiceLog plays ejabberd's mod_service_log.
func TestServiceLog(t *testing.T) {
	r := newRecorder()
	c := &Component{}
	connections, _ := play(t, c, r)
	s := accept(t, connections)
	const bare = `<message from='a@example.org'><b:x/></message>`
	say := func(inner string) string {
		return `<message to='archive.example.org' from='example.org' id='1'>` + inner + `</message>`
	}
	forward := func(inner string) string {
		return say(`<forwarded xmlns='urn:xmpp:forward:0'>` + inner + `</forwarded>`)
	}
	s.say(forward(`<presence xmlns='jabber:client'/>`) + forward(`<iq xmlns='jabber:client'><message/></iq>`) + say(`<body>I am here</body>`) +
		forward(hello) + `<presence from='a@example.org'/>` + forward(`<x xmlns='urn:other'><message xmlns='jabber:client'/></x>`) +
		say(`<x:y x:z='1'/>`) + forward(`<x:message/>`) + `<x:message from='example.org'/>` +
		`<message type='error' from='example.org'><forwarded xmlns='urn:xmpp:forward:0'>` + hello + `</forwarded></message>` +
		`<message from='example.org' xmlns:b='urn:b'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-11-24T12:00:00Z'/>` + bare + `</forwarded></message>` +
		`<message from='example.org' xmlns:f='urn:xmpp:forward:0'><f:forwarded>` + bare[:len("<message")] + ` xmlns:b='2'/></f:forwarded></message> `)
	d := next(t, r.deliveries)
	if got, want := stanzas(d.copies), hello+"\n"+bare+"\n"+"<message xmlns:b='2'/>"+"\n"; got != want {
		t.Errorf("delivered\n%s, expected\n%s", got, want)
	}
	for i, got := range d.copies {
		if at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC); got.Host != "example.org" || got.Direction != 0 || got.Source != "" || got.Number != 0 || got.Time.IsZero() == (i == 1) || i == 1 && !got.Time.Equal(at) {
			t.Errorf("copy %d is %+v", i, got)
		}
	}
	if n := c.Counts(); n != (Counts{Copies: 3, Presence: 1, IQ: 1, Ignored: 5}) {
		t.Errorf("counts are %+v", n)
	}
}

// TestBatches: copies that came together are delivered together, in order and
// before what came later, and not too many at once.
func TestBatches(t *testing.T) {
	r := newRecorder()
	connections, _ := play(t, &Component{}, r)
	s := accept(t, connections)
	var b strings.Builder
	message := func(n int) string { return fmt.Sprintf("<message xmlns='jabber:client' id='%d'/>", n) }
	const n = 600
	for i := range n {
		fmt.Fprintf(&b, "<message from='example.org'><forwarded xmlns='urn:xmpp:forward:0'>%s</forwarded></message>", message(i))
	}
	s.say(b.String() + parcelOf("1", copyOf("1", hello)))
	got := 0
	for got < n {
		d := next(t, r.deliveries)
		if len(d.copies) > batchCopies {
			t.Errorf("%d copies at once", len(d.copies))
		}
		for _, c := range d.copies {
			if string(c.Stanza) != message(got) {
				t.Fatalf("copy %d is %s", got, c.Stanza)
			}
			got++
		}
	}
	if d := next(t, r.deliveries); stanzas(d.copies) != hello+"\n" {
		t.Errorf("then came %q", stanzas(d.copies))
	}
}

// TestRefused: who is not a local domain cannot put anything into the archive.
func TestRefused(t *testing.T) {
	r := newRecorder()
	log := &logged{}
	c := &Component{Log: log.logger(), Domains: []string{"example.net", "example.org"}}
	connections, stop := play(t, c, r)
	s := accept(t, connections)
	strangers := []string{"mallory@example.org", "mallory@example.org/pc", "example.org/x", "conference.example.org", "example.com", "", "@example.org", "example.org@example.org"}
	for _, from := range strangers {
		s.say(`<message from='` + from + `'><forwarded xmlns='urn:xmpp:forward:0'>` + hello + `</forwarded></message>`)
		s.say(strings.Replace(parcelOf("1", copyOf("1", hello)), "from='example.org'", "from='"+from+"'", 1))
		s.expect(fmt.Sprintf(errorOf, "1", from, "auth", "forbidden"))
	}
	s.say(`<message><forwarded xmlns='urn:xmpp:forward:0'>` + hello + `</forwarded></message><iq type='get' id='2' from='x@example.org'><ping xmlns='urn:xmpp:ping'/></iq>`)
	s.expect(`<iq type='result' id='2' from='archive.example.org' to='x@example.org'></iq>`)
	if n := c.Counts(); n != (Counts{Refused: uint64(2*len(strangers) + 1)}) {
		t.Errorf("counts are %+v", n)
	}
	s.conn.Close()
	next(t, r.lost)
	stop()
	select {
	case d := <-r.deliveries:
		t.Errorf("took %q", stanzas(d.copies))
	default:
	}
	text := log.String()
	if strings.Contains(text, "hello") || strings.Contains(text, "mallory") || !strings.Contains(text, "refused copies") || !strings.Contains(text, "stanzas=1 ") || !strings.Contains(text, fmt.Sprintf("stanzas=%d ", 2*len(strangers))) {
		t.Errorf("the log says\n%s", text)
	}
}

// TestMalformedParcels: one that breaks docs/format/capture.md is refused as a
// whole, and the connection goes on.
func TestMalformedParcels(t *testing.T) {
	r := newRecorder()
	log := &logged{}
	c := &Component{Log: log.logger()}
	connections, _ := play(t, c, r)
	s := accept(t, connections)
	good := copyOf("1", hello)
	bad := map[string]string{
		"no copies":             parcelOf("1", ""),
		"no source":             strings.Replace(parcelOf("1", good), " source='q'", "", 1),
		"an empty source":       strings.Replace(parcelOf("1", good), "'q'", "''", 1),
		"a long source":         strings.Replace(parcelOf("1", good), "'q'", "'"+strings.Repeat("q", 129)+"'", 1),
		"a source with a blank": strings.Replace(parcelOf("1", good), "'q'", "'a b'", 1),
		"a source with an ü":    strings.Replace(parcelOf("1", good), "'q'", "'ü'", 1),
		"no number":             parcelOf("1", strings.Replace(good, "number='1'", "", 1)),
		"no time":               parcelOf("1", strings.Replace(good, "time='2026-11-24T12:00:00Z'", "", 1)),
		"a time without a zone": parcelOf("1", strings.Replace(good, "12:00:00Z", "12:00:00", 1)),
		"no direction":          parcelOf("1", strings.Replace(good, "direction='in'", "", 1)),
		"another direction":     parcelOf("1", strings.Replace(good, "'in'", "'In'", 1)),
		"a gap":                 parcelOf("1", good+copyOf("3", hello)),
		"a number twice":        parcelOf("1", good+good),
		"numbers that go down":  parcelOf("1", copyOf("2", hello)+good),
		"a good one and a bad":  parcelOf("1", good+copyOf("x", hello)),
		"no message":            parcelOf("1", copyOf("1", "")),
		"presence":              parcelOf("1", copyOf("1", "<presence xmlns='jabber:client'/>")),
		"a message and an iq":   parcelOf("1", copyOf("1", hello+"<iq xmlns='jabber:client'/>")),
		"two messages":          parcelOf("1", copyOf("1", hello+hello)),
		"nothing forwarded":     parcelOf("1", "<copy number='1' time='2026-11-24T12:00:00Z' direction='in'/>"),
		"two forwarded":         parcelOf("1", strings.Replace(good, "</copy>", "<forwarded xmlns='urn:xmpp:forward:0'>"+hello+"</forwarded></copy>", 1)),
		"something else":        parcelOf("1", good+"<other/>"),
		"another child in copy": parcelOf("1", strings.Replace(good, "</copy>", "<other/></copy>", 1)),
		"two archives":          strings.Replace(parcelOf("1", good), "</iq>", "<archive xmlns='urn:archivolt:capture:1' source='q'>"+good+"</archive></iq>", 1),
	}
	for _, n := range []string{"0", "-1", "+1", "01", "1.0", "1e3", "", " 1", "0x1", "9223372036854775808", "18446744073709551615", "18446744073709551616", "١"} {
		bad["number "+n] = parcelOf("1", copyOf(n, hello))
	}
	bad["a number after the last"] = parcelOf("1", copyOf("9223372036854775807", hello)+copyOf("9223372036854775808", hello))
	for name, text := range bad {
		t.Log(name)
		s.say(text)
		s.expect(fmt.Sprintf(errorOf, "1", "example.org", "modify", "bad-request"))
	}
	s.say(parcelOf("2", good))
	if d := next(t, r.deliveries); stanzas(d.copies) != hello+"\n" {
		t.Errorf("delivered %q", stanzas(d.copies))
	}
	if n := c.Counts(); n.Copies != 1 || n.Malformed != uint64(len(bad)) {
		t.Errorf("counts are %+v of %d", n, len(bad))
	}
	if strings.Contains(log.String(), "hello") || !strings.Contains(log.String(), "a direction that is none") {
		t.Errorf("the log says\n%s", log)
	}
}

// TestRequests: what else may be asked of a component.
func TestRequests(t *testing.T) {
	connections, _ := play(t, &Component{}, newRecorder())
	s := accept(t, connections)
	ask := func(kind, payload string) {
		t.Helper()
		s.say(`<iq type='` + kind + `' id='1' from='a@example.com/pc'>` + payload + `</iq>`)
	}
	failure := func(kind, condition string) {
		t.Helper()
		s.expect(fmt.Sprintf(errorOf, "1", "a@example.com/pc", kind, condition))
	}
	ask("get", "<ping xmlns='urn:xmpp:ping'/>")
	s.expect(`<iq type='result' id='1' from='archive.example.org' to='a@example.com/pc'></iq>`)
	ask("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>")
	s.expect(`<iq type='result' id='1' from='archive.example.org' to='a@example.com/pc'><query xmlns='http://jabber.org/protocol/disco#info'>` +
		`<identity category='component' type='archive' name='Archivolt'/><feature var='http://jabber.org/protocol/disco#info'/>` +
		`<feature var='urn:xmpp:ping'/><feature var='urn:archivolt:capture:1'/></query></iq>`)
	ask("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>")
	failure("cancel", "item-not-found")
	ask("result", "")
	ask("error", "<error type='cancel'/>")
	ask("set", "<ping xmlns='urn:xmpp:ping'/>")
	failure("cancel", "service-unavailable")
	ask("get", "<archive xmlns='urn:archivolt:capture:1' source='q'/>")
	failure("cancel", "service-unavailable")
	ask("get", "<vCard xmlns='vcard-temp'/>")
	failure("cancel", "service-unavailable")
	ask("get", "")
	failure("modify", "bad-request")
	ask("get", "<ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/>")
	failure("modify", "bad-request")
	s.say("<other xmlns='urn:x'/><stream:other/><message xmlns='urn:x' from='example.org'><forwarded xmlns='urn:xmpp:forward:0'>" + hello + "</forwarded></message>")
	s.say(`<iq type='get' to='x@archive.example.org' from='example.org' id=''><ping xmlns='urn:xmpp:ping'/></iq>`)
	s.expect(`<iq type='result' id='' from='x@archive.example.org' to='example.org'></iq>`)
}

// TestNotRecorded: what has no number and is not taken has nobody to tell but
// the log and the counts.
func TestNotRecorded(t *testing.T) {
	r := newRecorder()
	log := &logged{}
	c := &Component{Log: log.logger()}
	connections, stop := play(t, c, r)
	s := accept(t, connections)
	for range 3 {
		s.say("<message from='example.org'><forwarded xmlns='urn:xmpp:forward:0'>" + hello + "</forwarded></message>")
		next(t, r.deliveries).done(errors.New("the disk is full"))
	}
	s.conn.Close()
	next(t, r.lost)
	stop()
	if n := c.Counts(); n != (Counts{Copies: 3, Failed: 3}) {
		t.Errorf("counts are %+v", n)
	}
	if n := regexp.MustCompile(`not recorded.* copies=[12]\n`).FindAllString(log.String(), -1); len(n) != 2 {
		t.Errorf("the log says\n%s", log)
	}
}

func TestCheck(t *testing.T) {
	for what, c := range map[string]*Component{
		"this is no address of a component listener":                             {Address: "example.org"},
		"this is no name for a component":                                        {Name: "a@example.org"},
		"the component has no secret":                                            {Secret: []byte{}},
		"no local domain is named, and copies are only taken from local domains": {Domains: []string{}},
		"this is no local domain":                                                {Domains: []string{"example.org", "a@example.org"}},
	} {
		fillIn(c)
		err := c.Run(t.Context(), newRecorder())
		var p *problem.Error
		if !errors.As(err, &p) || p.What != what || p.Class != problem.Usage || p.Try == "" {
			t.Errorf("%v, expected %s", err, what)
		}
	}
}
