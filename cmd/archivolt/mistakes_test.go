package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"archivolt/internal/capture/capturetest"
	"archivolt/internal/ledger"
	"archivolt/internal/testenv"
)

var update = flag.Bool("update", false, "rewrite the table in docs/mistakes.md")

// Key and iv of the test: their hex may appear in no output.
const (
	testKey  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	testIV   = "f0e0d0c0b0a090807060504030201000"
	testText = "key = " + testKey + "\niv  = " + testIV + "\n"
)

// The value is the vector of docs/format/cisco.md, made with openssl.
const testValue = "bcRZmqMLHcFGDEfVmdD/jiTReIVml36K5LoxL496WeA="

// mistake is one thing that people do, and the command in which they do it.
type mistake struct {
	given string // in people's words: the first column of the table
	args  string // the command line; words are separated by single blanks
}

// unwrap is the command of most mistakes with a private key.
func unwrap(private string) string {
	return "key unwrap --private-key " + private + " encrypted_key.pem"
}

func wrappedAs(file string) string {
	return "key unwrap --private-key rsa2048.pkcs8.pem " + file
}

var privateMistakes = []mistake{
	{"the public key", unwrap("public.pem")},
	{"a public key in DER", unwrap("public.der")},
	{"an EC public key", unwrap("ec.public.pem")},
	{"an SSH public key", unwrap("openssh-rsa.public")},
	{"a certificate", unwrap("certificate.pem")},
	{"a certificate in DER", unwrap("certificate.der")},
	{"a bundle of certificates", unwrap("certificates.p7b")},
	{"a certificate request", unwrap("request.pem")},
	{"an EC private key", unwrap("ec.pkcs8.pem")},
	{"an EC private key as `openssl ecparam` writes it", unwrap("ec.sec1.pem")},
	{"an Ed25519 private key", unwrap("ed25519.pem")},
	{"an X25519 private key", unwrap("x25519.pem")},
	{"an Ed448 private key", unwrap("ed448.pem")},
	{"a DSA private key", unwrap("dsa.pem")},
	{"an RSA-PSS private key, which only signs", unwrap("rsa-pss.pem")},
	{"DSA parameters without a key", unwrap("dsa.parameters.pem")},
	{"an OpenSSH private key", unwrap("openssh-rsa")},
	{"a PuTTY private key", unwrap("putty.ppk")},
	{"a PKCS #12 store", unwrap("store.p12")},
	{"a Java key store", unwrap("store.jks")},
	{"an OpenPGP key", unwrap("pgp.private.asc")},
	{"an age identity", unwrap("age.txt")},
	{"a key in OpenSSL's legacy encryption", unwrap("encrypted.legacy-aes256.pem")},
	{"a key encrypted with PBES1", unwrap("encrypted.pbes1-3des.pem")},
	{"a key encrypted with another cipher", unwrap("encrypted.camellia.pem")},
	{"an encrypted key without a passphrase", unwrap("encrypted.scrypt.pem")},
	{"an encrypted key with a wrong passphrase", "key unwrap --passphrase-file wrong.txt --private-key encrypted.scrypt.pem encrypted_key.pem"},
	{"an empty passphrase file", "key unwrap --passphrase-file empty --private-key encrypted.scrypt.pem encrypted_key.pem"},
	{"a key too small for any wrapped key", unwrap("rsa512.pkcs8.pem")},
	{"PEM that is cut off", unwrap("cut.pem")},
	{"PEM whose hyphens became dashes", unwrap("dashes.pem")},
	{"PEM with a damaged number", unwrap("damaged.pem")},
	{"the wrapped key", unwrap("encrypted_key.pem")},
	{"an unwrapped key", unwrap("key.txt")},
	{"some text", unwrap("note.txt")},
	{"an empty file", unwrap("empty")},
	{"a folder", unwrap("folder")},
	{"no such file", unwrap("missing.pem")},
	{"no private key", "key unwrap encrypted_key.pem"},
}

