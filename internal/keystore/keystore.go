package keystore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"filippo.io/age"

	"archivolt/internal/cisco"
	"archivolt/internal/durable"
	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// Keystore is an open one. It holds keys: nothing of it is ever printed. It is
// not safe for concurrent use.
type Keystore struct {
	path string
	file
	secrets
	kek  []byte // what the password becomes
	read []byte // the file as this Keystore knows it
	now  func() time.Time
}

// secrets is what is sealed, as JSON.
type secrets struct {
	Material []material `json:"keys"`     // in the order of Public.Keys
	Secret   string     `json:"identity"` // of age, of Public.Recipient
}

// material is one key with its initialisation vector.
type material struct {
	Key []byte `json:"key"`
	IV  []byte `json:"iv"`
}

// text is the key as IM&P wraps it (Cisco document 225039; two blanks after
// iv).
func (m *material) text() []byte { return fmt.Appendf(nil, "key = %x\niv  = %x\n", m.Key, m.IV) }

func (m *material) fingerprint() (string, error) {
	k, err := cisco.NewKey(m.Key, m.IV)
	if err != nil {
		return "", err
	}
	return k.Fingerprint(), nil
}

// String keeps keys out of every %v.
func (k *Keystore) String() string { return "keystore " + k.path }

// GoString does the same for %#v.
func (k *Keystore) GoString() string { return k.String() }

// Create makes the file path, which must not exist, with a new key and a new
// identity, under password.
func Create(path string, password []byte) (*Keystore, error) {
	k, err := prepare(path, password)
	if err != nil {
		return nil, err
	}
	if err := k.addKey(); err != nil {
		return nil, err
	}
	if err := k.write(); err != nil {
		return nil, err
	}
	return k, nil
}

// prepare makes a keystore without a key, which is not written yet.
func prepare(path string, password []byte) (*Keystore, error) {
	if err := CheckPassword(password); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, exists(path)
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	k := &Keystore{path: path, now: time.Now}
	k.Secret, k.Recipient = identity.String(), identity.Recipient().String()
	k.setPassword(password)
	return k, nil
}

// write writes the file for the first time.
func (k *Keystore) write() error {
	data, err := k.seal()
	if err != nil {
		return err
	}
	if err := durable.WriteNew(k.path, data); err != nil {
		return remnant(err)
	}
	k.read = data
	return nil
}

func exists(path string) error {
	return problem.New(problem.Failed, path, "this already exists, and a keystore is never overwritten", "name another file, or open this one")
}

// remnant turns the trace of a run that was killed into a problem.
func remnant(err error) error {
	var r *durable.RemnantError
	if !errors.As(err, &r) {
		return err
	}
	return problem.New(problem.Failed, r.Path, "an earlier run left this file unfinished, or another one is writing it now", "wait a moment and try again; if the file is still there, a run was killed: rm "+problem.Quote(r.Path))
}

// Inspect reads what stands in clear. The daemon can capture with that alone.
func Inspect(path string) (*Public, error) {
	f, _, err := load(path)
	if err != nil {
		return nil, err
	}
	return &f.Public, nil
}

func load(path string) (*file, []byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := parse(data)
	if err != nil {
		try := "restore it from its backup"
		switch {
		case errors.Is(err, errNotKeystore):
			try = "name the file that archivoltd key enable has made"
		case errors.Is(err, errVersion):
			try = "use the version of archivoltd that made it, or a newer one"
		}
		return nil, nil, problem.New(problem.Failed, path, err.Error(), try)
	}
	return f, data, nil
}

// Open opens the file path. A wrong password is a problem of class Passphrase;
// so is a file that somebody has changed, which looks the same.
func Open(path string, password []byte) (*Keystore, error) {
	f, data, err := load(path)
	if err != nil {
		return nil, err
	}
	k := &Keystore{path: path, file: *f, read: data, now: time.Now}
	k.kek = k.derive(password)
	plain, err := k.unseal()
	if err != nil {
		return nil, problem.New(problem.Passphrase, path, "the password does not open this keystore, or somebody has changed the file", "type it again; if it is the right one, restore the file from its backup")
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, &k.secrets); err != nil || !k.consistent() {
		return nil, problem.New(problem.Failed, path, "what is sealed in this keystore does not fit what stands in clear", "restore it from its backup, and report this")
	}
	return k, nil
}

