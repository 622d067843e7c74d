package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"archivolt/internal/config"
	"archivolt/internal/keys"
	"archivolt/internal/keystore"
	"archivolt/internal/passphrase"
	"archivolt/internal/problem"
)

// notProtected says once, plainly, what Cisco's format lacks; check-config and
// the log of the start have it, and docs/ops/cisco.md.
const notProtected = "format cisco encrypts, and that is all: equal messages look equal in the database, nothing shows whether a message was changed or removed, and whoever holds this machine and the password reads everything ever written. Archivolt's own format protects against all three"

// credential is the name by which systemd hands the password over
// (systemd.exec(5), LoadCredential=).
const credential = "archivoltd-password"

// keyCmd are the commands about the key of an archive in Cisco's format.
type keyCmd struct {
	Download keyDownloadCmd `cmd:"" help:"Print the key wrapped for an RSA public key, as IM&P hands it out."`
	Enable   keyEnableCmd   `cmd:"" help:"Make a key: the first one with its keystore, or a new one after key disable."`
	Join     keyJoinCmd     `cmd:"" help:"Get the key from the primary, which makes this daemon one of its secondaries."`
	Pin      keyPinCmd      `cmd:"" help:"Print the pin by which the other daemons of a cluster know this one."`
	Disable  keyDisableCmd  `cmd:"" help:"End the use of the key. It stays in the keystore."`
	List     keyListCmd     `cmd:"" help:"Show fingerprints and dates of the keys, and to whom they were handed out."`
}

// passwordCmd are the commands about the encryption password.
type passwordCmd struct {
	Change passwordChangeCmd `cmd:"" help:"Put the keystore under another password. The key stays the same."`
}

// keystoreFlags name the keystore and where its password comes from.
type keystoreFlags struct {
	configFlag
	PassphraseFile string `placeholder:"FILE" help:"File whose first line is the encryption password. Otherwise ARCHIVOLT_PASSPHRASE, otherwise systemd's credential archivoltd-password, otherwise a prompt."`

	typed []byte // the password that open has used
}

// cisco reads the configuration, which must have Cisco's format.
func (f *keystoreFlags) cisco() (*config.Daemon, error) {
	d, err := f.read()
	if err == nil && d.Format != config.Cisco {
		return nil, notCisco(f.Config)
	}
	return d, err
}

func notCisco(file string) error {
	return problem.New(problem.Usage, file, "only an archive with format: cisco has such a key", "who reads an archive of Archivolt's own format, recipients: says")
}

// ofPrimary is cisco for what a secondary leaves to the primary.
func (f *keystoreFlags) ofPrimary() (*config.Daemon, error) {
	d, err := f.cisco()
	if err == nil && isSecondary(d) {
		err = problem.New(problem.Usage, d.Keystore, "this daemon is a secondary: its key is made, disabled and handed out at the primary", "do it there, then archivoltd key join here")
	}
	return d, err
}

// open opens the keystore.
func (f *keystoreFlags) open(a *app, d *config.Daemon) (*keystore.Keystore, error) {
	path := d.Keystore
	if _, err := keystore.Inspect(path); err != nil { // before somebody types a password
		if errors.Is(err, fs.ErrNotExist) {
			err = noKeystore(d, f.Config)
		}
		return nil, err
	}
	password, err := f.password(a, path, a.prompt().Ask, "Encryption password: ")
	if err != nil {
		return nil, err
	}
	f.typed = password
	return keystore.Open(path, password)
}

// using opens the keystore of the configuration that read gives, has use work
// with it, and closes it.
func (f *keystoreFlags) using(a *app, read func() (*config.Daemon, error), use func(*config.Daemon, *keystore.Keystore) error) error {
	d, err := read()
	if err != nil {
		return err
	}
	k, err := f.open(a, d)
	if err != nil {
		return err
	}
	defer k.Close()
	return use(d, k)
}

func noKeystore(d *config.Daemon, file string) error {
	command := "archivoltd key enable"
	if isSecondary(d) {
		command = "archivoltd key join"
	}
	return problem.New(problem.Failed, d.Keystore, "there is no keystore yet", command+" --config "+problem.Quote(file)+"; or restore it from its backup")
}

// password returns the password, asking for it if none was given.
func (f *keystoreFlags) password(a *app, path string, ask func(context.Context, string) ([]byte, error), question string) ([]byte, error) {
	password, err := givenPassword(a, f.PassphraseFile)
	if err == nil && password == nil {
		password, err = ask(a.ctx, question)
	}
	if err == nil && len(password) == 0 {
		err = noPassword(path)
	}
	return password, err
}

