package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/durable"
	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// demoCmd shows the whole way once, with keys and messages of its own.
type demoCmd struct {
	Dir string `default:"archivolt-demo" placeholder:"DIR" help:"Folder for the sample; it is made if absent, and made anew if it is the demo's own."`
}

// Files of the demo, beside the key pair.
const (
	demoMarker   = ".archivolt-demo" // says that the folder is the demo's own
	demoWrapped  = "encrypted_key.pem"
	demoMessages = "messages.txt"
)

func (c *demoCmd) Run(a *app) error {
	if err := c.prepare(); err != nil {
		return err
	}
	path := func(name string) string { return filepath.Join(c.Dir, name) }

	pair, err := keys.Generate(keys.DefaultBits)
	if err != nil {
		return err
	}
	if err := writePair(a, pair, c.Dir, nil); err != nil {
		return err
	}
	key := sample.NewKey()
	wrapped, err := cisco.Wrap("sample key", []byte(key.Text()), pair.Public(), cisco.TextOptions{})
	if err != nil {
		return err
	}
	var values strings.Builder
	for _, body := range sample.Bodies() {
		values.WriteString(key.Value(body) + "\n")
	}
	for name, content := range map[string]string{demoWrapped: wrapped, demoMessages: values.String()} {
		if err := durable.WriteNew(path(name), []byte(content)); err != nil {
			return err
		}
	}
	if err := c.sign(); err != nil {
		return err
	}

	say := func(format string, args ...any) {
		if !a.quiet && !a.json {
			fmt.Fprintf(a.out, format+"\n", args...)
		}
	}
	say("Made in %s:", c.Dir)
	say("  %-18s the compliance officer's private key (RSA-%d); yours to keep secret", privateName, pair.Bits())
	say("  %-18s its public half, which an officer gives to IM&P", publicName)
	say("  %-18s the archive's key as IM&P hands it out, wrapped for the officer", demoWrapped)
	say("  %-18s %d messages as they lie in the archive, for example", demoMessages, len(sample.Bodies()))
	say("      %s\n", key.Value(sample.Bodies()[0]))
	say("Opened with the private key:")
	decrypt := decryptCmd{Encoding: cisco.Auto.String()}
	decrypt.In, decrypt.Lines = path(demoMessages), true
	decrypt.Key, decrypt.PrivateKey = []string{path(demoWrapped)}, []string{path(privateName)}
	if err := decrypt.Run(a); err != nil {
		return err
	}
	self, dir := programName(), filepath.ToSlash(c.Dir)
	say("\nThe same by hand, and what else to try:")
	say("  %s key inspect %s", self, problem.Quote(dir+"/"+privateName))
	say("  %s key unwrap --private-key %s %s", self, problem.Quote(dir+"/"+privateName), problem.Quote(dir+"/"+demoWrapped))
	say("  %s decrypt --private-key %s --key %s --lines --in %s", self,
		problem.Quote(dir+"/"+privateName), problem.Quote(dir+"/"+demoWrapped), problem.Quote(dir+"/"+demoMessages))
	say("  rm -r %s   when you have seen enough", problem.Quote(dir))
	return nil
}

// demoFiles are all the files that the demo makes, and may delete.
var demoFiles = []string{privateName, publicName, demoWrapped, demoMessages}

// prepare makes the folder, or empties it of an earlier demo's files. A folder
// that is not the demo's own is refused, and so is one in which somebody has
// put other files in the place of the demo's: it could be a real key.
func (c *demoCmd) prepare() error {
	entries, err := os.ReadDir(c.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.MkdirAll(c.Dir, 0o700)
	case err != nil:
		return err
	case len(entries) == 0:
		return nil
	}
	marker, err := os.ReadFile(filepath.Join(c.Dir, demoMarker))
	if err != nil {
		return problem.New(problem.Failed, c.Dir, "this folder is not empty and not the demo's own, so nothing in it was touched",
			"name another one with --dir DIR")
	}
	for _, name := range demoFiles {
		sum, err := c.sum(name)
		if err == nil && !strings.Contains(string(marker), sum) {
			return problem.New(problem.Failed, filepath.Join(c.Dir, name), "this file is not the one that the demo made, so nothing in the folder was touched",
				"move it to a safe place, or name another folder with --dir DIR")
		}
	}
	for _, name := range append(demoFiles, demoMarker) {
		if err := os.Remove(filepath.Join(c.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sign writes the marker: by it the next demo knows its own files.
func (c *demoCmd) sign() error {
	marker := "Made by archivolt demo. These files may be deleted:\n"
	for _, name := range demoFiles {
		sum, err := c.sum(name)
		if err != nil {
			return err
		}
		marker += sum + "\n"
	}
	return durable.Write(filepath.Join(c.Dir, demoMarker), []byte(marker))
}

// sum is a line of sha256sum.
func (c *demoCmd) sum(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(c.Dir, name))
	return fmt.Sprintf("%x  %s", sha256.Sum256(data), name), err
}

// programName is how the user can call this program again.
func programName() string {
	exe, err := os.Executable()
	if err == nil && strings.Contains(filepath.ToSlash(exe), "/go-build") {
		return "go run ./cmd/archivolt"
	}
	return "archivolt"
}
