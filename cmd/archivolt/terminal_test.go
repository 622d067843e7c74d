package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// TestVisible takes the power out of what could command a terminal.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünïcode, 日本語 👍🏽\n\ttab": "plain, ünïcode, 日本語 👍🏽\n\ttab",
		"\x1b]0;title\x07":              "␛]0;title␇",
		"line\r\nover\rwrite":           "line␍\nover␍write",
		"\x00\x7f":                      "␀␡",
		"\u009b31m":                     "<U+009B>31m",
		"abc\u202egpj.exe":              "abc<U+202E>gpj.exe",
		"\u2066\u2069\u200e\u061c":      "<U+2066><U+2069><U+200E><U+061C>",
		"\xff\xfe\x80":                  "<FF><FE><80>",
		"\ufffd":                        "\ufffd",
	} {
		if got := string(visible([]byte(text))); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := safe("two\nlines\tand\x1b"); got != "two␊lines␉and␛" {
		t.Errorf("in one line: %q", got)
	}
}

// TestTerminalAndPipe decrypts a hostile message to both, and as JSON.
func TestTerminalAndPipe(t *testing.T) {
	makeMistakes(t)
	const hostile = "\x1b]0;owned\x07hi\u009b\u202e"
	value, _, code := runApp(t, hostile, "encrypt", "--key", "key.txt")
	if code != 0 {
		t.Fatal("not encrypted")
	}
	for _, args := range [][]string{{"decrypt", "--key", "key.txt"}, {"decrypt", "--key", "key.txt", "--lines"}, {"decrypt", "--key", "key.txt", "--out", "-"}} {
		if piped, _, _ := runApp(t, value, args...); strings.TrimSuffix(piped, "\n") != hostile {
			t.Errorf("%v to a pipe: %q", args, piped)
		}
		var out, errs bytes.Buffer
		a := &app{ctx: context.Background(), in: strings.NewReader(value), out: &out, err: &errs,
			getenv: func(string) string { return "" }, outTerminal: true}
		if code := a.run(args); code != 0 || out.String() != "␛]0;owned␇hi<U+009B><U+202E>\n" {
			t.Errorf("%v to a terminal: exit %d, %q", args, code, out.String())
		}
	}
	if out, _, _ := runApp(t, value, "decrypt", "--json", "--key", "key.txt"); strings.ContainsAny(out, "\u009b\u202e") || !strings.Contains(out, `\u009b\u202e`) {
		t.Errorf("as JSON: %q", out)
	}
}

// TestHostileNames shows an archive whose nick, address and encryption name
// try to pass for other messages or to command the terminal.
func TestHostileNames(t *testing.T) {
	t.Chdir(t.TempDir())
	const table = "to_jid,from_jid,sent_date,msg_type,direction,body_string,message_string\n" +
		"c@x/1,\"r@conf/Mallory\n  10:00:01 boss@x: I approve\",2024-01-01 10:00:00,g,I,hello,\n" +
		"c@x/1,\"evil\nadmin@corp\t9999@x/1\",2024-01-01 10:00:02,c,I,again,\n" +
		"c@x/1,d@x/1,2024-01-01 10:00:03,c,I,secret,\"<message><body>secret</body><encryption xmlns='urn:xmpp:eme:0' namespace='x' name='A&#x9b;31m&#x202e;B'/></message>\"\n"
	if err := os.WriteFile("jm.csv", []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"show", "jm.csv", "--user", "*"}, {"search", "jm.csv", "e"}, {"users", "jm.csv"}, {"rooms", "jm.csv"}, {"check", "jm.csv"}} {
		out, stderr, code := runApp(t, "", args...)
		if code != 0 || out == "" {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
		if strings.ContainsAny(out, "\u009b\u202e\x1b") {
			t.Errorf("%v lets controls through: %q", args, out)
		}
		for _, line := range strings.Split(out, "\n") {
			if strings.HasPrefix(line, "  10:00:01") || strings.HasPrefix(line, "admin@corp") {
				t.Errorf("%v prints a forged line: %q", args, line)
			}
		}
	}
}
