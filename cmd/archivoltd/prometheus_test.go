//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"archivolt/internal/testenv"
)

// contrib is the path of a file that belongs to the project.
func contrib(t testing.TB, names ...string) string {
	return filepath.Join(append([]string{testenv.Root(t), "contrib"}, names...)...)
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// scrape is what Prometheus would get: the text, and each sample by its name
// and labels as they stand there.
func (d *daemon) scrape() (text string, samples map[string]string) {
	d.t.Helper()
	answer, err := http.Get(d.url + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		d.t.Fatalf("%s %v\n%s", answer.Status, err, b)
	}
	samples = map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			samples[line[:at]] = line[at+1:]
		}
	}
	return string(b), samples
}

// TestMetrics scrapes a daemon that has captured from a real ejabberd. The
// archive, read afterwards, tells what the counters have to be.
func TestMetrics(t *testing.T) {
	promtool := testenv.Command(t, "promtool")
	e := testenv.StartEjabberd(t, "anna", "ben")
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain}})
	d.start()
	anna := testenv.StartXMPPClient(t, "anna@"+e.Domain+"/desk", testenv.Password, "127.0.0.1", e.ClientPort)
	ben := testenv.StartXMPPClient(t, "ben@"+e.Domain+"/phone", testenv.Password, "127.0.0.1", e.ClientPort)
	anna.Flood(ben.JID, "chat", "counted", 10)
	ben.Wait(testenv.XMPPMatch{Prefix: "counted", Count: 10})
	d.recorded(20)
	d.until("done with its spool", func() bool { return d.status().Queued == 0 })
	text, samples := d.scrape()
	s := d.status()
	labels := fmt.Sprintf(`address="127.0.0.1:%d",component="archive.example.org",server="ejabberd"`, e.ComponentPort)
	for sample, want := range map[string]string{
		"archivoltd_messages_received_total":                         fmt.Sprint(s.Recorded),
		"archivoltd_messages_recorded_total":                         fmt.Sprint(s.Recorded),
		"archivoltd_messages_redelivered_total":                      "0",
		"archivoltd_messages_refused_total":                          "0",
		"archivoltd_delivery_gaps_total":                             "0",
		"archivoltd_store_failures_total":                            "0",
		"archivoltd_store_failing":                                   "0",
		"archivoltd_spool_entries":                                   "0",
		"archivoltd_spool_max_bytes":                                 "1.7179869184e+10", // 16 GiB
		"archivoltd_spool_full":                                      "0",
		"archivoltd_oldest_unwritten_age_seconds":                    "0",
		"archivoltd_anchors":                                         "1",
		"archivoltd_anchors_failing":                                 "0",
		"archivoltd_anchor_failures_total":                           "0",
		"archivoltd_ready":                                           "1",
		"archivoltd_held":                                            "0",
		"archivoltd_primaries":                                       "0",
		"archivoltd_peers":                                           "0",
		"archivoltd_peers_down":                                      "0",
		"archivoltd_start_condition{condition=\"disorderly_end\"}":   "0",
		"archivoltd_start_condition{condition=\"missing_anchor\"}":   "0",
		"archivoltd_start_condition{condition=\"other_recipients\"}": "0",
		"archivoltd_connection_up{" + labels + "}":                   "1",
		"archivoltd_connection_best_effort{" + labels + "}":          "1",
		"archivoltd_copies_lost_total{" + labels + "}":               "0",
		stanzas(labels, "copy"):                                      fmt.Sprint(s.Recorded),
		stanzas(labels, "refused"):                                   "0",
		stanzas(labels, "malformed"):                                 "0",
		fmt.Sprintf("archivoltd_info{archive=%q,version=%q}", s.Archive, programVersion()): "1",
	} {
		if samples[sample] != want {
			t.Errorf("%s is %q, want %s", sample, samples[sample], want)
		}
	}
	for _, present := range []string{stanzas(labels, "presence"), "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines"} {
		if samples[present] == "" || samples[present] == "0" {
			t.Errorf("%s is %q", present, samples[present])
		}
	}
	if strings.Contains(text, "anna") || strings.Contains(text, "ben@") || strings.Contains(text, "counted") || strings.Contains(text, e.Secret) {
		t.Error("the metrics hold what they must not")
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	checkTable(t, text, "Cisco's format")
	d.stop()
	list, _ := d.records()
	if fmt.Sprint(len(list)) != samples["archivoltd_messages_recorded_total"] {
		t.Errorf("%d records are in the archive, and %s were counted", len(list), samples["archivoltd_messages_recorded_total"])
	}
	d.start()
	d.kill()
	d.start()
	if _, samples := d.scrape(); samples["archivoltd_start_condition{condition=\"disorderly_end\"}"] != "1" {
		t.Errorf("after kill -9: %q", samples)
	}
	d.stop()
}

