package archive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"filippo.io/age"

	"archivolt/internal/ledger"
	"archivolt/internal/message"
	"archivolt/internal/seal"
	"archivolt/internal/store"
	storesqlite "archivolt/internal/store/sqlite"
)

// benchRecords is how many records the archive of the benchmark has.
func benchRecords() int {
	if os.Getenv("ARCHIVOLT_BENCH_LARGE") != "" {
		return 1_000_000
	}
	return 100_000
}

// benchOwn fills an archive of ours directly, without the spool in front: pairs
// of copies between 1,000 people.
func benchOwn(b *testing.B) (path string, officer age.Identity) {
	b.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	to, err := seal.ParseRecipients(false, seal.File{Name: "f", Data: []byte(identity.Recipient().String())})
	if err != nil {
		b.Fatal(err)
	}
	id := ledger.ID{1}
	path = filepath.Join(b.TempDir(), "archive.db")
	s, err := storesqlite.Create(path, id)
	if err != nil {
		b.Fatal(err)
	}
	head, err := s.TakeOver()
	if err != nil {
		b.Fatal(err)
	}
	tree, err := ledger.NewTree(0, nil)
	if err != nil {
		b.Fatal(err)
	}
	var batch store.Batch
	send := func() {
		root, err := tree.Root()
		if err != nil {
			b.Fatal(err)
		}
		head.Size, head.Root = tree.Size(), root
		batch.Head, batch.Tiles = head, tree.Tiles()
		if err := s.Append(&batch); err != nil {
			b.Fatal(err)
		}
		batch = store.Batch{}
	}
	e, wraps, err := seal.NewEpoch(id, 1, to)
	if err != nil {
		b.Fatal(err)
	}
	entry := (&ledger.Epoch{Number: 1, Commitment: e.Commitment(), Class: "classic", Recipients: to.Fingerprints(), Writer: "b"}).Append(nil, id)
	batch.Entries = append(batch.Entries, store.Entry{Other: entry, Epoch: 1, Wraps: wraps})
	head.Epoch = 1
	tree.Append(ledger.Leaf(entry))
	for n := range benchRecords() {
		from, to := fmt.Sprintf("user%d@example.org", n/2%1000), fmt.Sprintf("user%d@example.org", n/2*7%1000)
		h := seal.Header{Source: "queue/example.org/q", Number: uint64(n + 1), Time: 1767225600000 + int64(n)*500, Tokens: e.Tokens(from, to)}
		stanza := fmt.Sprintf("<message xmlns='jabber:client' from='%s/desk' to='%s/phone' id='%s' type='chat'><body>%d: has the shipment to Rotterdam left the yard?</body>"+
			"<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='%s'/></message>", from, to, strconv.Itoa(n/2), n/2, strconv.Itoa(n/2))
		sealed, r, err := e.Seal(&h, &seal.Content{Direction: "OI"[n%2], Stanza: []byte(stanza)})
		if err != nil {
			b.Fatal(err)
		}
		batch.Entries = append(batch.Entries, store.Entry{Index: tree.Size(), Record: r, Sealed: sealed})
		tree.Append(ledger.Leaf(r.Append(nil, id)))
		if len(batch.Entries) == 10_000 {
			send()
		}
	}
	send()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path, identity
}

// BenchmarkOwn reads an archive of ours in the order of time, beside the bare
// scan of the same records with the same driver, turn by turn; and finds one of
// 1,000 people by token, beside reading everything.
func BenchmarkOwn(b *testing.B) {
	path, officer := benchOwn(b)
	keys := Keys{Identities: []age.Identity{officer}}
	read := func(people ...string) (rows int, took time.Duration) {
		begin := time.Now()
		a, err := Open(context.Background(), []string{path}, keys, Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer a.Close()
		if len(people) > 0 {
			if _, err := a.LookUp(context.Background(), people, nil); err != nil {
				b.Fatal(err)
			}
		}
		if err := a.ByTime(context.Background(), func(m *message.Message) error {
			if m.Status != message.OK {
				b.Fatal(m.Reason)
			}
			rows++
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		return rows, time.Since(begin)
	}
	b.Run("by time", func(b *testing.B) {
		var ours, bare time.Duration
		for b.Loop() {
			rows, took := read()
			if ours += took; rows != benchRecords() {
				b.Fatalf("%d rows", rows)
			}
			begin := time.Now()
			s, err := OpenStore(path)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Records(context.Background(), store.Query{}, func(*store.Entry) error { return nil }); err != nil {
				b.Fatal(err)
			}
			_ = s.Close()
			bare += time.Since(begin)
		}
		b.ReportMetric(float64(benchRecords()*b.N)/ours.Seconds(), "rows/s")
		b.ReportMetric(bare.Seconds()/ours.Seconds(), "of-bare-speed")
	})
	b.Run("one of 1000", func(b *testing.B) {
		var found, all time.Duration
		for b.Loop() {
			rows, took := read("user17@example.org")
			if found += took; rows == 0 || rows > benchRecords()/100 {
				b.Fatalf("%d rows", rows)
			}
			_, took = read()
			all += took
		}
		b.ReportMetric(all.Seconds()/found.Seconds(), "times-faster")
	})
}
