// Package keystore keeps the key of an archive in Cisco's format: in one file,
// under the encryption password, with earlier keys and a record of who was
// given which. docs/format/keystore.md describes the file.
//
// It does what IM&P does with its key (Cisco's IM compliance guide, "Encrypt
// the compliance database"): a key is made, handed out wrapped for a public key,
// disabled, and replaced. Other than IM&P it deletes none: a key that is
// replaced stays in the file, and a copy for the officer is demanded before.
//
// The password becomes a key by Argon2id (RFC 9106), and that key seals the
// rest with AES-256-GCM; both come from libraries.
package keystore
