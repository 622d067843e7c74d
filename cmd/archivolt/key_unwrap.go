package main

import (
	"fmt"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// unwrapCmd opens a wrapped key.
type unwrapCmd struct {
	privateFlags
	padFlag
	File   string `arg:"" help:"The wrapped key, as IM&P handed it out."`
	Reveal bool   `help:"Print the key and iv themselves, as openssl pkeyutl -decrypt does."`
}

func (unwrapCmd) Help() string {
	return `Examples:

    archivolt key unwrap --private-key private_key.pem encrypted_key.pem
    archivolt key unwrap --private-key private_key.pem --reveal encrypted_key.pem

Without --reveal no secret is printed, only the key's fingerprint.`
}

func (c *unwrapCmd) Run(a *app) error {
	file, err := a.readKeyFile(c.File)
	if err != nil {
		return err
	}
	if !file.Wrapped() {
		return problem.New(problem.Failed, c.File, "this is already unwrapped", "pass it with --key")
	}
	u, err := c.unwrap(a, file, cisco.TextOptions{PadShortHex: c.PadShortHex})
	if err != nil {
		return err
	}
	switch {
	case a.json:
		result := map[string]any{"fingerprint": u.Key.Fingerprint(), "key_bits": cisco.KeySize * 8, "iv_bits": cisco.IVSize * 8,
			"wrapped_for": u.By.Fingerprint(), "rsa_bits": u.By.Bits()}
		if c.Reveal {
			result["text"] = string(u.Text)
		}
		return printJSON(a.out, result)
	case c.Reveal:
		return writeAll(a.out, u.Text)
	}
	_, err = fmt.Fprintf(a.out, "key fingerprint %s: AES key of %d bits, iv of %d bits\nwrapped for %s, RSA-%d, fingerprint %s\n",
		u.Key.Fingerprint(), cisco.KeySize*8, cisco.IVSize*8, u.By.Name, u.By.Bits(), u.By.Fingerprint())
	return err
}
