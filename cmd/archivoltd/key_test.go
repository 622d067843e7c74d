//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"archivolt/internal/cisco/write"
	"archivolt/internal/keystore"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// asCommand puts a command archivoltd, which is this program, into a new folder
// and returns the folder.
func asCommand(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", asDaemon, problem.Quote(os.Args[0]))
	if err := os.WriteFile(filepath.Join(dir, "archivoltd"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKeyCommands runs testdata/*.txtar.
func TestKeyCommands(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("skipped: testscript types on no terminal of macOS")
	}
	testenv.Command(t, "openssl")
	bin := asCommand(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			// Files of a text archive are readable by all.
			for _, name := range []string{"weak.txt", "good.txt", "better.txt", "credentials/archivoltd-password"} {
				if err := os.Chmod(filepath.Join(e.WorkDir, name), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, neg bool, args []string) { // exits N COMMAND ARGS
				code := "0"
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					code = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if code != args[0] || neg {
					ts.Fatalf("exit %s, not %s", code, args[0])
				}
			},
		},
	})
}

// block is one of a manual, fenced.
type block struct{ section, info, text string }

// manualBlocks are those of a file in docs/ops.
func manualBlocks(t testing.TB, manual string) (list []block) {
	t.Helper()
	section, open, indent := "", -1, ""
	for i, line := range strings.Split(read(t, filepath.Join(testenv.Root(t), "docs", "ops", manual)), "\n") {
		if open < 0 {
			indent = ""
			if strings.HasPrefix(line, "   ```") { // inside a numbered list
				indent = "   "
			}
		}
		line = strings.TrimPrefix(line, indent)
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open < 0:
			list = append(list, block{section: section, info: fence})
			open = i
		case isFence:
			open = -1
		case open >= 0:
			list[len(list)-1].text += line + "\n"
		case strings.HasPrefix(line, "## "):
			section = line[3:]
		}
	}
	return list
}

// ciscoBlocks are the blocks of a language in docs/ops/cisco.md, in one section
// or in all.
func ciscoBlocks(t testing.TB, section, language string) (texts []string) {
	t.Helper()
	for _, b := range manualBlocks(t, "cisco.md") {
		if (section == "" || b.section == section) && b.info == language {
			texts = append(texts, b.text)
		}
	}
	return texts
}

// TestManualSQL: the statements in the manual are those of the program.
func TestManualSQL(t *testing.T) {
	got := ciscoBlocks(t, "PostgreSQL", "sql")
	if len(got) != 2 || got[0] != write.PostgresSchema() || got[1] != write.PostgresGrants("archivoltd") {
		t.Errorf("%q\nwant\n%s%s", got, write.PostgresSchema(), write.PostgresGrants("archivoltd"))
	}
}

// TestTenSteps stores messages in a database whose role has no more rights
// than the manual gives it, and reads one as the manual says: with openssl,
// base64 and psql alone.
func TestTenSteps(t *testing.T) {
	testenv.Command(t, "openssl")
	testenv.Command(t, "psql")
	server := testenv.StartPostgres(t, "fsync=on")
	sql := ciscoBlocks(t, "PostgreSQL", "sql")
	server.SQL("postgres", "CREATE ROLE archivoltd LOGIN; CREATE DATABASE tcmadb; CREATE DATABASE empty")
	server.SQL("tcmadb", strings.Join(sql, ""))

	const password = "plumb otter ninety fable crate"
	dir := t.TempDir()
	config := "archive: " + server.URL("archivoltd", "tcmadb") + "\nformat: cisco\nkeystore: keystore\nstate_dir: state\nlisten: none\n" +
		"xmpp: [{server: prosody, address: '127.0.0.1:5347', component: archive.example.org, secret_file: secret, local_domains: [example.org]}]\n"
	for name, text := range map[string]string{"archivoltd.yaml": config, "secret": "s", "password": password + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := archivoltd(t, "key", "enable", "--config", filepath.Join(dir, "archivoltd.yaml"), "--passphrase-file", filepath.Join(dir, "password")); code != 0 {
		t.Fatal(stderr)
	}
	k, err := keystore.Open(filepath.Join(dir, "keystore"), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	key, iv, err := k.Current()
	if err != nil {
		t.Fatal(err)
	}
	d, err := write.OpenPostgres(t.Context(), server.URL("archivoltd", "tcmadb"), write.DatabaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	head, err := d.TakeOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	short := "<message from='anna@example.org/pc' to='ben@example.org/phone' type='chat' id='1'><body>Prices are up — see &lt;memo&gt;</body></message>"
	long := "<message from='ben@example.org/phone' to='anna@example.org/pc' type='chat' id='2'><body>" + strings.Repeat("税関の書類 ", 500) + "</body></message>"
	day := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	e := write.NewEncoder(key, iv, write.Options{})
	rows, _, err := e.Rows([]write.Copy{{Stanza: []byte(short), Time: day, Direction: 'O'}, {Stanza: []byte(long), Time: day.AddDate(0, 0, 1), Direction: 'I'}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Append(t.Context(), &write.Batch{Rows: rows, Spool: 2, Generation: head.Generation, Key: e.Fingerprint()}); err != nil {
		t.Fatal(err)
	}
	if n := server.SQL("tcmadb", "SELECT count(*) FROM jm WHERE jm::text ~ 'anna|ben@|Prices|memo|chat'"); n != "0" {
		t.Errorf("%s rows hold something in clear", n)
	}

	script := ciscoBlocks(t, "Without Archivolt", "sh")
	if len(script) != 1 || strings.Count(script[0], "\n") != 10 {
		t.Fatalf("%q", script)
	}
	for day, want := range map[string]string{"2026-11-24": short, "2026-11-25": long} {
		for _, name := range []string{"private_key.pem", "encrypted_key.pem", "key.txt"} {
			_ = os.Remove(filepath.Join(dir, name)) // of the first day
		}
		c := exec.Command("sh", "-e", "-c", script[0])
		c.Dir = dir
		c.Env = append(os.Environ(), "PATH="+asCommand(t)+":"+os.Getenv("PATH"), "ARCHIVOLT_PASSPHRASE="+password, "DATABASE="+server.URL("postgres", "tcmadb"), "DAY="+day)
		var stderr strings.Builder
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil || string(out) != want {
			t.Errorf("%s: %v, %.200q\n%s", day, err, out, stderr.String())
		}
		if strings.Contains(stderr.String(), fmt.Sprintf("%x", key)) || strings.Contains(stderr.String(), password) {
			t.Error("a secret is in the log")
		}
	}
}
