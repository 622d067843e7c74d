// Package postgres reads table JM of the Message Archiver where it lies, in
// PostgreSQL.
//
// Reading endangers nobody: everything happens in one REPEATABLE READ READ
// ONLY transaction, which sees the archive as it was when it was opened and
// takes no lock but ACCESS SHARE, beside which the archiver writes on. Only
// changes of the table itself (ALTER, DROP, TRUNCATE, VACUUM FULL) wait for it,
// and CREATE INDEX CONCURRENTLY, which waits for every older snapshot.
// While the transaction lasts, VACUUM cannot remove rows that are deleted
// meanwhile.
//
// The table and its columns are found in the catalogue by name. Rows are read
// in the order in which the table stores them and found again by their ctid,
// which is fixed while the transaction lasts.
package postgres
