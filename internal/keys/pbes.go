package keys

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/youmark/pkcs8"
)

// Bounds on what a key file may ask of this machine. OpenSSL's defaults are
// far below: 2,048 iterations, and N 16384, r 8, p 1 for scrypt.
const (
	maxIterations   = 10_000_000 // PBKDF2 rounds, some seconds
	maxScryptMemory = 1 << 30    // bytes, 128·N·r
	maxScryptWork   = 1 << 32    // 128·N·r·p
)

// Encryption says how a PKCS #8 private key is encrypted under its
// passphrase: PBES2 of RFC 8018 section 6.2, or one of its forerunners.
type Encryption struct {
	Scheme     string // "PBES2", or the name of what is not supported
	KDF        string // "PBKDF2-HMAC-SHA-256, 2048 iterations"
	Cipher     string // "AES-256-CBC"
	Unreadable string // why this program cannot decrypt it; empty when it can
}

// String gives the scheme in the field's words.
func (e Encryption) String() string {
	if e.KDF == "" || e.Cipher == "" {
		return e.Scheme
	}
	return fmt.Sprintf("%s (%s, %s)", e.Scheme, e.KDF, e.Cipher)
}

// oidPBES2 and the key derivation functions are from RFC 8018 appendix A and
// RFC 7914 section 7.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

// pbes1 names the older schemes by object identifier (RFC 8018 appendix A.3
// and RFC 7292 appendix C).
var pbes1 = map[string]string{
	"1.2.840.113549.1.5.1":    "PBES1 with MD2 and DES",
	"1.2.840.113549.1.5.3":    "PBES1 with MD5 and DES",
	"1.2.840.113549.1.5.4":    "PBES1 with MD2 and RC2",
	"1.2.840.113549.1.5.6":    "PBES1 with MD5 and RC2",
	"1.2.840.113549.1.5.10":   "PBES1 with SHA-1 and DES",
	"1.2.840.113549.1.5.11":   "PBES1 with SHA-1 and RC2",
	"1.2.840.113549.1.12.1.1": "PKCS #12 PBE with SHA-1 and 128-bit RC4",
	"1.2.840.113549.1.12.1.2": "PKCS #12 PBE with SHA-1 and 40-bit RC4",
	"1.2.840.113549.1.12.1.3": "PKCS #12 PBE with SHA-1 and triple DES",
	"1.2.840.113549.1.12.1.4": "PKCS #12 PBE with SHA-1 and two-key triple DES",
	"1.2.840.113549.1.12.1.5": "PKCS #12 PBE with SHA-1 and 128-bit RC2",
	"1.2.840.113549.1.12.1.6": "PKCS #12 PBE with SHA-1 and 40-bit RC2",
}

// blockCipher is a cipher of PBES2: its name, and its initialisation vector
// and block in bytes. The list is what the pkcs8 library decrypts.
type blockCipher struct {
	name      string
	iv, block int
}

var ciphers = map[string]blockCipher{
	"1.2.840.113549.3.7":      {"3DES-CBC", 8, 8},
	"2.16.840.1.101.3.4.1.2":  {"AES-128-CBC", 16, 16},
	"2.16.840.1.101.3.4.1.22": {"AES-192-CBC", 16, 16},
	"2.16.840.1.101.3.4.1.42": {"AES-256-CBC", 16, 16},
}

// otherCiphers are ciphers that openssl can use here and this program does not
// read.
var otherCiphers = map[string]string{
	"1.2.392.200011.61.1.1.1.2": "Camellia-128-CBC",
	"1.2.392.200011.61.1.1.1.3": "Camellia-192-CBC",
	"1.2.392.200011.61.1.1.1.4": "Camellia-256-CBC",
	"1.2.410.200046.1.1.2":      "ARIA-128-CBC",
	"1.2.410.200046.1.1.7":      "ARIA-192-CBC",
	"1.2.410.200046.1.1.12":     "ARIA-256-CBC",
	"1.2.840.113549.3.2":        "RC2-CBC",
	"1.3.14.3.2.7":              "DES-CBC",
}

// prf is a pseudo-random function of PBKDF2 (RFC 8018 appendix B.1.2).
type prf struct {
	name string
	hash func() hash.Hash
}

var prfs = map[string]prf{
	"1.2.840.113549.2.7":  {"SHA-1", sha1.New},
	"1.2.840.113549.2.8":  {"SHA-224", sha256.New224},
	"1.2.840.113549.2.9":  {"SHA-256", sha256.New},
	"1.2.840.113549.2.10": {"SHA-384", sha512.New384},
	"1.2.840.113549.2.11": {"SHA-512", sha512.New},
}

// pbkdf2Params is PBKDF2-params of RFC 8018 appendix A.2, with the salt given
// as a string. The library's own reader knows only SHA-1 and SHA-256 and is
// confused by a key length, so this one is registered in its place.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// scryptParams is RFC 7914 section 7.1.
type scryptParams struct {
	Salt      []byte
	N, R, P   int
	KeyLength int `asn1:"optional"`
}

