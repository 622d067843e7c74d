package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// dirPerm lets only the owner look into a folder.
const dirPerm = 0o700

// aside is added to the name of a folder while another takes its place.
const aside = ".replaced"

// Dir is a folder under construction: it is filled as NAME.partial and gets
// its name on Commit. It is not safe for concurrent use.
type Dir struct {
	path string
	done bool
}

// NotEmptyError says that a folder holds what may not be deleted.
type NotEmptyError struct {
	Path string
	Name string // of the first such file
}

func (e *NotEmptyError) Error() string { return e.Path + ": the folder is not empty" }

var errFromWithin = errors.New("the folder one is in cannot be replaced; choose a folder in it")

// CreateDir starts the folder path. An existing one must be empty, or hold
// nothing but files that replaceable allows to be deleted on Commit.
func CreateDir(path string, replaceable func(name string) bool) (*Dir, error) {
	path = filepath.Clean(path)
	if err := checkDir(path, replaceable); err != nil {
		return nil, err
	}
	if base := filepath.Base(path); base == "." || base == ".." { // nothing can be renamed to such a name
		return nil, &fs.PathError{Op: "create", Path: path, Err: errFromWithin}
	}
	if err := os.MkdirAll(filepath.Dir(path), dirPerm); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path + aside); err == nil { // killed between the two renames of Commit, or after them
		return nil, &RemnantError{Path: path + aside, Replaced: true}
	}
	err := os.Mkdir(path+Suffix, dirPerm)
	if errors.Is(err, fs.ErrExist) {
		return nil, &RemnantError{Path: path + Suffix}
	}
	if err != nil {
		return nil, err
	}
	return &Dir{path: path}, nil
}

func checkDir(path string, replaceable func(string) bool) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !replaceable(e.Name()) {
			return &NotEmptyError{Path: path, Name: e.Name()}
		}
	}
	return nil
}

// File makes a new file in the folder, for its owner alone.
func (d *Dir) File(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(d.path+Suffix, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
}

// Path is where a file of the folder lies until Commit.
func (d *Dir) Path(name string) string { return filepath.Join(d.path+Suffix, name) }

// Commit gives the folder its name. The files in it must have been synced and
// closed. After an error the unfinished folder is gone. After Commit or Abort it
// fails and does nothing.
func (d *Dir) Commit(replaceable func(name string) bool) error {
	if d.done {
		return &fs.PathError{Op: "commit", Path: d.path, Err: fs.ErrClosed}
	}
	defer d.Abort()
	sync := syncer(d.path + Suffix)
	if err := sync(); err != nil {
		return err
	}
	if err := checkDir(d.path, replaceable); err != nil {
		return err
	}
	// What is replaced is moved aside first: if the new folder cannot take its
	// place, it comes back.
	old := d.path + aside
	replaced := false
	switch err := os.Rename(d.path, old); {
	case err == nil:
		replaced = true
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := syncer(filepath.Dir(d.path))
	if err := os.Rename(d.path+Suffix, d.path); err != nil {
		if replaced {
			_ = os.Rename(old, d.path) // the error that matters is the first
		}
		return err
	}
	d.done = true
	if replaced {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	return parent()
}

// Abort removes the unfinished folder. After Commit it does nothing.
func (d *Dir) Abort() {
	if !d.done {
		d.done = true
		_ = os.RemoveAll(d.path + Suffix)
	}
}
