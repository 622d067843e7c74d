package main

import (
	"bufio"
	"bytes"
	"errors"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// encryptCmd is the inverse of decryptCmd.
type encryptCmd struct {
	valueFlags
	Encoding string `enum:"base64,hex,raw" default:"base64" help:"How the result is written: base64, hex or raw."`
}

func (encryptCmd) Help() string {
	return `Examples:

    printf 'hello' | archivolt encrypt --private-key private_key.pem --key encrypted_key.pem

The whole input is the plaintext, a line end at its end too: use printf rather than echo. The result is one line without a line end. With --lines each line, without its line end (LF or CR LF), becomes one line.`
}

func (c *encryptCmd) Run(a *app) error {
	encoding, list, err := c.begin(a, c.Encoding)
	if err != nil {
		return err
	}
	if a.json && encoding == cisco.Raw {
		return problem.New(problem.Usage, "--json", "raw bytes are no JSON", "add --encoding base64 or hex")
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
	value := encoding.Encode(list[0].Encrypt(nil, plain))
	if a.json {
		var line bytes.Buffer
		if err := printJSON(&line, encrypted{Encoding: encoding.String(), Key: list[0].Fingerprint(), Value: string(value)}); err != nil {
			return err
		}
		value = line.Bytes()
	}
	return a.writeResult(c.Out, value, nil)
}

// encrypted is one value as JSON.
type encrypted struct {
	Line     int    `json:"line,omitempty"`
	Encoding string `json:"encoding"`
	Key      string `json:"key"`
	Value    string `json:"value"`
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
		value := encoding.Encode(ciphertext)
		if a.json {
			err = printJSON(w, encrypted{Line: line + 1, Encoding: encoding.String(), Key: key.Fingerprint(), Value: string(value)})
		} else {
			err = writeAll(w, append(value, '\n'))
		}
		if err != nil {
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
