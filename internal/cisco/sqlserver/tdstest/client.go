package tdstest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"unicode/utf16"

	"zombiezen.com/go/sqlite"
)

// Packet types ([MS-TDS] 2.2.3.1.1).
const (
	packetBatch     = 1
	packetRPC       = 3
	packetReply     = 4
	packetAttention = 6
	packetLogin     = 16
	packetPrelogin  = 18
)

type message struct {
	kind byte
	data []byte
}

// client is one connection.
type client struct {
	server    *Server
	raw       net.Conn
	transport io.ReadWriter // raw, or TLS over it
	packet    int           // bytes
	db        *sqlite.Conn  // the server's, or the client's snapshot
	snapshot  uint64        // descriptor of the transaction; 0 is none
	in        chan message
	out       bytes.Buffer // of the packet that is being written
	number    byte
}

// readMessage reads packets up to the one that ends the message.
func readMessage(r io.Reader) (m message, err error) {
	var head [8]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return m, err
		}
		size := int(binary.BigEndian.Uint16(head[2:]))
		if size < len(head) {
			return m, errors.New("packet is shorter than its header")
		}
		at := len(m.data)
		m.kind, m.data = head[0], append(m.data, make([]byte, size-len(head))...)
		if _, err := io.ReadFull(r, m.data[at:]); err != nil {
			return m, err
		}
		if head[1]&1 != 0 {
			return m, nil
		}
	}
}

// Write adds to the answer, and sends packets that are full.
func (c *client) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		room := c.packet - 8 - c.out.Len()
		if room == 0 {
			if err := c.flush(false); err != nil {
				return 0, err
			}
			continue
		}
		take := min(room, len(p))
		c.out.Write(p[:take])
		p = p[take:]
	}
	return n, nil
}

// flush sends what is there as a packet.
func (c *client) flush(last bool) error {
	c.number++
	p := make([]byte, 8, 8+c.out.Len())
	p[0], p[6] = packetReply, c.number
	if last {
		p[1] = 1
		c.number = 0
	}
	binary.BigEndian.PutUint16(p[2:], uint16(8+c.out.Len()))
	p = append(p, c.out.Bytes()...)
	c.out.Reset()
	_, err := c.transport.Write(p)
	return err
}

// login answers PRELOGIN and LOGIN7.
func (c *client) login(b Behaviour) error {
	m, err := readMessage(c.raw)
	if err != nil || m.kind != packetPrelogin {
		return errors.Join(err, errors.New("no PRELOGIN"))
	}
	const notSupported, loginOnly = 2, 0
	answer := byte(notSupported)
	if b.TLS {
		answer = preloginEncryption(m.data)
	}
	// VERSION and ENCRYPTION, both of which follow the terminator.
	c.out.Write([]byte{0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 16, 39, 0, 0, answer})
	if err := c.flush(true); err != nil {
		return err
	}
	if answer != notSupported {
		if err := c.startTLS(); err != nil {
			return err
		}
	}
	if m, err = readMessage(c.transport); err != nil || m.kind != packetLogin {
		return errors.Join(err, errors.New("no LOGIN7"))
	}
	if answer == loginOnly {
		c.transport = c.raw
	}
	if len(m.data) < 94 {
		return errors.New("LOGIN7 is too short")
	}
	c.server.mu.Lock()
	c.server.readOnly = append(c.server.readOnly, m.data[26]&0x20 != 0)
	c.server.mu.Unlock()
	user, password, database := loginText(m.data, 40, false), loginText(m.data, 44, true), loginText(m.data, 68, false)
	var refused []*refusal
	switch {
	case user != User || password != Password:
		refused = append(refused, refuse(18456, "Login failed for user '"+user+"'."))
	case database != Database:
		refused = append(refused, refuse(4060, "Cannot open database \""+database+"\" requested by the login. The login failed."),
			refuse(18456, "Login failed for user '"+user+"'."))
	}
	if len(refused) > 0 {
		for _, r := range refused {
			c.error(r)
		}
		c.done(tokenDone, doneError, 0)
		_ = c.flush(true)
		return refused[0]
	}
	size := int(binary.LittleEndian.Uint32(m.data[8:]))
	c.envChange(1, shortText(Database), shortText("master"))
	c.envChange(4, shortText(strconv.Itoa(size)), shortText("4096"))
	name := shortText("Microsoft SQL Server")
	ack := append([]byte{1, 0x74, 0, 0, 4}, name...)
	c.token(0xad, append(ack, 16, 0, 16, 39))
	c.done(tokenDone, 0, 0)
	if err := c.flush(true); err != nil {
		return err
	}
	c.packet = size
	return nil
}

