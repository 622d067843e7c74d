// Package config reads the two configurations: archivolt.yaml, profiles each
// with an archive and the keys that open it, so that an officer need not type
// them; and archivoltd.yaml, of the daemon.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"archivolt/internal/problem"
)

// FileName is what the configuration is called, in the current folder or in
// the folder archivolt of the user's configuration.
const FileName = "archivolt.yaml"

// File is the whole configuration.
type File struct {
	Profiles map[string]Profile `yaml:"profiles"`
}

// Profile is what a name stands for. File names are taken from the folder of
// the configuration.
type Profile struct {
	Archive    string   `yaml:"archive"`     // as on the command line
	Also       []string `yaml:"also"`        // further archives
	PrivateKey []string `yaml:"private-key"` // as --private-key
	Key        []string `yaml:"key"`         // as --key
	People     string   `yaml:"people"`      // as --people
	Timezone   string   `yaml:"timezone"`    // as --timezone
}

// Find returns the profile name of the configuration at path; with an empty
// path it is looked for where FileName says.
func Find(path, name string) (*Profile, error) {
	places := []string{path}
	if path == "" {
		places = []string{FileName}
		if dir, err := os.UserConfigDir(); err == nil {
			places = append(places, filepath.Join(dir, "archivolt", FileName))
		}
	}
	for _, place := range places {
		data, err := os.ReadFile(place)
		if errors.Is(err, fs.ErrNotExist) && path == "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		file, err := Parse(place, data)
		if err != nil {
			return nil, err
		}
		p, ok := file.Profiles[name]
		if !ok {
			return nil, problem.New(problem.Usage, place, "it has no profile "+name, "see the names under profiles: in it")
		}
		return &p, nil
	}
	return nil, problem.New(problem.Usage, "--profile", "there is no "+FileName, "name it with --config FILE, or make one (docs/config.md)")
}

// What the YAML library says of a name and of a value that do not belong where
// they stand.
var (
	unknownName = regexp.MustCompile(` not found in type config\.\w+`)
	wrongKind   = regexp.MustCompile("(?s)cannot unmarshal !!(\\w+)(?: `.*?`)? into (\\S+)")
)

// inWords takes the library's manner of speaking out of an error.
func inWords(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.ReplaceAll(strings.TrimPrefix(text, "unmarshal errors:"), "\n", "")
	text = unknownName.ReplaceAllString(text, " is unknown")
	text = wrongKind.ReplaceAllStringFunc(text, func(found string) string {
		m := wrongKind.FindStringSubmatch(found)
		stands, belongs := map[string]string{"seq": "a list", "map": "a group of names"}[m[1]], "one value"
		switch {
		case strings.HasPrefix(m[2], "[]"):
			belongs = "a list"
		case strings.HasPrefix(m[2], "config.") || strings.HasPrefix(m[2], "map["):
			belongs = "a group of names with values"
		case m[2] == "bool":
			belongs = "true or false"
		}
		return cmp.Or(stands, "one value") + " stands where " + belongs + " belongs"
	})
	return strings.TrimSpace(text)
}

// Parse reads a configuration; name is its file, whose folder relative names
// in it are taken from.
func Parse(name string, data []byte) (*File, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var f File
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, problem.New(problem.Usage, name, inWords(err), "compare it with docs/config.md")
	}
	dir := filepath.Dir(name)
	for key, p := range f.Profiles {
		local := func(file string) string {
			if file == "" || filepath.IsAbs(file) || strings.Contains(file, "://") { // a URL is no file
				return file
			}
			return filepath.Join(dir, file)
		}
		p.Archive, p.People = local(p.Archive), local(p.People)
		for _, list := range [][]string{p.Also, p.Key, p.PrivateKey} {
			for i := range list {
				list[i] = local(list[i])
			}
		}
		f.Profiles[key] = p
	}
	return &f, nil
}
