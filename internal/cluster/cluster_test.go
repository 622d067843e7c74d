package cluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"archivolt/internal/keys"
	"archivolt/internal/keystore"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

const password = "plumb otter ninety fable crate"

// machine is where a daemon runs: a folder with a keystore and an identity.
type machine struct {
	t        testing.TB
	dir      string
	identity *Identity
	address  string // where it answers
	log      bytes.Buffer
	logging  sync.Mutex
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), address: freeAddress(t)}
	var err error
	if m.identity, err = OpenIdentity(filepath.Join(m.dir, "state")); err != nil {
		t.Fatal(err)
	}
	return m
}

// Write takes the log.
func (m *machine) Write(b []byte) (int, error) {
	m.logging.Lock()
	defer m.logging.Unlock()
	return m.log.Write(b)
}

func (m *machine) logged() string {
	m.logging.Lock()
	defer m.logging.Unlock()
	return m.log.String()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (m *machine) keystore() string { return filepath.Join(m.dir, "keystore") }

func (m *machine) peer() Peer { return Peer{m.address, m.identity.Pin()} }

// enable makes a keystore with a key, and returns its fingerprint.
func (m *machine) enable() string {
	m.t.Helper()
	k, err := keystore.Create(m.keystore(), []byte(password))
	if err != nil {
		m.t.Fatal(err)
	}
	defer k.Close()
	return k.Known().Keys[0].Fingerprint
}

// change opens the keystore and does something with it.
func (m *machine) change(what func(*keystore.Keystore) error) {
	m.t.Helper()
	k, err := keystore.Open(m.keystore(), []byte(password))
	if err == nil {
		defer k.Close()
		err = what(k)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// start starts a node with the key that is enabled now.
func (m *machine) start(role Role, peers ...Peer) *Node {
	m.t.Helper()
	known, err := keystore.Inspect(m.keystore())
	if err != nil {
		m.t.Fatal(err)
	}
	n, err := Start(Config{Role: role, Listen: m.address, Identity: m.identity, Peers: peers, Keystore: m.keystore(),
		InUse: known.Keys[len(known.Keys)-1].Fingerprint, Log: slog.New(slog.NewJSONHandler(m, nil)), every: 20 * time.Millisecond})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(n.Close)
	return n
}

func (m *machine) join(primary Peer, password string) (string, error) {
	k, err := Join(m.t.Context(), primary, m.keystore(), []byte(password))
	if err != nil {
		return "", err
	}
	defer k.Close()
	known := k.Known().Keys
	return known[len(known)-1].Fingerprint, nil
}

func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("not %s in half a minute", what)
		}
	}
}

func held(n *Node, words string) func() bool {
	return func() bool { return n.Hold() != nil && strings.Contains(n.Hold().Error(), words) }
}