// preloginEncryption finds what the client wants.
func preloginEncryption(data []byte) byte {
	for i := 0; i+5 <= len(data) && data[i] != 0xff; i += 5 {
		if at := int(binary.BigEndian.Uint16(data[i+1:])); data[i] == 1 && at < len(data) {
			return data[at]
		}
	}
	return 2
}

// loginText reads a text of LOGIN7 whose offset and length, in characters, lie at the
// given place.
func loginText(data []byte, at int, password bool) string {
	from, n := int(binary.LittleEndian.Uint16(data[at:])), int(binary.LittleEndian.Uint16(data[at+2:]))*2
	if from+n > len(data) {
		return ""
	}
	text := bytes.Clone(data[from : from+n])
	if password {
		for i, b := range text {
			b ^= 0xa5
			text[i] = b<<4 | b>>4
		}
	}
	return decode(text)
}

// serve answers statements until the client hangs up.
func (c *client) serve() {
	quit := make(chan struct{})
	defer close(quit)
	go func() {
		defer close(c.in)
		for {
			m, err := readMessage(c.transport)
			if err != nil {
				return
			}
			select {
			case c.in <- m:
			case <-quit:
				return
			}
		}
	}()
	for m := range c.in {
		if m.kind == packetAttention {
			// The answer had ended before the client gave up.
			c.done(tokenDone, doneAttention, 0)
		} else if err := c.answer(m); err != nil {
			return
		}
		if err := c.flush(true); err != nil {
			return
		}
	}
}

// answer executes a batch or a call of sp_executesql.
func (c *client) answer(m message) error {
	if len(m.data) < 4 {
		return errors.New("no headers")
	}
	headers := int(binary.LittleEndian.Uint32(m.data))
	if headers < 22 || headers > len(m.data) {
		return errors.New("the headers have a wrong length")
	}
	transaction := binary.LittleEndian.Uint64(m.data[10:])
	body := m.data[headers:]
	var text string
	var args []any
	switch m.kind {
	case packetBatch:
		text = decode(body)
	case packetRPC:
		var err error
		if text, args, err = executeSQL(body); err != nil {
			return err
		}
	default:
		return errors.New("unknown packet type")
	}
	c.server.mu.Lock()
	c.server.statements = append(c.server.statements, text)
	c.server.mu.Unlock()
	r := &reply{client: c, call: m.kind == packetRPC}
	var err error
	if transaction != c.snapshot {
		err = refuse(3989, "New request is not allowed to start because it should come with valid transaction descriptor.")
	} else {
		err = c.execute(text, args, r)
	}
	return r.end(err)
}

// execute finds out what a statement is.
func (c *client) execute(text string, args []any, r *reply) error {
	if handle := fixed[text]; handle != nil {
		return handle(c, args, r)
	}
	return c.selectRows(text, args, r)
}

// utf16le writes text as the wire has it.
func utf16le(text string) []byte {
	b := make([]byte, 0, 2*len(text))
	for _, r := range text {
		if r < 0x10000 {
			b = append(b, byte(r), byte(r>>8))
			continue
		}
		high, low := utf16.EncodeRune(r)
		b = append(b, byte(high), byte(high>>8), byte(low), byte(low>>8))
	}
	return b
}

func decode(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
