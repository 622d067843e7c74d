//go:build unix

package durable

import "os"

// syncDir makes a rename in dir survive a power cut (fsync(2): the entry in
// the directory needs a flush of its own).
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
