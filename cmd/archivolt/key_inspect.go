package main

import (
	"fmt"
	"os"
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

// Help shows examples.
func (inspectCmd) Help() string {
	return `Examples:

    archivolt key inspect private_key.pem
    archivolt key inspect encrypted_key.pem

Expected are: the officer's RSA private key (PEM or DER, PKCS #8 or PKCS #1, perhaps encrypted with a passphrase), its public key, and the wrapped key from IM&P. Other kinds of key file are named for what they are.`
}

// inspected is what is known of one item of a file.
type inspected struct {
	What        string `json:"what"`
	Algorithm   string `json:"algorithm,omitempty"`
	Bits        int    `json:"bits,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Use         string `json:"use,omitempty"`
}

// Run implements the command.
func (c *inspectCmd) Run(a *app) error {
	data, err := os.ReadFile(c.File)
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
		a.printJSON(a.out, map[string]any{"file": c.File, "found": found, "notes": notes})
		return nil
	}
	for _, f := range found {
		fmt.Fprintf(a.out, "%s: %s\n", c.File, f.What)
		if f.Fingerprint != "" {
			fmt.Fprintf(a.out, "  fingerprint %s\n", f.Fingerprint)
		}
		if f.Use != "" {
			fmt.Fprintf(a.out, "  %s\n", f.Use)
		}
	}
	for _, n := range notes {
		fmt.Fprintf(a.out, "  the file %s\n", n)
	}
	return nil
}

func useWrapped(name string) string {
	return "open it with: archivolt key unwrap --private-key private_key.pem " + problem.Quote(name)
}

// examine adds what can be learned by parsing the item.
func (c *inspectCmd) examine(a *app, item keys.Item, data []byte, one *inspected) error {
	switch item.Kind {
	case keys.RSAPrivate:
		a.warnIfShared(c.File, "this private key")
		one.Use = "private half of a pair: pass it with --private-key"
		if list, err := keys.ParsePrivate(c.File, data); err == nil {
			one.Fingerprint = list[0].Fingerprint()
			if list[0].Weak() {
				one.Use += fmt.Sprintf("; weak by today's measure, which asks for RSA-%d", keys.MinBits)
			}
		}
	case keys.EncryptedPrivate:
		a.warnIfShared(c.File, "this private key")
		one.Use = "pass it with --private-key; its passphrase is needed"
		passphrases, err := c.read(a)
		if err != nil {
			return err
		}
		if item.Encryption.Unreadable != "" {
			one.Use = item.Encryption.Unreadable + "; convert it with: " + item.Advice(c.File)
		} else if len(passphrases) > 0 {
			list, err := keys.ParsePrivate(c.File, data, passphrases...)
			if err != nil {
				return err
			}
			one.Bits, one.Algorithm, one.Fingerprint = list[0].Bits(), "RSA", list[0].Fingerprint()
			one.What = strings.Replace(one.What, "a private key", fmt.Sprintf("an RSA-%d private key", one.Bits), 1)
		}
	case keys.RSAPublic:
		one.Use = "public half of a pair: IM&P wraps its key with it"
		if pub, err := keys.ParsePublic(c.File, data); err == nil {
			one.Fingerprint = pub.Fingerprint()
		} else {
			one.Use = fmt.Sprintf("weak by today's measure, which asks for RSA-%d", keys.MinBits)
		}
	case keys.LegacyPrivate, keys.OpenSSHPrivate, keys.PuTTYPrivate, keys.PKCS12, keys.JavaKeyStore, keys.DamagedPrivate, keys.BrokenPEM:
		one.Use = "not read here: " + item.Advice(c.File)
	case keys.WrappedKey:
		one.Use = useWrapped(c.File)
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
