// Package export writes messages as others read them: one file for each
// format. JSONL and CSV take records one by one and need no more memory than
// one record. RSMF, EML and DAT take slices, a day of one conversation, and
// need no more memory than one slice; what these three share is in cast.go
// (who takes part), talk.go (the transcript), mail.go (headers) and visible.go.
package export
