package main

import (
	"bufio"

	"archivolt/internal/export"
	"archivolt/internal/problem"
	"archivolt/internal/review"
	"archivolt/internal/transcript"
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
	src, words, err := c.open(a, c.Archive)
	if err != nil {
		return err
	}
	defer src.Close()
	f, err := c.filter(&c.archiveFlags, words)
	if err != nil {
		return err
	}
	if c.Context < 0 {
		return problem.New(problem.Usage, "--context", "this is less than none", "write 0 to show the hits alone")
	}
	around := c.Context
	if a.json {
		around = 0
	}
	out := bufio.NewWriter(a.out)
	p := printer{w: out, flags: &c.archiveFlags, words: f.Words, colour: a.outTerminal}
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
	if err := lines.Close(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	a.note("%s found", counted(hits, "message"))
	return a.settleAccount(&account, len(c.Key))
}

// counted writes a number and its noun.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

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
	src, rest, err := c.open(a, c.Archive)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := noArguments(rest); err != nil {
		return err
	}
	f, err := c.filter(&c.archiveFlags, nil)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.out)
	p := printer{w: out, flags: &c.archiveFlags, colour: a.outTerminal}
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
	if err := lines.Close(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	a.note("%s shown", counted(shown, "message"))
	return a.settleAccount(&account, len(c.Key))
}
