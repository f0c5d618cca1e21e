package secureagg

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"tacit/id"
	"tacit/secureagg/internal/ctr"
	"tacit/secureagg/internal/guard"
)

// Kernel names the instructions that make masks here: vaes, aesni, aes (of arm64) or go.
func Kernel() string { return ctr.Kernel() }

// masks are the streams that a call adds to a vector and takes away from it: each is
// AES-256-CTR from counter 0, its words little-endian (SECAGG 2.5).
type masks struct {
	keys        []ctr.Key // the added ones from the front, the subtracted ones from the back
	plus, minus int
}

// newMasks makes room for n streams, so that no key is left behind by growing.
func newMasks(n int) *masks { return &masks{keys: make([]ctr.Key, n)} }

// add takes in the stream of key, each of which serves one stream.
func (m *masks) add(key *secret, subtract bool) {
	if m.plus+m.minus == len(m.keys) {
		panic("secureagg: more masks than there is room for")
	}
	if subtract {
		m.minus++
		m.keys[len(m.keys)-m.minus].Set((*[32]byte)(key))
	} else {
		m.keys[m.plus].Set((*[32]byte)(key))
		m.plus++
	}
}

// addSeed takes in stream(z) of a seed in F_p: its key is
// HKDF-Expand(z, "mask" ‖ ctx, 32).
func (m *masks) addSeed(z *element, ctx id.Ctx, subtract bool) {
	var b [elementSize]byte
	var key secret
	putElement(b[:], z)
	if !guard.WholeSeed {
		clear(b[2:])
	}
	expand(key[:], b[:], "mask", ctx[:])
	m.add(&key, subtract)
	clear(b[:])
	clear(key[:])
}

// apply passes dst, whose first word is word offset of the streams, through all of them
// modulo 2^32.
func (m *masks) apply(dst []uint32, offset uint64) {
	ctr.Apply(dst, offset, m.keys[:m.plus], m.keys[len(m.keys)-m.minus:])
}

func (m *masks) erase() { clear(m.keys) }

// Format keeps the keys out of prints.
func (m *masks) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// AddVector adds y to acc modulo 2^32. They have the same length.
func AddVector(acc, y []uint32) {
	_ = acc[:len(y)]
	for i, v := range y {
		acc[i] += v
	}
}

// VectorHash is the digest of a masked vector that a Report signs: SHA-256 over its
// words, little-endian.
func VectorHash(y []uint32) (sum [32]byte) {
	h := sha256.New()
	hashWords(h, y)
	h.Sum(sum[:0])
	return sum
}

func hashWords(h hash.Hash, y []uint32) {
	var buf [4096]byte
	for len(y) > 0 {
		n := min(len(y), len(buf)/4)
		for i, v := range y[:n] {
			binary.LittleEndian.PutUint32(buf[4*i:], v)
		}
		h.Write(buf[:4*n])
		y = y[n:]
	}
}

func vectorBytes(y []uint32) []byte {
	b := make([]byte, 0, 4*len(y))
	for _, v := range y {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func parseVector(b []byte) []uint32 {
	y := make([]uint32, len(b)/4)
	for i := range y {
		y[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return y
}
