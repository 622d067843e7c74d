package bacpac

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
)

// maxRels bounds how many parts the relationships may name.
const maxRels = 1 << 20

// owner is the table that a part belongs to by _rels/.rels.
type owner struct{ schema, table string }

// names returns what the table may be called, as decodings does for a folder.
func (o owner) names() []string {
	names := folderNames(o.schema, o.table)
	schema, err1 := url.PathUnescape(o.schema)
	table, err2 := url.PathUnescape(o.table)
	if err1 == nil && err2 == nil {
		names = append(names, folderNames(schema, table)...)
	}
	return names
}

// readRels reads which table each part belongs to. SqlPackage writes two
// relationships for each: one of the type "table=JM" and one "schema=dbo",
// both with the part as their target. An archive that was packed again may
// have none.
func (f *File) readRels(entry *zip.File) (map[string]owner, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, f.partFault(entry.Name, err)
	}
	defer r.Close()
	owners, err := parseRels(r)
	var syntax *xml.SyntaxError
	var words errModel
	switch {
	case errors.As(err, &words):
		return nil, f.fault(entry.Name+" "+string(words), exportAgain, nil)
	case errors.As(err, &syntax):
		return nil, f.fault(entry.Name+" is no valid XML", exportAgain, nil)
	case err != nil:
		return nil, f.partFault(entry.Name, err)
	}
	return owners, nil
}

func parseRels(r io.Reader) (map[string]owner, error) {
	tokens := &tokenReader{r: r}
	d := xml.NewDecoder(tokens)
	owners := map[string]owner{}
	depth := 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		tokens.token = 0
		start, ok := t.(xml.StartElement)
		if !ok {
			if _, end := t.(xml.EndElement); end {
				depth--
			}
			continue
		}
		if depth++; depth > maxDepth {
			return nil, errModel("nests too deeply")
		}
		if start.Name.Local != "Relationship" {
			continue
		}
		target := strings.TrimPrefix(attr(start, "Target"), "/")
		o := owners[target]
		if name, ok := strings.CutPrefix(attr(start, "Type"), "table="); ok {
			o.table = name
		} else if name, ok := strings.CutPrefix(attr(start, "Type"), "schema="); ok {
			o.schema = name
		} else {
			continue
		}
		if owners[target] = o; len(owners) > maxRels {
			return nil, errModel("names too many parts")
		}
	}
	for target, o := range owners {
		if o.table == "" || o.schema == "" {
			delete(owners, target)
		}
	}
	return owners, nil
}
