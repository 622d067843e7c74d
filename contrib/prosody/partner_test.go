//go:build unix

package prosody_test

import (
	"crypto/sha1"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

// partner is a component (XEP-0114) that says what a test tells it to.
type partner struct {
	t    *testing.T
	conn net.Conn
	in   *xml.Decoder
}

// element is a stanza as far as these tests look.
type element struct {
	XMLName xml.Name
	ID      string `xml:"id,attr"`
	Type    string `xml:"type,attr"`
	From    string `xml:"from,attr"`
	To      string `xml:"to,attr"`
	Inner   string `xml:",innerxml"`
}

func dialPartner(t *testing.T, p *testenv.Prosody, name string) *partner {
	t.Helper()
	conn, err := net.Dial("tcp", componentAddress(p))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * limit))
	c := &partner{t: t, conn: conn, in: xml.NewDecoder(conn)}
	c.say("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='" + name + "'>")
	for {
		token, err := c.in.Token()
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			id := ""
			for _, at := range e.Attr {
				if at.Name.Local == "id" {
					id = at.Value
				}
			}
			c.say(fmt.Sprintf("<handshake>%x</handshake>", sha1.Sum([]byte(id+p.Secret))))
			break
		}
	}
	if got := c.stanza(); got.XMLName.Local != "handshake" {
		t.Fatalf("the handshake is answered by %+v", got)
	}
	return c
}

func (c *partner) say(text string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// stanza waits for the next one.
func (c *partner) stanza() (e element) {
	c.t.Helper()
	if err := c.in.Decode(&e); err != nil {
		c.t.Fatal(err)
	}
	return e
}

// rest reads until the server hangs up.
func (c *partner) rest() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.conn); err != nil {
		c.t.Fatal(err)
	}
	c.conn.Close()
}
