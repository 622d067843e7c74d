package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"archivolt/internal/problem"
	storesqlite "archivolt/internal/store/sqlite"
)

// Kind is whose archive it is.
type Kind int

// The kinds.
const (
	Cisco Kind = iota // of IM and Presence
	Own               // of archivoltd
)

// KindOf finds out whose the archives are that names name, as Open takes them; a
// folder with an archive of ours is ours. What cannot be opened is taken for
// Cisco's: Open says what is wrong with it. Archives of both kinds are a problem.
func KindOf(names []string) (kind Kind, err error) {
	for i, name := range names {
		files, err := filesOf(name)
		if err != nil {
			return Cisco, err
		}
		found := Cisco
		for _, path := range files {
			ours, err := isOwn(path)
			if err != nil {
				return Cisco, err
			}
			if ours {
				found = Own
			}
		}
		if i > 0 && found != kind {
			return Cisco, mixed(names[0], name)
		}
		kind = found
	}
	return kind, nil
}

// filesOf lists the files that a name of Open stands for; of what is no folder,
// the name.
func filesOf(name string) (files []string, err error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return []string{name}, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(name)
	for _, e := range entries {
		if !e.IsDir() && slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) {
			files = append(files, filepath.Join(name, e.Name()))
		}
	}
	return files, err
}

// isOwn tells whether a file is an archive of ours; one that does not exist is
// not.
func isOwn(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false, nil
	}
	return storesqlite.Recognise(path)
}

func kindOf(s stored) Kind {
	if _, ours := s.(*own); ours {
		return Own
	}
	return Cisco
}

func mixed(a, b string) error {
	return problem.New(problem.Usage, b, "this archive and "+a+" are one of archivoltd's and one of Cisco's, which are not read as one", "ask each by itself")
}
