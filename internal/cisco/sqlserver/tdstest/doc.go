// Package tdstest is a stand-in for SQL Server, because none is available to
// the tests. It proves the wire (TDS 7.4 as go-mssqldb speaks it, [MS-TDS]) and the
// shape of our statements. It proves nothing about SQL Server's behaviour:
// locks, isolation, permissions, collations and query plans are not played, or
// only as far as a test says what shall happen.
//
// A test of another package fills a table and opens it:
//
//	s := tdstest.Start(t, func(db *sqlite.Conn) {
//		sqlitex.ExecuteScript(db, tdstest.JM, nil)
//		tdstest.Insert(t, db, "JM", "to@x", "from@x", "2024-01-02 03:04:05.003", nil, nil, "c", "I", int64(1), int64(9), "...", nil, nil, nil, "N")
//	})
//	sqlserver.Open(ctx, s.URL(), sqlserver.Options{Password: tdstest.Password})
//
// A server keeps its tables in an in-memory SQLite database that the test
// fills. It knows exactly the statements of package sqlserver, by their text
// or by a narrow pattern; any other is answered with error 102, so that a
// changed statement fails a test instead of being guessed at.
//
// Column types are those that a table is declared with in SQLite: nvarchar(n),
// nvarchar(-1) for nvarchar(max), ntext, varchar(n), int, bigint, datetime,
// datetime2(n), and so on. A BLOB in a text column is sent as it is, as UTF-16LE,
// so that a test can store unpaired surrogates. Indexes are SQLite's, and that
// of a primary key counts as the clustered one.
package tdstest
