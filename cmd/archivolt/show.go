package main

import (
	"bufio"
	"errors"

	"archivolt/internal/export"
	"archivolt/internal/problem"
	"archivolt/internal/review"
	"archivolt/internal/transcript"
)

// showCmd shows a conversation.
type showCmd struct {
	archiveFlags
	filterFlags
	Archive []string `arg:"" optional:"" help:"The exported table."`
}

func (showCmd) Help() string {
	return `Examples:

    archivolt show jm.csv --with anna.berg@example.com --with boris.iwanow@example.com --profile legal
    archivolt show jm.csv --room ops@conference-2-standalone.example.com --since 2024-01-31 --until 2024-01-31`
}

func (c *showCmd) Run(a *app) error {
	if len(c.With)+len(c.Room)+len(c.User) == 0 {
		return problem.New(problem.Usage, "", "no conversation was named", "add --with A --with B for two people, or --room R; archivolt users and archivolt rooms list them")
	}
	src, f, err := c.ask(a, c.Archive, &c.filterFlags, false)
	if err != nil {
		return err
	}
	defer src.Close()
	out := bufio.NewWriter(a.out)
	p := printer{w: out, flags: &c.archiveFlags, colour: a.outTerminal, room: src.Room}
	lines := export.NewJSONL(out)
	shown, last := int64(0), ""
	account, err := review.Utterances(a.ctx, src, f, func(u *transcript.Utterance) error {
		if len(c.With) == 2 && len(c.Room) == 0 && u.Room != "" {
			return nil // the conversation of two, not the rooms they share
		}
		shown++
		if a.json {
			r := export.Utterance(u)
			return lines.Write(&r)
		}
		if where := review.Conversation(u); where != last {
			p.heading(u)
			last = where
		}
		return p.message(u, false)
	})
	if err != nil {
		return err
	}
	if err := errors.Join(lines.Close(), out.Flush()); err != nil {
		return err
	}
	return a.settleMessages(shown, "shown", &account, c.advice)
}
