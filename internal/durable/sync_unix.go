//go:build unix

package durable

import "os"

// syncer returns what makes a rename in dir survive a power cut (fsync(2): the
// entry in the directory needs a flush of its own). A directory that may be
// written to but not read cannot be flushed; the file is complete all the same.
func syncer(dir string) func() error {
	d, err := os.Open(dir)
	if err != nil {
		return func() error { return nil }
	}
	return func() error {
		defer d.Close()
		return d.Sync()
	}
}
