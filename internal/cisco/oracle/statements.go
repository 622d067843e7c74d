package oracle

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"

	ora "github.com/sijms/go-ora/v2"

	"archivolt/internal/cisco"
)

// Statements are written from the SQL Language Reference and the Database
// Reference of 19c, and use nothing that 23ai does not have.
const (
	userSQL    = "SELECT SYS_CONTEXT('USERENV', 'SESSION_USER') FROM dual"
	versionSQL = "SELECT MAX(version) FROM product_component_version WHERE product LIKE 'Oracle%'"
	// findSQL finds a table: first those that need no schema before their name.
	// A materialized view is listed as a table too.
	findSQL = `SELECT owner, object_name, object_type, CASE WHEN owner = SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') THEN 0 ELSE 1 END
FROM all_objects WHERE object_type IN ('TABLE', 'VIEW') AND UPPER(object_name) = UPPER(:1) ORDER BY 4, 1, 2`
	findInSchemaSQL = `SELECT owner, object_name, object_type, 0
FROM all_objects WHERE object_type IN ('TABLE', 'VIEW') AND UPPER(object_name) = UPPER(:1) AND UPPER(owner) = UPPER(:2) ORDER BY 1, 2`
	columnsSQL = "SELECT column_name, data_type FROM all_tab_columns WHERE owner = :1 AND table_name = :2 ORDER BY column_id"
	lobSQL     = "SELECT DBMS_LOB.SUBSTR(TO_CLOB('x'), 1, 1) FROM dual"
	sizeSQL    = "SELECT TO_CHAR(num_rows * avg_row_len, 'TM9') FROM all_tables WHERE owner = :1 AND table_name = :2"
	segmentSQL = "SELECT TO_CHAR(SUM(bytes), 'TM9') FROM user_segments WHERE segment_name = :1"
	// indexSQL gives the expressions of function-based indexes. They are LONG,
	// so that no condition can look into them.
	indexSQL = "SELECT column_expression FROM all_ind_expressions WHERE table_owner = :1 AND table_name = :2"
)

// kind is how a column is read.
type kind int

const (
	unreadable kind = iota
	text            // VARCHAR2 and its like
	clob            // CLOB, NCLOB
	native          // LONG, of which no function takes a part; RAW and BLOB, as the bytes they hold
	date            // DATE
	stamp           // TIMESTAMP
	zoned           // TIMESTAMP WITH TIME ZONE or WITH LOCAL TIME ZONE
	number          // NUMBER and its like
)

// field is one column that is read.
type field struct {
	column   cisco.Column
	name     string // quoted
	kind     kind
	national bool // in the national character set
}

// newField reads the type as ALL_TAB_COLUMNS writes it.
func newField(name, dataType string) field {
	f := field{name: quote(name), national: strings.HasPrefix(dataType, "N") && dataType != "NUMBER"}
	switch dataType {
	case "VARCHAR2", "NVARCHAR2", "CHAR", "NCHAR":
		f.kind = text
	case "CLOB", "NCLOB":
		f.kind = clob
	case "LONG", "RAW", "LONG RAW", "BLOB":
		f.kind = native
	case "DATE":
		f.kind = date
	case "NUMBER", "FLOAT", "BINARY_FLOAT", "BINARY_DOUBLE":
		f.kind = number
	default: // TIMESTAMP(6) WITH TIME ZONE
		if strings.HasPrefix(dataType, "TIMESTAMP") {
			f.kind = stamp
			if strings.HasSuffix(dataType, "TIME ZONE") {
				f.kind = zoned
			}
		}
	}
	return f
}

// expression reads the column as text, in the form of cells of JM.
func (f field) expression() string {
	switch f.kind {
	case date:
		return "TO_CHAR(" + f.name + ", 'YYYY-MM-DD HH24:MI:SS')" // DATE has no fractions to ask for
	case stamp:
		return "TO_CHAR(" + f.name + ", 'YYYY-MM-DD HH24:MI:SS.FF9')"
	case zoned:
		return "TO_CHAR(SYS_EXTRACT_UTC(" + f.name + "), 'YYYY-MM-DD HH24:MI:SS.FF9')"
	case number:
		return "TO_CHAR(" + f.name + ", 'TM9')"
	}
	return f.name
}

// isLong tells the columns that may hold more than ShortChars characters.
func isLong(c cisco.Column) bool {
	switch c {
	case cisco.BodyString, cisco.MessageString, cisco.BodyText, cisco.MessageText:
		return true
	}
	return false
}

// cuts tells whether a short scan takes only the beginning of the column.
func (s *Source) cuts(f field) bool {
	return isLong(f.column) && (f.kind == text || f.kind == clob && s.cutsLOB)
}

// cutUnits is how much a short scan asks for. Oracle counts a character beyond
// the first plane as two in CLOBs and in some character sets.
const cutUnits = 2 * cisco.ShortChars

