package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
)

const (
	signatureHead = "archivolt-signature-v1"
	// signatureContext goes before the manifest in what is signed, so that no
	// signature made for another purpose fits.
	signatureContext = "archivolt-manifest-v1\n"
)

// sign returns manifest.sig for the bytes of a manifest.
func sign(manifest []byte, key ed25519.PrivateKey) []byte {
	b64 := base64.StdEncoding.EncodeToString
	signature := ed25519.Sign(key, append([]byte(signatureContext), manifest...))
	return []byte(signatureHead + "\n" + b64(key.Public().(ed25519.PublicKey)) + "\n" + b64(signature) + "\n")
}

// parseSignature reads manifest.sig. ok is false for anything but its one
// form.
func parseSignature(text []byte) (key ed25519.PublicKey, signature []byte, ok bool) {
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) != 4 || string(lines[0]) != signatureHead || len(lines[3]) != 0 {
		return nil, nil, false
	}
	key = decode32(string(lines[1]))
	signature = decodeBase64(string(lines[2]), ed25519.SignatureSize)
	return key, signature, key != nil && signature != nil
}

func verifySignature(manifest []byte, key ed25519.PublicKey, signature []byte) bool {
	return ed25519.Verify(key, append([]byte(signatureContext), manifest...), signature)
}
