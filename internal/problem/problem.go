// Package problem is the one way in which Archivolt's packages say what went
// wrong: what is the matter, with which file or value, and what mends it.
// Only cmd/archivolt/ui.go turns a problem into text and an exit code.
//
// A problem never holds a key, a passphrase or the text of a message.
package problem

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// Class is the kind of outcome a problem stands for. Each class has one exit
// code, listed in docs/exit-codes.md.
type Class int

const (
	Failed      Class = iota // the work could not be done
	Usage                    // the command was called wrongly
	Partial                  // done, except for the rows that were named
	Passphrase               // a passphrase is missing or wrong
	WrongKey                 // a private key does not open a wrapped key, or no key opens a value
	Interrupted              // the user stopped the command
	NoArchive                // there is no such archive
	Unavailable              // a database cannot be reached, or was lost while it was read
	Unverified               // an export is not what its manifest or its signer says
)

// Error is a problem as a person should read it.
type Error struct {
	Class  Class
	Object string // the file, row or flag it is about; may be empty
	What   string // what is wrong: lower case, no full stop
	Try    string // the command or act that mends it; may be empty
	Err    error  // the cause, for errors.Is; not shown
}

// Error gives the object and what is wrong with it, without the remedy.
func (e *Error) Error() string {
	if e.Object == "" {
		return e.What
	}
	return e.Object + ": " + e.What
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes a problem of class c. The remedy is a sentence or a command that
// can be pasted into a shell.
func New(c Class, object, what, try string) *Error {
	return &Error{Class: c, Object: object, What: what, Try: try}
}

// Newf is New with a formatted description and no remedy.
func Newf(c Class, object, format string, args ...any) *Error {
	return &Error{Class: c, Object: object, What: fmt.Sprintf(format, args...)}
}

// ClassOf returns the class of the first problem in err's chain, and Failed
// for an error that is none.
func ClassOf(err error) Class {
	var p *Error
	if errors.As(err, &p) {
		return p.Class
	}
	return Failed
}

// NewName returns a name, quoted for a shell, for a file that a remedy makes
// from the file source. Programs empty their output before they read their
// input, and people keep their only key under the usual name: so it is never
// the source's name nor the plain usual one.
func NewName(source, usual string) string {
	name := "converted_" + usual
	for filepath.Base(source) == name {
		name = "again_" + name
	}
	return Quote(name)
}

// Quote makes a file name safe to paste into a POSIX shell, on Windows into its
// shells, for remedies that are commands.
func Quote(name string) string {
	plain := name != "" && name[0] != '-'
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+:@,%"+string(filepath.Separator), r) {
			plain = false
		}
	}
	if plain {
		return name
	}
	if strings.HasPrefix(name, "-") {
		name = "./" + name
	}
	if runtime.GOOS == "windows" {
		return `"` + name + `"` // a name on Windows holds no quotes
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
