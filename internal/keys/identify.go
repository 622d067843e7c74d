package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"regexp"
	"strings"
)

// File is what Identify found in a file.
type File struct {
	Items []Item   // at least one; Kind Unknown where nothing was recognised
	Notes []string // what was unusual about the text
}

// Main returns the item that the file is about: a private key before anything
// else, otherwise the first.
func (f File) Main() Item {
	for _, i := range f.Items {
		if i.Kind.private() {
			return i
		}
	}
	return f.Items[0]
}

// maxFile bounds what is looked at: no key file comes near it.
const maxFile = 4 << 20

// Identify says what data is. It decrypts nothing and never fails; data that
// it does not know is an Item of Kind Unknown.
func Identify(data []byte) File {
	if len(data) > maxFile {
		return File{Items: []Item{{Kind: Unknown}}}
	}
	text, isText := DecodeText(data)
	if !isText {
		return File{Items: []Item{identifyBinary(data)}}
	}
	return File{Items: identifyText(text.Data), Notes: text.Notes}
}

func identifyBinary(data []byte) Item {
	switch {
	case bytes.HasPrefix(data, []byte("age-encryption.org/v1\n")):
		return Item{Kind: AgeEncrypted}
	case bytes.HasPrefix(data, []byte("\xfe\xed\xfe\xed")), bytes.HasPrefix(data, []byte("\xce\xce\xce\xce")):
		return Item{Kind: JavaKeyStore}
	case bytes.HasPrefix(data, []byte("0")): // SEQUENCE
		return identifyDER(data)
	}
	return Item{Kind: Unknown}
}

func identifyText(text []byte) []Item {
	trimmed := trimLines(text)
	switch {
	case len(trimmed) == 0:
		return []Item{{Kind: Empty}}
	case bytes.HasPrefix(trimmed, []byte("PuTTY-User-Key-File-")):
		return []Item{{Kind: PuTTYPrivate}}
	case bytes.HasPrefix(trimmed, []byte("ssh-")), bytes.HasPrefix(trimmed, []byte("ecdsa-sha2-")),
		bytes.HasPrefix(trimmed, []byte("---- BEGIN SSH2 PUBLIC KEY")):
		return []Item{{Kind: OpenSSHPublic}}
	case identityLine.Match(trimmed): // before age's: it may hold a key of age too
		return []Item{{Kind: Identity}}
	case verifierLine.Match(trimmed):
		return []Item{{Kind: Verifier}}
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN AGE ENCRYPTED FILE-----")):
		return []Item{{Kind: AgeEncrypted}}
	case bytes.Contains(trimmed, []byte("AGE-SECRET-KEY-")):
		return []Item{{Kind: AgeIdentity}}
	case bytes.Contains(trimmed, []byte("-----BEGIN PGP ")):
		return []Item{{Kind: PGP}}
	}
	if items := identifyPEM(trimmed); len(items) > 0 {
		return items
	}
	if keyTextLine.Match(trimmed) {
		return []Item{{Kind: KeyText}}
	}
	if blob, err := base64.StdEncoding.DecodeString(removeBlanks(trimmed)); err == nil {
		if item := identifyBinary(blob); item.Kind != Unknown {
			item.Form = "Base64 of DER"
			return []Item{item}
		}
		if bits := BlockBits(len(blob)); bits != 0 {
			return []Item{{Kind: WrappedKey, Bits: bits}}
		}
	}
	return []Item{{Kind: Unknown}}
}

// Lines of an identity and of its public half (docs/format/manifest.md).
var (
	identityLine = regexp.MustCompile(`(?m)^[ \t]*signing-key: `)
	verifierLine = regexp.MustCompile(`(?m)^[ \t]*verifier: `)
)

// keyTextLine is a line of what IM&P wraps (Cisco document 225039).
var keyTextLine = regexp.MustCompile(`(?im)^\s*(key|iv)\s*=`)

// BlockBits returns the RSA modulus size whose blocks have n bytes, and 0 for
// a size that no usual key has. Usual ones are multiples of 512 bits.
func BlockBits(n int) int {
	if n >= 128 && n <= 2048 && n%64 == 0 {
		return n * 8
	}
	return 0
}

// armour finds the begin and end lines of PEM, also mangled ones: word
// processors and mail turn hyphens into dashes.
var armour = regexp.MustCompile(`(?m)^[-\x{2010}-\x{2015}\x{2212}]{2,}\s*(BEGIN|END) [A-Z0-9 ]*`)

func identifyPEM(text []byte) []Item {
	var items []Item
	rest := text
	for {
		var block *pem.Block
		before := rest
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		// pem.Decode skips what it cannot read: a begin line among that
		// belongs to a block that was lost.
		skipped := before[:len(before)-len(rest)]
		if len(armour.FindAll(skipped, -1)) > 2 {
			items = append(items, Item{Kind: BrokenPEM, Form: "PEM"})
		}
		if item := identifyBlock(block); item.Kind != Parameters || !ecParametersBeforeKey(block, rest) {
			items = append(items, item)
		}
	}
	if armour.Match(rest) {
		items = append(items, Item{Kind: BrokenPEM, Form: "PEM"})
	}
	return items
}

// ecParametersBeforeKey tells whether block is the curve name that openssl
// writes before an EC private key.
func ecParametersBeforeKey(block *pem.Block, rest []byte) bool {
	return block.Type == "EC PARAMETERS" && bytes.Contains(rest, []byte("-----BEGIN EC PRIVATE KEY"))
}

func identifyBlock(block *pem.Block) Item {
	if strings.HasPrefix(block.Headers["Proc-Type"], "4,ENCRYPTED") {
		return Item{Kind: LegacyPrivate, Form: "PEM"}
	}
	switch {
	case block.Type == "OPENSSH PRIVATE KEY":
		return Item{Kind: OpenSSHPrivate, Form: "PEM"}
	case strings.HasSuffix(block.Type, " PARAMETERS"):
		return Item{Kind: Parameters, Form: "PEM"}
	}
	// The content decides, not the label: people relabel files by hand.
	item := identifyDER(block.Bytes)
	if item.Kind == Unknown {
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			item.Kind = DamagedPrivate
		case BlockBits(len(block.Bytes)) != 0:
			item = Item{Kind: WrappedKey, Bits: BlockBits(len(block.Bytes))}
		case block.Type == "PUBLIC KEY" || block.Type == "RSA PUBLIC KEY" || strings.Contains(block.Type, "CERTIFICATE"):
			item.Kind = BrokenPEM
		}
	}
	item.Form = "PEM"
	return item
}

// trimLines removes blanks at both ends of every line and empty lines around
// the text, as left behind by copying out of a mail or a chat.
func trimLines(text []byte) []byte {
	lines := bytes.Split(text, []byte("\n"))
	for i, l := range lines {
		lines[i] = bytes.TrimSpace(l)
	}
	return bytes.TrimSpace(bytes.Join(lines, []byte("\n")))
}

// removeBlanks returns text without white space.
func removeBlanks(text []byte) string {
	return strings.Join(strings.Fields(string(text)), "")
}
