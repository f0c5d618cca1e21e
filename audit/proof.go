package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// maxProof is the longest proof in a log of 2^64 entries.
const maxProof = 64

// Proof is an inclusion or a consistency proof (RFC 6962, sections 2.1.1 and 2.1.2).
type Proof []tlog.Hash

// AppendBinary appends one byte with the number of hashes, then the hashes.
func (p Proof) AppendBinary(b []byte) []byte {
	b = append(b, byte(len(p)))
	for _, h := range p {
		b = append(b, h[:]...)
	}
	return b
}

// ParseProof reads exactly the bytes that [Proof.AppendBinary] writes.
func ParseProof(b []byte) (Proof, error) {
	if len(b) == 0 || b[0] > maxProof || len(b) != 1+int(b[0])*tlog.HashSize {
		return nil, fmt.Errorf("audit: proof: %d bytes that hold none", len(b))
	}
	p := make(Proof, b[0])
	for i := range p {
		copy(p[i][:], b[1+i*tlog.HashSize:])
	}
	return p, nil
}

// ProveInclusion proves that entry index is in the log of the given size.
func ProveInclusion(r tlog.HashReader, size, index uint64) (Proof, error) {
	if size > maxSize || index >= size {
		return nil, fmt.Errorf("audit: no entry %d in a log of %d", index, size)
	}
	p, err := tlog.ProveRecord(int64(size), int64(index), r)
	if err != nil {
		return nil, fmt.Errorf("audit: prove entry %d: %w", index, err)
	}
	return Proof(p), nil
}

// CheckInclusion checks that p proves entry, as leaf index, against head.
func CheckInclusion(p Proof, head Head, index uint64, entry []byte) error {
	if head.Size > maxSize || index >= head.Size {
		return fmt.Errorf("audit: no entry %d in a log of %d", index, head.Size)
	}
	if err := tlog.CheckRecord(tlog.RecordProof(p), int64(head.Size), head.Root, int64(index), tlog.RecordHash(entry)); err != nil {
		return fmt.Errorf("audit: entry %d is not proved to be in the log of %d: %w", index, head.Size, err)
	}
	return nil
}

// ProveConsistency proves that the log of the given size extends that of oldSize.
func ProveConsistency(r tlog.HashReader, oldSize, size uint64) (Proof, error) {
	if size > maxSize || oldSize > size {
		return nil, fmt.Errorf("audit: a log of %d does not extend one of %d", size, oldSize)
	}
	if oldSize == 0 {
		return nil, nil // every log extends the empty one
	}
	p, err := tlog.ProveTree(int64(size), int64(oldSize), r)
	if err != nil {
		return nil, fmt.Errorf("audit: prove that %d extends %d: %w", size, oldSize, err)
	}
	return Proof(p), nil
}

// CheckConsistency checks that p proves that the log at head extends the one at old.
func CheckConsistency(p Proof, old, head Head) error {
	if old.Size > head.Size || head.Size > maxSize {
		return fmt.Errorf("audit: a log of %d does not extend one of %d", head.Size, old.Size)
	}
	if old.Size == 0 {
		if len(p) != 0 {
			return fmt.Errorf("audit: a proof of %d hashes where none is needed", len(p))
		}
		return nil
	}
	if err := tlog.CheckTree(tlog.TreeProof(p), int64(head.Size), head.Root, int64(old.Size), old.Root); err != nil {
		return fmt.Errorf("audit: the log of %d is not proved to extend that of %d: %w", head.Size, old.Size, err)
	}
	return nil
}
