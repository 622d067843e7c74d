package main

import (
	"bufio"
	"errors"
	"strings"

	"archivolt/internal/export"
	"archivolt/internal/problem"
	"archivolt/internal/review"
)

// searchCmd finds messages.
type searchCmd struct {
	archiveFlags
	filterFlags
	Context int      `default:"2" placeholder:"N" help:"How many messages of the same conversation to show before and after each hit."`
	Archive []string `arg:"" optional:"" name:"archive words" help:"The exported table (unless a profile names it), then words: all must occur. Quotes make a phrase."`
}

func (searchCmd) Help() string {
	return `Examples:

    archivolt search jm.csv rotterdam --private-key private_key.pem --key encrypted_key.pem
    archivolt search jm.csv "container 7" --user 'anna.*@example.com' --since 2024-01-01 --profile legal

Words are found in any script and letter case. No hit is no error.`
}

func (c *searchCmd) Run(a *app) error {
	src, f, err := c.ask(a, c.Archive, &c.filterFlags, true)
	if err != nil {
		return err
	}
	defer src.Close()
	if c.Context < 0 {
		return problem.New(problem.Usage, "--context", "this is less than none", "write 0 to show the hits alone")
	}
	around := c.Context
	if a.json {
		around = 0
	}
	out := bufio.NewWriter(a.out)
	p := printer{w: out, flags: &c.archiveFlags, words: f.Words, colour: a.outTerminal, room: src.Room}
	lines := export.NewJSONL(out)
	hits, last := int64(0), ""
	account, err := review.Search(a.ctx, src, f, around, func(h review.Hit) error {
		if h.Found {
			hits++
		}
		if a.json {
			r := export.Utterance(h.Utterance)
			return lines.Write(&r)
		}
		if h.New || h.Conversation != last {
			p.heading(h.Utterance)
		}
		last = h.Conversation
		return p.message(h.Utterance, h.Found)
	})
	if err != nil {
		return err
	}
	if err := errors.Join(lines.Close(), out.Flush()); err != nil {
		return err
	}
	return a.settleMessages(hits, "found", &account, c.advice)
}

// counted writes a number and its noun.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok { // of copy
		return thousands(n) + " " + stem + "ies"
	}
	return thousands(n) + " " + noun + "s"
}