// consistent tells whether the clear part says what the sealed one is. Since
// it is authenticated, only a mistake of ours could let them differ.
func (k *Keystore) consistent() bool {
	identity, err := age.ParseHybridIdentity(k.Secret)
	if err != nil || identity.Recipient().String() != k.Recipient || len(k.Material) != len(k.Keys) {
		return false
	}
	for i := range k.Material {
		if fp, err := k.Material[i].fingerprint(); err != nil || fp != k.Keys[i].Fingerprint {
			return false
		}
	}
	return true
}

// setPassword makes a new salt, and from password the key that seals.
func (k *Keystore) setPassword(password []byte) {
	k.kdf = defaults
	k.salt = make([]byte, minSalt)
	rand.Read(k.salt) // never fails since Go 1.24
	k.kek = k.derive(password)
}

// addKey makes a new key.
func (k *Keystore) addKey() error {
	m := material{Key: make([]byte, cisco.KeySize), IV: make([]byte, cisco.IVSize)}
	rand.Read(m.Key)
	rand.Read(m.IV)
	fp, err := m.fingerprint()
	if err != nil {
		return err
	}
	k.Material = append(k.Material, m)
	k.Keys = append(k.Keys, Info{Fingerprint: fp, Made: k.time()})
	return nil
}

func (k *Keystore) time() time.Time { return k.now().UTC().Truncate(time.Second) }

func (k *Keystore) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.kek)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal writes the file anew, and refuses what could not be read again.
func (k *Keystore) seal() ([]byte, error) {
	plain, err := json.Marshal(&k.secrets)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	k.sealed = aead.Seal(nil, nil, plain, k.clear())
	data := k.marshal()
	if _, err := parse(data); err != nil { // nobody would ever open it, and the one that it replaces would be gone
		return nil, problem.New(problem.Failed, k.path, "this keystore could not be read again: "+err.Error(), "nothing was changed; if it holds many thousands of keys and lines, make another one")
	}
	return data, nil
}

func (k *Keystore) unseal() ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, k.sealed, k.clear())
}

// save brings change into the file, durably, or undoes it. The unfinished file
// keeps others out meanwhile; whoever was faster is not overwritten.
func (k *Keystore) save(change func() error) (err error) {
	before := *k
	before.Keys, before.Handed, before.Sharings, before.Material = slices.Clone(k.Keys), slices.Clone(k.Handed), slices.Clone(k.Sharings), slices.Clone(k.Material)
	defer func() {
		if err != nil {
			*k = before
		}
	}()
	w, err := durable.Create(k.path)
	if err != nil {
		return remnant(err)
	}
	defer w.Abort()
	keepOwner(w.File, k.path)
	now, err := os.ReadFile(k.path)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, k.read) {
		return problem.New(problem.Failed, k.path, "another archivoltd has changed this keystore at this moment", "do it again")
	}
	if err := change(); err != nil {
		return err
	}
	data, err := k.seal()
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	k.read = data
	return nil
}

// Known returns what the file tells in clear, now checked.
func (k *Keystore) Known() *Public { return &k.Public }

// Identity is the secret of age that opens what was encrypted to the file's
// recipient.
func (k *Keystore) Identity() string { return k.Secret }

// enabled is the index of the key that is enabled, -1 if there is none.
func (k *Keystore) enabled() int {
	if last := len(k.Keys) - 1; k.Keys[last].Enabled() {
		return last
	}
	return -1
}

// errDisabled refuses what needs a key that is enabled.
func (k *Keystore) errDisabled() error {
	return problem.New(problem.Failed, k.path, "encryption is disabled", "make a new key with: archivoltd key enable")
}

// Current returns the key that is enabled.
func (k *Keystore) Current() (key [cisco.KeySize]byte, iv [cisco.IVSize]byte, err error) {
	i := k.enabled()
	if i < 0 {
		return key, iv, k.errDisabled()
	}
	return [cisco.KeySize]byte(k.Material[i].Key), [cisco.IVSize]byte(k.Material[i].IV), nil
}

