package export

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"archivolt/internal/testenv"
)

// parsed is a message as testdata/mail.py reads it.
type parsed struct {
	Headers  [][2]string
	From, To [][2]string // display name, address without quotes
	Type     string
	Defects  []string
	Longest  int // bytes of a line
	Bare     int // CR or LF that is not in a CR LF
	ASCII    bool
	Parts    []struct {
		Type, File, Disposition, Encoding, Text string
		Zip                                     []string
	}
}

// header returns a field, which must be there once.
func (p *parsed) header(t testing.TB, name string) string {
	t.Helper()
	text, n := "", 0
	for _, h := range p.Headers {
		if strings.EqualFold(h[0], name) {
			text, n = h[1], n+1
		}
	}
	if n != 1 {
		t.Errorf("%s is there %d times", name, n)
	}
	return text
}

// names are the fields in order.
func (p *parsed) names() (list []string) {
	for _, h := range p.Headers {
		list = append(list, h[0])
	}
	return list
}

// readMail reads messages with Python, and checks what holds for all of them.
func readMail(t testing.TB, raw ...[]byte) []parsed {
	t.Helper()
	python := testenv.Command(t, "python3")
	arguments := []string{filepath.Join("testdata", "mail.py")}
	dir := t.TempDir()
	for i, r := range raw {
		path := filepath.Join(dir, string(rune('a'+i)))
		if err := os.WriteFile(path, r, 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, path)
	}
	cmd := exec.Command(python, arguments...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.String())
	}
	var list []parsed
	if err := json.Unmarshal(out, &list); err != nil || len(list) != len(raw) {
		t.Fatalf("%d messages, %v", len(list), err)
	}
	for _, p := range list {
		if len(p.Defects) > 0 || p.Longest > 998 || p.Bare > 0 || !p.ASCII {
			t.Errorf("defects %q, longest line %d, bare line ends %d, ASCII %v", p.Defects, p.Longest, p.Bare, p.ASCII)
		}
	}
	return list
}

// oneFile is the file that write makes of a slice.
func oneFile(t testing.TB, s *Slice, write func(dir Folder) error) []byte {
	t.Helper()
	dir := memory{}
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	if len(dir) != 1 {
		t.Fatalf("%d files", len(dir))
	}
	for name, b := range dir {
		if !strings.HasPrefix(name, s.Name()+".") {
			t.Errorf("file %s for %s", name, s.Name())
		}
		return b.Bytes()
	}
	return nil
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":             "plain\ttext\n",
		"a\r\nb\rc\nd\r":            "a\nb\nc\nd\n",
		"\x00\x1b[31m\x7f\u0085":    "⟨U+0000⟩⟨U+001B⟩[31m⟨U+007F⟩⟨U+0085⟩",
		"\u202egnp.exe\u202c\u2066": "⟨U+202E⟩gnp.exe⟨U+202C⟩⟨U+2066⟩",
		"\u2028\u2029\u200b\ufeff":  "⟨U+2028⟩⟨U+2029⟩⟨U+200B⟩⟨U+FEFF⟩",
		"bad \xff\xfe":              "bad ��",
		"שלום\u200f می\u200cخواهم 👨\u200d👩": "שלום\u200f می\u200cخواهم 👨\u200d👩",
		"🏴\U000e0067\U000e007f x\U000e0041": "🏴\U000e0067\U000e007f x⟨U+E0041⟩",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := oneLine("a\r\nBcc: x\ty"); got != "a⟨U+000A⟩Bcc: x⟨U+0009⟩y" {
		t.Errorf("one line: %q", got)
	}
	if got := shorten("äöü", 3); got != "ä…" {
		t.Errorf("shortened: %q", got)
	}
}

func TestAddrSpec(t *testing.T) {
	for address, want := range map[string]string{
		"anna@example.com":        "anna@example.com",
		"o'neil+x@sub.example":    "o'neil+x@sub.example",
		`anna\20berg@example.com`: `"anna\\20berg"@example.com`,
		`a"b c@example.com`:       `"a\"b c"@example.com`,
		"a..b@example.com":        `"a..b"@example.com`,
		"a@b@example.com":         `"a@b"@example.com`,
	} {
		got, ok := addrSpec(address)
		if got != want || !ok {
			t.Errorf("%q: %q %v, want %q", address, got, ok, want)
		}
		list, err := mail.ParseAddress("<" + got + ">")
		if err != nil || list.Address != address {
			t.Errorf("%q is read as %v, %v", got, list, err)
		}
	}
	seen := map[string]bool{}
	for _, address := range []string{"", "anna", "@example.com", "anna@", "борис@example.com", "anna@пример.рф", "a\r\nBcc: x@example.com", "a\x00@example.com",
		"a@example..com", "a@[192.0.2.1]", "=?utf-8?q?x?=@example.com", strings.Repeat("a", 300) + "@example.com", "a@ex ample.com", "a@x>,<b"} {
		got, ok := addrSpec(address)
		if _, err := mail.ParseAddress(got); ok || err != nil || !strings.HasSuffix(got, "@participant.invalid") || seen[got] {
			t.Errorf("%q: %q, %v, %v", address, got, ok, err)
		}
		seen[got] = true
	}
}

