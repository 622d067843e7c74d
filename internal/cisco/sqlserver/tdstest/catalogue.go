package tdstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// fixed are the statements that are known by their whole text.
var fixed = map[string]func(c *client, args []any, r *reply) error{
	"SET LOCK_TIMEOUT 5000; SET DEADLOCK_PRIORITY LOW; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " +
		"SET TEXTSIZE 2147483647; SET IMPLICIT_TRANSACTIONS OFF; SET XACT_ABORT OFF": func(*client, []any, *reply) error { return nil },
	"SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION": beginTransaction,
	"ROLLBACK TRANSACTION": endTransaction,
	"SELECT CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')), d.name, CONVERT(int, d.snapshot_isolation_state), " +
		"CONVERT(int, d.is_read_committed_snapshot_on), CONVERT(int, d.is_read_only) FROM sys.databases AS d WHERE d.database_id = DB_ID()": databases,
	"SELECT s.name, o.name, CONVERT(bigint, o.object_id) FROM sys.objects AS o " +
		"INNER JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE o.type IN ('U', 'V')": objects,
	"SELECT c.name, TYPE_NAME(c.system_type_id), CONVERT(int, c.max_length), CONVERT(int, c.scale), CONVERT(int, c.is_nullable) " +
		"FROM sys.columns AS c WHERE c.object_id = @p1 ORDER BY c.column_id": columns,
	"SELECT CONVERT(int, i.index_id), CONVERT(int, i.is_unique), c.name, CONVERT(int, ic.is_descending_key), i.name FROM sys.tables AS t " +
		"INNER JOIN sys.indexes AS i ON i.object_id = t.object_id " +
		"INNER JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0 " +
		"INNER JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id " +
		"WHERE t.object_id = @p1 AND i.type IN (1, 2) AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND i.has_filter = 0 " +
		"ORDER BY i.index_id, ic.key_ordinal": indexes,
	"SELECT CONVERT(bigint, SUM(p.used_page_count)) * 8192 FROM sys.dm_db_partition_stats AS p " +
		"WHERE p.object_id = @p1 AND p.index_id IN (0, 1)": size,
}

var (
	sysname = columnType{name: "nvarchar", size: 128}
	integer = columnType{name: "int"}
	long    = columnType{name: "bigint"}
)

// beginTransaction gives the client a copy of the tables, which is what a
// snapshot comes to.
func beginTransaction(c *client, _ []any, _ *reply) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if !c.server.behaviour.Snapshot {
		return refuse(3952, "Snapshot isolation transaction failed accessing database because snapshot isolation is not allowed in this database.")
	}
	data, err := c.server.db.Serialize("main")
	if err != nil {
		return err
	}
	if c.db, err = sqlite.OpenConn(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate); err != nil {
		return err
	}
	if err := c.db.Deserialize("main", data); err != nil {
		return err
	}
	c.snapshot = 0x1122334455667788
	c.envChange(8, binary.LittleEndian.AppendUint64([]byte{8}, c.snapshot), []byte{0})
	return nil
}