var keyFileMistakes = []mistake{
	{"the private key of another pair", unwrap("other.pem")},
	{"the private key of a pair of another size", unwrap("rsa1024.pkcs8.pem")},
	{"a key wrapped with OAEP", wrappedAs("oaep-sha1.b64")},
	{"a key wrapped with OAEP and SHA-256", wrappedAs("oaep-sha256.b64")},
	{"a wrapped key that lost its end", wrappedAs("short.b64")},
	{"a wrapped key with one character too few", wrappedAs("oddlength.b64")},
	{"two wrapped keys in one file", wrappedAs("two.b64")},
	{"a wrapped key in Base64 three times over", wrappedAs("triple.b64")},
	{"an unwrapped key, to `key unwrap`", wrappedAs("key.txt")},
	{"the private key in place of the wrapped key", wrappedAs("other.pem")},
	{"the public key in place of the wrapped key", wrappedAs("public.pem")},
	{"a certificate in place of the wrapped key", wrappedAs("certificate.pem")},
	{"text that is not Base64", wrappedAs("note.txt")},
	{"an empty file", wrappedAs("empty")},
	{"a file of megabytes", wrappedAs("large")},
	{"a block that holds no key text", wrappedAs("inside-other.b64")},
	{"a block that holds bytes", wrappedAs("inside-binary.b64")},
	{"a block with a key as short as in the vendor's printed sample", wrappedAs("inside-short.b64")},
	{"an unwrapped key without its iv", "decrypt --key noiv.txt --in value.txt"},
	{"an unwrapped key without its key", "decrypt --key nokey.txt --in value.txt"},
	{"two different keys in one text", "decrypt --key twokeys.txt --in value.txt"},
	{"two different ivs in one text", "decrypt --key twoivs.txt --in value.txt"},
	{"a key of the size of AES-128", "decrypt --key aes128.txt --in value.txt"},
	{"a short key", "decrypt --key shortkey.txt --in value.txt"},
	{"a short iv", "decrypt --key shortiv.txt --in value.txt"},
	{"a long key", "decrypt --key longkey.txt --in value.txt"},
	{"a key with a letter that is no digit", "decrypt --key nothex.txt --in value.txt"},
	{"an empty key line", "decrypt --key emptyline.txt --in value.txt"},
	{"a wrapped key without a private key", "decrypt --key encrypted_key.pem --in value.txt"},
	{"no key at all", "decrypt --in value.txt"},
}

var publicMistakes = []mistake{
	{"the private key", "key wrap --public-key rsa2048.pkcs8.pem key.txt"},
	{"an encrypted private key", "key wrap --public-key encrypted.scrypt.pem key.txt"},
	{"a certificate", "key wrap --public-key certificate.pem key.txt"},
	{"a certificate request", "key wrap --public-key request.pem key.txt"},
	{"an SSH public key", "key wrap --public-key openssh-rsa.public key.txt"},
	{"an EC public key", "key wrap --public-key ec.public.pem key.txt"},
	{"an RSA-1024 public key", "key wrap --public-key public1024.pem key.txt"},
	{"PEM that is cut off", "key wrap --public-key cutpublic.pem key.txt"},
	{"an empty file", "key wrap --public-key empty key.txt"},
	{"a text that is no key", "key wrap --public-key public.pem note.txt"},
	{"an empty text", "key wrap --public-key public.pem empty"},
	{"a text too long for the block", "key wrap --public-key public.pem longtext.txt"},
	{"a key size below 2048", "keygen --out pair --bits 1024"},
	{"a file in place of a folder", "keygen --out note.txt"},
	{"a folder that has a key already", "keygen --out has-a-key"},
}

