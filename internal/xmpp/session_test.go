package xmpp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"archivolt/internal/problem"
)

// TestStreamEnds plays servers that end a stream, and such that break it.
func TestStreamEnds(t *testing.T) {
	ours := func(condition string) string {
		return "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
	}
	remote := func(inner string) string {
		return "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>" + inner + "</stream:error></stream:stream>"
	}
	const closing = "</stream:stream>"
	for _, c := range []struct{ name, say, lost, answer string }{
		{"closed", closing, "the server closed the stream", closing},
		{"cut off", "", "the connection was lost: it was cut off", closing},
		{"cut off in a stanza", "<message", "the connection was lost: it was cut off", closing},
		{"shut down", remote("<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"), "the server ended the stream: system-shutdown", closing},
		{"replaced", remote("<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"), "the server has this component already, from another connection", closing},
		{"with words", remote("<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>too\nmuch &amp; more</text><other xmlns='urn:x'/>"), "the server ended the stream: policy-violation (too much & more)", closing},
		{"with too many words", remote("<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>" + strings.Repeat("é", 150) + "</text>"), "the server ended the stream: undefined-condition (" + strings.Repeat("é", 100) + ")", closing},
		{"without words", remote(""), "the server ended the stream: undefined-condition", closing},
		{"too large", "<message from='example.org'>" + strings.Repeat("x", 1000), "the stream was ended: policy-violation (a stanza of more than 1000 bytes)", ours("policy-violation")},
		{"a comment", "<message><!--", "the stream was ended: restricted-xml (a comment or a document type)", ours("restricted-xml")},
		{"text", "hello", "the stream was ended: not-well-formed (text between stanzas)", ours("not-well-formed")},
		{"crossed tags", "<message><a><b></a></b></message>", "the stream was ended: not-well-formed (an end tag of another element)", ours("not-well-formed")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecorder()
			connections, stop := play(t, &Component{MaxStanza: 1000}, r)
			s := accept(t, connections)
			one := next(t, r.connected)
			s.say("<message from='example.org'><forwarded xmlns='urn:xmpp:forward:0'>" + hello + "</forwarded></message>")
			if c.say != "" {
				s.say(c.say)
			}
			if c.answer == closing && !strings.Contains(c.say, closing) {
				s.conn.Close()
			} else if got := s.rest(); got != c.answer {
				t.Errorf("the component says %q, expected %q", got, c.answer)
			}
			err := next(t, r.lost)
			var p *problem.Error
			if !errors.As(err, &p) || p.What != c.lost || p.Object != "archive.example.org at server.example.org:5347" || p.Class != problem.Unavailable {
				t.Errorf("lost: %v, expected %s", err, c.lost)
			}
			if d := next(t, r.deliveries); d.connection != one || stanzas(d.copies) != hello+"\n" {
				t.Errorf("before that, delivered %q", stanzas(d.copies)) // what came whole counts
			} else {
				d.done(nil) // too late, and harmless
			}
			accept(t, connections).conn.Close()
			if two := next(t, r.connected); two == one {
				t.Error("the next connection has the same id")
			}
			next(t, r.lost)
			stop()
		})
	}
}

