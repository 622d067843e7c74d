package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"archivolt/internal/identity"
	"archivolt/internal/proof"
)

// verifyCmd checks an export.
type verifyCmd struct {
	Folder string   `arg:"" help:"Folder of the export."`
	Signer []string `sep:"none" placeholder:"FILE" help:"Verifier of somebody whose signature is trusted: a file, or ed25519: and Base64. Repeatable: one of them must have signed."`
}

func (verifyCmd) Help() string {
	return `Examples:

    archivolt verify case-17 --signer officer.id.pub
    archivolt verify case-17 --signer ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=

No archive and no private key is needed. The first thing that is wrong is named, with exit code 13. Without --signer the signature is checked too, but anybody can sign: only --signer shows whose it is. What is checked, in which order, is in docs/format/manifest.md.`
}

// verified is the result of a verification.
type verified struct {
	Folder      string         `json:"folder"`
	Result      string         `json:"result"`
	Signed      bool           `json:"signed"`
	Trusted     bool           `json:"trusted"`
	Signer      string         `json:"signer,omitempty"`
	Fingerprint string         `json:"fingerprint,omitempty"`
	Files       int            `json:"files"`
	Records     proof.ByStatus `json:"records"`
	Count       int64          `json:"count"`
}

func (c *verifyCmd) Run(a *app) error {
	var trusted []ed25519.PublicKey
	for _, s := range c.Signer {
		key, err := a.readSigner(s)
		if err != nil {
			return err
		}
		trusted = append(trusted, key)
	}
	r, err := proof.Verify(a.ctx, c.Folder, trusted)
	if err != nil {
		return err
	}
	m := r.Manifest
	v := verified{Folder: c.Folder, Result: r.Trust.String(), Signed: r.Trust != proof.NotSigned, Trusted: r.Trust == proof.Trusted,
		Files: len(m.Files), Records: m.Records.Status, Count: m.Records.Count}
	if key := m.SignerKey(); key != nil {
		v.Signer, v.Fingerprint = identity.Text(key), identity.Fingerprint(key)
	}
	if a.json {
		return printJSON(a.out, v)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n", c.Folder, v.Result)
	if v.Signed {
		fmt.Fprintf(&b, "  signed by %s, fingerprint %s\n", v.Signer, v.Fingerprint)
	}
	fmt.Fprintf(&b, "  %s in %s\n", counted(m.Records.Count, "record"), counted(int64(len(m.Files)), "file"))
	if err := writeAll(a.out, b.Bytes()); err != nil {
		return err
	}
	if r.Trust == proof.NotChecked {
		a.warn("anybody can sign an export: this does not show who did", "add --signer FILE, with the verifier that you have from the signer and not from whoever brought the export")
	}
	return nil
}
