package keys

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"archivolt/internal/problem"
)

// Public is an RSA public key.
type Public struct {
	Name string // the file it was read from

	key *rsa.PublicKey
}

// Bits returns the size of the modulus in bits.
func (p *Public) Bits() int { return p.key.N.BitLen() }

// MaxText returns how many bytes one PKCS #1 v1.5 block can hold (RFC 8017
// section 7.2.1: eleven less than the modulus).
func (p *Public) MaxText() int { return p.key.Size() - 11 }

// Fingerprint is the SHA-256 of the SubjectPublicKeyInfo, 64 hex digits.
func (p *Public) Fingerprint() string { return fingerprint(p.key) }

// EncryptPKCS1v15 wraps text, at most MaxText bytes, into one block.
func (p *Public) EncryptPKCS1v15(text []byte) ([]byte, error) {
	//lint:ignore SA1019 the format that Cisco IM&P hands out; see the package comment
	return rsa.EncryptPKCS1v15(nil, p.key, text)
}

// MarshalPEM returns the key as openssl writes it and IM&P takes it: PEM
// "PUBLIC KEY" (RFC 7468 section 13).
func (p *Public) MarshalPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublic returns the RSA public key in data, the content of the file
// name: SPKI or PKCS #1, PEM or DER. Keys below MinBits are refused, since a
// public key is read here only to wrap for it.
func ParsePublic(name string, data []byte) (*Public, error) {
	item := Identify(data).Main()
	pub, err := item.Public(name)
	if err != nil {
		return nil, err
	}
	if pub.Bits() < MinBits {
		return nil, problem.New(problem.Failed, name,
			fmt.Sprintf("this RSA-%d key is too weak to wrap for: at least RSA-%d is needed", pub.Bits(), MinBits),
			"make a new pair with: archivolt keygen --out DIR")
	}
	return pub, nil
}

// Public returns the RSA public key that the item, found in the file name, is,
// whatever its size.
func (i Item) Public(name string) (*Public, error) {
	if i.Kind != RSAPublic {
		return nil, notPublic(name, i)
	}
	key, err := parseRSAPublic(i.der)
	if err != nil {
		return nil, err
	}
	return &Public{Name: name, key: key}, nil
}

func parseRSAPublic(der []byte) (*rsa.PublicKey, error) {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		if key, ok := key.(*rsa.PublicKey); ok {
			return key, nil
		}
	}
	return x509.ParsePKCS1PublicKey(der)
}
