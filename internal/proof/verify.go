package proof

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"archivolt/internal/problem"
)

// MaxLine bounds a line of messages.jsonl in bytes. It is what memory is
// bounded by.
const MaxLine = 256 << 20

// Trust says how much a verification shows.
type Trust int

const (
	NotSigned  Trust = iota // no signature, and nobody asked for one
	NotChecked              // the signature fits, and nobody said whose it must be
	Trusted                 // the signature is one of those that were asked for
)

// String says it as the result does.
func (t Trust) String() string {
	switch t {
	case Trusted:
		return "intact since signing; signer trusted"
	case NotChecked:
		return "intact since signing; signer not checked"
	}
	return "intact as the manifest says; not signed: anybody could have made it"
}

// Result is what a verification that succeeded has shown.
type Result struct {
	Trust    Trust
	Manifest *Manifest
	Ledgers  []*LedgerResult // of archives of ours, in the manifest's order
}

// Verify checks the export in the folder dir against its manifest, and the
// manifest's signer against trusted, unless that is empty; and the evidence for
// records of ours against their ledgers, whose checkpoints may be signed by one
// of the verifiers checkpoints. The first thing
// that is wrong, in the order of docs/format/manifest.md, is a problem of
// class Unverified; other errors mean that the folder could not be read.
func Verify(ctx context.Context, dir string, trusted []ed25519.PublicKey, checkpoints ...string) (*Result, error) {
	v := &verifier{ctx: ctx, dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	data, err := v.small(ManifestName, maxManifest)
	if err != nil {
		return nil, err
	}
	if v.manifest, err = ParseManifest(data); err != nil {
		return nil, v.wrong(ManifestName, "this is no manifest: "+err.Error(), "ask whoever made the export for the original")
	}
	result := &Result{Manifest: v.manifest}
	if result.Trust, err = v.signature(data, entries, trusted); err != nil {
		return nil, err
	}
	for _, f := range v.manifest.Files {
		if err := v.file(f); err != nil {
			return nil, err
		}
	}
	if err := v.nothingElse(entries); err != nil {
		return nil, err
	}
	if err := v.records(); err != nil {
		return nil, err
	}
	if result.Ledgers, err = v.evidence(checkpoints); err != nil {
		return nil, err
	}
	return result, nil
}

type verifier struct {
	ctx      context.Context
	dir      string
	manifest *Manifest
	lines    lines // of messages.jsonl
}

func (v *verifier) wrong(name, what, try string) error {
	if !plainName(name) { // a stranger's, which may hold anything
		name = strconv.QuoteToASCII(name)
	}
	return problem.New(problem.Unverified, filepath.Join(v.dir, name), what, try)
}

// Remedies.
const (
	tryOriginal = "the export was changed after it was made: ask for the original"
	tryRemove   = "see where it comes from; move it out of the folder, and verify again"
)

// open opens a file of the export, which must be a file and nothing else.
func (v *verifier) open(name string) (*os.File, error) {
	path := filepath.Join(v.dir, name)
	seen, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && name == ManifestName {
		return nil, v.wrong(name, "this file is missing: the folder is no export, or somebody has taken the manifest away", "name the folder of an export; without its manifest nothing can be shown")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, v.wrong(name, "this file is missing", tryOriginal)
	}
	if err != nil {
		return nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, v.wrong(name, "this is no ordinary file", tryOriginal)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if opened, err := f.Stat(); err != nil || !os.SameFile(seen, opened) {
		f.Close()
		return nil, cmp.Or(err, v.wrong(name, "this file was replaced while it was verified", "verify again, in a folder that nobody writes to"))
	}
	return f, nil
}

func (v *verifier) small(name string, most int64) ([]byte, error) {
	f, err := v.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(reader{v.ctx, f}, most+1))
	if err == nil && int64(len(data)) > most {
		err = v.wrong(name, fmt.Sprintf("this is too large: more than %d bytes", most), tryOriginal)
	}
	return data, err
}

// signature checks manifest.sig, and who made it.
func (v *verifier) signature(manifest []byte, entries []fs.DirEntry, trusted []ed25519.PublicKey) (Trust, error) {
	signer := v.manifest.SignerKey()
	if signer == nil {
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == SignatureName }) {
			return 0, v.wrong(SignatureName, "the manifest names no signer, and yet there is a signature", tryOriginal)
		}
		if len(trusted) > 0 {
			return 0, v.wrong(ManifestName, "this export is not signed, so it cannot be the work of a signer who is trusted", "ask for the signed export; without --signer it is compared with its manifest alone")
		}
		return NotSigned, nil
	}
	text, err := v.small(SignatureName, 4096)
	if err != nil {
		return 0, err
	}
	key, signature, ok := parseSignature(text)
	switch {
	case !ok:
		return 0, v.wrong(SignatureName, "this is no signature of a manifest", tryOriginal)
	case !key.Equal(signer):
		return 0, v.wrong(SignatureName, "this signature is of another signer than the one that the manifest names", tryOriginal)
	case !verifySignature(manifest, key, signature):
		return 0, v.wrong(SignatureName, "the signature does not fit manifest.json: one of the two was changed", tryOriginal)
	case len(trusted) == 0:
		return NotChecked, nil
	case !slices.ContainsFunc(trusted, func(k ed25519.PublicKey) bool { return k.Equal(signer) }):
		return 0, v.wrong(SignatureName, "the signature fits, and is of somebody else than the signers that are trusted", "see who signed it with archivolt verify without --signer; whoever made the export tells what its verifier is")
	}
	return Trusted, nil
}

