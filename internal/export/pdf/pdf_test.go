package pdf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

var goldenPage = filepath.Join("..", "testdata", "golden", "messages.html")

// private makes a folder the place of all temporary files, and finds that
// nothing is left in it.
func private(t *testing.T) string {
	t.Helper()
	t.Setenv(Variable, testenv.Command(t, "chromium"))
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
		if runtime.GOOS != "linux" {
			return
		}
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil || len(lines) == 0 {
			t.Fatal("no processes", err)
		}
		for _, name := range lines {
			if line, err := os.ReadFile(name); err == nil && bytes.Contains(line, []byte(dir)) {
				t.Errorf("a process is left: %q", line)
			}
		}
	})
	return dir
}

// write prints one file with a browser of its own.
func write(ctx context.Context, html, out string) error {
	p, err := Open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Print(html, out)
}

// TestGolden: pdftotext finds every text of the golden page, in all scripts,
// and equal pages give equal files, whether one browser prints them or two.
func TestGolden(t *testing.T) {
	pdftotext := testenv.Command(t, "pdftotext")
	temporary := private(t)
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	p, err := Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(p.folder); err != nil || filepath.Dir(p.folder) != temporary || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("the private folder %s: %v, %v", p.folder, info.Mode(), err)
	}
	if err := p.Print(goldenPage, name("1.pdf")); err != nil {
		t.Fatal(err)
	}
	html, err := os.ReadFile(goldenPage)
	if err != nil {
		t.Fatal(err)
	}
	part, err := p.Create(name("2.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(html); err != nil {
		t.Fatal(err)
	}
	if err := part.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(p.folder, "*.html")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := p.Print(goldenPage, name("1.pdf")); !errors.Is(err, os.ErrExist) {
		t.Errorf("an existing file: %v", err)
	}
	if _, err := p.Create(name("never.pdf")); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := write(context.Background(), goldenPage, name("3.pdf")); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(name("1.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"2.pdf", "3.pdf"} {
		if b, err := os.ReadFile(name(other)); err != nil || !bytes.Equal(first, b) {
			t.Errorf("%s differs, %v", other, err)
		}
	}
	if info, err := os.Stat(name("3.pdf")); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if bytes.Contains(first, []byte("/CreationDate")) || bytes.Contains(first, []byte("/ModDate")) {
		t.Error("the file has dates")
	}
	if !bytes.Contains(first, []byte("/Outlines")) || !bytes.Contains(first, []byte("/StructTreeRoot")) {
		t.Error("no outline, or no structure for screen readers")
	}
	var complaints bytes.Buffer
	c := exec.Command(pdftotext, "-enc", "UTF-8", name("1.pdf"), "-")
	c.Stderr = &complaints
	out, err := c.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("pdftotext: %v\n%s", err, &complaints)
	}
	text := solid(string(out)) // pdftotext turns the two letters of the ligature in الإرسال around, so only its end is looked for
	for _, want := range []string{"Case 17 <trade & customs>", "Period: 31 January 2024 to 1 February 2024", "Anna Berg", `Борис "Bo" Иванов`, "a message without a date",
		`Good morning! <b>Rotterdam</b> & "customs"`, "Good evening!", "Доброе утро.", "Zweite Zeile", "税関の書類", "تم", "رسال", "שלום", "👍", "🚚",
		`=HYPERLINK("http://evil.example")`, "gnp.exe", "U+202E", "U+202C", "see the file", "https://files.example.com/a b.pdf", "an edit of yesterday's", "Subject: injected", "Bcc: all@example.com",
		"New subject", "by a nick alone", "the next day", "no key opens MESSAGE_STRING, TO_JID, FROM_JID, BODY_STRING", "SHA256:abc", "jm.csv:14", "page 1 of 3", "page 3 of 3"} {
		if !strings.Contains(text, solid(want)) {
			t.Errorf("%q is not in the PDF:\n%s", want, out)
		}
	}
	fonts, err := exec.Command(testenv.Command(t, "pdffonts"), name("1.pdf")).Output()
	if err != nil || strings.Contains(string(fonts), " no  ") && !strings.Contains(string(fonts), "Type 3") {
		t.Errorf("fonts that are not in the file, %v:\n%s", err, fonts)
	}
}

