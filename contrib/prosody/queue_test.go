//go:build unix

package prosody_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"archivolt/internal/testenv"
)

// TestQueue runs the tests of the queue's own code, which need Lua and
// Prosody's library but no server.
func TestQueue(t *testing.T) {
	testenv.Command(t, "prosody")
	cmd := exec.Command(testenv.Command(t, "lua5.4"), filepath.Join("testdata", "queue_test.lua"), "mod_archivolt", t.TempDir())
	cmd.Env = append(os.Environ(), "LUA_PATH=/usr/lib/prosody/?.lua;;", "LUA_CPATH=/usr/lib/prosody/?.so;;")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
