package main

import (
	"context"
	"fmt"
	"io"

	"archivolt/internal/export"
	"archivolt/internal/export/pdf"
)

// newPDF prints messages-0001.pdf and so on.
func newPDF(ctx context.Context, folder *exportFolder, look export.Look) (sliceWriter, error) {
	printer, err := pdf.Open(ctx)
	if err != nil {
		return nil, err
	}
	folder.ends = append(folder.ends, printer.Close)
	return export.NewHTMLParts(look, export.PartMessages, func(part int) (io.WriteCloser, error) {
		name := fmt.Sprintf("messages-%04d.pdf", part)
		page, err := printer.Create(folder.dir.Path(name))
		if err != nil {
			return nil, err
		}
		return &printed{page, folder, name}, nil
	}), nil
}

// printed is a page that becomes a file of the folder when it is closed.
type printed struct {
	io.WriteCloser
	folder *exportFolder
	name   string
}

// Close prints the page and tells the manifest.
func (p *printed) Close() error {
	if err := p.WriteCloser.Close(); err != nil {
		return err
	}
	return p.folder.adopt(p.name)
}