var valueMistakes = []mistake{
	{"a value under another key", "decrypt --key key.txt --in otherkey.b64"},
	{"a value that lost its end", "decrypt --key key.txt --in cutvalue.b64"},
	{"a value that lost one character", "decrypt --key key.txt --in oddvalue.b64"},
	{"a plain stanza", "decrypt --key key.txt --in stanza.xml"},
	{"a plain text", "decrypt --key key.txt --in note.txt"},
	{"Base64 twice over", "decrypt --key key.txt --in double.b64"},
	{"openssl's own password format", "decrypt --key key.txt --in salted.b64"},
	{"raw bytes with a line end after them", "decrypt --key key.txt --encoding raw --in raw-and-newline"},
	{"Base64 named as hexadecimal", "decrypt --key key.txt --encoding hex --in value.txt"},
	{"text named as Base64", "decrypt --key key.txt --encoding base64 --in note.txt"},
	{"bytes named as Base64", "decrypt --key key.txt --encoding base64 --in raw-and-newline"},
	{"an empty file", "decrypt --key key.txt --in empty"},
	{"a column of values without `--lines`", "decrypt --key key.txt --in values.b64"},
	{"an output that is one of the inputs", "decrypt --key key.txt --in value.txt --out key.txt"},
	{"two keys where one is allowed", "encrypt --key key.txt --key other.txt --in note.txt"},
	{"lines of raw bytes", "decrypt --key key.txt --lines --encoding raw --in value.txt"},
	{"a column of which nothing opens", "decrypt --key key.txt --lines --in otherkey.b64"},
	{"a column of which some lines do not open", "decrypt --key key.txt --lines --in column.b64"},
	{"an unknown flag", "decrypt --keys key.txt"},
	{"an output file that an earlier run left unfinished", "decrypt --key key.txt --in value.txt --out left"},
}

var archiveMistakes = []mistake{
	{"no archive", "check"},
	{"no such archive", "check missing.csv"},
	{"a folder without a table", "check folder"},
	{"a password in a URL", "check postgres://officer:secret@db.example.com/tcmadb"},
	{"a database that does not answer", "check postgres://officer@127.0.0.1:1/tcmadb"},
	{"an unknown kind of database", "check mysql://host/tcmadb"},
	{"`--fast` without an address", "search some.csv hello --fast"},
	{"`--fast` with a pattern", "search some.csv --user a* --fast"},
	{"a database", "check sqlserver://host/tcmadb"},
	{"a text file", "check note.txt"},
	{"an empty file", "check empty"},
	{"a table without the columns of JM", "check people.csv"},
	{"a table without a body", "check nobody.csv"},
	{"a compressed file", "check table.csv.gz"},
	{"a damaged `.bacpac`", "check table.bacpac"},
	{"an encrypted archive without a key", "users lost.csv"},
	{"an archive that no key opens", "users lost.csv --key key.txt"},
	{"an archive of which some rows do not open", "users some.csv --key key.txt"},
	{"an unknown time zone", "users some.csv --timezone Mars/Olympus"},
	{"a day that is none", "search some.csv --since 2024-02-30"},
	{"a span that ends before it begins", "search some.csv --since 2024-02-02 --until 2024-02-01"},
	{"a name that nobody has", "search some.csv --user Zoe --people people.csv"},
	{"a name that two people have", "search some.csv --user Anna --people people.csv"},
	{"a list of people that is none", "search some.csv --user Anna --people note.txt"},
	{"a profile without a configuration", "check --profile legal"},
	{"a profile that is not there", "check --profile other --config profiles.yaml"},
	{"a configuration with a mistyped name", "check --profile legal --config typo.yaml"},
	{"a conversation that is not named", "show some.csv"},
	{"an export without a folder", "export some.csv --format jsonl"},
	{"an export of an archive that no key opens", "export lost.csv --format jsonl --out new --key key.txt"},
	{"an export into a folder with other files", "export some.csv --format jsonl --out has-a-key"},
	{"two formats to standard output", "export some.csv --format jsonl --format csv --out -"},
	{"a signature for standard output", "export some.csv --format jsonl --out - --identity officer.id"},
	{"a time of the manifest that is none", "export some.csv --format jsonl --out new --as-of now"},
	{"an export where a run was killed while it replaced another", "export some.csv --format jsonl --out case-9"},
}

