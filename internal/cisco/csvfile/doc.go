// Package csvfile reads table JM of the Message Archiver from the text files
// that database programs export: CSV of SSMS and psql, psql's text format, and
// the output of sqlcmd. A file is read once, in order, in batches of about
// 256 KiB, whatever its size; a record can be read again by its place.
//
// Columns are found by name, in any order and letter case. Nothing in a cell
// is interpreted, except for what the dialect does to every cell: quotes,
// escapes, padding and NULL. A cell that begins with +, =, - or @ is data.
//
// Which rules hold:
//
//   - A record ends at LF or CR LF. Completely empty lines are no records.
//   - CSV is RFC 4180. SSMS writes cells unquoted unless told otherwise, so a
//     quote has a meaning only at the beginning of a cell, and only if the
//     closing one stands before a separator or a line end: `"Prices" are up`
//     is text with quotes in it.
//   - A quote that is closed nowhere, or not within MaxRecord, costs its line,
//     which becomes a bad row, and not the rest of the file. The same goes for
//     a row with too many or too few fields.
//   - Where no cell at the beginning of the file is certainly quoted, a quote is also taken
//     as unclosed if its cell would go on with a line that is a whole row, with
//     the right number of fields and a date in its place. Where cells are
//     quoted, a message may hold such a line.
//   - An unquoted empty cell and the unquoted word NULL are NULL; a quoted
//     empty cell is empty text and "NULL" is text. SSMS and psql differ here,
//     and a file does not say which of them wrote it. In psql's text format
//     \N alone is NULL.
//   - sqlcmd pads its cells, so blanks at the end of a cell are lost, and
//     those before a length.
package csvfile
