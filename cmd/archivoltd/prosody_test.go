//go:build unix

package main

import (
	"slices"
	"strings"
	"testing"

	"archivolt/internal/ledger"
	"archivolt/internal/testenv"
)

// TestProsody sends 5,000 messages through a real Prosody at the speed of the
// client and kills the daemon in between, twice. None may be missing, none be
// there twice in one direction, and no number be left out.
func TestProsody(t *testing.T) {
	p := testenv.StartProsody(t, testenv.ProsodySetup{Users: []string{"anna", "ben"}})
	d := newDaemon(t, freePort(t), server{"prosody", p.Component, p.Secret, p.ComponentPort, []string{p.Domain, p.Rooms}})
	d.start()
	anna := testenv.StartXMPPClient(t, "anna@"+p.Domain+"/desk", testenv.Password, "127.0.0.1", p.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+p.Domain+"/phone", testenv.Password, "127.0.0.1", p.ClientPort)
	const n, waves = 5000, 3
	for wave := range waves {
		prefix := "flood" + string(rune('a'+wave)) + " "
		anna.Flood(ben.JID, "chat", prefix, n/waves+1)
		if wave < waves-1 {
			d.until("at work", func() bool { return d.status().Recorded > 100 })
			d.kill()
			d.start()
		}
		ben.Wait(testenv.XMPPMatch{Prefix: prefix, Count: n/waves + 1})
	}
	total := waves * (n/waves + 1)
	anna.Send(testenv.XMPPMessage{To: ben.JID, Body: "the last one"})
	d.until("done", func() bool {
		list, _ := d.records()
		return len(list) >= 2 && slices.ContainsFunc(list[len(list)-2:], func(r record) bool { return strings.Contains(r.raw, "the last one") && r.direction == 'I' })
	})
	d.stop()
	list, events := d.records()
	seen := map[string]int{}
	numbers := map[string]uint64{}
	for _, r := range list {
		if r.number != numbers[r.source]+1 || !strings.HasPrefix(r.source, "queue/") {
			t.Fatalf("number %d of %s follows %d", r.number, r.source, numbers[r.source])
		}
		numbers[r.source] = r.number
		if body, ok := r.Body(); ok && strings.HasPrefix(body, "flood") {
			seen[string(r.direction)+body]++
		}
	}
	if len(seen) != 2*total {
		t.Errorf("%d of %d copies are there", len(seen), 2*total)
	}
	for copy, times := range seen {
		if times != 1 {
			t.Errorf("%q is there %d times", copy, times)
		}
	}
	d.wantOnce("flood", total)
	starts := 0
	for _, e := range events {
		switch e.Name {
		case ledger.Gap:
			t.Errorf("gap: %s", e.Detail)
		case ledger.Started:
			starts++
		}
	}
	if starts != waves {
		t.Errorf("%d starts", starts)
	}
}
