package sqlserver

import (
	"fmt"
	"strings"
)

// setSession makes the session harmless. TEXTSIZE would cut long values;
// IMPLICIT_TRANSACTIONS, which a server can have as its default, would leave a
// transaction open; XACT_ABORT would end the SNAPSHOT transaction when a
// reading is broken off. The number is LockTimeout.
const setSession = "SET LOCK_TIMEOUT 5000; SET DEADLOCK_PRIORITY LOW; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " +
	"SET TEXTSIZE 2147483647; SET IMPLICIT_TRANSACTIONS OFF; SET XACT_ABORT OFF"

// beginSnapshot begins the transaction that all readings share.
const beginSnapshot = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION"

// endSnapshot ends it. There is nothing to undo.
const endSnapshot = "ROLLBACK TRANSACTION"

// selectServer gives version, database, snapshot_isolation_state,
// is_read_committed_snapshot_on and is_read_only. A login always sees the row
// of the database that it is in.
const selectServer = "SELECT CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')), d.name, CONVERT(int, d.snapshot_isolation_state), " +
	"CONVERT(int, d.is_read_committed_snapshot_on), CONVERT(int, d.is_read_only) FROM sys.databases AS d WHERE d.database_id = DB_ID()"

// selectTables gives schema, name and object_id of all tables and views. Names are
// compared here and not by the server: LOWER and UPPER depend on its collation,
// and in a Turkish one TC_TIMELOG is not tc_timelog.
const selectTables = "SELECT s.name, o.name, CONVERT(bigint, o.object_id) FROM sys.objects AS o " +
	"INNER JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE o.type IN ('U', 'V')"

// selectColumns gives name, system type, max_length in bytes (-1 is max),
// scale and is_nullable of the columns of the table @p1, in their order.
const selectColumns = "SELECT c.name, TYPE_NAME(c.system_type_id), CONVERT(int, c.max_length), CONVERT(int, c.scale), CONVERT(int, c.is_nullable) " +
	"FROM sys.columns AS c WHERE c.object_id = @p1 ORDER BY c.column_id"

// selectIndexes gives index_id (1 is the clustered one), is_unique, column,
// is_descending_key and the index's name for each key column of the indexes of
// the table @p1 that hold all its rows.
const selectIndexes = "SELECT CONVERT(int, i.index_id), CONVERT(int, i.is_unique), c.name, CONVERT(int, ic.is_descending_key), i.name FROM sys.tables AS t " +
	"INNER JOIN sys.indexes AS i ON i.object_id = t.object_id " +
	"INNER JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0 " +
	"INNER JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id " +
	"WHERE t.object_id = @p1 AND i.type IN (1, 2) AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND i.has_filter = 0 " +
	"ORDER BY i.index_id, ic.key_ordinal"

// selectSize gives the bytes of the pages that hold the rows of the table @p1.
// It needs VIEW DATABASE STATE (VIEW DATABASE PERFORMANCE STATE from 2022 on).
const selectSize = "SELECT CONVERT(bigint, SUM(p.used_page_count)) * 8192 FROM sys.dm_db_partition_stats AS p " +
	"WHERE p.object_id = @p1 AND p.index_id IN (0, 1)"

