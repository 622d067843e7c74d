package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"archivolt/internal/archive"
	"archivolt/internal/audit"
	"archivolt/internal/problem"
)

// onlyForArchives refuses flags that say nothing of an export.
func (c *verifyCmd) onlyForArchives() error {
	flag := ""
	switch {
	case len(c.Anchor) > 0:
		flag = "--anchor"
	case len(c.PrivateKey) > 0:
		flag = "--private-key"
	}
	info, err := os.Stat(c.Path)
	switch {
	case err == nil && !info.IsDir():
		return problem.New(problem.Failed, c.Path, "this is neither the folder of an export nor an archive of archivoltd", "name one of these; Cisco's archives hold nothing by which they could be verified")
	case flag != "":
		return problem.New(problem.Usage, flag, "an export is verified without it", "leave it out, or name an archive of archivoltd")
	}
	return nil
}

// verifiedArchive is the result as JSON.
type verifiedArchive struct {
	File           string   `json:"file"`
	Archive        string   `json:"archive"`
	Result         string   `json:"result"`
	Entries        int64    `json:"entries"`
	Records        int64    `json:"records"`
	Erased         int64    `json:"erased"`
	Epochs         int      `json:"epochs"`
	CheckpointSize int64    `json:"checkpoint_entries"`
	CheckpointTime string   `json:"checkpoint_time"`
	Uncovered      int64    `json:"entries_after_checkpoint"`
	SignerChecked  bool     `json:"signer_checked"`
	Anchored       bool     `json:"anchored"`
	AnchorSize     *int64   `json:"anchor_entries"`
	AnchorTime     *string  `json:"anchor_time"`
	Opened         int64    `json:"opened"`
	Shut           int64    `json:"not_opened"`
	NotProven      []string `json:"not_proven"`
}

// archive verifies an archive of ours.
func (c *verifyCmd) archive(a *app, trusted signers) error {
	name, err := c.oneArchive()
	if err != nil {
		return err
	}
	o := audit.Options{Name: name, Now: time.Now()}
	switch {
	case len(trusted.exports) > 0:
		return problem.New(problem.Usage, "--signer", "this is the verifier of an officer, who signs exports, and not of an archive", "take checkpoint.pub from the state folder of its archivoltd")
	case len(trusted.checkpoints) > 1:
		return problem.New(problem.Usage, "--signer", "an archive has one signer, and several were named", "name the checkpoint.pub of its archivoltd alone")
	case len(trusted.checkpoints) == 1:
		o.Signer = trusted.checkpoints[0]
	}
	for _, name := range c.Anchor {
		data, err := a.readAnchor(name)
		if err != nil {
			return err
		}
		o.Anchors = append(o.Anchors, audit.Anchor{Name: name, Data: data})
	}
	if len(c.PrivateKey) > 0 {
		if o.Identities, err = c.openIdentities(a); err != nil {
			return err
		}
	}
	s, err := archive.OpenStore(name)
	if err != nil {
		return err
	}
	defer s.Close()
	if !a.quiet && a.errTerminal {
		o.Progress = a.progress(false)
	}
	r, err := audit.Verify(a.ctx, s, o)
	if err != nil {
		return err
	}
	return c.tell(a, name, r, o)
}

// oneArchive is the file to verify: the folder of an archive stands for it.
func (c *verifyCmd) oneArchive() (string, error) {
	info, err := os.Stat(c.Path)
	if err != nil || !info.IsDir() {
		return c.Path, err
	}
	entries, err := os.ReadDir(c.Path)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(c.Path, e.Name())
		if kind, err := archive.KindOf([]string{path}); err == nil && kind == archive.Own && !e.IsDir() {
			found = append(found, path)
		}
	}
	if len(found) != 1 {
		return "", problem.New(problem.Usage, c.Path, "this folder holds several archives", "verify each by itself: "+strings.Join(found, ", "))
	}
	return found[0], nil
}

// tell says what was shown, and what was not.
func (c *verifyCmd) tell(a *app, name string, r *audit.Result, o audit.Options) error {
	v := verifiedArchive{File: name, Archive: r.ID.String(), Entries: r.Size, Records: r.Records, Erased: r.Erased, Epochs: r.Epochs,
		CheckpointSize: r.Checkpoint.Size, CheckpointTime: instant(r.Checkpoint.Time), Uncovered: r.Uncovered, SignerChecked: r.Signed, Opened: r.Opened, Shut: r.Shut}
	say := []string{"consistent"}
	if r.Signed {
		say = append(say, "signed by the archive's key")
	} else {
		say = append(say, "signer not checked")
		v.NotProven = append(v.NotProven, "signer not checked: anybody can sign a checkpoint; add --signer with checkpoint.pub of this archive's archivoltd")
	}
	if p := r.Anchored; p != nil {
		at := instant(p.Time)
		v.Anchored, v.AnchorSize, v.AnchorTime = true, &p.Size, &at
		say = append(say, "complete until "+at)
		v.NotProven = append(v.NotProven, fmt.Sprintf("freshness: the newest anchor is of %s, over %s; of what came later, records at the end may have been cut off together with their checkpoint", at, counted(p.Size, "entry")))
	} else {
		say = append(say, "freshness not proven")
		v.NotProven = append(v.NotProven, "freshness not proven: records at the end may have been cut off together with their checkpoint; add --anchor with a checkpoint that was kept elsewhere")
	}
	if r.Uncovered > 0 {
		v.NotProven = append(v.NotProven, fmt.Sprintf("the last %s are newer than the last checkpoint: nothing shows yet who wrote them", counted(r.Uncovered, "entry")))
	}
	if len(o.Identities) == 0 {
		v.NotProven = append(v.NotProven, "nothing was opened: that the wrapped keys open, and the records hold what was committed to, --private-key shows")
	} else if r.Shut > 0 {
		v.NotProven = append(v.NotProven, counted(r.Shut, "record")+" could not be opened with the identities given")
	}
	v.Result = strings.Join(say, "; ")
	if a.json {
		return printJSON(a.out, v)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n  archive %s: %s, %s under %s", name, v.Result, v.Archive, counted(r.Size, "entry"), counted(r.Records, "record"), counted(int64(r.Epochs), "data key"))
	if r.Erased > 0 {
		fmt.Fprintf(&b, ", %s of them erased", thousands(r.Erased))
	}
	fmt.Fprintf(&b, "\n  last checkpoint over %s, of %s\n", counted(r.Checkpoint.Size, "entry"), v.CheckpointTime)
	if r.Opened > 0 {
		fmt.Fprintf(&b, "  %s opened, and what they hold is what was committed to\n", counted(r.Opened, "record"))
	}
	fmt.Fprintln(&b, "  not shown:")
	for _, line := range v.NotProven {
		fmt.Fprintf(&b, "  - %s\n", line)
	}
	return writeAll(a.out, b.Bytes())
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// maxAnchors bounds a file of checkpoints in bytes: one a minute for some years.
const maxAnchors = 1 << 30

// readAnchor reads a file of checkpoints.
func (a *app) readAnchor(name string) ([]byte, error) {
	if info, err := os.Stat(name); err == nil && info.Size() > maxAnchors {
		return nil, problem.New(problem.Failed, name, "this is too large for a file of checkpoints", "name a part of it: the last checkpoint is enough")
	}
	return os.ReadFile(name)
}
