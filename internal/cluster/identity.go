package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"archivolt/internal/durable"
	"archivolt/internal/problem"
)

// IdentityFile is the name of an identity's file in the folder of the daemon's
// state: an Ed25519 key as PKCS #8 (RFC 8410), PEM.
const IdentityFile = "peer.key"

// Identity is the key by which the others know this daemon. It opens no
// message.
type Identity struct {
	certificate tls.Certificate
	pin         string
}

// Pin is the SHA-256 of the public key's SubjectPublicKeyInfo (RFC 7469 section
// 2.4), in hex.
func (i *Identity) Pin() string { return i.pin }

// OpenIdentity reads the identity of the daemon with the folder stateDir, and
// makes it, with the folder, where there is none.
func OpenIdentity(stateDir string) (*Identity, error) {
	path := filepath.Join(stateDir, IdentityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if data, err = makeIdentity(path); errors.Is(err, fs.ErrExist) {
			data, err = os.ReadFile(path) // another command was faster
		}
	}
	if err != nil {
		return nil, err
	}
	damaged := problem.New(problem.Failed, path, "this is no Ed25519 key", "restore it from its backup; or move it away, let archivoltd key pin make another, and give the other daemons the new pin")
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, damaged
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, damaged
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, damaged
	}
	return newIdentity(private)
}

func makeIdentity(path string) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return data, durable.WriteNew(path, data)
}

// newIdentity makes the certificate around a key. Only the key counts: nothing
// in it is looked at, and it does not end (RFC 5280 section 4.1.2.5).
func newIdentity(private ed25519.PrivateKey) (*Identity, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pinOf(certificate)}, nil
}

func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// tlsConfig is what both sides demand. Both are this program, so nothing older
// is needed; what somebody records today stays closed when there are quantum
// computers.
func tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}
}

// server is the configuration of who is asked.
func (i *Identity) server() *tls.Config {
	c := tlsConfig()
	c.Certificates = []tls.Certificate{i.certificate}
	return c
}

// errPin says that a peer has another key than it should.
var errPin = errors.New("it has another pin: it is not the daemon that the configuration names, or has a new identity")

// pinned is the configuration of who asks: it speaks with the key of the pin
// and nobody else.
func pinned(pin string) *tls.Config {
	c := tlsConfig()
	c.InsecureSkipVerify = true // names and authorities do not count; the pin does
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if pinOf(s.PeerCertificates[0]) != pin {
			return errPin
		}
		return nil
	}
	return c
}