var proofMistakes = []mistake{
	{"the verifier in place of the identity", "export some.csv --format jsonl --out new --identity officer.id.pub"},
	{"the RSA private key in place of the identity", "export some.csv --format jsonl --out new --identity rsa2048.pkcs8.pem"},
	{"the identity in place of the RSA private key", unwrap("officer.id")},
	{"a damaged identity", "export some.csv --format jsonl --out new --identity damaged.id"},
	{"an identity with a line that is not known", "identity show newer.id"},
	{"an encrypted identity without a passphrase", "identity show sealed.id"},
	{"an encrypted identity with a wrong passphrase", "identity show sealed.id --passphrase-file wrong.txt"},
	{"a name that is taken, for a new identity", "identity new --out officer.id"},
	{"the identity in place of the verifier", "verify signed --signer officer.id"},
	{"a public key that is cut off", "verify signed --signer ed25519:11qYAYKxCrfVS"},
	{"some text in place of the verifier", "verify signed --signer note.txt"},
	{"no such folder", "verify missing"},
	{"a folder that is no export", "verify folder"},
	{"a signed export, and the verifier of somebody else", "verify signed --signer other.id.pub"},
	{"an export that is not signed, and a verifier", "verify unsigned --signer other.id.pub"},
	{"an export in which a file was changed", "verify changed"},
	{"an export with a file too many", "verify more"},
	{"an export of which a file is missing", "verify less"},
	{"an export whose manifest was changed", "verify false"},
}

var ownMistakes = []mistake{
	{"no identity", "users own.db"},
	{"the identity of somebody for whom it is not sealed", "users own.db --private-key stranger.txt"},
	{"a damaged identity of age", "users own.db --private-key age.txt"},
	{"an identity of an older version, without a decryption key", "users own.db --private-key officer.id"},
	{"the public half of an identity", "users own.db --private-key officer.id.pub"},
	{"an encrypted identity without a passphrase", "users own.db --private-key sealed.id"},
	{"one of ours and one of Cisco's together", "users own.db --also some.csv"},
	{"an address with `*`, to be looked up", "users own.db --fast --user a@*"},
	{"a copy that is cut off", "users cut.db"},
	{"the officer's verifier in place of the archive's", "verify own.db --signer officer.id.pub"},
	{"some text in place of the archive's verifier", "verify own.db --signer note.txt"},
	{"some text in place of an anchor", "verify own.db --anchor note.txt"},
	{"the anchor of another archive", "verify own.db --anchor other.anchor"},
	{"an archive in which a record was changed", "verify changed.db"},
	{"an archive of Cisco's, to be verified", "verify some.csv"},
	{"an anchor for an export", "verify signed --anchor other.anchor"},
}

