package keys

import (
	"bytes"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// AgeIdentity is the key as an identity of age, for what was encrypted to its
// ssh-rsa recipient. age decrypts with RSA-OAEP (RFC 8017 section 7.1).
func (p *Private) AgeIdentity() (age.Identity, error) { return agessh.NewRSAIdentity(p.key) }

// AgeRecipient is the line "ssh-rsa …" (RFC 4253 section 6.6) by which age
// encrypts to the key.
func (p *Public) AgeRecipient() (string, error) {
	key, err := ssh.NewPublicKey(p.key)
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))), nil
}
