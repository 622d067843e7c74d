// Package proof makes and checks what shows that an export was not changed:
// manifest.json, which names every file with its hash and every record by a
// Merkle tree hash, and manifest.sig, an Ed25519 signature over it. The format
// is docs/format/manifest.md; contrib/verify holds a second verifier that
// shares no code with this one.
//
// Builder makes a manifest while an export is written, in memory that does not
// grow with the records. Verify needs neither the archive nor a private key.
package proof
