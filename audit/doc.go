// Package audit keeps the federation's transparency log and turns it into evidence
// that a stranger can check.
//
// Every committed transition is one [Entry] of at most 512 bytes. The entries are
// the leaves of an RFC 6962 Merkle tree (golang.org/x/mod/sumdb/tlog); the server
// appends them with [Log] inside the database transaction that they describe, so
// that log and state cannot drift. The tree's head is a C2SP checkpoint
// (https://c2sp.org/tlog-checkpoint), a note signed with the log's Ed25519 key.
// Agents are its witnesses: a [Witness] accepts a checkpoint only if it extends the
// last one, and an agent's cosignature (https://c2sp.org/tlog-cosignature) says so
// to others. A log that shows two histories leaves a [Violation]: two signed
// statements that cannot both be true.
//
// What does not fit an entry is a record ([RunRecord], [EpochRecord], [RoundRecord],
// [FinishRecord]); the entry carries its SHA-256 digest.
//
// evidence.zip holds all of it. The order of making one is fixed, because the report
// is itself logged:
//
//	checkpoint N → Build: verify entries 0…N−1, render the report as of N
//	→ entry N, "report made" → checkpoint N+1 → Draft.Assemble: the archive
//
// [Verify] needs the archive and the log's public key and nothing else. It
// re-encodes the archive, checks every signature, recomputes the root from all
// entries, replays the events as a state machine, follows the chain of model hashes,
// checks the digest of each record, and renders the report again: one changed byte
// anywhere is a [Refuted] error that names the entry or the file.
//
// What it cannot show: that the operator logged what really happened at a branch
// beyond what branches signed; that rows were what the branch says; and that no
// second history exists, if operator and all witnesses collude.
//
// Every function here is pure: time, randomness and bytes are passed in.
package audit
