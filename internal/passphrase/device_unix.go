//go:build unix

package passphrase

// device is the terminal of the user, whatever standard input is.
const device = "/dev/tty"
