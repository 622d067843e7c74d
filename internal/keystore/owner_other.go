//go:build !unix

package keystore

import "os"

// keepOwner does nothing: there the folder's access list decides.
func keepOwner(*os.File, string) {}
