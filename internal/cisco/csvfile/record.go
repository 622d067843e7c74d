package csvfile

import "bytes"

// verdict is what a look at the beginning of some text found.
type verdict int

const (
	found   verdict = iota
	more            // the text ends too early to tell
	broken          // a quote is opened that is closed nowhere, or not in a proper place
	tooLong         // there is no end within the limit
)

// window is text at the beginning of which a record starts.
type window struct {
	text   []byte
	quote  int  // index of the first quote; len(text) if none, or if quotes mean nothing
	doomed int  // a quoted cell that crosses a line end before this index is known never to be closed
	final  bool // nothing comes after text
	full   bool // text is as long as a record may be, and more comes after it

	// isRow tells whether a line is a whole row; nil where a quoted cell may
	// hold such a line.
	isRow func(line []byte) bool
}

// end finds the end of the first record: the index of its LF, or len(text).
// A record with a quote that is closed nowhere is broken and ends at its first
// line end; reached then tells how far a quoted cell was searched for its end.
//
// Up to that place every line end was inside the quoted cell, and a later
// search that crosses one of them would go the same way. A caller who passes
// it on as doomed keeps the time linear.
func (w *window) end(sep byte) (end, reached int, v verdict) {
	t := w.text
	line := lineEnd(t, 0)
	first := line
	for pos := w.quote; pos < line; {
		if pos > 0 && t[pos-1] != sep {
			pos = nextQuote(t, pos+1, line)
			continue
		}
		if v := w.swallows(pos, line, sep); v == more {
			return 0, 0, more
		} else if v == broken {
			return w.cut(first, 0)
		}
		limit, sealed := len(t), w.final || w.full
		if line < len(t) && line < w.doomed {
			limit, sealed = line, true
		}
		closing, _, v := closeQuote(t[pos:limit], sep, sealed)
		closing += pos
		switch {
		case v == more:
			return 0, 0, more
		case v == broken && closing > line, v == broken && closing == limit:
			return w.cut(first, max(closing, w.doomed))
		case v == broken:
			closing = pos // the cell is not a quoted one after all
		case closing > line:
			line = lineEnd(t, closing+1)
		}
		pos = nextQuote(t, closing+1, line)
	}
	if line < len(t) || w.final {
		return line, 0, found
	}
	if w.full {
		return 0, 0, tooLong
	}
	return 0, 0, more
}

// swallows looks at the line after the one that ends at line, if the cell at
// pos goes on there. If that is a whole row, the quote is text: two subjects,
// "one and two", would else hide all rows between theirs.
func (w *window) swallows(pos, line int, sep byte) verdict {
	if w.isRow == nil || line == len(w.text) {
		return found
	}
	if closing, _, v := closeQuote(w.text[pos:line], sep, true); v == found || pos+closing < line {
		return found
	}
	next := lineEnd(w.text, line+1)
	if next == len(w.text) && !w.final && !w.full {
		return more
	}
	if w.isRow(bytes.TrimSuffix(w.text[line+1:next], cr)) {
		return broken
	}
	return found
}

// cut ends a broken record at its first line end.
func (w *window) cut(first, reached int) (int, int, verdict) {
	if first == len(w.text) && !w.final {
		return 0, 0, tooLong
	}
	return first, reached, broken
}

// closeQuote finds the quote that closes the one at t[0]. It must stand before
// a separator, a line end or the end of t; sealed says that this end is one of
// a record. A broken cell is searched up to the index returned: len(t), or the
// quote that has other text behind it.
func closeQuote(t []byte, sep byte, sealed bool) (closing int, doubled bool, v verdict) {
	for i := 1; ; i += 2 {
		j := bytes.IndexByte(t[i:], '"')
		if j < 0 {
			if sealed {
				return len(t), doubled, broken
			}
			return 0, false, more
		}
		i += j
		switch {
		case i+1 == len(t):
			if !sealed {
				return 0, false, more
			}
			return i, doubled, found
		case t[i+1] == '"':
			doubled = true
			continue
		case t[i+1] == sep, t[i+1] == '\n':
			return i, doubled, found
		case t[i+1] == '\r' && i+2 == len(t):
			if !sealed {
				return 0, false, more
			}
			return i, doubled, found
		case t[i+1] == '\r' && t[i+2] == '\n':
			return i, doubled, found
		}
		return i, doubled, broken
	}
}

// lineEnd returns the index of the first LF from pos on, or len(t).
func lineEnd(t []byte, pos int) int { return indexFrom(t, pos, len(t), '\n') }

// nextQuote returns the index of the first quote in t[pos:limit], or limit.
func nextQuote(t []byte, pos, limit int) int { return indexFrom(t, pos, limit, '"') }

func indexFrom(t []byte, pos, limit int, c byte) int {
	if pos >= limit {
		return limit
	}
	if i := bytes.IndexByte(t[pos:limit], c); i >= 0 {
		return pos + i
	}
	return limit
}
