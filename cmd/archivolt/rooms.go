package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"archivolt/internal/message"
	"archivolt/internal/review"
)

// roomsCmd lists the rooms of an archive.
type roomsCmd struct {
	archiveFlags
	filterFlags
	Archive []string `arg:"" optional:"" help:"The exported table."`
}

func (roomsCmd) Help() string {
	return `Examples:

    archivolt rooms jm.csv --private-key private_key.pem --key encrypted_key.pem
    archivolt rooms jm.csv --profile legal --user anna.berg@example.com`
}

// roomResult is one room as JSON.
type roomResult struct {
	Address  string   `json:"address"`
	Name     string   `json:"name,omitempty"` // by TC_ROOMS
	Type     string   `json:"type,omitempty"` // ad-hoc or persistent, by TC_ROOMS
	Formerly []string `json:"formerly,omitempty"`
	Subject  string   `json:"subject,omitempty"`
	Messages int64    `json:"messages"`
	People   []string `json:"people"`
	First    string   `json:"first"`
	Last     string   `json:"last"`
}

func (c *roomsCmd) Run(a *app) error {
	src, f, err := c.ask(a, c.Archive, &c.filterFlags, false)
	if err != nil {
		return err
	}
	defer src.Close()
	rooms, account, err := review.Rooms(a.ctx, src, f)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	if !a.json {
		fmt.Fprint(t, "ROOM\tMESSAGES\tPEOPLE\tFIRST\tLAST\tNAME\tSUBJECT\n")
	}
	for _, r := range rooms {
		known, _ := src.Room(r.Address)
		if r.Subject == "" {
			r.Subject = known.Subject
		}
		if a.json {
			if err := printJSON(&b, roomResult{r.Address, known.Name, known.Type, r.Formerly, r.Subject, r.Messages, r.People, c.stamp(r.First), c.stamp(r.Last)}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", safe(message.Unescape(strings.Join(append([]string{r.Address}, r.Formerly...), ", formerly "))), thousands(r.Messages), len(r.People), c.stamp(r.First), c.stamp(r.Last), safe(known.Name), safe(r.Subject))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return a.finish(&account, c.advice, b.Bytes())
}
