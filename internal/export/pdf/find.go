package pdf

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"archivolt/internal/problem"
)

// Variable names the environment variable with the path of the browser.
const Variable = "CHROMIUM"

const printByHand = "install Chromium, Chrome or Edge, or set " + Variable + " to its path; or export with --format html, open messages.html in any browser and print it to a file"

// browser finds a Chromium: the one that the user names, otherwise one of the
// usual names and places.
func browser() (string, error) {
	if named := os.Getenv(Variable); named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", &problem.Error{Class: problem.Failed, Object: Variable + "=" + named, What: "no such program", Try: printByHand, Err: err}
		}
		return path, nil
	}
	for _, name := range places(runtime.GOOS, os.Getenv) {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", problem.New(problem.Failed, "", "no browser was found that can print a PDF", printByHand)
}

// places lists names on the PATH and, where programs are not on it, full paths.
func places(system string, env func(string) string) []string {
	list := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge"}
	switch system {
	case "darwin":
		for _, name := range []string{"Chromium", "Google Chrome", "Microsoft Edge"} {
			app := "Applications/" + name + ".app/Contents/MacOS/" + name
			list = append(list, "/"+app, filepath.Join(env("HOME"), app))
		}
	case "windows":
		for _, root := range []string{"ProgramFiles", "ProgramFiles(x86)", "LocalAppData"} {
			if dir := env(root); dir != "" {
				list = append(list, dir+`\Chromium\Application\chrome.exe`, dir+`\Google\Chrome\Application\chrome.exe`, dir+`\Microsoft\Edge\Application\msedge.exe`)
			}
		}
	}
	return list
}
