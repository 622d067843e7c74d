package keystore

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/argon2"
)

// The file, as docs/format/keystore.md has it.
const (
	magic      = "archivolt keystore 1"
	sealedName = "sealed: "
	maxFile    = 4 << 20 // bytes
)

// Limits on what a file may have its reader compute.
const (
	maxMemory  = 1 << 20 // KiB: 1 GiB
	maxPasses  = 64
	maxWork    = 8 << 20 // KiB times passes
	maxThreads = 64
	minSalt    = 16 // bytes
	maxSalt    = 64
)

// kdf are the parameters of Argon2id (RFC 9106 section 3.1).
type kdf struct {
	time    uint32 // passes
	memory  uint32 // KiB
	threads uint8
	salt    []byte
}

// defaults is the second recommended choice of RFC 9106 section 4; the first
// needs 2 GiB of memory.
var defaults = kdf{time: 3, memory: 64 << 10, threads: 4}

func (k *kdf) derive(password []byte) []byte {
	return argon2.IDKey(password, k.salt, k.time, k.memory, k.threads, 32)
}

func (k *kdf) check() bool {
	return k.time >= 1 && k.time <= maxPasses && k.threads >= 1 && k.threads <= maxThreads && k.memory >= 8*uint32(k.threads) && k.memory <= maxMemory &&
		uint64(k.time)*uint64(k.memory) <= maxWork && len(k.salt) >= minSalt && len(k.salt) <= maxSalt
}

// Info is what the file tells of a key in clear.
type Info struct {
	Fingerprint string    // as cisco.Key has it
	Made        time.Time // UTC, seconds
	Disabled    time.Time // zero while it is enabled
}

// Enabled tells whether messages are encrypted with the key.
func (i *Info) Enabled() bool { return i.Disabled.IsZero() }

// Handed says that a key was handed out.
type Handed struct {
	Time      time.Time
	Key       string // its fingerprint
	PublicKey string // fingerprint of the public key that it was wrapped for
}

// Public is the part of the file that stands in clear. Whether somebody has
// changed it shows when the file is opened with the password.
type Public struct {
	Recipient string   // of age, class pq: for what only this file's owner shall open
	Keys      []Info   // in the order in which they were made; at most the last is enabled
	Handed    []Handed // in the order of time
	Sharings  []Shared // likewise
}

// file is a whole one.
type file struct {
	kdf
	Public
	sealed []byte // nonce and ciphertext
}

// clear writes what comes before the sealed part. It is authenticated with it.
func (f *file) clear() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nkdf: argon2id time=%d memory=%d threads=%d salt=%s\nrecipient: %s\n", magic, f.time, f.memory, f.threads, base64.StdEncoding.EncodeToString(f.salt), f.Recipient)
	for _, k := range f.Keys {
		fmt.Fprintf(&b, "key: %s made %s", k.Fingerprint, k.Made.Format(time.RFC3339))
		if !k.Enabled() {
			fmt.Fprintf(&b, " disabled %s", k.Disabled.Format(time.RFC3339))
		}
		b.WriteByte('\n')
	}
	for _, h := range f.Handed {
		fmt.Fprintf(&b, "handed: %s key %s to %s\n", h.Time.Format(time.RFC3339), h.Key, h.PublicKey)
	}
	for _, s := range f.Sharings {
		fmt.Fprintf(&b, "shared: %s to %s\n", s.Time.Format(time.RFC3339), s.Recipient)
	}
	return b.Bytes()
}

func (f *file) marshal() []byte {
	return fmt.Appendf(f.clear(), "%s%s\n", sealedName, base64.StdEncoding.EncodeToString(f.sealed))
}

var (
	kdfLine    = regexp.MustCompile(`^kdf: argon2id time=([0-9]{1,9}) memory=([0-9]{1,9}) threads=([0-9]{1,9}) salt=([A-Za-z0-9+/=]+)$`)
	keyLine    = regexp.MustCompile(`^key: ([0-9a-f]{16}) made (\S+)(?: disabled (\S+))?$`)
	handedLine = regexp.MustCompile(`^handed: (\S+) key ([0-9a-f]{16}) to ([0-9a-f]{64})$`)
	sharedLine = regexp.MustCompile(`^shared: (\S+) to ([0-9a-f]{64})$`)
)

var (
	errNotKeystore = errors.New("this is no keystore")
	errVersion     = errors.New("this keystore has a version that this program does not know")
	errCosts       = errors.New("the parameters of this keystore would cost more time or memory than any real one")
)

// parse reads a file. What it writes again is the file, byte for byte: nothing
// is passed over. An error is one of those above or says which line is none.
func parse(data []byte) (*file, error) {
	if len(data) > maxFile {
		return nil, errNotKeystore
	}
	lines := strings.Split(string(data), "\n")
	if lines[0] != magic {
		if strings.HasPrefix(lines[0], magic[:len(magic)-1]) {
			return nil, errVersion
		}
		return nil, errNotKeystore
	}
	f := &file{}
	at := 1
	bad := func() error { return fmt.Errorf("line %d is not what a keystore has there", at+1) }
	next := func() string {
		if at < len(lines) {
			return lines[at]
		}
		return ""
	}
	m := kdfLine.FindStringSubmatch(next())
	if m == nil {
		return nil, bad()
	}
	var numbers [3]uint64
	for i := range numbers {
		numbers[i], _ = strconv.ParseUint(m[1+i], 10, 32) // nine digits at most
	}
	if numbers[2] > maxThreads {
		return nil, errCosts
	}
	f.time, f.memory, f.threads = uint32(numbers[0]), uint32(numbers[1]), uint8(numbers[2])
	f.salt, _ = base64.StdEncoding.Strict().DecodeString(m[4]) // too short is told below
	if !f.kdf.check() {
		return nil, errCosts
	}
	at++
	recipient, ok := strings.CutPrefix(next(), "recipient: ")
	if _, err := age.ParseHybridRecipient(recipient); !ok || err != nil {
		return nil, bad()
	}
	f.Recipient = recipient
	at++
	for ; keyLine.MatchString(next()); at++ {
		m := keyLine.FindStringSubmatch(next())
		k := Info{Fingerprint: m[1]}
		var okMade, okDisabled = false, true
		k.Made, okMade = parseTime(m[2])
		if m[3] != "" {
			k.Disabled, okDisabled = parseTime(m[3])
		}
		if !okMade || !okDisabled || len(f.Keys) > 0 && f.Keys[len(f.Keys)-1].Enabled() {
			return nil, bad()
		}
		f.Keys = append(f.Keys, k)
	}
	if len(f.Keys) == 0 {
		return nil, bad()
	}
	for ; handedLine.MatchString(next()); at++ {
		m := handedLine.FindStringSubmatch(next())
		t, ok := parseTime(m[1])
		if !ok {
			return nil, bad()
		}
		f.Handed = append(f.Handed, Handed{t, m[2], m[3]})
	}
	for ; sharedLine.MatchString(next()); at++ {
		m := sharedLine.FindStringSubmatch(next())
		t, ok := parseTime(m[1])
		if !ok {
			return nil, bad()
		}
		f.Sharings = append(f.Sharings, Shared{t, m[2]})
	}
	text, ok := strings.CutPrefix(next(), sealedName)
	sealed, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil {
		return nil, bad()
	}
	f.sealed = sealed
	if !bytes.Equal(f.marshal(), data) {
		at++
		return nil, bad()
	}
	return f, nil
}

// parseTime reads a time as clear writes it.
func parseTime(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	return t, err == nil && t.Format(time.RFC3339) == text && t.Location() == time.UTC && !t.IsZero()
}
