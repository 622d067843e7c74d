package cisco

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
)

// BenchmarkOpenValue decodes and decrypts short messages one by one, beside
// the bare Base64 and CBC of the standard library on the same values with
// buffers made beforehand: what no reader can do without.
func BenchmarkOpenValue(b *testing.B) {
	sk := sample.NewKey()
	key, err := NewKey(sk.Key[:], sk.IV[:])
	if err != nil {
		b.Fatal(err)
	}
	var values [][]byte
	for _, body := range sample.Bodies() {
		values = append(values, []byte(sk.Value(body)))
	}
	block, err := aes.NewCipher(sk.Key[:])
	if err != nil {
		b.Fatal(err)
	}
	buf, out := make([]byte, 4096), make([]byte, 4096)
	bare := func() {
		for _, v := range values {
			n, err := base64.StdEncoding.Decode(buf, v)
			if err != nil {
				b.Fatal(err)
			}
			cipher.NewCBCDecrypter(block, sk.IV[:]).CryptBlocks(out[:n], buf[:n])
		}
	}
	d := key.NewDecrypter()
	var ct, plain []byte
	open := func() {
		for _, v := range values {
			if ct, _, err = DecodeValue(ct[:0], "value", v, Auto); err != nil {
				b.Fatal(err)
			}
			if plain, err = d.Decrypt(plain[:0], ct); err != nil {
				b.Fatal(err)
			}
		}
	}
	// Turn by turn, so that a slow moment of the machine hits both.
	var ours, theirs time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		for range 100 {
			open()
		}
		middle := time.Now()
		for range 100 {
			bare()
		}
		ours += middle.Sub(begin)
		theirs += time.Since(middle)
	}
	b.ReportMetric(float64(b.N*100*len(values))/ours.Seconds(), "values/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-bare-speed")
}
