package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// TestArchiveThatIsNone: whatever lies where the archive should be is named,
// with what mends it and without the database's own words, and stays as it is.
func TestArchiveThatIsNone(t *testing.T) {
	officer, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	archive, config := filepath.Join(dir, "archive.db"), filepath.Join(dir, "archivoltd.yaml")
	for name, text := range map[string]string{
		"officer.pub": officer.Recipient().String(), "secret": "s",
		"archivoltd.yaml": "archive: archive.db\nstate_dir: state\nrecipients: [officer.pub]\nlisten: none\n" +
			"xmpp: [{server: prosody, address: '127.0.0.1:1', component: archive.example.org, secret_file: secret, local_domains: [example.org]}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Repeat("no database ", 100)
	for _, c := range []struct {
		name, want string
		put        func() error
	}{
		{"text", "this is not an archive that archivoltd can write to", func() error { return os.WriteFile(archive, []byte(text), 0o600) }},
		{"an empty file", "this is a SQLite file, but no Archivolt archive", func() error { return os.WriteFile(archive, nil, 0o600) }},
		{"a folder", "this is not an archive that archivoltd can write to", func() error { return os.Mkdir(archive, 0o700) }},
	} {
		if err := os.RemoveAll(archive); err != nil {
			t.Fatal(err)
		}
		if err := c.put(); err != nil {
			t.Fatal(err)
		}
		_, stderr, code := archivoltd(t, "run", "--config", config)
		if code != 1 || !strings.HasPrefix(stderr, "archivoltd: "+archive+": "+c.want+"\n  try: ") || strings.Contains(stderr, "sqlite:") {
			t.Errorf("%s: code %d\n%s", c.name, code, stderr)
		}
		if c.name == "text" {
			if kept, err := os.ReadFile(archive); err != nil || string(kept) != text {
				t.Errorf("the file was changed: %v", err)
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 {
		t.Errorf("something was left behind: %v", entries)
	}
}
