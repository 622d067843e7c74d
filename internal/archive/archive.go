// Package archive opens an archive, whatever it is, and gives its rows opened:
// in the order of the source, or in the order of time. It holds the one list
// of what can be opened.
//
// An archive is read twice. The first pass, the survey, is a quick one: it
// learns how many rows there are, when each was sent, and which key opens it,
// so that the second can settle by their neighbours the rows that cannot be
// settled by themselves, and can go in the order of time whatever the order of
// the source. The survey keeps some 16 bytes for each row in memory, and
// nothing of what the rows say.
package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/csvfile"
	"archivolt/internal/problem"
)

// Archive is one or several exported tables read as one, with the keys that
// may open them. It is not safe for concurrent use.
type Archive struct {
	Progress func(done, total int64) // bytes read of those to read, if not nil

	parts    []*part
	keys     []*cisco.Key
	settled  map[string]string // see cisco.Decoder.SetSettled
	surveyed bool
	overlap  int // of the parts, in time
	notes    []string

	done, total int64 // bytes read in this pass, and those to read
}

// part is one table.
type part struct {
	name  string // as results show it: the file's own name, or where two have one name, its path
	path  string
	table table

	index index
	near  map[int64]cisco.Neighbours // of rows that a neighbour may settle, by number
	way   way                        // in which it is read in the order of time
	most  int                        // rows that may wait for their turn
}

// extensions are what a folder is searched for.
var extensions = []string{".csv", ".tsv", ".txt", ".rpt"}

// Open opens the archives at paths, read as one. A folder stands for all the
// exported tables in it.
func Open(paths []string, keys []*cisco.Key) (*Archive, error) {
	a := &Archive{keys: keys}
	for _, path := range paths {
		if err := a.add(path); err != nil {
			a.Close()
			return nil, err
		}
	}
	return a, nil
}

func (a *Archive) add(path string) error {
	if scheme, _, ok := strings.Cut(path, "://"); ok && len(scheme) > 1 {
		return problem.New(problem.NoArchive, path, "this version does not read databases", "export table JM to a CSV file, and name that file")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.NoArchive, path, "there is no such archive", "check the name")
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return a.addFile(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	found := 0
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		if err := a.addFile(filepath.Join(path, e.Name())); err != nil {
			var p *problem.Error
			if !errors.As(err, &p) {
				return err
			}
			a.notes = append(a.notes, fmt.Sprintf("%s is passed over: %s", p.Object, p.What))
			continue
		}
		found++
	}
	if found == 0 {
		return problem.New(problem.NoArchive, path, "this folder holds no exported table JM", "name the file itself, or see with archivolt check FILE what is wrong with it")
	}
	return nil
}

func (a *Archive) addFile(path string) error {
	for _, p := range a.parts {
		if same(p.path, path) {
			a.notes = append(a.notes, path+" is named twice, and read once")
			return nil
		}
	}
	f, err := csvfile.Open(path)
	if err != nil {
		return err
	}
	p := &part{name: filepath.Base(path), path: path, table: f}
	if slices.ContainsFunc(a.parts, func(q *part) bool { return q.name == p.name }) {
		p.name = filepath.ToSlash(path) // every node's export may be called jm.csv
	}
	a.parts = append(a.parts, p)
	for _, n := range f.Notes() {
		a.notes = append(a.notes, p.name+" "+n)
	}
	return nil
}

// same tells whether two names are of one file.
func same(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// Close closes the files.
func (a *Archive) Close() {
	for _, p := range a.parts {
		_ = p.table.Close() // only read
	}
}

// Notes tells people what was unusual about the files.
func (a *Archive) Notes() []string { return a.notes }

// Describe names each file with its dialect.
func (a *Archive) Describe() (lines []string) {
	for _, p := range a.parts {
		lines = append(lines, p.name+": "+p.table.Describe())
	}
	return lines
}

// begin starts counting for a pass, in the order of time or of the tables.
func (a *Archive) begin(byTime bool) {
	a.done, a.total = 0, 0
	for _, p := range a.parts {
		scans := int64(1)
		if byTime && p.way == ranges {
			scans = int64((p.index.len() + p.most - 1) / p.most)
		}
		a.total += scans * p.table.Size()
	}
}

func (a *Archive) advance(bytes int64) {
	if a.done += bytes; a.Progress != nil {
		a.Progress(min(a.done, a.total), a.total)
	}
}

func (a *Archive) decoder() *cisco.Decoder {
	d := cisco.NewDecoder(a.keys...)
	d.SetSettled(a.settled)
	return d
}
