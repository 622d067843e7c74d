// Package cisco reads the encrypted archive of Cisco IM and Presence's Message
// Archiver: the wrapped key file (ParseKeyFile, Unwrap), the key itself (Key)
// and the encrypted values (DecodeValue, Decrypter).
//
// What is known of the format, and how surely, is in docs/format/cisco.md. In
// short: AES-256-CBC with PKCS #7 padding, one key and one initialisation
// vector for every value, no authentication. So nothing here can tell a
// genuine value from a forged one, and equal plaintexts have equal
// ciphertexts.
//
// A Key is secret. No method prints it; what "key unwrap --reveal" shows is the
// text that was wrapped.
package cisco
