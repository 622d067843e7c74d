package spool

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// disk is a folder of files. A file that was made or removed is so for good
// once sync has returned.
type disk interface {
	list() ([]string, error)
	create(name string) (file, error) // fails with fs.ErrExist
	open(name string, write bool) (file, error)
	remove(name string) error
	sync() error
	close() error
}

// file is a file of a disk. What was written is there for good once Sync has
// returned.
type file interface {
	ReadAt(b []byte, offset int64) (int, error)
	WriteAt(b []byte, offset int64) (int, error)
	Truncate(size int64) error
	Size() (int64, error)
	Sync() error
	Close() error
}

// folder is a real one.
type folder struct {
	dir  string
	lock *os.File
}

const lockName = "lock"

func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := exclusive(lock); err != nil {
		lock.Close()
		return nil, err
	}
	return &folder{dir, lock}, nil
}

func (d *folder) list() (names []string, err error) {
	entries, err := os.ReadDir(d.dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d *folder) create(name string) (file, error) {
	f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return realFile{f}, nil
}

func (d *folder) open(name string, write bool) (file, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(filepath.Join(d.dir, name), flag, 0)
	if err != nil {
		return nil, err
	}
	return realFile{f}, nil
}

func (d *folder) remove(name string) error { return os.Remove(filepath.Join(d.dir, name)) }

func (d *folder) sync() error { return syncFolder(d.dir) }

func (d *folder) close() error { return d.lock.Close() }

// realFile is an open file.
type realFile struct{ *os.File }

// Size returns the size in bytes.
func (f realFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync waits for the disk.
func (f realFile) Sync() error { return syncData(f.File) }

// outOfSpace tells whether a disk is full, or the quota used up.
func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, errQuota)
}
