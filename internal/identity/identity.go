// Package identity makes and reads the officer's identity: the age key that
// opens archives of ours, and the Ed25519 key that signs exports. A secret file,
// the identity, holds both; a public one, the verifier, is for those who seal
// for the officer and who check signatures. Both are lines of text, which
// docs/format/manifest.md describes; the identity may be encrypted with a
// passphrase, as a file of age.
//
// Nothing here writes a file or prompts. Errors are problems that hold no part
// of a key or passphrase.
package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// Identity is the secret half.
type Identity struct {
	Signing    ed25519.PrivateKey
	Decryption []string // identities of age, AGE-SECRET-KEY-…; none in those of older versions
}

// Verifier is the public half.
type Verifier struct {
	Key        ed25519.PublicKey
	Recipients []string // of age, age1…, one for each decryption key
}

// Names of lines.
const (
	signingName    = "signing-key"
	decryptionName = "decryption-key"
	verifierName   = "verifier"
	recipientName  = "recipient"
)

// algorithm goes before the Base64 of a key.
const algorithm = "ed25519:"

// New makes an identity. Its decryption key is post-quantum (age's hybrid of
// ML-KEM-768 and X25519), or X25519 alone if classic.
func New(classic bool) (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var decryption fmt.Stringer
	if classic {
		decryption, err = age.GenerateX25519Identity()
	} else {
		decryption, err = age.GenerateHybridIdentity()
	}
	if err != nil {
		return nil, err
	}
	return &Identity{Signing: key, Decryption: []string{decryption.String()}}, nil
}

// Verifier returns the public half.
func (i *Identity) Verifier() *Verifier {
	v := &Verifier{Key: i.Signing.Public().(ed25519.PublicKey)}
	for _, secret := range i.Decryption {
		if r, ok := recipientOf(secret); ok {
			v.Recipients = append(v.Recipients, r)
		}
	}
	return v
}

// recipientOf is the public half of a decryption key.
func recipientOf(secret string) (recipient string, ok bool) {
	if hybrid, err := age.ParseHybridIdentity(secret); err == nil {
		return hybrid.Recipient().String(), true
	}
	if classic, err := age.ParseX25519Identity(secret); err == nil {
		return classic.Recipient().String(), true
	}
	return "", false
}

// isRecipient tells whether text is one of age's recipients that identities
// have.
func isRecipient(text string) bool {
	_, hybrid := age.ParseHybridRecipient(text)
	_, classic := age.ParseX25519Recipient(text)
	return hybrid == nil || classic == nil
}

// RecipientFingerprint is a short name of a recipient, by which ledgers list
// who can open an epoch: the SHA-256 of its text in hex.
func RecipientFingerprint(recipient string) string {
	sum := sha256.Sum256([]byte(recipient))
	return hex.EncodeToString(sum[:])
}

// Fingerprint is a short name of a verifier: "SHA256:" and the Base64, without
// padding, of the SHA-256 of the key's 32 bytes.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Text writes a key as verifier files and --signer have it.
func Text(key ed25519.PublicKey) string {
	return algorithm + base64.StdEncoding.EncodeToString(key)
}

// Marshal writes the file of the identity.
func (i *Identity) Marshal() []byte {
	b := fmt.Appendf(nil, "# archivolt identity: keep it secret\n# fingerprint %s\n%s: %s%s\n",
		Fingerprint(i.Verifier().Key), signingName, algorithm, base64.StdEncoding.EncodeToString(i.Signing.Seed()))
	return appendLines(b, decryptionName, i.Decryption)
}

// Marshal writes the file of the verifier.
func (v *Verifier) Marshal() []byte {
	b := fmt.Appendf(nil, "# archivolt verifier: for everybody who checks what the identity signs, or seals for it\n# fingerprint %s\n%s: %s\n",
		Fingerprint(v.Key), verifierName, Text(v.Key))
	return appendLines(b, recipientName, v.Recipients)
}

func appendLines(b []byte, name string, values []string) []byte {
	for _, v := range values {
		b = fmt.Appendf(b, "%s: %s\n", name, v)
	}
	return b
}

