package problem

import (
	"errors"
	"io/fs"
	"syscall"
)

// ExitCode is the code with which a program ends after a problem of the class
// (docs/exit-codes.md).
func (c Class) ExitCode() int {
	switch c {
	case Usage:
		return 2
	case Partial:
		return 3
	case NoArchive:
		return 10
	case Passphrase:
		return 11
	case WrongKey:
		return 12
	case Unverified:
		return 13
	case Unavailable:
		return 14
	case Interrupted:
		return 130
	}
	return 1
}

// Of turns any error into a problem: the first in its chain, or what a file
// system's error means to a person.
func Of(err error) *Error {
	var p *Error
	if errors.As(err, &p) {
		return p
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return ofFile(path)
	}
	return New(Failed, "", err.Error(), "")
}

// ofFile says what kept a file from being read or written.
func ofFile(err *fs.PathError) *Error {
	p := New(Failed, err.Path, "", "")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.What, p.Try = "there is no such file or folder", "check the name"
	case errors.Is(err, fs.ErrExist):
		p.What, p.Try = "this already exists and is not overwritten", "choose another name, or move it away first"
	case errors.Is(err, fs.ErrPermission):
		p.What, p.Try = "permission denied", "see who may read and write it"
	case errors.Is(err, syscall.ENOTDIR):
		p.What, p.Try = "this is a file, not a folder", "choose another name"
	case errors.Is(err, syscall.EISDIR):
		p.What, p.Try = "this is a folder, not a file", "name the file in it"
	default:
		p.What = err.Err.Error()
	}
	return p
}
