package capture

import (
	"encoding/hex"
	"fmt"
	"strings"

	"archivolt/internal/ledger"
	"archivolt/internal/seal"
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

func fingerprints(r *seal.Recipients) string {
	var list []string
	for _, f := range r.Fingerprints() {
		list = append(list, hex.EncodeToString(f[:]))
	}
	return strings.Join(list, " ")
}