func noPassword(path string) error {
	return problem.New(problem.Passphrase, path, "no encryption password was given", "add --passphrase-file FILE, set "+passphrase.Variable+", have systemd load the credential "+credential+", or run it on a terminal")
}

// prompt asks on the terminal that the program was started on.
func (a *app) prompt() passphrase.Prompt {
	return passphrase.Prompt{InTerminal: term.IsTerminal(int(os.Stdin.Fd())), ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())), Err: a.err}
}

// givenPassword returns the password that was given without asking, nil if none
// was.
func givenPassword(a *app, file string) ([]byte, error) {
	if file != "" {
		return readPassword(a, file)
	}
	if p := os.Getenv(passphrase.Variable); p != "" {
		return []byte(p), nil
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		password, err := readPassword(a, filepath.Join(dir, credential))
		if !errors.Is(err, fs.ErrNotExist) {
			return password, err
		}
	}
	return nil, nil
}

// maxSmall bounds files of passwords and public keys, in bytes.
const maxSmall = 1 << 20

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err == nil && len(data) > maxSmall {
		err = problem.New(problem.Failed, name, "this file is far too large for what it should be", "check the name")
	}
	return data, err
}

func readPassword(a *app, name string) ([]byte, error) {
	data, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	if mode, shared := passphrase.Shared(name); shared {
		fmt.Fprintf(a.err, "archivoltd: %s: others than you can read this password (mode %04o)\n  try: chmod 600 %s\n", name, mode, problem.Quote(name))
	}
	return passphrase.FirstLine(name, data)
}

func readPublic(name string) (*keys.Public, error) {
	data, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	return keys.ParsePublic(name, data)
}

// log is where commands leave a trace, as the daemon does.
func (a *app) log() *slog.Logger { return slog.New(slog.NewJSONHandler(a.err, nil)) }

// keyDownloadCmd hands the key out.
type keyDownloadCmd struct {
	keystoreFlags
	PublicKey string `required:"" placeholder:"FILE" help:"RSA public key of the officer, PEM or DER, 2048 bits or more."`
	Key       string `placeholder:"FINGERPRINT" help:"An earlier key, as key list shows it."`
}

func (keyDownloadCmd) Help() string {
	return `Example:

    archivoltd key download --config /etc/archivolt/archivoltd.yaml --public-key public_key.pem > encrypted_key.pem

The result is one line of Base64 without a line end, as IM&P hands it out. Each download is recorded in the keystore, with the time and the fingerprint of the public key, and logged.`
}

// Run prints the wrapped key.
func (c *keyDownloadCmd) Run(a *app) error {
	public, err := readPublic(c.PublicKey)
	if err != nil {
		return err
	}
	read := c.ofPrimary
	if c.Key != "" { // one that was a secondary's own, before it joined, is there alone
		read = c.cisco
	}
	return c.using(a, read, func(d *config.Daemon, k *keystore.Keystore) error {
		wrapped, err := k.Download(public, c.Key)
		if err != nil {
			return err
		}
		handed := k.Known().Handed
		a.log().Info("a key was handed out", "keystore", d.Keystore, "key", handed[len(handed)-1].Key, "public_key", public.Fingerprint(), "file", c.PublicKey)
		_, err = a.out.Write(wrapped)
		return err
	})
}

// keyEnableCmd makes a key.
type keyEnableCmd struct {
	keystoreFlags
	PublicKey string `placeholder:"FILE" help:"RSA public key of the officer who gets a copy of the last key; needed if there is one."`
	Escrow    string `placeholder:"FILE" help:"Where that copy is written; needed if there is a last key."`
}

func (keyEnableCmd) Help() string {
	return `Examples:

    archivoltd key enable --config archivoltd.yaml
    archivoltd key enable --config archivoltd.yaml --public-key public_key.pem --escrow key-until-2026.pem

The first makes the keystore, under a password that is asked for twice. The second makes a new key after key disable, in the same keystore, which keeps the earlier ones: before that it writes a copy of the last key, wrapped for the officer.`
}

// Run makes the keystore, or a new key in it.
func (c *keyEnableCmd) Run(a *app) error {
	d, err := c.ofPrimary()
	if err != nil {
		return err
	}
	if err := c.noOtherPrimary(a, d); err != nil {
		return err
	}
	path := d.Keystore
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return c.create(a, path)
	}
	var officer *keys.Public
	if c.PublicKey != "" {
		if officer, err = readPublic(c.PublicKey); err != nil {
			return err
		}
	}
	k, err := c.open(a, d)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.Enable(officer, c.Escrow); err != nil {
		return err
	}
	known := k.Known()
	last := known.Handed[len(known.Handed)-1]
	a.log().Info("a key was handed out", "keystore", path, "key", last.Key, "public_key", last.PublicKey, "file", c.PublicKey)
	return c.made(a, known)
}

