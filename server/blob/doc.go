// Package blob keeps a server's large files in a directory: masked inputs while
// a round collects them, and sealed models.
//
// Nothing in it is plaintext. A masked input is sealed here, under a key that
// belongs to one attempt ([Dir.PutSealed]); erasing that key shreds the whole
// spool. A model arrives sealed ([Dir.Put], [Dir.Stage]).
//
// A model's file and its row in the store must appear together, and they lie on
// two sides of a transaction. So the file is staged (durable, invisible), the
// transaction commits, and the file is published; after a crash in between,
// [Dir.Staged] names what was left and the store tells whether to publish or to
// discard it.
//
// # Spool format
//
//	"tacit-spool/1\n" ‖ salt[16] ‖ chunks
//
// A file key is HKDF-SHA-256(attempt key, salt, "tacit-spool/1 " ‖ name), so that
// a file moved to another name, or under another attempt's key, does not open.
// Chunks hold 64 KiB of plaintext each, the last one less or as much, sealed
// with AES-256-GCM (hardware on every target machine; a file key seals fewer
// than 2^32 chunks with nonces that count). The nonce is counter[11] ‖ last[1]
// with last = 1 on the last chunk only: the STREAM construction (Hoang,
// Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its
// Nonce-Reuse Misuse-Resistance", CRYPTO 2015), as age uses it. A file that is
// cut, extended, reordered or changed does not open to its end.
package blob
