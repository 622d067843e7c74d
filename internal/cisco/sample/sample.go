// Package sample plays IM&P: it makes a key as the vendor's guide describes it
// and encrypts messages under it, so that the demo and the tests have an
// archive whose truth is known.
//
// It shares no code with the reader in package cisco: the cipher here is put
// together from the standard library alone, so that a mistake of the reader
// cannot hide behind the same mistake of the writer. The tests check it
// against openssl.
package sample

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// Key is an AES-256 key with its initialisation vector.
type Key struct {
	Key [32]byte
	IV  [16]byte
}

// NewKey makes a random key.
func NewKey() Key {
	var k Key
	rand.Read(k.Key[:]) // never fails since Go 1.24
	rand.Read(k.IV[:])
	return k
}

// Text is the key as IM&P wraps it (Cisco document 225039; two blanks after
// iv).
func (k Key) Text() string { return fmt.Sprintf("key = %x\niv  = %x\n", k.Key, k.IV) }

// Value encrypts plaintext as the archiver stores it: Base64 of AES-256-CBC
// with PKCS #7 padding.
func (k Key) Value(plaintext string) string {
	block, err := aes.NewCipher(k.Key[:])
	if err != nil {
		panic(err) // cannot happen: the key has 32 bytes
	}
	n := aes.BlockSize - len(plaintext)%aes.BlockSize
	padded := append([]byte(plaintext), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, k.IV[:]).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(padded)
}

// Bodies returns message bodies in several scripts, one conversation of four
// people about a delivery.
func Bodies() []string {
	return []string{
		"Good morning! Has the shipment to Rotterdam left the yard?",
		"Noch nicht: der Fahrer wartet auf die Zollpapiere für Container 7.",
		"Je les ai envoyés hier à 18 h, regarde « Douane » dans le dossier partagé.",
		"Βρέθηκαν. Ευχαριστώ, τα στέλνω αμέσως.",
		"Хорошо. Сообщите, когда грузовик выедет.",
		"税関の書類を受け取りました。三十分後に出発します。",
		"收到，谢谢。请把新的到达时间发给客户。",
		"تم إرسال الموعد الجديد إلى العميل.",
		"קיבלתי אישור מהלקוח.",
		"ดีมาก ขอบคุณทุกคน 👍🏽",
		"Container 7 is on the road. Arrival 16:40, gate B — all done 🚚",
	}
}
