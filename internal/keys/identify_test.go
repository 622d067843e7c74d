package keys

import (
	"os"
	"testing"
)

// TestIdentify names every fixture for what its maker called it.
func TestIdentify(t *testing.T) {
	want := map[string]string{
		"certificate-and-key.pem":            "an RSA-2048 private key (PEM)",
		"certificate.der":                    "a certificate (DER)",
		"certificate.pem":                    "a certificate (PEM)",
		"certificates.p7b":                   "a bundle of certificates (PKCS #7) (PEM)",
		"dsa.parameters.pem":                 "a set of key parameters without a key (PEM)",
		"dsa.pem":                            "a DSA private key (PEM)",
		"ec.pkcs8.pem":                       "an EC P-256 private key (PEM)",
		"ec.public.pem":                      "an EC P-256 public key (PEM)",
		"ec.sec1.pem":                        "an EC P-256 private key (PEM)",
		"ed25519.pem":                        "an Ed25519 private key (PEM)",
		"ed25519.public.pem":                 "an Ed25519 public key (PEM)",
		"ed448.pem":                          "an Ed448 private key (PEM)",
		"encrypted.camellia.pem":             "a private key encrypted with a passphrase, PBES2 (PBKDF2-HMAC-SHA-256, 2048 iterations, Camellia-256-CBC) (PEM)",
		"encrypted.legacy-3des.pem":          "a private key in OpenSSL's legacy encryption (PEM)",
		"encrypted.legacy-aes256.pem":        "a private key in OpenSSL's legacy encryption (PEM)",
		"encrypted.pbes1-3des.pem":           "a private key encrypted with a passphrase, PKCS #12 PBE with SHA-1 and triple DES (PEM)",
		"encrypted.pbkdf2-3des.pem":          "a private key encrypted with a passphrase, PBES2 (PBKDF2-HMAC-SHA-256, 2048 iterations, 3DES-CBC) (PEM)",
		"encrypted.pbkdf2-sha1-aes128.pem":   "a private key encrypted with a passphrase, PBES2 (PBKDF2-HMAC-SHA-1, 2048 iterations, AES-128-CBC) (PEM)",
		"encrypted.pbkdf2-sha256-aes256.pem": "a private key encrypted with a passphrase, PBES2 (PBKDF2-HMAC-SHA-256, 2048 iterations, AES-256-CBC) (PEM)",
		"encrypted.pbkdf2-sha512-aes192.pem": "a private key encrypted with a passphrase, PBES2 (PBKDF2-HMAC-SHA-512, 2048 iterations, AES-192-CBC) (PEM)",
		"encrypted.pbkdf2.der":               "a private key encrypted with a passphrase, PBES2 (PBKDF2-HMAC-SHA-256, 2048 iterations, AES-256-CBC) (DER)",
		"encrypted.scrypt.pem":               "a private key encrypted with a passphrase, PBES2 (scrypt, N 16384, r 8, p 1, AES-256-CBC) (PEM)",
		"make.sh":                            "no kind of key file that is known here",
		"openssh-ed25519":                    "a private key in OpenSSH's format (PEM)",
		"openssh-rsa":                        "a private key in OpenSSH's format (PEM)",
		"openssh-rsa-encrypted":              "a private key in OpenSSH's format (PEM)",
		"openssh-rsa.public":                 "an SSH public key",
		"openssh-rsa.rfc4716":                "an SSH public key",
		"pgp.private.asc":                    "an OpenPGP file",
		"pgp.public.asc":                     "an OpenPGP file",
		"public.der":                         "an RSA-2048 public key (DER)",
		"public.pem":                         "an RSA-2048 public key (PEM)",
		"public.pkcs1.pem":                   "an RSA-2048 public key (PEM)",
		"public1024.pem":                     "an RSA-1024 public key (PEM)",
		"putty.ppk":                          "a PuTTY private key",
		"request.der":                        "a certificate request (DER)",
		"request.pem":                        "a certificate request (PEM)",
		"rsa-pss.pem":                        "an RSA-PSS private key (PEM)",
		"rsa1024.pkcs8.pem":                  "an RSA-1024 private key (PEM)",
		"rsa2048.bag-attributes.pem":         "an RSA-2048 private key (PEM)",
		"rsa2048.pkcs1.der":                  "an RSA-2048 private key (DER)",
		"rsa2048.pkcs1.pem":                  "an RSA-2048 private key (PEM)",
		"rsa2048.pkcs8.der":                  "an RSA-2048 private key (DER)",
		"rsa2048.pkcs8.pem":                  "an RSA-2048 private key (PEM)",
		"rsa512.pkcs8.pem":                   "an RSA-512 private key (PEM)",
		"store.jks":                          "a Java key store",
		"store.p12":                          "a PKCS #12 key store (.p12, .pfx) (DER)",
		"x25519.pem":                         "an X25519 private key (PEM)",
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue // fuzz corpora
		}
		if got := Identify(fixture(t, e.Name())).Main().Describe(); got != want[e.Name()] {
			t.Errorf("%s is %q, want %q", e.Name(), got, want[e.Name()])
		}
		delete(want, e.Name())
	}
	if len(want) > 0 {
		t.Errorf("no such fixtures: %v", want)
	}
}

// TestIdentifyText covers what is not a file of a key program.
func TestIdentifyText(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "an empty file",
		" \r\n\t":                   "an empty file",
		"key = 00\niv = 00":         "an unwrapped key text (key = ..., iv = ...)",
		"  IV=00":                   "an unwrapped key text (key = ..., iv = ...)",
		"monkey = 00":               "no kind of key file that is known here",
		"hello":                     "no kind of key file that is known here",
		"-----BEGIN PRIVATE KEY---": "PEM text that is damaged or cut off (PEM)",
		"\x00\x01\x02":              "no kind of key file that is known here",
		"0\x80":                     "no kind of key file that is known here",
	} {
		if got := Identify([]byte(text)).Main().Describe(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