// file checks size and hash, and in passing reads the lines of messages.jsonl.
func (v *verifier) file(want File) error {
	f, err := v.open(want.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != want.Bytes {
		return v.wrong(want.Name, fmt.Sprintf("this file has %d bytes, not %d", info.Size(), want.Bytes), tryOriginal)
	}
	sum := sha256.New()
	in := io.TeeReader(reader{v.ctx, f}, sum)
	if want.Name == RecordsName {
		err = v.lines.read(in)
	} else {
		_, err = io.Copy(io.Discard, in)
	}
	if err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return v.wrong(want.Name, "this file was changed: its hash is another", tryOriginal)
	}
	return nil
}

// nothingElse wants no file that the manifest does not list.
func (v *verifier) nothingElse(entries []fs.DirEntry) error {
	listed := map[string]bool{ManifestName: true, SignatureName: true}
	for _, f := range v.manifest.Files {
		listed[f.Name] = true
	}
	for _, e := range entries { // in the order of their names
		if !listed[e.Name()] {
			return v.wrong(e.Name(), "this is not part of the export: the manifest does not list it", tryRemove)
		}
	}
	return nil
}

// records compares the lines of messages.jsonl with the manifest.
func (v *verifier) records() error {
	want, got := v.manifest.Records, &v.lines
	root := got.tree.root()
	try := "the manifest was made of other records: ask for the original"
	switch {
	case got.wrong != "":
		return problem.New(problem.Unverified, filepath.Join(v.dir, RecordsName)+":"+strconv.FormatInt(got.number, 10), "this line "+got.wrong, try)
	case got.tree.n != want.Count:
		return v.wrong(RecordsName, fmt.Sprintf("there are %d records, not %d", got.tree.n, want.Count), try)
	case got.status != want.Status:
		return v.wrong(RecordsName, "the records by status are others than the manifest says", try)
	case base64.StdEncoding.EncodeToString(root[:]) != want.Root:
		return v.wrong(RecordsName, "the records are others than those of the manifest, or in another order: their root is another", try)
	}
	return nil
}

// lines is what messages.jsonl says.
type lines struct {
	tree   tree
	status ByStatus
	number int64  // of the line that is wrong, from 1
	wrong  string // what is wrong with it, if any is
}

// read reads all of r. What is wrong with a line is kept, not returned: the
// hash of the file comes first.
func (l *lines) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<20)
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		line := part
		if len(long) > 0 || err == bufio.ErrBufferFull {
			long = append(long, part...)
			line = long
		}
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case len(line) > MaxLine:
			return l.stop(in, "has more than %d MiB", MaxLine>>20)
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF:
			return l.stop(in, "is not ended by a line feed")
		case err != nil:
			return err
		}
		line = line[:len(line)-1]
		status, wrong := recordStatus(line)
		if wrong != "" {
			return l.stop(in, "%s", wrong)
		}
		*l.status.count(status)++
		l.tree.add(tlog.RecordHash(line))
		long = long[:0]
	}
}

// stop notes what is wrong with the line after those in the tree, and reads on
// for the hash of the file.
func (l *lines) stop(in io.Reader, format string, args ...any) error {
	l.number, l.wrong = l.tree.n+1, fmt.Sprintf(format, args...)
	_, err := io.Copy(io.Discard, in)
	return err
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
