package client

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tacit/audit"
	"tacit/wire"
)

type log struct {
	signer  note.Signer
	entries [][]byte
	hashes  []tlog.Hash
	size    uint64
	root    tlog.Hash
}

func (l *log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("no hash %d", n)
		}
		out[i] = l.hashes[n]
	}
	return out, nil
}

func (l *log) append(t *testing.T, e audit.Entry) int {
	e.Sequence, e.Time = l.size, time.Now().UnixMilli()
	b, err := e.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := audit.Extend(l, l.size, [][]byte{b})
	if err != nil {
		t.Fatal(err)
	}
	l.entries = append(l.entries, b)
	l.hashes = append(l.hashes, x.Hashes...)
	l.size, l.root = x.Size, x.Root
	return len(l.entries) - 1
}

// proof proves entry index (−1: none) to someone who has seen the log at size old.
func (l *log) proof(t *testing.T, index int, old uint64) wire.Proof {
	cp, err := audit.SignCheckpoint(l.signer, l.size, l.root)
	if err != nil {
		t.Fatal(err)
	}
	p := wire.Proof{TreeSize: l.size, OldSize: old, Checkpoint: cp}
	if index >= 0 {
		in, err := audit.ProveInclusion(l, l.size, uint64(index))
		if err != nil {
			t.Fatal(err)
		}
		p.Index = uint64(index)
		for _, h := range in {
			p.Inclusion = append(p.Inclusion, h)
		}
	}
	if old > 0 && old < l.size {
		con, err := audit.ProveConsistency(l, old, l.size)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range con {
			p.Consistency = append(p.Consistency, h)
		}
	}
	return p
}
