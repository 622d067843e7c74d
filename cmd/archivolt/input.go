package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"archivolt/internal/durable"
	"archivolt/internal/problem"
)

// maxValue bounds one value, in bytes. A message of IM&P is far smaller.
const maxValue = 256 << 20

// openInput returns standard input, or the named file. Opening and reading end
// with the context, also while a pipe gives nothing.
func (a *app) openInput(name string) (io.ReadCloser, error) {
	if name == "" || name == "-" {
		return io.NopCloser(&stoppable{ctx: a.ctx, r: a.in}), nil
	}
	f, err := await(a.ctx, func() (*os.File, error) { return os.Open(name) })
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.IsDir():
		f.Close()
		return nil, problem.New(problem.Failed, name, "this is a folder, not a file", "name the file in it")
	case err == nil && info.Mode().IsRegular():
		return f, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{&stoppable{ctx: a.ctx, r: f}, f}, nil
}

// await runs work, and returns without it when ctx is done.
func await[T any](ctx context.Context, work func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := work()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// maxKeyFile bounds a file of keys or passphrases in bytes; real ones are of
// some kilobytes.
const maxKeyFile = 4 << 20

// readSmall reads a file of keys or passphrases.
func (a *app) readSmall(name string) ([]byte, error) {
	in, err := a.openInput(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = problem.New(problem.Failed, name, fmt.Sprintf("this is no key file: it has more than %d MiB", maxKeyFile>>20), "check the name")
	}
	return data, err
}

// readValue reads the whole input as one value.
func (a *app) readValue(name string) ([]byte, error) {
	in, err := a.openInput(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxValue+1))
	if err == nil && len(data) > maxValue {
		err = problem.New(problem.Failed, name, fmt.Sprintf("this is more than %d MiB: too much for one value", maxValue>>20),
			"add --lines if it holds one value on each line")
	}
	return data, err
}

// stoppable is a reader whose Read returns when ctx is done, even if r blocks.
type stoppable struct {
	ctx   context.Context
	r     io.Reader
	chunk chan chunk
	rest  []byte
	err   error
}

type chunk struct {
	data []byte
	err  error
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.chunk == nil {
		s.chunk = make(chan chunk)
		go s.pump()
	}
	for len(s.rest) == 0 && s.err == nil {
		select {
		case <-s.ctx.Done():
			s.err = s.ctx.Err()
		case c := <-s.chunk:
			s.rest, s.err = c.data, c.err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	if n > 0 {
		return n, nil
	}
	return 0, s.err
}

func (s *stoppable) pump() {
	for {
		buf := make([]byte, 64<<10)
		n, err := s.r.Read(buf)
		select {
		case s.chunk <- chunk{buf[:n], err}:
		case <-s.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// output is where a command writes its result: standard output, or a file that
// appears under its name only when the command succeeded.
type output struct {
	io.Writer
	terminal bool          // somebody watches
	device   *os.File      // a device or pipe named by the user, or nil
	file     *durable.File // or nil
}

// protect refuses an output that is one of the files being read: a mistyped
// --out must not replace the only copy of a key or a message.
func (a *app) protect(out string, inputs ...string) error {
	if out == "" || out == "-" {
		return nil
	}
	var read []os.FileInfo
	for _, name := range inputs {
		if info, err := os.Stat(name); err == nil {
			read = append(read, info)
		}
	}
	if f, ok := a.in.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			read = append(read, info)
		}
	}
	for _, name := range []string{out, out + durable.Suffix} {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		for _, in := range read {
			if os.SameFile(info, in) {
				return problem.New(problem.Usage, name, "this is one of the files being read, and is not overwritten", "choose another name for --out")
			}
		}
	}
	return nil
}

// openOutput opens standard output or the named file.
func (a *app) openOutput(name string) (*output, error) {
	if name == "" || name == "-" {
		return &output{Writer: a.out, terminal: a.outTerminal}, nil
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil, problem.New(problem.Failed, name, "this is a folder, not a file", "name a file in it")
	case err == nil && !info.Mode().IsRegular(): // takes the bytes as they come
		f, err := await(a.ctx, func() (*os.File, error) { return os.OpenFile(name, os.O_WRONLY, 0) })
		if err != nil {
			return nil, err
		}
		return &output{Writer: f, terminal: term.IsTerminal(int(f.Fd())), device: f}, nil
	}
	f, err := durable.Create(name)
	if err != nil {
		return nil, err
	}
	return &output{Writer: f, file: f}, nil
}

// commit makes the result final.
func (o *output) commit() error {
	switch {
	case o.file != nil:
		return o.file.Commit()
	case o.device != nil:
		return o.device.Close()
	}
	return nil
}

// abort removes what was written to a file. After commit it does nothing.
func (o *output) abort() {
	if o.file != nil {
		o.file.Abort()
	}
}

// writeResult writes one whole result to standard output or the named file.
// Where somebody watches, show makes it fit to be seen.
func (a *app) writeResult(name string, result []byte, show func([]byte) []byte) error {
	out, err := a.openOutput(name)
	if err != nil {
		return err
	}
	defer out.abort()
	if out.terminal && show != nil {
		result = show(result)
	}
	if err := errors.Join(writeAll(out, result), a.ctx.Err()); err != nil {
		return err
	}
	return out.commit()
}

func writeAll(w io.Writer, p []byte) error {
	_, err := w.Write(p)
	return err
}
