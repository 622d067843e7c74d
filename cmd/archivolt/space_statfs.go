//go:build linux || darwin

package main

import "syscall"

// freeSpace returns how many bytes the user may still write to the disk that
// an existing folder lies on.
func freeSpace(path string) (bytes int64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
