package cisco

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"archivolt/internal/keys"
	"archivolt/internal/problem"
)

// KeyFile is a file given with --key: the wrapped key as IM&P hands it out,
// or its text already unwrapped.
type KeyFile struct {
	Name  string
	Notes []string // how it had to be read, for people: "is Base64 twice over"

	block []byte // the RSA block, or nil
	text  []byte // the unwrapped text, or nil
}

// Wrapped tells whether a private key is needed to open the file.
func (f *KeyFile) Wrapped() bool { return f.block != nil }

// Size returns the length of the wrapped block in bytes.
func (f *KeyFile) Size() int { return len(f.block) }

// maxKeyFile bounds a key file in bytes; real ones have about 350.
const maxKeyFile = 1 << 20

// ParseKeyFile recognises the content of the file name. The wrapped key may be
// Base64 in one line or many, with byte order mark, Windows line ends, blanks
// or PEM armour, twice encoded, hexadecimal, or the raw block.
func ParseKeyFile(name string, data []byte) (*KeyFile, error) {
	f := &KeyFile{Name: name}
	if len(data) > maxKeyFile {
		return nil, problem.New(problem.Failed, name,
			fmt.Sprintf("this is no key file: it has %d bytes, where a wrapped key has about 350", len(data)), downloadKey)
	}
	file := keys.Identify(data)
	f.Notes = file.Notes
	switch main := file.Main(); main.Kind {
	case keys.Empty:
		return nil, problem.New(problem.Failed, name, "this file is empty", downloadKey)
	case keys.KeyText:
		f.text = data
		return f, nil
	case keys.Unknown, keys.WrappedKey, keys.BrokenPEM, keys.DamagedPrivate:
		block, err := f.decode(data)
		if err != nil {
			return nil, err
		}
		f.block = block
		return f, nil
	case keys.RSAPrivate, keys.EncryptedPrivate, keys.LegacyPrivate, keys.OtherPrivate, keys.OpenSSHPrivate, keys.PuTTYPrivate, keys.PKCS12:
		return nil, problem.New(problem.Failed, name, "this is "+main.Describe()+", not the wrapped key",
			"pass it with --private-key, and the key file from IM&P with --key")
	default:
		return nil, problem.New(problem.Failed, name, "this is "+main.Describe()+", not the wrapped key", downloadKey)
	}
}

const downloadKey = "download the encryption key again from IM&P and save it unchanged"

// decode peels the encodings off a wrapped key.
func (f *KeyFile) decode(data []byte) ([]byte, error) {
	text, isText := keys.DecodeText(data)
	if !isText {
		return data, nil // the raw block
	}
	joined := strings.Join(strings.Fields(string(f.dearmour(text.Data))), "")
	if block, err := hex.DecodeString(joined); err == nil && keys.BlockBits(len(block)) != 0 {
		f.Notes = append(f.Notes, "is hexadecimal")
		return block, nil
	}
	block, err := f.decodeBase64(joined)
	if err != nil {
		return nil, err
	}
	if inner, ok := base64Text(block); ok {
		f.Notes = append(f.Notes, "is Base64 twice over")
		block = inner
	}
	if _, ok := base64Text(block); ok {
		return nil, problem.New(problem.Failed, f.Name,
			fmt.Sprintf("this is still Base64 (%d bytes) after decoding it twice; an RSA-2048 block has 256", len(block)),
			"undo one encoding with: openssl base64 -d -A -in "+problem.Quote(f.Name)+" -out "+problem.NewName(f.Name, "encrypted_key.pem"))
	}
	return block, nil
}

// dearmour removes PEM armour around the Base64, which some people add because
// the file is called .pem. Any label and any kind of dash will do: Base64 has
// none.
func (f *KeyFile) dearmour(text []byte) []byte {
	inner := armour.ReplaceAll(text, nil)
	if len(inner) < len(text) {
		f.Notes = append(f.Notes, "has PEM armour around the Base64")
	}
	return inner
}

// armour is a begin or end line of PEM, on a line of its own or not.
var armour = regexp.MustCompile(`\p{Pd}{2,}\s*(BEGIN|END)[^\p{Pd}\n]*\p{Pd}{2,}`)

