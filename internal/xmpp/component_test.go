package xmpp

import (
	"errors"
	"testing"
	"time"
)

// TestParcel plays a server with Archivolt's module for Prosody.
func TestParcel(t *testing.T) {
	r := newRecorder()
	c := &Component{}
	connections, stop := play(t, c, r)
	s := accept(t, connections)
	id := next(t, r.connected)
	const one = `<message xmlns='jabber:client' from='a@example.org/x' to='b@example.org' id="m&amp;1"><body>a &lt; b</body></message>`
	const two = `<message xmlns='jabber:client'/>`
	s.say(`<iq type='set' id='q&apos;1' from='example.org' to='archive.example.org'><archive xmlns='urn:archivolt:capture:1' source='queue/1'>` +
		`<copy number='17' time='2026-11-24T12:00:00.123Z' direction='out'><forwarded xmlns='urn:xmpp:forward:0'>` + one + `</forwarded></copy>` +
		`<copy number='18' time='2026-11-24T13:00:00+01:00' direction='in'><forwarded xmlns='urn:xmpp:forward:0'>` + two + `</forwarded></copy>` +
		`</archive></iq>`)
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
	s.expect(`<iq type='result' id='q&apos;1' from='archive.example.org' to='example.org'></iq>`)
	d.done(errors.New("again")) // has no effect
	if n := c.Counts(); n != (Counts{Copies: 2}) {
		t.Errorf("counts are %+v", n)
	}
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	s.expect("</stream:stream>")
	s.say("</stream:stream>")
	s.rest()
	next(t, ended)
	next(t, r.lost)
}
