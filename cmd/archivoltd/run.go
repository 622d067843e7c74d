package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"archivolt/internal/capture"
	"archivolt/internal/config"
	"archivolt/internal/keystore"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/store"
	"archivolt/internal/xmpp"
)

// drain is how long the daemon has at its end to bring what it has
// acknowledged into the store; what is left waits in the spool.
const drain = 20 * time.Second

// grace is how long the components have at the end for copies that are on
// their way; they take five seconds of it at most unless nothing is taken.
const grace = 7 * time.Second

// runCmd captures.
type runCmd struct {
	configFlag
	PassphraseFile string `placeholder:"FILE" help:"With format: cisco, file whose first line is the encryption password of the keystore."`
}

func (runCmd) Help() string {
	return `Example:

    archivoltd run --config /etc/archivolt/archivoltd.yaml

The first start makes the archive and state_dir. Logs go to standard error, one JSON object on each line, and never hold a message. The signal TERM ends the daemon in order: what was acknowledged is brought into the archive first.`
}

// Run captures until the context ends.
func (c *runCmd) Run(a *app) error {
	d, err := c.read()
	if err != nil {
		return err
	}
	parts, err := assemble(d, c.Config)
	if err != nil {
		return err
	}
	return c.capture(a, d, parts)
}

// capture runs the parts until the context ends, or one of them.
func (c *runCmd) capture(a *app, d *config.Daemon, parts *parts) (err error) {
	log := slog.New(slog.NewJSONHandler(a.err, nil))
	var listener net.Listener
	if d.Listen != config.NoListen {
		if listener, err = net.Listen("tcp", d.Listen); err != nil {
			return problem.New(problem.Failed, "listen: "+d.Listen, "the address cannot be used: "+reason(err), "see what else listens there, or give listen: another")
		}
		defer listener.Close()
	}
	service, node, err := c.startService(a, d, parts, log)
	if err != nil {
		return err
	}
	if node != nil {
		defer node.Close()
	}
	connected := make([]*link, len(parts.components))
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	var components sync.WaitGroup
	failed := make(chan error, len(parts.components))
	for i, component := range parts.components {
		component.Log = log.With("server", d.XMPP[i].Server) // which names itself
		connected[i] = &link{Service: service, component: component, server: d.XMPP[i].Server}
		components.Go(func() {
			if err := component.Run(ctx, connected[i]); err != nil {
				log.Error("the component ends", "component", component.Name, "error", err)
				failed <- err
				cancel()
			}
		})
	}
	all := &running{service, node, connected, log}
	if listener != nil {
		server := &http.Server{Handler: all.pages(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
		go server.Serve(listener) // until it is closed
		defer server.Close()
	}
	tellEnding := telling(log, all.status)
	select {
	case <-ctx.Done():
	case <-service.Done():
	}
	log.Info("stopping")
	tellEnding()
	cancel()
	// What the servers have sent already is taken first. A spool that is full
	// holds a component up for good, and only the service's end frees it.
	ended := make(chan struct{})
	go func() { components.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-service.Done():
	case <-time.After(grace):
	}
	ending, done := context.WithTimeout(context.Background(), drain)
	defer done()
	if err := service.Stop(ending); err != nil {
		if errors.Is(err, store.ErrFenced) {
			return problem.New(problem.Failed, d.Archive, err.Error(), "run only one archivoltd for one archive; what was acknowledged here is in "+d.StateDir+" and comes into the archive when this one is started again")
		}
		return err
	}
	log.Info("stopped", "not_yet_stored", service.Left())
	select {
	case err := <-failed: // nothing was captured from there: this was no end that somebody asked for
		return err
	default:
		return nil
	}
}

// link is a service that knows which server's connection it is told of.
type link struct {
	*capture.Service
	component  *xmpp.Component
	server     string
	mu         sync.Mutex
	connection string // that is up; empty without
}

// Connected notes that the server is there.
func (l *link) Connected(connection string) {
	l.mu.Lock()
	l.connection = connection
	l.mu.Unlock()
	l.Service.Connected(l.label(connection))
}

// Lost notes that it is gone.
func (l *link) Lost(connection string, err error) {
	l.mu.Lock()
	l.connection = ""
	l.mu.Unlock()
	l.Service.Lost(l.label(connection), err)
}

// Deliver passes copies on.
func (l *link) Deliver(connection string, copies []xmpp.Copy, done func(error)) {
	l.Service.Deliver(l.label(connection), copies, done)
}

// label names a connection in the ledger.
func (l *link) label(connection string) string {
	return l.server + "/" + l.component.Name + "/" + connection
}

func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connection != ""
}

// parts is what a configuration names, read.
type parts struct {
	recipients *seal.Recipients // nil with format cisco
	keystore   *keystore.Public // with format cisco
	components []*xmpp.Component
	anchors    []capture.Anchor
}

// assemble reads the files that the configuration in file names, and checks what only
// their users can.
func assemble(d *config.Daemon, file string) (*parts, error) {
	p := &parts{}
	var files []seal.File
	for _, name := range d.Recipients {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, seal.File{Name: name, Data: data})
	}
	var err error
	if d.Format == config.Cisco {
		if p.keystore, err = keystore.Inspect(d.Keystore); errors.Is(err, fs.ErrNotExist) {
			err = noKeystore(d, file)
		}
	} else {
		p.recipients, err = seal.ParseRecipients(d.AllowMixed, files...)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range d.Anchors {
		if strings.Contains(a, "://") {
			p.anchors = append(p.anchors, capture.HTTPAnchor(a))
		} else {
			p.anchors = append(p.anchors, capture.FileAnchor(a))
		}
	}
	for i := range d.XMPP {
		c, err := component(&d.XMPP[i])
		if err == nil {
			err = c.Check()
		}
		if err != nil {
			return nil, err
		}
		p.components = append(p.components, c)
	}
	return p, nil
}

func component(x *config.XMPPServer) (*xmpp.Component, error) {
	secret, err := os.ReadFile(x.SecretFile)
	if err != nil {
		return nil, err
	}
	if secret = bytes.TrimSpace(secret); len(secret) == 0 {
		return nil, problem.New(problem.Usage, x.SecretFile, "the secret is empty", "write the component's secret into it, the same as in the server's configuration")
	}
	c := &xmpp.Component{Address: x.Address, Name: x.Component, Secret: secret, Domains: x.LocalDomains}
	if !x.TLS {
		return c, nil
	}
	host, _, err := net.SplitHostPort(x.Address)
	if err != nil {
		return nil, err
	}
	c.TLS = &tls.Config{ServerName: host}
	if x.CAFile != "" {
		pem, err := os.ReadFile(x.CAFile)
		if err != nil {
			return nil, err
		}
		c.TLS.RootCAs = x509.NewCertPool()
		if !c.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, problem.New(problem.Usage, x.CAFile, "there is no certificate in this file", "name a file with the PEM certificates to trust")
		}
	}
	return c, nil
}

