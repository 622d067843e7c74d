package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"archivolt/internal/archive"
	"archivolt/internal/ledger"
	"archivolt/internal/message"
	"archivolt/internal/review"
	"archivolt/internal/seal"
	"archivolt/internal/stanza"
	"archivolt/internal/store"
	"archivolt/internal/store/sqlite"
	"archivolt/internal/transcript"
)

// The daemon of these tests is this program, which TestMain sends into its
// real main.
const asDaemon = "ARCHIVOLTD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		os.Exit(runMain())
	}
	os.Exit(m.Run())
}

// archivoltd runs the program with arguments and returns what it prints.
func archivoltd(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asDaemon+"=1")
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	_ = c.Run() // the code says it
	return out.String(), err.String(), c.ProcessState.ExitCode()
}

// daemon is a running archivoltd with a folder of its own.
type daemon struct {
	t       testing.TB
	dir     string
	file    string // the configuration
	url     string
	officer *age.HybridIdentity
	env     []string // beside the test's own
	under   []string // program that runs it, with its arguments
	cmd     *exec.Cmd
	log     *logged
	exited  chan struct{}
}

// logged keeps what a process prints, and tells of lines.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write keeps a piece.
func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// server is what a daemon connects to.
type server struct {
	kind, component, secret string
	port                    int
	domains                 []string
}

// newDaemon writes a configuration for servers; the daemon is not started.
func newDaemon(t testing.TB, listen int, servers ...server) *daemon {
	t.Helper()
	officer, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := &daemon{t: t, dir: dir, file: filepath.Join(dir, "archivoltd.yaml"), url: fmt.Sprintf("http://127.0.0.1:%d", listen), officer: officer}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("officer.pub", officer.Recipient().String()+"\n")
	var config strings.Builder
	fmt.Fprintf(&config, "archive: archive.db\nstate_dir: state\nrecipients: [officer.pub]\nlisten: 127.0.0.1:%d\nanchors: [anchors.txt]\nxmpp:\n", listen)
	for i, s := range servers {
		write(fmt.Sprint("secret", i), s.secret+"\n")
		fmt.Fprintf(&config, "  - {server: %s, address: '127.0.0.1:%d', component: %s, secret_file: secret%d, local_domains: [%s]}\n", s.kind, s.port, s.component, i, strings.Join(s.domains, ", "))
	}
	write("archivoltd.yaml", config.String())
	t.Cleanup(func() {
		if d.cmd != nil {
			d.kill()
		}
		if d.log != nil {
			checkLog(t, d.log.String())
		}
		if t.Failed() && d.log != nil {
			t.Logf("the daemon has logged:\n%s", d.log)
		}
	})
	return d
}

func (d *daemon) config() string { return d.file }

// start starts it and waits until it is ready.
func (d *daemon) start() {
	d.t.Helper()
	d.launch()
	d.until("ready", func() bool {
		answer, err := http.Get(d.url + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// launch starts it.
func (d *daemon) launch() {
	d.t.Helper()
	args := append(slices.Clone(d.under), os.Args[0], "run", "--config", d.config())
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Env = append(append(os.Environ(), asDaemon+"=1"), d.env...)
	if d.log == nil {
		d.log = &logged{}
	}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	exited := make(chan struct{})
	d.exited = exited
	go func(c *exec.Cmd) {
		_ = c.Wait() // its code is in ProcessState
		close(exited)
	}(d.cmd)
}

// until polls a condition.
func (d *daemon) until(what string, holds func() bool) {
	d.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		select {
		case <-d.exited:
			d.t.Fatalf("the daemon has ended before it was %s", what)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the daemon is not %s after a minute: %+v", what, d.status())
		}
	}
}

func (d *daemon) status() (s status) {
	d.t.Helper()
	answer, err := http.Get(d.url + "/status")
	if err != nil {
		return s
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *daemon) recorded(n uint64) {
	d.t.Helper()
	d.until(fmt.Sprintf("done with %d copies", n), func() bool { return d.status().Recorded >= n })
}

// stored waits until so many copies are in the archive.
func (d *daemon) stored(n uint64) {
	d.t.Helper()
	d.until(fmt.Sprintf("done with %d copies, all of them stored", n), func() bool {
		s := d.status()
		return s.Recorded >= n && s.Queued == 0
	})
}

// stop ends it in order.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	<-d.exited
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Errorf("the daemon ends with code %d", code)
	}
	d.cmd = nil
}

// kill ends it at once.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // perhaps it has ended
	<-d.exited
	d.cmd = nil
}

// record is one of the archive, opened.
type record struct {
	source    string
	number    uint64
	direction byte
	raw       string
	stanza.Message
}

// records opens the whole archive with the officer's identity.
func (d *daemon) records() (list []record, events []ledger.Event) {
	d.t.Helper()
	r, err := sqlite.OpenReader(filepath.Join(d.dir, "archive.db"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	head, err := r.Head()
	if err != nil {
		d.t.Fatal(err)
	}
	epochs := map[uint64]*seal.Epoch{}
	err = r.Others(context.Background(), func(e *store.Entry) error {
		entry, err := ledger.Parse(e.Other, head.ID)
		if err != nil {
			return err
		}
		switch entry := entry.(type) {
		case *ledger.Event:
			events = append(events, *entry)
		case *ledger.Epoch:
			epochs[entry.Number], err = seal.OpenEpoch(head.ID, entry.Number, e.Wraps, d.officer)
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	err = r.Records(context.Background(), store.Query{}, func(e *store.Entry) error {
		h := seal.Header{Source: e.Record.Source, Number: e.Record.Number, Time: e.Record.Time, Tokens: e.Record.Tokens}
		plain, err := epochs[e.Record.Epoch].Open(nil, &h, e.Sealed)
		if err != nil {
			return err
		}
		c, err := seal.ParseContent(plain)
		if err != nil {
			return err
		}
		one := record{source: h.Source, number: h.Number, direction: c.Direction, raw: string(c.Stanza)}
		if err := one.Parse(c.Stanza); err != nil {
			return err
		}
		list = append(list, one)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return list, events
}

// lines of the log that have all words.
func (l *logged) lines(words ...string) (n int) {
	scan := bufio.NewScanner(strings.NewReader(l.String()))
	for scan.Scan() {
		all := true
		for _, w := range words {
			all = all && strings.Contains(scan.Text(), w)
		}
		if all {
			n++
		}
	}
	return n
}

// messages reads the archive as the officer does, each message once, and counts
// the texts that begin with prefix.
func (d *daemon) messages(prefix string) map[string]int {
	d.t.Helper()
	a, err := archive.Open(context.Background(), []string{filepath.Join(d.dir, "archive.db")}, archive.Keys{Identities: []age.Identity{d.officer}}, archive.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer a.Close()
	seen := map[string]int{}
	account, err := review.Utterances(context.Background(), a, &message.Filter{}, func(u *transcript.Utterance) error {
		if strings.HasPrefix(u.Text.Text, prefix) {
			seen[u.Text.Text]++
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if n := account.Unreadable(); n > 0 {
		d.t.Errorf("%d records cannot be read", n)
	}
	return seen
}

// wantOnce wants n different texts, each once.
func (d *daemon) wantOnce(prefix string, n int) {
	d.t.Helper()
	seen := d.messages(prefix)
	if len(seen) != n {
		d.t.Errorf("the officer sees %d messages, want %d", len(seen), n)
	}
	for text, times := range seen {
		if times != 1 {
			d.t.Errorf("the officer sees %q %d times", text, times)
		}
	}
}
