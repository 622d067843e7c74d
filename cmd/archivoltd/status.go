package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"archivolt/internal/capture"
	"archivolt/internal/cluster"
	"archivolt/internal/config"
	"archivolt/internal/problem"
)

// status is what /status says.
type status struct {
	capture.Status
	Servers []serverStatus  `json:"servers"`
	Cluster *cluster.Status `json:"cluster,omitempty"` // with format: cisco
	Ready   bool            `json:"ready"`
	Why     []string        `json:"why,omitempty"` // it is not
}

// serverStatus is one connection.
type serverStatus struct {
	Server     string `json:"server"`
	Component  string `json:"component"`
	Up         bool   `json:"up"`
	BestEffort bool   `json:"best_effort"` // copies may be lost without a trace
}

// running is what a daemon consists of while it runs.
type running struct {
	service *capture.Service
	node    *cluster.Node // nil but with format: cisco
	links   []*link
	log     *slog.Logger
}

// status looks at all of it.
func (r *running) status() status {
	s := status{Status: r.service.Status(), Servers: []serverStatus{}}
	why := func(format string, args ...any) { s.Why = append(s.Why, fmt.Sprintf(format, args...)) }
	for _, l := range r.links {
		s.Servers = append(s.Servers, serverStatus{l.server, l.component.Name, l.up(), l.server == config.Ejabberd})
		if !l.up() {
			why("%s is not connected", l.component.Name)
		}
	}
	if s.SpoolFull {
		why("the spool is full")
	}
	if r.node != nil {
		c := r.node.Status()
		s.Cluster = &c
	}
	if s.Locked {
		why("the keystore is locked: start with its password")
	}
	switch {
	case s.Cluster != nil && s.Cluster.Held != "":
		why("held: %s", s.Cluster.Held)
	case s.StoreDown && !s.Locked:
		why("the store takes nothing")
	}
	if err := r.service.Err(); err != nil {
		why("it is stopping")
	}
	s.Ready = len(s.Why) == 0
	return s
}

// pages are what listen serves: whether the process is well, whether it
// captures, and the numbers, also for Prometheus. None shows anything of a
// message.
func (r *running) pages() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, ok bool, body func(io.Writer) error) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = body(w) // who asked has left
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, r.service.Err() == nil, func(w io.Writer) error { _, err := io.WriteString(w, "archivoltd\n"); return err })
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := r.status()
		answer(w, s.Ready, func(w io.Writer) error {
			for _, why := range s.Why {
				if _, err := fmt.Fprintln(w, why); err != nil {
					return err
				}
			}
			if s.Ready {
				_, err := io.WriteString(w, "ready\n")
				return err
			}
			return nil
		})
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer(w, true, func(w io.Writer) error { return json.NewEncoder(w).Encode(r.status()) })
	})
	mux.Handle("GET /metrics", r.metricsPage())
	return mux
}

// statusCmd asks a running daemon.
type statusCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print what the daemon says, as JSON."`
}

// Run prints the status; a daemon that does not capture is exit code 1.
func (c *statusCmd) Run(a *app) error {
	d, err := c.read()
	if err != nil {
		return err
	}
	if d.Listen == config.NoListen {
		return problem.New(problem.Usage, c.Config, "listen: none leaves nobody to ask", "give it an address, such as 127.0.0.1:9280")
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get("http://" + d.Listen + "/status")
	if err != nil {
		return problem.New(problem.Unavailable, "http://"+d.Listen+"/status", "archivoltd does not answer: "+reason(err), "see whether it runs, and what it has logged")
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	var s status
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		return problem.New(problem.Failed, "http://"+d.Listen+"/status", "this is not archivoltd", "see what listens there")
	}
	if c.JSON {
		_, err := a.out.Write(body)
		return err
	}
	s.print(a.out)
	if !s.Ready {
		return problem.New(problem.Failed, "", "archivoltd does not capture everything at this moment", "mend what stands above")
	}
	return nil
}

func (s *status) print(w io.Writer) {
	fmt.Fprintf(w, "archive %s\n", s.Archive)
	for _, x := range s.Servers {
		state := "connected"
		if !x.Up {
			state = "NOT CONNECTED"
		}
		if x.BestEffort {
			state += ", best effort"
		}
		fmt.Fprintf(w, "  %s %s: %s\n", x.Server, x.Component, state)
	}
	fmt.Fprintf(w, "received %d, recorded %d, repeated %d, refused %d, gaps %d\n", s.Received, s.Recorded, s.Redelivered, s.Refused, s.Gaps)
	fmt.Fprintf(w, "spool %d of %d bytes, oldest entry not yet in the archive %.0f s\n", s.SpoolBytes, s.SpoolMax, s.Waiting)
	if !s.Checkpoint.IsZero() {
		fmt.Fprintf(w, "last checkpoint %s over %d entries\n", s.Checkpoint.UTC().Format(time.RFC3339), s.Size)
	}
	if s.Cluster != nil {
		s.printCluster(w)
	}
	for _, why := range s.Why {
		fmt.Fprintf(w, "NOT READY: %s\n", why)
	}
	if s.Cluster != nil && s.Cluster.Try != "" {
		fmt.Fprintf(w, "  try: %s\n", s.Cluster.Try)
	}
}

func (s *status) printCluster(w io.Writer) {
	c := s.Cluster
	if c.Role == cluster.Alone {
		return
	}
	fmt.Fprintf(w, "%s with the key %s\n", c.Role, cmp.Or(c.Key, "DISABLED"))
	for _, p := range c.Peers {
		state := p.Why
		if p.Up {
			state = fmt.Sprintf("%s with the key %s", p.Role, cmp.Or(p.Key, "DISABLED"))
		}
		fmt.Fprintf(w, "  %s: %s\n", p.Address, state)
	}
	if c.Primaries > 1 {
		fmt.Fprintf(w, "THERE ARE %d PRIMARIES\n", c.Primaries)
	}
}
