package keys

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
)

var (
	oidRSA    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPKCS7  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7}
	algorithm = map[string]string{ // private and public keys by object identifier
		oidRSA.String():         "RSA",
		"1.2.840.113549.1.1.10": "RSA-PSS", // signs only (RFC 4055)
		"1.2.840.10045.2.1":     "EC",
		"1.2.840.10040.4.1":     "DSA",
		"1.2.840.113549.1.3.1":  "DH",
		"1.3.101.110":           "X25519", // RFC 8410
		"1.3.101.111":           "X448",
		"1.3.101.112":           "Ed25519",
		"1.3.101.113":           "Ed448",
	}
)

// privateKeyInfo is PKCS #8 (RFC 5958 section 2), its tail left unread.
type privateKeyInfo struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

// encryptedPrivateKeyInfo is RFC 5958 section 3.
type encryptedPrivateKeyInfo struct {
	Algorithm     pkix.AlgorithmIdentifier
	EncryptedData []byte
}

// identifyDER says what one DER value is. Bytes after the value are not
// looked at.
func identifyDER(der []byte) Item {
	item := Item{Form: "DER", der: der}
	if isPKCS12(der) { // may be BER of indefinite length, which encoding/asn1 does not read
		item.Kind = PKCS12
		return item
	}
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil {
		return Item{Kind: Unknown}
	} else if len(rest) > 0 {
		der = der[:len(der)-len(rest)]
		item.der = der
	}
	if found, ok := identifyPrivate(item, der); ok {
		return found
	}
	if pub, err := x509.ParsePKIXPublicKey(der); err == nil {
		return publicItem(item, pub)
	}
	if pub, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return publicItem(item, pub)
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		item.Kind = Certificate
		return item
	}
	if _, err := x509.ParseCertificateRequest(der); err == nil {
		item.Kind = CertificateRequest
		return item
	}
	return identifyByShape(item, der)
}

func identifyPrivate(item Item, der []byte) (Item, bool) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return privateItem(item, key), true
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return privateItem(item, key), true
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return privateItem(item, key), true
	}
	var plain privateKeyInfo
	if _, err := asn1.Unmarshal(der, &plain); err == nil {
		item.Algorithm = algorithm[plain.Algorithm.Algorithm.String()]
		if item.Kind = OtherPrivate; item.Algorithm == "RSA" {
			item.Kind = DamagedPrivate
		}
		return item, true
	}
	var encrypted encryptedPrivateKeyInfo
	if _, err := asn1.Unmarshal(der, &encrypted); err == nil {
		item.Kind = EncryptedPrivate
		item.Encryption = parseEncryption(encrypted)
		return item, true
	}
	var pkcs1 struct{ Version, N, E, D, P, Q asn1.RawValue }
	if _, err := asn1.Unmarshal(der, &pkcs1); err == nil &&
		pkcs1.Version.Tag == asn1.TagInteger && pkcs1.N.Tag == asn1.TagInteger && pkcs1.Q.Tag == asn1.TagInteger {
		item.Kind, item.Algorithm = DamagedPrivate, "RSA"
		if len(pkcs1.N.Bytes) < 512/8 { // DSA's traditional form has small integers in other places
			item.Kind = Unknown
		}
		return item, true
	}
	return item, false
}

func privateItem(item Item, key any) Item {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		item.Kind, item.Algorithm, item.Bits = RSAPrivate, "RSA", k.N.BitLen()
	case *ecdsa.PrivateKey:
		item.Kind, item.Algorithm = OtherPrivate, "EC "+k.Curve.Params().Name
	case ed25519.PrivateKey:
		item.Kind, item.Algorithm = OtherPrivate, "Ed25519"
	case *ecdh.PrivateKey:
		item.Kind, item.Algorithm = OtherPrivate, "X25519"
	default:
		item.Kind = OtherPrivate
	}
	return item
}

func publicItem(item Item, key any) Item {
	switch k := key.(type) {
	case *rsa.PublicKey:
		item.Kind, item.Algorithm, item.Bits = RSAPublic, "RSA", k.N.BitLen()
	case *ecdsa.PublicKey:
		item.Kind, item.Algorithm = OtherPublic, "EC "+k.Curve.Params().Name
	case ed25519.PublicKey:
		item.Kind, item.Algorithm = OtherPublic, "Ed25519"
	default:
		item.Kind = OtherPublic
	}
	return item
}

// identifyByShape recognises what the standard library does not parse.
func identifyByShape(item Item, der []byte) Item {
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err == nil {
		item.Kind, item.Algorithm = OtherPublic, algorithm[spki.Algorithm.Algorithm.String()]
		return item
	}
	var signed struct { // certificate or request, e.g. with extensions Go refuses
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &signed); err == nil {
		item.Kind = Certificate
		return item
	}
	var content struct {
		Type asn1.ObjectIdentifier
		Rest asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(der, &content); err == nil && len(content.Type) > len(oidPKCS7) &&
		content.Type[:len(oidPKCS7)].Equal(oidPKCS7) {
		item.Kind = CertificateBundle
		return item
	}
	return Item{Kind: Unknown}
}

// isPKCS12 recognises PFX ::= SEQUENCE { version INTEGER 3, SEQUENCE { OBJECT
// IDENTIFIER pkcs7-... } } (RFC 7292 section 4) by its first bytes.
func isPKCS12(der []byte) bool {
	if len(der) < 2 || der[0] != 0x30 {
		return false
	}
	head := der[:min(len(der), 40)]
	at := bytes.Index(head, []byte{0x02, 0x01, 0x03, 0x30})
	return at > 0 && at <= 6 && bytes.Contains(head[at:], []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"))
}
