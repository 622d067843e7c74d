package write

import (
	"fmt"
	"strings"
)

// The statements by which a SQL Server database holds an archive, in T-SQL.
//
// Unverified: no SQL Server was available. A test has them parsed, and nothing
// has ever run them; archivoltd does not send them. They are for who wants to
// try, in the order Head, TakeOver, and for each batch SQLServerAdvance,
// SQLServerMark for each source, SQLServerInsert for each row and
// SQLServerEvent for each event, in one transaction with XACT_ABORT on.

// SQLServerSchema makes the tables, with the types that Cisco's guide has for
// SQL Server. Unverified.
func SQLServerSchema() []string {
	columns := make([]string, len(Columns))
	for i, name := range Columns {
		t := notNull.Replace(types[i])
		t = strings.NewReplacer("varchar(", "nvarchar(", "timestamp", "datetime", "text", "nvarchar(MAX)").Replace(t)
		columns[i] = "[" + strings.ToUpper(name) + "] " + t
	}
	return []string{
		"IF OBJECT_ID(N'[dbo].[JM]', N'U') IS NULL CREATE TABLE [dbo].[JM] (" + strings.Join(columns, ", ") + ")",
		"IF OBJECT_ID(N'[dbo].[archivolt_head]', N'U') IS NULL CREATE TABLE [dbo].[archivolt_head] ([one] bit NOT NULL PRIMARY KEY CHECK ([one] = 1), " +
			"[version] int NOT NULL, [id] nvarchar(32) NOT NULL, [spool] bigint NOT NULL, [generation] bigint NOT NULL, [key] nvarchar(16) NOT NULL)",
		// In binary order: names of sources that differ in case are two sources.
		fmt.Sprintf("IF OBJECT_ID(N'[dbo].[archivolt_marks]', N'U') IS NULL CREATE TABLE [dbo].[archivolt_marks] ("+
			"[source] nvarchar(%d) COLLATE Latin1_General_BIN2 NOT NULL, [mark] decimal(20, 0) NOT NULL)", MaxSource),
		fmt.Sprintf("IF OBJECT_ID(N'[dbo].[archivolt_events]', N'U') IS NULL CREATE TABLE [dbo].[archivolt_events] ([entry] bigint NOT NULL, [time] datetime NOT NULL, "+
			"[name] nvarchar(%d) NOT NULL, [source] nvarchar(%d), [detail] nvarchar(MAX) NOT NULL)", maxName, MaxSource),
		fmt.Sprintf("IF NOT EXISTS (SELECT 1 FROM [dbo].[archivolt_head]) INSERT INTO [dbo].[archivolt_head] ([one], [version], [id], [spool], [generation], [key]) "+
			"VALUES (1, %d, LOWER(REPLACE(CONVERT(nvarchar(36), NEWID()), N'-', N'')), 0, 0, N'')", schemaVersion),
	}
}

// Statements with the parameters @p1 and on. All are unverified.
const (
	// SQLServerSession is sent first on each connection.
	SQLServerSession = "SET XACT_ABORT ON; SET LOCK_TIMEOUT 30000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
	// SQLServerDurability gives 0 where a commit is on the disk when it returns:
	// anything else is refused, as fsync=off is of PostgreSQL.
	SQLServerDurability = "SELECT CONVERT(int, [delayed_durability]) FROM sys.databases WHERE [database_id] = DB_ID()"
	// SQLServerHead gives the head.
	SQLServerHead = "SELECT [id], [spool], [generation], [key] FROM [dbo].[archivolt_head]"
	// SQLServerTakeOver gives the head with this writer's generation.
	SQLServerTakeOver = "UPDATE [dbo].[archivolt_head] SET [generation] = [generation] + 1 OUTPUT INSERTED.[id], INSERTED.[spool], INSERTED.[generation], INSERTED.[key]"
	// SQLServerMarks gives the highest number of each source.
	SQLServerMarks = "SELECT [source], CONVERT(nvarchar(20), [mark]) FROM [dbo].[archivolt_marks]"
	// SQLServerAdvance takes Spool, Key, Generation and After of a batch. It
	// changes one row, or the batch is not for this head.
	SQLServerAdvance = "UPDATE [dbo].[archivolt_head] SET [spool] = CONVERT(bigint, @p1), [key] = @p2 WHERE [generation] = CONVERT(bigint, @p3) AND [spool] = CONVERT(bigint, @p4)"
	// SQLServerMark takes a source and its number. The head's lock lets one writer
	// do this at a time.
	SQLServerMark = "UPDATE [dbo].[archivolt_marks] SET [mark] = CASE WHEN [mark] < CONVERT(decimal(20, 0), @p2) THEN CONVERT(decimal(20, 0), @p2) ELSE [mark] END WHERE [source] = @p1; " +
		"IF @@ROWCOUNT = 0 INSERT INTO [dbo].[archivolt_marks] ([source], [mark]) VALUES (@p1, CONVERT(decimal(20, 0), @p2))"
	// SQLServerEvent takes the cells of one event.
	SQLServerEvent = "INSERT INTO [dbo].[archivolt_events] ([entry], [time], [name], [source], [detail]) VALUES (CONVERT(bigint, @p1), CONVERT(datetime, @p2, 121), @p3, @p4, @p5)"
)

// SQLServerInsert takes the cells of one row. The date goes in style 121, which
// the session's language does not change; datetime rounds it to 1/300 s.
// Unverified.
func SQLServerInsert() string {
	names, values := make([]string, len(Columns)), make([]string, len(Columns))
	for i, name := range Columns {
		names[i], values[i] = "["+strings.ToUpper(name)+"]", fmt.Sprintf("@p%d", i+1)
		switch {
		case strings.HasPrefix(types[i], "timestamp"):
			values[i] = fmt.Sprintf("CONVERT(datetime, @p%d, 121)", i+1)
		case strings.HasPrefix(types[i], "int"):
			values[i] = fmt.Sprintf("CONVERT(int, @p%d)", i+1)
		}
	}
	return "INSERT INTO [dbo].[JM] (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}
