// Package bacpac reads table JM of the Message Archiver, and any other table,
// out of a .bacpac file as SqlPackage and SSMS export it ("Export Data-tier
// Application"), without a server.
//
// A bacpac is a zip archive: model.xml holds the definitions of the tables,
// and Data/<schema>.<table>/TableData-NNN-NNNNN.BCP the rows of one table in
// bcp's native format. The parts are inflated while they are read; a value may
// take up to MaxValue, everything else little memory whatever the file's size.
//
// docs/format/bacpac.md says how values lie, and which of it is documented by
// Microsoft and which was found by others in files.
package bacpac
