package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"archivolt/internal/durable"
	"archivolt/internal/identity"
	"archivolt/internal/keys"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
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
	Classic bool   `help:"Make the decryption key X25519 alone, not post-quantum, as older versions of age know it."`
	passphraseFlag
}

// verifierSuffix ends the name of the public half.
const verifierSuffix = ".pub"

func (identityNewCmd) Help() string {
	return `Examples:

    archivolt identity new --out officer.id --encrypt
    archivolt check archive.db --private-key officer.id
    archivolt export jm.csv --format csv --out case-17 --profile legal --identity officer.id

Keep officer.id secret, and a copy of it: what archivoltd seals, nothing else opens. Give officer.id.pub to whoever runs archivoltd, which seals for you with it, and to those who get your exports, by another way than the exports: they need it to see that an export is yours.

All officers of one archive have identities of one class: post-quantum, or --classic.`
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
	made, err := identity.New(c.Classic)
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
	key, recipient := made.Verifier().Key, made.Verifier().Recipients[0]
	if a.json {
		return printJSON(a.out, map[string]any{"identity": c.Out, "verifier_file": public, "verifier": identity.Text(key),
			"encrypted": c.Encrypt, "fingerprint": identity.Fingerprint(key),
			"recipient": recipient, "recipient_fingerprint": identity.RecipientFingerprint(recipient)})
	}
	if a.quiet {
		return nil
	}
	_, err = fmt.Fprintf(a.out, "%s  identity, readable by you alone: keep it secret, and keep a copy\n"+
		"%s  public half: give this one to those who seal for you and who get your exports\nfingerprint %s\nas a recipient %s\n",
		c.Out, public, identity.Fingerprint(key), identity.RecipientFingerprint(recipient))
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
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n  verifier %s\n  fingerprint %s\n", c.File, shown.What, shown.Verifier, shown.Fingerprint)
	for _, r := range shown.Recipients {
		fmt.Fprintf(&b, "  as a recipient %s (%s)\n", r.Fingerprint, r.Class)
	}
	fmt.Fprintf(&b, "  %s\n", shown.use())
	return writeAll(a.out, b.Bytes())
}

// shownIdentity is what may be known of an identity or a verifier.
type shownIdentity struct {
	File        string           `json:"file"`
	What        string           `json:"what"`
	Secret      bool             `json:"secret"`
	Verifier    string           `json:"verifier"`
	Fingerprint string           `json:"fingerprint"`
	Recipients  []shownRecipient `json:"recipients"`
}

// shownRecipient is what archives seal for.
type shownRecipient struct {
	Fingerprint string     `json:"fingerprint"`
	Class       seal.Class `json:"class"`
}

func (s *shownIdentity) use() string {
	switch {
	case s.Secret && len(s.Recipients) > 0:
		return "pass it to export with --identity, and to open an archive of archivoltd with --private-key; keep it secret"
	case s.Secret:
		return "pass it to export with --identity, and keep it secret; it opens no archive, since it was made by an older version"
	case len(s.Recipients) > 0:
		return "pass it to verify with --signer, and name it among the recipients of archivoltd"
	}
	return "pass it to verify with --signer"
}

// readIdentity reads an identity or a verifier.
func (f *passphraseFlag) readIdentity(a *app, name string, data []byte) (*shownIdentity, error) {
	kind := keys.Identify(data).Main()
	s := &shownIdentity{File: name, What: kind.Describe(), Secret: kind.Kind != keys.Verifier}
	var public *identity.Verifier
	if s.Secret {
		found, err := f.openIdentity(a, name, data)
		if err != nil {
			return nil, err
		}
		if kind.Kind == keys.AgeEncrypted {
			s.What = "an Archivolt identity with a passphrase"
		}
		public = found.Verifier()
	} else {
		var err error
		if public, err = identity.ParseVerifier(name, data); err != nil {
			return nil, err
		}
	}
	s.Verifier, s.Fingerprint = identity.Text(public.Key), identity.Fingerprint(public.Key)
	s.Recipients = []shownRecipient{}
	for _, r := range public.Recipients {
		s.Recipients = append(s.Recipients, shownRecipient{identity.RecipientFingerprint(r), seal.ClassOf(r)})
	}
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
