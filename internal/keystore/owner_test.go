//go:build unix

package keystore

import (
	"os"
	"syscall"
	"testing"

	"archivolt/internal/testenv"
)

// TestOwner: what root does to a keystore leaves it to its owner.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Unable(t, "only root gives files away")
	}
	k, path := create(t)
	const uid, gid = 65534, 65533
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	_, officer := pair(t, 2048)
	if _, err := k.Download(officer, ""); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != uid || s.Gid != gid || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d, group %d, mode %v", s.Uid, s.Gid, info.Mode())
	}
}
