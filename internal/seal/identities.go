package seal

import (
	"errors"
	"strings"

	"filippo.io/age"

	"archivolt/internal/keys"
)

// Identities turns what an officer has into what opens epochs: the secret
// texts of age identities (AGE-SECRET-KEY-PQ-1…, AGE-SECRET-KEY-1…) and RSA
// private keys.
func Identities(secrets []string, private []*keys.Private) (list []age.Identity, err error) {
	for _, s := range secrets {
		found, err := age.ParseIdentities(strings.NewReader(s))
		if err != nil {
			return nil, errors.New("a decryption key is no identity of age")
		}
		list = append(list, found...)
	}
	for _, p := range private {
		id, err := p.AgeIdentity()
		if err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, nil
}
