package message

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"anna@x", "anna@x", true},
		{"anna@x", "anna@xy", false},
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything at all", true},
		{"*@x", "anna@x", true},
		{"*@x", "anna@x.y", false},
		{"anna@*", "anna@x", true},
		{"anna*", "anna", true},
		{"a*a", "a", false}, // one letter cannot be both ends
		{"a*a", "aa", true},
		{"a**b", "ab", true},
		{"*a*b*", "xaxbx", true},
		{"*a*b*", "xbxax", false},
		{"*ab*ab", "abab", true},
		{"*ab*ab", "ab", false},
		{"a*b*b", "ab", false},
		{"a.c", "abc", false}, // a dot is a dot
		{"[a]*", "[a]b", true},
		{"*ä", "Mä", true},
	} {
		if Wildcard(c.pattern, c.text) != c.want {
			t.Errorf("%q on %q is %v", c.pattern, c.text, !c.want)
		}
	}
}

func TestWildcardIsTheRegexp(t *testing.T) {
	letters := rapid.StringOfN(rapid.RuneFrom([]rune("ab.\nä")), 0, 12, -1)
	patterns := rapid.StringOfN(rapid.RuneFrom([]rune("ab.\nä**")), 0, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		pattern, text := patterns.Draw(t, "pattern"), letters.Draw(t, "text")
		naive := regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + `\z`)
		if got := Wildcard(pattern, text); got != naive.MatchString(text) {
			t.Errorf("%q on %q is %v", pattern, text, got)
		}
	})
}

