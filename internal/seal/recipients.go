package seal

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"archivolt/internal/keys"
	"archivolt/internal/ledger"
	"archivolt/internal/problem"
)

// Class says how the keys of an archive are wrapped.
type Class string

// The classes. age refuses to mix them in one file, since the weakest
// recipient decides how well a key is wrapped.
const (
	PostQuantum Class = "pq"      // ML-KEM-768 with X25519, age's hybrid recipients
	Classic     Class = "classic" // X25519, or RSA through age's ssh-rsa
)

// Recipients are the officers to whom data keys are wrapped.
type Recipients struct {
	list   []recipient
	groups [][]age.Recipient // one age file each
}

// recipient is one of them.
type recipient struct {
	age.Recipient
	class Class
	text  string // the recipient's canonical text
	file  string
}

// File is a file with recipients.
type File struct {
	Name string
	Data []byte
}

// ParseRecipients reads the public halves of identities, files of age
// recipients, and RSA public keys. Recipients of both classes are refused
// unless mixed, which makes two wraps of every key.
func ParseRecipients(mixed bool, files ...File) (*Recipients, error) {
	r := &Recipients{}
	for _, f := range files {
		list, err := parseFile(f)
		if err != nil {
			return nil, err
		}
		r.list = append(r.list, list...)
	}
	slices.SortFunc(r.list, func(a, b recipient) int { return strings.Compare(a.text, b.text) })
	r.list = slices.CompactFunc(r.list, func(a, b recipient) bool { return a.text == b.text })
	if len(r.list) == 0 {
		return nil, problem.New(problem.Usage, "recipients", "there is nobody to seal for", "make an officer's identity with: archivolt identity new --out FILE, and name its FILE.pub")
	}
	for _, class := range []Class{PostQuantum, Classic} {
		var group []age.Recipient
		for _, one := range r.list {
			if one.class == class {
				group = append(group, one.Recipient)
			}
		}
		if group != nil {
			r.groups = append(r.groups, group)
		}
	}
	if len(r.groups) > 1 && !mixed {
		weak := r.of(Classic)
		return nil, problem.New(problem.Usage, weak[0].file, "this recipient is not post-quantum, and others are",
			"give all officers identities of one class, or set allow_mixed: true, which makes the archive not post-quantum")
	}
	return r, nil
}

func parseFile(f File) (list []recipient, err error) {
	switch keys.Identify(f.Data).Main().Kind {
	case keys.Identity, keys.AgeIdentity, keys.RSAPrivate, keys.EncryptedPrivate, keys.AgeEncrypted, keys.OpenSSHPrivate:
		return nil, problem.New(problem.Usage, f.Name, "this is a private key, which must not lie where messages are captured",
			"name its public half instead, and keep this file with its officer")
	case keys.RSAPublic:
		public, err := keys.ParsePublic(f.Name, f.Data)
		if err != nil {
			return nil, err
		}
		line, err := public.AgeRecipient()
		if err != nil {
			return nil, err
		}
		one, err := parseRecipient(f.Name, line)
		return []recipient{one}, err
	}
	text, ok := keys.DecodeText(f.Data)
	if !ok {
		return nil, problem.New(problem.Usage, f.Name, "this is no file of recipients", "name the public half of an identity, which ends in .pub")
	}
	for i, line := range strings.Split(string(text.Data), "\n") {
		line = strings.TrimSpace(line)
		name, value, found := strings.Cut(line, ": ")
		switch {
		case line == "" || line[0] == '#' || found && name == "verifier":
			continue
		case found && name == "recipient":
			line = strings.TrimSpace(value)
		}
		one, err := parseRecipient(f.Name, line)
		if err != nil {
			return nil, problem.New(problem.Usage, f.Name, fmt.Sprintf("line %d is no recipient", i+1), "name the public half of an identity, which ends in .pub, or a file with lines age1… or ssh-rsa …")
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		return nil, problem.New(problem.Usage, f.Name, "no recipient stands in this file", "an identity made by an older version has none: make a new one with archivolt identity new")
	}
	return list, nil
}

// ClassOf is the class of a recipient's text.
func ClassOf(recipient string) Class {
	if strings.HasPrefix(recipient, "age1pq1") {
		return PostQuantum
	}
	return Classic
}

func parseRecipient(file, line string) (one recipient, err error) {
	one = recipient{class: ClassOf(line), text: line, file: file}
	switch {
	case one.class == PostQuantum:
		one.Recipient, err = age.ParseHybridRecipient(line)
	case strings.HasPrefix(line, "ssh-rsa "):
		one.text = strings.Join(strings.Fields(line)[:2], " ") // without the comment
		one.Recipient, err = agessh.ParseRecipient(one.text)
	default:
		one.Recipient, err = age.ParseX25519Recipient(line)
	}
	return one, err
}

func (r *Recipients) of(class Class) (list []recipient) {
	for _, one := range r.list {
		if one.class == class {
			list = append(list, one)
		}
	}
	return list
}

// Class names the classes of the recipients, as the ledger has it.
func (r *Recipients) Class() string {
	var names []string
	for _, class := range []Class{PostQuantum, Classic} {
		if len(r.of(class)) > 0 {
			names = append(names, string(class))
		}
	}
	return strings.Join(names, " ")
}

// NotPostQuantum names the files because of which what is captured could be
// opened by who records it today and has a quantum computer one day.
func (r *Recipients) NotPostQuantum() (files []string) {
	for _, one := range r.of(Classic) {
		files = append(files, one.file)
	}
	return slices.Compact(files)
}

// Fingerprints are the SHA-256 of the recipients' texts, ascending.
func (r *Recipients) Fingerprints() (list [][ledger.HashSize]byte) {
	for _, one := range r.list {
		list = append(list, sha256.Sum256([]byte(one.text)))
	}
	slices.SortFunc(list, func(a, b [ledger.HashSize]byte) int { return bytes.Compare(a[:], b[:]) })
	return list
}
