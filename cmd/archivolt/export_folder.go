package main

import (
	"errors"
	"io"
	"os"

	"archivolt/internal/durable"
	"archivolt/internal/problem"
	"archivolt/internal/proof"
)

// exportFolder is where the files of an export are made; the manifest learns
// of each when it is closed.
type exportFolder struct {
	dir     *durable.Dir
	builder *proof.Builder
	open    map[*exportFile]bool
	names   []string // of files that are closed
	ends    []func() // of programs that make files
}

// exportFile is one of them.
type exportFile struct {
	*proof.Hasher
	folder *exportFolder
	name   string
	file   *os.File
}

// Create makes a file.
func (f *exportFolder) Create(name string) (io.WriteCloser, error) {
	if !proof.ValidName(name) {
		return nil, problem.Newf(problem.Failed, "", "an export cannot have a file with a name such as %q", name)
	}
	file, err := f.dir.File(name)
	if err != nil {
		return nil, err
	}
	e := &exportFile{Hasher: proof.NewHasher(file), folder: f, name: name, file: file}
	f.open[e] = true
	return e, nil
}

// Close brings the file to the disk and tells the manifest.
func (e *exportFile) Close() error {
	if !e.folder.open[e] {
		return os.ErrClosed
	}
	delete(e.folder.open, e)
	if err := errors.Join(e.file.Sync(), e.file.Close()); err != nil {
		return err
	}
	n, sum := e.Sum()
	e.folder.builder.File(e.name, n, sum)
	e.folder.names = append(e.folder.names, e.name)
	return nil
}

// adopt takes a file that another program made in the folder.
func (f *exportFolder) adopt(name string) error {
	file, err := os.Open(f.dir.Path(name))
	if err != nil {
		return err
	}
	defer file.Close()
	h := proof.NewHasher(io.Discard)
	if _, err := io.Copy(h, file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	n, sum := h.Sum()
	f.builder.File(name, n, sum)
	f.names = append(f.names, name)
	return nil
}

// add writes a file that is no part of the manifest.
func (f *exportFolder) add(name string, content []byte) error {
	file, err := f.dir.File(name)
	if err != nil {
		return err
	}
	return errors.Join(writeAll(file, content), file.Sync(), file.Close())
}

// abort removes what is not finished. After Commit it does nothing.
func (f *exportFolder) abort() {
	for _, end := range f.ends {
		end()
	}
	for e := range f.open {
		_ = e.file.Close() // it is going away
	}
	f.dir.Abort()
}
