package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
)

// benchArchive makes an archive of some 110,000 rows, most of them encrypted.
func benchArchive(b *testing.B) *sample.Archive {
	b.Helper()
	b.Chdir(b.TempDir())
	return makeArchive(b, sample.Options{Seed: 9, Utterances: 30_000})
}

// bare reads jm.csv once, splits it at line ends and commas, and decodes and
// decrypts the four columns that hold ciphertexts: what no reader can do
// without. It returns how many rows it read.
func bare(b *testing.B, key sample.Key) (rows int) {
	b.Helper()
	f, err := os.Open("jm.csv")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block, err := aes.NewCipher(key.Key[:])
	if err != nil {
		b.Fatal(err)
	}
	var raw, plain []byte
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			b.Fatal("a line longer than the buffer")
		}
		for column := 0; len(line) > 0 && column < 14; column++ {
			cell, rest, _ := bytes.Cut(line, []byte(","))
			line = rest
			if column > 1 && column < 9 || column > 12 {
				continue
			}
			raw = slices.Grow(raw[:0], base64.StdEncoding.DecodedLen(len(cell)))[:base64.StdEncoding.DecodedLen(len(cell))]
			n, err := base64.StdEncoding.Decode(raw, cell)
			if err != nil || n == 0 || n%aes.BlockSize != 0 {
				continue
			}
			plain = slices.Grow(plain[:0], n)[:n]
			cipher.NewCBCDecrypter(block, key.IV[:]).CryptBlocks(plain, raw[:n])
		}
		if err != nil {
			return rows
		}
		rows++
	}
}

// BenchmarkArchive exports and searches a Cisco CSV with the whole command,
// beside the bare read, Base64 and CBC of the same file, turn by turn.
func BenchmarkArchive(b *testing.B) {
	truth := benchArchive(b)
	info, err := os.Stat("jm.csv")
	if err != nil {
		b.Fatal(err)
	}
	for name, args := range map[string][]string{
		"export":      {"export", "jm.csv", "--format", "jsonl", "--out", "-"},
		"export rows": {"export", "jm.csv", "--format", "jsonl", "--out", "-", "--rows"},
		"search":      {"search", "jm.csv", "rotterdam", "--context", "0"},
	} {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			args := slices.Concat(args, allKeys)
			var ours, theirs time.Duration
			b.SetBytes(info.Size())
			for b.Loop() {
				begin := time.Now()
				a := &app{ctx: context.Background(), out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
				if code := a.run(args); code != 3 {
					b.Fatalf("exit %d", code)
				}
				middle := time.Now()
				bare(b, truth.Keys[0])
				ours += middle.Sub(begin)
				theirs += time.Since(middle)
			}
			b.ReportMetric(float64(len(truth.Rows)*b.N)/ours.Seconds(), "rows/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-bare-speed")
		})
	}
}
