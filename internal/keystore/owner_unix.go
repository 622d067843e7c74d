//go:build unix

package keystore

import (
	"os"
	"syscall"
)

// keepOwner gives f the owner of the file path, which it is to replace: what
// root does to the keystore must leave it to the daemon, which is another user.
// Who may not give files away keeps his own, as before.
func keepOwner(f *os.File, path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(s.Uid), int(s.Gid))
	}
}
