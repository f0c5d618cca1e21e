package secureagg

import (
	"crypto/sha256"
	"math/bits"
)

// digest is a node of a Merkle tree. Trees have RFC 6962's shape; leaves are
// SHA-256(0x00 ‖ len(label) ‖ label ‖ data), nodes SHA-256(0x01 ‖ left ‖ right).
type digest = [32]byte

func leafHash(label string, parts ...[]byte) (d digest) {
	var buf [256]byte
	b := append(buf[:0], 0, byte(len(label)))
	b = append(b, label...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

func nodeHash(l, r *digest) digest {
	var b [65]byte
	b[0] = 1
	copy(b[1:], l[:])
	copy(b[33:], r[:])
	return sha256.Sum256(b[:])
}

// splitSize is the size of the left subtree: the largest power of two below n.
func splitSize(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// merkleRoot returns the root over one or more leaves.
func merkleRoot(leaves []digest) digest {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := splitSize(len(leaves))
	l, r := merkleRoot(leaves[:k]), merkleRoot(leaves[k:])
	return nodeHash(&l, &r)
}

// appendProof appends the digests that let a verifier, who has the wanted leaves,
// compute the root: the roots of the largest subtrees without a wanted leaf, from
// left to right. want must hold at least one leaf below len(leaves).
func appendProof(proof, leaves []digest, want *bitmap) []digest {
	return proofRange(proof, leaves, 0, want)
}

func proofRange(proof, leaves []digest, at int, want *bitmap) []digest {
	if !want.any(at, at+len(leaves)) {
		return append(proof, merkleRoot(leaves))
	}
	if len(leaves) == 1 {
		return proof
	}
	k := splitSize(len(leaves))
	proof = proofRange(proof, leaves[:k], at, want)
	return proofRange(proof, leaves[k:], at+k, want)
}

// proofSize is the number of digests of a proof of the wanted leaves of n.
func proofSize(n int, want *bitmap) int { return proofCount(0, n, want) }

func proofCount(at, n int, want *bitmap) int {
	if !want.any(at, at+n) {
		return 1
	}
	if n == 1 {
		return 0
	}
	k := splitSize(n)
	return proofCount(at, k, want) + proofCount(at+k, n-k, want)
}

// rootFromProof computes the root of a tree of n leaves from the wanted ones, which
// leaf returns, and a proof of exactly [proofSize] digests.
func rootFromProof(n int, want *bitmap, leaf func(int) digest, proof []digest) (root digest, ok bool) {
	if len(proof) != proofSize(n, want) {
		return digest{}, false
	}
	return rootRange(0, n, want, leaf, &proof), true
}

func rootRange(at, n int, want *bitmap, leaf func(int) digest, proof *[]digest) digest {
	if !want.any(at, at+n) {
		d := (*proof)[0]
		*proof = (*proof)[1:]
		return d
	}
	if n == 1 {
		return leaf(at)
	}
	k := splitSize(n)
	l := rootRange(at, k, want, leaf, proof)
	r := rootRange(at+k, n-k, want, leaf, proof)
	return nodeHash(&l, &r)
}

// bitmap is a set of members by index, or of a member's slots.
type bitmap [(maxSlots + 7) / 8]byte

func (s *bitmap) has(i int) bool { return s[i/8]&(1<<(i%8)) != 0 }
func (s *bitmap) add(i int)      { s[i/8] |= 1 << (i % 8) }

// octet is the byte of the eight members from i on, which need not be aligned.
func (s *bitmap) octet(i int) (v byte) {
	for k := range 8 {
		if i+k < maxSlots && s.has(i+k) {
			v |= 1 << k
		}
	}
	return v
}

func (s *bitmap) count() (n int) {
	for _, b := range s {
		n += bits.OnesCount8(b)
	}
	return n
}

// any reports whether s has a member in [from, to).
func (s *bitmap) any(from, to int) bool {
	for i := from; i < to; i++ {
		if s.has(i) {
			return true
		}
	}
	return false
}

// members lists s in ascending order.
func (s *bitmap) members() []int {
	var m []int
	for i := range maxSlots {
		if s.has(i) {
			m = append(m, i)
		}
	}
	return m
}

func only(i int) *bitmap {
	var s bitmap
	s.add(i)
	return &s
}
