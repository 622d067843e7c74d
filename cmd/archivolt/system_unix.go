//go:build unix

package main

import (
	"os"
	"syscall"
)

// interrupts stop a command cleanly.
var interrupts = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// ttyDevice is the terminal of the user, whatever standard input is.
const ttyDevice = "/dev/tty"
