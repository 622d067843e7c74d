package export

import "io"

// PartMessages is how many messages a page that is to be printed should hold.
// Chromium's renderer took 0.7 GB and 26 s for 2,000 ordinary ones, and 2.2 GB
// and 131 s for 5,000, on two busy cores.
const PartMessages = 2000

// HTMLParts writes an export as several pages, each complete in itself, with
// the messages numbered through. A section is cut only where it is longer than
// a page may be. It needs the memory of HTML.
type HTMLParts struct {
	// Period is as in HTML.
	Period string

	look    Look
	most    int
	open    func(part int) (io.WriteCloser, error)
	w       io.WriteCloser
	html    *HTML
	part    int
	held    int // messages in the page, with what was done to them
	message int // number of the last message
}

// NewHTMLParts returns a writer of pages of at most so many messages, edits,
// retractions and reactions. Open makes each page, from part 1; its Close is
// called only when the page is complete, so after an error the last one stays
// open.
func NewHTMLParts(look Look, most int, open func(part int) (io.WriteCloser, error)) *HTMLParts {
	return &HTMLParts{look: look, most: most, open: open}
}

// Write writes one slice.
func (p *HTMLParts) Write(s *Slice) error {
	sizes := make([]int, len(s.Events))
	whole := 0
	for i, e := range s.Events {
		e.each(func(*Event) { sizes[i]++ })
		whole += sizes[i]
	}
	if p.held > 0 && p.held+whole > p.most {
		if err := p.finish(); err != nil {
			return err
		}
	}
	for from := 0; ; {
		if err := p.begin(); err != nil {
			return err
		}
		to := from
		for to < len(sizes) && (p.held == 0 || p.held+sizes[to] <= p.most) { // one message with very many reactions has a page for itself
			p.held += sizes[to]
			to++
		}
		piece := *s
		piece.Events = s.Events[from:to]
		if err := p.html.Write(&piece); err != nil {
			return err
		}
		if to == len(sizes) {
			return nil
		}
		if err := p.finish(); err != nil {
			return err
		}
		from = to
	}
}

func (p *HTMLParts) begin() error {
	if p.html != nil {
		return nil
	}
	p.part++
	w, err := p.open(p.part)
	if err != nil {
		return err
	}
	p.w, p.html, p.held = w, NewHTML(w, p.look), 0
	p.html.part, p.html.message, p.html.Period = p.part, p.message, p.Period
	return nil
}

func (p *HTMLParts) finish() error {
	if err := p.html.Close(); err != nil {
		return err
	}
	p.message, p.html, p.held = p.html.message, nil, 0
	return p.w.Close()
}

// Close finishes the last page. An export without messages is one page.
func (p *HTMLParts) Close() error {
	if err := p.begin(); err != nil {
		return err
	}
	return p.finish()
}
