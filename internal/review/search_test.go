package review

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"archivolt/internal/message"
)

// script makes an archive of messages a minute apart, from words such as "a3"
// or "b1x": the first letter is the conversation, and an x at the end is what
// the searches here look for. The conversation r is a room.
func script(words []string) (archive rows) {
	people := map[byte][2]string{'a': {"anna", "boris"}, 'b': {"carla", "dora"}}
	for i, w := range words {
		pair := people[w[0]]
		switch {
		case w[0] == 'r':
			archive = append(archive, said(i, "ops", "anna", "boris", w))
		case i%2 == 0: // a conversation has two directions
			archive = append(archive, chat(i, pair[0], pair[1], w))
		default:
			archive = append(archive, chat(i, pair[1], pair[0], w))
		}
	}
	return archive
}

// search writes what Search gives: "!" follows what was found, and "/" goes
// before what does not follow the last one of its conversation.
func search(t testing.TB, words []string, around int) (given []string) {
	t.Helper()
	names := map[byte]string{'a': full("anna") + " " + full("boris"), 'b': full("carla") + " " + full("dora"), 'r': full("ops")}
	_, err := Search(context.Background(), script(words), &message.Filter{Words: []string{"x"}}, around, func(h Hit) error {
		text := h.Text.Text
		if h.Conversation != names[text[0]] {
			t.Errorf("%s belongs to %s", text, h.Conversation)
		}
		if h.New {
			text = "/" + text
		}
		if h.Found {
			text += "!"
		}
		given = append(given, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return given
}

func TestSearch(t *testing.T) {
	for _, c := range []struct {
		name, script string
		around       int
		want         string
	}{
		{"nothing", "a1 a2 a3", 2, ""},
		{"an empty archive", "", 2, ""},
		{"in the middle", "a1 a2 a3x a4 a5", 1, "/a2 a3x! a4"},
		{"as much as there is", "a1 a2 a3x a4 a5", 9, "/a1 a2 a3x! a4 a5"},
		{"at the start", "a1x a2 a3", 1, "/a1x! a2"},
		{"at the end", "a1 a2 a3x", 1, "/a2 a3x!"},
		{"alone", "a1x", 3, "/a1x!"},
		{"one after another", "a1 a2x a3x a4", 1, "/a1 a2x! a3x! a4"},
		{"with one between that belongs to both", "a1x a2 a3x", 1, "/a1x! a2 a3x!"},
		{"with one of each between", "a1x a2 a3 a4x", 1, "/a1x! a2 a3 a4x!"},
		{"with one between that belongs to none", "a1x a2 a3 a4 a5x", 1, "/a1x! a2 /a4 a5x!"},
		{"overlapping", "a1 a2x a3 a4x a5 a6 a7", 2, "/a1 a2x! a3 a4x! a5 a6"},
		{"everything", "a1x a2x a3x", 1, "/a1x! a2x! a3x!"},

		{"each conversation has its own neighbours", "a1 b1 a2x b2 a3 b3", 1, "/a1 a2x! a3"},
		{"two at once", "a1 b1 a2x b2x a3 b3", 1, "/a1 a2x! /b1 b2x! a3 b3"},
		{"a room is a conversation", "r1 a1 r2x a2 r3 a3x", 1, "/r1 r2x! r3 /a2 a3x!"},
		{"what lies between does not part a conversation", "a1x b1 b2 b3 a2 b4 a3x", 1, "/a1x! a2 a3x!"},

		// Without neighbours nobody asked what lies between.
		{"hits alone", "a1 a2x a3 b1x a4x a5", 0, "/a2x! /b1x! /a4x!"},
	} {
		if got := strings.Join(search(t, strings.Fields(c.script), c.around), " "); got != c.want {
			t.Errorf("%s: %s with %d around: %s, want %s", c.name, c.script, c.around, got, c.want)
		}
	}
}

// naive is the definition: given are the hits and what is at most around away
// from one in its conversation. What goes before a hit is given together with
// it, all else in its turn.
func naive(words []string, around int) []string {
	type given struct {
		text   string
		moment int // index of the message with which it is given
	}
	var all []given
	for _, conversation := range "abr" {
		var own []int // indexes of its messages
		for i, w := range words {
			if rune(w[0]) == conversation {
				own = append(own, i)
			}
		}
		last := -2
		for k, i := range own {
			found := strings.HasSuffix(words[i], "x")
			isAfter, moment := false, i
			isBefore := false
			for d := around; d >= 1; d-- {
				isAfter = isAfter || k-d >= 0 && strings.HasSuffix(words[own[k-d]], "x")
				if k+d < len(own) && strings.HasSuffix(words[own[k+d]], "x") {
					isBefore = true
					if !isAfter && !found {
						moment = own[k+d] // d falls, so the nearest one stays
					}
				}
			}
			if isAfter {
				moment = i
			}
			if !found && !isAfter && !isBefore {
				continue
			}
			text := words[i]
			if found {
				text += "!"
			}
			if k != last+1 || around == 0 {
				text = "/" + text
			}
			last = k
			all = append(all, given{text, moment})
		}
	}
	slices.SortStableFunc(all, func(a, b given) int { return cmp.Compare(a.moment, b.moment) })
	var texts []string
	for _, g := range all {
		texts = append(texts, g.text)
	}
	return texts
}

func TestSearchIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var words []string
		for i, kind := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "a", "b", "r", "ax", "bx", "rx"}), 0, 25).Draw(rt, "kinds") {
			words = append(words, fmt.Sprintf("%c%d%s", kind[0], i, kind[1:]))
		}
		around := rapid.IntRange(0, 4).Draw(rt, "around")
		if got, want := search(t, words, around), naive(words, around); !slices.Equal(got, want) {
			rt.Errorf("%q with %d around: %q, want %q", words, around, got, want)
		}
	})
}

// TestSearchManyConversations: beyond maxConversations the neighbours of old
// ones are forgotten, the hits are not.
func TestSearchManyConversations(t *testing.T) {
	var archive rows
	for i := range maxConversations + 10 {
		archive = append(archive, chat(i, fmt.Sprint("user", i), "boris", fmt.Sprint("m", i)))
	}
	archive = append(archive, chat(len(archive), "user0", "boris", "x"))
	var got []string
	account, err := Search(context.Background(), archive, &message.Filter{Words: []string{"x"}}, 2, func(h Hit) error {
		got = append(got, h.Text.Text)
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"x"}) || account.Utterances != int64(len(archive)) {
		t.Errorf("%q, %+v, %v", got, account, err)
	}
}
