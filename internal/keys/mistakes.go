package keys

import "archivolt/internal/problem"

// Names for what remedies make.
const (
	privateFile = "private_key.pem"
	publicFile  = "public_key.pem"
)

// Advice tells what to do with an item of the file name that was meant as a
// private key and is none that this program reads.
func (i Item) Advice(name string) string { return notPrivate(name, i).Try }

// notPrivate says why a file given as a private key cannot be one.
func notPrivate(name string, i Item) *problem.Error {
	what, try := "this is "+i.Describe()+", not an RSA private key", ""
	file := problem.Quote(name)
	switch i.Kind {
	case BrokenPEM:
		what = "this PEM text is damaged or cut off"
		try = "copy the file again, from its BEGIN line to its END line, with five plain hyphens on both sides of each"
	case DamagedPrivate:
		what = "this private key is damaged, or its numbers are too unusual for this program"
		try = "test it with: openssl pkey -check -noout -in " + file + "; then restore it from a backup"
	case LegacyPrivate, EncryptedPrivate:
		what = "this is " + i.Describe() + ", which this program does not read"
		try = convertEncrypted(name)
	case OtherPrivate:
		what = "this is " + i.Describe() + "; IM&P wraps its key with RSA"
		try = "look for the private key whose public half was given to IM&P"
	case OpenSSHPrivate:
		what = "this is " + i.Describe() + ", which this program does not read"
		out := problem.NewName(name, privateFile)
		try = "if it is an RSA key: cp " + file + " " + out + " && ssh-keygen -p -m PKCS8 -f " + out
	case PuTTYPrivate:
		what = "this is " + i.Describe() + ", which this program does not read"
		try = "if it is an RSA key: puttygen " + file + " -O private-openssh -o " + problem.NewName(name, privateFile)
	case PKCS12:
		what = "this is " + i.Describe() + ", which this program does not read"
		try = "openssl pkcs12 -in " + file + " -nocerts -out " + problem.NewName(name, privateFile)
	case JavaKeyStore:
		what = "this is " + i.Describe() + ", which this program does not read"
		store := problem.NewName(name, "store.p12")
		try = "keytool -importkeystore -srckeystore " + file + " -destkeystore " + store + " -deststoretype PKCS12" +
			" && openssl pkcs12 -in " + store + " -nocerts -out " + problem.NewName(name, privateFile)
	case RSAPublic, OtherPublic, OpenSSHPublic:
		what = "this is " + i.Describe() + ", not the private key"
		try = "pass the other half of the pair, often called private_key.pem: a public key cannot open anything"
	case Certificate, CertificateBundle:
		try = "pass the private key that was made with the certificate: a certificate cannot open anything"
	case CertificateRequest:
		try = "pass the private key that was made with the request"
	case WrappedKey:
		try = "pass this file with --key, and the private key with --private-key"
	case KeyText:
		try = "pass this file with --key; no private key is needed then"
	case Identity:
		try = "it opens archives of archivoltd, and signs with --identity; IM&P's key file needs the RSA private key, in PEM or DER"
	case Verifier:
		try = "pass this file with --signer; the private key is RSA, in PEM or DER"
	case PGP, AgeIdentity, AgeEncrypted:
		try = "look for the private key whose public half was given to IM&P; it is RSA, in PEM or DER"
	case Empty:
		what = "this file is empty"
		try = "copy the private key again"
	case Unknown:
		what = "this is " + i.Describe()
		try = "see what is expected with: archivolt key inspect --help"
	case Parameters:
		try = "see what is expected with: archivolt key inspect --help"
	}
	return problem.New(problem.Failed, name, what, try)
}

// convertEncrypted is the command that makes a readable encrypted PKCS #8 key
// of any that openssl reads. It asks for the passphrase and for a new one.
func convertEncrypted(name string) string {
	return "openssl pkey -in " + problem.Quote(name) + " -aes256 -out " + problem.NewName(name, privateFile)
}

// notPublic says why a file given as a public key cannot be one.
func notPublic(name string, i Item) error {
	what, try := "this is "+i.Describe()+", not an RSA public key", ""
	file := problem.Quote(name)
	switch i.Kind {
	case RSAPrivate, EncryptedPrivate, LegacyPrivate, DamagedPrivate:
		try = "make the public key of it with: openssl pkey -in " + file + " -pubout -out " + problem.NewName(name, publicFile)
	case Certificate:
		try = "take the public key out of it with: openssl x509 -in " + file + " -pubkey -noout -out " + problem.NewName(name, publicFile)
	case CertificateRequest:
		try = "take the public key out of it with: openssl req -in " + file + " -pubkey -noout -out " + problem.NewName(name, publicFile)
	case OpenSSHPublic:
		try = "if it is an RSA key: ssh-keygen -f " + file + " -e -m PKCS8 > " + problem.NewName(name, publicFile)
	case Empty:
		what = "this file is empty"
		try = "copy the public key again"
	case BrokenPEM:
		what = "this PEM text is damaged or cut off"
		try = "copy the file again, from its BEGIN line to its END line, with five plain hyphens on both sides of each"
	default:
		try = "make a pair with: archivolt keygen --out DIR"
	}
	return problem.New(problem.Failed, name, what, try)
}
