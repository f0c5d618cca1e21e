// Package durable writes files so that a crash, a full disk or a power cut
// leaves either the old content or the new, never a mixture, and never a name
// that points at nothing.
//
// Three shapes cover what the rooms above need:
//
//   - [Disk.WriteFile]: temporary file in the same directory, write, fsync,
//     rename over the final name, fsync the directory. When it returns nil the
//     content survives kill -9 and power loss (as far as the drive honours a
//     flush). When it returns an error the old content is untouched.
//   - [Disk.Stage]: the same, cut in two. A staged file is durable but
//     invisible; a later [Disk.Publish] makes it visible. Between the two lies
//     somebody else's commit, so both halves can be repeated by name after a
//     restart: [Disk.Leftovers] lists what was staged and never published.
//   - [Lock]: one process per directory. The kernel drops the lock when its
//     holder dies, so a stale lock cannot exist.
//
// The order (write, fsync the file, rename, fsync the directory) follows
// Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014
// (https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai):
// without the first fsync a rename may become durable before the bytes do, and
// without the second the name itself may be lost. A failed fsync is never
// retried on the same descriptor, because the kernel may have dropped the dirty
// pages (Rebello et al., "Can Applications Recover from fsync Failures?",
// USENIX ATC 2020): the operation fails as a whole and starts over.
//
// # Faults
//
// A [Disk] carries an optional Fault that is asked before each operation, so
// that a test can make every i-th operation fail once until a run succeeds
// ([FailNth]), or cut a write short ([Torn]).
//
// # Shredding
//
// [Disk.Shred] overwrites a file before it removes it. On a drive that remaps
// writes (every SSD), on a copy-on-write or journaling file system, in a
// snapshot or a backup, old blocks may outlive the overwrite. What must be
// unreadable afterwards is therefore sealed under a key of its own, and that
// key is what gets destroyed; the overwrite is a second line, not the promise.
package durable
