package capture

import (
	"encoding/hex"
	"fmt"
	"strings"

	"archivolt/internal/ledger"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
	"archivolt/internal/spool"
)

// started says what the start has found, as events for the ledger and in the
// log. It runs before anything else does.
func (s *Service) started(at position, backlog int) (events []ledger.Event) {
	record := func(name ledger.Name, detail string) {
		events = append(events, ledger.Event{Time: s.cfg.now().UnixMilli(), Name: name, Detail: detail})
	}
	found := "after an orderly end"
	switch torn := s.spool.Torn(); {
	case at.size == 0 && backlog == 0:
		found = "for the first time"
		record(ledger.Created, s.cfg.Writer)
	case !at.orderly:
		s.found.disorderly = true
		found = fmt.Sprintf("after an end that was not orderly: acknowledged and not yet stored %d entries, torn and never acknowledged %d bytes", backlog, torn)
		s.cfg.Log.Warn("the last run did not end in order", "acknowledged_not_stored", backlog, "torn_bytes", torn)
	}
	record(ledger.Started, s.cfg.Writer+", "+found)
	for _, h := range s.spool.Holes() {
		s.cfg.Log.Error("acknowledged entries are missing from the spool: somebody has taken them away, or the disk has lost them", "first", h.First, "last", h.Last)
		record(ledger.Missing, fmt.Sprintf("the entries %d to %d of the spool, which were acknowledged", h.First, h.Last))
	}
	if at.anchorMissing {
		s.found.anchorMissing = true
		s.cfg.Log.Error("the last anchor is missing: nobody can say whether this store is the one that was left")
		record(ledger.AnchorMissing, "the writer found no anchor of its own")
	}
	record(ledger.Configuration, s.cfg.Configuration)
	who := fingerprints(s.cfg.Recipients)
	if at.recipients != "" && at.recipients != who {
		s.found.otherRecipients = true
		s.cfg.Log.Warn("other people than before can read what is captured from now on", "recipients", who)
		record(ledger.Recipients, who)
	}
	if weak := s.cfg.Recipients.NotPostQuantum(); len(weak) > 0 {
		s.cfg.Log.Warn("not post-quantum, because of recipients", "files", weak)
	}
	s.cfg.Log.Info("started", "archive", s.id.String(), "entries", at.size, "class", s.cfg.Recipients.Class(), "found", found)
	return events
}

func fingerprints(r *seal.Recipients) string { return hexList(r.Fingerprints()) }

func hexList(hashes [][ledger.HashSize]byte) string {
	var list []string
	for _, h := range hashes {
		list = append(list, hex.EncodeToString(h[:]))
	}
	return strings.Join(list, " ")
}

// checkSpool refuses a spool that was filled for another state of the archive:
// by a daemon with a copy of this folder, or before the archive's position was
// changed. Its newest entry that the archive has must be the one that stands
// there.
func (s *Service) checkSpool(to archive, at position) error {
	if at.spool < at.left {
		if missing := s.spool.Missing(at.left); missing > 0 {
			return olderTable(s.cfg.StateDir, at, missing)
		}
		s.cfg.Log.Warn("an older copy of the table was put back; what it lacks is in the spool still and comes in again", "from", at.spool+1, "to", at.left)
	}
	var newest *spool.Entry
	r := s.spool.Reader(0)
	defer r.Close()
	for done := false; !done; {
		entries, err := r.Next(maxStoreBytes)
		if err != nil {
			return spoolProblem(s.cfg.StateDir, err)
		}
		done = len(entries) == 0
		for i := range entries {
			if entries[i].Number > at.spool {
				done = true
				break
			}
			newest = &entries[i]
		}
	}
	if newest == nil {
		return nil
	}
	_, canonical, _, err := decode(newest.Data, s.id)
	if err != nil {
		return spoolProblem(s.cfg.StateDir, err)
	}
	same, err := to.holds(ledger.Leaf(canonical), at.spool-newest.Number)
	if err != nil || same {
		return err
	}
	return problem.New(problem.Unverified, spoolDir(s.cfg.StateDir), "what is in this spool does not continue this archive: another daemon has written to the archive, or somebody has changed its position",
		"run only one archivoltd for one archive. Keep this folder, since it may hold acknowledged messages that are in no archive; find out what happened with archivolt verify; then move the folder away")
}