// TestMistakes runs every mistake and compares what is said with the table in
// docs/mistakes.md, which people review and read.
func TestMistakes(t *testing.T) {
	doc := filepath.Join(testenv.Root(t), "docs", "mistakes.md")
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	makeMistakes(t)
	before := listFiles(t)
	for _, section := range []struct {
		name  string
		cases []mistake
	}{{"private", privateMistakes}, {"keyfile", keyFileMistakes}, {"public", publicMistakes}, {"value", valueMistakes}, {"archive", archiveMistakes}, {"proof", proofMistakes}, {"own", ownMistakes}} {
		var table strings.Builder
		table.WriteString("| you gave | archivolt says | exit |\n|---|---|---|\n")
		for _, m := range section.cases {
			stdout, stderr, code := runApp(t, "", strings.Split(m.args, " ")...)
			if code != 3 && stdout != "" {
				t.Errorf("%s: a failure wrote %d bytes to standard output", m.given, len(stdout))
			}
			if code == 0 {
				t.Errorf("%s: exit 0", m.given)
			}
			for _, secret := range []string{testKey[:16], testIV[:16], testKey[48:], "correct horse", "see <memo>"} {
				if strings.Contains(stderr, secret) {
					t.Errorf("%s: a secret is in the message: %s", m.given, stderr)
				}
			}
			fmt.Fprintf(&table, "| %s | %s | %d |\n", m.given, tableCell(stderr), code)
		}
		begin, end := "<!-- "+section.name+" begin -->\n", "<!-- "+section.name+" end -->"
		head, rest, ok := strings.Cut(string(text), begin)
		want, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no table %q", doc, section.name)
		}
		if *update {
			text = []byte(head + begin + table.String() + end + tail)
			continue
		}
		compareTables(t, want, table.String())
	}
	if *update {
		if err := os.WriteFile(doc, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if after := listFiles(t); after != before {
		t.Errorf("the failed commands changed the folder:\nbefore %s\nafter  %s", before, after)
	}
}

// TestMistakesAreNamedForWhatTheyAre shows that no two rows of one table say the same about
// different mistakes, but for the file's name.
func TestMistakesAreNamedForWhatTheyAre(t *testing.T) {
	makeMistakes(t)
	said := map[string]string{}
	for _, m := range keyFileMistakes {
		_, stderr, _ := runApp(t, "", strings.Split(m.args, " ")...)
		first, _, _ := strings.Cut(stderr, "\n")
		if _, what, ok := strings.Cut(first, ": "); ok {
			first = what
		}
		if earlier, ok := said[first]; ok {
			t.Errorf("%q and %q get the same message: %s", earlier, m.given, first)
		}
		said[first] = m.given
	}
}

func compareTables(t *testing.T, want, got string) {
	t.Helper()
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var wl, gl string
		if i < len(w) {
			wl = w[i]
		}
		if i < len(g) {
			gl = g[i]
		}
		if wl != gl {
			t.Errorf("docs/mistakes.md differs (go test ./cmd/archivolt -run TestMistakes -update, then review):\ndoc  %s\nsaid %s", wl, gl)
		}
	}
}

// tableCell makes one cell of a message: the text, then what to try.
func tableCell(stderr string) string {
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	for i, l := range lines {
		l = strings.TrimPrefix(l, "archivolt: ")
		if try, ok := strings.CutPrefix(l, "  try: "); ok {
			l = "*try:* " + try
		}
		l = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(l)
		lines[i] = l
	}
	return strings.Join(lines, "<br>")
}

// runApp runs one command line in this process.
func runApp(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{ctx: context.Background(), in: strings.NewReader(stdin), out: &out, err: &errs,
		getenv: func(string) string { return "" }}
	code = a.run(args)
	return out.String(), errs.String(), code
}

