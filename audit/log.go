package audit

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxSize bounds a log: tlog counts in int64 and stores about two hashes per entry.
const maxSize = math.MaxInt64 / 4

// Extension is what appending entries adds to a log.
type Extension struct {
	First  int64       // where Hashes[0] is stored (tlog.StoredHashIndex order)
	Hashes []tlog.Hash // to be stored at First, First+1, …
	Size   uint64      // the log's size afterwards
	Root   tlog.Hash   // and its root
}

// Extend computes what entries, which are the canonical bytes of [Entry] values
// numbered size, size+1, …, add to a log of the given size, whose stored hashes r
// reads. It changes nothing: the caller stores entries and hashes in one transaction.
func Extend(r tlog.HashReader, size uint64, entries [][]byte) (Extension, error) {
	if size > maxSize-uint64(len(entries)) {
		return Extension{}, fmt.Errorf("audit: extend: a log of %d entries is full", size)
	}
	x := Extension{First: tlog.StoredHashCount(int64(size)), Size: size}
	both := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return x.read(r, indexes)
	})
	for _, raw := range entries {
		e, err := ParseEntry(raw)
		if err != nil {
			return Extension{}, err
		}
		if e.Sequence != x.Size {
			return Extension{}, fmt.Errorf("audit: extend: entry %d where %d is next", e.Sequence, x.Size)
		}
		hashes, err := tlog.StoredHashes(int64(x.Size), raw, both)
		if err != nil {
			return Extension{}, fmt.Errorf("audit: extend: %w", err)
		}
		x.Hashes = append(x.Hashes, hashes...)
		x.Size++
	}
	root, err := TreeRoot(both, x.Size)
	if err != nil {
		return Extension{}, err
	}
	x.Root = root
	return x, nil
}

// read serves the stored hashes below First from r and the rest from x.
func (x *Extension) read(r tlog.HashReader, indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	var old, at []int64
	for i, n := range indexes {
		switch {
		case n < x.First:
			old, at = append(old, n), append(at, int64(i))
		case n-x.First < int64(len(x.Hashes)):
			out[i] = x.Hashes[n-x.First]
		default:
			return nil, fmt.Errorf("hash %d is not stored", n)
		}
	}
	if len(old) == 0 {
		return out, nil
	}
	hashes, err := r.ReadHashes(old)
	if err != nil {
		return nil, err
	}
	if len(hashes) != len(old) {
		return nil, errors.New("the hash reader left some out")
	}
	for i, h := range hashes {
		out[at[i]] = h
	}
	return out, nil
}

// TreeRoot returns the root of the first size entries of a log. The root of nothing
// is the hash of the empty string (RFC 6962, section 2.1).
func TreeRoot(r tlog.HashReader, size uint64) (tlog.Hash, error) {
	if size > maxSize {
		return tlog.Hash{}, fmt.Errorf("audit: a log of %d entries", size)
	}
	h, err := tlog.TreeHash(int64(size), r)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("audit: root: %w", err)
	}
	return h, nil
}

// Log binds the pure functions of this package to one signing key, in the shape that
// a store calls inside its transaction.
type Log struct{ signer note.Signer }

// NewLog returns the log that signs with signerKey (see [GenerateLogKey]).
func NewLog(signerKey string) (*Log, error) {
	s, err := NewSigner(signerKey)
	if err != nil {
		return nil, err
	}
	return &Log{signer: s}, nil
}

// Append is [Extend] for stores: it returns the hashes to store behind those of the
// first size entries, and the new root.
func (l *Log) Append(r tlog.HashReader, size int64, entries [][]byte) ([]tlog.Hash, tlog.Hash, error) {
	if size < 0 {
		return nil, tlog.Hash{}, fmt.Errorf("audit: a log of %d entries", size)
	}
	x, err := Extend(r, uint64(size), entries)
	return x.Hashes, x.Root, err
}

// SignCheckpoint is [SignCheckpoint] with the log's key.
func (l *Log) SignCheckpoint(size int64, root tlog.Hash) ([]byte, error) {
	if size < 0 {
		return nil, fmt.Errorf("audit: a log of %d entries", size)
	}
	return SignCheckpoint(l.signer, uint64(size), root)
}

// hashStore is a log's stored hashes in memory.
type hashStore []tlog.Hash

// ReadHashes implements tlog.HashReader.
func (s hashStore) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n < 0 || n >= int64(len(s)) {
			return nil, fmt.Errorf("hash %d is not stored", n)
		}
		out[i] = s[n]
	}
	return out, nil
}

// storeLeaves computes the stored hashes over leaf hashes.
func storeLeaves(leaves []tlog.Hash) (hashStore, error) {
	s := make(hashStore, 0, tlog.StoredHashCount(int64(len(leaves))))
	for i, h := range leaves {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), h, s)
		if err != nil {
			return nil, err
		}
		s = append(s, hashes...)
	}
	return s, nil
}
