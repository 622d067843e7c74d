//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnPeer: one list of peers may stand in all configurations, this daemon's
// own address among them; a primary that runs can then make a new key all the
// same.
func TestOwnPeer(t *testing.T) {
	a := newClustered(t, "jm.db", server{"prosody", "archive.example.org", "secret", freePort(t), []string{"example.org"}})
	a.of("primary", a)
	a.shell("archivoltd key enable --config archivoltd.yaml")
	a.launch()
	a.until("up", func() bool { s := a.status().Cluster; return s != nil && len(s.Peers) == 1 && s.Peers[0].Up })
	a.shell("archivoltd key disable --config archivoltd.yaml; openssl genrsa -out private.pem 2048; openssl rsa -in private.pem -pubout -out public.pem")
	stdout, stderr, code := archivoltd(t, "key", "enable", "--config", a.config(), "--passphrase-file", filepath.Join(a.dir, "password"),
		"--public-key", filepath.Join(a.dir, "public.pem"), "--escrow", filepath.Join(a.dir, "escrow"))
	if code != 0 || !strings.Contains(stdout, "is enabled") || strings.Contains(stderr, "cannot be seen") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	a.stop()
}