// checkHeader holds a field against what net/mail and mime make of it.
func checkHeader(t *testing.T, value, name, address string) {
	t.Helper()
	b := appendHeader(nil, "Subject", value)
	b = appendMailboxes(b, "To", []mailbox{{name, address}, {"Second", "second@example.com"}})
	b = append(b, "\r\nbody"...)
	for _, line := range strings.Split(string(b), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") || strings.TrimSpace(line) == "" && line != "" {
			t.Errorf("line %q", line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v\n%q", err, b)
	}
	if len(m.Header) != 2 {
		t.Errorf("injected: %v", m.Header)
	}
	got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if want := shorten(oneLine(value), maxHeaderField); err != nil || got != want {
		t.Errorf("subject %q, want %q, %v", got, want, err)
	}
	list, err := m.Header.AddressList("To")
	if err != nil || len(list) != 2 || list[1].Address != "second@example.com" || list[1].Name != "Second" {
		t.Fatalf("addresses %v of %q, %v", list, b, err)
	}
	if spec, ok := addrSpec(address); ok && list[0].Address != address || !ok && list[0].Address != spec {
		t.Errorf("address %q, want %q or %q", list[0].Address, address, spec)
	} else if want := shorten(oneLine(name), maxHeaderText); ok && list[0].Name != want {
		t.Errorf("name %q, want %q", list[0].Name, want)
	}
}

var hostileNames = []string{"", "Anna Berg", `Борис "Bo" Иванов`, "a\r\nBcc: all@example.com", "=?utf-8?B?QmNj?=", " leading", "trailing ", "two  blanks",
	strings.Repeat("long", 400), strings.Repeat("日本語", 400), "x>, <evil@example.com", `back\slash"`, "\x00\x1b", "\xff\xfe", "a\tb", "(comment", "a:b;", "\u202egnp"}

func TestHeaders(t *testing.T) {
	for _, name := range hostileNames {
		for _, address := range append(hostileNames, "anna@example.com") {
			checkHeader(t, name, name, address)
		}
	}
	long := strings.Repeat("some words ", 200)
	checkHeader(t, long+"end", "n", "a@example.com")
}

func FuzzHeaders(f *testing.F) {
	for _, name := range hostileNames {
		f.Add(name, name, name)
		f.Add(name, name, name+"@example.com")
	}
	f.Fuzz(checkHeader)
}

// TestHeadersInPython: another reader finds the same names and addresses.
func TestHeadersInPython(t *testing.T) {
	var messages [][]byte
	for _, name := range hostileNames {
		b := appendMailboxes(nil, "From", []mailbox{{name, `a\20b"c@example.com`}})
		b = appendMailboxes(b, "To", []mailbox{{name, "anna@example.com"}, {name, "борис@пример.рф"}})
		b = appendHeader(b, "Subject", name)
		messages = append(messages, append(b, "Content-Type: text/plain; charset=utf-8\r\n\r\nbody\r\n"...))
	}
	for i, p := range readMail(t, messages...) {
		name := shorten(oneLine(hostileNames[i]), maxHeaderText)
		if !slices.Equal(p.names(), []string{"From", "To", "Subject", "Content-Type"}) {
			t.Errorf("%q: fields %v", name, p.names())
		}
		if len(p.From) != 1 || p.From[0] != [2]string{name, `a\20b"c@example.com`} {
			t.Errorf("%q: from %q", name, p.From)
		}
		if len(p.To) != 2 || p.To[0] != [2]string{name, "anna@example.com"} || !strings.HasSuffix(p.To[1][0], "(борис@пример.рф)") && len(name) < 200 {
			t.Errorf("%q: to %q", name, p.To)
		}
		if got := p.header(t, "Subject"); got != oneLine(hostileNames[i]) || !utf8.ValidString(got) {
			t.Errorf("%q: subject %q", name, got)
		}
	}
}
