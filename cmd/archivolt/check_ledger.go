package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"archivolt/internal/archive"
	"archivolt/internal/audit"
)

// readLives reads what the ledgers of an archive of ours tell of its life.
func readLives(ctx context.Context, src *archive.Archive) (lives []namedLife, err error) {
	for _, l := range src.Ledgers() {
		life, err := audit.ReadLife(ctx, l)
		if err != nil {
			return nil, err
		}
		lives = append(lives, namedLife{l.Name, life})
	}
	return lives, nil
}

// namedLife is the life of one of several ledgers.
type namedLife struct {
	name string
	*audit.Life
}

// readEventLogs reads what archivoltd has noted beside tables in Cisco's format.
func readEventLogs(ctx context.Context, src *archive.Archive) (logs []namedLog, err error) {
	list, err := src.EventLogs(ctx)
	for _, l := range list {
		logs = append(logs, namedLog{l, audit.LifeOf(l.Events)})
	}
	return logs, err
}

// namedLog is what stands beside one of several tables.
type namedLog struct {
	archive.EventLog
	life *audit.Life
}

// logs writes what happened to people.
func (c *checkCmd) logs(b *bytes.Buffer, logs []namedLog) {
	for _, l := range logs {
		fmt.Fprintf(b, "\narchivoltd has filled %s, and noted beside it %s", l.Name, counted(int64(len(l.Events)), "event"))
		if first, last := l.ends(); !first.IsZero() {
			fmt.Fprintf(b, ", from %s to %s", c.stamp(first), c.stamp(last))
		}
		fmt.Fprint(b, "\n  (as the database says: nothing shows whether somebody has changed it)\n")
		if l.Unreadable > 0 {
			fmt.Fprintf(b, "  %s of archivolt_events cannot be read\n", counted(int64(l.Unreadable), "row"))
		}
		if len(l.Events) > 0 {
			c.events(b, l.life)
		}
	}
}

// ends are the times of the first and the last event, zero if there is none.
func (l *namedLog) ends() (first, last time.Time) {
	n := len(l.Events)
	if n == 0 {
		return first, last
	}
	return time.UnixMilli(l.Events[0].Time).UTC(), time.UnixMilli(l.Events[n-1].Time).UTC()
}

// maxLifeLines is how many events of one kind the report for people lists.
const maxLifeLines = 20

// lives writes what happened to people.
func (c *checkCmd) lives(b *bytes.Buffer, lives []namedLife) {
	for _, l := range lives {
		fmt.Fprintf(b, "\nledger of %s: %s", l.name, counted(l.Size, "entry"))
		if p := l.Checkpoint; p != nil {
			fmt.Fprintf(b, ", the last checkpoint over %s at %s", thousands(p.Size), c.stamp(p.Time))
		} else {
			fmt.Fprint(b, ", and no checkpoint that can be read")
		}
		fmt.Fprint(b, "\n  (as it says itself: archivolt verify tells whether it was changed)\n")
		c.epochs(b, l.Epochs)
		for _, s := range l.Sources {
			if !s.BestEffort() {
				fmt.Fprintf(b, "  source %s: delivered until number %d\n", safe(s.Name), s.Number)
			}
		}
		if n := l.connections(); n > 0 {
			fmt.Fprintf(b, "  %s to servers that cannot number their copies: best effort, what was lost on the way nobody can tell\n", counted(n, "connection"))
		}
		c.events(b, l.Life)
	}
}

// connections counts the sources that are best effort.
func (l *namedLife) connections() (n int64) {
	for _, s := range l.Sources {
		if s.BestEffort() {
			n++
		}
	}
	return n
}

func (c *checkCmd) epochs(b *bytes.Buffer, epochs []audit.Epoch) {
	fmt.Fprintf(b, "  %s, each sealed for\n", counted(int64(len(epochs)), "data key"))
	for i := 0; i < len(epochs); {
		same := i
		for same < len(epochs) && epochs[same].Class == epochs[i].Class && strings.Join(epochs[same].Recipients, " ") == strings.Join(epochs[i].Recipients, " ") {
			same++
		}
		which := fmt.Sprintf("epoch %d, from %s", epochs[i].Number, c.stamp(epochs[i].Begin))
		if same > i+1 {
			which = fmt.Sprintf("epochs %d to %d, from %s", epochs[i].Number, epochs[same-1].Number, c.stamp(epochs[i].Begin))
		}
		fmt.Fprintf(b, "    %s (%s):\n", which, safe(epochs[i].Class))
		for _, r := range epochs[i].Recipients {
			fmt.Fprintf(b, "      %s\n", r)
		}
		i = same
	}
}

// events lists what happened, by kind.
func (c *checkCmd) events(b *bytes.Buffer, l *audit.Life) {
	state := "the last run has stopped in order"
	if l.Running {
		state = "the last run goes on, or did not end in order"
	}
	fmt.Fprintf(b, "  %s of archivoltd; %s\n", counted(int64(len(l.Starts)), "start"), state)
	lines := func(title string, n int, line func(i int) string) {
		if n == 0 {
			return
		}
		fmt.Fprintf(b, "  %s\n", title)
		for i := range min(n, maxLifeLines) {
			fmt.Fprintf(b, "    %s\n", safe(line(i)))
		}
		if n > maxLifeLines {
			fmt.Fprintf(b, "    and %d more, which --json lists\n", n-maxLifeLines)
		}
	}
	var disorder []audit.Start
	for _, s := range l.Starts {
		if s.Disorder {
			disorder = append(disorder, s)
		}
	}
	lines("ends that were not orderly", len(disorder), func(i int) string {
		return fmt.Sprintf("last sign %s, started again %s: %s", c.stamp(disorder[i].Sign), c.stamp(disorder[i].At), disorder[i].Detail)
	})
	event := func(list []audit.Event) func(int) string {
		return func(i int) string {
			return strings.TrimSuffix(fmt.Sprintf("%s %s: %s", c.stamp(list[i].At), list[i].Name, list[i].Detail), ": ")
		}
	}
	period := func(list []audit.Period) func(int) string {
		return func(i int) string {
			return strings.TrimSuffix(c.stamp(list[i].From)+" "+lasted(list[i])+": "+list[i].Detail, ": ")
		}
	}
	lines("gaps in delivery numbers", len(l.Gaps), event(l.Gaps))
	lines("times when archivoltd did not run", len(l.Down), period(l.Down))
	lines("connections that were lost, until the server came back or archivoltd stopped", len(l.Lost), period(l.Lost))
	lines("times when the spool was full and nothing was acknowledged", len(l.Full), period(l.Full))
	lines("times without a sign of archivoltd, which gives one an hour", len(l.Silent), period(l.Silent))
	lines("other people than before can read what was captured from then on", len(l.Recipients), event(l.Recipients))
	lines("other events", len(l.Others), event(l.Others))
}