// solid is a text without blanks, which pdftotext puts where it thinks best,
// and without the controls that it adds to Arabic and Hebrew.
func solid(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \n\r\f\t\u200e\u200f\u202a\u202b\u202c\u202d\u202e", r) {
			return -1
		}
		return r
	}, s)
}

// TestCancelled: the file that was begun is removed, and the browser with its
// folder.
func TestCancelled(t *testing.T) {
	private(t)
	out := filepath.Join(t.TempDir(), "messages.pdf")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p, err := Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	begun := make(chan bool)
	go func() {
		defer close(begun)
		for ctx.Err() == nil {
			if _, err := os.Stat(out); err == nil {
				cancel()
				return
			}
			runtime.Gosched()
		}
	}()
	err = p.Print(goldenPage, out)
	if problem.ClassOf(err) != problem.Interrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	cancel()
	<-begun
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// TestNoNetwork: a page that is not ours and wants everything from elsewhere
// gets nothing, not even from this machine.
func TestNoNetwork(t *testing.T) {
	private(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = c.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	html := "<!DOCTYPE html><title>x</title><p>hostile"
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "evil.example"} {
		u := fmt.Sprintf("http://%s:%d/", host, port)
		html += strings.ReplaceAll(`<link rel=stylesheet href="~a"><link rel=preconnect href="~"><link rel=dns-prefetch href="~"><link rel=prefetch href="~b"><style>@import "~c";p{background:url(~d)}</style>
<img src="~e" srcset="~f 2x"><iframe src="~g"></iframe><object data="~h"></object><embed src="~i"><video src="~j" poster="~k"></video><script src="~l"></script>
<script>fetch("~m");new WebSocket("~".replace("http","ws"));document.write("written by a script")</script><svg><image href="~n"/></svg>`, "~", u)
	}
	name, out := filepath.Join(t.TempDir(), "hostile.html"), filepath.Join(t.TempDir(), "hostile.pdf")
	if err := os.WriteFile(name, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(context.Background(), name, out); err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	text, err := exec.Command(testenv.Command(t, "pdftotext"), out, "-").Output()
	if err != nil || !bytes.Contains(text, []byte("hostile")) || bytes.Contains(text, []byte("written by a script")) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestNoBrowser: the message names the other way to a printed file.
func TestNoBrowser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: only Linux finds browsers by the PATH alone")
	}
	t.Setenv("PATH", t.TempDir())
	for _, named := range []string{"", filepath.Join(t.TempDir(), "missing")} {
		t.Setenv(Variable, named)
		err := write(context.Background(), goldenPage, filepath.Join(t.TempDir(), "x.pdf"))
		var p *problem.Error
		if !errors.As(err, &p) || p.Class != problem.Failed || !strings.Contains(p.Try, "open messages.html in any browser and print it to a file") {
			t.Errorf("%v", err)
		}
	}
}

// TestBrowserIsStartedSafely: what the browser gets on its command line and in
// its environment, seen by a program in its place.
func TestBrowserIsStartedSafely(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: the program in the browser's place is a shell script")
	}
	dir := t.TempDir()
	seen := filepath.Join(dir, "seen")
	script := "#!/bin/sh\n{ printf '%s\\n' \"$@\"; echo --; env; } > '" + seen + "'\nexit 1\n"
	fake := filepath.Join(dir, "browser")
	if err := os.WriteFile(fake, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv(Variable, fake)
	t.Setenv("ARCHIVOLT_PASSPHRASE", "hunter2")
	err := write(context.Background(), goldenPage, filepath.Join(dir, "x.pdf"))
	if problem.ClassOf(err) != problem.Failed || !strings.Contains(err.Error(), "the browser does not start") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	b, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	flags, env, _ := strings.Cut(string(b), "\n--\n")
	for _, want := range []string{"--headless", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--host-resolver-rules=MAP * ~NOTFOUND", "--user-data-dir=" + temporary + "/archivolt-pdf-", "--remote-debugging-pipe"} {
		if !strings.Contains("\n"+flags, "\n"+want) {
			t.Errorf("%s is missing in\n%s", want, flags)
		}
	}
	if got := strings.Contains(flags, "no-sandbox"); got != (os.Getuid() == 0) {
		t.Errorf("no-sandbox: %v", got)
	}
	if strings.Contains(flags, "remote-debugging-port") || strings.Contains(env, "hunter2") {
		t.Errorf("%s\n%s", flags, env)
	}
}