func (f *KeyFile) decodeBase64(joined string) ([]byte, error) {
	block, err := base64.StdEncoding.DecodeString(joined)
	if err == nil {
		return block, nil
	}
	if strings.Trim(joined, base64Alphabet+"=") == "" {
		return nil, problem.New(problem.Failed, f.Name,
			fmt.Sprintf("this Base64 is cut off or has something added: %d characters are no multiple of 4", len(joined)), downloadKey)
	}
	return nil, problem.New(problem.Failed, f.Name, "this is no wrapped key: it is text, but not Base64", downloadKey)
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// base64Text decodes data when all of it is Base64. A random RSA block passes
// for Base64 with a chance below 2^-500.
func base64Text(data []byte) ([]byte, bool) {
	out, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	return out, err == nil && len(out) > 0
}

// Unwrapped is a key with where it came from.
type Unwrapped struct {
	Key  *Key
	Text []byte        // what the block held, byte for byte: secret
	By   *keys.Private // the private key that opened it; nil for an unwrapped file
}

// Unwrap opens the file with the first of the private keys that fits. An
// unwrapped file needs none. What the block holds must be a key text: with
// some RSA implementations a wrong private key gives garbage, not an error.
func (f *KeyFile) Unwrap(privates []*keys.Private, opt TextOptions) (*Unwrapped, error) {
	if !f.Wrapped() {
		key, err := ParseKeyText(f.Name, f.text, opt)
		if err != nil {
			return nil, err
		}
		return &Unwrapped{Key: key, Text: f.text}, nil
	}
	if len(privates) == 0 {
		return nil, problem.New(problem.Usage, f.Name, "this key is wrapped and no private key was given",
			"add --private-key private_key.pem")
	}
	fits := false
	var inside error // of a block that opens to text which is no key text
	for _, p := range privates {
		if p.Size() != len(f.block) {
			continue
		}
		fits = true
		text, err := p.DecryptPKCS1v15(f.block)
		if err != nil {
			continue
		}
		key, err := ParseKeyText(f.Name, text, opt)
		if err == nil {
			return &Unwrapped{Key: key, Text: text, By: p}, nil
		}
		// A wrong private key passes the padding once in some 40,000 times, and
		// then gives bytes that are no text.
		if _, isText := keys.DecodeText(text); isText && len(text) > 0 && inside == nil {
			inside = describeInside(err)
		}
	}
	if inside != nil {
		return nil, inside
	}
	if !fits {
		return nil, f.wrongSize(privates)
	}
	for _, p := range privates {
		if hash, ok := p.OpensAsOAEP(f.block); ok {
			return nil, problem.New(problem.Failed, f.Name,
				"this key is wrapped with OAEP ("+hash+") instead of PKCS #1 v1.5, which IM&P uses: another program made it",
				oaepCommand(f.Name, p.Name, hash))
		}
	}
	return nil, &problem.Error{Class: problem.WrongKey, Object: f.Name,
		What: "the private key does not open this wrapped key: " + namePrivates(privates),
		Try:  "pass the private key whose public half was given to IM&P when this file was downloaded; if it is the right one, this file was changed on its way: download it again"}
}

// describeInside says that a mistake is in the text inside the block.
func describeInside(err error) error {
	if p, ok := err.(*problem.Error); ok {
		inside := *p
		if inside.Try == "" || inside.Try == keyAgain {
			inside.Try = downloadKey
		}
		inside.What = "it opens, but what is inside is not IM&P's key text: " + p.What
		return &inside
	}
	return err
}

// wrongSize says why a block fits none of the private keys.
func (f *KeyFile) wrongSize(privates []*keys.Private) error {
	have, want := len(f.block), privates[0].Size()
	if bits := keys.BlockBits(have); bits != 0 {
		return problem.New(problem.WrongKey, f.Name,
			fmt.Sprintf("this was wrapped for an RSA-%d key (%d bytes), and the private key is %s", bits, have, namePrivates(privates)),
			"pass the private key whose public half was given to IM&P when this file was downloaded")
	}
	if have < want {
		return problem.New(problem.Failed, f.Name,
			fmt.Sprintf("this wrapped key is cut off: %d bytes, where an RSA-%d block has %d", have, privates[0].Bits(), want), downloadKey)
	}
	return problem.New(problem.Failed, f.Name,
		fmt.Sprintf("this is no wrapped key: %d bytes, where an RSA-%d block has %d", have, privates[0].Bits(), want), downloadKey)
}

func namePrivates(privates []*keys.Private) string {
	names := make([]string, len(privates))
	for i, p := range privates {
		names[i] = fmt.Sprintf("%s (RSA-%d)", p.Name, p.Bits())
	}
	return strings.Join(names, ", ")
}

// oaepCommand unwraps by openssl what this package refuses.
func oaepCommand(name, private, hash string) string {
	option, out := "", problem.NewName(name, "key.txt")
	if hash != "SHA-1" {
		option = " -pkeyopt rsa_oaep_md:" + strings.ToLower(strings.ReplaceAll(hash, "-", ""))
	}
	return "openssl base64 -d -A -in " + problem.Quote(name) + " | openssl pkeyutl -decrypt -inkey " + problem.Quote(private) +
		" -pkeyopt rsa_padding_mode:oaep" + option + " -out " + out + "; then pass --key " + out
}

// Wrap wraps a key text for a public key as IM&P hands it out: Base64 of one
// RSA PKCS #1 v1.5 block, one line, no line end. The text goes in byte for
// byte; it must be one that ParseKeyText reads.
func Wrap(object string, text []byte, pub *keys.Public, opt TextOptions) (string, error) {
	if _, err := ParseKeyText(object, text, opt); err != nil {
		return "", err
	}
	if len(text) > pub.MaxText() {
		return "", problem.New(problem.Failed, object,
			fmt.Sprintf("this text is too long for one RSA-%d block: %d bytes, at most %d", pub.Bits(), len(text), pub.MaxText()),
			"keep only the lines key = ... and iv = ...")
	}
	block, err := pub.EncryptPKCS1v15(text)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(block), nil
}