func init() {
	pkcs8.RegisterKDF(oidPBKDF2, func() pkcs8.KDFParameters { return new(pbkdf2Params) })
}

func (p *pbkdf2Params) prf() (prf, bool) {
	if len(p.PRF.Algorithm) == 0 {
		return prfs["1.2.840.113549.2.7"], true // DEFAULT algid-hmacWithSHA1
	}
	f, ok := prfs[p.PRF.Algorithm.String()]
	return f, ok
}

// DeriveKey returns a key of size bytes.
func (p *pbkdf2Params) DeriveKey(passphrase []byte, size int) ([]byte, error) {
	f, ok := p.prf()
	if !ok || p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, errors.New("unsupported key derivation")
	}
	return pbkdf2.Key(f.hash, string(passphrase), p.Salt, p.Iterations, size)
}

// parseEncryption reads the parameters, checks everything that the library
// takes on trust, and says in Unreadable what keeps this program from using
// them.
func parseEncryption(info encryptedPrivateKeyInfo) Encryption {
	id := info.Algorithm.Algorithm
	if !id.Equal(oidPBES2) {
		scheme := pbes1[id.String()]
		if scheme == "" {
			scheme = "an encryption scheme unknown here (" + id.String() + ")"
		}
		return Encryption{Scheme: scheme, Unreadable: scheme + " is not supported"}
	}
	e := Encryption{Scheme: "PBES2"}
	var params struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		e.Unreadable = "its encryption parameters are damaged"
		return e
	}
	var problems []string
	add := func(problem string) {
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	var problem string
	e.KDF, problem = describeKDF(params.KDF)
	add(problem)
	e.Cipher, problem = describeCipher(params.Cipher, len(info.EncryptedData))
	add(problem)
	e.Unreadable = strings.Join(problems, "; ")
	return e
}

func describeKDF(kdf pkix.AlgorithmIdentifier) (name, problem string) {
	const damaged = "its encryption parameters are damaged"
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		var p pbkdf2Params
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.Iterations < 1 {
			return "", damaged
		}
		f, ok := p.prf()
		if !ok {
			return "PBKDF2", "PBKDF2 with the hash " + p.PRF.Algorithm.String() + " is not supported"
		}
		name = fmt.Sprintf("PBKDF2-HMAC-%s, %d iterations", f.name, p.Iterations)
		if p.Iterations > maxIterations {
			return name, fmt.Sprintf("it asks for %d iterations, more than the %d allowed here", p.Iterations, maxIterations)
		}
		return name, ""
	case kdf.Algorithm.Equal(oidScrypt):
		var p scryptParams
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1 {
			return "", damaged
		}
		name = fmt.Sprintf("scrypt, N %d, r %d, p %d", p.N, p.R, p.P)
		if p.N > maxScryptMemory || p.R > maxScryptMemory || p.P > maxScryptMemory ||
			float64(p.N)*float64(p.R)*128 > maxScryptMemory ||
			float64(p.N)*float64(p.R)*float64(p.P)*128 > maxScryptWork {
			return name, "it asks for more scrypt work than is allowed here (1 GiB of memory)"
		}
		return name, ""
	}
	return "an unknown key derivation", "its key derivation function " + kdf.Algorithm.String() + " is not supported"
}

func describeCipher(c pkix.AlgorithmIdentifier, dataLen int) (name, problem string) {
	known, ok := ciphers[c.Algorithm.String()]
	if !ok {
		name = otherCiphers[c.Algorithm.String()]
		if name == "" {
			name = "cipher " + c.Algorithm.String()
		}
		return name, name + " is not supported"
	}
	var iv []byte
	if _, err := asn1.Unmarshal(c.Parameters.FullBytes, &iv); err != nil || len(iv) != known.iv {
		return known.name, "its encryption parameters are damaged"
	}
	if dataLen == 0 || dataLen%known.block != 0 {
		return known.name, "its encrypted part is cut off"
	}
	return known.name, ""
}

// decryptPKCS8 opens an encrypted PKCS #8 key that parseEncryption found
// readable. A wrong passphrase is an error.
func decryptPKCS8(der, passphrase []byte) (any, error) {
	key, _, err := pkcs8.ParsePrivateKey(der, passphrase)
	return key, err
}

// pbkdf2Iterations is what a new key is encrypted with: OWASP's figure of 2023
// for HMAC-SHA-256.
const pbkdf2Iterations = 600_000

// encryptPKCS8 encrypts key as "openssl genpkey -aes256" does, with more
// iterations.
func encryptPKCS8(key any, passphrase []byte) ([]byte, error) {
	return pkcs8.MarshalPrivateKey(key, passphrase, &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: pbkdf2Iterations, HMACHash: sha256Hash},
	})
}
