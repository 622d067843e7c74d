// Package passphrase is how people give a passphrase: in the first line of a
// file, in an environment variable, or at a prompt; never as an argument.
package passphrase

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/term"

	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// Variable is the environment variable that may hold a passphrase.
const Variable = "ARCHIVOLT_PASSPHRASE"

// FirstLine returns the passphrase in data, the content of the file name: its
// first line, in whatever way the text was written.
func FirstLine(name string, data []byte) ([]byte, error) {
	if text, ok := keys.DecodeText(data); ok {
		data = text.Data // a Windows editor's byte order mark is not part of it
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, problem.New(problem.Passphrase, name, "the first line of this passphrase file is empty", "write the passphrase into its first line")
	}
	return line, nil
}

// Shared tells whether others than the owner can read a file that holds a
// secret. Windows has no mode bits to tell by.
func Shared(name string) (mode fs.FileMode, shared bool) {
	if runtime.GOOS == "windows" {
		return 0, false
	}
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	mode = info.Mode().Perm()
	return mode, mode&0o077 != 0
}

// Prompt asks on the user's terminal.
type Prompt struct {
	InTerminal, ErrTerminal bool      // whether standard input and error are terminals
	Err                     io.Writer // standard error
}

// Ask asks for a secret, without echo. Away from a terminal it returns nil.
func (p Prompt) Ask(ctx context.Context, question string) ([]byte, error) {
	in, out, ok := p.terminal()
	if !ok {
		return nil, nil
	}
	if in != os.Stdin {
		defer in.Close()
	}
	fd := int(in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(out, question)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		_ = term.Restore(fd, state) // leave the terminal echoing again
		a.err = ctx.Err()
	}
	fmt.Fprintln(out)
	return a.text, a.err
}

// AskNew asks for a new secret, twice. Away from a terminal it returns nil.
func (p Prompt) AskNew(ctx context.Context, question string) ([]byte, error) {
	first, err := p.Ask(ctx, question)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	second, err := p.Ask(ctx, "The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, problem.New(problem.Passphrase, "", "the two passphrases differ", "type the same one twice")
	}
	return first, nil
}

// terminal returns where to ask and where to read the answer: the user's own
// terminal, also when standard input or error is a pipe or file, or standard
// input and error themselves.
func (p Prompt) terminal() (in *os.File, out io.Writer, ok bool) {
	if !p.InTerminal && !p.ErrTerminal {
		return nil, nil, false
	}
	if tty, err := os.OpenFile(device, os.O_RDWR, 0); err == nil {
		if runtime.GOOS == "windows" {
			return tty, p.Err, true // CONIN$ takes no text
		}
		return tty, tty, true
	}
	return os.Stdin, p.Err, p.InTerminal
}