// TestNotAccepted plays servers that do not take the component. It is asked
// again seldom where somebody has to change something first.
func TestNotAccepted(t *testing.T) {
	const start = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:component:accept' id='1'>"
	remote := func(condition string) string {
		return "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
	}
	for _, c := range []struct{ name, header, answer, lost string }{
		{"wrong secret", start, remote("not-authorized"), "the server does not accept the name and secret of this component"},
		{"unknown name", strings.Replace(start, " id='1'", "", 1) + remote("host-unknown"), "", "the server knows no component of this name"},
		{"a conflict", start, remote("conflict"), "the server has this component already, from another connection"},
		{"no namespace", strings.Replace(start, "etherx", "other", 1), "", "the stream was ended: invalid-namespace (this is no XMPP stream)"},
		{"web server", "HTTP/1.1 400 Bad Request\r\n\r\n", "", "the stream was ended: not-well-formed (text between stanzas)"},
		{"another answer", start, "<message/>", "the stream was ended: not-well-formed (something else than the answer to the handshake)"},
		{"closed at once", start, "</stream:stream>", "the server closed the stream"},
		{"cut off", start, "", "the component was not accepted: it was cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := &logged{}
			component := &Component{Log: log.logger(), Secret: []byte("very secret"), MinBackoff: time.Millisecond, MaxBackoff: 11 * time.Hour}
			r := newRecorder()
			connections, stop := play(t, component, r)
			s := next(t, connections)
			s.expect("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='archive.example.org'>")
			s.say(c.header)
			if strings.Contains(c.header, "id='1'") && strings.Contains(c.header, "etherx") {
				s.expect("<handshake>")
				if _, err := s.in.Discard(40 + len("</handshake>")); err != nil {
					t.Fatal(err)
				}
				if c.answer != "" {
					s.say(c.answer)
				}
			}
			if c.answer == "" && c.name == "cut off" {
				s.conn.Close()
			} else {
				s.rest()
			}
			slow := strings.Contains(c.answer+c.header, "<stream:error>")
			if !slow {
				next(t, connections).conn.Close() // soon again
			}
			waitFor(t, func() bool { return strings.Contains(log.String(), "again_in") })
			stop()
			text := log.String()
			if !strings.Contains(text, c.lost) || strings.Contains(text, "very secret") || strings.Contains(text, "again_in=11h0m0s") != slow || slow && !strings.Contains(text, "try=") {
				t.Errorf("the log says\n%s, expected %s", text, c.lost)
			}
			if len(r.connected)+len(r.lost) > 0 {
				t.Error("the handler was told of a connection")
			}
		})
	}
}

// waitFor polls a condition that nothing tells of.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("that does not come about")
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	log := &logged{}
	c := &Component{Address: l.Addr().String(), Log: log.logger()}
	fillIn(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, newRecorder()) }()
	waitFor(t, func() bool { return strings.Count(log.String(), "refused") >= 3 })
	cancel()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
}

func TestBackoff(t *testing.T) {
	c := &Component{}
	for failures, most := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 60: time.Minute, 1000: time.Minute} {
		least, seen := most, map[time.Duration]bool{}
		for range 1000 {
			d := c.backoff(failures)
			if d < most/2 || d > most {
				t.Fatalf("%d failures: %v", failures, d)
			}
			least = min(least, d)
			seen[d] = true
		}
		if len(seen) < 900 || least > most*6/10 {
			t.Errorf("%d failures: %d different waits from %v", failures, len(seen), least)
		}
	}
}

// TestSilence: a server that says nothing is asked, and given up if that does
// not help.
func TestSilence(t *testing.T) {
	r := newRecorder()
	connections, _ := play(t, &Component{Idle: 20 * time.Millisecond}, r)
	s := accept(t, connections)
	next(t, r.connected)
	ping := func() {
		t.Helper()
		s.conn.SetReadDeadline(time.Now().Add(deadline))
		for range 2 {
			text, err := s.in.ReadString('>')
			if err != nil || !regexp.MustCompile(`^(<iq type='get' id='[A-Z0-9]+' from='archive.example.org' to='example.org'>|<ping xmlns='urn:xmpp:ping'/>)$`).MatchString(text) {
				t.Fatalf("the component says %s, %v", text, err)
			}
		}
		s.expect("</iq>")
	}
	for _, answer := range []string{" ", "<iq type='result'/>", "<iq type='error'><error type='cancel'/></iq>"} {
		ping()
		s.say(answer)
	}
	ping()
	if err := next(t, r.lost); !strings.Contains(err.Error(), "the server said nothing for too long, not even when asked") {
		t.Error(err)
	}
}

