// Package archive opens an archive, whatever it is, Cisco's or ours, and gives
// its rows opened: in the order of the source, or in the order of time. It holds
// the one list of what can be opened.
//
// An archive is read twice. The first pass, the survey, is a quick one: it
// learns how many rows there are and when each was sent, so that the second can
// go in the order of time whatever the order of the source; and of Cisco's also
// which key opens each, so that the second can settle by their neighbours the
// rows that cannot be settled by themselves. The survey keeps some 16 bytes for
// each row in memory, and nothing of what the rows say.
package archive

import (
	"filippo.io/age"

	"archivolt/internal/cisco"
)

// Keys are what may open an archive.
type Keys struct {
	Cisco      []*cisco.Key   // of Cisco's archives
	Identities []age.Identity // of ours
}

// Archive is one or several stored tables or ledgers read as one, with the keys
// that may open them. It is not safe for concurrent use.
type Archive struct {
	Progress func(done, total int64) // bytes read of those to read, -1 if nobody knows; may be nil

	parts      []*part
	rooms      []*rooms // of each database
	keys       []*cisco.Key
	identities []age.Identity
	settled    map[string]string // see cisco.Decoder.SetSettled
	surveyed   bool
	overlap    int // of the parts, in time
	notes      []string

	done, total int64 // bytes read in this pass, and those to read
}

// part is one table, or one ledger.
type part struct {
	name   string // as results show it: the file's own name, its path where two have one name, or server and database
	path   string // or URL
	stored stored

	index index
	way   way // in which it is read in the order of time
	most  int // rows that may wait for their turn
}

// Close closes the tables.
func (a *Archive) Close() {
	for _, p := range a.parts {
		_ = p.stored.Close() // only read
	}
}

// Kind tells whose archive it is.
func (a *Archive) Kind() Kind {
	if len(a.parts) == 0 {
		return Cisco
	}
	return kindOf(a.parts[0].stored)
}

// Notes tells people what was unusual about the tables.
func (a *Archive) Notes() []string { return a.notes }

// Describe names each table with how and where it is stored.
func (a *Archive) Describe() (lines []string) {
	for _, p := range a.parts {
		lines = append(lines, p.name+": "+p.stored.Describe())
	}
	return lines
}

// Table is one table of an archive, or one ledger.
type Table struct {
	Name        string // as results show it
	Description string // how and where it is stored
	Rows        int64  // that were read; 0 before anything was
}

// Tables lists the tables.
func (a *Archive) Tables() (list []Table) {
	for _, p := range a.parts {
		list = append(list, Table{Name: p.name, Description: p.stored.Describe(), Rows: int64(p.index.len())})
	}
	return list
}

// Size is about how many bytes the tables take where they are stored; tables
// of which nobody knows are left out.
func (a *Archive) Size() (bytes int64) {
	for _, p := range a.parts {
		bytes += max(0, p.stored.Size())
	}
	return bytes
}

// begin starts counting for a pass, in the order of time or of the tables.
func (a *Archive) begin(byTime bool) {
	a.done, a.total = 0, 0
	for _, p := range a.parts {
		scans := int64(1)
		if byTime && p.way == ranges {
			scans = int64((p.index.len() + p.most - 1) / p.most)
		}
		a.total += scans * p.stored.Size()
	}
}

func (a *Archive) advance(bytes int64) {
	if a.done += bytes; a.Progress == nil {
		return
	}
	if a.total == 0 {
		a.Progress(a.done, -1)
		return
	}
	a.Progress(min(a.done, a.total), a.total)
}

func (a *Archive) decoder() *cisco.Decoder {
	d := cisco.NewDecoder(a.keys...)
	d.SetSettled(a.settled)
	return d
}