func (c *keyEnableCmd) create(a *app, path string) error {
	if c.PublicKey != "" || c.Escrow != "" {
		return problem.New(problem.Usage, path, "there is no keystore yet, and so no key of which a copy could be made", "leave --public-key and --escrow out; afterwards, archivoltd key download gives the officer his copy")
	}
	password, err := c.password(a, path, a.prompt().AskNew, "New encryption password: ")
	if err != nil {
		return err
	}
	k, err := keystore.Create(path, password)
	if err != nil {
		return err
	}
	defer k.Close()
	return c.made(a, k.Known())
}

func (c *keyEnableCmd) made(a *app, known *keystore.Public) error {
	fp := known.Keys[len(known.Keys)-1].Fingerprint
	a.log().Info("a key was made", "key", fp)
	_, err := fmt.Fprintf(a.out, "key %s is enabled\ngive the officer his copy now, and back the keystore up: without the one or the other nobody reads what is written from now on\n  archivoltd key download --config %s --public-key FILE\n", fp, problem.Quote(c.Config))
	return err
}

// keyDisableCmd ends the use of the key.
type keyDisableCmd struct{ keystoreFlags }

// Run disables the key.
func (c *keyDisableCmd) Run(a *app) error {
	return c.using(a, c.ofPrimary, func(_ *config.Daemon, k *keystore.Keystore) error {
		if err := k.Disable(); err != nil {
			return err
		}
		all := k.Known().Keys
		fp := all[len(all)-1].Fingerprint
		a.log().Info("a key was disabled", "key", fp)
		_, err := fmt.Fprintf(a.out, "key %s is disabled, and stays in the keystore for what it has encrypted\nnothing more can be written until: archivoltd key enable --config %s --public-key FILE --escrow FILE\n", fp, problem.Quote(c.Config))
		return err
	})
}

// keyListCmd shows what stands in clear. It needs no password.
type keyListCmd struct{ keystoreFlags }

// Run prints a line for each key and for each time that one was handed out.
func (c *keyListCmd) Run(a *app) error {
	d, err := c.cisco()
	if err != nil {
		return err
	}
	known, err := keystore.Inspect(d.Keystore)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, k := range known.Keys {
		until := "enabled"
		if !k.Enabled() {
			until = "disabled " + k.Disabled.Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "key %s made %s, %s\n", k.Fingerprint, k.Made.Format(time.RFC3339), until)
		for _, h := range known.Handed {
			if h.Key == k.Fingerprint {
				fmt.Fprintf(&b, "  handed out %s, wrapped for %s\n", h.Time.Format(time.RFC3339), h.PublicKey)
			}
		}
	}
	for _, s := range known.Sharings {
		fmt.Fprintf(&b, "shared %s with the keystore of another daemon, %s\n", s.Time.Format(time.RFC3339), s.Recipient)
	}
	_, err = b.WriteTo(a.out)
	return err
}

// passwordChangeCmd changes the password.
type passwordChangeCmd struct {
	keystoreFlags
	NewPassphraseFile string `placeholder:"FILE" help:"File whose first line is the new password; otherwise a prompt, twice."`
}

// Run changes the password.
func (c *passwordChangeCmd) Run(a *app) error {
	return c.using(a, c.cisco, func(_ *config.Daemon, k *keystore.Keystore) error {
		password, err := c.newPassword(a)
		if err != nil {
			return err
		}
		if err := k.ChangePassword(c.typed, password); err != nil {
			return err
		}
		a.log().Info("the password was changed")
		_, err = fmt.Fprintln(a.out, "the password is changed; copies of the keystore from before still open with the old one")
		return err
	})
}

func (c *passwordChangeCmd) newPassword(a *app) (password []byte, err error) {
	if c.NewPassphraseFile != "" {
		password, err = readPassword(a, c.NewPassphraseFile)
	} else {
		password, err = a.prompt().AskNew(a.ctx, "New encryption password: ")
	}
	if err == nil && len(password) == 0 {
		err = problem.New(problem.Passphrase, "", "no new password was given", "add --new-passphrase-file FILE, or run it on a terminal")
	}
	return password, err
}
