//go:build !linux

package spool

import "os"

// syncData waits for the disk: F_FULLFSYNC on macOS, FlushFileBuffers on
// Windows.
func syncData(f *os.File) error { return f.Sync() }
