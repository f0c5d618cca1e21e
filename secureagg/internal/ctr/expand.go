package ctr

import "encoding/binary"

// Set expands key (FIPS 197, §5.2). It takes no look-up in a table, so it is constant
// in time on every machine.
func (k *Key) Set(key *[32]byte) {
	var w [60]uint32
	for i := range 8 {
		w[i] = binary.BigEndian.Uint32(key[4*i:])
	}
	rcon := uint32(1 << 24)
	for i := 8; i < len(w); i++ {
		t := w[i-1]
		switch i % 8 {
		case 0:
			t = subWord(t<<8|t>>24) ^ rcon
			rcon <<= 1
		case 4:
			t = subWord(t)
		}
		w[i] = w[i-8] ^ t
	}
	for i, v := range w {
		binary.BigEndian.PutUint32(k.round[i/4][i%4*4:], v)
	}
	clear(w[:])
}

// subWord is the S-box on each of the four bytes of x: the inverse in GF(2^8), where
// 0⁻¹ = 0, and then the affine map (FIPS 197, §5.1.1).
func subWord(x uint32) uint32 {
	x2 := mul(x, x)
	x3 := mul(x2, x)
	x12 := square(square(x3))
	x240 := square(square(square(square(mul(x12, x3)))))
	inv := mul(mul(x240, x12), x2) // x^254
	return inv ^ rotate(inv, 1) ^ rotate(inv, 2) ^ rotate(inv, 3) ^ rotate(inv, 4) ^ 0x63636363
}

func square(x uint32) uint32 { return mul(x, x) }

// mul multiplies four pairs of bytes in GF(2^8) = F_2[x]/(x^8 + x^4 + x^3 + x + 1).
func mul(a, b uint32) (p uint32) {
	for i := range 8 {
		p ^= a & (b >> i & 0x01010101 * 0xff)
		a = a&0x7f7f7f7f<<1 ^ a>>7&0x01010101*0x1b
	}
	return p
}

// rotate turns each byte left by n bits.
func rotate(x uint32, n int) uint32 {
	low := uint32(0xff>>n) * 0x01010101
	return x&low<<n | x&^low>>(8-n)
}