func stanzas(labels, result string) string {
	before, after, _ := strings.Cut(labels, `,server=`)
	return "archivoltd_stanzas_total{" + before + `,result="` + result + `",server=` + after + "}"
}

// checkTable holds the metrics against the table of the manual: each one is in
// it with its type, and nothing else is, except where it is marked as another
// format's.
func checkTable(t *testing.T, text, other string) {
	t.Helper()
	var exposed, documented []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (archivoltd_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		exposed = append(exposed, m[1]+" "+m[2])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(archivoltd_\\w+)` \\| (\\w+) \\| (?:\\*(.+?)\\.\\* )?").FindAllStringSubmatch(read(t, filepath.Join(testenv.Root(t), "docs", "ops", "metrics.md")), -1) {
		if m[3] != other {
			documented = append(documented, m[1]+" "+m[2])
		}
	}
	slices.Sort(exposed)
	slices.Sort(documented)
	if !slices.Equal(exposed, documented) {
		t.Errorf("the daemon gives\n%s\nand docs/ops/metrics.md has\n%s", strings.Join(exposed, "\n"), strings.Join(documented, "\n"))
	}
}

// rules is a file of Prometheus's rules.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// TestAlerts: Prometheus's own tool takes the rules and their unit tests; each
// alert has a test that makes it fire, and a section of the manual that says
// what to do.
func TestAlerts(t *testing.T) {
	promtool := testenv.Command(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "archivoltd.rules.yml"}, {"test", "rules", "archivoltd.rules_test.yml"}, {"check", "config", "prometheus.yml"}} {
		c := exec.Command(promtool, args...)
		c.Dir = contrib(t, "prometheus")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	var file rules
	if err := yaml.Unmarshal([]byte(read(t, contrib(t, "prometheus", "archivoltd.rules.yml"))), &file); err != nil {
		t.Fatal(err)
	}
	tests := read(t, contrib(t, "prometheus", "archivoltd.rules_test.yml"))
	manual := read(t, filepath.Join(testenv.Root(t), "docs", "ops", "archivoltd.md"))
	n := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			n++
			if !regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+eval_time: \w+\n\s+exp_alerts:`).MatchString(tests) {
				t.Errorf("%s: no test makes it fire", r.Alert)
			}
			if want := "docs/ops/archivoltd.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url is %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
			}
			if !strings.Contains(manual, "\n### "+r.Alert+"\n") {
				t.Errorf("%s has no section in the manual", r.Alert)
			}
			if s := r.Labels["severity"]; r.Annotations["summary"] == "" || s != "critical" && s != "warning" {
				t.Errorf("%s: %v %v", r.Alert, r.Labels, r.Annotations)
			}
		}
	}
	if sections := strings.Count(manual, "\n### Archivolt"); n == 0 || sections != n {
		t.Errorf("%d alerts, and %d sections in the manual", n, sections)
	}
}

// promServer is a real Prometheus of a test's own.
type promServer struct {
	t   testing.TB
	url string
}

// startPrometheus starts one with contrib/prometheus/prometheus.yml and a file
// of rules that scrapes a daemon several times a second.
func startPrometheus(t testing.TB, d *daemon, rules string) *promServer {
	t.Helper()
	program := testenv.Command(t, "prometheus")
	dir := t.TempDir()
	config := read(t, contrib(t, "prometheus", "prometheus.yml"))
	for old, new := range map[string]string{
		"127.0.0.1:9280":         strings.TrimPrefix(d.url, "http://"),
		"scrape_interval: 15s":   "scrape_interval: 200ms\n    scrape_timeout: 200ms",
		"- archivoltd.rules.yml": "- " + rules + "\n\nglobal:\n  evaluation_interval: 200ms",
	} {
		if !strings.Contains(config, old) {
			t.Fatalf("prometheus.yml does not hold %q", old)
		}
		config = strings.ReplaceAll(config, old, new)
	}
	name := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	// It ends when this shell's input does, so that it cannot outlive a test
	// that is killed.
	c := exec.Command("sh", "-c", `"$@" </dev/null & read -r _; kill -9 $!; wait`, "sh",
		program, "--config.file="+name, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	var log logged
	c.Stdout, c.Stderr = &log, &log
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = c.Wait() // it was killed
		if t.Failed() {
			t.Logf("Prometheus has logged:\n%s", &log)
		}
	})
	p := &promServer{t, "http://" + address}
	poll(t, "Prometheus", func() bool {
		answer, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return p
}

// poll waits for a condition.
func poll(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: not in a minute", what)
		}
	}
}

