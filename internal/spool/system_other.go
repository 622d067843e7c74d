//go:build !unix

package spool

import (
	"errors"
	"os"
)

var errQuota = errors.New("no such error on this system")

// exclusive does nothing: the capture daemon is for Unix. Two processes on one
// spool are then found by their entries' numbers only.
func exclusive(*os.File) error { return nil }

// syncFolder does nothing: NTFS writes names through its journal.
func syncFolder(string) error { return nil }
