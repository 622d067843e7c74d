package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	demoMessages = "messages.txt"
	demoArchive  = "jm.csv"
	demoPeople   = "people.csv"
)

// demoKeys are the wrapped keys: encryption was switched off and on again.
var demoKeys = []string{"encrypted_key.pem", "encrypted_key_2.pem", "encrypted_key_3.pem"}

// demoUtterances is how many messages the demo's archive holds.
const (
	demoUtterances = 600
	demoSeed       = 7                // always the same messages, so that the documentation can show them
	demoGap        = 20 * time.Minute // between them: some weeks in all
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
	sampled := sample.New(sample.Options{Seed: demoSeed, Utterances: demoUtterances, Gap: demoGap})
	if err := c.write(pair, sampled); err != nil {
		return err
	}

	say := func(format string, args ...any) {
		if !a.quiet && !a.json {
			fmt.Fprintf(a.out, format+"\n", args...)
		}
	}
	say("Made in %s:", c.Dir)
	say("  %-20s the compliance officer's private key (RSA-%d); yours to keep secret", privateName, pair.Bits())
	say("  %-20s its public half, which an officer gives to IM&P", publicName)
	say("  %-20s the archive's key as IM&P hands it out, wrapped for the officer;", demoKeys[0])
	say("  %-20s and the keys of later years: _2, _3. One more was lost", "")
	say("  %-20s %d messages as they lie in the archive, for example", demoMessages, len(sample.Bodies()))
	say("      %s", sampled.Keys[0].Value(sample.Bodies()[0]))
	say("  %-20s an exported table JM with %s rows: each message in several copies", demoArchive, thousands(int64(len(sampled.Rows))))
	say("  %-20s who is behind the addresses\n", demoPeople)

	say("The values, opened with the private key:")
	decrypt := decryptCmd{Encoding: cisco.Auto.String()}
	decrypt.In, decrypt.Lines = path(demoMessages), true
	decrypt.Key, decrypt.PrivateKey = []string{path(demoKeys[0])}, []string{path(privateName)}
	if err := decrypt.Run(a); err != nil {
		return err
	}
	say("\nThe archive, checked with all keys at hand:\n")
	check := checkCmd{Archive: []string{path(demoArchive)}}
	check.PrivateKey = []string{path(privateName)}
	for _, k := range demoKeys {
		check.Key = append(check.Key, path(k))
	}
	if err := check.Run(a); err != nil && problem.ClassOf(err) != problem.Partial {
		return err // some rows cannot be read: that is what the demo shows
	}

	dir := filepath.ToSlash(c.Dir)
	in := func(name string) string { return problem.Quote(dir + "/" + name) }
	all := "--private-key " + in(privateName)
	for _, k := range demoKeys {
		all += " --key " + in(k)
	}
	self := programName()
	say("\nThe same by hand, and what else to try:")
	say("  %s key unwrap --private-key %s %s", self, in(privateName), in(demoKeys[0]))
	say("  %s decrypt --private-key %s --key %s --lines --in %s", self, in(privateName), in(demoKeys[0]), in(demoMessages))
	say("  %s search %s rotterdam --user \"Anna Berg\" --people %s %s", self, in(demoArchive), in(demoPeople), all)
	say("  %s users %s --people %s %s", self, in(demoArchive), in(demoPeople), all)
	say("  %s export %s --format csv --out %s %s", self, in(demoArchive), in("export"), all)
	say("  rm -r %s   when you have seen enough", problem.Quote(dir))
	return nil
}

// write makes the files that IM&P and its database would hand out.
func (c *demoCmd) write(pair *keys.Private, sampled *sample.Archive) error {
	files := map[string][]byte{}
	for i, name := range demoKeys {
		wrapped, err := cisco.Wrap("sample key", []byte(sampled.Keys[i].Text()), pair.Public(), cisco.TextOptions{})
		if err != nil {
			return err
		}
		files[name] = []byte(wrapped)
	}
	var values, table, who bytes.Buffer
	for _, body := range sample.Bodies() {
		values.WriteString(sampled.Keys[0].Value(body) + "\n")
	}
	if err := sample.WriteCSV(&table, sampled.Rows); err != nil {
		return err
	}
	who.WriteString("address,name\n")
	for _, address := range slices.Sorted(maps.Keys(sampled.People)) {
		fmt.Fprintf(&who, "%s,%s\n", address, sampled.People[address])
	}
	files[demoMessages], files[demoArchive], files[demoPeople] = values.Bytes(), table.Bytes(), who.Bytes()
	for name, content := range files {
		if err := durable.WriteNew(filepath.Join(c.Dir, name), content); err != nil {
			return err
		}
	}
	return c.sign()
}

// demoFiles are all the files that the demo makes, and may delete.
var demoFiles = slices.Concat([]string{privateName, publicName, demoMessages, demoArchive, demoPeople}, demoKeys)

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
	for _, name := range slices.Concat(demoFiles, []string{demoMarker}) {
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
