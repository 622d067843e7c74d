package keystore

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"archivolt/internal/problem"
)

// Limits of passwords, in characters.
const (
	MinPassword = 12
	maxPassword = 1024
	// minBeside is how much of a password must be left without usual words.
	minBeside = 8
	// minDifferent is how many different characters a password must have.
	minDifferent = 5
)

// usual are words that are tried first by whoever guesses passwords.
var usual = []string{"correct horse battery staple", "correcthorsebatterystaple", "administrator", "passwort", "password", "passw0rd", "changeme", "changeit", "archivoltd", "archivolt",
	"qwertyuiop", "qwerty", "qwertz", "letmein", "welcome", "iloveyou", "sunshine", "princess", "football", "dragon", "monkey", "master", "secret", "admin", "jabber", "cisco", "abc123",
	"1q2w3e4r5t6y", "1q2w3e4r", "1qaz2wsx"}

// CheckPassword refuses a password that protects nothing, and says what is
// wanted.
func CheckPassword(password []byte) error {
	weak := func(what string) error {
		return problem.New(problem.Usage, "the new password", what,
			fmt.Sprintf("take at least %d characters that nobody guesses, for instance five words drawn at random: whoever has the file can try millions of passwords", MinPassword))
	}
	text := strings.ToLower(string(password))
	n := utf8.RuneCountInString(text)
	different := map[rune]bool{}
	sequence, last := 0, rune(-2)
	for _, r := range text {
		different[r] = true
		if d := r - last; d >= -1 && d <= 1 {
			sequence++
		}
		last = r
	}
	rest := text
	for _, word := range usual {
		rest = strings.ReplaceAll(rest, word, "")
	}
	switch {
	case n == 0:
		return weak("it is empty")
	case n < MinPassword:
		return weak(fmt.Sprintf("it has %d characters, and needs %d", n, MinPassword))
	case n > maxPassword:
		return weak(fmt.Sprintf("it has more than %d characters", maxPassword))
	case len(different) < minDifferent:
		return weak("it is a few characters over and over")
	case sequence > n/2:
		return weak("it is mostly a sequence such as 123456")
	case len(rest) != len(text) && utf8.RuneCountInString(rest) < minBeside:
		return weak("it is made of words that are guessed first")
	}
	return nil
}
