// Package export writes messages as others read them: one file for each
// format. A writer takes records one by one and needs no more memory than one
// record.
package export
