package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"

	"filippo.io/age"

	"archivolt/internal/problem"
)

// Shared says that the keys of a keystore were given to another daemon's.
type Shared struct {
	Time      time.Time
	Recipient string // fingerprint of the other keystore's recipient
}

// RecipientFingerprint is the SHA-256 of a recipient's text, in hex.
func RecipientFingerprint(recipient string) string {
	sum := sha256.Sum256([]byte(recipient))
	return hex.EncodeToString(sum[:])
}

// shared is one key on its way to another keystore, as JSON.
type shared struct {
	material
	Made     time.Time `json:"made"`
	Disabled time.Time `json:"disabled,omitzero"`
}

// maxShared bounds what Receive reads, in bytes: some ten thousand keys.
const maxShared = 4 << 20

// Share returns all keys, as an age file that only recipient opens, which is
// that of another keystore (Public.Recipient). That they were given away, to
// whom and when, is in the file before Share returns.
func (k *Keystore) Share(recipient string) ([]byte, error) {
	if k.enabled() < 0 {
		return nil, k.errDisabled()
	}
	to, err := age.ParseHybridRecipient(recipient)
	if err != nil {
		return nil, problem.New(problem.Usage, "", "this is no recipient of a keystore", "use the same version of archivoltd on both machines")
	}
	var list []shared
	for i := range k.Material {
		list = append(list, shared{k.Material[i], k.Keys[i].Made, k.Keys[i].Disabled})
	}
	plain, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	err = k.save(func() error {
		k.Sharings = append(k.Sharings, Shared{k.time(), RecipientFingerprint(recipient)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Join puts the keys of another keystore into the file path, which is made
// under password if it does not exist. Exchange is given the recipient of this
// one, and returns what the other's Share has for it. Keys that the file has
// already stay in it: the one that was enabled is disabled, if the other's is
// not the same.
func Join(path string, password []byte, exchange func(recipient string) ([]byte, error)) (*Keystore, error) {
	k, err := Open(path, password)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		k, err = prepare(path, password)
	}
	if err != nil {
		return nil, err
	}
	if err := k.join(fresh, exchange); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Keystore) join(fresh bool, exchange func(recipient string) ([]byte, error)) error {
	sealed, err := exchange(k.Recipient)
	if err != nil {
		return err
	}
	list, err := k.receive(sealed)
	if err != nil {
		return err
	}
	if !fresh {
		return k.save(func() error { return k.merge(list) })
	}
	if err := k.merge(list); err != nil {
		return err
	}
	return k.write()
}

// receive opens what another keystore's Share has given.
func (k *Keystore) receive(sealed []byte) ([]shared, error) {
	bad := func(what string) error {
		return problem.New(problem.Failed, k.path, what, "use the same version of archivoltd on both machines, and try again")
	}
	identity, err := age.ParseHybridIdentity(k.Secret)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		return nil, bad("what the other daemon has sent was not encrypted for this keystore")
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxShared+1))
	if err != nil || len(plain) > maxShared {
		return nil, bad("what the other daemon has sent was damaged on the way")
	}
	defer clear(plain)
	list, what := parseShared(plain)
	if what != "" {
		return nil, bad(what)
	}
	return list, nil
}

// parseShared reads a list of keys, or says what is wrong with it.
func parseShared(plain []byte) (list []shared, what string) {
	if err := json.Unmarshal(plain, &list); err != nil || len(list) == 0 {
		return nil, "what the other daemon has sent is no list of keys"
	}
	for i := range list {
		if last := i == len(list)-1; last != list[i].Disabled.IsZero() {
			return nil, "of the keys that the other daemon has sent, not just the last one is enabled"
		}
		if !storable(list[i].Made) || !list[i].Disabled.IsZero() && !storable(list[i].Disabled) {
			return nil, "one of the keys that the other daemon has sent has a time that no keystore has"
		}
		if _, err := list[i].fingerprint(); err != nil {
			return nil, "one of the keys that the other daemon has sent is none"
		}
	}
	return list, ""
}

// storable tells whether the file can hold a time.
func storable(t time.Time) bool {
	_, ok := parseTime(t.UTC().Truncate(time.Second).Format(time.RFC3339))
	return ok
}

// merge takes the keys of list, behind those of its own that are not in it.
func (k *Keystore) merge(list []shared) error {
	var material []material
	var infos []Info
	for _, s := range list {
		fp, err := s.fingerprint()
		if err != nil {
			return err
		}
		material = append(material, s.material)
		infos = append(infos, Info{Fingerprint: fp, Made: s.Made.UTC().Truncate(time.Second), Disabled: s.Disabled.UTC().Truncate(time.Second)})
	}
	own := 0
	for i, info := range k.Keys {
		if slices.ContainsFunc(infos, func(x Info) bool { return x.Fingerprint == info.Fingerprint }) {
			continue
		}
		if info.Enabled() {
			info.Disabled = k.time()
		}
		material, infos = slices.Insert(material, own, k.Material[i]), slices.Insert(infos, own, info)
		own++
	}
	k.Material, k.Keys = material, infos
	return nil
}
