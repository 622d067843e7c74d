// Package keys reads and makes the officer's RSA keys and says what a key file
// is. Use ParsePrivate to read a private key, ParsePublic for a public one and
// Identify to describe any file to a person.
//
// Private keys stay in memory. Nothing here writes a file, prompts or logs;
// errors are problems (package problem) that name the file and the command
// which mends it, and hold no part of a key or passphrase.
//
// RSA PKCS #1 v1.5 (RFC 8017 section 7.2) is what Cisco IM and Presence wraps
// its key with, so it is used here although it is unfit for new designs: the
// files are decrypted offline, one at a time, by their owner, where no
// attacker can query for padding errors. The layout test keeps RSA decryption
// out of every package but this one and cisco.
package keys
