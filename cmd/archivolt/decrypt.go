package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// decryptCmd decrypts values one by one.
type decryptCmd struct {
	valueFlags
	Encoding string `enum:"auto,base64,hex,raw" default:"auto" help:"How the value is written: auto, base64, hex or raw."`
}

func (decryptCmd) Help() string {
	return `Examples:

    archivolt decrypt --private-key private_key.pem --key encrypted_key.pem --in value.txt
    archivolt decrypt --private-key private_key.pem --key encrypted_key.pem --lines --in column.txt --out column.plain

The input is one value; blanks and line ends in it do not matter. The output is what openssl enc -d writes, byte for byte, with no line end added.

With --lines each line is a value and becomes one line of output; a line that cannot be opened becomes an empty one and is named. A plaintext with line ends of its own spreads over several lines: --json keeps each in one, with the number of its line in the input.`
}

func (c *decryptCmd) Run(a *app) error {
	encoding, list, err := c.begin(a, c.Encoding)
	if err != nil {
		return err
	}
	ring := cisco.NewRing(list...)
	if c.Lines {
		return c.lines(a, ring, encoding)
	}
	return c.one(a, ring, encoding)
}

func (c *decryptCmd) one(a *app, ring *cisco.Ring, encoding cisco.Encoding) error {
	object := c.In
	if object == "" || object == "-" {
		object = "standard input"
	}
	data, err := a.readValue(c.In)
	if err != nil {
		return err
	}
	ciphertext, found, err := cisco.DecodeValue(nil, object, data, encoding)
	if err != nil {
		return err
	}
	plain, key, err := ring.Decrypt(nil, ciphertext)
	if err != nil {
		return openProblem(object, err)
	}
	text := cisco.IsText(plain)
	if !text && isColumn(ring, data) {
		return problem.New(problem.Failed, object, "this is not one value but several, one on each line", "add --lines")
	}
	if err := c.write(a, plain, found, key); err != nil {
		return err
	}
	a.note("%s: %s, %d bytes, opened with key %s", object, found, len(ciphertext), key.Fingerprint())
	switch {
	case cisco.FirstBlockGarbled(plain):
		a.warn(object+": "+garbledStart, otherIV)
	case !text:
		a.warn(object+": what came out is not text: a wrong key opens one value in 255 by chance, and damage can go unnoticed",
			"open other values of the same time with this key, and this one with other keys")
	}
	return nil
}

const (
	garbledStart = "the first 16 bytes are not text and the rest is: the iv is wrong, or the start of the value was damaged"
	otherIV      = "see whether another key file has the same key with another iv"
)

// isColumn tells whether each of several lines opens by itself: they may be
// whole blocks in sum, too, and then open as one to garbage.
func isColumn(ring *cisco.Ring, data []byte) bool {
	values := cisco.SplitValues(data)
	for _, v := range values {
		if _, _, err := ring.Decrypt(nil, v); err != nil {
			return false
		}
	}
	return len(values) > 1
}

func (c *decryptCmd) write(a *app, plain []byte, found cisco.Encoding, key *cisco.Key) error {
	if !a.json {
		return a.writeResult(c.Out, plain, a.forTerminal)
	}
	r := decrypted{Encoding: found.String(), Key: key.Fingerprint()}
	r.set(plain)
	var line bytes.Buffer
	if err := printJSON(&line, r); err != nil {
		return err
	}
	return a.writeResult(c.Out, line.Bytes(), nil)
}

// decrypted is one value as JSON. A plaintext that is not UTF-8 is given as
// Base64, so that nothing is lost.
type decrypted struct {
	Line     int     `json:"line,omitempty"`
	Encoding string  `json:"encoding,omitempty"`
	Key      string  `json:"key,omitempty"`
	Text     *string `json:"text,omitempty"`
	Base64   []byte  `json:"base64,omitempty"`
}

func (d *decrypted) set(plain []byte) {
	if utf8.Valid(plain) {
		s := string(plain)
		d.Text = &s
		return
	}
	d.Base64 = plain
}

// openProblem says why a value does not open.
func openProblem(object string, err error) error {
	switch {
	case errors.Is(err, cisco.ErrNoKey):
		return problem.New(problem.WrongKey, object,
			"no key opens this value: it was encrypted with another key, or it is damaged, or it is not a ciphertext",
			"pass every key the archive has had, each with its own --key")
	case errors.Is(err, cisco.ErrAmbiguous):
		return problem.New(problem.WrongKey, object,
			"more than one key opens this value, so none can be trusted", "pass only the key of the time when the message was sent")
	}
	return problem.Newf(problem.Failed, object, "%v", err)
}

