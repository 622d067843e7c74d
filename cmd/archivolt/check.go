package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"archivolt/internal/export"
	"archivolt/internal/message"
	"archivolt/internal/problem"
	"archivolt/internal/review"
)

// checkCmd reports on an archive.
type checkCmd struct {
	archiveFlags
	Archive []string `arg:"" optional:"" help:"The exported table, or an archive of archivoltd."`
}

func (checkCmd) Help() string {
	return `Examples:

    archivolt check jm.csv --private-key private_key.pem --key encrypted_key.pem
    archivolt check jm.csv
    archivolt check archive.db --private-key officer.id

It needs no key to count rows; with keys it tells which rows they open, and since when. Of an archive of archivoltd it also tells what its ledger says: for whom it is sealed, when the writer or a connection was away, what was never delivered; likewise of a database that archivoltd fills in Cisco's format. The report can be attached: it holds no message.`
}

func (c *checkCmd) Run(a *app) error {
	src, _, err := c.ask(a, c.Archive, &filterFlags{}, false)
	if err != nil {
		return err
	}
	defer src.Close()
	r, err := review.Check(a.ctx, src, export.Place)
	if err != nil {
		return err
	}
	advice, err := src.Advice(a.ctx)
	if err != nil {
		return err
	}
	lives, err := readLives(a.ctx, src)
	if err != nil {
		return err
	}
	logs, err := readEventLogs(a.ctx, src)
	if err != nil {
		return err
	}
	if a.json {
		result := c.result(r, src.Describe())
		result.Ledgers, result.EventLogs = c.ledgerResults(lives), c.logResults(logs)
		if err := printJSON(a.out, result); err != nil {
			return err
		}
	} else {
		var b bytes.Buffer
		c.report(&b, r, src.Describe())
		c.lives(&b, lives)
		c.logs(&b, logs)
		if len(advice) > 0 {
			fmt.Fprintf(&b, indexAdvice, strings.Join(advice, "\n"))
		}
		if err := writeAll(a.out, visible(b.Bytes())); err != nil {
			return err
		}
	}
	return c.outcome(&r.Account)
}

// indexAdvice tells how --fast gets fast.
const indexAdvice = `
to make --fast fast, on a restored copy of the database rather than where the archiver writes:

%s

Index no whole address: a long one does not fit into an index entry (1,700 bytes in SQL Server, about 2,700 in PostgreSQL), and the archiver could not store its message.
`

// outcome is the end of a check: the report has said already what is wrong.
func (c *checkCmd) outcome(r *review.Account) error {
	n := r.Unreadable()
	if n == 0 {
		return nil
	}
	try := c.advice.more
	switch {
	case r.Status[message.NoKey] == 0:
		try = c.advice.damaged
	case !c.advice.given:
		try = c.advice.add + ", to see what it opens"
	}
	class := problem.Partial
	if r.Keyed == 0 && r.Status[message.NoKey] > 0 && r.Status[message.Plain] == 0 && c.advice.given {
		class = problem.WrongKey
	}
	return problem.New(class, "", counted(n, "row")+" could not be read", try)
}

// checkResult is the report as JSON.
type checkResult struct {
	Files    []string         `json:"files"`
	Rows     int64            `json:"rows"`
	Status   map[string]int64 `json:"status"`
	Messages int64            `json:"messages"`
	Unread   int64            `json:"unreadable_rows"`
	Copies   int64            `json:"copies"`
	Replays  int64            `json:"replays"`
	Signals  int64            `json:"signals"`
	Errors   int64            `json:"errors"`
	In       int64            `json:"in"`
	Out      int64            `json:"out"`
	EndToEnd int64            `json:"end_to_end_encrypted"`
	NoDate   int64            `json:"without_date"`
	First    string           `json:"first"`
	Last     string           `json:"last"`
	Keys     []epochResult    `json:"keys"`
	Gaps     []gapResult      `json:"gaps"`
	Reasons  []reasonResult   `json:"reasons"`
	Further  int64            `json:"rows_of_further_reasons"`
	Ledgers  []ledgerResult   `json:"ledgers,omitempty"`

	EventLogs []eventLogResult `json:"event_logs,omitempty"`
}

