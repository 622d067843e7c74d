package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"archivolt/internal/problem"
)

const legal = `# what the legal department reads
profiles:
  legal:
    archive: tables/jm.csv
    also:
      - tables/jm2.csv
      - /mnt/node3/jm.csv
    private-key: [keys/private_key.pem]
    key: [keys/2023.key, ../2024.key]
    people: staff.csv
    timezone: Europe/Berlin
  empty:
  audit: {archive: "-odd name.csv"}
`

// put writes files and their folders below the current one.
func put(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// at begins an empty folder, and an empty one for the user's configuration,
// whose name it returns.
func at(t *testing.T) (userFolder string) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData"} { // Linux and macOS, Linux, Windows
		t.Setenv(name, filepath.Join(home, "config"))
	}
	t.Chdir(t.TempDir())
	dir, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "archivolt")
}

func TestProfile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: /mnt is not absolute here")
	}
	at(t)
	put(t, map[string]string{"conf/my.yaml": legal})
	for name, want := range map[string]Profile{
		// Relative names are taken from the folder of the configuration.
		"legal": {Archive: "conf/tables/jm.csv", Also: []string{"conf/tables/jm2.csv", "/mnt/node3/jm.csv"}, PrivateKey: []string{"conf/keys/private_key.pem"},
			Key: []string{"conf/keys/2023.key", "2024.key"}, People: "conf/staff.csv", Timezone: "Europe/Berlin"},
		"empty": {},
		"audit": {Archive: "conf/-odd name.csv"},
	} {
		got, err := Find("conf/my.yaml", name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s is %+v, want %+v", name, *got, want)
		}
	}
}

// TestPlaces: the file that was named, or else the one here, or else the
// user's. An archive's name tells which one was read.
func TestPlaces(t *testing.T) {
	profile := func(archive string) string { return "profiles: {p: {archive: " + archive + "}}\n" }
	user := at(t)
	named := func(path string) string {
		t.Helper()
		p, err := Find(path, "p")
		if err != nil {
			t.Fatal(err)
		}
		return p.Archive
	}
	put(t, map[string]string{filepath.Join(user, FileName): profile("users.csv")})
	if got, want := named(""), filepath.Join(user, "users.csv"); got != want {
		t.Errorf("the user's: %s, want %s", got, want)
	}
	put(t, map[string]string{FileName: profile("here.csv"), filepath.Join("x", "other.yaml"): profile("other.csv")})
	if got := named(""); got != "here.csv" {
		t.Errorf("the one here: %s", got)
	}
	if got, want := named(filepath.Join("x", "other.yaml")), filepath.Join("x", "other.csv"); got != want {
		t.Errorf("the one named: %s, want %s", got, want)
	}
}

func TestNotFound(t *testing.T) {
	user := at(t)
	// No configuration at all.
	_, err := Find("", "p")
	var p *problem.Error
	if !errors.As(err, &p) || p.Class != problem.Usage || p.Error() != "--profile: there is no archivolt.yaml" || !strings.Contains(p.Try, "--config") {
		t.Errorf("no file: %v", err)
	}
	// One that was named is not looked for elsewhere.
	put(t, map[string]string{FileName: legal, filepath.Join(user, FileName): legal})
	var path *fs.PathError
	if _, err := Find("other.yaml", "legal"); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) || path.Path != "other.yaml" {
		t.Errorf("a file that was named: %v", err)
	}
	// A folder is no file, and is not passed over.
	if err := os.Remove(FileName); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(FileName, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Find("", "legal"); !errors.As(err, &path) || path.Path != FileName {
		t.Errorf("a folder: %v", err)
	}
}

