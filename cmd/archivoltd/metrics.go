package main

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"archivolt/internal/xmpp"
)

// measure is one metric without labels, taken from the status.
type measure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*status) float64
}

func measured(kind prometheus.ValueType, name, help string, value func(*status) float64) measure {
	return measure{prometheus.NewDesc("archivoltd_"+name, help, nil, nil), kind, value}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// measures are those of every archive. docs/ops/metrics.md says which counter of
// Cisco's Message Archiver each mirrors.
var measures = []measure{
	measured(prometheus.CounterValue, "messages_received_total", "Copies of messages taken from XMPP servers.", func(s *status) float64 { return float64(s.Received) }),
	measured(prometheus.CounterValue, "messages_recorded_total", "Copies that became durable and were acknowledged.", func(s *status) float64 { return float64(s.Recorded) }),
	measured(prometheus.CounterValue, "messages_redelivered_total", "Copies that were acknowledged and dropped, being durable already.", func(s *status) float64 { return float64(s.Redelivered) }),
	measured(prometheus.CounterValue, "messages_refused_total", "Copies that were not acknowledged: the spool was full, or the daemon was ending.", func(s *status) float64 { return float64(s.Refused) }),
	measured(prometheus.CounterValue, "delivery_gaps_total", "Times that delivery numbers were left out by a server.", func(s *status) float64 { return float64(s.Gaps) }),
	measured(prometheus.CounterValue, "store_writes_total", "Entries moved into the archive.", func(s *status) float64 { return float64(s.Stored) }),
	measured(prometheus.CounterValue, "store_failures_total", "Attempts at writing into the archive that failed.", func(s *status) float64 { return float64(s.StoreFails) }),
	measured(prometheus.GaugeValue, "store_failing", "1 while the archive takes nothing.", func(s *status) float64 { return flag(s.StoreDown) }),
	measured(prometheus.GaugeValue, "spool_entries", "Entries that wait in the spool for the archive.", func(s *status) float64 { return float64(s.Queued) }),
	measured(prometheus.GaugeValue, "spool_bytes", "Bytes of the spool on disk.", func(s *status) float64 { return float64(s.SpoolBytes) }),
	measured(prometheus.GaugeValue, "spool_max_bytes", "Bytes that the spool may have.", func(s *status) float64 { return float64(s.SpoolMax) }),
	measured(prometheus.GaugeValue, "spool_full", "1 while nothing is acknowledged for want of room.", func(s *status) float64 { return flag(s.SpoolFull) }),
	measured(prometheus.GaugeValue, "oldest_unwritten_age_seconds", "Age of the oldest entry that is not in the archive; 0 without one.", func(s *status) float64 { return s.Waiting }),
	measured(prometheus.GaugeValue, "held", "1 while nothing may be encrypted: a second primary, or a key that is not the present one.", func(s *status) float64 { return flag(s.Cluster != nil && s.Cluster.Held != "") }),
	measured(prometheus.GaugeValue, "primaries", "Daemons that say they are the primary of the cluster, this one among them; 0 without a cluster.", func(s *status) float64 {
		if s.Cluster == nil {
			return 0
		}
		return float64(s.Cluster.Primaries)
	}),
	measured(prometheus.GaugeValue, "peers", "Other daemons of the cluster that the configuration names.", func(s *status) float64 {
		if s.Cluster == nil {
			return 0
		}
		return float64(len(s.Cluster.Peers))
	}),
	measured(prometheus.GaugeValue, "peers_down", "Of these, the ones that do not answer.", func(s *status) (n float64) {
		if s.Cluster != nil {
			for _, p := range s.Cluster.Peers {
				n += flag(!p.Up)
			}
		}
		return n
	}),
	measured(prometheus.GaugeValue, "ready", "1 while everything is captured, as /readyz says.", func(s *status) float64 { return flag(s.Ready) }),
}

// ledgerMeasures are those of archives of our own format only: a time of the
// last checkpoint where there are none would be an alarm for good.
var ledgerMeasures = []measure{
	measured(prometheus.GaugeValue, "ledger_entries", "Entries that the last checkpoint covers.", func(s *status) float64 { return float64(s.Size) }),
	measured(prometheus.GaugeValue, "checkpoint_timestamp_seconds", "Time of the last checkpoint; 0 before the first.", func(s *status) float64 {
		if s.Checkpoint.IsZero() {
			return 0
		}
		return float64(s.Checkpoint.UnixMilli()) / 1000
	}),
	measured(prometheus.GaugeValue, "anchors", "Places beside the archive that get each checkpoint.", func(s *status) float64 { return float64(s.Anchors) }),
	measured(prometheus.GaugeValue, "anchors_failing", "Of these, the ones that did not take the last checkpoint.", func(s *status) float64 { return float64(s.AnchorsFailing) }),
	measured(prometheus.CounterValue, "anchor_failures_total", "Times that one did not take a checkpoint.", func(s *status) float64 { return float64(s.AnchorFails) }),
}

// tableMeasures are those of archives in Cisco's format only.
var tableMeasures = []measure{
	measured(prometheus.GaugeValue, "keystore_locked", "1 while the keystore is locked: what is captured waits in the spool for a start with the password.", func(s *status) float64 { return flag(s.Locked) }),
}

// Metrics with labels. None ever holds an address of a user: server, component
// and address are those of the configuration.
var (
	infoDesc       = prometheus.NewDesc("archivoltd_info", "1, with the version of the program and the id of the archive.", []string{"version", "archive"}, nil)
	startDesc      = prometheus.NewDesc("archivoltd_start_condition", "1 where this run found the condition at its start: disorderly_end, missing_anchor, other_recipients.", []string{"condition"}, nil)
	serverLabels   = []string{"server", "component", "address"}
	upDesc         = prometheus.NewDesc("archivoltd_connection_up", "1 while the component is connected to its XMPP server.", serverLabels, nil)
	bestEffortDesc = prometheus.NewDesc("archivoltd_connection_best_effort", "1 where the server neither numbers its copies nor waits for them.", serverLabels, nil)
	lostDesc       = prometheus.NewDesc("archivoltd_copies_lost_total", "Copies that a best-effort server sent and that were not taken: nobody has them.", serverLabels, nil)
	stanzasDesc    = prometheus.NewDesc("archivoltd_stanzas_total", "What the server sent, by what became of it: copy, presence, iq, ignored, refused (not from a local domain), malformed (a parcel that breaks the protocol).",
		append([]string{"result"}, serverLabels...), nil)
)

// exporter gives the status to Prometheus. It keeps no numbers of its own.
type exporter struct{ *running }

// Describe names the metrics.
func (e *exporter) Describe(out chan<- *prometheus.Desc) {
	for _, m := range slices.Concat(measures, ledgerMeasures, tableMeasures) {
		out <- m.desc
	}
	for _, d := range []*prometheus.Desc{infoDesc, startDesc, upDesc, bestEffortDesc, lostDesc, stanzasDesc} {
		out <- d
	}
}

// Collect gives all of them, from one look at the status.
func (e *exporter) Collect(out chan<- prometheus.Metric) {
	s := e.status()
	put := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	own := tableMeasures
	if s.Ledger {
		own = ledgerMeasures
		put(startDesc, prometheus.GaugeValue, flag(s.AnchorMissing), "missing_anchor")
	}
	for _, m := range slices.Concat(measures, own) {
		put(m.desc, m.kind, m.value(&s))
	}
	put(infoDesc, prometheus.GaugeValue, 1, programVersion(), s.Archive)
	put(startDesc, prometheus.GaugeValue, flag(s.Disorderly), "disorderly_end")
	put(startDesc, prometheus.GaugeValue, flag(s.OtherRecipients), "other_recipients")
	for i, l := range e.links {
		labels := []string{l.server, l.component.Name, l.component.Address}
		put(upDesc, prometheus.GaugeValue, flag(s.Servers[i].Up), labels...)
		put(bestEffortDesc, prometheus.GaugeValue, flag(s.Servers[i].BestEffort), labels...)
		n := l.component.Counts()
		put(lostDesc, prometheus.CounterValue, float64(n.Failed), labels...)
		for result, count := range byResult(n) {
			put(stanzasDesc, prometheus.CounterValue, float64(count), append([]string{result}, labels...)...)
		}
	}
}

func byResult(n xmpp.Counts) map[string]uint64 {
	return map[string]uint64{"copy": n.Copies, "presence": n.Presence, "iq": n.IQ, "ignored": n.Ignored, "refused": n.Refused, "malformed": n.Malformed}
}

// metricsPage is what Prometheus scrapes: the exporter's numbers, and those of
// the process and the Go runtime.
func (r *running) metricsPage() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&exporter{r}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4})
}
