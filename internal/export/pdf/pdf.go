// Package pdf prints pages that package export wrote, through a Chromium that
// is on the machine. The browser is started without a window, with a private
// folder that is removed afterwards, and without a way to any network.
package pdf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdpio "github.com/chromedp/cdproto/io"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"archivolt/internal/problem"
)

// Printer is a running browser. It is not safe for concurrent use.
type Printer struct {
	ctx     context.Context // the browser's
	caller  context.Context
	stop    func()
	folder  string // private: the browser's profile, its temporary files, and pages to be printed
	pending *Page
	pages   int
}

// Open starts a browser. It ends when ctx is cancelled, or with Close.
func Open(ctx context.Context) (*Printer, error) {
	path, err := browser()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "archivolt-pdf-") // mode 0700
	if err != nil {
		return nil, &problem.Error{Class: problem.Failed, What: "no temporary folder can be made for the browser: " + reason(err), Err: err}
	}
	allocator, end := chromedp.NewExecAllocator(ctx, options(path, folder)...)
	silent := func(string, ...any) {}
	tab, closeTab := chromedp.NewContext(allocator, chromedp.WithErrorf(silent), chromedp.WithLogf(silent))
	p := &Printer{ctx: tab, caller: ctx, folder: folder, stop: func() { closeTab(); end() }}
	if err := chromedp.Do(tab); err != nil {
		p.Close()
		what, try := "the browser does not start", printByHand
		if strings.Contains(err.Error(), "sandbox") {
			what = "the browser does not start, since this system does not let it make its sandbox"
		}
		return nil, p.failed(path, what, try, err)
	}
	return p, nil
}

// options are the browser's command line and environment.
func options(path, folder string) []chromedp.ExecAllocatorOption {
	list := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.UserDataDir(filepath.Join(folder, "profile")),
		chromedp.Flag("crash-dumps-dir", filepath.Join(folder, "crash")),
		chromedp.Flag("disable-crash-reporter", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("disable-gpu", true),
		// No name and no address leads anywhere, and what goes out all the same
		// goes to a proxy that is not there; also for this machine's own ports.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"),
		chromedp.Flag("proxy-server", "http://0.0.0.0:1"),
		chromedp.Flag("proxy-bypass-list", "<-loopback>"),
		chromedp.Flag("force-webrtc-ip-handling-policy", "disable_non_proxied_udp"),
		// Passphrases may be in the environment.
		chromedp.NoInheritEnv,
		chromedp.Env(environment(folder)...),
	)
	if os.Getuid() == 0 { // Chromium refuses to make a sandbox for root
		list = append(list, chromedp.NoSandbox)
	}
	return list
}

// environment lets the browser find its libraries and fonts, and has it put
// temporary files, caches and crash reports into the folder.
func environment(folder string) []string {
	var list []string
	for _, name := range []string{"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "XDG_DATA_DIRS",
		"SystemRoot", "SystemDrive", "ProgramFiles", "ProgramFiles(x86)", "ProgramData", "USERPROFILE", "LOCALAPPDATA"} {
		if v, ok := os.LookupEnv(name); ok {
			list = append(list, name+"="+v)
		}
	}
	if runtime.GOOS == "darwin" {
		list = append(list, "HOME="+os.Getenv("HOME")) // the user's fonts
	} else {
		list = append(list, "HOME="+folder)
	}
	for _, name := range []string{"TMPDIR", "TEMP", "TMP", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "BREAKPAD_DUMP_LOCATION"} {
		list = append(list, name+"="+folder)
	}
	return list
}

// Close stops the browser and removes its folder, with all pages that were not
// printed.
func (p *Printer) Close() {
	if p.pending != nil {
		_ = p.pending.file.Close() // it is removed
		p.pending = nil
	}
	p.stop()
	// Its processes end shortly after it and may still write.
	for deadline := time.Now().Add(5 * time.Second); os.RemoveAll(p.folder) != nil && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
}

// Page is a page under construction, which nobody sees but the browser.
type Page struct {
	p    *Printer
	file *os.File
	out  string
}

