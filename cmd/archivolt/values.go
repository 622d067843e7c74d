package main

import (
	"bufio"
	"errors"
	"io"
	"slices"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// valueFlags are what decrypt and encrypt have in common.
type valueFlags struct {
	keyFlags
	In    string `placeholder:"FILE" help:"What to work on; standard input if left out."`
	Out   string `placeholder:"FILE" help:"Where the result goes; standard output if left out."`
	Lines bool   `help:"Take each line of the input as a value of its own."`
}

// begin checks the flags against each other and opens the keys.
func (f *valueFlags) begin(a *app, encoding string) (cisco.Encoding, []*cisco.Key, error) {
	e, err := cisco.ParseEncoding(encoding)
	if err != nil {
		return e, nil, err
	}
	if f.Lines && e == cisco.Raw {
		return e, nil, problem.New(problem.Usage, "--lines", "raw values have no lines", "leave one of --lines and --encoding raw out")
	}
	if err := a.protect(f.Out, slices.Concat(f.Key, f.PrivateKey, f.PassphraseFile, []string{f.In})...); err != nil {
		return e, nil, err
	}
	list, err := f.openKeys(a)
	return e, list, err
}

// maxLine bounds a line of --lines in bytes.
const maxLine = 64 << 20

// newLineScanner splits input into lines, ended by LF or CR LF. A byte order
// mark is taken off, and UTF-16, which PowerShell and SSMS write, is read.
func newLineScanner(r io.Reader) *bufio.Scanner {
	head := bufio.NewReaderSize(r, 64<<10)
	r = head
	if mark, _ := head.Peek(3); len(mark) >= 2 && mark[0] >= 0xef { // perhaps a byte order mark
		r = transform.NewReader(head, unicode.BOMOverride(encoding.Nop.NewDecoder()))
	}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 256<<10), maxLine)
	return s
}

// nextLine moves to the next whole line. After a read error the scanner would
// still give what it has of the line that was cut.
func nextLine(s *bufio.Scanner) bool { return s.Scan() && s.Err() == nil }

func scannerError(a *app, s *bufio.Scanner, name string, line int) error {
	err := s.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		return problem.Newf(problem.Failed, name, "line %d is longer than %d MiB", line+1, maxLine>>20)
	}
	return errors.Join(err, a.ctx.Err())
}
