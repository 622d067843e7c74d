//go:build unix

package xmpp

import (
	"context"
	"fmt"
	"testing"

	"archivolt/internal/testenv"
)

func TestTry(t *testing.T) {
	e := testenv.StartEjabberd(t, "anna", "boris")
	defer func() { t.Log(e.Log()) }()
	r := newRecorder()
	c := &Component{Address: fmt.Sprintf("127.0.0.1:%d", e.ComponentPort), Name: e.Component, Secret: []byte(e.Secret), Domains: []string{e.Domain}}
	ctx, cancel := context.WithCancel(context.Background())
	go c.Run(ctx, r)
	next(t, r.connected)
	a := testenv.StartXMPPClient(t, "anna@"+e.Domain, testenv.Password, "127.0.0.1", e.ClientPort)
	b := testenv.StartXMPPClient(t, "boris@"+e.Domain, testenv.Password, "127.0.0.1", e.ClientPort)
	a.Send(testenv.XMPPMessage{To: b.JID, Body: "hello <b> & all", State: "active"})
	t.Log(b.Wait(testenv.XMPPMatch{Prefix: "hello"}))
	d := next(t, r.deliveries)
	t.Log(stanzas(d.copies))
	cancel()
	t.Log(next(t, r.lost))
	t.Log(c.Counts())
}
