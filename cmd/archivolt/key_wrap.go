package main

import (
	"archivolt/internal/cisco"
	"archivolt/internal/keys"
)

// wrapCmd wraps a key text as IM&P does.
type wrapCmd struct {
	PublicKey string `required:"" placeholder:"FILE" help:"RSA public key, PEM or DER."`
	padFlag
	File string `arg:"" optional:"" help:"The key text (key = ..., iv = ...); standard input if left out or -."`
}

func (wrapCmd) Help() string {
	return `Examples:

    archivolt key wrap --public-key public_key.pem key.txt > encrypted_key.pem

The text is wrapped byte for byte. The result is one line of Base64 without a line end, as IM&P hands it out.`
}

func (c *wrapCmd) Run(a *app) error {
	data, err := a.readSmall(c.PublicKey)
	if err != nil {
		return err
	}
	pub, err := keys.ParsePublic(c.PublicKey, data)
	if err != nil {
		return err
	}
	text, err := a.readValue(c.File)
	if err != nil {
		return err
	}
	object := c.File
	if object == "" || object == "-" {
		object = "standard input"
	}
	wrapped, err := cisco.Wrap(object, text, pub, cisco.TextOptions{PadShortHex: c.PadShortHex})
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, map[string]any{"wrapped": wrapped, "rsa_bits": pub.Bits(), "wrapped_for": pub.Fingerprint()})
	}
	return writeAll(a.out, []byte(wrapped))
}