// TestEnd: when Run's context ends, what is under way is finished: parcels
// that were taken are acknowledged, no more are taken, and copies that the
// server had sent without numbers are.
func TestEnd(t *testing.T) {
	r := newRecorder()
	connections, stop := play(t, &Component{}, r)
	s := accept(t, connections)
	s.say(parcelOf("1", copyOf("1", hello)))
	d := next(t, r.deliveries)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	// A parcel that is refused in silence shows that the end has begun.
	for i := 2; ; i++ {
		s.say(parcelOf(fmt.Sprint(i), copyOf(fmt.Sprint(i), hello)))
		s.say("<message from='example.org'><forwarded xmlns='urn:xmpp:forward:0'>" + hello + "</forwarded></message>")
		d := next(t, r.deliveries)
		if d.copies[0].Number == 0 {
			break
		}
		d.done(nil)
		s.expect(resultOf(fmt.Sprint(i)))
		next(t, r.deliveries)
	}
	d.done(nil)
	s.expect(resultOf("1") + "</stream:stream>")
	s.say("<message from='example.org'><forwarded xmlns='urn:xmpp:forward:0'>" + hello + "</forwarded></message></stream:stream>")
	s.conn.Close()
	next(t, stopped)
	if d := next(t, r.deliveries); stanzas(d.copies) != hello+"\n" {
		t.Errorf("delivered %q", stanzas(d.copies))
	}
	if err := next(t, r.lost); err != context.Canceled {
		t.Errorf("lost: %v", err)
	}
}

// TestEndOfPatience: neither a handler nor a server can hold up the end for
// ever.
func TestEndOfPatience(t *testing.T) {
	r := newRecorder()
	connections, stop := play(t, &Component{Grace: 20 * time.Millisecond}, r)
	s := accept(t, connections)
	s.say(parcelOf("1", copyOf("1", hello)))
	next(t, r.deliveries) // and never done
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	s.expect("</stream:stream>")
	next(t, stopped) // though the server does not hang up
	next(t, r.lost)
}

// TestBackPressure: while the handler blocks nothing is read.
func TestBackPressure(t *testing.T) {
	r := newRecorder()
	r.deliveries = make(chan delivery) // nobody takes anything yet
	connections, _ := play(t, &Component{}, r)
	s := accept(t, connections)
	s.say(parcelOf("1", copyOf("1", hello)))
	s.conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := s.conn.Write([]byte(" ")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes were read, %v", n, err)
	}
	next(t, r.deliveries)
	s.say(parcelOf("2", copyOf("2", hello)))
	next(t, r.deliveries)
}

// TestDeaf: a server that asks and does not read the answers is not read
// either, once there are many.
func TestDeaf(t *testing.T) {
	connections, _ := play(t, &Component{}, newRecorder())
	s := accept(t, connections)
	ping := "<iq type='get' id='" + strings.Repeat("x", 10000) + "' from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>"
	sent := 0
	for {
		s.conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := s.conn.Write([]byte(ping)); err != nil {
			break
		}
		if sent++; sent*len(ping) > 4*outboxFull {
			t.Fatalf("%d bytes of questions were taken", sent*len(ping))
		}
	}
	if sent*len(ping) < outboxFull/2 {
		t.Errorf("only %d questions were taken", sent)
	}
}

// certify makes a certificate for 127.0.0.1 that trust trusts.
func certify(t *testing.T) (certificate tls.Certificate, trust *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{{127, 0, 0, 1}}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &tls.Config{RootCAs: pool}
}

// TestTLS plays a server whose listener speaks TLS from the start. A silence
// must not break the encryption.
func TestTLS(t *testing.T) {
	certificate, trust := certify(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRecorder()
	c := &Component{Address: l.Addr().String(), TLS: trust, Idle: 20 * time.Millisecond}
	fillIn(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, r) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	dialled := make(chan *server, 1)
	dialled <- &server{t: t, conn: conn, in: bufio.NewReader(conn)}
	s := accept(t, dialled)
	if _, err := s.in.ReadString('/'); err != nil { // of the ping
		t.Fatal(err)
	}
	s.say(parcelOf("1", copyOf("1", hello)))
	if d := next(t, r.deliveries); stanzas(d.copies) != hello+"\n" {
		t.Errorf("delivered %q", stanzas(d.copies))
	}
	cancel()
	conn.Close()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
}