func TestWildcardTakesLittleTime(t *testing.T) {
	text := strings.Repeat("a", 1<<20)
	for _, pattern := range []string{
		strings.Repeat("*a", 1000) + "b", // a backtracking matcher takes for ever
		strings.Repeat("*", 1<<16) + "b",
		strings.Repeat("a*", 1<<16) + "b*",
		"*" + strings.Repeat("a", 1<<19) + "b*",
		strings.Repeat("*aab", 1000),
	} {
		inTime(t, pattern[:8], func() {
			if Wildcard(pattern, text) {
				t.Errorf("%.8s… fits", pattern)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	noon := time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC)
	anna, boris, room := "anna@example.com", "boris@example.com", `legal\20hold@conf.example.com`
	chat := Subject{Time: noon, People: []string{anna, boris}, Texts: []string{"The Contract is signed", "Re: Müller", "https://files.example.com/Plan.pdf"}}
	inRoom := Subject{Time: noon, People: []string{boris, anna, "carla@example.com"}, Room: room, Texts: []string{"hello"}}
	escaped := Subject{Time: noon, People: []string{`d\27artagnan@example.com`}}
	undated := Subject{People: []string{anna}}
	unreadable := Subject{Time: noon}

	words := func(args ...string) Filter { return Filter{Words: SplitWords(args)} }
	users := func(typed ...string) Filter {
		var f Filter
		for _, t := range typed {
			f.Users = append(f.Users, Pattern(t))
		}
		return f
	}
	with := func(typed ...string) Filter { return Filter{With: users(typed...).Users} }
	rooms := func(typed ...string) Filter { return Filter{Rooms: users(typed...).Users} }
	for _, c := range []struct {
		name    string
		filter  Filter
		subject Subject
		want    bool
	}{
		{"no filter takes all", Filter{}, chat, true},
		{"also what cannot be read", Filter{}, unreadable, true},
		{"also what has no date", Filter{}, undated, true},

		{"the sender", users("Anna@Example.com"), chat, true},
		{"the recipient", users("boris@example.com"), chat, true},
		{"with a resource", users("boris@example.com/phone"), chat, true},
		{"somebody else", users("carla@example.com"), chat, false},
		{"any of several", users("carla@example.com", "anna@example.com"), chat, true},
		{"an occupant of the room", users("carla@example.com"), inRoom, true},
		{"the room is nobody", users("*@conf.example.com"), inRoom, false},
		{"a part of an address is another address", users("anna@example"), chat, false},
		{"everybody of a domain", users("*@example.com"), chat, true},
		{"anybody: somebody is known", users("*"), chat, true},
		{"nobody is known", users("*"), unreadable, false},

		{"all of two", with(anna, boris), chat, true},
		{"in any order", with(boris, anna), chat, true},
		{"one is missing", with(anna, "carla@example.com"), chat, false},
		{"one is enough for one", with(boris), chat, true},
		{"with and user", Filter{Users: []string{boris}, With: []string{anna}}, chat, true},
		{"with, and not user", Filter{Users: []string{"carla@example.com"}, With: []string{anna}}, chat, false},

		{"the room, as it is stored", rooms(room), inRoom, true},
		{"the room, as people write it", rooms("Legal Hold@conf.example.com"), inRoom, true},
		{"the rooms of a service", rooms("*@conf.example.com"), inRoom, true},
		{"with a blank before the star", rooms("legal *"), inRoom, true},
		{"another room", rooms("ops@conf.example.com"), inRoom, false},
		{"one of two rooms", rooms("ops@conf.example.com", room), inRoom, true},
		{"any room: this is none", rooms("*"), chat, false},

		{"an address as people write it", users("d'Artagnan@example.com"), escaped, true},
		{"an address as it is stored", users(`d\27artagnan@example.com`), escaped, true},
		{"a pattern as people write it", users("d'*"), escaped, true},
		{"the escape is no other character", users(`d"artagnan@example.com`), escaped, false},

		{"since that moment", Filter{Since: noon}, chat, true},
		{"since a nanosecond later", Filter{Since: noon.Add(1)}, chat, false},
		{"until that moment", Filter{Until: noon}, chat, false},
		{"until a nanosecond later", Filter{Until: noon.Add(1)}, chat, true},
		{"between", Filter{Since: noon, Until: noon.Add(1)}, chat, true},
		{"a moment in another zone", Filter{Since: noon.In(time.FixedZone("", 3600))}, chat, true},
		{"no date, since", Filter{Since: time.Unix(0, 0)}, undated, false},
		{"no date, until", Filter{Until: noon}, undated, false},
		{"no date, but the person", users(anna), undated, true},

		{"a word", words("contract"), chat, true},
		{"a word in another case and form", words("ＭÜLLER"), chat, true},
		{"a part of a word", words("sign"), chat, true},
		{"words in several texts", words("contract", "müller", "plan.pdf"), chat, true},
		{"one is missing", words("contract", "merger"), chat, false},
		{"a phrase", words("contract is"), chat, true},
		{"a phrase in another order", words("is contract"), chat, false},
		{"a phrase across two texts", words("signed re"), chat, false},
		{"words where there is no text", words("contract"), unreadable, false},

		{"all at once", Filter{Users: []string{boris}, With: []string{"*@example.com"}, Rooms: []string{room}, Since: noon, Until: noon.Add(1), Words: []string{"hello"}}, inRoom, true},
	} {
		if got := c.filter.Match(&c.subject); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, nil},
		{[]string{"Contract"}, []string{"contract"}},
		{[]string{"legal", "hold"}, []string{"legal", "hold"}},
		{[]string{"legal  hold"}, []string{"legal hold"}}, // the shell's quotes made a phrase
		{[]string{`"legal hold"`}, []string{"legal hold"}},
		{[]string{`on "Legal  Hold" now please`}, []string{"on", "legal hold", "now", "please"}},
		{[]string{`"a b"c d"e f"`}, []string{"a b", "c", "d", "e f"}},
		{[]string{`from "here on`}, []string{"from", "here on"}}, // a quote left open
		{[]string{"Straße", "ＡＢ"}, []string{"strasse", "ab"}},
		{[]string{"", "  ", `""`, `" "`, "\t\n"}, nil},
		{[]string{"new\nline"}, []string{"new line"}},
	} {
		if got := SplitWords(c.args); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

// FuzzSplitWords: no panic, no empty words, and an argument without quotes
// finds itself.
func FuzzSplitWords(f *testing.F) {
	f.Add(`on "Legal  Hold" now`, "ß")
	f.Add(`"`, "\u3000\u00a0")
	f.Fuzz(func(t *testing.T, one, other string) {
		words := SplitWords([]string{one, other})
		if slices.Contains(words, "") {
			t.Errorf("%q and %q: %q", one, other, words)
		}
		if text := strings.Join(strings.Fields(other), " "); text != "" && !strings.Contains(other, `"`) {
			itself := Filter{Words: words[len(words)-1:]}
			if !itself.Match(&Subject{Texts: []string{text}}) {
				t.Errorf("%q is not found by %q", text, itself.Words)
			}
		}
	})
}
