package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"

	"archivolt/internal/archive"
	"archivolt/internal/message"
	"archivolt/internal/proof"
)

// evidenceFile writes ledger.jsonl, which ties what is exported of an archive of
// ours to its ledger. One that is nil writes nothing: archives of Cisco's have
// no ledger.
type evidenceFile struct {
	ctx      context.Context
	prover   *archive.Prover
	ledgers  map[string]archive.ProvenLedger
	file     io.Closer
	w        *bufio.Writer
	line     []byte
	messages int64
	records  int64
	unproven int64
}

func newEvidenceFile(ctx context.Context, src *archive.Archive, folder *exportFolder) (*evidenceFile, error) {
	prover, err := src.Prover()
	if prover == nil || err != nil {
		return nil, err
	}
	file, err := folder.Create(proof.LedgerName)
	if err != nil {
		prover.Close()
		return nil, err
	}
	e := &evidenceFile{ctx: ctx, prover: prover, file: file, w: bufio.NewWriterSize(file, 256<<10), ledgers: map[string]archive.ProvenLedger{}}
	for _, l := range prover.Ledgers() {
		e.ledgers[l.Name] = l
	}
	return e, nil
}

// add writes the evidence for the next message.
func (e *evidenceFile) add(origins []message.Origin) error {
	if e == nil {
		return nil
	}
	e.messages++
	for _, o := range origins {
		found, err := e.prover.Evidence(e.ctx, o)
		if err != nil {
			return err
		}
		line := proof.Evidence{Message: e.messages, Index: found.Index, Entry: base64.StdEncoding.EncodeToString(found.Entry)}
		if found.Key != nil {
			key, plain := base64.StdEncoding.EncodeToString(found.Key[:]), base64.StdEncoding.EncodeToString(found.Plain)
			line.Key, line.Plain = &key, &plain
		}
		if e.records++; found.Proof == nil {
			e.unproven++
		} else {
			line.Proof = make([]string, 0, len(found.Proof))
			for _, h := range found.Proof {
				line.Proof = append(line.Proof, base64.StdEncoding.EncodeToString(h[:]))
			}
		}
		if e.line, err = line.Append(e.line[:0]); err != nil {
			return err
		}
		if err := writeAll(e.w, e.line); err != nil {
			return err
		}
	}
	return nil
}

// describe names the ledgers in the manifest.
func (e *evidenceFile) describe(m *proof.Manifest) {
	if e == nil {
		return
	}
	for i := range m.Archives {
		l := e.ledgers[m.Archives[i].Name]
		m.Archives[i].Ledger = &proof.Ledger{Archive: l.ID.String()}
		if l.Checkpoint != nil {
			text := string(l.Checkpoint)
			m.Archives[i].Ledger.Checkpoint = &text
		}
	}
}

// note tells what has no proof.
func (e *evidenceFile) note(a *app) {
	switch {
	case e == nil:
	case e.unproven == 0:
		a.note("%s tied to the signed ledger, in %s", counted(e.records, "record"), proof.LedgerName)
	default:
		a.warn(counted(e.unproven, "record")+" of "+thousands(e.records)+" could not be tied to the signed ledger",
			"they are newer than its last checkpoint, which archivoltd signs every minute, or archivolt verify names what was changed")
	}
}

// close writes out what is buffered and closes the file.
func (e *evidenceFile) close() error {
	if e == nil {
		return nil
	}
	return errors.Join(e.w.Flush(), e.file.Close())
}

// end lets go of the archive.
func (e *evidenceFile) end() {
	if e != nil {
		e.prover.Close()
	}
}