type epochResult struct {
	Fingerprint string `json:"fingerprint"`
	Rows        int64  `json:"rows"`
	First       string `json:"first"`
	Last        string `json:"last"`
}

type gapResult struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type reasonResult struct {
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Rows    int64  `json:"rows"`
	Example string `json:"example"`
}

func (c *checkCmd) result(r *review.Report, files []string) checkResult {
	out := checkResult{Files: files, Rows: r.Rows, Status: map[string]int64{}, Messages: r.Utterances, Unread: r.Unread, Copies: r.Copies, Replays: r.Replays,
		Signals: r.Signals, Errors: r.Errors, In: r.In, Out: r.Out, EndToEnd: r.EndToEnd, NoDate: r.NoDate, First: c.stamp(r.First), Last: c.stamp(r.Last),
		Keys: []epochResult{}, Gaps: []gapResult{}, Reasons: []reasonResult{}, Further: r.Further}
	for s := range message.NumStatus {
		out.Status[s.String()] = r.Status[s]
	}
	for _, k := range r.Keys {
		out.Keys = append(out.Keys, epochResult{k.Fingerprint, k.Rows, c.stamp(k.First), c.stamp(k.Last)})
	}
	for _, g := range r.Gaps {
		out.Gaps = append(out.Gaps, gapResult{c.stamp(g.From), c.stamp(g.To)})
	}
	for _, e := range r.Reasons {
		out.Reasons = append(out.Reasons, reasonResult{e.Status.String(), e.Text, e.Rows, e.Example})
	}
	return out
}

// maxReasonLines is how many reasons the report for people lists.
const maxReasonLines = 20

func (c *checkCmd) report(b *bytes.Buffer, r *review.Report, files []string) {
	for _, f := range files {
		fmt.Fprintf(b, "%s\n", f)
	}
	fmt.Fprintf(b, "\n%s", counted(r.Rows, "row"))
	if !r.First.IsZero() {
		fmt.Fprintf(b, ", from %s to %s", c.stamp(r.First), c.stamp(r.Last))
	}
	fmt.Fprintln(b)
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', tabwriter.AlignRight)
	for s := range message.NumStatus {
		if n := r.Status[s]; n > 0 {
			fmt.Fprintf(t, "  %s\t%s\t %s\n", thousands(n), percent(n, r.Rows), statusWords[s])
		}
	}
	_ = t.Flush() // into memory
	fmt.Fprintf(b, "\n%s, the same in %s\n", counted(r.Utterances, "message"), counted(r.Copies, "further copy"))
	for _, line := range []struct {
		n    int64
		text string
	}{
		{r.Unread, "that nobody can read: no message, or one of its own each"}, {r.Replays, "pushed again to people who entered a room"}, {r.Signals, "without any text (typing, receipts)"},
		{r.Errors, "came back as undeliverable"}, {r.EndToEnd, "encrypted by the clients themselves: the archive does not hold their text"},
		{r.NoDate, "with a date that cannot be read"},
	} {
		if line.n > 0 {
			fmt.Fprintf(b, "  %s %s\n", counted(line.n, "row"), line.text)
		}
	}
	fmt.Fprintf(b, "  direction: %s in, %s out\n", thousands(r.In), thousands(r.Out))
	if r.In > 0 && r.Out == 0 {
		fmt.Fprintf(b, "  no row is of direction O: outbound logging seems to have been off, so messages to other servers are missing\n")
	}
	c.bars(b, r)
	if len(r.Gaps) > 0 {
		fmt.Fprintf(b, "\nlongest times without a row\n")
		for _, g := range r.Gaps {
			fmt.Fprintf(b, "  %s to %s (%d days)\n", c.stamp(g.From), c.stamp(g.To), int(g.To.Sub(g.From).Hours()/24))
		}
	}
	if len(r.Reasons) > 0 {
		fmt.Fprintf(b, "\nwhat is not in order, and the first row of each kind\n")
		for i, e := range r.Reasons {
			if i == maxReasonLines {
				fmt.Fprintf(b, "  and %d more kinds, which --json lists\n", len(r.Reasons)-i)
				break
			}
			fmt.Fprintf(b, "  %s %s: %s (%s)\n", counted(e.Rows, "row"), e.Status, safe(e.Text), safe(e.Example))
		}
		if r.Further > 0 {
			fmt.Fprintf(b, "  %s of still other kinds, too many to tell apart\n", counted(r.Further, "row"))
		}
	}
}

