package bacpac

import (
	"archive/zip"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxOrigin bounds Origin.xml, in bytes.
const maxOrigin = 1 << 20

// File is an open bacpac with the definitions of its tables.
type File struct {
	name   string
	closer io.Closer
	model  *model
	origin origin
	notes  []string

	tables map[*table][]part // the parts of rows, in order; an empty table has none
}

// part is one file of rows inside the archive.
type part struct {
	name string
	size int64 // uncompressed, as the archive's directory says
	at   dataPart
	open func() (io.ReadCloser, error)
}

// origin is Origin.xml: who made the file, and when.
type origin struct {
	Exported  string `xml:"PackageProperties>ContainsExportedData"`
	Start     string `xml:"Operation>Start"`
	Server    string `xml:"Server>ServerVersion"`
	Checksums []struct {
		URI string `xml:"Uri,attr"`
		Sum string `xml:",chardata"`
	} `xml:"Checksums>Checksum"`
}

// TableInfo is a table of the file.
type TableInfo struct {
	Schema, Name string
	Columns      []ColumnInfo // in the order of the model
}

// ColumnInfo is a column of a table.
type ColumnInfo struct {
	Name     string
	Type     string // as T-SQL writes it, alias types resolved: "nvarchar(4000)"; "" for a computed column
	Nullable bool
	Computed bool // not in the data
}

// OpenFile opens a bacpac and reads its model. A file that is none gives a
// problem.Error, class Failed, that says what it is; one that cannot be read
// gives the fs.PathError.
func OpenFile(path string) (*File, error) {
	// Opening a pipe would wait for somebody to write to it.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := refuseMode(path, info.Mode()); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := readFile(path, file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return f, nil
}

func readFile(path string, file *os.File) (*File, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	f, err := newFile(path, file, info.Size())
	if err != nil {
		return nil, err
	}
	f.closer = file
	return f, nil
}

// newFile reads the archive's directory and model. It does not close r.
func newFile(path string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{name: path}
	if err := refuseContent(path, r, size); err != nil {
		return nil, err
	}
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, f.fault("this zip archive is damaged or incomplete: its directory cannot be read", copyAgain, err)
	}
	var modelPart, originPart, relsPart *zip.File
	var parts []part
	seen := map[string]bool{}
	stray, encrypted := "", false
	for _, entry := range archive.File {
		at, inData, ok := parseDataPart(entry.Name)
		needed := inData
		switch name := strings.TrimPrefix(entry.Name, "/"); {
		case strings.EqualFold(name, "model.xml"):
			modelPart, needed = entry, true
		case strings.EqualFold(name, "Origin.xml"):
			originPart, needed = entry, true
		case strings.EqualFold(name, "_rels/.rels"):
			relsPart, needed = entry, true
		case ok:
			size := int64(min(entry.UncompressedSize64, 1<<62))
			parts = append(parts, part{name: entry.Name, size: size, at: at, open: entry.Open})
		case stray == "" && (inData || strings.HasSuffix(strings.ToLower(name), ".bcp")):
			stray = entry.Name
		}
		if !needed {
			continue
		}
		if seen[entry.Name] {
			return nil, f.fault("this archive holds "+printable(entry.Name)+" twice", exportAgain, nil)
		}
		seen[entry.Name] = true
		encrypted = encrypted || entry.Flags&1 != 0
	}
	switch {
	case encrypted:
		return nil, f.fault("this zip archive is encrypted with a password", "unpack it with its password and pack it again without one", nil)
	case modelPart == nil:
		return nil, f.fault(notBacpac(archive), exportAgain, nil)
	case stray != "":
		return nil, f.fault("this archive has data that is not understood: "+printable(stray), exportAgain, nil)
	}
	if originPart != nil {
		if err := f.readOrigin(originPart); err != nil {
			return nil, err
		}
	}
	if len(parts) == 0 && !strings.EqualFold(strings.TrimSpace(f.origin.Exported), "true") {
		return nil, f.fault("this is a dacpac: it has the definitions of tables, and no rows", exportAgain, nil)
	}
	if err := f.readModel(modelPart); err != nil {
		return nil, err
	}
	owners := map[string]owner{}
	if relsPart != nil {
		if owners, err = f.readRels(relsPart); err != nil {
			return nil, err
		}
	}
	return f, f.assign(parts, owners)
}