// lasted says how long something lasted.
func lasted(p audit.Period) string {
	if p.To.IsZero() {
		return "until now"
	}
	return "for " + p.To.Sub(p.From).Round(time.Second).String()
}

// ledgerResult is a ledger's life as JSON.
type ledgerResult struct {
	Name           string          `json:"name"`
	Archive        string          `json:"archive"`
	Entries        int64           `json:"entries"`
	CheckpointSize *int64          `json:"checkpoint_entries"`
	CheckpointTime string          `json:"checkpoint_time"`
	Running        bool            `json:"running"`
	Epochs         []dataKeyResult `json:"epochs"`
	Sources        []sourceResult  `json:"sources"`
	BestEffort     int64           `json:"best_effort_connections"`
	eventsResult
}

// eventsResult is what happened to a writer as JSON.
type eventsResult struct {
	Starts     []startResult     `json:"starts"`
	Down       []periodResult    `json:"not_running"`
	Lost       []periodResult    `json:"connections_lost"`
	Full       []periodResult    `json:"spool_full"`
	Silent     []periodResult    `json:"silent"`
	Gaps       []lifeEventResult `json:"delivery_gaps"`
	Recipients []lifeEventResult `json:"recipients_changed"`
	Others     []lifeEventResult `json:"other_events"`
}

// eventLogResult is what stands beside a table in Cisco's format as JSON.
type eventLogResult struct {
	Name       string `json:"name"`
	Events     int    `json:"events"`
	Unreadable int    `json:"unreadable_events"`
	First      string `json:"first"`
	Last       string `json:"last"`
	Running    bool   `json:"running"`
	eventsResult
}

type dataKeyResult struct {
	Number     uint64   `json:"number"`
	Key        string   `json:"key"`
	Begin      string   `json:"begin"`
	Class      string   `json:"class"`
	Recipients []string `json:"recipients"`
	Writer     string   `json:"writer"`
}

type sourceResult struct {
	Name   string `json:"name"`
	Number uint64 `json:"last_number"`
}

type startResult struct {
	At       string `json:"at"`
	Detail   string `json:"detail"`
	Disorder bool   `json:"after_disorderly_end"`
	Sign     string `json:"last_sign_before"`
}

type periodResult struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Detail string `json:"detail"`
}

type lifeEventResult struct {
	At     string `json:"at"`
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

func (c *checkCmd) eventsResult(l *audit.Life) eventsResult {
	periods := func(list []audit.Period) []periodResult {
		out := []periodResult{}
		for _, p := range list {
			out = append(out, periodResult{c.stamp(p.From), c.stamp(p.To), p.Detail})
		}
		return out
	}
	events := func(list []audit.Event) []lifeEventResult {
		out := []lifeEventResult{}
		for _, e := range list {
			out = append(out, lifeEventResult{c.stamp(e.At), string(e.Name), e.Detail})
		}
		return out
	}
	r := eventsResult{Starts: []startResult{}, Down: periods(l.Down), Lost: periods(l.Lost), Full: periods(l.Full), Silent: periods(l.Silent),
		Gaps: events(l.Gaps), Recipients: events(l.Recipients), Others: events(l.Others)}
	for _, s := range l.Starts {
		r.Starts = append(r.Starts, startResult{c.stamp(s.At), s.Detail, s.Disorder, c.stamp(s.Sign)})
	}
	return r
}

func (c *checkCmd) logResults(logs []namedLog) (results []eventLogResult) {
	for _, l := range logs {
		first, last := l.ends()
		results = append(results, eventLogResult{l.Name, len(l.Events), l.Unreadable, c.stamp(first), c.stamp(last), l.life.Running, c.eventsResult(l.life)})
	}
	return results
}

func (c *checkCmd) ledgerResults(lives []namedLife) (results []ledgerResult) {
	for _, l := range lives {
		r := ledgerResult{Name: l.name, Archive: l.ID.String(), Entries: l.Size, Running: l.Running, Epochs: []dataKeyResult{}, Sources: []sourceResult{},
			BestEffort: l.connections(), eventsResult: c.eventsResult(l.Life)}
		if p := l.Checkpoint; p != nil {
			r.CheckpointSize, r.CheckpointTime = &p.Size, c.stamp(p.Time)
		}
		for _, e := range l.Epochs {
			r.Epochs = append(r.Epochs, dataKeyResult{e.Number, e.Key, c.stamp(e.Begin), e.Class, e.Recipients, e.Writer})
		}
		for _, s := range l.Sources {
			if !s.BestEffort() {
				r.Sources = append(r.Sources, sourceResult{s.Name, s.Number})
			}
		}
		results = append(results, r)
	}
	return results
}
