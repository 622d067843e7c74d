//go:build !unix

package durable

// syncDir does nothing: Windows offers no flush of a directory entry.
func syncDir(string) error { return nil }
