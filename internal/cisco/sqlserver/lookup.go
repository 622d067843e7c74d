package sqlserver

import (
	"context"
	"fmt"
	"strings"

	"archivolt/internal/cisco"
)

// indexChars is how much of an address the suggested index holds, in
// characters: 128 bytes of the 1,700 that an index entry may have.
const indexChars = 64

// Find is Scan for the rows that l looks for, and perhaps more: most databases
// take a letter and its capital for one. Without the columns that Advice
// suggests the server reads the whole table, but sends only what is found.
func (s *Source) Find(ctx context.Context, l cisco.Lookup, o cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	t := *s.jm
	t.only = anyHolds(t.conditions(&l))
	return s.scan(ctx, &t, &witness{}, o, emit)
}

// Advice suggests the indexes by which Find is fast, unless they are there.
// SQL Server needs a computed column for each, so they belong on a copy.
func (s *Source) Advice(context.Context) (string, error) {
	var list []string
	for _, c := range s.jm.addresses() {
		name := "archivolt_" + strings.ToLower(c.name)
		has := false
		for _, i := range s.jm.indexes {
			has = has || strings.EqualFold(i, name)
		}
		if !has {
			list = append(list, fmt.Sprintf("ALTER TABLE %s ADD %s AS LEFT(%s, %d); CREATE INDEX %s ON %s (%s);",
				s.jm.quoted(), quote(name), quote(c.name), indexChars, quote(name), s.jm.quoted(), quote(name)))
		}
	}
	return strings.Join(list, "\n"), nil
}

// addresses are the columns that hold addresses.
func (t *table) addresses() (list []column) {
	for _, c := range t.columns {
		if at := cisco.ColumnNamed(c.name); at == cisco.ToJID || at == cisco.FromJID {
			list = append(list, c)
		}
	}
	return list
}

// conditions are those of a lookup. Each compares what the suggested index
// holds, and then the rest.
func (t *table) conditions(l *cisco.Lookup) (list []string) {
	for _, c := range t.addresses() {
		name := quote(c.name)
		begin := fmt.Sprintf("LEFT(%s, %d)", name, indexChars)
		for _, v := range l.Starts {
			first, whole := cut(v)
			part := begin + " LIKE " + literal(likeEscaper.Replace(first)+"%") + ` ESCAPE N'\'`
			if !whole {
				part += " AND " + name + " LIKE " + literal(likeEscaper.Replace(v)+"%") + ` ESCAPE N'\'`
			}
			list = append(list, part)
		}
		for _, v := range l.Equals {
			first, _ := cut(v)
			list = append(list, begin+" = "+literal(first)+" AND "+name+" = "+literal(v))
		}
	}
	return list
}

// anyHolds joins conditions so that they nest as little as possible.
func anyHolds(list []string) string {
	switch n := len(list); n {
	case 0:
		return "1 = 0"
	case 1:
		return list[0]
	default:
		return "(" + anyHolds(list[:n/2]) + ") OR (" + anyHolds(list[n/2:]) + ")"
	}
}

// cut returns what the suggested index holds of v, and whether that is all. A
// character beyond U+FFFF counts as two, as in most databases.
func cut(v string) (first string, whole bool) {
	n := 0
	for i, r := range v {
		if n++; r > 0xffff {
			n++
		}
		if n > indexChars {
			return v[:i], false
		}
	}
	return v, true
}

// likeEscaper protects what LIKE takes for a pattern (Transact-SQL reference,
// LIKE).
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `[`, `\[`)

// literal writes a constant of nvarchar.
func literal(text string) string { return "N'" + strings.ReplaceAll(text, "'", "''") + "'" }
