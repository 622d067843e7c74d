package sqlite

import (
	"context"
	"fmt"
	"strings"

	"archivolt/internal/cisco"
)

// indexChars is how much of an address the suggested index holds, in
// characters.
const indexChars = 64

// begin is what the suggested index holds of a column.
func begin(name string) string { return fmt.Sprintf("substr(%s, 1, %d)", name, indexChars) }

// Find is Scan for the rows that l looks for, through an index where the file
// has a suitable one.
func (s *Source) Find(ctx context.Context, l cisco.Lookup, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	var list, arguments []string
	argument := func(text string) string {
		arguments = append(arguments, text)
		return fmt.Sprintf("?%d", len(arguments))
	}
	for _, f := range s.fields {
		if f.column != cisco.ToJID && f.column != cisco.FromJID {
			continue
		}
		for _, v := range l.Starts {
			first, whole := cut(v)
			// No text that begins with it lies behind it and the last character there is.
			part := fmt.Sprintf("%s BETWEEN %s AND %s", begin(f.name), argument(first), argument(first+"\U0010ffff"))
			if !whole {
				part += fmt.Sprintf(" AND substr(%s, 1, length(%s)) = %s", f.name, argument(v), argument(v))
			}
			list = append(list, part)
		}
		for _, v := range l.Equals {
			first, _ := cut(v)
			list = append(list, fmt.Sprintf("%s = %s AND %s = %s", begin(f.name), argument(first), f.name, argument(v)))
		}
	}
	where := " WHERE " + anyOf(list)
	if s.rowid {
		where += " ORDER BY rowid"
	}
	return s.scan(ctx, o, where, arguments, emit)
}

// anyOf joins conditions so that they nest as little as possible: SQLite bounds
// the depth (1000).
func anyOf(list []string) string {
	switch n := len(list); n {
	case 0:
		return "0"
	case 1:
		return list[0]
	default:
		return "(" + anyOf(list[:n/2]) + ") OR (" + anyOf(list[n/2:]) + ")"
	}
}

// cut returns what the suggested index holds of v, and whether that is all.
func cut(v string) (first string, whole bool) {
	n := 0
	for i := range v {
		if n == indexChars {
			return v[:i], false
		}
		n++
	}
	return v, true
}

// plain takes off what may be written differently in one definition.
var plain = strings.NewReplacer(`"`, "", " ", "", "`", "", "[", "", "]", "")

// Advice suggests the index by which Find is fast, unless there is one.
func (s *Source) Advice(ctx context.Context) (string, error) {
	if !s.rowid {
		return "", nil
	}
	indexes, err := s.texts("SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", s.table)
	if err != nil {
		return "", err
	}
	var missing []string
	for _, f := range s.fields {
		if f.column != cisco.ToJID && f.column != cisco.FromJID {
			continue
		}
		has := false
		for _, i := range indexes {
			has = has || strings.Contains(plain.Replace(strings.ToLower(i)), plain.Replace(strings.ToLower(begin(f.name))))
		}
		if !has {
			missing = append(missing, fmt.Sprintf("CREATE INDEX %s ON %s (%s);", quote("archivolt_"+f.column.String()), quote(s.table), begin(f.name)))
		}
	}
	return strings.Join(missing, "\n"), nil
}
