// Package vault keeps everything that rests on a disk sealed: models, an agent's
// journal, a server's secrets. Nothing in it ever writes plaintext to a file.
//
//	v, err := vault.OpenOrCreate(dir, vault.KeyFile(dir+"/root.key"))
//	sealed, err := v.Seal("strategy-state", state)
//	state, err := v.Open("strategy-state", sealed)
//
// # Promise and limits
//
// Against someone who reads, copies or changes the files but holds neither the
// root key nor the process's memory: contents stay secret (also from a later
// quantum computer, since every key is wrapped by the age format's
// ML-KEM-768 + X25519 recipients), and any change, or a sealed thing moved to
// another purpose, is refused with the one indistinct [ErrSealed] and no partial
// plaintext. Not covered: someone who reads the process's memory, someone who
// puts back an older whole file (rollback; the audit log and its witnesses
// notice that), and the sizes and times of files.
//
// # Keys
//
//	provider (key file or passphrase)
//	  └ root key                 vault.key, sealed by the provider
//	      └ project key          vault.key, sealed by the root key
//	          ├ Seal, Open       small things, an age file each
//	          ├ one age identity per model version, sealed, kept in the store's row
//	          └ one data key per journal, sealed, in the head of the journal's log
//
// Erasing a model's wrapped identity shreds the model wherever its file was
// copied. Compacting a journal gives it a new data key and erases the old one,
// so what was deleted before is gone.
//
// # Formats
//
// All integers are big-endian; len16(x) is x behind its length in 16 bits. Each
// format begins with its name and version; a version that this package does not
// know is refused.
//
// Sealed: an age file (https://age-encryption.org/v1) to the project's hybrid
// recipient (https://c2sp.org/age, mlkem768x25519), whose plaintext is
//
//	"tacit-seal/1\n" ‖ tag[32] ‖ payload
//	tag = HMAC-SHA-256(project MAC key, "tacit-seal/1\n" ‖ len32(purpose) ‖ payload)
//
// age proves that the file is whole, not who wrote it; the tag adds that the
// project's holder wrote it for this purpose.
//
// vault.key:
//
//	"tacit-vault/1\n" ‖ vault id[16] ‖ len8(provider kind) ‖ len24(envelope)
//	‖ len24(project) ‖ first 8 bytes of SHA-256 over all before
//
// The envelope holds the 32-byte root key in the provider's form. The project
// part is nonce[24] ‖ XChaCha20-Poly1305(root key, project secret) with the
// vault id and "tacit-vault/1 project" as associated data.
//
// Envelope of kind "keyfile": an age file to the identity in the key file.
// Envelope of kind "passphrase":
//
//	1 ‖ time32 ‖ memory KiB32 ‖ lanes8 ‖ salt[16] ‖ nonce[24] ‖ XChaCha20-Poly1305
//
// keyed by argon2id (RFC 9106, section 4, second recommended choice: 3 passes,
// 64 MiB, 4 lanes) with everything before the nonce as associated data.
//
// Model file: an age file to the model version's own identity, with the plaintext
// of Sealed under purpose "model/" ‖ hex model hash. The journal's format stands
// above [Journal].
package vault
