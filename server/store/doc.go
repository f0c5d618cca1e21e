// Package store is the server's memory: what it knew before it was killed, it
// knows after it starts again. Callers speak of runs, attempts, reports and
// entries; no SQL leaves this package.
//
// Everything is written by one call:
//
//	head, err := s.Commit(ctx, fence, &store.Batch{Entries: …, Runs: …, Attempts: …})
//
// All of the batch is durable when it returns nil, and none of it when it
// returns an error. Log entries, the Merkle tree's stored hashes and the newly
// signed checkpoint are rows of the same transaction as the state they describe,
// so log and state cannot drift apart.
//
// # Fencing
//
// One lease row holds a fencing epoch. [Store.Acquire] raises it and every commit
// checks it inside the transaction: a process that lost the lease, however late
// it wakes up, gets [ErrFenced] and changes nothing. On a local directory the
// operating system's lock keeps a second process out in the first place.
//
// # Rules that hold for every writer
//
// Apart from plain replacement the store refuses, with [ErrConflict], what no
// correct engine does: an attempt number used again, a second online set or
// certificate for one attempt, a certificate beside an abort certificate, a
// second report of one agent with other bytes, a second model for one round, an
// epoch or roster version that does not rise, a round that falls. A conflict is
// a defect or an attack, not a race: with a single fenced writer there is none.
//
// # Secrets
//
// The store never sees a key. Strategy state, spool keys and wrapped model
// identities arrive sealed. Erasing one of them overwrites its row's page
// (SQLite secure_delete) and empties the write-ahead log.
//
// # On disk
//
// tacit.db, SQLite with write-ahead log, synchronous=FULL: a commit has been
// fsynced. The schema's number is user_version; a larger number than this
// program knows is refused. Each row carries 8 bytes of a SHA-256 over its
// table and values, checked at each read, so that a flipped bit is a
// [*DamagedError] and not a different model. Damage to the write-ahead log
// itself is different: SQLite cannot tell it from a commit that was cut short,
// and goes back to the last whole one. The agents notice, because the log then
// is shorter than a checkpoint that they hold.
//
// [Memory] holds the same behaviour in maps, for tests and simulation. The suite
// in storetest holds both to it. The rules themselves stand once, in apply.go,
// above a thin row interface that the two implement.
package store
