package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"archivolt/internal/export"
	"archivolt/internal/proof"
)

// format is a kind of file that export writes. It has stream or slices.
type format struct {
	name string // as --format takes it
	help string

	// stream writes all records into one file, messages.NAME, or to standard
	// output.
	stream func(w io.Writer, byteOrderMark bool) recordWriter
	// slices writes files of its own for conversations and days.
	slices func(ctx context.Context, folder *exportFolder, look export.Look) (sliceWriter, error)
}

// recordWriter takes each record as it comes. Close leaves the file open.
type recordWriter interface {
	Write(*export.Record) error
	Close() error
}

// sliceWriter takes what was said in one conversation on one day.
type sliceWriter interface {
	Write(*export.Slice) error
	Close() error
}

// formats are all that --format takes.
func formats() []format {
	return []format{
		{name: "jsonl", help: "one JSON object a line, exact, and part of every export to a folder",
			stream: func(w io.Writer, _ bool) recordWriter { return export.NewJSONL(w) }},
		{name: "csv", help: "for spreadsheets",
			stream: func(w io.Writer, mark bool) recordWriter { return export.NewCSV(w, mark) }},
		{name: "rsmf", help: "for review platforms, one file for each conversation and day",
			slices: func(_ context.Context, folder *exportFolder, look export.Look) (sliceWriter, error) {
				return export.NewRSMF(folder, look), nil
			}},
		{name: "eml", help: "for mail programs, likewise",
			slices: func(_ context.Context, folder *exportFolder, look export.Look) (sliceWriter, error) {
				return export.NewEML(folder, look), nil
			}},
		{name: "html", help: "one page for reading and printing",
			slices: func(_ context.Context, folder *exportFolder, look export.Look) (sliceWriter, error) {
				file, err := folder.Create("messages.html")
				if err != nil {
					return nil, err
				}
				return &sliceFile{export.NewHTML(file, look), file}, nil
			}},
		{name: "pdf", help: "the same on paper, printed by a Chromium on this machine", slices: newPDF},
		{name: "dat", help: "Concordance load file, one line for each message",
			slices: func(_ context.Context, folder *exportFolder, look export.Look) (sliceWriter, error) {
				file, err := folder.Create("messages.dat")
				if err != nil {
					return nil, err
				}
				return &sliceFile{export.NewDAT(file, look), file}, nil
			}},
	}
}

// formatNames are the names for the command line's parser.
func formatNames() string {
	var names []string
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return strings.Join(names, ",")
}

// formatHelp explains the names.
func formatHelp() string {
	var lines []string
	for _, f := range formats() {
		lines = append(lines, f.name+": "+f.help+".")
	}
	return strings.Join(lines, " ")
}

// mayReplace tells whether --overwrite may delete a file of this name: those
// that exports have.
func mayReplace(name string) bool {
	return name == proof.ManifestName || name == proof.SignatureName || name == proof.LedgerName || strings.HasPrefix(name, "messages.") ||
		strings.HasSuffix(name, ".rsmf") || strings.HasSuffix(name, ".eml") ||
		strings.HasPrefix(name, "messages-") && strings.HasSuffix(name, ".pdf")
}

// streamFile is a recordWriter with the file that it writes.
type streamFile struct {
	recordWriter
	file io.Closer
}

// Close closes both.
func (s *streamFile) Close() error { return errors.Join(s.recordWriter.Close(), s.file.Close()) }

// sliceFile is a sliceWriter with the file that it writes.
type sliceFile struct {
	sliceWriter
	file io.Closer
}

// Close closes both.
func (s *sliceFile) Close() error { return errors.Join(s.sliceWriter.Close(), s.file.Close()) }

// provenRecords writes messages.jsonl and tells the manifest of each line.
type provenRecords struct {
	builder *proof.Builder
	w       *bufio.Writer
	line    []byte
}

func newProvenRecords(w io.Writer, b *proof.Builder) *provenRecords {
	return &provenRecords{builder: b, w: bufio.NewWriterSize(w, 256<<10)}
}

// Write writes one record.
func (p *provenRecords) Write(r *export.Record) error {
	p.line = export.AppendJSONL(p.line[:0], r)
	if err := p.builder.Record(p.line[:len(p.line)-1], r.Status); err != nil {
		return err
	}
	return writeAll(p.w, p.line)
}

// Close writes out what is buffered; the file stays open.
func (p *provenRecords) Close() error { return p.w.Flush() }