// lines decrypts one value per line, in bounded memory.
func (c *decryptCmd) lines(a *app, ring *cisco.Ring, encoding cisco.Encoding) error {
	in, err := a.openInput(c.In)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := a.openOutput(c.Out)
	if err != nil {
		return err
	}
	defer out.abort()
	w := &lineWriter{w: bufio.NewWriterSize(out, 256<<10), json: a.json, terminal: out.terminal}
	scanner := newLineScanner(in)
	var ciphertext, plain []byte
	for nextLine(scanner) {
		if w.line%1024 == 0 && a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		w.line++
		line := scanner.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			w.blank()
			continue
		}
		var key *cisco.Key
		if ciphertext, _, err = cisco.DecodeValue(ciphertext[:0], "", line, encoding); err == nil {
			if plain, key, err = ring.Decrypt(plain[:0], ciphertext); err != nil {
				w.noKey = true
				err = openProblem("", err)
			} else {
				w.opened(plain, key)
			}
		}
		if err != nil {
			w.failed(a, err)
		}
		if w.err != nil {
			return w.err
		}
	}
	if err := scannerError(a, scanner, c.In, w.line); err != nil {
		return err
	}
	return w.finish(a, out)
}

// lineWriter writes results in the order of the lines, and holds back the
// placeholders of unreadable lines until something was opened: a run that
// opens nothing writes nothing. As JSON, opened lines carry their number and
// need no placeholders.
type lineWriter struct {
	w              *bufio.Writer
	json, terminal bool

	line      int  // number of the current line, from 1
	open, bad int  // lines opened, lines that failed
	noKey     bool // a line that failed is a ciphertext
	held      int  // placeholders not yet written
	broken    int  // plaintexts with line ends of their own
	garbled   oddLines
	notText   oddLines
	err       error
}

// oddLines counts lines that opened to something strange.
type oddLines struct{ n, first int }

func (o *oddLines) add(line int) {
	if o.n++; o.n == 1 {
		o.first = line
	}
}

func (w *lineWriter) blank() {
	if !w.json {
		w.held++
	}
}

func (w *lineWriter) release() {
	for ; w.held > 0; w.held-- {
		w.write([]byte("\n"))
	}
}

func (w *lineWriter) opened(plain []byte, key *cisco.Key) {
	w.open++
	switch {
	case cisco.IsText(plain):
	case cisco.FirstBlockGarbled(plain):
		w.garbled.add(w.line)
	default:
		w.notText.add(w.line)
	}
	w.release()
	if w.json {
		r := decrypted{Line: w.line, Key: key.Fingerprint()}
		r.set(plain)
		w.writeJSON(r)
		return
	}
	if bytes.IndexByte(plain, '\n') >= 0 {
		w.broken++
	}
	if w.terminal {
		plain = visible(plain)
	}
	w.write(plain)
	w.write([]byte("\n"))
}

// failed names the line on standard error; its place in the output stays.
func (w *lineWriter) failed(a *app, err error) {
	w.bad++
	p := problem.Error{What: err.Error()}
	var described *problem.Error
	if errors.As(err, &described) {
		p = *described
	}
	p.Object, p.Try = fmt.Sprintf("line %d", w.line), ""
	if w.json {
		a.printProblemJSON(&p, 0)
	} else {
		a.printProblem(&p)
	}
	w.blank()
}

func (w *lineWriter) writeJSON(r decrypted) {
	var buf bytes.Buffer
	if err := printJSON(&buf, r); err != nil && w.err == nil {
		w.err = err
	}
	w.write(buf.Bytes())
}

func (w *lineWriter) write(p []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(p)
	}
}

func (w *lineWriter) finish(a *app, out *output) error {
	if w.open == 0 && w.bad > 0 {
		p := problem.New(problem.WrongKey, "", fmt.Sprintf("none of the %d values opened", w.bad), "pass every key the archive has had, each with its own --key")
		if !w.noKey {
			p = problem.New(problem.Failed, "", fmt.Sprintf("none of the %d lines is a value", w.bad), "see what is wrong with them above")
		}
		return p
	}
	w.release()
	if err := errors.Join(w.err, w.w.Flush(), a.ctx.Err()); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	if w.broken > 0 {
		a.warn(fmt.Sprintf("%d values hold line ends of their own and spread over several lines", w.broken), "add --json to keep each in one line")
	}
	if w.garbled.n > 0 {
		a.warn(fmt.Sprintf("%d values, the first in line %d: %s", w.garbled.n, w.garbled.first, garbledStart), otherIV)
	}
	if w.notText.n > 0 {
		a.warn(fmt.Sprintf("%d values opened to what is not text, the first in line %d: a wrong key opens one value in 255 by chance, and damage can go unnoticed", w.notText.n, w.notText.first),
			"see which key was used with --json, and pass every key the archive has had")
	}
	if w.bad > 0 {
		return problem.New(problem.Partial, "", fmt.Sprintf("%d of %d values could not be opened; they are named above", w.bad, w.bad+w.open), "")
	}
	a.note("%d values opened", w.open)
	return nil
}
