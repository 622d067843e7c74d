package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"archivolt/internal/capture"
	"archivolt/internal/cluster"
	"archivolt/internal/config"
	"archivolt/internal/problem"
)

// startNode starts what looks after the key while the daemon runs, and after
// the other daemons, if the configuration names some.
func startNode(d *config.Daemon, keys *capture.Unlocked, log *slog.Logger) (*cluster.Node, error) {
	c := cluster.Config{Keystore: d.Keystore, Locked: keys == nil, Log: log}
	if keys != nil && keys.Encoder != nil {
		c.InUse = keys.Encoder.Fingerprint()
	}
	if d.Cluster != nil {
		identity, err := cluster.OpenIdentity(d.StateDir)
		if err != nil {
			return nil, err
		}
		c.Role, c.Listen, c.Identity, c.Peers = cluster.Role(d.Cluster.Role), d.Cluster.Listen, identity, peers(d)
	}
	return cluster.Start(c)
}

func peers(d *config.Daemon) (list []cluster.Peer) {
	for _, p := range d.Cluster.Peers {
		list = append(list, cluster.Peer{Address: p.Address, Pin: p.Pin})
	}
	return list
}

// keyPinCmd shows how the other daemons know this one.
type keyPinCmd struct{ configFlag }

func (keyPinCmd) Help() string {
	return `Example:

    archivoltd key pin --config /etc/archivolt/archivoltd.yaml

The pin goes into the configuration of the other daemons of the cluster, with the address of this one. It belongs to the file peer.key in state_dir, which is made if it is not there.`
}

// Run prints the pin.
func (c *keyPinCmd) Run(a *app) error {
	d, err := c.read()
	if err != nil {
		return err
	}
	if d.Format != config.Cisco {
		return notCisco(c.Config)
	}
	identity, err := cluster.OpenIdentity(d.StateDir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, identity.Pin())
	return err
}

// keyJoinCmd makes this daemon's keystore one of the cluster's.
type keyJoinCmd struct{ keystoreFlags }

func (keyJoinCmd) Help() string {
	return `Example:

    archivoltd key join --config /etc/archivolt/archivoltd.yaml

For a daemon with role: secondary. Asks the primary, which must be running, for its keys, and puts them into the keystore, which is made if it is not there. The password is that of the primary's keystore, and becomes, or already is, the one of this. Do it again whenever the primary has a new key.`
}

// Run brings the keys over.
func (c *keyJoinCmd) Run(a *app) error {
	d, err := c.cisco()
	if err != nil {
		return err
	}
	if !isSecondary(d) {
		return problem.New(problem.Usage, c.Config, "this daemon is no secondary, and so has its key from nobody", "write cluster: with role: secondary and the primary among its peers: into the configuration")
	}
	primary, said := cluster.FindPrimary(a.ctx, peers(d))
	if primary == nil {
		return problem.New(problem.Unavailable, "cluster", "none of the peers is the primary: "+strings.Join(said, "; "), "see that archivoltd runs there with role: primary")
	}
	password, err := c.password(a, d.Keystore, a.prompt().Ask, "Encryption password of the primary: ")
	if err != nil {
		return err
	}
	k, err := cluster.Join(a.ctx, *primary, d.Keystore, password)
	if err != nil {
		return err
	}
	defer k.Close()
	all := k.Known().Keys
	last := all[len(all)-1].Fingerprint
	a.log().Info("the keys of the primary are in the keystore", "primary", primary.Address, "key", last)
	_, err = fmt.Fprintf(a.out, "key %s is enabled, as at the primary, %s\nback the keystore up, and start archivoltd (again) with the password\n", last, primary.Address)
	return err
}

func isSecondary(d *config.Daemon) bool {
	return d.Cluster != nil && d.Cluster.Role == config.Secondary
}

// noOtherPrimary refuses to make a key where a peer has one already.
func (c *keyEnableCmd) noOtherPrimary(a *app, d *config.Daemon) error {
	if d.Cluster == nil {
		return nil
	}
	others := peers(d)
	if _, err := os.Stat(filepath.Join(d.StateDir, cluster.IdentityFile)); err == nil { // not made here, for another user perhaps
		self, err := cluster.OpenIdentity(d.StateDir)
		if err != nil {
			return err
		}
		others = slices.DeleteFunc(others, func(p cluster.Peer) bool { return p.Pin == self.Pin() }) // this one may be in its own list
	}
	other, said := cluster.FindPrimary(a.ctx, others)
	if other != nil {
		return problem.New(problem.Failed, "cluster", other.Address+" is the primary already, and a second one is refused", "write role: secondary into "+filepath.Base(c.Config)+", then archivoltd key join")
	}
	for _, s := range said {
		if !strings.HasSuffix(s, ": it is a secondary") {
			fmt.Fprintf(a.err, "archivoltd: whether there is another primary cannot be seen: %s\n", s)
		}
	}
	return nil
}
