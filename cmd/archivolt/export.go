package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"archivolt/internal/archive"
	"archivolt/internal/durable"
	"archivolt/internal/export"
	"archivolt/internal/identity"
	"archivolt/internal/message"
	"archivolt/internal/problem"
	"archivolt/internal/proof"
	"archivolt/internal/review"
	"archivolt/internal/transcript"
)

// exportCmd writes messages to files.
type exportCmd struct {
	archiveFlags
	filterFlags
	Format    []string `enum:"${formats}" sep:"none" required:"" placeholder:"FORMAT" help:"Repeatable. ${formatHelp}"`
	Out       string   `required:"" placeholder:"DIR" help:"Folder for the files, made anew; - for standard output."`
	Rows      bool     `help:"Write every stored row as it is, instead of each message once."`
	Overwrite bool     `help:"Replace an earlier export in the folder."`
	BOM       bool     `name:"bom" help:"Begin the CSV file with a byte order mark, by which Excel knows UTF-8."`
	Identity  string   `placeholder:"FILE" help:"Identity that signs the export, see archivolt identity new."`
	Case      *string  `placeholder:"TEXT" help:"Name of the case, for the manifest."`
	Reason    *string  `placeholder:"TEXT" help:"Why this export is made, for the manifest."`
	Operator  *string  `placeholder:"TEXT" help:"Who makes it, for the manifest."`
	AsOf      string   `placeholder:"TIME" help:"Time for the manifest, which has none otherwise: equal exports have equal bytes."`
	Archive   []string `arg:"" optional:"" help:"The exported table, and words that all must occur."`

	asOf *time.Time
	key  ed25519.PrivateKey // that signs, or nil
}

func (exportCmd) Help() string {
	return `Examples:

    archivolt export jm.csv --format jsonl --out case-17 --profile legal
    archivolt export jm.csv --format csv --out case-17 --user anna.berg@example.com --since 2024-01-01 --profile legal
    archivolt export jm.csv --format csv --out case-17 --profile legal --identity officer.id --case 2024/17 --operator "A. Berg"
    archivolt export jm.csv --format jsonl --out - --rows --profile legal

The folder appears under its name when it is complete; until then it is called DIR.partial. It always holds messages.jsonl, whose fields are described in docs/format/jsonl.md, and manifest.json, by which archivolt verify sees that nothing was changed (docs/format/manifest.md). Of an archive of archivoltd it also holds ledger.jsonl, which ties every record to the archive's signed ledger.`
}

func (c *exportCmd) Run(a *app) error { return c.run(a, formats()) }

func (c *exportCmd) run(a *app, known []format) error {
	var chosen []format
	for _, f := range known {
		if slices.Contains(c.Format, f.name) {
			chosen = append(chosen, f)
		}
	}
	if err := c.checkFlags(chosen); err != nil {
		return err
	}
	if c.Identity != "" {
		data, err := a.readSmall(c.Identity)
		if err != nil {
			return err
		}
		signer, err := c.openIdentity(a, c.Identity, data)
		if err != nil {
			return err
		}
		c.key = signer.Signing
	}
	src, f, err := c.ask(a, c.Archive, &c.filterFlags, true)
	if err != nil {
		return err
	}
	defer src.Close()
	if c.asOf, err = parseAsOf(c.AsOf, c.zone); err != nil {
		return err
	}
	if c.Out == "-" {
		account, err := c.write(a, &tally{src, map[string]int64{}}, f, &writers{records: []recordWriter{chosen[0].stream(a.out, c.BOM)}})
		if err != nil {
			return err
		}
		return a.settleAccount(account, c.advice)
	}
	if err := c.checkSpace(a, src.Size(), f); err != nil {
		return err
	}
	return c.toFolder(a, src, f, chosen)
}

// checkFlags sees what does not go together.
func (c *exportCmd) checkFlags(chosen []format) error {
	sliced := slices.IndexFunc(chosen, func(f format) bool { return f.slices != nil })
	switch {
	case sliced >= 0 && c.Rows:
		return problem.New(problem.Usage, "--rows", "stored rows are not written as "+chosen[sliced].name+", which is made of conversations", "leave --rows out, or choose jsonl or csv")
	case c.Out != "-":
		return nil
	case len(chosen) > 1 || sliced >= 0:
		return problem.New(problem.Usage, "--out", "standard output takes one format: jsonl or csv", "name a folder with --out")
	case c.Identity != "" || c.Case != nil || c.Reason != nil || c.Operator != nil || c.AsOf != "":
		return problem.New(problem.Usage, "--out", "what goes to standard output has no manifest, and so no signature, case, reason, operator or time", "name a folder with --out")
	}
	return nil
}

