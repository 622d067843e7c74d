//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"archivolt/internal/problem"
)

// interrupts stop a command cleanly.
var interrupts = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// ignoreBrokenPipes turns the death by SIGPIPE, on a closed standard output or
// error, into an error of the write, so that unfinished files are removed.
func ignoreBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// deleteCommand is the command that deletes a file, as the end of a sentence.
func deleteCommand(path string) string { return ": rm " + problem.Quote(path) }
