package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"archivolt/internal/message"
	"archivolt/internal/problem"
)

// checkSpace sees, before hours of work, that the disk has room for the
// result. How large that will be nobody knows: a whole archive comes out at
// about its own size, so less room than this is refused; where a filter
// chooses, it is said and no more.
func (c *exportCmd) checkSpace(a *app, size int64, f *message.Filter) error {
	if a.free == nil || size <= 0 {
		return nil
	}
	dir, err := existing(c.Out)
	if err != nil {
		return nil // what is wrong with it shows when it is made
	}
	free, known := a.free(dir)
	if !known || free >= size {
		return nil
	}
	what := "this disk has room for " + megabytes(free) + ", and the archive has " + megabytes(size)
	try := "choose a folder on another disk, or fewer messages with --since and --until"
	if len(f.Users)+len(f.With)+len(f.Rooms)+len(f.Words) == 0 && f.Since.IsZero() && f.Until.IsZero() {
		return problem.New(problem.Failed, c.Out, what, try)
	}
	a.warn(c.Out+": "+what+"; what you have chosen of it may still fit", try)
	return nil
}

// existing is the folder itself or the nearest one above it that is there.
func existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	for err == nil {
		if _, err = os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if up := filepath.Dir(path); up != path {
			path, err = up, nil
		}
	}
	return path, err
}

func megabytes(n int64) string { return thousands((n+1<<20-1)>>20) + " MiB" }
