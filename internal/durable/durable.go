// Package durable writes files that appear under their name whole or not at
// all, and that only their owner may read (mode 0600).
//
// The text is written to NAME.partial beside the file, flushed to the disk and
// then moved to its name. A run that was killed leaves NAME.partial behind and
// never a file that looks complete; the next run names the remnant and stops.
// Windows has no mode bits: there the folder's access list decides who reads.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Suffix ends the name of a file that is still being written.
const Suffix = ".partial"

// filePerm lets only the owner read and write.
const filePerm = 0o600

// RemnantError says that an unfinished file is in the way: an earlier run was
// killed, or another one is writing this moment.
type RemnantError struct {
	Path     string
	Replaced bool // it is a whole folder that was about to be replaced
}

func (e *RemnantError) Error() string {
	if e.Replaced {
		return e.Path + ": an earlier folder, left by a run that replaced it, is in the way"
	}
	return e.Path + ": an unfinished file of an earlier run is in the way"
}

// File is a file under construction. It is not safe for concurrent use.
type File struct {
	*os.File
	path      string
	exclusive bool
	done      bool
}

// Create starts the file path, which replaces an existing one on Commit.
func Create(path string) (*File, error) { return create(path, false) }

// CreateNew starts the file path and fails with fs.ErrExist where it exists
// already, at once or on Commit.
func CreateNew(path string) (*File, error) { return create(path, true) }

func create(path string, exclusive bool) (*File, error) {
	if info, err := os.Lstat(path); err == nil {
		if exclusive {
			return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o200 == 0 {
			return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrPermission} // read-only on purpose
		}
		// A link is followed, so that it goes on pointing at the result.
		if info.Mode()&fs.ModeSymlink != 0 {
			if path, err = filepath.EvalSymlinks(path); err != nil {
				return nil, err
			}
		}
	}
	f, err := os.OpenFile(path+Suffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if errors.Is(err, fs.ErrExist) {
		return nil, &RemnantError{Path: path + Suffix}
	}
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return nil, &fs.PathError{Op: failed.Op, Path: path, Err: failed.Err} // named as the user did
	} else if err != nil {
		return nil, err
	}
	return &File{File: f, path: path, exclusive: exclusive}, nil
}

// Commit flushes the file to the disk and gives it its name. After an error
// the unfinished file is gone.
func (f *File) Commit() (err error) {
	defer f.Abort()
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if f.exclusive {
		// Not atomic with the rename, but two runs cannot both hold the
		// partial file, so only a stranger's file could still be hit.
		if _, err := os.Lstat(f.path); err == nil {
			return &fs.PathError{Op: "create", Path: f.path, Err: fs.ErrExist}
		}
	}
	sync := syncer(filepath.Dir(f.path))
	if err := os.Rename(f.path+Suffix, f.path); err != nil {
		return err
	}
	f.done = true
	return sync()
}

// Abort removes the unfinished file. After Commit it does nothing, so that it
// can be deferred.
func (f *File) Abort() {
	if f.done {
		return
	}
	f.done = true
	_ = f.Close() // may be closed already; the file is going away
	_ = os.Remove(f.path + Suffix)
}

// WriteNew makes the file path with the given content and fails with
// fs.ErrExist where it exists already.
func WriteNew(path string, content []byte) error {
	f, err := CreateNew(path)
	if err != nil {
		return err
	}
	return f.finish(content)
}

// Write makes the file path with the given content, replacing an older one.
func Write(path string, content []byte) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	return f.finish(content)
}

func (f *File) finish(content []byte) error {
	defer f.Abort()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Commit()
}
