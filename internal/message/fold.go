package message

import (
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold brings a text into the form in which searches compare: compatibility
// composition (NFKC) and full case folding (Unicode sections 3.11 and 3.13),
// so that "STRASSE" finds "Straße" and a full-width letter the plain one. A
// line end or tab is a blank, so that phrases are found across lines, and
// characters that nobody sees (soft hyphens, zero-width ones) are left out.
func Fold(text string) string {
	if isASCII(text) {
		return strings.ToLower(blanks.Replace(text))
	}
	return cases.Fold().String(norm.NFKC.String(invisible.Replace(blanks.Replace(text))))
}

var (
	blanks    = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ")
	invisible = strings.NewReplacer("\u00ad", "", "\u200b", "", "\u200c", "", "\u2060", "", "\ufeff", "")
)

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Find returns where the folded words occur in text, as byte ranges of text in
// order, overlaps joined. Words are as Fold returns them.
func Find(text string, words []string) (spans [][2]int) {
	folded, at := foldWithOffsets(text)
	hit := make([]bool, len(folded)+1)
	for _, w := range words {
		if w == "" {
			continue
		}
		for from := 0; ; {
			i := strings.Index(folded[from:], w)
			if i < 0 {
				break
			}
			for j := from + i; j < from+i+len(w); j++ {
				hit[j] = true
			}
			from += i + len(w)
		}
	}
	for i := 0; i < len(folded); i++ {
		if !hit[i] {
			continue
		}
		j := i
		for j < len(folded) && hit[j] {
			j++
		}
		begin, end := at[i], at[j]
		if end == at[j-1] { // inside one character of text, such as half of "ß"
			end = nextOffset(at, j)
		}
		if n := len(spans); n > 0 && spans[n-1][1] >= begin {
			spans[n-1][1] = max(spans[n-1][1], end)
		} else {
			spans = append(spans, [2]int{begin, end})
		}
		i = j
	}
	return spans
}

// nextOffset returns the first offset after at[j] that differs from it.
func nextOffset(at []int, j int) int {
	for k := j; k < len(at); k++ {
		if at[k] != at[j] {
			return at[k]
		}
	}
	return at[len(at)-1]
}

// foldWithOffsets folds text and tells for each byte of the result the offset
// in text of the characters that it came from; one more entry is the end.
func foldWithOffsets(text string) (string, []int) {
	var b strings.Builder
	at := make([]int, 0, len(text)+1)
	for from := 0; from < len(text); {
		n := norm.NFKC.NextBoundaryInString(text[from:], true)
		if n <= 0 {
			n = len(text) - from
		}
		piece := Fold(text[from : from+n])
		b.WriteString(piece)
		for range len(piece) {
			at = append(at, from)
		}
		from += n
	}
	return b.String(), append(at, len(text))
}
