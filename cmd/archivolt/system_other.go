//go:build !unix

package main

import "os"

// interrupts stop a command cleanly.
var interrupts = []os.Signal{os.Interrupt}

// ttyDevice is the terminal of the user, whatever standard input is.
const ttyDevice = "CONIN$"
