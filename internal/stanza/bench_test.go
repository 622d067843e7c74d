package stanza

import (
	"bytes"
	"encoding/xml"
	"io"
	"testing"
	"time"
)

// ciscoStanza has the shape of what IM and Presence stores for one message of
// Jabber: a body and its XHTML twin.
const ciscoStanza = `<message from='anna.schmidt@example.com/jabber_12137' id='39a2:4d8f:11c2:8a7e:22b1' to='ben.mueller@example.com' type='chat' xml:lang='en'>` +
	`<thread>connect11087aa4</thread><body>The figures for March are in, please have a look before the call &amp; tell me.</body>` +
	`<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><div style='font-family:Arial;font-size:10pt;color:#1a1a1a'>` +
	`<span>The figures for March are in, please have a look before the call &amp; tell me.</span></div></body></html>` +
	`<active xmlns='http://jabber.org/protocol/chatstates'/></message>`

// BenchmarkParse reads the stanza turn by turn with the tokens of
// encoding/xml, which does not yet say what the tokens mean.
func BenchmarkParse(b *testing.B) {
	raw := []byte(ciscoStanza)
	var m Message
	var ours, theirs time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		for range 100 {
			if err := m.Parse(raw); err != nil {
				b.Fatal(err)
			}
		}
		middle := time.Now()
		for range 10 {
			d := xml.NewDecoder(bytes.NewReader(raw))
			for {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
		ours += middle.Sub(begin)
		theirs += time.Since(middle)
	}
	megabytes := float64(b.N) * float64(len(raw)) / 1e6
	b.ReportMetric(100*megabytes/ours.Seconds(), "MB/s")
	b.ReportMetric(10*megabytes/theirs.Seconds(), "encoding/xml-MB/s")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(100*b.N), "ns/stanza")
}

// BenchmarkStartTagID reads only the id.
func BenchmarkStartTagID(b *testing.B) {
	raw := []byte(ciscoStanza)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if StartTagID(raw) == "" {
			b.Fatal("no id")
		}
	}
}
