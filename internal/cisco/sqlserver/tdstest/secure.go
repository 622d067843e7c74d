package tdstest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// selfSigned makes a certificate for 127.0.0.1 that nobody trusts.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// CertificatePEM is the server's certificate, for a file that a client trusts.
func (s *Server) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate.Certificate[0]})
}

// startTLS does the handshake, whose messages travel in packets of type
// PRELOGIN; afterwards packets travel in TLS records.
func (c *client) startTLS() error {
	w := &wrapped{Conn: c.raw, packets: true}
	// TLS 1.3 would send tickets after the handshake, when nothing is wrapped
	// any more on one side and still is on the other.
	conn := tls.Server(w, &tls.Config{Certificates: []tls.Certificate{c.server.certificate}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12})
	if err := conn.Handshake(); err != nil {
		return err
	}
	w.packets = false
	c.transport = conn
	return nil
}

// wrapped is a connection whose bytes travel in packets, as long as packets is
// set.
type wrapped struct {
	net.Conn
	packets bool
	rest    bytes.Buffer
}

func (w *wrapped) Read(p []byte) (int, error) {
	if w.rest.Len() == 0 && w.packets {
		m, err := readMessage(w.Conn)
		if err != nil {
			return 0, err
		}
		w.rest.Write(m.data)
	}
	if w.rest.Len() > 0 {
		return w.rest.Read(p)
	}
	return w.Conn.Read(p)
}

// Write writes bytes, as a packet if need be.
func (w *wrapped) Write(p []byte) (int, error) {
	if !w.packets {
		return w.Conn.Write(p)
	}
	head := []byte{packetPrelogin, 1, 0, 0, 0, 0, 1, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(len(head)+len(p)))
	if _, err := w.Conn.Write(append(head, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}
