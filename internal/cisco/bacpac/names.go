package bacpac

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// splitName reads a name as model.xml writes it: "[dbo].[JM].[TO_JID]", with
// a bracket inside a name doubled. ok is false for anything else.
func splitName(name string) (parts []string, ok bool) {
	for {
		if !strings.HasPrefix(name, "[") {
			return nil, false
		}
		var b strings.Builder
		i := 1
		for ; ; i++ {
			if i >= len(name) {
				return nil, false
			}
			if name[i] == ']' {
				if i+1 == len(name) || name[i+1] != ']' {
					break
				}
				i++
			}
			b.WriteByte(name[i])
		}
		parts = append(parts, b.String())
		if name = name[i+1:]; name == "" {
			return parts, true
		}
		if name[0] != '.' {
			return nil, false
		}
		name = name[1:]
	}
}

// dataPart is a zip entry that holds rows: which table's folder it lies in and
// its two numbers.
type dataPart struct {
	folder        string // as it stands in the archive
	series, piece int
}

// parseDataPart reads Data/<folder>/TableData-<series>-<piece>.BCP. inData
// tells whether the entry is a file below Data at all.
func parseDataPart(name string) (p dataPart, inData, ok bool) {
	name = strings.TrimPrefix(strings.ReplaceAll(name, `\`, "/"), "/")
	dir, rest, found := strings.Cut(name, "/")
	if !found || !strings.EqualFold(dir, "Data") || rest == "" || strings.HasSuffix(rest, "/") {
		return p, false, false
	}
	folder, file, found := strings.Cut(rest, "/")
	if !found {
		return p, true, false
	}
	p.folder = folder
	stem, found := cutFold(file, "TableData-", ".BCP")
	if !found {
		return p, true, false
	}
	series, piece, _ := strings.Cut(stem, "-")
	var err1, err2 error
	p.series, err1 = strconv.Atoi(series)
	p.piece, err2 = strconv.Atoi(piece)
	return p, true, err1 == nil && err2 == nil && p.series >= 0 && p.piece >= 0
}

// cutFold removes a prefix and a suffix in any letter case.
func cutFold(s, prefix, suffix string) (string, bool) {
	if len(s) < len(prefix)+len(suffix) || !strings.EqualFold(s[:len(prefix)], prefix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return "", false
	}
	return s[len(prefix) : len(s)-len(suffix)], true
}

// folderNames returns what a table's folder may be called once it is decoded:
// SqlPackage writes schema.table; the others are for what has not been seen.
func folderNames(schema, table string) []string {
	quote := func(s string) string { return "[" + strings.ReplaceAll(s, "]", "]]") + "]" }
	return []string{schema + "." + table, quote(schema) + "." + quote(table)}
}

// decodings returns the readings of a folder's name: part names of a package
// are percent-encoded (ECMA-376 part 2, §6.2), and Uri classes may have done
// it to an encoded name again.
func decodings(folder string) []string {
	all := []string{folder}
	for range 2 {
		plain, err := url.PathUnescape(folder)
		if err != nil || plain == folder {
			break
		}
		folder = plain
		all = append(all, folder)
	}
	return all
}

// fold makes names comparable in any letter case.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// printable makes a name from the file fit for a message.
func printable(s string) string {
	const most = 120
	n := 0
	s = strings.Map(func(r rune) rune {
		if n++; n > most {
			return -1
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if n > most {
		s += "…"
	}
	return s
}
