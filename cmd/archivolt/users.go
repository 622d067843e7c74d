package main

import (
	"bytes"
	"fmt"
	"text/tabwriter"
	"time"

	"archivolt/internal/message"
	"archivolt/internal/review"
)

// usersCmd lists the people of an archive.
type usersCmd struct {
	archiveFlags
	filterFlags
	Archive []string `arg:"" optional:"" help:"The exported table."`
}

func (usersCmd) Help() string {
	return `Examples:

    archivolt users jm.csv --private-key private_key.pem --key encrypted_key.pem
    archivolt users jm.csv --profile legal --since 2024-01-01 --until 2024-03-31`
}

// userResult is one person as JSON.
type userResult struct {
	Address    string `json:"address"`
	Name       string `json:"name,omitempty"`
	Department string `json:"department,omitempty"`
	Sent       int64  `json:"sent"`
	Received   int64  `json:"received"`
	First      string `json:"first"`
	Last       string `json:"last"`
}

func (c *usersCmd) Run(a *app) error {
	src, f, err := c.ask(a, c.Archive, &c.filterFlags, false)
	if err != nil {
		return err
	}
	defer src.Close()
	users, account, err := review.Users(a.ctx, src, f)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	if !a.json {
		fmt.Fprint(t, "ADDRESS\tNAME\tSENT\tRECEIVED\tFIRST\tLAST\n")
	}
	for _, u := range users {
		r := userResult{Address: u.Address, Name: c.directory.Name(u.Address), Department: c.directory.Department(u.Address),
			Sent: u.Sent, Received: u.Received, First: c.stamp(u.First), Last: c.stamp(u.Last)}
		if a.json {
			if err := printJSON(&b, r); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", safe(message.Unescape(r.Address)), safe(r.Name), thousands(r.Sent), thousands(r.Received), r.First, r.Last)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return a.finish(&account, c.advice, b.Bytes())
}

// stamp shows a time in the zone asked for; as JSON too, with its offset.
func (f *archiveFlags) stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if f.Timezone == "" || f.Timezone == "UTC" {
		return t.UTC().Format("2006-01-02 15:04:05Z")
	}
	return t.In(f.zone).Format("2006-01-02 15:04:05-07:00")
}
