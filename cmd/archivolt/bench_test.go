package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/testenv"
)

// benchValues is how many values one run of BenchmarkDecryptLines opens.
const benchValues = 200_000

// BenchmarkDecryptLines opens a column of short messages with the whole
// command, from the key files to the output, and compares it with the loop of
// the vendor's guide: one openssl process per value. Both in one run, on one
// processor's worth of work each.
func BenchmarkDecryptLines(b *testing.B) {
	openssl := testenv.Command(b, "openssl")
	dir := b.TempDir()
	key := sample.NewKey()
	var column bytes.Buffer
	bodies := sample.Bodies()
	var values []string
	for i := range benchValues {
		// The number makes each text, and so each ciphertext, another one.
		v := key.Value(fmt.Sprintf("%s (%d)", bodies[i%len(bodies)], i))
		column.WriteString(v + "\n")
		values = append(values, v)
	}
	keyFile, in := dir+"/key.txt", dir+"/column.txt"
	for name, content := range map[string][]byte{keyFile: []byte(key.Text()), in: column.Bytes()} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			b.Fatal(err)
		}
	}

	const peerValues = 200
	begin := time.Now()
	for _, v := range values[:peerValues] {
		cmd := exec.Command(openssl, "enc", "-d", "-aes-256-cbc", "-a", "-A", "-K", fmt.Sprintf("%x", key.Key), "-iv", fmt.Sprintf("%x", key.IV))
		cmd.Stdin = strings.NewReader(v)
		if _, err := cmd.Output(); err != nil {
			b.Fatal(err)
		}
	}
	peer := peerValues / time.Since(begin).Seconds()

	b.SetBytes(int64(column.Len()))
	for b.Loop() {
		a := &app{ctx: context.Background(), out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
		if code := a.run([]string{"decrypt", "--key", keyFile, "--lines", "--in", in}); code != 0 {
			b.Fatalf("exit %d", code)
		}
	}
	ours := float64(benchValues) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(ours, "values/s")
	b.ReportMetric(peer, "openssl-values/s")
	b.ReportMetric(ours/peer, "x-openssl")
}

// BenchmarkUnwrap starts the program, reads a private key and opens a wrapped
// key, beside "openssl pkeyutl -decrypt" doing the same, turn by turn.
func BenchmarkUnwrap(b *testing.B) {
	openssl := testenv.Command(b, "openssl")
	dir := b.TempDir()
	run := func(name string, args ...string) time.Duration {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return time.Since(begin)
	}
	run("archivolt", "demo", "--dir", ".")
	wrapped, err := os.ReadFile(dir + "/encrypted_key.pem")
	if err != nil {
		b.Fatal(err)
	}
	block, err := base64.StdEncoding.DecodeString(string(wrapped))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(dir+"/block.bin", block, 0o600); err != nil {
		b.Fatal(err)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		ours += run("archivolt", "key", "unwrap", "--private-key", "private_key.pem", "--reveal", "encrypted_key.pem")
		theirs += run(openssl, "pkeyutl", "-decrypt", "-inkey", "private_key.pem", "-in", "block.bin")
	}
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "x-openssl-time")
}
