package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"archivolt/internal/problem"
)

// DaemonFileName is what the configuration of archivoltd is usually called.
const DaemonFileName = "archivoltd.yaml"

// Daemon is the configuration of archivoltd. File names are taken from its
// folder.
type Daemon struct {
	Archive    string       `yaml:"archive"`     // file of the archive, which the first start makes; with format cisco also a postgres:// URL
	Format     string       `yaml:"format"`      // Archivolt, which is the default, or Cisco
	Recipients []string     `yaml:"recipients"`  // files of who can read: FILE.pub of identities, age recipients, RSA public keys
	AllowMixed bool         `yaml:"allow_mixed"` // recipients that are post-quantum beside others that are not
	XMPP       []XMPPServer `yaml:"xmpp"`        // where messages come from; at least one
	Listen     string       `yaml:"listen"`      // address of the status page, host:port; 127.0.0.1:9280 if left out, "none" for none
	StateDir   string       `yaml:"state_dir"`   // folder for the checkpoint key, the anchor and the spool; on another disk than the archive if there is one
	SpoolMax   Size         `yaml:"spool_max"`   // 16GiB if left out
	Anchors    []string     `yaml:"anchors"`     // files and http(s) URLs that get each checkpoint

	// Of format cisco alone.
	Keystore      string   `yaml:"keystore"`       // file of the key
	PerMessage    bool     `yaml:"per_message"`    // one row for a message, not for each copy
	ClearSubjects bool     `yaml:"clear_subjects"` // fill the column SUBJECT, which is not encrypted
	Cluster       *Cluster `yaml:"cluster"`        // other daemons with the same key; nil for none

	Hash string `yaml:"-"` // SHA-256 of the file, for the ledger
}

// Cluster are the daemons that encrypt with one key.
type Cluster struct {
	Role   string `yaml:"role"`   // Primary or Secondary
	Listen string `yaml:"listen"` // address for the others, host:port
	Peers  []Peer `yaml:"peers"`  // the others
}

// Peer is another daemon.
type Peer struct {
	Address string `yaml:"address"` // of its cluster: listen, host:port
	Pin     string `yaml:"pin"`     // as archivoltd key pin prints it there: 64 hex digits
}

// Roles in a cluster.
const (
	Primary   = "primary"   // makes the key, and gives it to the others
	Secondary = "secondary" // has it from the primary
)

// XMPPServer is one server that sends copies.
type XMPPServer struct {
	Server       string   `yaml:"server"`        // "ejabberd" or "prosody"
	Address      string   `yaml:"address"`       // of its component listener, host:port
	Component    string   `yaml:"component"`     // domain of the component
	SecretFile   string   `yaml:"secret_file"`   // file with the secret that both know
	LocalDomains []string `yaml:"local_domains"` // domains of the server that may send copies
	TLS          bool     `yaml:"tls"`           // the listener speaks TLS from the start
	CAFile       string   `yaml:"ca_file"`       // certificates to trust, PEM; those of the system if left out
}

// Names of servers.
const (
	Ejabberd = "ejabberd" // cannot number its copies nor wait: best effort
	Prosody  = "prosody"  // with mod_archivolt, which waits for each acknowledgement
)

// NoListen is the value of listen that opens no port.
const NoListen = "none"

// Formats of archives.
const (
	Archivolt = "archivolt" // our own: sealed for recipients, docs/format/envelope.md
	Cisco     = "cisco"     // table JM, encrypted with one key: docs/format/cisco.md
)

const defaultListen = "127.0.0.1:9280"

// Size is a number of bytes, written as 500MiB or 16GiB.
type Size int64

var sizePattern = regexp.MustCompile(`^([0-9]{1,6}) ?([KMGT]i?B)$`)

