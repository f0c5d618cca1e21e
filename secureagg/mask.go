package secureagg

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"tacit/id"
)

// tileWords is the number of words masked at a time: 16 KiB, so that the tile of
// the vector stays in the first-level cache while every stream passes over it.
const tileWords = 4096

// maskStream yields the words of one mask, AES-256-CTR from any word on. Words are
// little-endian (SECAGG 2.5).
type maskStream struct {
	ctr      cipher.Stream
	subtract bool
}

// newMaskStream opens the stream of key at word offset.
func newMaskStream(key *secret, offset uint64, subtract bool) maskStream {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	var iv [aes.BlockSize]byte // the counter starts at 0: each key serves one stream
	binary.BigEndian.PutUint64(iv[8:], offset/4)
	m := maskStream{ctr: cipher.NewCTR(block, iv[:]), subtract: subtract}
	if skip := offset % 4 * 4; skip > 0 {
		var drop [12]byte
		m.ctr.XORKeyStream(drop[:skip], drop[:skip])
	}
	return m
}

// seedStream opens stream(z) of a seed in F_p: its key is
// HKDF-Expand(z, "mask" ‖ ctx, 32).
func seedStream(z *element, ctx id.Ctx, offset uint64, subtract bool) maskStream {
	var b [elementSize]byte
	var key secret
	putElement(b[:], z)
	expand(key[:], b[:], "mask", ctx[:])
	m := newMaskStream(&key, offset, subtract)
	clear(b[:])
	clear(key[:])
	return m
}

// applyMasks adds or subtracts every stream to dst modulo 2^32, tile by tile with
// the streams in the inner position.
func applyMasks(dst []uint32, streams []maskStream) {
	var buf, zero [4 * tileWords]byte
	for len(dst) > 0 {
		tile := dst[:min(tileWords, len(dst))]
		dst = dst[len(tile):]
		b := buf[:4*len(tile)]
		for _, s := range streams {
			s.ctr.XORKeyStream(b, zero[:len(b)])
			if s.subtract {
				for i := range tile {
					tile[i] -= binary.LittleEndian.Uint32(b[4*i:])
				}
			} else {
				for i := range tile {
					tile[i] += binary.LittleEndian.Uint32(b[4*i:])
				}
			}
		}
	}
	clear(buf[:])
}

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