// Download wraps a key for a public key, as IM&P hands it out: Base64 of one
// RSA block, one line without a line end. The key is named by its fingerprint,
// or is the enabled one if that is empty. That it was handed out, to whom and
// when, is in the file before Download returns.
func (k *Keystore) Download(public *keys.Public, fingerprint string) ([]byte, error) {
	i := k.enabled()
	if fingerprint != "" {
		i = slices.IndexFunc(k.Keys, func(x Info) bool { return x.Fingerprint == fingerprint })
		if i < 0 {
			return nil, problem.New(problem.Usage, k.path, "there is no key "+fingerprint+" in this keystore", "archivoltd key list shows those that it holds")
		}
	}
	if i < 0 {
		return nil, problem.New(problem.Failed, k.path, "encryption is disabled, so there is no key to download", "name the earlier key that you want with --key; archivoltd key list shows them")
	}
	wrapped, err := k.wrap(i, public)
	if err != nil {
		return nil, err
	}
	err = k.save(func() error {
		k.note(i, public)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return wrapped, nil
}

func (k *Keystore) wrap(i int, public *keys.Public) ([]byte, error) {
	if public.Bits() < keys.MinBits {
		return nil, problem.New(problem.Usage, public.Name, fmt.Sprintf("this RSA-%d key is too weak to wrap for: at least RSA-%d is needed", public.Bits(), keys.MinBits), "make a new pair with: archivolt keygen --out DIR")
	}
	text := k.Material[i].text()
	defer clear(text)
	wrapped, err := cisco.Wrap(k.path, text, public, cisco.TextOptions{})
	return []byte(wrapped), err
}

// note records that a key was handed out.
func (k *Keystore) note(i int, public *keys.Public) {
	k.Handed = append(k.Handed, Handed{k.time(), k.Keys[i].Fingerprint, public.Fingerprint()})
}

// ChangePassword puts the file under another password. The keys stay.
func (k *Keystore) ChangePassword(old, password []byte) error {
	if subtle.ConstantTimeCompare(k.derive(old), k.kek) != 1 {
		return problem.New(problem.Passphrase, k.path, "the old password is not that of this keystore", "type it again")
	}
	if err := CheckPassword(password); err != nil {
		return err
	}
	return k.save(func() error {
		k.setPassword(password)
		return nil
	})
}

// Disable ends the use of the key. It stays in the file.
func (k *Keystore) Disable() error {
	i := k.enabled()
	if i < 0 {
		return problem.New(problem.Failed, k.path, "encryption is disabled already", "")
	}
	return k.save(func() error {
		k.Keys[i].Disabled = k.time()
		return nil
	})
}

// Enable makes a new key after Disable. Before that the last one is written,
// wrapped for the officer's public key as Download has it, to the file escrow,
// which must not exist: what was encrypted with it needs it for ever.
func (k *Keystore) Enable(officer *keys.Public, escrow string) error {
	if i := k.enabled(); i >= 0 {
		return problem.New(problem.Failed, k.path, "encryption is enabled already, with the key "+k.Keys[i].Fingerprint, "to change the key, disable it first with: archivoltd key disable")
	}
	if officer == nil || escrow == "" {
		return problem.New(problem.Usage, k.path, "the last key needs a copy that an officer can open, before there is a new one", "add --public-key FILE, the officer's, and --escrow FILE, where the copy is to be written")
	}
	last := len(k.Keys) - 1
	wrapped, err := k.wrap(last, officer)
	if err != nil {
		return err
	}
	if err := durable.WriteNew(escrow, wrapped); err != nil {
		return remnant(err)
	}
	return k.save(func() error {
		k.note(last, officer)
		return k.addKey()
	})
}

// Close forgets the keys, as far as Go lets memory be cleared.
func (k *Keystore) Close() {
	for i := range k.Material {
		clear(k.Material[i].Key)
		clear(k.Material[i].IV)
	}
	clear(k.kek)
	k.secrets = secrets{}
}