// quote makes an identifier of any name.
func quote(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// kind is how a type of SQL Server is read.
type kind int

const (
	other   kind = iota // converted to text by the server
	unicode             // nvarchar, nchar, ntext
	ansi                // varchar, char, text: the server knows their code page, and the driver not all of them
	integer             // up to bigint
	date                // a date with or without a time of day
	binary              // binary, rowversion
)

var kindOf = map[string]kind{
	"nvarchar": unicode, "nchar": unicode, "ntext": unicode, "varchar": ansi, "char": ansi, "text": ansi,
	"tinyint": integer, "smallint": integer, "int": integer, "bigint": integer,
	"datetime": date, "datetime2": date, "smalldatetime": date, "date": date, "datetimeoffset": date,
	"binary": binary, "varbinary": binary, "image": binary, "timestamp": binary,
}

// whole is the expression that gives all of a column as text, integer or date.
func (c column) whole() string {
	name := quote(c.name)
	switch kindOf[c.typ] {
	case unicode, integer, date:
		return name
	case binary:
		return "CONVERT(nvarchar(max), CONVERT(varbinary(max), " + name + "), 1)"
	}
	return "CONVERT(nvarchar(max), " + name + ")"
}

// moment is whole for SENT_DATE. A date in a type that is none is written in
// the one style that does not depend on the server's language.
func (c column) moment() string {
	if kindOf[c.typ] == other {
		return "CONVERT(nvarchar(33), " + quote(c.name) + ", 126)"
	}
	return c.whole()
}

// piece is whole, cut to the first n characters, and longer the condition that
// something was cut. SUBSTRING and DATALENGTH work for ntext and text too,
// where LEFT and LEN do not; and whether the database counts a surrogate pair
// as one character or two makes no difference.
func (c column) piece(n int) (piece, longer string) {
	text := quote(c.name)
	if k := kindOf[c.typ]; k != unicode && k != ansi {
		text = c.whole()
	}
	piece = fmt.Sprintf("SUBSTRING(%s, 1, %d)", text, n)
	longer = fmt.Sprintf("DATALENGTH(%s) > DATALENGTH(%s)", text, piece)
	if kindOf[c.typ] == ansi {
		piece = "CONVERT(nvarchar(max), " + piece + ")"
	}
	return piece, longer
}

// anyOf is a bit that is 1 if one of the conditions holds.
func anyOf(conditions []string) string {
	return "CONVERT(bit, CASE WHEN " + strings.Join(conditions, " OR ") + " THEN 1 ELSE 0 END)"
}

// keyType is the type that a value of a key column is sent back as: the
// column's own, so that the server can search the index for it.
func (c column) keyType() string {
	if c.typ == "datetime2" {
		return fmt.Sprintf("datetime2(%d)", c.scale)
	}
	return c.typ
}

// keyValue is the parameter n as a value of the column.
func (c column) keyValue(n int) string {
	if kindOf[c.typ] == date {
		return fmt.Sprintf("CONVERT(%s, @p%d, 126)", c.keyType(), n)
	}
	return fmt.Sprintf("CONVERT(%s, @p%d)", c.keyType(), n)
}

// beyond is the condition that the key columns are, in this order, beyond the
// parameters from n on: above them with op ">", and up to them with "<=". The
// comparison of the first column alone is what lets the server search.
func beyond(key []column, op string, n int) string {
	strict := op[:1]
	var nested func(i int) string
	nested = func(i int) string {
		name, value := quote(key[i].name), key[i].keyValue(n+i)
		if i == len(key)-1 {
			return name + " " + op + " " + value
		}
		return fmt.Sprintf("(%s %s %s OR (%s = %s AND %s))", name, strict, value, name, value, nested(i+1))
	}
	if len(key) == 1 {
		return nested(0)
	}
	return fmt.Sprintf("%s %s= %s AND %s", quote(key[0].name), strict, key[0].keyValue(n), nested(0))
}

// selectRows is a statement that gives at most @p1 rows of the table, and then
// how many it gave. With a key they come in its order: after the values
// that follow @p1 if after is set, and up to those that follow these if upto is.
func selectRows(t *table, list []string, after, upto bool) string {
	var b strings.Builder
	b.WriteString("SELECT TOP (@p1) ")
	if t.key.ties {
		b.WriteString("WITH TIES ")
	}
	b.WriteString(strings.Join(list, ", "))
	b.WriteString(" FROM " + t.quoted())
	if len(t.key.columns) > 0 {
		// Without the hint the server may find it cheaper to sort the table,
		// once for each batch.
		b.WriteString(" WITH (INDEX(" + quote(t.key.index) + "))")
	}
	n, conditions := 2, []string(nil)
	if t.only != "" {
		conditions = append(conditions, "("+t.only+")")
	}
	if after {
		conditions = append(conditions, beyond(t.key.columns, ">", n))
		n += len(t.key.columns)
	}
	if upto {
		conditions = append(conditions, beyond(t.key.columns, "<=", n))
	}
	if len(conditions) > 0 {
		b.WriteString(" WHERE " + strings.Join(conditions, " AND "))
	}
	for i, c := range t.key.columns {
		if i == 0 {
			b.WriteString(" ORDER BY ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(quote(c.name))
	}
	b.WriteString(" OPTION (MAXDOP 1); SELECT ROWCOUNT_BIG()")
	return b.String()
}

// grantSelect is what an administrator runs so that a user may read a table.
func grantSelect(schema, name string) string {
	return "GRANT SELECT ON OBJECT::" + quote(schema) + "." + quote(name) + " TO [archivolt_reader]"
}
