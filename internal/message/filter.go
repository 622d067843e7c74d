package message

import (
	"slices"
	"strings"
	"time"
)

// Filter chooses messages. Its zero value chooses all.
type Filter struct {
	Users []string // bare addresses, "*" for any text; one of them must take part
	With  []string // likewise; all of them must take part
	Rooms []string // likewise; the room must be one of them
	Since time.Time
	Until time.Time // exclusive
	Words []string  // as Fold returns them; all must occur
}

// Subject is what a filter looks at.
type Subject struct {
	Time   time.Time
	People []string // comparable bare addresses of sender and recipients
	Room   string   // comparable bare address of the room, or ""
	Was    string   // an earlier address of the room, or ""
	Texts  []string // where words are looked for
}

// Everything tells whether f chooses all messages, so that none need be looked
// at.
func (f *Filter) Everything() bool {
	return len(f.Users)+len(f.With)+len(f.Rooms)+len(f.Words) == 0 && f.Since.IsZero() && f.Until.IsZero()
}

// Match tells whether s is chosen. A message without a date is chosen unless
// the filter asks for a time.
func (f *Filter) Match(s *Subject) bool {
	if !f.Since.IsZero() && s.Time.Before(f.Since) || !f.Until.IsZero() && (s.Time.IsZero() || !s.Time.Before(f.Until)) {
		return false
	}
	if len(f.Rooms) > 0 && (s.Room == "" || !slices.ContainsFunc(f.Rooms, func(p string) bool { return matchJID(p, s.Room) || s.Was != "" && matchJID(p, s.Was) })) {
		return false
	}
	takesPart := func(pattern string) bool {
		return slices.ContainsFunc(s.People, func(p string) bool { return matchJID(pattern, p) })
	}
	if len(f.Users) > 0 && !slices.ContainsFunc(f.Users, takesPart) {
		return false
	}
	for _, w := range f.With {
		if !takesPart(w) {
			return false
		}
	}
	return len(f.Words) == 0 || matchWords(f.Words, s.Texts)
}

func matchWords(words, texts []string) bool {
	folded := make([]string, len(texts))
	for i, t := range texts {
		folded[i] = Fold(t)
	}
	for _, w := range words {
		if !slices.ContainsFunc(folded, func(t string) bool { return strings.Contains(t, w) }) {
			return false
		}
	}
	return true
}

// Pattern prepares a bare address, possibly with "*", for a Filter.
func Pattern(text string) string {
	bare, _, _ := strings.Cut(text, "/")
	return normalise(bare)
}

// matchJID compares a bare address with a pattern; an address that is escaped
// (XEP-0106) also matches as people write it.
func matchJID(pattern, bare string) bool {
	return Wildcard(pattern, bare) || strings.Contains(bare, `\`) && Wildcard(pattern, Unescape(bare))
}

// Wildcard tells whether text matches pattern, in which each "*" stands for
// any text. It takes time in proportion to the product of the lengths at most.
func Wildcard(pattern, text string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == text
	}
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

// SplitWords turns what a user typed into words and phrases, folded. An
// argument is a word, or a phrase when the shell's quotes hold it together;
// quotes inside an argument make phrases of its parts.
func SplitWords(args []string) (words []string) {
	add := func(phrase string) {
		if p := strings.Join(strings.Fields(phrase), " "); p != "" {
			words = append(words, Fold(p))
		}
	}
	for _, arg := range args {
		if !strings.Contains(arg, `"`) {
			add(arg)
			continue
		}
		for i, part := range strings.Split(arg, `"`) {
			if i%2 == 1 {
				add(part)
				continue
			}
			for _, w := range strings.Fields(part) {
				add(w)
			}
		}
	}
	return words
}