// Create starts a page that its Close prints as the new file out. The page is
// kept in the private folder until then. There is one at a time.
func (p *Printer) Create(out string) (io.WriteCloser, error) {
	if p.pending != nil {
		return nil, problem.New(problem.Failed, out, "the page before it is not printed yet", "")
	}
	p.pages++
	file, err := os.OpenFile(filepath.Join(p.folder, "page-"+strconv.Itoa(p.pages)+".html"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, p.failed(out, reason(err), "", err)
	}
	p.pending = &Page{p: p, file: file, out: out}
	return p.pending, nil
}

// Write adds to the page.
func (g *Page) Write(b []byte) (int, error) { return g.file.Write(b) }

// Close prints the page.
func (g *Page) Close() error {
	g.p.pending = nil
	name := g.file.Name()
	defer func() { _ = os.Remove(name) }() // Close of the printer removes it otherwise
	if err := g.file.Close(); err != nil {
		return g.p.failed(g.out, reason(err), "", err)
	}
	return g.p.Print(name, g.out)
}

// Print prints the file html as the new file out (mode 0600).
func (p *Printer) Print(html, out string) error {
	address, err := fileURL(html)
	if err != nil {
		return p.failed(html, reason(err), "", err)
	}
	file, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return p.failed(out, reason(err), "", err)
	}
	err = p.print(address, file)
	if err == nil {
		err = settle(file)
	}
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(out) // the error before matters more
		var known *problem.Error
		if errors.As(err, &known) {
			return err
		}
		return p.failed(out, "the browser could not print it", printByHand, err)
	}
	return nil
}

const (
	a4Width, a4Height = 210 / 25.4, 297 / 25.4 // inches

	// The browser puts the page's title into the header. The footer is empty:
	// the page numbers itself.
	headerTemplate = `<div style="font-family:'Noto Sans',Arial,'DejaVu Sans',sans-serif;font-size:7.5pt;color:#333;width:100%;margin:0 15mm;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"><bdi class="title"></bdi></div>`
	footerTemplate = `<span></span>`
)

// print has the browser print the page in a tab of its own.
func (p *Printer) print(address string, w io.Writer) error {
	tab, closeTab := chromedp.NewContext(p.ctx)
	defer closeTab()
	return chromedp.Do(tab, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			return err
		}
		if _, err := chromedp.Navigate(address)(ctx, t); err != nil {
			return err
		}
		yes := true
		printed, err := cdp.Call(ctx, t, page.PrintToPDF, page.PrintToPDFParams{
			DisplayHeaderFooter: &yes, HeaderTemplate: headerTemplate, FooterTemplate: footerTemplate,
			PaperWidth: a4Width, PaperHeight: a4Height, PreferCSSPageSize: &yes, PrintBackground: &yes,
			GenerateTaggedPDF: &yes, GenerateDocumentOutline: &yes, TransferMode: page.PrintToPDFTransferModeReturnAsStream})
		if err != nil {
			return err
		}
		for {
			part, err := cdp.Call(ctx, t, cdpio.Read, cdpio.ReadParams{Handle: printed.Stream, Size: 1 << 20})
			if err != nil {
				return err
			}
			if _, err := w.Write(part.Data); err != nil {
				return err
			}
			if part.EOF {
				_, err := cdp.Call(ctx, t, cdpio.Close, cdpio.CloseParams{Handle: printed.Stream})
				return err
			}
		}
	}))
}

// fileURL is the address of a file (RFC 8089).
func fileURL(name string) (string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String(), nil
}

// failed makes a problem. What the browser says is not shown: it may hold text
// of the page.
func (p *Printer) failed(object, what, try string, err error) error {
	if p.caller.Err() != nil {
		return &problem.Error{Class: problem.Interrupted, Object: object, What: "stopped before the PDF was finished", Err: fmt.Errorf("%w: %w", p.caller.Err(), err)}
	}
	return &problem.Error{Class: problem.Failed, Object: object, What: what, Try: try, Err: err}
}

// reason is what the system says, without the path, which the problem has.
func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
