package archive

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"archivolt/internal/cisco"
	"archivolt/internal/ledger"
)

// eventTable lies beside JM where archivoltd fills it (docs/format/cisco.md,
// "Events").
const eventTable = "archivolt_events"

// EventLog is what archivoltd has noted beside a table JM that it fills.
type EventLog struct {
	Name       string         // of the table JM, as Tables has it
	Events     []ledger.Event // in their order
	Unreadable int            // rows that are no events
}

// EventLogs reads the events beside each table JM; not while rows are read. What
// IM&P has filled has none, nor has a file with one table.
func (a *Archive) EventLogs(ctx context.Context) (logs []EventLog, err error) {
	seen := map[*rooms]bool{nil: true}
	for _, p := range a.parts {
		t, ok := p.stored.(*jm)
		if !ok || seen[t.rooms] {
			continue
		}
		seen[t.rooms] = true
		l, found, err := readEvents(ctx, t.rooms.database)
		if err != nil {
			return nil, err
		}
		if found {
			l.Name = p.name
			logs = append(logs, l)
		}
	}
	return logs, nil
}

// readEvents reads the table of events, if the database has one.
func readEvents(ctx context.Context, d database) (l EventLog, found bool, err error) {
	type numbered struct {
		entry uint64
		ledger.Event
	}
	var list []numbered
	found, err = d.Table(ctx, eventTable, []string{"entry", "time", "name", "detail"}, func(cells [][]byte) error {
		entry, err := strconv.ParseUint(string(cells[0]), 10, 64)
		at, ok := cisco.ParseSentDate(cells[1])
		if err != nil || !ok || len(cells[2]) == 0 {
			l.Unreadable++
			return nil
		}
		list = append(list, numbered{entry, ledger.Event{Time: at.UnixMilli(), Name: ledger.Name(cells[2]), Detail: string(cells[3])}})
		return nil
	})
	slices.SortStableFunc(list, func(x, y numbered) int { return cmp.Compare(x.entry, y.entry) })
	for _, e := range list {
		l.Events = append(l.Events, e.Event)
	}
	return l, found, err
}
