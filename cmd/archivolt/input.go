package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"archivolt/internal/durable"
	"archivolt/internal/problem"
)

// maxValue bounds one value, in bytes. A message of IM&P is far smaller.
const maxValue = 256 << 20

// openInput returns standard input, or the named file. Reading ends with the
// context, also while nothing comes.
func (a *app) openInput(name string) (io.ReadCloser, error) {
	if name == "" || name == "-" {
		return io.NopCloser(&stoppable{ctx: a.ctx, r: a.in}), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, problem.New(problem.Failed, name, "this is a folder, not a file", "name the file in it")
	}
	return f, nil
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

// Read implements io.Reader.
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
	file *durable.File
}

// protect refuses an output that is one of the files being read: a mistyped
// --out must not replace the only copy of a key or a message.
func protect(out string, inputs ...string) error {
	info, err := os.Stat(out)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	for _, name := range inputs {
		if in, err := os.Stat(name); err == nil && os.SameFile(info, in) {
			return problem.New(problem.Usage, out, "this is one of the files being read, and is not overwritten", "choose another name for --out")
		}
	}
	return nil
}

// openOutput opens standard output or the named file.
func (a *app) openOutput(name string) (*output, error) {
	if name == "" || name == "-" {
		return &output{Writer: a.out}, nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		// A device or pipe takes the bytes as they come.
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &output{Writer: f}, nil
	} else if err == nil && info.IsDir() {
		return nil, problem.New(problem.Failed, name, "this is a folder, not a file", "name a file in it")
	}
	f, err := durable.Create(name)
	if err != nil {
		return nil, err
	}
	return &output{Writer: f, file: f}, nil
}

// commit makes the result final.
func (o *output) commit() error {
	if o.file == nil {
		return nil
	}
	return o.file.Commit()
}

// abort removes what was written to a file. After commit it does nothing.
func (o *output) abort() {
	if o.file != nil {
		o.file.Abort()
	}
}

// writeResult writes one whole result to standard output or the named file.
func (a *app) writeResult(name string, result []byte) error {
	out, err := a.openOutput(name)
	if err != nil {
		return err
	}
	defer out.abort()
	if err := errors.Join(writeAll(out, result), a.ctx.Err()); err != nil {
		return err
	}
	return out.commit()
}

func writeAll(w io.Writer, p []byte) error {
	_, err := w.Write(p)
	return err
}