func percent(n, of int64) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

// Letters and widths of the bars.
const (
	maxBars  = 30
	barWidth = 40
	plainBar = '.'
	noKeyBar = '?'
)

// bars draws how many rows there are over time, and under which key.
func (c *checkCmd) bars(b *bytes.Buffer, r *review.Report) {
	if len(r.Keys) > 0 {
		fmt.Fprintf(b, "\nkeys\n")
	}
	letter := map[string]rune{}
	for i, k := range r.Keys {
		letter[k.Fingerprint] = rune('A' + i%26)
		fmt.Fprintf(b, "  %c  %s  %s from %s to %s\n", letter[k.Fingerprint], k.Fingerprint, counted(k.Rows, "row"), c.stamp(k.First), c.stamp(k.Last))
	}
	if len(r.Days) == 0 {
		return
	}
	buckets, unit := group(r.Days)
	most := int64(1)
	for _, d := range buckets {
		most = max(most, total(d))
	}
	fmt.Fprintf(b, "\nrows by %s (letter: key, %c never encrypted, %c no key)\n", unit, plainBar, noKeyBar)
	layout := map[string]string{"day": "2006-01-02", "week": "2006-01-02", "month": "2006-01", "year": "2006"}[unit]
	for _, d := range buckets {
		var bar strings.Builder
		draw := func(n int64, r rune) {
			width := int(n * barWidth / most)
			if n > 0 && width == 0 {
				width = 1
			}
			bar.WriteString(strings.Repeat(string(r), width))
		}
		draw(d.Plain, plainBar)
		for _, k := range r.Keys {
			draw(d.Keys[k.Fingerprint], letter[k.Fingerprint])
		}
		draw(d.NoKey, noKeyBar)
		fmt.Fprintf(b, "  %s %10s %s\n", d.Date.Format(layout), thousands(total(d)), bar.String())
	}
}

func total(d review.Day) int64 {
	n := d.Plain + d.NoKey
	for _, k := range d.Keys {
		n += k
	}
	return n
}

// group joins days to the smallest unit of which at most maxBars are needed.
func group(days []review.Day) (buckets []review.Day, unit string) {
	for _, u := range []struct {
		name  string
		start func(time.Time) time.Time
	}{
		{"day", func(t time.Time) time.Time { return t }},
		{"week", func(t time.Time) time.Time { return t.AddDate(0, 0, -(int(t.Weekday())+6)%7) }},
		{"month", func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }},
		{"year", func(t time.Time) time.Time { return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC) }},
	} {
		buckets, unit = nil, u.name
		for _, d := range days {
			start := u.start(d.Date)
			if n := len(buckets); n == 0 || !buckets[n-1].Date.Equal(start) {
				buckets = append(buckets, review.Day{Date: start, Keys: map[string]int64{}})
			}
			to := &buckets[len(buckets)-1]
			to.Plain += d.Plain
			to.NoKey += d.NoKey
			for k, n := range d.Keys {
				to.Keys[k] += n
			}
		}
		if len(buckets) <= maxBars {
			break
		}
	}
	return buckets, unit
}
