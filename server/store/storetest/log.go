// Package storetest holds every store to one behaviour.
package storetest

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/server/store"
)

// Log is a plain Merkle log whose checkpoints are readable text. Fail, if set,
// makes signing fail.
type Log struct{ Fail error }

// Append implements store.Log with tlog's own functions.
func (l *Log) Append(r tlog.HashReader, size int64, entries [][]byte) ([]tlog.Hash, tlog.Hash, error) {
	first := tlog.StoredHashCount(size)
	var added []tlog.Hash
	// Hashes of this batch are not yet in r.
	both := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, n := range at {
			if n >= first {
				out[i] = added[n-first]
				continue
			}
			h, err := r.ReadHashes([]int64{n})
			if err != nil {
				return nil, err
			}
			out[i] = h[0]
		}
		return out, nil
	})
	for i, e := range entries {
		hs, err := tlog.StoredHashes(size+int64(i), e, both)
		if err != nil {
			return nil, tlog.Hash{}, err
		}
		added = append(added, hs...)
	}
	root, err := tlog.TreeHash(size+int64(len(entries)), both)
	return added, root, err
}

// SignCheckpoint implements store.Log.
func (l *Log) SignCheckpoint(size int64, root tlog.Hash) ([]byte, error) {
	return fmt.Appendf(nil, "test\n%d\n%v\n", size, root), l.Fail
}

var _ store.Log = (*Log)(nil)