func TestNoSuchProfile(t *testing.T) {
	user := at(t)
	// The user's own file is not searched where there is one here: two files
	// with one profile each would be a riddle.
	put(t, map[string]string{FileName: legal, filepath.Join(user, FileName): "profiles: {mine: {}}\n"})
	for _, name := range []string{"mine", "Legal", "", "profiles"} {
		_, err := Find("", name)
		var p *problem.Error
		if !errors.As(err, &p) || p.Class != problem.Usage || p.Error() != "archivolt.yaml: it has no profile "+name {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a field that nobody knows", "profiles:\n  legal:\n    archiv: jm.csv\n", "line 3: field archiv is unknown"},
		{"at the top", "profile:\n  legal: {}\n", "line 1: field profile is unknown"},
		{"as on the command line, and not so here", "profiles: {p: {private_key: [a]}}\n", "field private_key is unknown"},
		{"a list for a name", "profiles:\n  p:\n    archive: [a, b]\n", "line 3: a list stands where one value belongs"},
		{"a text for the profiles", "profiles: legal\n", "line 1: one value stands where a group of names with values belongs"},
		{"the same field twice", "profiles:\n  p:\n    archive: a\n    archive: b\n", "line 4: "},
		{"the same profile twice", "profiles:\n  p: {}\n  p: {}\n", "line 3: "},
		{"a tab", "profiles:\n\tp: {}\n", "line 2: "},
		{"no YAML", "profiles: [\n", "line "},
		{"binary", "\x00\x01\x02", "control characters"},
		{"no UTF-8", "profiles: {p: {archive: \xff}}\n", "UTF-8"},
	} {
		f, err := Parse("my.yaml", []byte(c.text))
		var p *problem.Error
		if f != nil || !errors.As(err, &p) || p.Class != problem.Usage || p.Object != "my.yaml" || !strings.Contains(p.What, c.want) || p.Try == "" {
			t.Errorf("%s: %+v, %v; want %s", c.name, f, err, c.want)
		}
	}
}

func TestParseNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "profiles:\n", "profiles: {}\n"} {
		f, err := Parse("my.yaml", []byte(text))
		if err != nil || len(f.Profiles) != 0 {
			t.Errorf("%q: %+v, %v", text, f, err)
		}
	}
}

// TestURLsAreNoFiles: what names a database is not taken from a folder.
func TestURLsAreNoFiles(t *testing.T) {
	f, err := Parse(filepath.Join("conf", "my.yaml"), []byte("profiles: {p: {archive: 'sqlserver://reader@db.example.com/im', also: ['postgres://db/im', jm.csv]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Profile{Archive: "sqlserver://reader@db.example.com/im", Also: []string{"postgres://db/im", filepath.Join("conf", "jm.csv")}}
	if got := f.Profiles["p"]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestSharedLists: two profiles that share a list by an anchor do not move its
// names twice.
func TestSharedLists(t *testing.T) {
	f, err := Parse(filepath.Join("conf", "my.yaml"), []byte("profiles:\n  a: &a\n    key: [x.key]\n  b: *a\n  c:\n    <<: *a\n    archive: jm.csv\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range f.Profiles {
		if want := []string{filepath.Join("conf", "x.key")}; !reflect.DeepEqual(p.Key, want) {
			t.Errorf("%s: %q, want %q", name, p.Key, want)
		}
	}
	if len(f.Profiles) != 3 {
		t.Errorf("%d profiles", len(f.Profiles))
	}
}

// FuzzParse: no panic; an error is a problem with the file's name; names that
// are absolute stay as they are, others end with what was written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(legal))
	f.Add([]byte("profiles: {p: {archive: jm.csv, also: [a, ''], people: ../x}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("profiles: &p\n  <<: *p\n"))
	f.Add([]byte("x: &x [1,2,3]\ny: &y [*x,*x,*x]\nz: [*y,*y,*y]\n"))
	f.Add([]byte("profiles: {p: !!binary aGk=}\n--- {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Parse("/conf/my.yaml", data)
		if err != nil {
			var p *problem.Error
			if got != nil || !errors.As(err, &p) || p.Object != "/conf/my.yaml" {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		for name, p := range got.Profiles {
			for _, file := range append([]string{p.Archive, p.People}, append(append(p.Also, p.Key...), p.PrivateKey...)...) {
				if file != "" && !filepath.IsAbs(file) && !strings.Contains(file, "://") && runtime.GOOS != "windows" {
					t.Errorf("%q: %q is relative", name, file)
				}
			}
		}
	})
}
