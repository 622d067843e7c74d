package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"slices"

	"archivolt/internal/archive"
	"archivolt/internal/durable"
	"archivolt/internal/export"
	"archivolt/internal/message"
	"archivolt/internal/problem"
	"archivolt/internal/review"
	"archivolt/internal/transcript"
)

// exportCmd writes messages to files.
type exportCmd struct {
	archiveFlags
	filterFlags
	Format    string   `enum:"jsonl,csv" required:"" help:"jsonl: one JSON object a line, exact. csv: for spreadsheets."`
	Out       string   `required:"" placeholder:"DIR" help:"Folder for the files, made anew; - for standard output."`
	Rows      bool     `help:"Write every stored row as it is, instead of each message once."`
	Overwrite bool     `help:"Replace an earlier export in the folder."`
	BOM       bool     `name:"bom" help:"Begin the CSV file with a byte order mark, by which Excel knows UTF-8."`
	Archive   []string `arg:"" optional:"" help:"The exported table, and words that all must occur."`
}

func (exportCmd) Help() string {
	return `Examples:

    archivolt export jm.csv --format jsonl --out case-17 --profile legal
    archivolt export jm.csv --format csv --out case-17 --user anna.berg@example.com --since 2024-01-01 --profile legal
    archivolt export jm.csv --format jsonl --out - --rows --profile legal

The folder appears under its name when it is complete; until then it is called DIR.partial. The fields are described in docs/format/jsonl.md.`
}

// recordWriter is a format.
type recordWriter interface {
	Write(*export.Record) error
	Close() error
}

// exportNames are the files that an export writes, and may replace.
var exportNames = []string{"messages.jsonl", "messages.csv"}

func (c *exportCmd) Run(a *app) error {
	src, f, err := c.ask(a, c.Archive, &c.filterFlags, true)
	if err != nil {
		return err
	}
	defer src.Close()
	if c.Out == "-" {
		out := bufio.NewWriterSize(a.out, 256<<10)
		account, err := c.write(a, src, f, out)
		if err := errors.Join(err, out.Flush()); err != nil {
			return err
		}
		return a.settleAccount(account, len(c.Key))
	}
	mayReplace := func(name string) bool { return c.Overwrite && slices.Contains(exportNames, name) }
	dir, err := durable.CreateDir(c.Out, mayReplace)
	if err != nil {
		return c.describe(err)
	}
	defer dir.Abort()
	file, err := dir.File("messages." + c.Format)
	if err != nil {
		return err
	}
	defer file.Close()
	account, err := c.write(a, src, f, file)
	if err != nil {
		return err
	}
	settled := a.settleAccount(account, len(c.Key))
	if settled != nil && problem.ClassOf(settled) != problem.Partial {
		return settled // nothing opened: no export
	}
	if err := errors.Join(file.Sync(), file.Close(), a.ctx.Err()); err != nil {
		return err
	}
	if err := dir.Commit(mayReplace); err != nil {
		return c.describe(err)
	}
	a.note("wrote %s", c.Out+string(os.PathSeparator)+"messages."+c.Format)
	return settled
}

func (c *exportCmd) describe(err error) error {
	var occupied *durable.NotEmptyError
	if !errors.As(err, &occupied) {
		return err
	}
	try := "choose another folder, or add --overwrite to replace an earlier export"
	if c.Overwrite {
		try = "choose another folder: --overwrite replaces nothing but an earlier export"
	}
	return problem.New(problem.Failed, c.Out, "this folder is not empty: it holds "+occupied.Name, try)
}

func (c *exportCmd) write(a *app, src *archive.Archive, f *message.Filter, w io.Writer) (*review.Account, error) {
	var out recordWriter = export.NewJSONL(w)
	if c.Format == "csv" {
		out = export.NewCSV(w, c.BOM)
	}
	if !c.Rows {
		var r export.Record
		account, err := review.Utterances(a.ctx, src, f, func(u *transcript.Utterance) error {
			r = export.Utterance(u)
			return out.Write(&r)
		})
		return &account, errors.Join(err, out.Close())
	}
	var account review.Account
	var r export.Record
	err := src.Rows(a.ctx, func(m *message.Message) error {
		account.Add(m)
		account.Rows++
		if !f.Everything() {
			if s := review.RowSubject(m); !f.Match(&s) {
				return nil
			}
		}
		r = export.Row(m)
		return out.Write(&r)
	})
	return &account, errors.Join(err, out.Close())
}
