package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"archivolt/internal/cisco"
)

// closeTimeout is how long the server may take to say goodbye.
const closeTimeout = 2 * time.Second

// findSQL finds a relation, in any letter case but first as it is written: in
// the schema $2, or if that is empty, those first that need no schema before
// their name. Of a relation that others inherit from, ctids are not unique.
const findSQL = `SELECT n.nspname, c.relname, c.oid, c.relkind, pg_catalog.pg_table_is_visible(c.oid),
	EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid), c.relname = $1
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE lower(c.relname) = lower($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
	AND CASE WHEN $2 = '' THEN n.nspname NOT IN ('pg_catalog', 'information_schema') ELSE lower(n.nspname) = lower($2) END
ORDER BY 7 DESC, 5 DESC, 1, 2`

// hiddenSQL gives the other tables of the archiver, IM&P's or ours, in the schema of relation $1
// that this user may not read.
const hiddenSQL = `SELECT relname FROM pg_catalog.pg_class
WHERE relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = $1::pg_catalog.oid) AND relkind IN ('r', 'p', 'v', 'm', 'f')
	AND lower(relname) IN ('tc_rooms', 'tc_users', 'tc_msgarchive', 'aft_log', 'archivolt_events') AND NOT pg_catalog.has_table_privilege(oid, 'SELECT')
ORDER BY 1`

// mayReadSQL tells whether this user may read relation $1.
const mayReadSQL = `SELECT pg_catalog.has_table_privilege($1::pg_catalog.oid, 'SELECT')`

// columnsSQL gives the columns of relation $1 with the names of their types,
// those of domains resolved.
const columnsSQL = `SELECT a.attname, CASE WHEN t.typtype = 'd' THEN b.typname ELSE t.typname END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

// isLong tells the columns that may hold more than ShortChars characters.
func isLong(c cisco.Column) bool {
	switch c {
	case cisco.BodyString, cisco.MessageString, cisco.BodyText, cisco.MessageText:
		return true
	}
	return false
}

// selectSQL reads the table: the place of each row, whether something was cut,
// and the columns.
func (s *Source) selectSQL(short bool, where string) string {
	list := []string{"0", "false"}
	if s.table.heap {
		list[0] = "ctid"
	}
	if short {
		list[1] = s.long
	}
	for _, f := range s.fields {
		e := f.name
		switch {
		case f.stamp:
		case !f.text:
			e += "::pg_catalog.text"
		}
		if short && isLong(f.column) {
			e = fmt.Sprintf("pg_catalog.left(%s, %d)", e, cisco.ShortChars)
		}
		list = append(list, e)
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + s.table.quoted() + where
}

// longCondition tells whether a row holds a value that a short scan cuts: one
// of more bytes than ShortChars may be one of more characters. For this the
// server need not read the value.
func (s *Source) longCondition() string {
	list := []string{"false"}
	for _, f := range s.fields {
		if isLong(f.column) && f.text {
			list = append(list, fmt.Sprintf("coalesce(pg_catalog.octet_length(%s) > %d, false)", f.name, cisco.ShortChars))
		} else if isLong(f.column) {
			list = append(list, "true")
		}
	}
	return strings.Join(list, " OR ")
}

// indexChars is how much of an address the suggested index holds, in
// characters.
const indexChars = 64

// Advice suggests the index by which Find is fast, unless there is one.
func (s *Source) Advice(ctx context.Context) (string, error) {
	var missing []string
	if !s.table.heap {
		return "", nil
	}
	for _, f := range s.fields {
		if f.column != cisco.ToJID && f.column != cisco.FromJID {
			continue
		}
		begin := fmt.Sprintf("%%left%%%s%%%d%%text_pattern_ops%%", strings.Trim(f.name, `"`), indexChars)
		has, err := s.query(ctx, "SELECT 1 FROM pg_catalog.pg_index WHERE indrelid = $1::pg_catalog.oid AND pg_catalog.pg_get_indexdef(indexrelid) ILIKE $2", s.table.oid, begin)
		if err != nil {
			return "", err
		}
		if len(has) == 0 {
			missing = append(missing, fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (left(%s, %d) text_pattern_ops);", s.table.quoted(), f.name, indexChars))
		}
	}
	return strings.Join(missing, "\n"), nil
}

// where is the condition of a lookup. Each part compares the beginning that the
// suggested index holds, and then the rest.
func (s *Source) where(l *cisco.Lookup) string {
	var list []string
	for _, f := range s.fields {
		if f.column != cisco.ToJID && f.column != cisco.FromJID {
			continue
		}
		indexed := fmt.Sprintf("left(%s, %d)", f.name, indexChars)
		for _, v := range l.Starts {
			begin, whole := s.cut(v)
			part := indexed + " LIKE " + literal(likeEscaper.Replace(begin)+"%")
			if !whole {
				part += " AND " + f.name + " LIKE " + literal(likeEscaper.Replace(v)+"%")
			}
			list = append(list, "("+part+")")
		}
		for _, v := range l.Equals {
			begin, whole := s.cut(v)
			part := indexed + " = " + literal(begin)
			if !whole {
				part += " AND " + f.name + " = " + literal(v)
			} else if len(v) >= indexChars {
				part += " AND " + f.name + " = " + literal(v)
			}
			list = append(list, "("+part+")")
		}
	}
	if len(list) == 0 {
		return " WHERE false"
	}
	return " WHERE (" + strings.Join(list, " OR ") + ")"
}

// cut returns what the suggested index holds of v, and whether that is all. A
// server without an encoding takes bytes for characters.
func (s *Source) cut(v string) (begin string, whole bool) {
	if s.encoding == "SQL_ASCII" {
		return v[:min(len(v), indexChars)], len(v) <= indexChars
	}
	n := 0
	for i := range v {
		if n == indexChars {
			return v[:i], false
		}
		n++
	}
	return v, true
}

// likeEscaper protects what LIKE takes for a pattern (PostgreSQL manual,
// 9.7.1).
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// literal writes a string constant (PostgreSQL manual, 4.1.2.1); the session
// has standard_conforming_strings on.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// query runs a statement of which the answer is small.
func (s *Source) query(ctx context.Context, sql string, arguments ...string) (rows [][]string, err error) {
	values := make([][]byte, len(arguments))
	for i, a := range arguments {
		values[i] = []byte(a)
	}
	result := s.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, s.failed(ctx, result.Err, 0)
	}
	for _, r := range result.Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