// UnmarshalYAML reads a size.
func (s *Size) UnmarshalYAML(node *yaml.Node) error {
	m := sizePattern.FindStringSubmatch(node.Value)
	if m == nil {
		return fmt.Errorf("line %d: %q is no size such as 16GiB", node.Line, node.Value)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // six digits
	base := int64(1000)
	if strings.Contains(m[2], "i") {
		base = 1024
	}
	for range strings.IndexByte("KMGT", m[2][0]) + 1 {
		n *= base
	}
	*s = Size(n)
	return nil
}

// minSpool is the least bytes that a spool may have: some large messages.
const minSpool = 64 << 20

// ParseDaemon reads the configuration of archivoltd; name is its file.
func ParseDaemon(name string, data []byte) (*Daemon, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	c := &Daemon{Format: Archivolt, Listen: defaultListen}
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, problem.New(problem.Usage, name, inWords(err), "compare it with docs/ops/archivoltd.md, and with docs/ops/cisco.md for format: cisco")
	}
	sum := sha256.Sum256(data)
	c.Hash = hex.EncodeToString(sum[:])
	if what, try := c.check(); what != "" {
		return nil, problem.New(problem.Usage, name, what, try)
	}
	dir := filepath.Dir(name)
	local := func(file *string) {
		if *file != "" && !filepath.IsAbs(*file) && !strings.Contains(*file, "://") {
			*file = filepath.Join(dir, *file)
		}
	}
	local(&c.Archive)
	local(&c.StateDir)
	local(&c.Keystore)
	for _, list := range [][]string{c.Recipients, c.Anchors} {
		for i := range list {
			local(&list[i])
		}
	}
	for i := range c.XMPP {
		local(&c.XMPP[i].SecretFile)
		local(&c.XMPP[i].CAFile)
	}
	return c, nil
}