func listFiles(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// makeMistakes fills a new current folder with the files of the tables.
func makeMistakes(t *testing.T) {
	t.Helper()
	fixtures := filepath.Join(testenv.Root(t), "internal", "keys", "testdata")
	t.Chdir(t.TempDir())
	if err := os.CopyFS(".", os.DirFS(fixtures)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(e.Name(), 0o600); err != nil && !e.IsDir() {
			t.Fatal(err)
		}
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b64 := base64.StdEncoding.EncodeToString
	pub := readRSA(t, "rsa2048.pkcs8.pem")
	wrap := func(text string) []byte {
		//lint:ignore SA1019 the format under test
		block, err := rsa.EncryptPKCS1v15(rand.Reader, pub, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return block
	}
	block := wrap(testText)
	wrapped := b64(block)
	write("encrypted_key.pem", wrapped)
	write("key.txt", testText)
	write("value.txt", testValue)
	write("empty", "")
	write("note.txt", "Please call me back about the memo.\n")
	write("wrong.txt", "battery staple\n")
	write("age.txt", "# created: 2026\nAGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQSZ3L6Q\n")
	write("other.pem", makeOtherKey(t))
	for _, dir := range []string{"folder", "has-a-key", "case-9.replaced"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("has-a-key/private_key.pem", "")

	whole := readFile(t, "rsa2048.pkcs8.pem")
	write("cut.pem", whole[:len(whole)/2])
	write("cutpublic.pem", readFile(t, "public.pem")[:200])
	write("dashes.pem", strings.ReplaceAll(whole, "--", "–"))
	der, _ := pem.Decode([]byte(whole))
	der.Bytes[200] ^= 1 // in the modulus
	write("damaged.pem", string(pem.EncodeToMemory(der)))

	oaep1, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, pub, []byte(testText), nil)
	if err != nil {
		t.Fatal(err)
	}
	oaep256, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, []byte(testText), nil)
	if err != nil {
		t.Fatal(err)
	}
	write("oaep-sha1.b64", b64(oaep1))
	write("oaep-sha256.b64", b64(oaep256))
	write("short.b64", wrapped[:300])
	write("oddlength.b64", wrapped[:343])
	write("two.b64", b64(append(append([]byte{}, block...), block[:200]...)))
	write("triple.b64", b64([]byte(b64([]byte(wrapped)))))
	write("large", strings.Repeat("A", 2<<20))
	write("inside-other.b64", b64(wrap("hello")))
	write("inside-binary.b64", b64(wrap("\x00\x01\x02 key = 1")))
	write("inside-short.b64", b64(wrap("key = 0ec39f2a22abf63d4452b932f12de\niv  = 6683bb3d7e59e82e3fa9f42\n")))

	other := strings.Repeat("5a", 32)
	write("noiv.txt", "key = "+testKey+"\n")
	write("nokey.txt", "iv = "+testIV+"\n")
	write("twokeys.txt", testText+"key = "+other+"\n")
	write("twoivs.txt", testText+"iv = "+other[:32]+"\n")
	write("aes128.txt", "key = "+testKey[:32]+"\niv = "+testIV+"\n")
	write("shortkey.txt", "key = "+testKey[:29]+"\niv = "+testIV+"\n")
	write("shortiv.txt", "key = "+testKey+"\niv = "+testIV[:23]+"\n")
	write("longkey.txt", "key = "+testKey+"00\niv = "+testIV+"\n")
	write("nothex.txt", "key = "+testKey[:63]+"g\niv = "+testIV+"\n")
	write("emptyline.txt", "key =\niv = "+testIV+"\n")
	write("longtext.txt", testText+strings.Repeat("# comment\n", 20))
	write("other.txt", "key = "+other+"\niv = "+testIV+"\n")

	value, err := base64.StdEncoding.DecodeString(testValue)
	if err != nil {
		t.Fatal(err)
	}
	// One block of zeros under the test key ends in no padding (openssl enc -d says "bad decrypt").
	write("otherkey.b64", b64(make([]byte, 32)))
	write("cutvalue.b64", b64(value[:30]))
	write("oddvalue.b64", testValue[:len(testValue)-1])
	write("stanza.xml", "<message to='anna@example.com'><body>hi</body></message>")
	write("double.b64", b64([]byte(testValue)))
	write("salted.b64", b64([]byte("Salted__12345678"+string(value))))
	write("raw-and-newline", string(value)+"\n")
	write("column.b64", testValue+"\n\n"+b64(make([]byte, 32))+"\nAAAA\n"+testValue+"\n")
	write("values.b64", testValue+"\n"+testValue+"\n")
	const header = "to_jid,from_jid,sent_date,msg_type,direction,body_string,message_string\n"
	lost := "a@example.com,b@example.com,2024-01-31 09:00:00,c,I," + b64([]byte("thirty-two bytes of no ciphertext")[:32]) + "," + b64([]byte("sixty-four bytes of no ciphertext, which no key ever opens at all")[:64]) + "\n"
	write("lost.csv", header+lost)
	write("some.csv", header+"a@example.com,b@example.com,2024-01-31 09:00:00,c,I,hello,<message id='1'><body>hello</body></message>\n"+lost)
	write("nobody.csv", "to_jid,from_jid,sent_date\na@example.com,b@example.com,2024-01-31 09:00:00\n")
	write("people.csv", "address,name\na@example.com,Anna Berg\nc@example.com,Anna Cohen\n")
	write("table.csv.gz", "\x1f\x8b\x08\x00\x00\x00\x00\x00")
	write("table.bacpac", "PK\x03\x04\x14\x00\x00\x00")
	write("profiles.yaml", "profiles: {legal: {archive: some.csv}}\n")
	write("typo.yaml", "profiles:\n  legal:\n    archiv: jm.csv\n")
	write("left.partial", "")
	makeProofMistakes(t, write)
	makeOwnMistakes(t, write)
}

// makeProofMistakes makes exports and identities that are wrong. All keys are
// fixed, so that fingerprints are.
func makeProofMistakes(t *testing.T, write func(name, content string)) {
	t.Helper()
	const secret = "# archivolt identity\nsigning-key: ed25519:nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n" // RFC 8032 section 7.1, test 1
	write("officer.id", secret)
	write("officer.id.pub", "verifier: ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n")
	write("other.id.pub", "verifier: ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n") // test 2
	write("damaged.id", strings.Replace(secret, "nWG", "n", 1))
	write("newer.id", secret+"export-key: 1\n")
	write("sealed.id", sealedIdentity)
	for _, args := range []string{"signed --identity officer.id", "unsigned", "changed", "more", "less", "false"} {
		if _, stderr, code := runApp(t, "", strings.Split("export some.csv --format csv --out "+args, " ")...); code != 3 {
			t.Fatalf("%s: exit %d, %s", args, code, stderr)
		}
	}
	write("changed/messages.csv", readFile(t, "changed/messages.csv")[1:]+"x")
	write("more/.DS_Store", "")
	if err := os.Remove("less/messages.csv"); err != nil {
		t.Fatal(err)
	}
	write("false/manifest.json", strings.Replace(readFile(t, "false/manifest.json"), `"reason": null`, `"raison": null`, 1))
}

// makeOwnMistakes makes archives of ours that are wrong.
func makeOwnMistakes(t *testing.T, write func(name, content string)) {
	t.Helper()
	p, other := capturetest.New(t), capturetest.New(t)
	other.ID = ledger.ID{7}
	s := &capturetest.Server{Numbered: true, Now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	s.Chat("anna@example.org", "carl@example.net", "hello", "")
	p.Run(t, s.Copies())
	other.Run(t)
	archive := readFile(t, p.Archive())
	write("own.db", archive)
	// Alice's key of RFC 7748 section 6.1.
	write("stranger.txt", "AGE-SECRET-KEY-1WURK6ZNNRZJH60QKC9E9RVNXGH05CTU8A0QFJ243WLA628DE9S4QRFH26J\n")
	write("cut.db", archive[:len(archive)/2])
	write("other.anchor", readFile(t, other.Anchor()))
	conn, err := sqlite.OpenConn(p.Archive(), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteScript(conn, "UPDATE records SET time = time + 60000", nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	write("changed.db", readFile(t, p.Archive()))
}

// sealedIdentity is that of RFC 8032 under "correct horse", an
// armoured file of age with the smallest work factor.
const sealedIdentity = `-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBocys4cjlWOVFMN0xLUkdy
TWIxMDZnIDEKUHVnc1d2ZllXeGJTZk9RQTZPMFFiMVFsamlJMFY0MVQ5cFdzUEZZ
T3N2bwotLS0gU09DUWVBaEZ4WkFHS3A1L2JtMG15MGFnckFOQUJPYUs1S0xSQ0Rl
RXJwMApVJbv52QP6J4tI4gWcDHjyw4z55ksR4jxwY7rUcal7jYpXKxJJdGySBrd/
KfwYspxIVXPjdm7oJjfLwJqtKHFXLk72XLXHaxmVeBxtBySUcRKx4WUjkjts34UM
L9UsIlENCw==
-----END AGE ENCRYPTED FILE-----
`

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// readRSA returns the public half of a fixture.
func readRSA(t *testing.T, name string) *rsa.PublicKey {
	t.Helper()
	block, _ := pem.Decode([]byte(readFile(t, name)))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &key.(*rsa.PrivateKey).PublicKey
}

func makeOtherKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
