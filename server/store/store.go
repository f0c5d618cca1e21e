package store

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
)

// Errors that a caller branches on. A full disk is durable.ErrDiskFull; a
// directory in use is a *durable.LockedError.
var (
	// ErrFenced: another process has taken the lease. Stop.
	ErrFenced = errors.New("the store's lease belongs to another process now")
	// ErrConflict: the batch contradicts what is stored. Nothing was changed.
	ErrConflict = errors.New("contradicts what is stored")
	// ErrNotFound: a read found nothing under that key.
	ErrNotFound = errors.New("not in the store")
)

// A SchemaError says that a newer program wrote the database.
type SchemaError struct {
	Path        string
	Have, Known int
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("%s has schema version %d; this program knows up to %d", e.Path, e.Have, e.Known)
}

// Hint is the advice printed under the error.
func (e *SchemaError) Hint() string { return "use the newer tacit that wrote it; nothing was changed" }

// A DamagedError names a database whose content cannot be what was written.
type DamagedError struct {
	Path string
	What string
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %s", e.Path, e.What) }

// Hint is the advice printed under the error.
func (e *DamagedError) Hint() string {
	return "restore the directory from a backup; the agents' receipts will show what the backup lacks"
}

// A TokenError says why a token could not be redeemed.
type TokenError struct {
	ID     string
	Reason string // "unknown", "redeemed", "burnt" or "expired"
}

func (e *TokenError) Error() string { return fmt.Sprintf("joining token %s is %s", e.ID, e.Reason) }

// A Log turns entries into a signed Merkle tree. Both methods are called inside
// the transaction and must not call back into the store.
type Log interface {
	// Append returns the stored hashes (in order of their tlog index, beginning at
	// StoredHashCount(size)) and the new root for entries after the first size. r
	// knows the hashes before this batch only.
	Append(r tlog.HashReader, size int64, entries [][]byte) (hashes []tlog.Hash, root tlog.Hash, err error)
	// SignCheckpoint returns the signed checkpoint of a tree.
	SignCheckpoint(size int64, root tlog.Hash) ([]byte, error)
}

// A Fence is the fencing epoch that a writer holds.
type Fence uint64

// A Head is the log's newest checkpoint. The zero Head is that of an empty log,
// for which nothing has been signed.
type Head struct {
	Size       int64
	Root       tlog.Hash
	Checkpoint []byte
}

// A Store is safe for concurrent use. Bytes that it returns are the caller's;
// bytes given to it are not kept. Empty bytes come back as nil, times in UTC.
type Store interface {
	// Acquire raises the fencing epoch: every earlier fence is dead.
	Acquire(ctx context.Context, holder string) (Fence, error)
	// Commit makes the whole batch durable, or nothing of it, and returns the
	// log's head after it.
	Commit(ctx context.Context, f Fence, b *Batch) (Head, error)

	Head(ctx context.Context) (Head, error)
	// Entries returns entries from … to−1; a range beyond the log is ErrNotFound.
	Entries(ctx context.Context, from, to int64) ([][]byte, error)
	HashReader(ctx context.Context) tlog.HashReader
	// Checkpoint returns the checkpoint that was signed at exactly that size.
	Checkpoint(ctx context.Context, size int64) ([]byte, error)

	LoadRun(ctx context.Context, run id.RunID) (Run, error)
	Runs(ctx context.Context) ([]Run, error) // by Created, then ID
	Epochs(ctx context.Context, run id.RunID) ([]Epoch, error)
	LastEpoch(ctx context.Context) (uint64, error) // of the federation; 0 before the first
	LoadAttempt(ctx context.Context, k Key) (Attempt, error)
	Attempts(ctx context.Context, run id.RunID) ([]Attempt, error) // by r, cohort, slice
	// Messages returns, in order of arrival, what to replay for an attempt, or
	// with r = 0 for the epoch's own stages.
	Messages(ctx context.Context, run id.RunID, epoch, r uint64) ([]Message, error)
	Reports(ctx context.Context, k Key) ([]Report, error) // by arrival
	LoadModel(ctx context.Context, run id.RunID, round uint64) (Model, error)
	Models(ctx context.Context, run id.RunID) ([]Model, error) // by round
	Record(ctx context.Context, digest [32]byte) ([]byte, error)
	Records(ctx context.Context) ([]Record, error) // by digest

	LoadToken(ctx context.Context, tokenID string) (Token, error)
	Tokens(ctx context.Context) ([]Token, error) // by ID
	Candidates(ctx context.Context) ([]Candidate, error)
	Roster(ctx context.Context, version uint64) ([]byte, error)
	LatestRoster(ctx context.Context) (version uint64, body []byte, err error)
	Charter(ctx context.Context, hash [32]byte) ([]byte, error)
	LatestCharter(ctx context.Context) (hash [32]byte, body []byte, err error)
	Receipts(ctx context.Context, k Key) ([]Receipt, error)              // by agent
	Cosignatures(ctx context.Context, size int64) ([]Cosignature, error) // by agent
	BytesOut(ctx context.Context) ([]ByteCount, error)                   // by agent, class, kind
	Setting(ctx context.Context, name string) ([]byte, error)

	Close() error
}

// PutReport commits one report. Sending the same report again is not an error.
func PutReport(ctx context.Context, s Store, f Fence, r Report) (Head, error) {
	return s.Commit(ctx, f, &Batch{Reports: []Report{r}})
}
