package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"archivolt/internal/durable"
	"archivolt/internal/identity"
	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// identityCmd groups what is done with identities.
type identityCmd struct {
	New  identityNewCmd  `cmd:"" help:"Make an identity and its public half, the verifier."`
	Show identityShowCmd `cmd:"" help:"Say what others may know of an identity."`
}

// identityNewCmd makes an identity.
type identityNewCmd struct {
	Out     string `required:"" placeholder:"FILE" help:"File for the identity; its public half goes to FILE.pub."`
	Encrypt bool   `help:"Protect the identity with a passphrase."`
	passphraseFlag
}

// verifierSuffix ends the name of the public half.
const verifierSuffix = ".pub"

func (identityNewCmd) Help() string {
	return `Examples:

    archivolt identity new --out officer.id --encrypt
    archivolt export jm.csv --format csv --out case-17 --profile legal --identity officer.id

Keep officer.id secret. Give officer.id.pub to those who get your exports, by another way than the exports: they need it to see that an export is yours.`
}

func (c *identityNewCmd) Run(a *app) error {
	public := c.Out + verifierSuffix
	for _, name := range []string{c.Out, public} {
		if _, err := os.Lstat(name); err == nil {
			return problem.New(problem.Failed, name, "this already exists; an identity is never overwritten", "choose another name")
		}
	}
	passphrase, err := c.newPassphrase(a, c.Encrypt)
	if err != nil {
		return err
	}
	made, err := identity.New()
	if err != nil {
		return err
	}
	secret := made.Marshal()
	if c.Encrypt {
		if secret, err = await(a.ctx, func() ([]byte, error) { return identity.Encrypt(secret, passphrase) }); err != nil {
			return err
		}
	}
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if err := durable.WriteNew(c.Out, secret); err != nil {
		return err
	}
	if err := durable.WriteNew(public, made.Verifier().Marshal()); err != nil {
		_ = os.Remove(c.Out) // ours, made a moment ago
		return err
	}
	key := made.Verifier().Key
	if a.json {
		return printJSON(a.out, map[string]any{"identity": c.Out, "verifier_file": public, "verifier": identity.Text(key),
			"encrypted": c.Encrypt, "fingerprint": identity.Fingerprint(key)})
	}
	if a.quiet {
		return nil
	}
	_, err = fmt.Fprintf(a.out, "%s  identity, readable by you alone: keep it secret, and keep a copy\n"+
		"%s  verifier: give this one to those who get your exports\nfingerprint %s\n", c.Out, public, identity.Fingerprint(key))
	return err
}

// identityShowCmd says what may be known.
type identityShowCmd struct {
	File string `arg:"" help:"The identity, or its public half."`
	passphraseFlag
}

func (identityShowCmd) Help() string {
	return `Examples:

    archivolt identity show officer.id.pub
    archivolt identity show officer.id

No secret is printed. The passphrase of an encrypted identity is needed; its public half needs none.`
}

func (c *identityShowCmd) Run(a *app) error {
	data, err := a.readSmall(c.File)
	if err != nil {
		return err
	}
	shown, err := c.readIdentity(a, c.File, data)
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, shown)
	}
	_, err = fmt.Fprintf(a.out, "%s: %s\n  verifier %s\n  fingerprint %s\n  %s\n", c.File, shown.What, shown.Verifier, shown.Fingerprint, shown.use())
	return err
}

// shownIdentity is what may be known of an identity or a verifier.
type shownIdentity struct {
	File        string `json:"file"`
	What        string `json:"what"`
	Secret      bool   `json:"secret"`
	Verifier    string `json:"verifier"`
	Fingerprint string `json:"fingerprint"`
}

func (s *shownIdentity) use() string {
	if s.Secret {
		return "pass it to export with --identity, and keep it secret"
	}
	return "pass it to verify with --signer"
}

// readIdentity reads an identity or a verifier.
func (f *passphraseFlag) readIdentity(a *app, name string, data []byte) (*shownIdentity, error) {
	kind := keys.Identify(data).Main()
	s := &shownIdentity{File: name, What: kind.Describe(), Secret: kind.Kind != keys.Verifier}
	var key ed25519.PublicKey
	if s.Secret {
		found, err := f.openIdentity(a, name, data)
		if err != nil {
			return nil, err
		}
		if kind.Kind == keys.AgeEncrypted {
			s.What = "an Archivolt identity with a passphrase"
		}
		key = found.Verifier().Key
	} else {
		found, err := identity.ParseVerifier(name, data)
		if err != nil {
			return nil, err
		}
		key = found.Key
	}
	s.Verifier, s.Fingerprint = identity.Text(key), identity.Fingerprint(key)
	return s, nil
}

// openIdentity reads an identity, asking for its passphrase where needed.
func (f *passphraseFlag) openIdentity(a *app, name string, data []byte) (*identity.Identity, error) {
	var passphrases [][]byte
	var err error
	if keys.Identify(data).Main().Kind == keys.AgeEncrypted {
		if passphrases, err = f.read(a); err != nil {
			return nil, err
		}
	}
	parse := func() (*identity.Identity, error) { return identity.Parse(name, data, passphrases...) }
	found, err := await(a.ctx, parse)
	if err != nil && problem.ClassOf(err) == problem.Passphrase {
		typed, promptErr := a.prompt("Passphrase of " + name + ": ")
		if promptErr != nil {
			return nil, promptErr
		}
		if typed != nil {
			passphrases = [][]byte{typed}
			found, err = await(a.ctx, parse)
		}
	}
	if err != nil {
		return nil, err
	}
	a.warnIfShared(name, "this identity")
	return found, nil
}

// readSigner reads what --signer names.
func (a *app) readSigner(text string) (ed25519.PublicKey, error) {
	if identity.IsKey(text) {
		key, err := identity.ParseKey("--signer", text)
		var p *problem.Error
		if errors.As(err, &p) {
			p.Class = problem.Usage
		}
		return key, err
	}
	data, err := a.readSmall(text)
	if err != nil {
		return nil, err
	}
	found, err := identity.ParseVerifier(text, data)
	if err != nil {
		return nil, err
	}
	return found.Key, nil
}