// get asks Prometheus's HTTP API, and tells whether it took the question.
func (p *promServer) get(path string, result any) error {
	p.t.Helper()
	answer, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	var body struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		p.t.Fatal(err)
	}
	if body.Status != "success" {
		return fmt.Errorf("%s", body.Error)
	}
	return json.Unmarshal(body.Data, result)
}

// series is how many a query gives.
func (p *promServer) series(query string) (int, error) {
	var data struct{ Result []json.RawMessage }
	err := p.get("/api/v1/query?query="+url.QueryEscape(query), &data)
	return len(data.Result), err
}

// alerts are those that are pending or firing, which is what each name stands
// for.
func (p *promServer) alerts() map[string]string {
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	if err := p.get("/api/v1/alerts", &data); err != nil {
		p.t.Fatal(err)
	}
	states := map[string]string{}
	for _, a := range data.Alerts {
		states[a.Labels["alertname"]] = a.State
	}
	return states
}

// evaluated is when the first rule was evaluated last.
func (p *promServer) evaluated() time.Time {
	var data struct {
		Groups []struct {
			Rules []struct{ LastEvaluation time.Time }
		}
	}
	if err := p.get("/api/v1/rules", &data); err != nil {
		p.t.Fatal(err)
	}
	return data.Groups[0].Rules[0].LastEvaluation
}

// dashboard is a model of Grafana's, as far as this test reads it.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		Datasource               map[string]string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct {
			RefID, Expr string
			Datasource  map[string]string
		}
	}
}

// TestDashboard: a real Prometheus scrapes a real daemon, takes every query of
// the dashboard and answers it with series, and evaluates every alert. Grafana
// is not in Debian; of the file itself only its form is checked.
func TestDashboard(t *testing.T) {
	var board dashboard
	if err := json.Unmarshal([]byte(read(t, contrib(t, "grafana", "archivoltd.json"))), &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || board.Title == "" || board.SchemaVersion == 0 || len(board.Panels) < 10 {
		t.Errorf("%+v", board)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	var queries []string
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || p.Description == "" || len(p.Targets) == 0 || p.Datasource["uid"] != "${datasource}" {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s lies at %+v", p.Title, g)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if cells[cell] != "" {
					t.Fatalf("%s lies over %s", p.Title, cells[cell])
				}
				cells[cell] = p.Title
			}
		}
		for _, target := range p.Targets {
			if target.RefID == "" || target.Datasource["uid"] != "${datasource}" {
				t.Errorf("%s: %+v", p.Title, target)
			}
			queries = append(queries, target.Expr)
		}
	}
	for _, v := range board.Templating.List {
		if v.Type == "query" {
			m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Definition)
			if m == nil {
				t.Fatalf("variable %+v", v)
			}
			queries = append(queries, fmt.Sprintf(`%s{%s!=""}`, m[1], m[2]))
		}
	}
	variables := strings.NewReplacer("$instance", ".*", "$__rate_interval", "10s")

	e := testenv.StartEjabberd(t, "anna")
	d := newDaemon(t, freePort(t), server{"ejabberd", e.Component, e.Secret, e.ComponentPort, []string{e.Domain}})
	d.start()
	p := startPrometheus(t, d, contrib(t, "prometheus", "archivoltd.rules.yml"))
	for _, q := range queries {
		q = variables.Replace(q)
		if strings.Contains(q, "$") {
			t.Errorf("%s holds a variable that is not known", q)
		}
		poll(t, q, func() bool {
			n, err := p.series(q)
			if err != nil {
				t.Fatalf("%s: %v", q, err)
			}
			return n > 0
		})
	}
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	evaluated := func() bool {
		if err := p.get("/api/v1/rules", &data); err != nil {
			t.Fatal(err)
		}
		for _, r := range data.Groups[0].Rules {
			if r.LastError != "" {
				t.Fatalf("%s: %s", r.Name, r.LastError)
			}
			if r.Health != "ok" {
				return false
			}
		}
		return true
	}
	poll(t, "every rule is evaluated", evaluated)
	if firing := p.alerts(); len(firing) > 0 {
		t.Errorf("all is well, and there are alerts: %s", firing)
	}
	e.Kill()
	poll(t, "an alert", func() bool { return p.alerts()["ArchivoltNotConnected"] != "" })
	d.stop()
	poll(t, "another", func() bool { return p.alerts()["ArchivoltDown"] != "" })
}
