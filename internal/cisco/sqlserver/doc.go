// Package sqlserver reads the Message Archiver's tables from a live Microsoft
// SQL Server (or Azure SQL). It never writes: every statement that it sends is
// in statements.go, and none of them changes anything but the session's own
// settings.
//
// # What reading does to the archiver
//
// The archiver must be able to insert at any time: when its queue is full it
// drops messages, or holds up their delivery. So the session asks for read-only
// intent (an availability group may then send it to a secondary), waits at most
// LockTimeout for a lock, is the first to be ended in a deadlock
// (DEADLOCK_PRIORITY LOW), and never runs on several processors (MAXDOP 1).
//
// How the rows are read depends on what the database allows; Describe says
// which way was taken.
//
//   - Snapshot: the database has ALLOW_SNAPSHOT_ISOLATION on. One SNAPSHOT
//     transaction, from the first reading to Close, sees the table as it was at
//     its beginning. It takes no lock on rows or pages; a running statement
//     holds Sch-S on the table, for which nothing but a change of the table's
//     definition waits. The price is in tempdb, where the server keeps what
//     others change or delete until the transaction ends. Both readings agree.
//   - Batches: there is an index to walk along. Statements of at most
//     maxBatchRows rows under READ COMMITTED, each read to its end before its
//     rows are used, outside of any transaction. A batch holds IS on the table,
//     IS on a page and S on the row that it is at. Rows with nvarchar(max)
//     columns keep their S until the statement ends, because the server hands
//     such values on by reference. An S on a row lets inserts pass, and
//     maxBatchRows stays below the 5000 locks at which the server would trade
//     them for one on the table. So nothing is held for longer than a batch
//     takes over the network, well below a second.
//   - One statement: there is neither. A single SELECT under READ COMMITTED,
//     whose rows are taken from the network at once as far as memory allows. Under
//     READ_COMMITTED_SNAPSHOT it locks nothing, and in a read-only database
//     nobody minds. Otherwise the S locks of rows with nvarchar(max) columns
//     last until the end of the statement, and the server may trade them for
//     an S on the whole table, which holds up the archiver's inserts until
//     then. Open refuses that, and says what mends it, unless AllowLocks is set.
//
// An index can be walked along if it has no filter and its key columns are
// integers, datetime, smalldatetime or datetime2 and never NULL, for those come
// back exactly, and if it is unique, or begins with a date. In the second case a
// batch goes on until the date changes (TOP WITH TIES). A batch lies in memory
// until its rows are given on. Under SNAPSHOT only a clustered index is used,
// where it costs nothing; others would make the server jump about in the table
// without need.
//
// Why no other isolation: NOLOCK (READ UNCOMMITTED) reads rows twice or not at
// all when pages move, and rows that are taken back afterwards, which an
// archive must not show. REPEATABLE READ and SERIALIZABLE keep every lock until
// the transaction ends, and the latter locks out inserts by design.
//
// # Two readings
//
// Without SNAPSHOT rows may come and go between two readings. The first complete
// reading sets how far later ones go: to its last key, or to its number of
// rows. It also leaves a sum over every thousand rows; a later reading whose
// rows are others, or come in another order, ends with an error instead of
// giving rows under wrong numbers. The server promises no order to a single
// SELECT without an index, so that error is possible there even in a table at
// rest, if other programs read it at the same time.
//
// The end of the table is believed only together with the server's own count of the
// rows that it sent (ROWCOUNT_BIG).
//
// No test has run against a real SQL Server; see docs/sqlserver.md.
package sqlserver
