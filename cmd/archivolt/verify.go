package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"archivolt/internal/archive"
	"archivolt/internal/audit"
	"archivolt/internal/identity"
	"archivolt/internal/proof"
)

// verifyCmd checks an export, or an archive of ours.
type verifyCmd struct {
	Path   string   `arg:"" name:"folder or archive" help:"Folder of the export, or an archive of archivoltd."`
	Signer []string `sep:"none" placeholder:"FILE" help:"Verifier of somebody whose signature is trusted: a file, or its text. For an export ed25519: and Base64, and one of them must have signed; for an archive, and what an export says of it, checkpoint.pub of its archivoltd. Repeatable."`
	Anchor []string `sep:"none" placeholder:"FILE" help:"Checkpoints of the archive that were kept elsewhere. Repeatable: the archive must go on from each."`
	privateFlags
}

func (verifyCmd) Help() string {
	return `Examples:

    archivolt verify case-17 --signer officer.id.pub
    archivolt verify case-17 --signer ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
    archivolt verify archive.db --signer checkpoint.pub --anchor anchors.txt
    archivolt verify archive.db --signer checkpoint.pub --private-key officer.id

No private key is needed, and for an export no archive. The first thing that is wrong is named, with exit code 13. Without --signer signatures are checked as far as they can be, but anybody can sign: only --signer shows whose they are. Without --anchor nobody can tell whether the newest records of an archive were cut off together with their checkpoint. With --private-key every record of an archive is opened too.

What is checked in an export, in which order, is in docs/format/manifest.md; what in an archive, in docs/format/store.md.`
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
	Ledgers     []provenLedger `json:"ledgers,omitempty"`
}

// provenLedger is what was shown of one archive of ours.
type provenLedger struct {
	Archive        string `json:"archive"`
	CheckpointSize *int64 `json:"checkpoint_entries"`
	CheckpointTime string `json:"checkpoint_time"`
	SignerChecked  bool   `json:"signer_checked"`
	Records        int64  `json:"records"`
	InLedger       int64  `json:"in_ledger"`
	Committed      int64  `json:"with_committed_text"`
}

// signers are the verifiers that --signer names.
type signers struct {
	exports     []ed25519.PublicKey
	checkpoints []string
}

func (c *verifyCmd) signers(a *app) (s signers, err error) {
	for _, text := range c.Signer {
		if audit.IsVerifier(text) {
			v, err := audit.ParseVerifier("--signer", text)
			if err != nil {
				return s, err
			}
			s.checkpoints = append(s.checkpoints, v)
			continue
		}
		if !identity.IsKey(text) {
			data, err := a.readSmall(text)
			if err != nil {
				return s, err
			}
			if audit.IsVerifier(string(bytes.TrimSpace(data))) {
				v, err := audit.ParseVerifier(text, string(data))
				if err != nil {
					return s, err
				}
				s.checkpoints = append(s.checkpoints, v)
				continue
			}
		}
		key, err := a.readSigner(text)
		if err != nil {
			return s, err
		}
		s.exports = append(s.exports, key)
	}
	return s, nil
}

func (c *verifyCmd) Run(a *app) error {
	trusted, err := c.signers(a)
	if err != nil {
		return err
	}
	kind, err := archive.KindOf([]string{c.Path})
	switch {
	case err != nil:
		return err
	case kind == archive.Own:
		return c.archive(a, trusted)
	}
	return c.export(a, trusted)
}

func (c *verifyCmd) export(a *app, trusted signers) error {
	if err := c.onlyForArchives(); err != nil {
		return err
	}
	r, err := proof.Verify(a.ctx, c.Path, trusted.exports, trusted.checkpoints...)
	if err != nil {
		return err
	}
	m := r.Manifest
	v := verified{Folder: c.Path, Result: r.Trust.String(), Signed: r.Trust != proof.NotSigned, Trusted: r.Trust == proof.Trusted,
		Files: len(m.Files), Records: m.Records.Status, Count: m.Records.Count}
	if key := m.SignerKey(); key != nil {
		v.Signer, v.Fingerprint = identity.Text(key), identity.Fingerprint(key)
	}
	for _, l := range r.Ledgers {
		p := provenLedger{Archive: l.Archive, SignerChecked: l.Signed, Records: l.Records, InLedger: l.Proven, Committed: l.Opened}
		if l.Checkpoint != nil {
			p.CheckpointSize, p.CheckpointTime = &l.Checkpoint.Size, instant(l.Checkpoint.Time)
		}
		v.Ledgers = append(v.Ledgers, p)
	}
	if a.json {
		return printJSON(a.out, v)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n", c.Path, v.Result)
	if v.Signed {
		fmt.Fprintf(&b, "  signed by %s, fingerprint %s\n", v.Signer, v.Fingerprint)
	}
	fmt.Fprintf(&b, "  %s in %s\n", counted(m.Records.Count, "record"), counted(int64(len(m.Files)), "file"))
	for _, l := range v.Ledgers {
		l.describe(&b)
	}
	if err := writeAll(a.out, b.Bytes()); err != nil {
		return err
	}
	if r.Trust == proof.NotChecked {
		a.warn("anybody can sign an export: this does not show who did", "add --signer FILE, with the verifier that you have from the signer and not from whoever brought the export")
	}
	return nil
}

// describe says it to a person.
func (l *provenLedger) describe(b *bytes.Buffer) {
	fmt.Fprintf(b, "  archive %s: %s, %s of them in its ledger", l.Archive, counted(l.Records, "stored record"), thousands(l.InLedger))
	if l.CheckpointSize != nil {
		signer := "whose signer is not checked: add --signer with its checkpoint.pub"
		if l.SignerChecked {
			signer = "signed by the archive's key"
		}
		fmt.Fprintf(b, " by the checkpoint of %s, %s", l.CheckpointTime, signer)
	} else {
		fmt.Fprint(b, ", for which there is no checkpoint")
	}
	fmt.Fprintf(b, "; %s with the text that was committed to\n", thousands(l.Committed))
}