// readOrigin reads Origin.xml. One that is no XML is only noted: nothing of it
// is needed.
func (f *File) readOrigin(entry *zip.File) error {
	r, err := entry.Open()
	if err != nil {
		return f.partFault(entry.Name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxOrigin))
	if err != nil {
		return f.partFault(entry.Name, err)
	}
	if xml.Unmarshal(text, &f.origin) != nil {
		f.origin = origin{}
		f.notes = append(f.notes, "has an Origin.xml that cannot be read")
	}
	return nil
}

// readModel reads model.xml and compares it with its checksum in Origin.xml.
func (f *File) readModel(entry *zip.File) error {
	r, err := entry.Open()
	if err != nil {
		return f.partFault(entry.Name, err)
	}
	defer r.Close()
	sum := sha256.New()
	f.model, err = parseModel(io.TeeReader(r, sum))
	var syntax *xml.SyntaxError
	var words errModel
	switch {
	case errors.As(err, &words):
		return f.fault("model.xml "+string(words), exportAgain, nil)
	case errors.As(err, &syntax):
		return f.fault(fmt.Sprintf("model.xml is no valid XML at line %d", syntax.Line), exportAgain, nil)
	case err != nil:
		return f.partFault(entry.Name, err)
	}
	for _, c := range f.origin.Checksums {
		want, err := hex.DecodeString(strings.TrimSpace(c.Sum))
		if strings.EqualFold(c.URI, "/model.xml") && err == nil && len(want) == sha256.Size && !slices.Equal(want, sum.Sum(nil)) {
			f.notes = append(f.notes, "has a model.xml that was changed after the export")
		}
	}
	return nil
}

// assign finds the table of each part: by the archive's relationships, or by
// its folder. A part that belongs to no table is refused, since its rows might
// be those that are asked for, and so is an archive that lacks a part.
func (f *File) assign(parts []part, owners map[string]owner) error {
	exact, folded := map[string]*table{}, map[string]*table{}
	for _, t := range f.model.tables {
		for _, name := range folderNames(t.schema, t.name) {
			exact[name], folded[fold(name)] = t, t
		}
	}
	lookup := func(names []string) (t *table) {
		for _, name := range names {
			t = cmp.Or(t, exact[name])
		}
		for _, name := range names {
			t = cmp.Or(t, folded[fold(name)])
		}
		return t
	}
	f.tables = map[*table][]part{}
	byName, present := map[string]owner{}, map[string]bool{}
	for target, o := range owners {
		for _, name := range decodings(target) {
			byName[name] = o
		}
	}
	for _, p := range parts {
		names := decodings(p.at.folder)
		for _, name := range decodings(strings.TrimPrefix(p.name, "/")) {
			present[name] = true
			if o, ok := byName[name]; ok {
				names = o.names()
			}
		}
		t := lookup(names)
		if t == nil {
			return f.fault("this archive has rows of a table that its model does not have: "+printable(p.name), exportAgain, nil)
		}
		if others := f.tables[t]; len(others) > 0 && others[0].at.folder != p.at.folder {
			return f.fault("this archive has two folders of rows for the table "+t.String(), exportAgain, nil)
		}
		f.tables[t] = append(f.tables[t], p)
	}
	for _, name := range slices.Sorted(maps.Keys(owners)) {
		if !slices.ContainsFunc(decodings(name), func(n string) bool { return present[n] }) {
			return f.fault("this archive lacks a part with rows: "+printable(name), copyAgain, nil)
		}
	}
	for _, parts := range f.tables {
		slices.SortFunc(parts, func(a, b part) int {
			return cmp.Or(cmp.Compare(a.at.series, b.at.series), cmp.Compare(a.at.piece, b.at.piece))
		})
	}
	return nil
}

// gap tells whether a number is missing among the parts of a table.
func gap(parts []part) bool {
	for i := 1; i < len(parts); i++ {
		a, b := parts[i-1].at, parts[i].at
		if a.series == b.series && b.piece != a.piece+1 {
			return true
		}
	}
	return false
}

// String returns the table's name for people.
func (t *table) String() string { return printable(t.schema + "." + t.name) }

// Tables returns the tables of the file in the order of its model.
func (f *File) Tables() []TableInfo {
	all := make([]TableInfo, len(f.model.tables))
	for i, t := range f.model.tables {
		all[i] = TableInfo{Schema: t.schema, Name: t.name}
		for _, c := range t.columns {
			info := ColumnInfo{Name: c.name, Nullable: true, Computed: c.computed()}
			if !info.Computed {
				base := f.model.resolve(c)
				info.Type, info.Nullable = base.String(), base.isNullable()
			}
			all[i].Columns = append(all[i].Columns, info)
		}
	}
	return all
}

// Close closes the file.
func (f *File) Close() error { return f.closer.Close() }
