package pdf

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
)

// What differs between two prints of one page (Chromium 156, Skia's PDF 1.4,
// whose dictionaries are plain text):
//
//   - the time of printing, twice;
//   - names of table headers in the structure tree, which Chromium makes of
//     numbers that it counts on from page to page (ISO 32000-1, 14.7.2, /ID and
//     /Headers). A string of a page's text cannot look like one: its brackets
//     have backslashes. One that is a title or another property is told by its key.
var unsettled = regexp.MustCompile(`/(?:CreationDate|ModDate) \(D:[^()]{4,30}\)|(?:/[A-Za-z]+ )?\(node[0-9]{8}\)`)

// longestUnsettled is more than a match can have.
const longestUnsettled = 128

// settle makes equal pages equal files: dates become blanks, names of headers
// are counted from 0 in their order. All is overwritten in its length, since
// the file has offsets in it.
func settle(f *os.File) error {
	const digits = len("00000000")
	places := map[int64][]byte{} // where the digits of names are
	var names []string
	window := make([]byte, 0, 1<<20)
	keep := 0
	for at := int64(0); ; {
		n, err := f.ReadAt(window[len(window):cap(window)], at+int64(len(window)))
		window = window[:len(window)+n]
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		for _, m := range unsettled.FindAllIndex(window, -1) {
			match := window[m[0]:m[1]]
			switch {
			case m[1] <= keep: // seen in the window before, with what stands in front of it
			case bytes.HasPrefix(match, []byte("/CreationDate")), bytes.HasPrefix(match, []byte("/ModDate")):
				if _, err := f.WriteAt(bytes.Repeat([]byte(" "), len(match)), at+int64(m[0])); err != nil {
					return err
				}
			case match[0] == '(' || bytes.HasPrefix(match, []byte("/ID ")):
				end := m[1] - len(")")
				name := slices.Clone(window[end-digits : end])
				if place := at + int64(end-digits); places[place] == nil {
					places[place] = name
					names = append(names, string(name))
				}
			}
		}
		if last {
			break
		}
		// What is cut by the end of the window is seen whole in the next one.
		keep = copy(window, window[len(window)-longestUnsettled:])
		at += int64(len(window) - keep)
		window = window[:keep]
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for place, name := range places {
		i, _ := slices.BinarySearch(names, string(name))
		number := []byte(strconv.Itoa(i))
		padded := append(bytes.Repeat([]byte("0"), digits-len(number)), number...)
		if _, err := f.WriteAt(padded, place); err != nil {
			return err
		}
	}
	return nil
}
