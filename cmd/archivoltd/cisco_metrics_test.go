//go:build unix

package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"archivolt/internal/testenv"
)

// TestCiscoMetrics has a real Prometheus scrape a daemon with Cisco's format
// whose keystore is locked, then one that runs well, then one whose PostgreSQL
// was killed, and mends it. At each stage the numbers are what psql and the
// messages that were sent say, and exactly the alerts are there that mean
// something.
func TestCiscoMetrics(t *testing.T) {
	pg := testenv.StartPostgres(t, "fsync=on")
	pg.SQL("postgres", "CREATE DATABASE im")
	e := testenv.StartEjabberd(t, "anna", "ben")
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain}})
	d.useCisco(pg.URL("postgres", "im"))
	// Who waits a minute before an alert fires waits a second here.
	rules := filepath.Join(t.TempDir(), "rules.yml")
	text := regexp.MustCompile(`for: \d+[mh]`).ReplaceAllString(read(t, contrib(t, "prometheus", "archivoltd.rules.yml")), "for: 1s")
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// alerts waits until exactly these are there, and still are after every rule
	// was evaluated again twice, when any that is pending fires.
	var p *promServer
	alerts := func(stage string, want map[string]string) {
		t.Helper()
		var got map[string]string
		deadline, since := time.Now().Add(time.Minute), time.Time{}
		poll(t, stage, func() bool {
			got = p.alerts()
			if !maps.Equal(got, want) {
				since = time.Time{}
			} else if since.IsZero() {
				since = p.evaluated()
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the alerts are %v, want %v", stage, got, want)
			}
			return !since.IsZero() && p.evaluated().After(since.Add(3*time.Second))
		})
	}
	samples := func(stage string, want map[string]string) map[string]string {
		t.Helper()
		text, got := d.scrape()
		for name, value := range want {
			if got["archivoltd_"+name] != value {
				t.Errorf("%s: %s is %q, want %s", stage, name, got["archivoltd_"+name], value)
			}
		}
		checkTable(t, text, "Our format")
		if strings.Contains(text, `condition="missing_anchor"`) || strings.Contains(text, "anna") {
			t.Errorf("%s: the metrics hold what they must not", stage)
		}
		return got
	}
	readyz := func() string {
		t.Helper()
		answer, err := http.Get(d.url + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(answer.StatusCode, " ", string(body))
	}

	const n = 10 // messages at each stage, each copied twice
	d.launch()
	d.until("connected", func() bool { return d.status().Connected == 1 })
	p = startPrometheus(t, d, rules)
	anna := testenv.StartXMPPClient(t, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
	recorded := uint64(0) // in this run
	wave := func(prefix string) {
		t.Helper()
		anna.Flood(ben.JID, "chat", prefix, n)
		ben.Wait(testenv.XMPPMatch{Prefix: prefix, Count: n})
		recorded += 2 * n
		d.recorded(recorded)
	}
	wave("locked ")
	alerts("locked", map[string]string{"ArchivoltKeystoreLocked": "firing"})
	// Beside the copies five notes wait: created, started, configuration, the
	// key of the spool, connected.
	samples("locked", map[string]string{"keystore_locked": "1", "store_failing": "1", "ready": "0", "messages_recorded_total": fmt.Sprint(2 * n), "spool_entries": fmt.Sprint(2*n + 5),
		"store_writes_total": "0", "spool_full": "0", `start_condition{condition="disorderly_end"}`: "0"})
	if got := readyz(); got != "503 the keystore is locked: start with its password\n" {
		t.Errorf("locked: %s", got)
	}
	if s := d.status(); !s.Locked || s.Ready {
		t.Errorf("locked: %+v", s)
	}
	out, _, code := archivoltd(t, "status", "--config", d.config())
	if code != 1 || !strings.Contains(out, "NOT READY: the keystore is locked") {
		t.Errorf("status ends with %d and prints\n%s", code, out)
	}
	d.stop()

	d.env = []string{"ARCHIVOLT_PASSPHRASE=" + tablePassword}
	spooled := func() uint64 {
		t.Helper()
		number, err := strconv.ParseUint(pg.SQL("im", "SELECT spool FROM archivolt_head"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	d.start()
	d.until("done with its spool", func() bool { return d.status().Queued == 0 })
	alerts("unlocked", map[string]string{"ArchivoltDisorderlyEnd": "firing"}) // it ended with messages in its spool
	samples("unlocked", map[string]string{"keystore_locked": "0", "store_failing": "0", "spool_entries": "0", "store_writes_total": fmt.Sprint(spooled()), `start_condition{condition="disorderly_end"}`: "1"})
	d.stop()
	before := spooled()
	d.start()
	recorded = 0
	wave("well ")
	d.until("done with its spool", func() bool { return d.status().Queued == 0 })
	alerts("well", map[string]string{})
	samples("well", map[string]string{"keystore_locked": "0", "store_failing": "0", "store_failures_total": "0", "ready": "1", "messages_recorded_total": fmt.Sprint(2 * n), "spool_entries": "0",
		"oldest_unwritten_age_seconds": "0", "store_writes_total": fmt.Sprint(spooled() - before), `start_condition{condition="disorderly_end"}`: "0"})
	if rows := pg.SQL("im", "SELECT count(*) FROM jm"); rows != fmt.Sprint(4*n) {
		t.Errorf("%s rows", rows)
	}
	if got := readyz(); got != "200 ready\n" {
		t.Errorf("well: %s", got)
	}

	pg.Kill()
	began := time.Now()
	wave("away ")
	alerts("away", map[string]string{"ArchivoltStoreFailing": "firing"})
	got := samples("away", map[string]string{"keystore_locked": "0", "store_failing": "1", "ready": "0", "messages_recorded_total": fmt.Sprint(4 * n), "spool_entries": fmt.Sprint(2 * n)})
	most := time.Since(began).Seconds()
	if age, err := strconv.ParseFloat(got["archivoltd_oldest_unwritten_age_seconds"], 64); err != nil || age < 1 || age > most {
		t.Errorf("the oldest message has waited %v s of %v, %v", age, most, err)
	}
	if failures, err := strconv.Atoi(got["archivoltd_store_failures_total"]); err != nil || failures == 0 {
		t.Errorf("%d failures, %v", failures, err)
	}
	if got := readyz(); got != "503 the store takes nothing\n" {
		t.Errorf("away: %s", got)
	}
	pg.Start()
	d.until("done with its spool", func() bool { return d.status().Queued == 0 })
	alerts("mended", map[string]string{})
	samples("mended", map[string]string{"store_failing": "0", "ready": "1", "spool_entries": "0", "oldest_unwritten_age_seconds": "0", "store_writes_total": fmt.Sprint(spooled() - before)})
	if rows := pg.SQL("im", "SELECT count(*) FROM jm"); rows != fmt.Sprint(6*n) {
		t.Errorf("%s rows", rows)
	}
	d.stop()
	alerts("stopped", map[string]string{"ArchivoltDown": "firing"})
}
