package xmpp

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// benchMessage has the size and shape of what clients send today.
const benchMessage = `<message xml:lang='en' to='boris.mueller@example.org/pc.7f3a' from='anna.schmidt@example.org/phone.92b1' type='chat' id='4f6c2e0a-77c1-4c0e-9b3e-0d1c5d9d8a11' xmlns='jabber:client'>` +
	`<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>` +
	`<origin-id xmlns='urn:xmpp:sid:0' id='4f6c2e0a-77c1-4c0e-9b3e-0d1c5d9d8a11'/><body>The figures for March are in, please have a look before the call &amp; tell me.</body></message>`

// BenchmarkReceive takes copies through a pipe, turn by turn with encoding/xml
// that reads the tokens of the same stream through a pipe and does nothing
// with them.
func BenchmarkReceive(b *testing.B) {
	const copies = 20000
	forwarded := "<forwarded xmlns='urn:xmpp:forward:0'>" + benchMessage + "</forwarded>"
	var single, parcels strings.Builder
	for i := range copies {
		fmt.Fprintf(&single, "<message to='archive.example.org' from='example.org' id='%d'>%s</message>", 1000000+i, forwarded)
		if i%100 == 0 {
			fmt.Fprintf(&parcels, "<iq type='set' id='%d' from='example.org' to='archive.example.org'><archive xmlns='urn:archivolt:capture:1' source='example.org/1'>", i)
		}
		fmt.Fprintf(&parcels, "<copy number='%d' time='2026-11-24T12:00:00.123Z' direction='out'>%s</copy>", i+1, forwarded)
		if i%100 == 99 {
			parcels.WriteString("</archive></iq>")
		}
	}
	for name, text := range map[string]string{"mod_service_log": single.String(), "parcels": parcels.String()} {
		b.Run(name, func(b *testing.B) {
			var ours, theirs time.Duration
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				begin := time.Now()
				if n := receive(b, text); n != copies {
					b.Fatalf("%d copies", n)
				}
				ours += time.Since(begin)
				b.StopTimer()
				begin = time.Now()
				tokens(b, text)
				theirs += time.Since(begin)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N*copies)/ours.Seconds(), "copies/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "times-encoding/xml")
		})
	}
}

// feed writes a stream to a pipe as a server does.
func feed(conn net.Conn, text string) {
	io.WriteString(conn, streamStart+"<handshake/>")
	for len(text) > 0 {
		n := min(len(text), 16<<10)
		io.WriteString(conn, text[:n])
		text = text[n:]
	}
	io.WriteString(conn, "</stream:stream>")
}

// receive runs a component until the server has closed the stream.
func receive(b *testing.B, text string) (n int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	c := &Component{}
	fillIn(c)
	c.dial = func(context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		go io.Copy(io.Discard, there)
		go feed(there, text)
		return here, nil
	}
	c.connect(ctx, taker(func(copies []Copy) { n += len(copies) }))
	return n
}

func tokens(b *testing.B, text string) {
	here, there := net.Pipe()
	go feed(there, text)
	for d := xml.NewDecoder(here); ; {
		token, err := d.Token()
		if err != nil {
			b.Fatal(err)
		}
		if end, ok := token.(xml.EndElement); ok && end.Name.Local == "stream" {
			return
		}
	}
}
