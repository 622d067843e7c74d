package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"archivolt/internal/durable"
	"archivolt/internal/problem"
)

// fail prints err for a person, or as JSON, and returns the exit code.
func (a *app) fail(err error) int {
	p := a.asProblem(err)
	code := p.Class.ExitCode()
	if errors.Is(err, syscall.EPIPE) {
		return code // the reader of our output has left: "| head"
	}
	if a.json {
		a.printProblemJSON(p, code)
		return code
	}
	a.printProblem(p)
	return code
}

// printProblemJSON prints a problem as one object; exit is 0 for one that does
// not end the command.
func (a *app) printProblemJSON(p *problem.Error, exit int) {
	_ = printJSON(a.err, struct { // nowhere left to say so
		Error  string `json:"error"`
		Object string `json:"object,omitempty"`
		Try    string `json:"try,omitempty"`
		Exit   int    `json:"exit,omitempty"`
	}{p.What, p.Object, p.Try, exit})
}

func (a *app) printProblem(p *problem.Error) {
	fmt.Fprintf(a.err, "archivolt: %s\n", safe(p.Error()))
	if p.Try != "" {
		fmt.Fprintf(a.err, "  try: %s\n", p.Try)
	}
}

// asProblem turns any error into one that a person can act on.
func (a *app) asProblem(err error) *problem.Error {
	if a.ctx.Err() != nil {
		return problem.New(problem.Interrupted, "", "interrupted; nothing unfinished was kept", "")
	}
	var remnant *durable.RemnantError
	if errors.As(err, &remnant) {
		if remnant.Replaced {
			return problem.New(problem.Failed, remnant.Path, "this is the earlier export, which a run was replacing when it was stopped",
				"look into it and into the folder that was to take its place, then keep one of the two under another name and delete the other")
		}
		return problem.New(problem.Failed, remnant.Path, "an earlier run left this file unfinished, or another one is writing it now",
			"see that no other archivolt is running, then delete it"+deleteCommand(remnant.Path))
	}
	return problem.Of(err)
}

// printJSON writes v and a line end. Characters that could command a terminal
// are written as escapes, which mean the same.
func printJSON(w io.Writer, v any) error {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return writeAll(w, escapeControls(buf.Bytes()))
}
