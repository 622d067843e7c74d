package keys

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"archivolt/internal/problem"
)

// sha256Hash keeps the name of the hash beside the packages that implement it.
const sha256Hash = crypto.SHA256

// Sizes of an RSA modulus, in bits.
const (
	MinBits     = 2048  // smallest that is made or wrapped for (NIST SP 800-131A)
	DefaultBits = 2048  // the size in Cisco's guide; whether IM&P takes others is not documented
	MaxBits     = 16384 // largest that is made; minutes of work already
	minReadable = 1024  // smallest whose block could hold IM&P's key text
)

// ErrNeedPassphrase is in the chain of the error that ParsePrivate returns
// when a key is encrypted and no passphrase was given.
var ErrNeedPassphrase = errors.New("a passphrase is needed")

// Private is an RSA private key in memory.
type Private struct {
	Name      string // the file it was read from
	Encrypted bool   // whether that file protects it with a passphrase

	key *rsa.PrivateKey
}

// Bits returns the size of the modulus in bits.
func (p *Private) Bits() int { return p.key.N.BitLen() }

// Size returns the length in bytes of a block wrapped for this key.
func (p *Private) Size() int { return p.key.Size() }

// Public returns the public half.
func (p *Private) Public() *Public { return &Public{Name: p.Name, key: &p.key.PublicKey} }

// Fingerprint is that of the public half.
func (p *Private) Fingerprint() string { return p.Public().Fingerprint() }

// Weak tells whether the modulus is below MinBits.
func (p *Private) Weak() bool { return p.Bits() < MinBits }

// DecryptPKCS1v15 opens one block (RFC 8017 section 7.2.2). The error says
// only that it does not open.
func (p *Private) DecryptPKCS1v15(block []byte) ([]byte, error) {
	//lint:ignore SA1019 the format that Cisco IM&P hands out; see the package comment
	return rsa.DecryptPKCS1v15(nil, p.key, block)
}

// OpensAsOAEP tells whether block was wrapped with OAEP (RFC 8017 section 7.1)
// for this key, and with which hash: a mistake worth naming.
func (p *Private) OpensAsOAEP(block []byte) (hash string, ok bool) {
	for _, h := range []struct {
		name string
		hash crypto.Hash
	}{{"SHA-1", crypto.SHA1}, {"SHA-256", crypto.SHA256}, {"SHA-384", crypto.SHA384}, {"SHA-512", crypto.SHA512}} {
		if _, err := rsa.DecryptOAEP(h.hash.New(), nil, p.key, block, nil); err == nil {
			return h.name, true
		}
	}
	return "", false
}

// ParsePrivate returns the RSA private keys in data, the content of the file
// name. It reads PKCS #8 and PKCS #1, PEM and DER, and PKCS #8 encrypted with
// PBES2; each passphrase is tried on each key. Other items beside a key that
// can be used do not matter; a file without one is an error that says what it
// is and how to convert it.
func ParsePrivate(name string, data []byte, passphrases ...[]byte) ([]*Private, error) {
	file := Identify(data)
	var found []*Private
	var failed error // of the first private key that cannot be used
	for _, item := range file.Items {
		if !item.Kind.private() && item.Kind != BrokenPEM {
			continue
		}
		key, err := item.Private(name, passphrases...)
		if err == nil {
			found = append(found, key)
		} else if failed == nil {
			failed = err
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case failed != nil:
		return nil, failed
	}
	return nil, notPrivate(name, file.Main())
}

// Private returns the RSA private key that the item, found in the file name,
// is.
func (i Item) Private(name string, passphrases ...[]byte) (*Private, error) {
	var key any
	var err error
	switch i.Kind {
	case RSAPrivate:
		if key, err = x509.ParsePKCS8PrivateKey(i.der); err != nil {
			key, err = x509.ParsePKCS1PrivateKey(i.der)
		}
	case EncryptedPrivate:
		key, err = i.decrypt(name, passphrases)
	default:
		return nil, notPrivate(name, i)
	}
	if err != nil {
		return nil, err
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, notPrivate(name, privateItem(i, key))
	}
	if rsaKey.N.BitLen() < minReadable {
		return nil, problem.New(problem.Failed, name,
			fmt.Sprintf("this RSA-%d key is too small: a wrapped Cisco key needs at least RSA-%d", rsaKey.N.BitLen(), minReadable),
			"look for the private key whose public half was given to IM&P")
	}
	return &Private{Name: name, Encrypted: i.Kind == EncryptedPrivate, key: rsaKey}, nil
}

func (i Item) decrypt(name string, passphrases [][]byte) (any, error) {
	if i.Encryption.Unreadable != "" {
		return nil, problem.New(problem.Failed, name,
			"this private key is encrypted in a way this program does not read: "+i.Encryption.Unreadable,
			convertEncrypted(name))
	}
	if len(passphrases) == 0 {
		return nil, &problem.Error{Class: problem.Passphrase, Object: name,
			What: "this private key is encrypted and no passphrase was given",
			Try:  "add --passphrase-file FILE, or set ARCHIVOLT_PASSPHRASE", Err: ErrNeedPassphrase}
	}
	for _, p := range passphrases {
		if len(p) == 0 {
			continue // no encrypted key has one, and the library would read the file as unencrypted
		}
		if key, err := decryptPKCS8(i.der, p); err == nil {
			return key, nil
		}
	}
	return nil, problem.New(problem.Passphrase, name,
		"the passphrase does not open this private key, or what it opens is no RSA key",
		"check it with: openssl pkey -in "+problem.Quote(name)+" -noout")
}

// Generate makes an RSA key of MinBits to MaxBits bits.
func Generate(bits int) (*Private, error) {
	if bits < MinBits || bits > MaxBits {
		return nil, problem.New(problem.Usage, "--bits",
			fmt.Sprintf("an RSA key of %d bits is not made here: %d to %d are", bits, MinBits, MaxBits),
			fmt.Sprintf("leave --bits out for %d, the size in Cisco's guide", DefaultBits))
	}
	key, err := rsa.GenerateKey(nil, bits)
	if err != nil {
		return nil, err
	}
	return &Private{key: key}, nil
}

// MarshalPEM returns the private key as openssl writes it: PKCS #8, PEM. With
// a passphrase it is encrypted (PBES2, PBKDF2-HMAC-SHA-256, AES-256-CBC).
func (p *Private) MarshalPEM(passphrase []byte) ([]byte, error) {
	if len(passphrase) > 0 {
		der, err := encryptPKCS8(p.key, passphrase)
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// fingerprint is the SHA-256 of a public key's SubjectPublicKeyInfo in hex, as
// "openssl pkey -pubin -outform DER | sha256sum" prints it.
func fingerprint(key *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "" // cannot happen: every RSA public key has an encoding
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
