// Package prosody holds no Go code but the tests of mod_archivolt, the module
// (in Lua) with which Prosody hands its messages to archivoltd. For
// administrators: docs/prosody.md.
package prosody