// selectSQL reads the table: the columns, and in a short scan at the end, Y if
// something may have been cut.
func (s *Source) selectSQL(short bool, where string) string {
	var list, long []string
	for _, f := range s.fields {
		e := f.expression()
		if short && s.cuts(f) {
			long = append(long, fmt.Sprintf("LENGTH(%s) > %d", f.name, cisco.ShortChars))
			if f.kind == clob {
				e = fmt.Sprintf("DBMS_LOB.SUBSTR(%s, %d, 1)", f.name, cutUnits)
			} else {
				e = fmt.Sprintf("SUBSTR(%s, 1, %d)", f.name, cutUnits)
			}
		}
		list = append(list, e)
	}
	if short {
		flag := "'N'"
		if len(long) > 0 {
			flag = "CASE WHEN " + strings.Join(long, " OR ") + " THEN 'Y' ELSE 'N' END"
		}
		list = append(list, flag)
	}
	hint := ""
	if where == "" {
		hint = "/*+ FULL(t) NO_PARALLEL(t) NO_INMEMORY(t) */ " // every scan in one and the same order
	}
	return "SELECT " + hint + strings.Join(list, ", ") + " FROM " + s.table.quoted() + " t" + where
}

// indexChars is how much of an address the suggested index holds, in
// characters.
const indexChars = 64

// begin is what the suggested index holds of a column.
func begin(name string) string { return fmt.Sprintf("SUBSTR(%s, 1, %d)", name, indexChars) }

// addresses are the fields by which rows are looked up, and whether the server
// can do it.
func (s *Source) addresses() (list []field, searchable bool) {
	searchable = true
	for _, f := range s.fields {
		if f.column == cisco.ToJID || f.column == cisco.FromJID {
			list = append(list, f)
			searchable = searchable && f.kind == text
		}
	}
	return list, searchable
}

// Advice suggests the index by which Find is fast, unless there is one. It is
// short, so that no address is too long for it. ONLINE lets the archiver write
// on while it is built; only the Enterprise Edition knows it.
func (s *Source) Advice(ctx context.Context) (string, error) {
	fields, searchable := s.addresses()
	if s.table.view || !searchable {
		return "", nil
	}
	rows, err := s.allowed(s.query(ctx, indexSQL, s.table.owner, s.table.name))
	if err != nil {
		return "", err
	}
	var missing []string
	for _, f := range fields {
		has := false
		for _, r := range rows {
			has = has || spaceless(r[0]) == spaceless(begin(f.name))
		}
		if !has {
			missing = append(missing, fmt.Sprintf("CREATE INDEX %s.%s ON %s (%s) ONLINE;", quote(s.table.owner), quote("ARCHIVOLT_"+f.column.String()), s.table.quoted(), begin(f.name)))
		}
	}
	return strings.Join(missing, "\n"), nil
}

// spaceless makes an expression comparable: Oracle keeps it as SUBSTR("A",1,64).
func spaceless(expression string) string { return strings.ReplaceAll(expression, " ", "") }

// where is the condition of a lookup, with its arguments. Each part compares
// the beginning that the suggested index holds, and then the rest.
func where(fields []field, l *cisco.Lookup) (condition string, arguments []any) {
	var list []string
	for _, f := range fields {
		bind := func(v string) string {
			if f.national {
				arguments = append(arguments, ora.NVarChar(v))
			} else {
				arguments = append(arguments, v)
			}
			return fmt.Sprintf(":%d", len(arguments))
		}
		for _, v := range l.Starts {
			first, whole := cut(v)
			part := begin(f.name) + " LIKE " + bind(likeEscaper.Replace(first)+"%") + ` ESCAPE '\'`
			if !whole {
				part += " AND " + f.name + " LIKE " + bind(likeEscaper.Replace(v)+"%") + ` ESCAPE '\'`
			}
			list = append(list, "("+part+")")
		}
		for _, v := range l.Equals {
			if v == "" {
				continue // no address of a row is empty: that is NULL, and equal to nothing
			}
			part := ""
			if first, whole := cut(v); whole {
				part = begin(f.name) + " = " + bind(first)
			} else {
				part = begin(f.name) + " LIKE " + bind(likeEscaper.Replace(first)+"%") + ` ESCAPE '\'`
			}
			list = append(list, "("+part+" AND "+f.name+" = "+bind(v)+")")
		}
	}
	if len(list) == 0 {
		return " WHERE 1 = 0", nil
	}
	return " WHERE (" + strings.Join(list, " OR ") + ")", arguments
}

// cut returns what the suggested index surely holds of v, whatever Oracle counts
// as a character, and whether that is all.
func cut(v string) (first string, whole bool) {
	units := 0
	for i, r := range v {
		units++
		if r > 0xffff {
			units++
		}
		if units > indexChars {
			return v[:i], false
		}
	}
	return v, true
}

// likeEscaper protects what LIKE takes for a pattern (SQL Language Reference,
// "Pattern-matching Conditions").
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// named numbers bind arguments. Oracle takes them in the order in which they
// stand, so none is used twice.
func named(arguments []any) []driver.NamedValue {
	list := make([]driver.NamedValue, len(arguments))
	for i, a := range arguments {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return list
}