func (c *exportCmd) toFolder(a *app, src *archive.Archive, f *message.Filter, chosen []format) error {
	replaceable := func(name string) bool { return c.Overwrite && mayReplace(name) }
	dir, err := durable.CreateDir(c.Out, replaceable)
	if err != nil {
		return c.describe(err)
	}
	folder := &exportFolder{dir: dir, builder: proof.NewBuilder(), open: map[*exportFile]bool{}}
	defer folder.abort()
	out, err := c.openWriters(a.ctx, folder, chosen, c.look(src))
	if err != nil {
		return err
	}
	if out.evidence, err = newEvidenceFile(a.ctx, src, folder); err != nil {
		return err
	}
	defer out.evidence.end()
	counted := &tally{src, map[string]int64{}}
	account, err := c.write(a, counted, f, out)
	if err != nil {
		return err
	}
	settled := a.settleAccount(account, c.advice)
	if settled != nil && problem.ClassOf(settled) != problem.Partial {
		return settled // nothing opened: no export
	}
	m := c.manifest(counted, account)
	out.evidence.describe(&m)
	manifest, signature, err := folder.builder.Manifest(m, c.key)
	if err != nil {
		return err
	}
	err = folder.add(proof.ManifestName, manifest)
	if err == nil && signature != nil {
		err = folder.add(proof.SignatureName, signature)
	}
	if err := errors.Join(err, a.ctx.Err()); err != nil {
		return err
	}
	if err := dir.Commit(replaceable); err != nil {
		return c.describe(err)
	}
	c.noteFiles(a, folder.names)
	out.evidence.note(a)
	return settled
}

// openWriters begins the files of all formats that are chosen.
func (c *exportCmd) openWriters(ctx context.Context, folder *exportFolder, chosen []format, look export.Look) (*writers, error) {
	out := &writers{zone: c.zone}
	begin := func(name string, open func(io.Writer) recordWriter) error {
		file, err := folder.Create(name)
		if err == nil {
			out.records = append(out.records, &streamFile{open(file), file})
		}
		return err
	}
	err := begin(proof.RecordsName, func(w io.Writer) recordWriter { return newProvenRecords(w, folder.builder) })
	for _, f := range chosen {
		switch name := "messages." + f.name; {
		case err != nil:
			return nil, err
		case f.slices != nil:
			var w sliceWriter
			if w, err = f.slices(ctx, folder, look); err == nil {
				out.slices = append(out.slices, w)
			}
		case name != proof.RecordsName:
			err = begin(name, func(w io.Writer) recordWriter { return f.stream(w, c.BOM) })
		}
	}
	return out, err
}

// look is how formats for people show records.
func (c *exportCmd) look(src *archive.Archive) export.Look {
	look := export.Look{Zone: c.zone, Person: func(string) string { return "" }, Room: func(address string) string {
		room, _ := src.Room(address)
		return room.Name
	}}
	if c.Case != nil {
		look.Title = *c.Case
	}
	if c.directory != nil {
		look.Person = c.directory.Name
	}
	return look
}

// noteFiles says what was written.
func (c *exportCmd) noteFiles(a *app, names []string) {
	slices.Sort(names)
	more := int64(0)
	for _, name := range names {
		if !strings.HasPrefix(name, "messages.") {
			more++
			continue
		}
		a.note("wrote %s", c.Out+string(os.PathSeparator)+name)
	}
	if more > 0 {
		a.note("wrote %s beside", counted(more, "file"))
	}
	manifest := c.Out + string(os.PathSeparator) + proof.ManifestName
	if c.key == nil {
		a.note("wrote %s, not signed: that takes --identity FILE", manifest)
		return
	}
	a.note("wrote %s, signed by %s", manifest, identity.Fingerprint(c.key.Public().(ed25519.PublicKey)))
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

// writers are the formats of one export at work.
type writers struct {
	records  []recordWriter
	slices   []sliceWriter
	zone     *time.Location // of the days of slices
	evidence *evidenceFile  // nil where there is none
}

// record writes a record, made of the rows that came from origins.
func (w *writers) record(r *export.Record, origins ...message.Origin) error {
	for _, out := range w.records {
		if err := out.Write(r); err != nil {
			return err
		}
	}
	return w.evidence.add(origins)
}

func (w *writers) slice(s *export.Slice) error {
	for _, out := range w.slices {
		if err := out.Write(s); err != nil {
			return err
		}
	}
	return nil
}

func (w *writers) close() error {
	var all []error
	for _, out := range w.records {
		all = append(all, out.Close())
	}
	for _, out := range w.slices {
		all = append(all, out.Close())
	}
	return errors.Join(append(all, w.evidence.close())...)
}

func (c *exportCmd) write(a *app, src *tally, f *message.Filter, out *writers) (*review.Account, error) {
	if !c.Rows {
		var r export.Record
		slicer := export.NewSlicer(out.zone, out.slice)
		account, err := review.Utterances(a.ctx, src, f, func(u *transcript.Utterance) error {
			r = export.Utterance(u)
			if err := out.record(&r, u.Origins...); err != nil || len(out.slices) == 0 {
				return err
			}
			return slicer.Add(u)
		})
		if err == nil {
			err = slicer.Close()
		}
		return &account, errors.Join(err, out.close())
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
		return out.record(&r, m.Origin())
	})
	return &account, errors.Join(err, out.close())
}
