package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"archivolt/internal/durable"
	"archivolt/internal/keys"
	"archivolt/internal/passphrase"
	"archivolt/internal/problem"
)

// keygenCmd makes a key pair as openssl writes it.
type keygenCmd struct {
	Out     string `required:"" placeholder:"DIR" help:"Folder for private_key.pem and public_key.pem; it is made if absent."`
	Bits    int    `default:"2048" help:"Size of the key, 2048 to 16384 bits. 2048 is the size in Cisco's guide; whether IM&P takes others is not documented."`
	Encrypt bool   `help:"Protect the private key with a passphrase."`
	passphraseFlag
}

// Names of the files of a pair, as in Cisco's guide.
const (
	privateName = "private_key.pem"
	publicName  = "public_key.pem"
)

func (keygenCmd) Help() string {
	return `Examples:

    archivolt keygen --out keys --encrypt
    archivolt keygen --out keys --bits 3072

Give public_key.pem to IM&P. Keep private_key.pem secret, and a copy of it in a safe place: without it nothing can be read.`
}

func (c *keygenCmd) Run(a *app) error {
	private, public := filepath.Join(c.Out, privateName), filepath.Join(c.Out, publicName)
	for _, name := range []string{private, public} {
		if _, err := os.Lstat(name); err == nil {
			return problem.New(problem.Failed, name, "this already exists; a private key is never overwritten",
				"choose another folder: whoever lost the old key cannot read what was wrapped for it")
		}
	}
	passphrase, err := c.newPassphrase(a, c.Encrypt)
	if err != nil {
		return err
	}
	pair, err := await(a.ctx, func() (*keys.Private, error) { return keys.Generate(c.Bits) })
	if err != nil {
		return err
	}
	if err := writePair(a, pair, c.Out, passphrase); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, map[string]any{"private_key": private, "public_key": public,
			"bits": pair.Bits(), "encrypted": c.Encrypt, "fingerprint": pair.Fingerprint()})
	}
	if a.quiet {
		return nil
	}
	_, err = fmt.Fprintf(a.out, "%s  RSA-%d private key, readable by you alone: keep it secret, and keep a copy\n"+
		"%s   public key: give this one to IM&P\nfingerprint %s\n", private, pair.Bits(), public, pair.Fingerprint())
	return err
}

// writePair writes both files or neither.
func writePair(a *app, pair *keys.Private, dir string, passphrase []byte) error {
	privatePEM, err := pair.MarshalPEM(passphrase)
	if err != nil {
		return err
	}
	publicPEM, err := pair.Public().MarshalPEM()
	if err != nil {
		return err
	}
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	private := filepath.Join(dir, privateName)
	if err := durable.WriteNew(private, privatePEM); err != nil {
		return err
	}
	if err := durable.WriteNew(filepath.Join(dir, publicName), publicPEM); err != nil {
		_ = os.Remove(private) // ours, made a moment ago
		return err
	}
	return nil
}

// newPassphrase returns the passphrase for a new key, nil if it is not to be
// encrypted.
func (f *passphraseFlag) newPassphrase(a *app, encrypt bool) ([]byte, error) {
	if !encrypt {
		if len(f.PassphraseFile) > 0 {
			return nil, problem.New(problem.Usage, "--passphrase-file", "a passphrase is given for a key that would not be encrypted", "add --encrypt")
		}
		return nil, nil
	}
	given, err := f.read(a)
	if err != nil {
		return nil, err
	}
	if len(given) > 1 {
		return nil, problem.New(problem.Usage, "--passphrase-file", "a new key has one passphrase", "give this flag once")
	}
	if len(given) == 1 {
		return given[0], nil
	}
	first, err := a.prompt("New passphrase: ")
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, problem.New(problem.Passphrase, "", "no passphrase was given for the new key",
			"add --passphrase-file FILE, set "+passphrase.Variable+", or leave --encrypt out")
	}
	second, err := a.prompt("The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, problem.New(problem.Passphrase, "", "the two passphrases differ", "type the same one twice")
	}
	return first, nil
}
