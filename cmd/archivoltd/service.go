package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"archivolt/internal/capture"
	"archivolt/internal/cisco/write"
	"archivolt/internal/cluster"
	"archivolt/internal/config"
	"archivolt/internal/keystore"
	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/store"
	"archivolt/internal/store/sqlite"
)

// databasePassword is the environment variable with the password of PostgreSQL.
const databasePassword = "ARCHIVOLT_DB_PASSWORD"

// databaseTimeout is how long PostgreSQL has for one request.
const databaseTimeout = time.Minute

// startService starts the capture into the archive of the configuration; with
// format cisco also the node that says whether it may encrypt.
func (c *runCmd) startService(a *app, d *config.Daemon, p *parts, log *slog.Logger) (*capture.Service, *cluster.Node, error) {
	settings := capture.Config{StateDir: d.StateDir, Recipients: p.recipients, Writer: "archivoltd " + programVersion(), Configuration: d.Hash,
		Anchors: p.anchors, SpoolBytes: int64(d.SpoolMax), Log: log}
	if d.Format == config.Cisco {
		return c.startTable(a, d, p, settings)
	}
	sink, err := openStore(d.Archive)
	if err != nil {
		return nil, nil, err
	}
	service, err := capture.Start(settings, sink)
	return service, nil, err
}

// openStore opens the archive, or makes it where there is none.
func openStore(path string) (*sqlite.Store, error) {
	s, err := openOrCreate(path)
	var known *problem.Error
	var file *fs.PathError
	if err == nil || errors.As(err, &known) || errors.As(err, &file) {
		return s, err
	}
	return nil, &problem.Error{Class: problem.Failed, Object: path, What: "this is not an archive that archivoltd can write to", Err: err,
		Try: "see what it is, and who may write to it and to its folder; if it is a damaged archive, move it away and restore the newest backup, then archivolt verify; if it is something else, name another file with archive:"}
}

func openOrCreate(path string) (*sqlite.Store, error) {
	s, err := sqlite.Open(path)
	if !errors.Is(err, store.ErrNone) {
		return s, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	var id ledger.ID
	rand.Read(id[:])
	if s, err = sqlite.Create(path, id); errors.Is(err, fs.ErrExist) {
		return sqlite.Open(path) // another daemon was faster; one of the two will be refused
	}
	return s, err
}

// startTable starts the capture into a table as Cisco's archiver fills it. The
// spool is sealed for the keystore.
func (c *runCmd) startTable(a *app, d *config.Daemon, p *parts, settings capture.Config) (_ *capture.Service, _ *cluster.Node, err error) {
	settings.Log.Warn(notProtected)
	settings.Recipients, err = seal.ParseRecipients(false, seal.File{Name: d.Keystore, Data: []byte(p.keystore.Recipient)})
	if err != nil {
		return nil, nil, err
	}
	keys, err := c.unlock(a, d, p, settings.Log)
	if err != nil {
		return nil, nil, err
	}
	node, err := startNode(d, keys, settings.Log)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			node.Close()
		}
	}()
	table, err := openTable(a.ctx, d)
	if err != nil {
		return nil, nil, err
	}
	if keys != nil {
		keys.Hold = node.Hold
	}
	service, err := capture.StartTable(settings, table, keys)
	return service, node, err
}

// unlock opens the keystore with the password that was given, or that somebody
// types. Where there is neither, it stays locked: what comes waits in the spool.
func (c *runCmd) unlock(a *app, d *config.Daemon, p *parts, log *slog.Logger) (*capture.Unlocked, error) {
	password, err := givenPassword(a, c.PassphraseFile)
	if err != nil {
		return nil, err
	}
	if prompt := a.prompt(); password == nil && prompt.InTerminal && prompt.ErrTerminal {
		if password, err = prompt.Ask(a.ctx, "Encryption password of "+d.Keystore+": "); err != nil {
			return nil, err
		}
	}
	if len(password) == 0 {
		log.Error("the keystore is locked: no encryption password was given. What is captured waits in the spool, sealed, until a start with the password", "keystore", d.Keystore)
		return nil, nil
	}
	k, err := keystore.Open(d.Keystore, password)
	clear(password)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	identities, err := seal.Identities([]string{k.Identity()}, nil)
	if err != nil {
		return nil, problem.New(problem.Failed, d.Keystore, "the keystore's own identity cannot be read", "restore the file from its backup")
	}
	unlocked := &capture.Unlocked{Spool: identities[0]}
	if all := k.Known().Keys; !all[len(all)-1].Enabled() {
		return unlocked, nil // the node holds it
	}
	key, iv, err := k.Current()
	if err != nil {
		return nil, err
	}
	var domains []string
	for _, x := range d.XMPP {
		for _, domain := range x.LocalDomains {
			domains = append(domains, strings.ToLower(domain))
		}
	}
	unlocked.Encoder = write.NewEncoder(key, iv, write.Options{PerMessage: d.PerMessage, ClearSubjects: d.ClearSubjects, LocalDomains: domains})
	clear(key[:])
	return unlocked, nil
}

// openTable opens the database, and makes table JM where there is none and never
// was one.
func openTable(ctx context.Context, d *config.Daemon) (capture.Table, error) {
	o := write.DatabaseOptions{Create: true, Begun: capture.HasTable(d.StateDir), Password: os.Getenv(databasePassword), Timeout: databaseTimeout}
	if strings.Contains(d.Archive, "://") {
		p, err := write.OpenPostgres(ctx, d.Archive, o)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	if err := os.MkdirAll(filepath.Dir(d.Archive), 0o700); err != nil {
		return nil, err
	}
	s, err := write.OpenSQLite(d.Archive, o)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.NoArchive, d.Archive, "this file is not there, and "+problem.Quote(d.StateDir)+" belongs to one", "put back its newest copy; or give a new archive a state_dir of its own")
	case err != nil:
		return nil, err
	}
	return s, nil
}