// Encrypt protects the file of an identity with a passphrase: armoured age
// (age-encryption.org/v1) with scrypt, as "age -p -a" makes it.
func Encrypt(plain, passphrase []byte) ([]byte, error) {
	recipient, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, recipient)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(plain)
	if err := errors.Join(err, w.Close(), a.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Parse reads the identity in the file name, trying each passphrase if it is
// encrypted. A missing or wrong passphrase is a problem of class Passphrase.
func Parse(name string, data []byte, passphrases ...[]byte) (*Identity, error) {
	if keys.Identify(data).Main().Kind == keys.AgeEncrypted {
		plain, err := decrypt(name, data, passphrases)
		if err != nil {
			return nil, err
		}
		data = plain
	}
	values, err := parse(name, data, kind{"an identity", signingName, decryptionName, keys.Identity})
	if err != nil {
		return nil, err
	}
	seed := decodeKey(values[signingName][0])
	if seed == nil {
		return nil, problem.New(problem.Failed, name, "the signing key of this identity is damaged", "restore the file from a copy")
	}
	for _, secret := range values[decryptionName] {
		if _, ok := recipientOf(secret); !ok {
			return nil, problem.New(problem.Failed, name, "a decryption key of this identity is damaged", "restore the file from a copy")
		}
	}
	return &Identity{Signing: ed25519.NewKeyFromSeed(seed), Decryption: values[decryptionName]}, nil
}

// ParseVerifier reads the verifier in the file name.
func ParseVerifier(name string, data []byte) (*Verifier, error) {
	values, err := parse(name, data, kind{"a verifier", verifierName, recipientName, keys.Verifier})
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(name, values[verifierName][0])
	if err != nil {
		return nil, err
	}
	for _, r := range values[recipientName] {
		if !isRecipient(r) {
			return nil, problem.New(problem.Failed, name, "a recipient of this verifier is damaged", "restore the file from a copy")
		}
	}
	return &Verifier{Key: key, Recipients: values[recipientName]}, nil
}

// ParseKey reads a public key as Text writes it. The object is what a problem
// names.
func ParseKey(object, text string) (ed25519.PublicKey, error) {
	key := decodeKey(text)
	if key == nil {
		return nil, problem.New(problem.Failed, object, "this is no public key: it is not ed25519: and the Base64 of 32 bytes", "copy it again from the verifier's file, which ends in .pub")
	}
	return key, nil
}

// IsKey tells whether text is meant as a key, not as the name of a file.
func IsKey(text string) bool { return strings.HasPrefix(text, algorithm) }

func decodeKey(text string) []byte {
	b64, ok := strings.CutPrefix(text, algorithm)
	key, err := base64.StdEncoding.DecodeString(b64)
	if !ok || err != nil || len(key) != ed25519.SeedSize || base64.StdEncoding.EncodeToString(key) != b64 {
		return nil
	}
	return key
}

// kind is one of the two kinds of file.
type kind struct {
	noun string
	key  string // the line that must be there once
	more string // lines that may be there
	is   keys.Kind
}

// parse reads the lines of a file. Nothing is passed over but blank lines and
// comments.
func parse(name string, data []byte, k kind) (map[string][]string, error) {
	file := keys.Identify(data)
	if found := file.Main(); found.Kind != k.is {
		return nil, problem.New(problem.Failed, name, "this is "+found.Describe()+", not "+k.noun, remedy(k.is, found.Kind))
	}
	text, ok := keys.DecodeText(data)
	if !ok {
		return nil, problem.New(problem.Failed, name, "this is no text, and so not "+k.noun, remedy(k.is, keys.Unknown))
	}
	values := map[string][]string{}
	for i, line := range strings.Split(string(text.Data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		field, value, found := strings.Cut(line, ": ")
		if !found || field != k.key && field != k.more {
			return nil, problem.New(problem.Failed, name, fmt.Sprintf("line %d is no line of %s", i+1, k.noun), "restore the file from a copy, or use the version of archivolt that made it")
		}
		values[field] = append(values[field], strings.TrimSpace(value))
	}
	if len(values[k.key]) != 1 {
		return nil, problem.New(problem.Failed, name, fmt.Sprintf("there are %d lines %q in this file, not one", len(values[k.key]), k.key), "restore the file from a copy")
	}
	return values, nil
}

func remedy(want, got keys.Kind) string {
	switch {
	case want == keys.Identity && got == keys.Verifier:
		return "pass the identity itself, whose name lacks the ending .pub"
	case want == keys.Verifier && (got == keys.Identity || got == keys.AgeEncrypted):
		return "pass the file beside it that ends in .pub, and keep this one secret"
	case want == keys.Verifier:
		return "pass the file ending in .pub that archivolt identity new has made for the signer"
	}
	return "make an identity with: archivolt identity new --out FILE"
}

// decrypt opens a file of age that is encrypted with a passphrase.
func decrypt(name string, data []byte, passphrases [][]byte) ([]byte, error) {
	open := func() io.Reader {
		if at := bytes.Index(data, []byte(armor.Header)); at >= 0 {
			return armor.NewReader(bytes.NewReader(data[at:]))
		}
		return bytes.NewReader(data)
	}
	head := make([]byte, 64)
	n, _ := io.ReadFull(open(), head) // what cannot be read fails below
	if n == len(head) && !bytes.Contains(head, []byte("\n-> scrypt ")) {
		return nil, problem.New(problem.Failed, name, "this file of age is encrypted for a key, not with a passphrase", "decrypt it with age, and pass the result")
	}
	if len(passphrases) == 0 {
		return nil, problem.New(problem.Passphrase, name, "this identity is encrypted and no passphrase was given", "add --passphrase-file FILE, or set ARCHIVOLT_PASSPHRASE")
	}
	for _, p := range passphrases {
		key, err := age.NewScryptIdentity(string(p))
		if err != nil {
			continue // empty
		}
		r, err := age.Decrypt(open(), key)
		var wrongKey *age.NoIdentityMatchError
		if errors.As(err, &wrongKey) {
			continue
		}
		var plain []byte
		if err == nil {
			plain, err = io.ReadAll(r)
		}
		if err != nil {
			return nil, problem.New(problem.Failed, name, "this encrypted identity is damaged or cut off", "restore the file from a copy")
		}
		return plain, nil
	}
	return nil, problem.New(problem.Passphrase, name, "the passphrase does not open this identity", "check it with: age -d -o /dev/null "+problem.Quote(name))
}