func endTransaction(c *client, _ []any, _ *reply) error {
	if c.snapshot == 0 {
		return refuse(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	}
	c.envChange(10, []byte{0}, binary.LittleEndian.AppendUint64([]byte{8}, c.snapshot))
	c.snapshot = 0
	err := c.db.Close()
	c.db = c.server.db
	return err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func databases(c *client, _ []any, r *reply) error {
	c.server.mu.Lock()
	b := c.server.behaviour
	c.server.mu.Unlock()
	err := r.begin(sysname, sysname, integer, integer, integer)
	err = errors.Join(err, r.row(Version, Database, flag(b.Snapshot), flag(b.Versioned), flag(b.ReadOnly)))
	r.finish(true)
	return err
}

// query gives each row of a query of SQLite's.
func (c *client) query(text string, fn func(stmt *sqlite.Stmt) error, args ...any) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return sqlitex.Execute(c.db, text, &sqlitex.ExecOptions{Args: args, ResultFunc: fn})
}

func objects(c *client, _ []any, r *reply) error {
	if err := r.begin(sysname, sysname, long); err != nil {
		return err
	}
	err := c.query("SELECT name, rowid FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'", func(stmt *sqlite.Stmt) error {
		return r.row("dbo", stmt.ColumnText(0), stmt.ColumnInt64(1))
	})
	r.finish(true)
	return err
}

func (c *client) tableOf(args []any) (name string, err error) {
	err = c.query("SELECT name FROM sqlite_schema WHERE rowid = ?", func(stmt *sqlite.Stmt) error {
		name = stmt.ColumnText(0)
		return nil
	}, args...)
	return name, err
}

// declared is a column as it was declared.
type declared struct {
	name     string
	typ      columnType
	nullable bool
}

var declaration = regexp.MustCompile(`^([a-z0-9_]+)(?:\((-?\d+)\))?$`)

func (c *client) declared(table string) (all []declared, err error) {
	err = c.query("SELECT name, type, [notnull] FROM pragma_table_info(?)", func(stmt *sqlite.Stmt) error {
		m := declaration.FindStringSubmatch(strings.ToLower(stmt.ColumnText(1)))
		if m == nil {
			return fmt.Errorf("column %s is declared as %q", stmt.ColumnText(0), stmt.ColumnText(1))
		}
		n, _ := strconv.Atoi(m[2]) // 0 where there is none
		all = append(all, declared{stmt.ColumnText(0), columnType{name: m[1], size: n, scale: n}, stmt.ColumnInt(2) == 0})
		return nil
	}, table)
	return all, err
}

func columns(c *client, args []any, r *reply) error {
	table, err := c.tableOf(args)
	if err != nil {
		return err
	}
	all, err := c.declared(table)
	if err != nil {
		return err
	}
	if err := r.begin(sysname, sysname, integer, integer, integer); err != nil {
		return err
	}
	for _, d := range all {
		length, scale := int64(d.typ.size), int64(0)
		switch d.typ.name {
		case "nvarchar":
			if length > 0 {
				length *= 2
			}
		case "datetime2":
			length, scale = 8, int64(d.typ.scale)
		}
		if err := r.row(d.name, d.typ.name, length, scale, flag(d.nullable)); err != nil {
			return err
		}
	}
	r.finish(true)
	return nil
}

func indexes(c *client, args []any, r *reply) error {
	table, err := c.tableOf(args)
	if err != nil {
		return err
	}
	if err := r.begin(integer, integer, sysname, integer, sysname); err != nil {
		return err
	}
	// A primary key is clustered unless declared otherwise.
	err = c.query("SELECT iif(i.origin = 'pk', 1, i.seq + 2) AS id, i.[unique], x.name, x.[desc], i.name "+
		"FROM pragma_index_list(?) AS i, pragma_index_xinfo(i.name) AS x WHERE x.[key] = 1 AND i.partial = 0 ORDER BY id, x.seqno",
		func(stmt *sqlite.Stmt) error {
			return r.row(stmt.ColumnInt64(0), stmt.ColumnInt64(1), stmt.ColumnText(2), stmt.ColumnInt64(3), stmt.ColumnText(4))
		}, table)
	r.finish(true)
	return err
}

func size(c *client, args []any, r *reply) error {
	c.server.mu.Lock()
	refused := c.server.behaviour.NoSize
	c.server.mu.Unlock()
	if refused {
		return refuse(262, "VIEW DATABASE STATE permission denied in database 'tcmadb'.")
	}
	table, err := c.tableOf(args)
	if err != nil {
		return err
	}
	if err := r.begin(long); err != nil {
		return err
	}
	// SQLite's pages hold UTF-8; SQL Server's would hold about twice as many.
	err = c.query(`SELECT count(*) FROM "`+table+`"`, func(stmt *sqlite.Stmt) error { return r.row(stmt.ColumnInt64(0) * 8192) })
	r.finish(true)
	return err
}
