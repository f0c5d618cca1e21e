package ctr

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// twin is apply with crypto/aes: a tile of the vector at a time, with the streams in
// the inner position. The first word of dst is word skip from counter block hi ‖ lo on.
func twin[W uint16 | uint32 | uint64](r *ring, dst []W, hi, lo uint64, skip int, plus, minus []Key) {
	var buf [tileBytes]byte
	streams := make([]cipher.Stream, 0, len(plus)+len(minus))
	width := 16 * r.blocks / r.words // bytes of a word in the stream
	for _, keys := range [][]Key{plus, minus} {
		for i := range keys {
			var key [32]byte
			copy(key[:16], keys[i].round[0][:])
			copy(key[16:], keys[i].round[1][:])
			block, err := aes.NewCipher(key[:])
			if err != nil {
				panic(err) // the key has 32 bytes
			}
			clear(key[:])
			var iv [aes.BlockSize]byte
			binary.BigEndian.PutUint64(iv[:], hi)
			binary.BigEndian.PutUint64(iv[8:], lo)
			s := cipher.NewCTR(block, iv[:])
			s.XORKeyStream(buf[:skip*width], buf[:skip*width])
			streams = append(streams, s)
		}
	}
	for len(dst) > 0 {
		tile := dst[:min(len(dst), len(buf)/width)]
		dst = dst[len(tile):]
		b := buf[:len(tile)*width]
		for i, s := range streams {
			if i == len(plus) {
				flip(tile)
			}
			s.XORKeyStream(b, zero[:len(b)])
			addBytes(tile, b, width)
		}
		if len(minus) > 0 {
			flip(tile)
		}
		if width == 3 {
			for i := range tile {
				tile[i] = W(uint64(tile[i]) & 0xffffff)
			}
		}
	}
	clear(buf[:])
}

var zero [tileBytes]byte

// flip makes ¬x of x, so that adding subtracts: x − w = ¬(¬x + w).
func flip[W uint16 | uint32 | uint64](x []W) {
	for i := range x {
		x[i] = ^x[i]
	}
}

// addBytes adds the packed words of width bytes in b to x; of a sum of 24-bit words the
// low 24 bits count.
func addBytes[W uint16 | uint32 | uint64](x []W, b []byte, width int) {
	switch width {
	case 2:
		for i := range x {
			x[i] += W(binary.LittleEndian.Uint16(b[2*i:]))
		}
	case 3:
		for i := range x {
			x[i] += W(uint32(b[3*i]) | uint32(b[3*i+1])<<8 | uint32(b[3*i+2])<<16)
		}
	case 4: // the ring in use: unrolled
		for len(x) >= 8 {
			w, v := (*[8]W)(x), (*[32]byte)(b)
			w[0] += W(binary.LittleEndian.Uint32(v[0:]))
			w[1] += W(binary.LittleEndian.Uint32(v[4:]))
			w[2] += W(binary.LittleEndian.Uint32(v[8:]))
			w[3] += W(binary.LittleEndian.Uint32(v[12:]))
			w[4] += W(binary.LittleEndian.Uint32(v[16:]))
			w[5] += W(binary.LittleEndian.Uint32(v[20:]))
			w[6] += W(binary.LittleEndian.Uint32(v[24:]))
			w[7] += W(binary.LittleEndian.Uint32(v[28:]))
			x, b = x[8:], b[32:]
		}
		for i := range x {
			x[i] += W(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case 8:
		for i := range x {
			x[i] += W(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
}
