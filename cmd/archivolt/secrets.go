package main

import (
	"cmp"
	"fmt"

	"filippo.io/age"

	"archivolt/internal/cisco"
	"archivolt/internal/identity"
	"archivolt/internal/keys"
	"archivolt/internal/passphrase"
	"archivolt/internal/problem"
	"archivolt/internal/seal"
)

// passphraseFlag is where passphrases come from; none is ever an argument.
type passphraseFlag struct {
	PassphraseFile []string `sep:"none" placeholder:"FILE" help:"File whose first line is the passphrase of a private key. Repeatable: each is tried on every key. Otherwise ARCHIVOLT_PASSPHRASE, otherwise a prompt."`
}

// padFlag allows what openssl does with short hex.
type padFlag struct {
	PadShortHex bool `help:"Fill a key or iv with too few hex digits with zeros on the right, as openssl does."`
}

// privateFlags name the officer's private keys.
type privateFlags struct {
	PrivateKey []string `sep:"none" placeholder:"FILE" help:"RSA private key: PEM or DER, PKCS #8 or PKCS #1; for an archive of archivoltd also an identity, ours or age's. Repeatable: each wrapped key is tried with each."`
	passphraseFlag

	opened   bool // the private keys have been read
	privates []*keys.Private
	failed   error // of the first one that could not be read
}

// keyFlags name the keys of an archive.
type keyFlags struct {
	privateFlags
	Key []string `sep:"none" placeholder:"FILE" help:"Key from IM&P, wrapped or already unwrapped. Repeatable."`
	padFlag
}

