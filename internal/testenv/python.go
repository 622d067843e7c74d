package testenv

import (
	"os/exec"
	"testing"
)

// Python returns the path of a Python 3 that can import module, or ends the
// test. The one on the PATH may be another than the system's, and lack it.
func Python(tb testing.TB, module string) string {
	tb.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3", "/usr/local/bin/python3", "python"} {
		path, err := exec.LookPath(name)
		if err == nil && exec.Command(path, "-c", "import sys, "+module+"; assert sys.version_info >= (3, 8)").Run() == nil {
			return path
		}
	}
	missing(tb, "a Python 3 with the package "+module+" (Debian: python3-"+module+")")
	return ""
}
