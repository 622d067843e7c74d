package spool

import (
	"os"
	"syscall"
)

// syncData waits for the disk. fdatasync(2) writes the file's new size too,
// and spares the times that nobody reads.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return err
		}
	}
}
