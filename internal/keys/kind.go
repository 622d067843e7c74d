package keys

import "fmt"

// Kind names what a file is, as far as its owner cares.
type Kind int

const (
	Unknown            Kind = iota
	Empty                   // no bytes, or blanks only
	BrokenPEM               // PEM armour (RFC 7468) that is cut off or mangled
	RSAPrivate              // RSA private key, PKCS #8 (RFC 5958) or PKCS #1 (RFC 8017 A.1.2)
	DamagedPrivate          // a private key whose numbers do not fit together
	EncryptedPrivate        // PKCS #8 EncryptedPrivateKeyInfo (RFC 5958 section 3)
	LegacyPrivate           // PEM encryption by Proc-Type and DEK-Info (RFC 1421 headers)
	OtherPrivate            // a private key of another algorithm: EC, Ed25519, DSA, RSA-PSS
	OpenSSHPrivate          // OpenSSH's own private key format
	PuTTYPrivate            // PuTTY's .ppk
	PGP                     // OpenPGP (RFC 9580)
	AgeIdentity             // an age identity file
	PKCS12                  // PKCS #12 store (RFC 7292): .p12, .pfx
	JavaKeyStore            // Java key store, JKS or JCEKS
	RSAPublic               // RSA public key, SPKI (RFC 5280) or PKCS #1
	OtherPublic             // a public key of another algorithm
	OpenSSHPublic           // one line "ssh-rsa ...", or RFC 4716
	Certificate             // X.509 certificate (RFC 5280)
	CertificateRequest      // PKCS #10 (RFC 2986)
	CertificateBundle       // PKCS #7 (RFC 2315)
	Parameters              // DH, DSA or EC parameters without a key
	WrappedKey              // what IM&P hands out: Base64 of one RSA block
	KeyText                 // "key = ...", "iv = ...": already unwrapped
	AgeEncrypted            // a file encrypted with age, perhaps an identity of ours
	Identity                // an identity of ours: "signing-key: ..."
	Verifier                // its public half: "verifier: ..."
)

// Item is one thing found in a file.
type Item struct {
	Kind       Kind
	Form       string     // "PEM", "DER", or "" for formats of their own
	Algorithm  string     // "RSA", "EC P-256", "Ed25519"; may be empty
	Bits       int        // size of an RSA modulus in bits, or 0
	Encryption Encryption // for EncryptedPrivate

	der []byte
}

// Describe says what the item is, with its article: "an RSA-2048 private key
// (PEM)".
func (i Item) Describe() string {
	s := i.noun()
	if i.Form != "" {
		s += " (" + i.Form + ")"
	}
	return s
}

func (i Item) noun() string {
	switch i.Kind {
	case Empty:
		return "an empty file"
	case BrokenPEM:
		return "PEM text that is damaged or cut off"
	case RSAPrivate:
		return fmt.Sprintf("an RSA-%d private key", i.Bits)
	case DamagedPrivate:
		return "a damaged private key"
	case EncryptedPrivate:
		return "a private key encrypted with a passphrase, " + i.Encryption.String()
	case LegacyPrivate:
		return "a private key in OpenSSL's legacy encryption"
	case OtherPrivate:
		return article(i.Algorithm) + " private key"
	case OpenSSHPrivate:
		return "a private key in OpenSSH's format"
	case PuTTYPrivate:
		return "a PuTTY private key"
	case PGP:
		return "an OpenPGP file"
	case AgeIdentity:
		return "an age identity"
	case PKCS12:
		return "a PKCS #12 key store (.p12, .pfx)"
	case JavaKeyStore:
		return "a Java key store"
	case RSAPublic:
		return fmt.Sprintf("an RSA-%d public key", i.Bits)
	case OtherPublic:
		return article(i.Algorithm) + " public key"
	case OpenSSHPublic:
		return "an SSH public key"
	case Certificate:
		return "a certificate"
	case CertificateRequest:
		return "a certificate request"
	case CertificateBundle:
		return "a bundle of certificates (PKCS #7)"
	case Parameters:
		return "a set of key parameters without a key"
	case WrappedKey:
		return fmt.Sprintf("Base64 of one RSA-%d block, as IM&P hands out a wrapped key", i.Bits)
	case KeyText:
		return "an unwrapped key text (key = ..., iv = ...)"
	case AgeEncrypted:
		return "a file encrypted with age"
	case Identity:
		return "an Archivolt identity"
	case Verifier:
		return "an Archivolt verifier, the public half of an identity"
	}
	return "no kind of key file that is known here"
}

// article puts "a" or "an" before the name of an algorithm.
func article(algorithm string) string {
	switch {
	case algorithm == "":
		return "an unknown"
	case algorithm[0] == 'E' || algorithm[0] == 'X' || algorithm[:1] == "R":
		return "an " + algorithm
	}
	return "a " + algorithm
}

// private tells whether the item holds a private key, readable or not.
func (k Kind) private() bool {
	switch k {
	case RSAPrivate, DamagedPrivate, EncryptedPrivate, LegacyPrivate, OtherPrivate, OpenSSHPrivate, PuTTYPrivate:
		return true
	}
	return false
}
