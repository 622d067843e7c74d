// Package oracle reads table JM of the Message Archiver where it lies, in an
// Oracle database (19c to 23ai). It has never met a real Oracle server: none
// can be had for its tests. They hold its statements against the text that
// they should have, run them on a stand-in, and try errors and connections
// that fail. docs/oracle.md says how somebody who has a server can check the
// rest in five minutes.
//
// Reading endangers nobody: nothing is written, nothing is locked, and
// everything happens in one READ ONLY transaction, which sees the archive as
// it was at its beginning. For this the server needs the undo records of what
// changes meanwhile; when it has thrown them away, the reading ends as
// incomplete (ORA-01555). User SYS is refused, since Oracle gives it no such
// view (SQL Language Reference, SET TRANSACTION).
//
// Oracle takes an empty text for NULL. So a cell is never empty here, it is
// NULL, and an empty CLOB is read as NULL too.
//
// Rows come in the order of a full scan of the table, on one process. They are
// not found again by their place: a ROWID holds more than a cisco.Place in
// partitioned tables, and nothing here could prove it right.
package oracle
