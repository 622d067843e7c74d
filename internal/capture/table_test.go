//go:build unix

package capture

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/cisco/write"
	"archivolt/internal/testenv"
)

// Key and iv of the tables of these tests.
var (
	tableKey = [32]byte(bytes.Repeat([]byte{7}, 32))
	tableIV  = [16]byte(bytes.Repeat([]byte{9}, 16))
)

// unlocked is the keystore of the place, open.
func (p *place) unlocked() *Unlocked {
	return &Unlocked{Encoder: write.NewEncoder(tableKey, tableIV, write.Options{LocalDomains: []string{"example.org"}}), Spool: p.officer}
}

func (p *place) table(t testing.TB) Table {
	t.Helper()
	table, err := write.OpenSQLite(p.cisco(), write.DatabaseOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (p *place) cisco() string { return filepath.Join(p.dir, "cisco.db") }

func (p *place) startTable(t testing.TB, keys *Unlocked) *Service {
	t.Helper()
	s, err := StartTable(p.config(), p.table(t), keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startPostgres is startTable with the table in a PostgreSQL, which has so long
// for one request.
func (p *place) startPostgres(t testing.TB, url string, timeout time.Duration) *Service {
	t.Helper()
	table, err := write.OpenPostgres(t.Context(), url, write.DatabaseOptions{Create: true, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	s, err := StartTable(p.config(), table, p.unlocked())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// decrypted opens a value of the table with the standard library.
func decrypted(t testing.TB, value string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(b) == 0 || len(b)%16 != 0 {
		t.Fatalf("%q is no ciphertext", value)
	}
	block, err := aes.NewCipher(tableKey[:])
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCBCDecrypter(block, tableIV[:]).CryptBlocks(b, b)
	return string(b[:len(b)-int(b[len(b)-1])])
}

// stanzasOf reads the whole table, in the order in which rows came in.
func (p *place) stanzasOf(t testing.TB) (list []string) {
	t.Helper()
	conn, err := sqlite.OpenConn(p.cisco(), sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = sqlitex.Execute(conn, "SELECT message_string, direction FROM jm ORDER BY rowid", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		list = append(list, row.ColumnText(1)+decrypted(t, row.ColumnText(0)))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// wantRows wants the stanzas 1 to last, each once and in order.
func wantRows(t testing.TB, got []string, last uint64) {
	t.Helper()
	for i, stanza := range got {
		if want := "O" + text(uint64(i)+1); stanza != want {
			t.Fatalf("row %d is %s, want %s", i+1, stanza, want)
		}
	}
	if uint64(len(got)) != last {
		t.Fatalf("%d rows, want %d", len(got), last)
	}
}

// wantNoPlaintext looks for known text in all files but the table's, which holds
// columns in clear.
func (p *place) wantNoPlaintext(t testing.TB) {
	t.Helper()
	err := filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, needle := range []string{"known text", "anna@", "ben1@", "<message"} {
			if bytes.Contains(content, []byte(needle)) {
				t.Errorf("%s holds %q", path, needle)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTable(t *testing.T) {
	p := newPlace(t)
	s := p.startTable(t, p.unlocked())
	for _, step := range [][2]uint64{{1, 1}, {2, 500}, {400, 500}, {501, 502}, {1, 502}} {
		if err := deliver(s, numbered(step[0], step[1])); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	wantRows(t, p.stanzasOf(t), 502)
	p.wantNoPlaintext(t)
	s = p.startTable(t, p.unlocked())
	if st := s.Status(); st.Disorderly || st.Gaps != 0 {
		t.Errorf("after an orderly end: %+v", st)
	}
	if err := deliver(s, numbered(500, 600)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	wantRows(t, p.stanzasOf(t), 600)
}

// TestTableLocked: while the keystore is locked what comes in waits, sealed;
// the next start with the password brings it in, in order.
func TestTableLocked(t *testing.T) {
	p := newPlace(t)
	s := p.startTable(t, p.unlocked())
	if err := deliver(s, numbered(1, 100)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	for range 2 { // two runs without the password
		s = p.startTable(t, nil)
		first := uint64(101)
		if err := deliver(s, numbered(first, 300)); err != nil {
			t.Fatal(err)
		}
		stopAtOnce(t, s)
		if s.Left() < 200 {
			t.Errorf("%d entries are left", s.Left())
		}
		p.wantNoPlaintext(t)
		wantRows(t, p.stanzasOf(t), 100)
	}
	s = p.startTable(t, p.unlocked())
	if err := deliver(s, numbered(301, 310)); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	wantRows(t, p.stanzasOf(t), 310)
	p.wantWholeTable(t)
}

// TestTableHeld: while nothing may be encrypted what comes in waits, sealed, and
// is brought in, in order, once it may: by the same run, or by the next. Who is
// held may have no key at all.
func TestTableHeld(t *testing.T) {
	p := newPlace(t)
	var held atomic.Bool
	var asked atomic.Int64
	keys := func() *Unlocked {
		k := p.unlocked()
		k.Hold = func() error {
			asked.Add(1)
			if held.Load() {
				return errors.New("the key was disabled")
			}
			return nil
		}
		return k
	}
	s := p.startTable(t, keys())
	if err := deliver(s, numbered(1, 100)); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return s.Status().Queued == 0 })
	held.Store(true)
	if err := deliver(s, numbered(101, 200)); err != nil {
		t.Fatal(err)
	}
	before := asked.Load()
	until(t, func() bool { return asked.Load() > before && s.Status().StoreDown })
	if n := len(p.stanzasOf(t)); n != 100 {
		t.Errorf("%d rows while it is held", n)
	}
	p.wantNoPlaintext(t)
	held.Store(false)
	until(t, func() bool { return s.Status().Queued == 0 })
	held.Store(true)
	if err := deliver(s, numbered(201, 250)); err != nil {
		t.Fatal(err)
	}
	stop(t, s) // which waits for nothing
	if s.Left() < 50 {
		t.Errorf("%d entries are left", s.Left())
	}
	k := keys()
	k.Encoder = nil
	s = p.startTable(t, k)
	if err := deliver(s, numbered(251, 300)); err != nil {
		t.Fatal(err)
	}
	before = asked.Load()
	until(t, func() bool { return asked.Load() > before+1 })
	stop(t, s)
	wantRows(t, p.stanzasOf(t), 200)
	held.Store(false)
	s = p.startTable(t, keys())
	stop(t, s)
	wantRows(t, p.stanzasOf(t), 300)
}

// TestTableLockedEnd: an end that leaves messages in the spool is none in order,
// whatever else came in meanwhile.
func TestTableLockedEnd(t *testing.T) {
	for range 10 { // the end meets the storer at several places
		p := newPlace(t)
		s := p.startTable(t, nil)
		until(t, func() bool { return s.Status().StoreDown })
		if err := deliver(s, numbered(1, 10)); err != nil {
			t.Fatal(err)
		}
		stop(t, s)
		s = p.startTable(t, p.unlocked())
		if !s.Status().Disorderly {
			t.Fatal("the run before is said to have left nothing")
		}
		stop(t, s)
		wantRows(t, p.stanzasOf(t), 10)
	}
}

// TestTableHeldEnd: encryption is allowed again at the very moment of the end.
// What was tried before comes in ahead of what came later.
func TestTableHeldEnd(t *testing.T) {
	for range 10 {
		p := newPlace(t)
		var held atomic.Bool
		keys := p.unlocked()
		keys.Hold = func() error {
			if held.Swap(false) { // once
				return errors.New("the key was disabled")
			}
			return nil
		}
		s := p.startTable(t, keys)
		if err := deliver(s, numbered(1, 10)); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { return s.Status().Queued == 0 })
		held.Store(true)
		if err := deliver(s, numbered(11, 20)); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { return s.Status().StoreDown })
		if err := deliver(s, numbered(21, 30)); err != nil {
			t.Fatal(err)
		}
		stop(t, s)
		s = p.startTable(t, p.unlocked())
		stop(t, s)
		wantRows(t, p.stanzasOf(t), 30)
	}
}

// TestTableOtherKeystore: what was sealed for one keystore is not lost by
// starting with another.
func TestTableOtherKeystore(t *testing.T) {
	p := newPlace(t)
	s := p.startTable(t, nil)
	if err := deliver(s, numbered(1, 20)); err != nil {
		t.Fatal(err)
	}
	stopAtOnce(t, s)
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keys := p.unlocked()
	keys.Spool = other
	s = p.startTable(t, keys)
	until(t, func() bool { return s.Status().StoreFails > 0 })
	stopAtOnce(t, s)
	s = p.startTable(t, p.unlocked())
	stop(t, s)
	wantRows(t, p.stanzasOf(t), 20)
}

// TestTableCrash kills the daemon at each step and at random moments, with a
// table in Cisco's format behind the spool.
func TestTableCrash(t *testing.T) {
	p := newPlace(t)
	if err := os.WriteFile(filepath.Join(p.dir, "officer.id"), []byte(p.officer.(*age.X25519Identity).String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "officer.pub"), []byte(p.recipientText()), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	h := &harness{t: t, p: p}
	crashes := 0
	check := func() {
		t.Helper()
		if !h.round(random, "", 0, -1) {
			t.Fatal("the daemon does not end in order")
		}
		rows := p.stanzasOf(t)
		wantRows(t, rows, uint64(len(rows)))
		if uint64(len(rows)) < h.acked {
			t.Fatalf("%d of %d acknowledged messages are there", len(rows), h.acked)
		}
		p.wantWholeTable(t)
	}
	for _, step := range []string{stepKeyMade, stepWrapWritten, stepSpoolAppended, stepAcknowledged, stepBatchMade, stepHeadSwapped} {
		for _, count := range []int{1, 3} {
			if !h.round(random, step, count, -1) {
				crashes++
			}
			check()
		}
	}
	for i := range *crashRounds / 2 {
		if !h.round(random, "", 0, 1+random.IntN(60)) {
			crashes++
		}
		if i%5 == 4 {
			check()
		}
	}
	check()
	t.Logf("%d crashes, %d messages acknowledged", crashes, h.acked)
}

// TestTablePostgres kills a real PostgreSQL under load, and again while the
// daemon waits for it. Nothing that was acknowledged is missing or there twice.
func TestTablePostgres(t *testing.T) {
	server := testenv.StartPostgres(t, "fsync=on", "synchronous_commit=on", "autovacuum=off")
	server.SQL("postgres", "CREATE DATABASE im")
	p := newPlace(t)
	s := p.startPostgres(t, server.URL("postgres", "im"), 5*time.Second)
	next := uint64(1)
	load := func(n uint64) {
		t.Helper()
		for last := next + n; next < last; next += 10 {
			if err := deliver(s, numbered(next, next+9)); err != nil {
				t.Fatal(err)
			}
		}
	}
	load(500)
	for range 3 {
		server.Kill()
		load(300)
		until(t, func() bool { return s.Status().StoreDown })
		p.wantNoPlaintext(t)
		server.Start()
		load(300)
	}
	until(t, func() bool { return s.Status().Queued == 0 })
	stop(t, s)
	wantRows(t, inOrder(t, server, "im"), next-1)
	if marks := server.SQL("im", "SELECT source, mark FROM archivolt_marks"); marks != fmt.Sprintf("queue/example.org/q1|%d", next-1) {
		t.Errorf("marks: %s", marks)
	}
}

// inOrder reads the whole table with psql, in the order in which rows came in:
// where nothing is vacuumed, that in which they lie.
func inOrder(t *testing.T, server *testenv.Postgres, database string) (list []string) {
	t.Helper()
	for _, line := range strings.Split(server.SQL(database, "SELECT direction, message_string FROM jm ORDER BY ctid"), "\n") {
		direction, value, _ := strings.Cut(line, "|")
		list = append(list, direction+decrypted(t, value))
	}
	return list
}