// checkCmd checks a configuration.
type checkCmd struct{ configFlag }

// Run reads everything that run would, and says what it means.
func (c *checkCmd) Run(a *app) error {
	d, err := c.read()
	if err != nil {
		return err
	}
	p, err := assemble(d, c.Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "archive %s, state %s, configuration %s\n", d.Archive, d.StateDir, d.Hash[:16])
	if p.keystore != nil {
		last := p.keystore.Keys[len(p.keystore.Keys)-1]
		if !last.Enabled() {
			return problem.New(problem.Failed, d.Keystore, "encryption is disabled", "archivoltd key enable --config "+problem.Quote(c.Config))
		}
		fmt.Fprintf(a.out, "encrypted with the key %s of %s\n  %s\n", last.Fingerprint, d.Keystore, notProtected)
		if d.Cluster != nil {
			fmt.Fprintf(a.out, "%s of %d daemons with this key, answers the others at %s\n", d.Cluster.Role, 1+len(d.Cluster.Peers), d.Cluster.Listen)
		}
	} else {
		fmt.Fprintf(a.out, "sealed for %d recipients, class %s\n", len(p.recipients.Fingerprints()), p.recipients.Class())
		for _, file := range p.recipients.NotPostQuantum() {
			fmt.Fprintf(a.out, "  not post-quantum, because of %s\n", file)
		}
	}
	for i, x := range d.XMPP {
		how := "each copy is acknowledged once it is durable"
		if x.Server == config.Ejabberd {
			how = "best effort: ejabberd does not wait, and what it sends while archivoltd is away is lost"
		}
		fmt.Fprintf(a.out, "%s at %s as %s for %s: %s\n", x.Server, x.Address, p.components[i].Name, strings.Join(x.LocalDomains, ", "), how)
	}
	if len(d.Anchors) == 0 && p.keystore == nil {
		fmt.Fprintf(a.out, "no anchors: who can change both the archive and state_dir can cut off its end without a trace\n")
	}
	return nil
}

// reason is an error of the network without the address, which was named.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}
