//go:build !unix

package main

import (
	"os"
	"syscall"

	"archivolt/internal/problem"
)

// interrupts stop a command cleanly. Closing the console and logging off come
// as SIGTERM.
var interrupts = []os.Signal{os.Interrupt, syscall.SIGTERM}

// ignoreBrokenPipes has nothing to do: Windows sends no such signal.
func ignoreBrokenPipes() {}

// deleteCommand is the command that deletes a file, as the end of a sentence.
func deleteCommand(path string) string { return ": del " + problem.Quote(path) }
