// Package write turns copies of messages into rows of table JM, as IM&P's
// Message Archiver stores them with encryption enabled, and puts them into a
// database: the counterpart of the readers beside it.
//
//	copies → Encoder.Rows → Batch → Postgres.Append or SQLite.Append
//
// The columns are the documented ones (Cisco database setup guide, "External
// database tables"); what the guide does not say is decided here, and listed in
// docs/format/cisco.md under "What archivoltd writes".
//
// The cipher is put together from the standard library and shares no code with
// the reader: a mistake of the one cannot hide behind the same mistake of the
// other. The tests check it against openssl.
//
// Beside JM two tables of ours keep what makes a batch count once: where the
// queue in front of the archive stands, which writer may write, and the highest
// delivery number of each source. A third one holds the events of the archive's
// life, from which follows when nothing was captured.
package write
