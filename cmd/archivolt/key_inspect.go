package main

import (
	"bytes"
	"fmt"
	"strings"

	"archivolt/internal/cisco"
	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// inspectCmd says what a file is.
type inspectCmd struct {
	File string `arg:"" help:"Any key file."`
	passphraseFlag
}

func (inspectCmd) Help() string {
	return `Examples:

    archivolt key inspect private_key.pem
    archivolt key inspect encrypted_key.pem

Expected are: the officer's RSA private key (PEM or DER, PKCS #8 or PKCS #1, perhaps encrypted with a passphrase), its public key, and the wrapped key from IM&P; and for exports an identity and its verifier. Other kinds of key file are named for what they are.`
}

// inspected is what is known of one item of a file.
type inspected struct {
	What        string `json:"what"`
	Algorithm   string `json:"algorithm,omitempty"`
	Bits        int    `json:"bits,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Use         string `json:"use,omitempty"`
}

func (c *inspectCmd) Run(a *app) error {
	data, err := a.readSmall(c.File)
	if err != nil {
		return err
	}
	file := keys.Identify(data)
	var found []inspected
	for _, item := range file.Items {
		one := inspected{What: item.Describe(), Algorithm: item.Algorithm, Bits: item.Bits}
		if err := c.examine(a, item, data, &one); err != nil {
			return err
		}
		found = append(found, one)
	}
	notes := file.Notes
	if file.Main().Kind == keys.Unknown {
		wrapped, err := cisco.ParseKeyFile(c.File, data)
		if err != nil || keys.BlockBits(wrapped.Size()) == 0 {
			return problem.New(problem.Failed, c.File, "this is "+file.Main().Describe(), "archivolt key inspect --help tells what is")
		}
		found = []inspected{{What: fmt.Sprintf("one RSA-%d block: perhaps a wrapped key", wrapped.Size()*8), Bits: wrapped.Size() * 8, Use: useWrapped(c.File)}}
		notes = wrapped.Notes
	}
	if a.json {
		return printJSON(a.out, map[string]any{"file": c.File, "found": found, "notes": notes})
	}
	var b bytes.Buffer
	for _, f := range found {
		fmt.Fprintf(&b, "%s: %s\n", c.File, f.What)
		if f.Fingerprint != "" {
			fmt.Fprintf(&b, "  fingerprint %s\n", f.Fingerprint)
		}
		if f.Use != "" {
			fmt.Fprintf(&b, "  %s\n", f.Use)
		}
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "  the file %s\n", n)
	}
	return writeAll(a.out, b.Bytes())
}

func useWrapped(name string) string {
	return "open it with: archivolt key unwrap --private-key private_key.pem " + problem.Quote(name)
}

// weak ends the description of a key of old.
var weak = fmt.Sprintf("; weak by today's measure, which asks for RSA-%d", keys.MinBits)

// examine adds what can be learned by parsing the item.
func (c *inspectCmd) examine(a *app, item keys.Item, data []byte, one *inspected) error {
	switch item.Kind {
	case keys.RSAPrivate:
		a.warnIfShared(c.File, "this private key")
		key, err := item.Private(c.File)
		if err != nil {
			one.Use = "too small to be used here"
			return nil
		}
		one.Use = "private half of a pair: pass it with --private-key"
		one.Fingerprint = key.Fingerprint()
		if key.Weak() {
			one.Use += weak
		}
	case keys.EncryptedPrivate:
		a.warnIfShared(c.File, "this private key")
		one.Use = "pass it with --private-key; its passphrase is needed"
		if item.Encryption.Unreadable != "" {
			one.Use = item.Encryption.Unreadable + "; convert it with: " + item.Advice(c.File)
			return nil
		}
		passphrases, err := c.read(a)
		if err != nil {
			return err
		}
		key, err := item.Private(c.File, passphrases...)
		switch {
		case err == nil:
			one.Bits, one.Algorithm, one.Fingerprint = key.Bits(), "RSA", key.Fingerprint()
			one.What = strings.Replace(one.What, "a private key", fmt.Sprintf("an RSA-%d private key", one.Bits), 1)
		case len(c.PassphraseFile) > 0:
			return err
		}
	case keys.RSAPublic:
		one.Use = "public half of a pair: IM&P wraps its key with it"
		pub, err := item.Public(c.File)
		if err != nil {
			return err
		}
		one.Fingerprint = pub.Fingerprint()
		if pub.Bits() < keys.MinBits {
			one.Use += weak
		}
	case keys.LegacyPrivate, keys.OpenSSHPrivate, keys.PuTTYPrivate, keys.PKCS12, keys.JavaKeyStore, keys.DamagedPrivate, keys.BrokenPEM:
		one.Use = "not read here: " + item.Advice(c.File)
	case keys.WrappedKey:
		one.Use = useWrapped(c.File)
	case keys.Identity, keys.Verifier:
		shown, err := c.readIdentity(a, c.File, data)
		if err != nil {
			return err
		}
		one.Algorithm, one.Fingerprint, one.Use = "Ed25519", shown.Fingerprint, shown.use()
	case keys.AgeIdentity:
		a.warnIfShared(c.File, "this identity")
		one.Use = "pass it with --private-key, to open an archive of archivoltd that was sealed for it; it signs nothing"
	case keys.AgeEncrypted:
		one.Use = "perhaps an identity with a passphrase: see archivolt identity show " + problem.Quote(c.File)
	case keys.KeyText:
		a.warnIfShared(c.File, "this unwrapped key")
		key, err := cisco.ParseKeyText(c.File, data, cisco.TextOptions{})
		if err != nil {
			return err
		}
		one.Fingerprint = key.Fingerprint()
		one.Use = "AES-256 key with its iv: pass it with --key, and keep it secret"
	}
	return nil
}
