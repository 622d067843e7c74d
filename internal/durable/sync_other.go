//go:build !unix

package durable

// syncer does nothing: Windows offers no flush of a directory entry.
func syncer(string) func() error { return func() error { return nil } }
