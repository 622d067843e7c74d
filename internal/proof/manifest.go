package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Format is the version of manifests that this package makes and reads.
const Format = "archivolt-export/1"

// Names of the files that are in every export, the last one if it is signed.
const (
	RecordsName   = "messages.jsonl"
	ManifestName  = "manifest.json"
	SignatureName = "manifest.sig"
	LedgerName    = "ledger.jsonl" // in exports of archives of ours
)

// maxManifest bounds a manifest in bytes: some hundred thousand files.
const maxManifest = 256 << 20

// maxNumber is the largest number in a manifest. Larger ones are not exact in
// every JSON reader (RFC 8259 section 6).
const maxNumber = 1<<53 - 1

// Manifest is manifest.json. Its fields stand in the order of the file. A nil
// pointer is null: it was not given, or nobody knows.
type Manifest struct {
	Format   string     `json:"format"`
	Tool     Tool       `json:"tool"`
	AsOf     *time.Time `json:"as_of"` // UTC, whole seconds
	Case     *string    `json:"case"`
	Reason   *string    `json:"reason"`
	Operator *string    `json:"operator"`
	Archives []Archive  `json:"archives"`
	Filter   Filter     `json:"filter"`
	TimeZone string     `json:"time_zone"`
	Counts   Counts     `json:"counts"`
	Keys     []Key      `json:"keys"`
	Files    []File     `json:"files"` // in the order of their names; all but manifest.json and manifest.sig
	Records  Records    `json:"records"`
	Signer   *string    `json:"signer"` // Base64 of an Ed25519 public key (RFC 8032), 32 bytes
}

// Tool names the program that made the export.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Archive is one table that was read, or one ledger of ours.
type Archive struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Rows        int64   `json:"rows"`
	Ledger      *Ledger `json:"ledger,omitempty"` // absent for archives of Cisco's
}

// Ledger is the ledger to which ledger.jsonl ties the records.
type Ledger struct {
	Archive    string  `json:"archive"`    // its id, 32 hexadecimal digits
	Checkpoint *string `json:"checkpoint"` // signed; nil if there is none that fits
}

// Filter is what was asked for, as it was typed.
type Filter struct {
	Users []string `json:"users"`
	With  []string `json:"with"`
	Rooms []string `json:"rooms"`
	Since *string  `json:"since"`
	Until *string  `json:"until"`
	Words []string `json:"words"`
	Fast  bool     `json:"fast"`
	Rows  bool     `json:"rows"`
}

// Counts tell what became of the rows that were read. The pointers are nil
// where single rows were exported: then nobody has looked for copies.
type Counts struct {
	Rows       ByStatus `json:"rows"`
	Messages   *int64   `json:"messages"`
	Unreadable *int64   `json:"unreadable"`
	Copies     *int64   `json:"copies"`
	Replays    *int64   `json:"replays"`
	Signals    *int64   `json:"signals"`
	Errors     *int64   `json:"errors"`
	Undated    int64    `json:"undated"`
}

// Key is a key of the archive with the number of rows that it opens.
type Key struct {
	Fingerprint string `json:"fingerprint"`
	Rows        int64  `json:"rows"`
}

// File is one file of the export.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // lower-case hexadecimal
}

// Records say what messages.jsonl holds, line by line.
type Records struct {
	Count  int64    `json:"count"`
	Status ByStatus `json:"status"`
	Root   string   `json:"root"` // Base64 of the Merkle tree hash of the lines (RFC 6962 section 2.1)
}

// ByStatus counts rows or records by their status (docs/format/jsonl.md).
type ByStatus struct {
	OK         int64 `json:"ok"`
	Plain      int64 `json:"plain"`
	Unverified int64 `json:"unverified"`
	Damaged    int64 `json:"damaged"`
	NoKey      int64 `json:"no-key"`
}

// count returns the counter of a status, or nil for a text that is none.
func (b *ByStatus) count(status string) *int64 {
	switch status {
	case "ok":
		return &b.OK
	case "plain":
		return &b.Plain
	case "unverified":
		return &b.Unverified
	case "damaged":
		return &b.Damaged
	case "no-key":
		return &b.NoKey
	}
	return nil
}

// list returns the counters.
func (b *ByStatus) list() []int64 {
	return []int64{b.OK, b.Plain, b.Unverified, b.Damaged, b.NoKey}
}

// Sum returns how many there are of all.
func (b *ByStatus) Sum() (n int64) {
	for _, c := range b.list() {
		n += c
	}
	return n
}

// ParseManifest reads a manifest strictly: each one has exactly one form, and
// anything else is an error, which quotes none of its text.
func ParseManifest(data []byte) (*Manifest, error) {
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		if at, ok := err.(*json.SyntaxError); ok {
			return nil, fmt.Errorf("it is no JSON from line %d on", 1+bytes.Count(data[:min(int(at.Offset), len(data))], []byte("\n")))
		}
		return nil, fmt.Errorf("its fields are not those of %s", Format)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("its format is not %s, which this program reads", Format)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	form, err := m.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(form, data) {
		return nil, fmt.Errorf("line %d is not in the one form that a manifest has", 1+bytes.Count(form[:commonPrefix(form, data)], []byte("\n")))
	}
	return m, nil
}

