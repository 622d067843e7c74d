package xmpp

import (
	"net"
	"sync"
	"time"
)

// outbox holds what is to be written to a connection, so that whoever has
// something to say never waits for the other side to read. Its size is bounded
// by the reader, which stops taking requests while the outbox is full (wait).
type outbox struct {
	conn net.Conn

	mu       sync.Mutex
	change   sync.Cond // of buf or closed
	buf      []byte
	closed   bool          // nothing more is taken
	draining bool          // the deadline is drain's
	done     chan struct{} // closed when nothing is written any more
}

const (
	outboxFull   = 256 << 10
	writeTimeout = time.Minute // the other side has stopped reading
)

func newOutbox(conn net.Conn) *outbox {
	o := &outbox{conn: conn, done: make(chan struct{})}
	o.change.L = &o.mu
	go o.run()
	return o
}

// put adds bytes to be written. After close it does nothing.
func (o *outbox) put(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.buf = append(o.buf, b...)
		o.change.Broadcast()
	}
}

// wait returns when the outbox is not full.
func (o *outbox) wait() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) > outboxFull && !o.closed {
		o.change.Wait()
	}
}

// last adds the last bytes; what is put later is dropped.
func (o *outbox) last(b []byte) {
	o.put(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.change.Broadcast()
}

// drain waits, after last, until everything is written, but not longer than
// limit.
func (o *outbox) drain(limit time.Duration) {
	o.mu.Lock()
	o.draining = true
	o.conn.SetWriteDeadline(time.Now().Add(limit))
	o.mu.Unlock()
	<-o.done
}

func (o *outbox) run() {
	defer close(o.done)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for len(o.buf) == 0 && !o.closed {
			o.change.Wait()
		}
		if len(o.buf) == 0 {
			return
		}
		b := o.buf
		o.buf = nil
		if !o.draining {
			o.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		}
		o.change.Broadcast()
		o.mu.Unlock()
		_, err := o.conn.Write(b)
		o.mu.Lock()
		if err != nil {
			o.closed, o.buf = true, nil
			o.change.Broadcast()
			o.conn.Close() // the reader notices
			return
		}
	}
}