// tap passes connections on and keeps all that goes through.
func tap(t testing.TB, to string) (address string, seen func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var all bytes.Buffer
	pass := func(to, from net.Conn) {
		defer to.Close()
		b := make([]byte, 32<<10)
		for {
			k, err := from.Read(b)
			mu.Lock()
			all.Write(b[:k])
			mu.Unlock()
			if _, err2 := to.Write(b[:k]); err != nil || err2 != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	return l.Addr().String(), func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(all.Bytes())
	}
}

// TestJoin: a second daemon gets the same key with the password, and nothing
// of key and password is seen on the way, nor logged.
func TestJoin(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	fp := a.enable()
	node := a.start(Primary)
	address, seen := tap(t, a.address)
	got, err := b.join(Peer{address, a.identity.Pin()}, password)
	if err != nil || got != fp {
		t.Fatalf("key %s, want %s: %v", got, fp, err)
	}
	wire := seen()
	if len(wire) < 5000 {
		t.Fatalf("%d bytes went through the tap", len(wire))
	}
	var secrets [][]byte
	k, err := keystore.Open(b.keystore(), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	key, iv, err := k.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range [][]byte{key[:], iv[:], []byte(password), []byte(k.Known().Recipient), []byte("age-encryption.org")} {
		secrets = append(secrets, s, []byte(hex.EncodeToString(s)), []byte(base64.StdEncoding.EncodeToString(s)))
	}
	for i, s := range secrets {
		if bytes.Contains(wire, s) {
			t.Errorf("secret %d is on the wire", i)
		}
		if strings.Contains(a.logged(), string(s)) {
			t.Errorf("secret %d is in the log", i)
		}
	}
	known, err := keystore.Inspect(a.keystore())
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := keystore.RecipientFingerprint(k.Known().Recipient)
	if len(known.Sharings) != 1 || known.Sharings[0].Recipient != fingerprint || !strings.Contains(a.logged(), fingerprint) {
		t.Errorf("it is not recorded: %+v\n%s", known.Sharings, a.logged())
	}

	// Both may encrypt.
	second := b.start(Secondary, a.peer())
	if second.Hold() != nil || node.Hold() != nil {
		t.Errorf("held: %v, %v", second.Hold(), node.Hold())
	}
	want := Status{Role: Secondary, Key: fp, Primaries: 1, Peers: []PeerStatus{{Address: a.address, Up: true, Role: Primary, Key: fp}}}
	if got := second.Status(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v", got)
	}
}

// TestJoinRefused: who does not know the password, or asks the wrong daemon,
// gets nothing.
func TestJoinRefused(t *testing.T) {
	a, b, c := newMachine(t), newMachine(t), newMachine(t)
	a.enable()
	a.start(Primary)
	refused := func(name string, p Peer, password string, class problem.Class, words string) {
		t.Helper()
		_, err := c.join(p, password)
		if problem.ClassOf(err) != class || err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(c.keystore()); err == nil {
			t.Fatalf("%s: there is a keystore", name)
		}
	}
	began := time.Now()
	refused("another password", a.peer(), "quilt banjo seventy orbit lamp", problem.Passphrase, "not the encryption password of the primary")
	if took := time.Since(began); took < wrongPause {
		t.Errorf("a guess took %v", took)
	}
	if !strings.Contains(a.logged(), "the password was wrong") {
		t.Errorf("nothing in the log: %s", a.logged())
	}
	refused("another daemon's pin", Peer{a.address, b.identity.Pin()}, password, problem.Unavailable, "another pin")
	refused("nobody there", Peer{freeAddress(t), a.identity.Pin()}, password, problem.Unavailable, "refused")
	if _, err := b.join(a.peer(), password); err != nil {
		t.Fatal(err)
	}
	b.start(Secondary, a.peer())
	refused("a secondary", b.peer(), password, problem.Failed, "this daemon is not the primary")
	a.change((*keystore.Keystore).Disable)
	refused("disabled", a.peer(), password, problem.Failed, "does not give its keys")
	if known, err := keystore.Inspect(a.keystore()); err != nil || len(known.Sharings) != 1 {
		t.Errorf("%+v %v", known, err)
	}
}

// TestGuesses: while one password is tried, no other is.
func TestGuesses(t *testing.T) {
	a := newMachine(t)
	a.enable()
	a.start(Primary)
	var group sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for range 20 {
		group.Go(func() {
			c := newClient(a.peer())
			defer c.close()
			_, status, err := c.ask(context.Background(), http.MethodPost, joinPath, []byte(`{"recipient":"r","password":"Z3Vlc3M="}`))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				status = -1
			}
			codes[status]++
		})
	}
	group.Wait()
	if codes[http.StatusForbidden] == 0 || codes[http.StatusForbidden] > 2 || codes[http.StatusTooManyRequests]+codes[http.StatusForbidden] != 20 {
		t.Errorf("%v", codes)
	}
}

// TestPin: the pin is what openssl makes of the identity, whose file only its
// owner reads; nothing older than TLS 1.3 is spoken.
func TestPin(t *testing.T) {
	openssl := testenv.Command(t, "openssl")
	a := newMachine(t)
	file := filepath.Join(a.dir, "state", IdentityFile)
	out, err := exec.Command("sh", "-c", openssl+" pkey -in '"+file+"' -pubout -outform DER | sha256sum | cut -c 1-64").Output()
	if err != nil || strings.TrimSpace(string(out)) != a.identity.Pin() {
		t.Errorf("openssl says %s, the pin is %s: %v", out, a.identity.Pin(), err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	again, err := OpenIdentity(filepath.Join(a.dir, "state"))
	if err != nil || again.Pin() != a.identity.Pin() {
		t.Errorf("%v", err)
	}
	a.enable()
	a.start(Primary)
	for _, version := range []string{"-tls1", "-tls1_1", "-tls1_2"} {
		out, err := exec.Command(openssl, "s_client", "-connect", a.address, version).CombinedOutput()
		if err == nil || bytes.Contains(out, []byte("BEGIN CERTIFICATE")) {
			t.Errorf("it speaks %s:\n%s", version, out)
		}
	}
	for name, text := range map[string]string{"text": "no key", "another kind": string(rsaKey(t, openssl)), "empty": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIdentity(filepath.Join(a.dir, "state")); err == nil || !strings.Contains(err.Error(), "this is no Ed25519 key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func rsaKey(t testing.TB, openssl string) []byte {
	t.Helper()
	out, err := exec.Command(openssl, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048").Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTwoPrimaries: of two, the younger is held, in whatever order they start,
// until it is a secondary with the other's key; its own stays.
func TestTwoPrimaries(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	first := a.enable()
	nextSecond(t)
	second := b.enable()
	nodeB := b.start(Primary, a.peer())
	if err := nodeB.Hold(); err != nil {
		t.Errorf("alone, it is held: %v", err)
	}
	nodeA := a.start(Primary, b.peer())
	until(t, "the younger one held", held(nodeB, "this is a second primary: "+a.address+" is one since "))
	until(t, "the older one aware", func() bool { return nodeA.Status().Primaries == 2 })
	if err := nodeA.Hold(); err != nil {
		t.Errorf("the older one is held: %v", err)
	}
	for _, m := range []*machine{a, b} {
		if n := strings.Count(m.logged(), "there is more than one primary"); n != 1 {
			t.Errorf("the log says so %d times:\n%s", n, m.logged())
		}
	}
	if _, err := newMachine(t).join(b.peer(), password); err == nil || !strings.Contains(err.Error(), "not the primary") {
		t.Errorf("the held one gives its key: %v", err)
	}
	// It stays held while the other is away, and after a start that finds it.
	nodeA.Close()
	until(t, "without the older one", func() bool { return !nodeB.Status().Peers[0].Up })
	if nodeB.Hold() == nil {
		t.Error("no longer held once the other is away")
	}
	nodeB.Close()
	nodeA = a.start(Primary, b.peer())
	nodeB = b.start(Primary, a.peer())
	if err := nodeB.Hold(); err == nil || !strings.Contains(err.Error(), "second primary") {
		t.Errorf("not held from the start: %v", err)
	}
	nodeB.Close()
	if p, said := FindPrimary(t.Context(), []Peer{b.peer(), a.peer()}); p == nil || *p != a.peer() || len(said) != 1 {
		t.Errorf("%v %q", p, said)
	}
	if got, err := b.join(a.peer(), password); err != nil || got != first {
		t.Fatalf("%s %v", got, err)
	}
	nodeB = b.start(Secondary, a.peer())
	if err := nodeB.Hold(); err != nil {
		t.Errorf("as a secondary it is held: %v", err)
	}
	until(t, "alone as primary", func() bool { return nodeA.Status().Primaries == 1 })
	known, err := keystore.Inspect(b.keystore())
	if err != nil || len(known.Keys) != 2 || known.Keys[0].Fingerprint != second || known.Keys[0].Enabled() {
		t.Errorf("%+v %v", known, err)
	}
}

// nextSecond waits for one: keystores note times in whole seconds.
func nextSecond(t testing.TB) {
	now := time.Now().Unix()
	until(t, "a second later", func() bool { return time.Now().Unix() > now })
}

// TestTwins: of two primaries with a copy of one keystore, the one that was
// started later is held.
func TestTwins(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.enable()
	data, err := os.ReadFile(a.keystore())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.keystore(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	list := []Peer{a.peer(), b.peer()} // the same on both: each finds itself in it
	nodeB := b.start(Primary, list...)
	nodeA := a.start(Primary, list...)
	until(t, "the later one held", held(nodeA, "second primary"))
	until(t, "aware of both", func() bool { p := nodeB.Status().Peers; return p[0].Up && p[1].Up })
	if n := nodeB.Status().Primaries; n != 2 {
		t.Errorf("%d primaries", n)
	}
	if err := nodeB.Hold(); err != nil {
		t.Errorf("the earlier one is held: %v", err)
	}
	// The later one makes a key of its own, by which it goes before.
	nextSecond(t)
	a.change((*keystore.Keystore).Disable)
	public, err := keys.ParsePublic("public_key.pem", publicKey(t))
	if err != nil {
		t.Fatal(err)
	}
	a.change(func(k *keystore.Keystore) error { return k.Enable(public, filepath.Join(a.dir, "escrow")) })
	nodeA.Close()
	nodeA = a.start(Primary, list...)
	until(t, "the one without the new key held", held(nodeB, "second primary"))
	if err := nodeA.Hold(); err != nil {
		t.Errorf("the one with the new key is held: %v", err)
	}
}

// TestKeyChanges: a new key at the primary holds everybody until they have it.
func TestKeyChanges(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.enable()
	nodeA := a.start(Primary)
	if _, err := b.join(a.peer(), password); err != nil {
		t.Fatal(err)
	}
	nodeB := b.start(Secondary, a.peer())
	if nodeA.Hold() != nil || nodeB.Hold() != nil {
		t.Fatalf("%v %v", nodeA.Hold(), nodeB.Hold())
	}
	a.change((*keystore.Keystore).Disable)
	until(t, "held at the primary", held(nodeA, "encryption is disabled"))
	until(t, "held at the secondary", held(nodeB, "encryption is disabled at the primary"))
	public, err := keys.ParsePublic("public_key.pem", publicKey(t))
	if err != nil {
		t.Fatal(err)
	}
	a.change(func(k *keystore.Keystore) error { return k.Enable(public, filepath.Join(a.dir, "escrow")) })
	until(t, "still held at the primary", held(nodeA, "there is a new key"))
	until(t, "still held at the secondary", held(nodeB, "has the key"))
	nodeA.Close()
	nodeA = a.start(Primary)
	if err := nodeA.Hold(); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	if _, err := b.join(a.peer(), password); err != nil {
		t.Fatal(err)
	}
	until(t, "held for its own new key", held(nodeB, "there is a new key"))
	nodeB.Close()
	nodeB = b.start(Secondary, a.peer())
	if err := nodeB.Hold(); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	// A daemon by itself is held as well.
	nodeA.Close()
	alone := a.start(Alone)
	a.change((*keystore.Keystore).Disable)
	until(t, "held by itself", held(alone, "encryption is disabled"))
}

func publicKey(t testing.TB) []byte {
	t.Helper()
	openssl := testenv.Command(t, "openssl")
	c := exec.Command(openssl, "pkey", "-pubout")
	c.Stdin = bytes.NewReader(rsaKey(t, openssl))
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPeerAway: a secondary goes on while the primary is away, says so, and
// sees it come back.
func TestPeerAway(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.enable()
	nodeA := a.start(Primary)
	if _, err := b.join(a.peer(), password); err != nil {
		t.Fatal(err)
	}
	nodeA.Close()
	nodeB := b.start(Secondary, a.peer())
	if err := nodeB.Hold(); err != nil {
		t.Errorf("held without the primary: %v", err)
	}
	if p := nodeB.Status().Peers[0]; p.Up || !strings.Contains(p.Why, "refused") {
		t.Errorf("%+v", p)
	}
	a.start(Primary)
	until(t, "up", func() bool { return nodeB.Status().Peers[0].Up })
	if !strings.Contains(b.logged(), "another daemon does not answer") || !strings.Contains(b.logged(), "another daemon answers") {
		t.Errorf("the log:\n%s", b.logged())
	}
}

// TestStrangers: what is no archivoltd, and what is no request, ends nothing.
func TestStrangers(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.enable()
	node := a.start(Primary)
	for _, body := range []string{"", "{", `{"recipient":1}`, `{"recipient":"x","password":"!"}`, "[]", strings.Repeat("a", maxQuestion+1)} {
		c := newClient(a.peer())
		if _, status, err := c.ask(t.Context(), http.MethodPost, joinPath, []byte(body)); err == nil && status != http.StatusBadRequest && status != http.StatusForbidden {
			t.Errorf("%.20q: %d", body, status)
		}
		c.close()
	}
	// Servers that speak something else, or nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0-other\r\n")
			c.Close()
		}
	}()
	b.enable()
	nodeB := b.start(Secondary, Peer{l.Addr().String(), a.identity.Pin()}, Peer{a.address, b.identity.Pin()})
	if err := nodeB.Hold(); err != nil {
		t.Error(err)
	}
	for i, words := range []string{"no archivoltd", "another pin"} {
		if p := nodeB.Status().Peers[i]; p.Up || !strings.Contains(p.Why, words) {
			t.Errorf("%+v", p)
		}
	}
	if err := node.Hold(); err != nil {
		t.Error(err)
	}
	if _, err := Start(Config{Role: Primary, Listen: a.address, Identity: b.identity, Keystore: b.keystore(), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("an address in use: %v", err)
	}
}
