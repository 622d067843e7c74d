package audit_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/audit"
	"archivolt/internal/capture/capturetest"
	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/store"
	storesqlite "archivolt/internal/store/sqlite"
)

const (
	anna, ben = "anna@example.org", "ben@example.org"
	ops       = "ops@conference.example.org"
)

// captured makes an archive in two runs: 300 records in epoch 1, 300 in 2, from
// a server that numbers its copies and one that does not.
func captured(t *testing.T) *capturetest.Place {
	t.Helper()
	p := capturetest.New(t)
	for run, numbered := range []bool{true, false} {
		s := &capturetest.Server{Numbered: numbered, Now: time.Date(2026, 3, 1+run, 9, 0, 0, 0, time.UTC)}
		for n := range 150 {
			s.Chat(anna, ben, fmt.Sprintf("text %d", n), "")
		}
		p.Run(t, s.Copies())
	}
	return p
}

func verify(t *testing.T, path string, o audit.Options) (*audit.Result, error) {
	t.Helper()
	s, err := storesqlite.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o.Name = "archive.db"
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	return audit.Verify(context.Background(), s, o)
}

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range statements {
		if err := sqlitex.ExecuteScript(conn, s, nil); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// rebuild is what somebody does who can write to the store and knows its
// format: a tree, head, marks and index of participants that fit the entries.
func rebuild(t *testing.T, path string) {
	t.Helper()
	s, err := storesqlite.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Head()
	if err != nil {
		t.Fatal(err)
	}
	entries, postings, marks := map[int64][]byte{}, map[[2]uint64][]int64{}, map[string]uint64{}
	epoch := uint64(0)
	err = s.Others(context.Background(), func(e *store.Entry) error {
		entries[e.Index] = e.Other
		if parsed, err := ledger.Parse(e.Other, head.ID); err == nil {
			if e, ok := parsed.(*ledger.Epoch); ok {
				epoch = e.Number
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Records(context.Background(), store.Query{}, func(e *store.Entry) error {
		r := e.Record
		entries[e.Index] = r.Append(nil, head.ID)
		for i := 0; i < len(r.Tokens); i += ledger.TokenSize {
			key := [2]uint64{r.Epoch, binary.BigEndian.Uint64(r.Tokens[i:])}
			postings[key] = append(postings[key], e.Index)
		}
		if ledger.Numbered(r.Source) {
			marks[r.Source] = max(marks[r.Source], r.Number)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	tree, err := ledger.NewTree(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(len(entries)) {
		tree.Append(ledger.Leaf(entries[i]))
	}
	root, err := tree.Root()
	if err != nil {
		t.Fatal(err)
	}
	script := "DELETE FROM tiles; DELETE FROM postings;"
	for _, tile := range tree.Tiles() {
		script += fmt.Sprintf("INSERT OR REPLACE INTO tiles VALUES (%d, x'%x');", int64(tile.Level)<<48|tile.N, tile.Hashes)
	}
	for key, list := range postings {
		var d []byte
		for i := 1; i < len(list); i++ {
			d = binary.AppendUvarint(d, uint64(list[i]-list[i-1]))
		}
		script += fmt.Sprintf("INSERT INTO postings VALUES (%d, %d, %d, x'%x');", key[0], int64(key[1]), list[0], d)
	}
	for source, mark := range marks {
		script += fmt.Sprintf("UPDATE sources SET mark = %d WHERE name = '%s';", mark, source)
	}
	script += fmt.Sprintf("UPDATE head SET size = %d, root = x'%x', epoch = %d", len(entries), root[:], epoch)
	execute(t, path, script)
}

func TestIntact(t *testing.T) {
	p := captured(t)
	r, err := verify(t, p.Archive(), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Records != 600 || r.Epochs != 2 || r.Size != r.Checkpoint.Size || r.Uncovered != 0 || r.Signed || r.Anchored != nil || r.Opened+r.Shut+r.Erased != 0 {
		t.Errorf("%+v", r)
	}
	anchor, err := os.ReadFile(p.Anchor())
	if err != nil {
		t.Fatal(err)
	}
	r, err = verify(t, p.Archive(), audit.Options{Signer: p.Verifier(t), Anchors: []audit.Anchor{{Name: "anchor", Data: anchor}}, Identities: []age.Identity{p.Officer}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Signed || r.Anchored.Size != r.Size || r.Opened != 600 || r.Shut != 0 {
		t.Errorf("%+v", r)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if r, err = verify(t, p.Archive(), audit.Options{Identities: []age.Identity{stranger}}); err != nil || r.Opened != 0 || r.Shut != 600 {
		t.Errorf("%+v, %v", r, err)
	}
	execute(t, p.Archive(), "UPDATE records SET sealed = NULL WHERE idx = 100")
	if r, err = verify(t, p.Archive(), audit.Options{Identities: []age.Identity{p.Officer}}); err != nil || r.Erased != 1 || r.Opened != 599 {
		t.Errorf("one record erased, whose hash stays: %+v, %v", r, err)
	}
}

// TestWhileCapturing: entries that wait for their checkpoint are no fault, until
// they have waited too long.
func TestWhileCapturing(t *testing.T) {
	p := capturetest.New(t)
	daemon := p.Start(t)
	s := &capturetest.Server{Numbered: true, Now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	s.Chat(anna, ben, "text", "")
	capturetest.Deliver(t, daemon, "c1", s.Copies())
	deadline := time.Now().Add(20 * time.Second)
	for daemon.Status().Stored < 6 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	r, err := verify(t, p.Archive(), audit.Options{Signer: p.Verifier(t)})
	if err != nil || r.Uncovered != r.Size-r.Checkpoint.Size || r.Uncovered == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = verify(t, p.Archive(), audit.Options{Now: time.Now().Add(audit.Grace + time.Minute)})
	if problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), "no signed checkpoint covers the ledger") {
		t.Errorf("%v", err)
	}
}

// TestTampering: what somebody does to the store by SQL is named.
func TestTampering(t *testing.T) {
	p := captured(t)
	whole, err := os.ReadFile(p.Archive())
	if err != nil {
		t.Fatal(err)
	}
	// The entries: 0 created, 1 started, 2 configuration, 3 epoch 1, 4 connected,
	// 5 to 304 records, 305 lost, 306 stopped, 307 started, 308 configuration,
	// 309 epoch 2, 310 connected, 311 to 610 records, 611 lost, 612 stopped.
	const notRecorded = "it is not what was recorded"
	for _, c := range []struct{ sql, want string }{
		{"UPDATE records SET time = time + 60000 WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE records SET epoch = 2 WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE records SET source = 2 WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE records SET number = number + 1 WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE records SET tokens = x'' WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE records SET tokens = x'0102' WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE records SET commitment = zeroblob(32) WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE records SET commitment = x'00' WHERE idx = 17", "entry 17: its sealed bytes are not those"},
		{"UPDATE records SET digest = zeroblob(32) WHERE idx = 17", "entry 17: its sealed bytes are not those"},
		{"UPDATE records SET sealed = zeroblob(length(sealed)) WHERE idx = 17", "entry 17: its sealed bytes are not those"},
		{"UPDATE records SET sealed = x'' WHERE idx = 17", "entry 17: its sealed bytes are not those"},
		{"UPDATE records SET sealed = (SELECT sealed FROM records WHERE idx = 18) WHERE idx = 17", "entry 17: its sealed bytes are not those"},
		{"UPDATE records SET sealed = NULL, digest = zeroblob(32) WHERE idx = 17", "entry 17: " + notRecorded},
		{"UPDATE sources SET name = 'queue/other/q1' WHERE name LIKE 'queue/%'", "entry 5: " + notRecorded},
		{"UPDATE records SET idx = -1 WHERE idx = 17; UPDATE records SET idx = 17 WHERE idx = 18; UPDATE records SET idx = 18 WHERE idx = -1", "entry 17: " + notRecorded},
		{"DELETE FROM records WHERE idx = 17", "entry 17: it is missing"},
		{"DELETE FROM records WHERE idx = 610", "entry 610: it is missing"},
		{"DELETE FROM entries WHERE idx = 612", "entry 612: it is missing"},
		{"DELETE FROM entries WHERE idx = 306", "entry 306: it is missing"},
		{"DELETE FROM records WHERE idx > 400; DELETE FROM entries WHERE idx > 400", "entry 401: it is missing, and so is all that followed until entry 612"},
		{"INSERT INTO records SELECT 613, time, epoch, source, number + 1, tokens, commitment, digest, sealed FROM records WHERE idx = 610", "entry 613: it lies behind the end of the ledger, which has 613 entries"},
		{"INSERT INTO records SELECT 306, time, epoch, source, number + 1, tokens, commitment, digest, sealed FROM records WHERE idx = 304", "entry 306: there are two of them"},
		{"INSERT INTO records SELECT -5, time, epoch, source, number + 1, tokens, commitment, digest, sealed FROM records WHERE idx = 304", "entry -5: it lies before the beginning"},
		{"UPDATE entries SET entry = (SELECT entry FROM entries WHERE idx = 611) WHERE idx = 305", "entry 305: " + notRecorded},
		{"UPDATE entries SET entry = x'00' WHERE idx = 305", "entry 305: it cannot be read"},
		{"DELETE FROM wraps WHERE epoch = 2", "entry 309: the wrapped key of epoch 2 is missing"},
		{"UPDATE wraps SET epoch = 7 WHERE epoch = 2", "entry 309: it is of epoch 2, and the wrapped key with it of epoch 7"},
		{"UPDATE wraps SET idx = 3 WHERE epoch = 2", "entry 3: it is of epoch 1, and the wrapped key with it of epoch 2"},
		{"INSERT INTO wraps VALUES (9, 0, 4, x'00')", "entry 4: a wrapped key stands with it"},
		{"INSERT INTO wraps VALUES (9, 0, 9999, x'00')", "a wrapped key of epoch 9, of which the ledger knows nothing"},
		{"UPDATE tiles SET hashes = zeroblob(length(hashes)) WHERE tile = 1", "entry 256: " + notRecorded},
		{"DELETE FROM tiles WHERE tile = 1", "entry 256: the ledger's tree has no hash of it"},
		{"UPDATE tiles SET hashes = zeroblob(length(hashes)) WHERE tile = 1 << 48", "the tile 0 of level 1 of the ledger's tree, over the entries from 0 on, is not what the entries give"},
		{"UPDATE tiles SET hashes = hashes || zeroblob(32) WHERE tile = 2", "the tile 2 of level 0 of the ledger's tree, over the entries from 512 on"},
		{"UPDATE head SET root = zeroblob(32)", "the root in its head is not that of its ledger"},
		{"UPDATE head SET root = x'00'", "is damaged"},
		{"UPDATE head SET size = 612", "entry 612: it lies behind the end"},
		{"UPDATE head SET size = 614", "entry 613: it is missing"},
		{"UPDATE head SET epoch = 3", "its head says that epoch 3 is the last, and the ledger has 2"},
		{"UPDATE head SET id = zeroblob(16)", "it is of archive a501"},
		{"DELETE FROM head", "is damaged"},
		{"UPDATE sources SET mark = mark + 1 WHERE name LIKE 'queue/%'", "the last delivery number of queue/example.org/q1 is given as 301, and is 300"},
		{"UPDATE sources SET mark = 5 WHERE name LIKE 'queue/%'", "the last delivery number of queue/example.org/q1 is given as 5, and is 300"},
		{"INSERT INTO sources VALUES (9, 'queue/example.org/q9', 4)", "the last delivery number of queue/example.org/q9 is given as 4, and is 0"},
		{"DELETE FROM postings WHERE epoch = 2 AND first = 311", "entry 311: the index of participants does not say of it"},
		{"UPDATE postings SET list = x'' WHERE epoch = 1 AND first = 5", "entry 6: the index of participants does not say of it"},
		{"UPDATE postings SET token = token + 1 WHERE epoch = 2 AND first = 311", "entry 311: the index of participants does not say of it"},
		{"INSERT INTO postings VALUES (1, 77, 9999, x'')", "the index of participants has entry 9999, which is no record"},
		{"INSERT INTO postings VALUES (1, 77, 17, x'')", "entry 17: the index of participants does not say of it"},
		{"UPDATE postings SET list = x'00' WHERE epoch = 1 AND first = 5", "the index of participants is damaged"},
		{"DELETE FROM checkpoint", "there is no signed checkpoint"},
		{"UPDATE checkpoint SET text = x'00'", "its checkpoint: the checkpoint is not signed by this archive's key"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			if err := os.WriteFile(p.Archive(), whole, 0o600); err != nil {
				t.Fatal(err)
			}
			execute(t, p.Archive(), c.sql)
			_, err := verify(t, p.Archive(), audit.Options{Signer: p.Verifier(t)})
			if problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestRebuilt: somebody who knows the format makes everything in the store fit,
// but for the signed checkpoint.
func TestRebuilt(t *testing.T) {
	p := captured(t)
	whole, err := os.ReadFile(p.Archive())
	if err != nil {
		t.Fatal(err)
	}
	const replaced = "its first 613 entries are not those that were recorded until"
	for _, c := range []struct{ sql, want string }{
		{"UPDATE records SET time = time + 60000 WHERE idx = 17", replaced},
		{"UPDATE records SET epoch = 2 WHERE idx = 17", "entry 17: it is sealed under epoch 2, which no entry before it begins"},
		{"UPDATE records SET epoch = 1 WHERE idx = 317", "entry 317: it is sealed under epoch 1, when epoch 2 had begun"},
		{"UPDATE records SET number = 1 WHERE idx = 17", "entry 17: its delivery number 1 comes after 12 of the same source"},
		{"UPDATE records SET tokens = x'0102030405060708' WHERE idx = 17", replaced},
		{"UPDATE entries SET entry = (SELECT entry FROM entries WHERE idx = 611) WHERE idx = 0", "entry 0: the ledger does not begin with the archive's creation"},
		{"UPDATE entries SET entry = (SELECT entry FROM entries WHERE idx = 3) WHERE idx = 309", "entry 309: it begins epoch 1, and epoch 2 is the next"},
		{"INSERT INTO records SELECT 613, time, epoch, source, number + 1, tokens, commitment, digest, sealed FROM records WHERE idx = 610", "entry 613: it was recorded when archivoltd had stopped, with entry 612"},
		{"DELETE FROM records WHERE idx > 400; DELETE FROM entries WHERE idx > 400", "it ends with entry 400, and 613 entries were recorded until"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			if err := os.WriteFile(p.Archive(), whole, 0o600); err != nil {
				t.Fatal(err)
			}
			execute(t, p.Archive(), c.sql)
			rebuild(t, p.Archive())
			_, err := verify(t, p.Archive(), audit.Options{})
			if problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if started, err := p.TryStart(); err == nil {
				capturetest.Stop(t, started)
				t.Error("archivoltd starts with it")
			} else if problem.ClassOf(err) != problem.Unverified {
				t.Errorf("archivoltd says %v", err)
			}
		})
	}

	t.Run("with a checkpoint of his own", func(t *testing.T) {
		if err := os.WriteFile(p.Archive(), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		execute(t, p.Archive(), "UPDATE records SET time = time + 60000 WHERE idx = 17")
		rebuild(t, p.Archive())
		execute(t, p.Archive(), fmt.Sprintf("UPDATE checkpoint SET text = x'%x'", forgedCheckpoint(t, p)))
		r, err := verify(t, p.Archive(), audit.Options{})
		if err != nil || r.Signed {
			t.Errorf("without the signer nobody can tell: %+v, %v", r, err)
		}
		if _, err = verify(t, p.Archive(), audit.Options{Signer: p.Verifier(t)}); err == nil || !strings.Contains(err.Error(), "not signed by this archive's key") {
			t.Errorf("%v", err)
		}
		// The record itself still knows when it was sealed.
		if _, err = verify(t, p.Archive(), audit.Options{Identities: []age.Identity{p.Officer}}); err == nil || !strings.Contains(err.Error(), "entry 17: the record is not what was sealed") {
			t.Errorf("%v", err)
		}
	})
}

// forgedCheckpoint signs the present head with another key for the same archive.
func forgedCheckpoint(t *testing.T, p *capturetest.Place) []byte {
	t.Helper()
	s, err := storesqlite.OpenReader(p.Archive())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	head, err := s.Head()
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := ledger.NewSigningKey(rand{}, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&ledger.Checkpoint{ID: p.ID, Size: head.Size, Root: head.Root, Time: time.Now().UTC().Truncate(time.Millisecond)}).Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rand is no randomness at all.
type rand struct{}

func (rand) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte{7}, len(b))), nil }

// TestForgedEpoch: somebody seals records of his own under a key of his own, for
// the officer to read, and makes the store fit. They open, and no checkpoint
// covers them.
func TestForgedEpoch(t *testing.T) {
	p := captured(t)
	recipients, err := seal.ParseRecipients(false, seal.File{Name: "f", Data: []byte(p.Officer.Recipient().String())})
	if err != nil {
		t.Fatal(err)
	}
	epoch, wraps, err := seal.NewEpoch(p.ID, 3, recipients)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	started := (&ledger.Event{Time: now.UnixMilli(), Name: ledger.Started, Detail: "archivoltd test, after an orderly end"}).Append(nil, p.ID)
	entry := (&ledger.Epoch{Number: 3, Time: now.UnixMilli(), Commitment: epoch.Commitment(), Class: "classic", Recipients: recipients.Fingerprints(), Writer: "archivoltd test"}).Append(nil, p.ID)
	h := seal.Header{Source: "queue/example.org/q1", Number: 301, Time: now.UnixMilli(), Tokens: epoch.Tokens(anna, ben)}
	sealed, r, err := epoch.Seal(&h, &seal.Content{Direction: 'O', Stanza: []byte("<message from='anna@example.org' to='ben@example.org'><body>I confess</body></message>")})
	if err != nil {
		t.Fatal(err)
	}
	execute(t, p.Archive(), fmt.Sprintf(`INSERT INTO entries VALUES (613, x'%x'), (614, x'%x'); INSERT INTO wraps VALUES (3, 0, 614, x'%x');
		INSERT INTO records SELECT 615, %d, 3, source, 301, x'%x', x'%x', x'%x', x'%x' FROM sources WHERE name LIKE 'queue/%%'`,
		started, entry, wraps[0], h.Time, h.Tokens, r.Commitment[:], r.Sealed[:], sealed))
	rebuild(t, p.Archive())
	_, err = verify(t, p.Archive(), audit.Options{Now: now.Add(time.Hour)})
	if problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), "entry 613: from here on no signed checkpoint covers the ledger, 3 entries") {
		t.Errorf("%v", err)
	}
	// A moment after the last checkpoint they could be the daemon's: the result
	// says that nothing covers them.
	if result, err := verify(t, p.Archive(), audit.Options{Now: now, Signer: p.Verifier(t)}); err != nil || result.Uncovered != 3 {
		t.Errorf("%+v, %v", result, err)
	}
	if started, err := p.TryStart(); err == nil {
		capturetest.Stop(t, started)
		t.Error("archivoltd starts with it")
	} else if !strings.Contains(err.Error(), "archivoltd had stopped in order with 613 entries in it, and it has 616") {
		t.Errorf("archivoltd says %v", err)
	}
}

// TestOldCopy: a whole store of an earlier time is put back.
func TestOldCopy(t *testing.T) {
	p := captured(t)
	old, err := os.ReadFile(p.Archive())
	if err != nil {
		t.Fatal(err)
	}
	s := &capturetest.Server{Now: time.Date(2026, 3, 9, 9, 0, 0, 0, time.UTC)}
	s.Chat(anna, ben, "what somebody wants to be gone", "")
	p.Run(t, s.Copies())
	if err := os.WriteFile(p.Archive(), old, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := verify(t, p.Archive(), audit.Options{Signer: p.Verifier(t)})
	if err != nil || r.Anchored != nil {
		t.Errorf("without an anchor nobody can tell: %+v, %v", r, err)
	}
	anchor, err := os.ReadFile(p.Anchor())
	if err != nil {
		t.Fatal(err)
	}
	_, err = verify(t, p.Archive(), audit.Options{Anchors: []audit.Anchor{{Name: "anchor.txt", Data: anchor}}})
	if problem.ClassOf(err) != problem.Unverified || !strings.Contains(err.Error(), "an older copy was put back, or entries were removed") || !strings.Contains(err.Error(), "anchor.txt") {
		t.Errorf("%v", err)
	}
	if started, err := p.TryStart(); err == nil {
		capturetest.Stop(t, started)
		t.Error("archivoltd starts with it")
	} else if !strings.Contains(err.Error(), "an older copy was put back") {
		t.Errorf("archivoltd says %v", err)
	}
}

func TestAnchors(t *testing.T) {
	p, other := captured(t), capturetest.New(t)
	other.ID = ledger.ID{9}
	other.Run(t)
	mine, err := os.ReadFile(p.Anchor())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(other.Anchor())
	if err != nil {
		t.Fatal(err)
	}
	one := mine[:bytes.Index(mine, []byte("\n\narchivolt/"))+1]
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"another archive's": {theirs, "checkpoint 1: it is of archive 09"},
		"one in the middle": {append(append(bytes.Clone(mine), theirs...), mine...), "it is of archive 09"},
		"empty":             {nil, "this file holds no checkpoint"},
		"other text":        {[]byte("hello\n"), "this is no file of signed checkpoints"},
		"without signature": {one[:bytes.Index(one, []byte("\u2014"))], "this is no file of signed checkpoints"},
		"cut":               {mine[:len(mine)-5], "cut off"},
		"changed root":      {bytes.Replace(mine, []byte("\n613\n"), []byte("\n612\n"), 1), "its first 612 entries are not those"},
	} {
		if _, err := verify(t, p.Archive(), audit.Options{Anchors: []audit.Anchor{{Name: "anchor", Data: c.data}}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	changed := bytes.Replace(mine, []byte("\n613\n"), []byte("\n612\n"), 1)
	if _, err := verify(t, p.Archive(), audit.Options{Signer: p.Verifier(t), Anchors: []audit.Anchor{{Name: "anchor", Data: changed}}}); err == nil || !strings.Contains(err.Error(), "not signed by this archive's key") {
		t.Errorf("%v", err)
	}
	if r, err := verify(t, p.Archive(), audit.Options{Signer: p.Verifier(t), Anchors: []audit.Anchor{{Name: "anchor", Data: one}}}); err != nil || r.Anchored.Size != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParseVerifier(t *testing.T) {
	p := capturetest.New(t)
	p.Run(t)
	if v, err := audit.ParseVerifier("f", p.Verifier(t)+"\n"); err != nil || v != p.Verifier(t) {
		t.Errorf("%q, %v", v, err)
	}
	for _, text := range []string{"", "archivolt/00+11+22", "ed25519:AAAA", p.Verifier(t)[:60]} {
		if _, err := audit.ParseVerifier("f", text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestLife(t *testing.T) {
	p := captured(t)
	s := &capturetest.Server{Numbered: true, Now: time.Date(2026, 3, 9, 9, 0, 0, 0, time.UTC)}
	s.Chat(anna, ben, "lost", "")
	for range 148 {
		s.Chat(anna, ben, "", "")
	}
	s.Copies()
	s.Chat(anna, ben, "", "") // numbers 299 and 300, which are there already
	s.Chat(anna, ben, "", "") // 301 and 302
	s.Copies()
	s.Chat(anna, ben, "after a gap", "")
	p.SealFor(t, p.Officer.Recipient().String(), "age1s5s0qzvfxzn4gayt0hwtg0hhtgxm7wsdycup4a8t5j5ca25mfe4qt4hs7q")
	p.Run(t, s.Copies())
	r, err := storesqlite.OpenReader(p.Archive())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := audit.ReadLife(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Starts) != 3 || l.Running || l.Starts[1].Disorder || len(l.Epochs) != 3 || len(l.Epochs[2].Recipients) != 2 || len(l.Gaps) != 1 || !strings.Contains(l.Gaps[0].Detail, "the numbers 301 to 302 were never delivered") ||
		len(l.Recipients) != 1 || len(l.Lost) != 3 || l.Lost[0].To.IsZero() || l.Lost[2].To.IsZero() || len(l.Down) != 2 || l.Down[0].To != l.Starts[1].At || len(l.Silent)+len(l.Full)+len(l.Others) != 0 || l.Checkpoint.Size != l.Size {
		t.Errorf("%+v", l)
	}
	if len(l.Sources) != 2 || !l.Sources[0].BestEffort() || l.Sources[1].BestEffort() || l.Sources[1].Number != 304 {
		t.Errorf("%+v", l.Sources)
	}
}

// stirred lets a writer begin before one of its methods is called.
type stirred struct {
	audit.Store
	begin func()
	at    string
}

func (s *stirred) reach(method string) {
	if s.at == method {
		s.begin()
	}
}

// Head is the store's.
func (s *stirred) Head() (store.Head, error) { s.reach("Head"); return s.Store.Head() }

// Others are the store's.
func (s *stirred) Others(ctx context.Context, fn func(*store.Entry) error) error {
	s.reach("Others")
	return s.Store.Others(ctx, fn)
}

// Tile is the store's.
func (s *stirred) Tile(level int, n int64, width int) ([]byte, error) {
	s.reach("Tile")
	return s.Store.Tile(level, n, width)
}

// Postings are the store's.
func (s *stirred) Postings(ctx context.Context, fn func(epoch, token uint64, indexes []int64) error) error {
	s.reach("Postings")
	return s.Store.Postings(ctx, fn)
}

// TestWriterBegins: archivoltd starts while its archive is verified. That is no
// fault of the archive, and is not called one.
func TestWriterBegins(t *testing.T) {
	for _, at := range []string{"Head", "Others", "Tile", "Postings"} {
		p := captured(t)
		s, err := storesqlite.OpenReader(p.Archive())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		begin := sync.OnceFunc(func() {
			p.Run(t, (&capturetest.Server{Numbered: true, Now: time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)}).Copies())
		})
		_, err = audit.Verify(t.Context(), &stirred{s, begin, at}, audit.Options{Name: "archive.db", Now: time.Now()})
		if problem.ClassOf(err) != problem.Unavailable || !errors.Is(err, store.ErrChanged) {
			t.Errorf("begun before %s: %v", at, err)
		}
	}
}