// openKeys reads and unwraps every key named on the command line.
func (f *keyFlags) openKeys(a *app) ([]*cisco.Key, error) {
	if len(f.Key) == 0 {
		return nil, problem.New(problem.Usage, "", "no key was given",
			"add --key FILE, the key file from IM&P, and --private-key FILE")
	}
	var files []*cisco.KeyFile
	for _, name := range f.Key {
		file, err := a.readKeyFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	opt := cisco.TextOptions{PadShortHex: f.PadShortHex}
	var opened []*cisco.Key
	for _, file := range files {
		u, err := f.unwrap(a, file, opt)
		if err != nil {
			return nil, err
		}
		opened = append(opened, u.Key)
	}
	return opened, nil
}

func (a *app) readKeyFile(name string) (*cisco.KeyFile, error) {
	data, err := a.readSmall(name)
	if err != nil {
		return nil, err
	}
	file, err := cisco.ParseKeyFile(name, data)
	if err != nil {
		return nil, err
	}
	for _, n := range file.Notes {
		a.note("%s: the file %s", name, n)
	}
	if !file.Wrapped() {
		a.warnIfShared(name, "this unwrapped key")
	}
	return file, nil
}

// unwrap opens file with the private keys. An unwrapped key needs none, so no
// passphrase either. A private key that cannot be read counts only if no other
// one opens the file.
func (f *privateFlags) unwrap(a *app, file *cisco.KeyFile, opt cisco.TextOptions) (*cisco.Unwrapped, error) {
	if file.Wrapped() && !f.opened {
		if err := f.openPrivates(a); err != nil {
			return nil, err
		}
	}
	if len(f.privates) == 0 && f.failed != nil {
		return nil, f.failed
	}
	u, err := file.Unwrap(f.privates, opt)
	if err != nil && f.failed != nil {
		return nil, f.failed
	}
	return u, err
}

// openPrivates reads the private keys, asking for passphrases where needed.
func (f *privateFlags) openPrivates(a *app) error {
	f.opened = true
	passphrases, err := f.read(a)
	if err != nil {
		return err
	}
	for _, name := range f.PrivateKey {
		data, err := a.readSmall(name)
		if err != nil {
			return err
		}
		found, err := f.openPrivate(a, name, data, &passphrases)
		if err != nil {
			if a.ctx.Err() != nil {
				return err
			}
			if f.failed == nil {
				f.failed = err
			}
			continue
		}
		f.privates = append(f.privates, found...)
	}
	return nil
}

// openPrivate reads the RSA keys of one file. A passphrase that is typed is
// kept for the next.
func (f *privateFlags) openPrivate(a *app, name string, data []byte, passphrases *[][]byte) ([]*keys.Private, error) {
	found, err := keys.ParsePrivate(name, data, *passphrases...)
	if err != nil && problem.ClassOf(err) == problem.Passphrase {
		typed, promptErr := a.prompt("Passphrase of " + name + ": ")
		if promptErr != nil {
			return nil, promptErr
		}
		if typed != nil {
			*passphrases = append(*passphrases, typed)
			found, err = keys.ParsePrivate(name, data, *passphrases...)
		}
	}
	if err != nil {
		return nil, err
	}
	a.warnIfShared(name, "this private key")
	for _, p := range found {
		if p.Weak() {
			a.warn(fmt.Sprintf("%s: this RSA-%d key is weak by today's measure, which asks for RSA-%d", name, p.Bits(), keys.MinBits),
				"make a new pair with archivolt keygen and give its public key to IM&P")
		}
	}
	return found, nil
}

// openIdentities reads what opens an archive of ours: identities of ours and of
// age, and RSA private keys. One that cannot be read counts only if there is no
// other.
func (f *privateFlags) openIdentities(a *app) ([]age.Identity, error) {
	passphrases, err := f.read(a)
	if err != nil {
		return nil, err
	}
	var secrets []string
	var private []*keys.Private
	var failed error
	for _, name := range f.PrivateKey {
		data, err := a.readSmall(name)
		if err != nil {
			return nil, err
		}
		switch keys.Identify(data).Main().Kind {
		case keys.Identity, keys.AgeEncrypted:
			var found *identity.Identity
			if found, err = f.openIdentity(a, name, data); err == nil && len(found.Decryption) == 0 {
				err = problem.New(problem.Failed, name, "this identity was made by an older version, and has no decryption key", "pass the one whose public half archivoltd has among its recipients")
			}
			if err == nil {
				secrets = append(secrets, found.Decryption...)
			}
		case keys.AgeIdentity:
			a.warnIfShared(name, "this identity")
			text, _ := keys.DecodeText(data) // Identify has found it to be text
			if _, err = seal.Identities([]string{string(text.Data)}, nil); err != nil {
				err = problem.New(problem.Failed, name, "this identity of age is damaged", "restore the file from a copy")
			} else {
				secrets = append(secrets, string(text.Data))
			}
		case keys.Verifier:
			err = problem.New(problem.Failed, name, "this is the public half of an identity, which opens nothing", "pass the identity itself, whose name lacks the ending .pub")
		default:
			var found []*keys.Private
			if found, err = f.openPrivate(a, name, data, &passphrases); err == nil {
				private = append(private, found...)
			}
		}
		if err != nil && a.ctx.Err() != nil {
			return nil, err
		}
		failed = cmp.Or(failed, err)
	}
	if len(secrets)+len(private) == 0 {
		return nil, failed
	}
	return seal.Identities(secrets, private)
}

// read returns the passphrases that were given without asking.
func (f *passphraseFlag) read(a *app) ([][]byte, error) {
	var all [][]byte
	for _, name := range f.PassphraseFile {
		data, err := a.readSmall(name)
		if err != nil {
			return nil, err
		}
		line, err := passphrase.FirstLine(name, data)
		if err != nil {
			return nil, err
		}
		a.warnIfShared(name, "this passphrase")
		all = append(all, line)
	}
	if len(all) == 0 {
		if p := a.getenv(passphrase.Variable); p != "" {
			all = append(all, []byte(p))
		}
	}
	return all, nil
}

// prompt asks for a secret on the terminal, without echo. Away from a terminal
// it returns nil.
func (a *app) prompt(question string) ([]byte, error) {
	return passphrase.Prompt{InTerminal: a.inTerminal, ErrTerminal: a.errTerminal, Err: a.err}.Ask(a.ctx, question)
}

// warnIfShared warns when others than the owner can read a secret file.
func (a *app) warnIfShared(name, what string) {
	if mode, shared := passphrase.Shared(name); shared {
		a.warn(fmt.Sprintf("%s: others than you can read %s (mode %04o)", name, what, mode), "chmod 600 "+problem.Quote(name))
	}
}