// check returns the first thing that is wrong, and what mends it.
func (c *Daemon) check() (what, try string) {
	switch {
	case c.Archive == "":
		return "archive: is missing", "name the file of the archive, such as /var/lib/archivolt/archive.db"
	case c.Format == Archivolt:
		what, try = c.checkArchivolt()
	case c.Format == Cisco:
		what, try = c.checkCisco()
	default:
		return "format: " + c.Format + " is not one that this version writes", "write archivolt, which is the default, or cisco"
	}
	if what != "" {
		return what, try
	}
	switch {
	case c.StateDir == "":
		return "state_dir: is missing", "name a folder that only archivoltd can write to, such as /var/lib/archivolt/state"
	case c.SpoolMax != 0 && c.SpoolMax < minSpool:
		return "spool_max: is too small", "give it at least 64MiB; 16GiB is usual"
	case len(c.XMPP) == 0:
		return "xmpp: is missing: there is no server to capture from", "add one with server, address, component, secret_file and local_domains"
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil && c.Listen != NoListen {
		return "listen: " + c.Listen + " is no address", "write it as 127.0.0.1:9280, or none"
	}
	for i, a := range c.Anchors {
		if !strings.Contains(a, "://") {
			continue
		}
		u, err := url.Parse(a)
		if err == nil && u.User != nil || err != nil && strings.Contains(a, "@") { // which must not be shown
			return fmt.Sprintf("anchors: URL %d holds a user or a password, which the log would show", i+1),
				"leave it out, and have checkpoints taken from this machine's address; if the place insists on a password, name a proxy on this machine that adds it, such as http://127.0.0.1:8080/"
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "anchors: " + a + " is neither a file nor an http(s) URL", "correct it"
		}
	}
	for i := range c.XMPP {
		x := &c.XMPP[i]
		at := fmt.Sprintf("xmpp: server %d: ", i+1)
		host, _, err := net.SplitHostPort(x.Address)
		switch {
		case x.Server != Ejabberd && x.Server != Prosody:
			return at + "server: is neither ejabberd nor prosody", "write the one that it is"
		case err != nil:
			return at + "address: is no host:port", "name the server's component listener, such as 127.0.0.1:5347"
		case x.Component == "":
			return at + "component: is missing", "name the component's domain as the server has it, such as archive.example.org"
		case x.SecretFile == "":
			return at + "secret_file: is missing", "put the component's secret into a file that only archivoltd can read, and name it"
		case len(x.LocalDomains) == 0:
			return at + "local_domains: is missing", "name the domains of the server whose messages are captured, such as [example.org, conference.example.org]"
		case x.CAFile != "" && !x.TLS:
			return at + "ca_file: is given without tls: true", "add it, or leave ca_file out"
		case !x.TLS && !loopback(host):
			return at + "the messages would cross the network in clear: component connections have no encryption of their own (XEP-0114)",
				"set tls: true with a listener that speaks TLS, or run archivoltd on the server's machine, or go through a tunnel to 127.0.0.1"
		}
		for _, y := range c.XMPP[:i] {
			if x.Address == y.Address && x.Component == y.Component {
				return at + "is named twice", "remove it: a second connection of one component takes copies away from the first"
			}
		}
	}
	return "", ""
}

func (c *Daemon) checkArchivolt() (what, try string) {
	switch {
	case strings.Contains(c.Archive, "://"):
		return "archive: is a URL, and archives of Archivolt's own format are files", "name a file, such as /var/lib/archivolt/archive.db"
	case len(c.Recipients) == 0:
		return "recipients: is missing: there is nobody to seal for", "name the officer's FILE.pub, which archivolt identity new makes"
	case c.Keystore != "" || c.PerMessage || c.ClearSubjects || c.Cluster != nil:
		return "keystore:, per_message:, clear_subjects: and cluster: are for format: cisco alone", "remove them, or write format: cisco"
	}
	return "", ""
}

func (c *Daemon) checkCisco() (what, try string) {
	switch {
	case c.Keystore == "":
		return "keystore: is missing: format: cisco encrypts with a key, which lies there", "name a file, such as /var/lib/archivolt/keystore, and make it with archivoltd key enable"
	case len(c.Recipients) > 0 || c.AllowMixed:
		return "recipients: and allow_mixed: mean nothing with format: cisco: who has the key can read", "remove them, or leave format: cisco out"
	case len(c.Anchors) > 0:
		return "anchors: mean nothing with format: cisco, which has no checkpoints", "remove them, or leave format: cisco out"
	}
	if c.Cluster != nil {
		if what, try := c.Cluster.check(); what != "" {
			return "cluster: " + what, try
		}
	}
	if !strings.Contains(c.Archive, "://") {
		return "", ""
	}
	u, err := url.Parse(c.Archive)
	if err != nil {
		return "archive: is no URL that can be read", "write it as postgres://user@host:5432/tcmadb?sslmode=verify-full"
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") || u.Query().Has("sslpassword") {
		return "archive: holds a password", "leave it out, and set the environment variable ARCHIVOLT_DB_PASSWORD instead"
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		return "", ""
	case "sqlserver", "oracle":
		return "archive: " + u.Scheme + ":// is read by archivolt, and not written by this version", "name a postgres:// URL, or a file"
	}
	return "archive: " + u.Scheme + ":// is no kind of database that this version writes to", "name a postgres:// URL, or a file"
}

var pinPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (c *Cluster) check() (what, try string) {
	if c.Role != Primary && c.Role != Secondary {
		return "role: is neither primary nor secondary", "write primary on the one machine where the key is made, and secondary on the others"
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" || port == "0" {
		return "listen: is no host:port", "name an address of this machine that the others reach, such as 10.0.0.1:9281"
	}
	if c.Role == Secondary && len(c.Peers) == 0 {
		return "peers: is missing: there is nobody to have the key from", "name address and pin of the primary"
	}
	for i, p := range c.Peers {
		at := fmt.Sprintf("peer %d: ", i+1)
		if host, port, err := net.SplitHostPort(p.Address); err != nil || host == "" || port == "" {
			return at + "address: is no host:port", "name what listen: in the cluster: of that daemon has"
		}
		if !pinPattern.MatchString(p.Pin) {
			return at + "pin: is none: 64 digits of 0-9 and a-f", "archivoltd key pin prints it on that machine"
		}
		for _, other := range c.Peers[:i] {
			if p.Address == other.Address {
				return at + "is named twice", "remove it"
			}
		}
	}
	return "", ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
