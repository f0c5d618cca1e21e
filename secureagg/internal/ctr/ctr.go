// Package ctr adds keystreams of AES-256-CTR to vectors over ℤ_2^b: the masks of
// secure aggregation. A vector passes through the registers once for up to 128
// streams; each stream's words are made there, added and never stored.
//
// The stream of a key is AES-256-CTR (FIPS 197, NIST SP 800-38A §6.5) from counter
// block 0, read as packed little-endian words of b bits. Its word i stands at byte
// i·b/8, so any slice of a vector can be masked apart from the others.
//
// Three sets of loops give the same bytes: VAES with AVX-512, AES-NI with AVX, and
// the cryptography extension of arm64. The twin over crypto/aes is their meaning and
// runs elsewhere, under the build tag purego, or if the environment has TACIT_AES=go
// (TACIT_AES=aesni leaves out VAES).
//
// The loops and the key expansion have no branch and no address that depends on a
// key, a stream or a word of a vector; lengths, offsets and signs are public. The twin
// is as good as crypto/aes is: on a machine without AES instructions, and under purego,
// that one looks up tables.
package ctr

import (
	"fmt"
	"io"
	"unsafe"
)

// Kernel names the instructions that run here: vaes, aesni, aes (of arm64) or go.
func Kernel() string { return levelNames[level] }

// Key is an expanded key: the 15 round keys of AES-256, of which the first two are
// the key itself. It holds a secret: clear it after use.
type Key struct{ round [15][16]byte }

// Format keeps the key out of prints.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, "ctr.Key(redacted)") }

// Apply adds the streams of plus to dst and subtracts those of minus, modulo 2^16,
// 2^32 or 2^64. The first word of dst is word offset of each stream.
func Apply[W uint16 | uint32 | uint64](dst []W, offset uint64, plus, minus []Key) {
	switch d := any(dst).(type) {
	case []uint16:
		apply(&ring16, d, 0, offset, plus, minus)
	case []uint32:
		apply(&ring32, d, 0, offset, plus, minus)
	case []uint64:
		apply(&ring64, d, 0, offset, plus, minus)
	}
}

// Apply24 is Apply modulo 2^24: words of three bytes in the streams, the low three
// bytes of four in dst. The fourth is ignored and left 0.
func Apply24(dst []uint32, offset uint64, plus, minus []Key) {
	apply(&ring24, dst, 0, offset, plus, minus)
}

// ring says how words lie in the stream and in memory.
type ring struct {
	kind   int // index into the kernels
	words  int // words in a unit, the least run of whole words in whole blocks
	blocks int // AES blocks in a unit
	unit   int // bytes of a unit in memory
}

var (
	ring16 = ring{kind: 0, words: 8, blocks: 1, unit: 16}
	ring24 = ring{kind: 1, words: 16, blocks: 3, unit: 64}
	ring32 = ring{kind: 2, words: 4, blocks: 1, unit: 16}
	ring64 = ring{kind: 3, words: 2, blocks: 1, unit: 16}
)

// A call of a kernel cannot be preempted, so its work is bounded: tileBytes of the
// vector (16 KiB, which also stay in the first-level cache from call to call) under
// maxKeys streams take about 70 µs with VAES.
const (
	tileBytes = 16 << 10
	maxKeys   = 128
)

// maxGroup is the largest number of bytes that a kernel takes at a time.
const maxGroup = 1024

// apply is Apply with the upper half of the counter block, 0 but for a test with a
// published vector. The lower half starts at offset in blocks and does not wrap:
// offset has 64 bits, and a block at least two words.
func apply[W uint16 | uint32 | uint64](r *ring, dst []W, hi, offset uint64, plus, minus []Key) {
	if len(dst) == 0 || len(plus)+len(minus) == 0 {
		return
	}
	block, skip := offset/uint64(r.words)*uint64(r.blocks), int(offset%uint64(r.words))
	group := groupBytes(r.kind)
	if group == 0 {
		twin(r, dst, hi, block, skip, plus, minus)
		return
	}
	size := int(unsafe.Sizeof(dst[0]))
	b := unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), len(dst)*size)
	blocksIn := func(n int) uint64 { return uint64(n / r.unit * r.blocks) }

	// What is no whole group passes through edge, at its place in the unit.
	var edge [maxGroup]byte
	through := func(part []byte, at int) {
		copy(edge[at:], part)
		run(r.kind, edge[:group], hi, block, plus, minus)
		copy(part, edge[at:])
	}
	if skip > 0 {
		n := min(len(b), group-skip*size)
		through(b[:n], skip*size)
		b, block = b[n:], block+blocksIn(group)
	}
	for len(b) >= group {
		n := min(len(b), tileBytes) / group * group
		run(r.kind, b[:n], hi, block, plus, minus)
		b, block = b[n:], block+blocksIn(n)
	}
	if len(b) > 0 {
		through(b, 0)
	}
	clear(edge[:]) // words of the streams that another slice may be masked with
}

// run passes whole groups through the kernel.
func run(kind int, b []byte, hi, block uint64, plus, minus []Key) {
	for ; len(plus) > 0; plus = plus[min(maxKeys, len(plus)):] {
		kernel(kind, b, hi, block, plus[:min(maxKeys, len(plus))], 0)
	}
	for ; len(minus) > 0; minus = minus[min(maxKeys, len(minus)):] {
		kernel(kind, b, hi, block, minus[:min(maxKeys, len(minus))], ^uint64(0))
	}
}
