package main

import (
	"bufio"
	"errors"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// encryptCmd is the inverse of decryptCmd.
type encryptCmd struct {
	valueFlags
	Encoding string `enum:"base64,hex,raw" default:"base64" help:"How the result is written: base64, hex or raw."`
}

// Help shows examples.
func (encryptCmd) Help() string {
	return `Examples:

    printf 'hello' | archivolt encrypt --private-key private_key.pem --key encrypted_key.pem

The whole input is the plaintext, a line end at its end too: use printf rather than echo. The result is one line without a line end. With --lines each line, without its line end (LF or CR LF), becomes one line.`
}

// Run implements the command.
func (c *encryptCmd) Run(a *app) error {
	encoding, list, err := c.begin(a, c.Encoding)
	if err != nil {
		return err
	}
	if len(list) > 1 {
		return problem.New(problem.Usage, "--key", "a value is encrypted with one key", "give --key once")
	}
	if c.Lines {
		return c.lines(a, list[0], encoding)
	}
	plain, err := a.readValue(c.In)
	if err != nil {
		return err
	}
	return a.writeResult(c.Out, encoding.Encode(list[0].Encrypt(nil, plain)))
}

func (c *encryptCmd) lines(a *app, key *cisco.Key, encoding cisco.Encoding) error {
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
	w := bufio.NewWriterSize(out, 256<<10)
	scanner := newLineScanner(in)
	var ciphertext []byte
	line := 0
	for ; nextLine(scanner) && a.ctx.Err() == nil; line++ {
		ciphertext = key.Encrypt(ciphertext[:0], scanner.Bytes())
		if err := writeAll(w, append(encoding.Encode(ciphertext), '\n')); err != nil {
			return err
		}
	}
	if err := scannerError(a, scanner, c.In, line); err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), a.ctx.Err()); err != nil {
		return err
	}
	return out.commit()
}
