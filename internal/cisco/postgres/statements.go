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

// findSQL finds a relation: in the schema $2, or if that is empty, those first
// that need no schema before their name.
const findSQL = `SELECT n.nspname, c.relname, c.oid, c.relkind, pg_catalog.pg_table_is_visible(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE lower(c.relname) = lower($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
	AND CASE WHEN $2 = '' THEN n.nspname NOT IN ('pg_catalog', 'information_schema') ELSE lower(n.nspname) = lower($2) END
ORDER BY 5 DESC, 1, 2`

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