func commonPrefix(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// bytes returns the manifest's one form. Text that is no UTF-8 is altered.
func (m *Manifest) bytes() ([]byte, error) {
	form, err := m.encode()
	if err != nil {
		return nil, err
	}
	// encoding/json escapes the U+FFFD that it puts in place of bytes which are
	// no UTF-8, and no other: what has been read once has one form.
	var clean Manifest
	if err := json.Unmarshal(form, &clean); err != nil {
		return nil, err
	}
	if err := clean.check(); err != nil {
		return nil, err
	}
	return clean.encode()
}

func (m *Manifest) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	return escapeUnseen(b.Bytes()), nil
}

// escapeUnseen writes the characters that command a terminal or turn the
// direction of writing (Unicode Standard Annex 9, table 2) as escapes. In JSON
// that is made by encoding/json they stand in strings only.
func escapeUnseen(text []byte) []byte {
	if !bytes.ContainsFunc(text, unseen) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if unseen(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out
}

func unseen(r rune) bool {
	return r >= 0x7f && r < 0xa0 || r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// check wants what the types of the fields cannot say.
func (m *Manifest) check() error {
	if m.AsOf != nil && (m.AsOf.Location() != time.UTC || m.AsOf.Nanosecond() != 0 || m.AsOf.Year() < 1 || m.AsOf.Year() > 9999) {
		return fmt.Errorf("as_of is not in UTC and whole seconds")
	}
	f := &m.Filter
	if m.Archives == nil || f.Users == nil || f.With == nil || f.Rooms == nil || f.Words == nil || m.Keys == nil || m.Files == nil {
		return fmt.Errorf("a list is null")
	}
	if err := m.checkNumbers(); err != nil {
		return err
	}
	last, records, evidence := "", false, false
	for _, f := range m.Files {
		switch {
		case !ValidName(f.Name) || f.Name == ManifestName || f.Name == SignatureName:
			return fmt.Errorf("it lists a file whose name no file of an export has")
		case f.Name <= last:
			return fmt.Errorf("its files are not in the order of their names")
		case len(f.SHA256) != 64 || strings.Trim(f.SHA256, "0123456789abcdef") != "":
			return fmt.Errorf("the sha256 of %s is not 64 hexadecimal digits", f.Name)
		}
		last, records, evidence = f.Name, records || f.Name == RecordsName, evidence || f.Name == LedgerName
	}
	if err := m.checkLedgers(evidence); err != nil {
		return err
	}
	if !records {
		return fmt.Errorf("it does not list %s", RecordsName)
	}
	if m.Records.Count != m.Records.Status.Sum() {
		return fmt.Errorf("its records by status do not add up to their count")
	}
	if decode32(m.Records.Root) == nil {
		return fmt.Errorf("its root is not the Base64 of 32 bytes")
	}
	if m.Signer != nil && decode32(*m.Signer) == nil {
		return fmt.Errorf("its signer is not the Base64 of 32 bytes")
	}
	return nil
}

// checkLedgers wants ledger.jsonl where there are ledgers, and only there.
func (m *Manifest) checkLedgers(evidence bool) error {
	ledgers := 0
	for _, a := range m.Archives {
		if a.Ledger == nil {
			continue
		}
		ledgers++
		if len(a.Ledger.Archive) != 32 || strings.Trim(a.Ledger.Archive, "0123456789abcdef") != "" {
			return fmt.Errorf("the id of an archive is not 32 hexadecimal digits")
		}
	}
	switch {
	case ledgers > 0 && ledgers < len(m.Archives):
		return fmt.Errorf("some of its archives have a ledger, and others have none")
	case ledgers > 0 && !evidence:
		return fmt.Errorf("its archives have a ledger, and it does not list %s", LedgerName)
	case ledgers == 0 && evidence:
		return fmt.Errorf("it lists %s, and none of its archives has a ledger", LedgerName)
	}
	return nil
}

func (m *Manifest) checkNumbers() error {
	c := &m.Counts
	numbers := append(c.Rows.list(), c.Undated, m.Records.Count)
	numbers = append(numbers, m.Records.Status.list()...)
	for _, p := range []*int64{c.Messages, c.Unreadable, c.Copies, c.Replays, c.Signals, c.Errors} {
		if p != nil {
			numbers = append(numbers, *p)
		}
	}
	for _, a := range m.Archives {
		numbers = append(numbers, a.Rows)
	}
	for _, k := range m.Keys {
		numbers = append(numbers, k.Rows)
	}
	for _, f := range m.Files {
		numbers = append(numbers, f.Bytes)
	}
	for _, n := range numbers {
		if n < 0 || n > maxNumber {
			return fmt.Errorf("a number is below 0 or above 2^53-1")
		}
	}
	return nil
}

// ValidName tells whether a file of an export may have this name.
func ValidName(name string) bool {
	return name != "" && len(name) <= 255 && name[0] != '.' && plainName(name)
}

// plainName tells whether name is of letters that every system and terminal
// takes.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' || c == '@') {
			return false
		}
	}
	return true
}

// decode32 reads Base64 (RFC 4648 section 4) of 32 bytes in its one form; nil
// for anything else.
func decode32(text string) []byte { return decodeBase64(text, 32) }

func decodeBase64(text string, size int) []byte {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) != size || base64.StdEncoding.EncodeToString(data) != text {
		return nil
	}
	return data
}

// SignerKey returns the key of the signer, nil if the export is not signed.
func (m *Manifest) SignerKey() ed25519.PublicKey {
	if m.Signer == nil {
		return nil
	}
	return decode32(*m.Signer)
}
