package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"archivolt/internal/testenv"
)

// TestRemediesWork runs the commands that the messages suggest, with the real
// programs, and reads what they made.
func TestRemediesWork(t *testing.T) {
	for _, program := range []string{"openssl", "ssh-keygen", "puttygen", "keytool"} {
		testenv.Command(t, program)
	}
	const p = "correct horse"
	// The programs ask for passphrases; here they are told.
	answers := strings.NewReplacer(
		"openssl pkey -in", "openssl pkey -passin 'pass:"+p+"' -passout 'pass:"+p+"' -in",
		"openssl pkcs12 -in", "openssl pkcs12 -passin 'pass:"+p+"' -passout 'pass:"+p+"' -in",
		"ssh-keygen -p -m", "ssh-keygen -q -P '' -N '' -p -m",
		"-deststoretype PKCS12", "-deststoretype PKCS12 -srcstorepass '"+p+"' -deststorepass '"+p+"'",
	)
	sameAsPublic := "openssl pkey -pubin -in public.der -outform DER | openssl dgst -sha256 -r"
	sameAsSSH := "ssh-keygen -f openssh-rsa.public -e -m PKCS8 | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r"
	for _, c := range []struct {
		args   string // the mistake
		usual  string // the name under which people keep such a file
		oracle string // prints the fingerprint that the result must have
	}{
		{unwrap("openssh-rsa"), "private_key.pem", sameAsSSH},
		{unwrap("putty.ppk"), "private_key.pem", sameAsSSH},
		{unwrap("store.p12"), "private_key.pem", sameAsPublic},
		{unwrap("store.jks"), "private_key.pem", sameAsPublic},
		{unwrap("encrypted.legacy-aes256.pem"), "private_key.pem", sameAsPublic},
		{unwrap("encrypted.legacy-3des.pem"), "private_key.pem", sameAsPublic},
		{unwrap("encrypted.pbes1-3des.pem"), "private_key.pem", sameAsPublic},
		{unwrap("encrypted.camellia.pem"), "private_key.pem", sameAsPublic},
		{"key wrap --public-key rsa2048.pkcs8.pem key.txt", "public_key.pem", sameAsPublic},
		{"key wrap --public-key encrypted.scrypt.pem key.txt", "public_key.pem", sameAsPublic},
		{"key wrap --public-key certificate.pem key.txt", "public_key.pem", sameAsPublic},
		{"key wrap --public-key request.pem key.txt", "public_key.pem", sameAsPublic},
		{"key wrap --public-key openssh-rsa.public key.txt", "public_key.pem", "ssh-keygen -y -f openssh-rsa > derived.pub && ssh-keygen -f derived.pub -e -m PKCS8 | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r"},
		{wrappedAs("oaep-sha1.b64"), "wrapped.pem", ""},
		{wrappedAs("oaep-sha256.b64"), "wrapped.pem", ""},
		{wrappedAs("triple.b64"), "encrypted_key.pem", ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			makeMistakes(t)
			// The file has the name that people give it, which the remedy must
			// not overwrite.
			words := strings.Split(c.args, " ")
			for i, w := range words {
				if _, err := os.Stat(w); err == nil && w != "key.txt" && w != "encrypted_key.pem" && w != "rsa2048.pkcs8.pem" || i == 3 && words[1] == "wrap" {
					if err := os.Rename(w, c.usual); err != nil {
						t.Fatal(err)
					}
					words[i] = c.usual
				}
			}
			before := readFile(t, c.usual)
			_, stderr, _ := runApp(t, "", words...)
			_, try, ok := strings.Cut(stderr, "  try: ")
			if !ok {
				t.Fatalf("no remedy: %s", stderr)
			}
			command := strings.TrimSuffix(try, "\n")
			for _, lead := range []string{"if it is an RSA key: ", "make the public key of it with: ", "take the public key out of it with: ", "undo one encoding with: "} {
				command = strings.TrimPrefix(command, lead)
			}
			command, _, _ = strings.Cut(command, "; then pass")
			shell(t, answers.Replace(command))
			if readFile(t, c.usual) != before {
				t.Errorf("%s changes the file it was made for", command)
			}
			makes := "converted_" + map[string]string{"encrypted_key.pem": "encrypted_key.pem", "wrapped.pem": "key.txt"}[c.usual]
			if c.oracle != "" {
				makes = "converted_" + map[bool]string{true: "public_key.pem", false: "private_key.pem"}[words[1] == "wrap"]
			}

			if c.oracle == "" {
				args := []string{"decrypt", "--private-key", "rsa2048.pkcs8.pem", "--key", makes, "--in", "value.txt"}
				if out, errs, code := runApp(t, "", args...); code != 0 || !strings.HasSuffix(out, "<memo>") {
					t.Errorf("the result does not open a value: exit %d, %s", code, errs)
				}
				return
			}
			if err := os.WriteFile("pass.txt", []byte(p+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			out, errs, code := runApp(t, "", "--json", "key", "inspect", "--passphrase-file", "pass.txt", makes)
			if code != 0 {
				t.Fatalf("the result is not read: %s", errs)
			}
			var got struct {
				Found []struct{ Fingerprint string }
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			want, _, _ := strings.Cut(shell(t, c.oracle), " ")
			if len(got.Found) != 1 || got.Found[0].Fingerprint != want {
				t.Errorf("found %+v, want fingerprint %s", got.Found, want)
			}
		})
	}
}

// shell runs a POSIX shell command and returns what it prints.
func shell(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-euc", command)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v\n%s%s", command, err, out, errs.String())
	}
	return string(out)
}
