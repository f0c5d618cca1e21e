package ctr

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

var rings = []*ring{&ring16, &ring24, &ring32, &ring64}

func (r *ring) width() int { return 16 * r.blocks / r.words } // bytes of a word in the stream

func (r *ring) String() string { return fmt.Sprintf("ring%d", 8*r.width()) }

// eachLevel runs f as a subtest with every set of instructions of this machine.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	for level = range bestLevel + 1 {
		t.Run(levelNames[level], f)
	}
	level = bestLevel
}

func expand(raw [][32]byte) []Key {
	keys := make([]Key, len(raw))
	for i := range raw {
		keys[i].Set(&raw[i])
	}
	return keys
}

// keystream is n bytes of crypto/aes's CTR from byte skip after counter hi ‖ lo.
func keystream(key *[32]byte, hi, lo uint64, skip, n int) []byte {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	var iv [16]byte
	binary.BigEndian.PutUint64(iv[:], hi)
	binary.BigEndian.PutUint64(iv[8:], lo)
	b := make([]byte, skip+n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(b, b)
	return b[skip:]
}

// check masks n words that begin shift words into an allocation and compares each with
// crypto/aes, and what stands before and behind with what stood there.
func check[W uint16 | uint32 | uint64](t *testing.T, r *ring, hi, offset uint64, n, shift int, plus, minus [][32]byte, rnd *rand.Rand) {
	t.Helper()
	const pad = 40
	all := make([]W, shift+n+2*pad)
	for i := range all {
		all[i] = W(rnd.Uint64())
	}
	before := slices.Clone(all)
	lo, hiWord := shift+pad, shift+pad+n
	want := slices.Clone(all[lo:hiWord])
	width := r.width()
	for k, key := range slices.Concat(plus, minus) {
		b := keystream(&key, hi, offset/uint64(r.words)*uint64(r.blocks), int(offset%uint64(r.words))*width, n*width)
		for i := range want {
			var w [8]byte
			copy(w[:], b[i*width:][:width])
			v := W(binary.LittleEndian.Uint64(w[:]))
			if k >= len(plus) {
				v = -v
			}
			want[i] += v
		}
	}
	if r == &ring24 && len(plus)+len(minus) > 0 {
		for i := range want {
			mask := uint64(0xffffff)
			want[i] &= W(mask)
		}
	}
	apply(r, all[lo:hiWord], hi, offset, expand(plus), expand(minus))
	for i, v := range want {
		if all[lo+i] != v {
			t.Fatalf("%v: word %d of %d from %d (hi %#x, shift %d, %d + %d keys) is %#x, want %#x", r, i, n, offset, hi, shift, len(plus), len(minus), all[lo+i], v)
		}
	}
	if !slices.Equal(all[:lo], before[:lo]) || !slices.Equal(all[hiWord:], before[hiWord:]) {
		t.Fatalf("%v: %d words from %d reach beyond the vector", r, n, offset)
	}
}

func checkRing(t *testing.T, r *ring, hi, offset uint64, n, shift int, plus, minus [][32]byte, rnd *rand.Rand) {
	t.Helper()
	switch r {
	case &ring16:
		check[uint16](t, r, hi, offset, n, shift, plus, minus, rnd)
	case &ring24, &ring32:
		check[uint32](t, r, hi, offset, n, shift, plus, minus, rnd)
	case &ring64:
		check[uint64](t, r, hi, offset, n, shift, plus, minus, rnd)
	}
}

func randomKeys(rnd *rand.Rand, n int) [][32]byte {
	keys := make([][32]byte, n)
	for i := range keys {
		for j := range keys[i] {
			keys[i][j] = byte(rnd.Uint32())
		}
	}
	return keys
}

// TestEveryLengthAndOffset covers each place of head, groups and tail.
func TestEveryLengthAndOffset(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		plus, minus := randomKeys(rnd, 1), randomKeys(rnd, 1)
		step := 1
		if testing.Short() {
			step = 17
		}
		for _, r := range rings {
			for n := 0; n < 2100/r.width(); n += step {
				checkRing(t, r, 0, uint64(n%(3*r.words)), n, n%9, plus, minus, rnd)
			}
			for offset := range 4 * r.words {
				for n := range 3 * r.words {
					checkRing(t, r, 0, uint64(offset), n, n%5, plus, nil, rnd)
				}
			}
		}
	})
}

// TestCounterCarries crosses each byte of the counter, 32 bits of it, and the last
// words that an offset can name.
func TestCounterCarries(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(3, 4))
		for _, r := range rings {
			unit := uint64(r.words) / uint64(r.blocks) // words in a block, or near it
			var offsets []uint64
			for bit := 8; bit <= 56; bit += 8 {
				offsets = append(offsets, 1<<bit*unit-uint64(rnd.IntN(400)))
			}
			offsets = append(offsets, 1<<31*unit-7, 1<<32*uint64(r.words)/uint64(r.blocks)-5, 1<<33*unit-3, ^uint64(0)-2000, ^uint64(0)-601, rnd.Uint64()>>1)
			for _, offset := range offsets {
				checkRing(t, r, 0, offset, 1500, 1, randomKeys(rnd, 2), randomKeys(rnd, 1), rnd)
				checkRing(t, r, rnd.Uint64(), offset, 700, 0, randomKeys(rnd, 1), nil, rnd)
			}
		}
	})
}

// TestManyKeysAndTiles passes the bounds of a kernel's call in both directions.
func TestManyKeysAndTiles(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(5, 6))
		for _, r := range rings {
			for _, c := range [][3]int{{0, 0, 100}, {0, 1, 90}, {maxKeys, 0, 500}, {maxKeys + 1, maxKeys + 3, 300}, {2, 3, 3*tileBytes/4 + 5}, {1, 0, 2*tileBytes + 1}} {
				checkRing(t, r, 0, uint64(rnd.IntN(1000)), c[2], rnd.IntN(16), randomKeys(rnd, c[0]), randomKeys(rnd, c[1]), rnd)
			}
		}
	})
}

func TestRandomSlices(t *testing.T) {
	trials := 1500
	if testing.Short() {
		trials = 100
	}
	eachLevel(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(7, 8))
		for range trials {
			r := rings[rnd.IntN(len(rings))]
			offset := rnd.Uint64() >> (1 + rnd.IntN(63))
			checkRing(t, r, 0, offset, rnd.IntN(3000), rnd.IntN(64), randomKeys(rnd, rnd.IntN(5)), randomKeys(rnd, rnd.IntN(5)), rnd)
		}
	})
}

// TestUnalignedMemory begins the vector at every byte of a cache line: loads and stores
// assume no alignment beyond a word's.
func TestUnalignedMemory(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		key := randomKeys(rand.New(rand.NewPCG(9, 9)), 1)
		want := keystream(&key[0], 0, 0, 0, 2*maxGroup)
		buf := make([]uint16, 2*maxGroup/2+64)
		for shift := range 33 {
			clear(buf)
			x := buf[shift:][:maxGroup]
			Apply(x, 0, expand(key), nil)
			if got := unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 2*len(x)); !bytes.Equal(got, want) {
				t.Fatalf("shifted by %d bytes the words differ", 2*shift)
			}
		}
	})
}

// TestSlicesJoin cuts a vector anywhere and masks the parts in any order.
func TestSlicesJoin(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(10, 11))
		plus, minus := expand(randomKeys(rnd, 3)), expand(randomKeys(rnd, 2))
		whole := make([]uint32, 5000)
		Apply(whole, 12345, plus, minus)
		parts := make([]uint32, len(whole))
		for to := len(parts); to > 0; {
			from := max(0, to-rnd.IntN(700))
			Apply(parts[from:to], 12345+uint64(from), plus, minus)
			to = from
		}
		if !slices.Equal(whole, parts) {
			t.Error("parts of a vector differ from the whole")
		}
		Apply(parts, 12345, minus, plus)
		if slices.ContainsFunc(parts, func(w uint32) bool { return w != 0 }) {
			t.Error("adding and subtracting do not cancel")
		}
	})
}

// TestPublished is the example CTR-AES256 of NIST SP 800-38A, F.5.5.
func TestPublished(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var raw [1][32]byte
	copy(raw[0][:], unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"))
	plain := unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	cipher := unhex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5" +
		"2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6")
	const hi, lo = 0xf0f1f2f3f4f5f6f7, 0xf8f9fafbfcfdfeff
	eachLevel(t, func(t *testing.T) {
		// Blocks from lo on: an offset cannot name them, so the call is the inner one.
		got := streamFrom(expand(raw[:]), hi, lo, len(plain))
		for i := range got {
			got[i] ^= plain[i]
		}
		if !bytes.Equal(got, cipher) {
			t.Errorf("the ciphertext is %x", got)
		}
	})
}

// streamFrom is n bytes, a multiple of 4, of the stream from counter block hi ‖ lo.
func streamFrom(keys []Key, hi, lo uint64, n int) []byte {
	if g := groupBytes(ring32.kind); g > 0 {
		b := make([]byte, (n+g-1)/g*g)
		kernel(ring32.kind, b, hi, lo, keys, 0)
		return b[:n]
	}
	w := make([]uint32, n/4)
	twin(&ring32, w, hi, lo, 0, keys, nil)
	b := make([]byte, 0, n)
	for _, v := range w {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// TestExpansion is the last round key of FIPS 197, A.3, and the S-box against the
// block cipher of crypto/aes through whole keys.
func TestExpansion(t *testing.T) {
	var raw [32]byte
	hex.Decode(raw[:], []byte("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"))
	var k Key
	k.Set(&raw)
	if got := hex.EncodeToString(k.round[14][:]); got != "fe4890d1e6188d0b046df344706c631e" {
		t.Errorf("the last round key is %s", got)
	}
	seen := make(map[byte]bool)
	for x := range 256 {
		s := subWord(uint32(x) * 0x01010101)
		if s != s&0xff*0x01010101 {
			t.Fatalf("the bytes of subWord(%#x) differ: %#x", x, s)
		}
		seen[byte(s)] = true
	}
	if len(seen) != 256 || subWord(0x53) != 0x636363ed {
		t.Error("the S-box is no permutation, or not FIPS 197's")
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte("seed"), uint64(0), uint16(31), byte(2), byte(5))
	f.Add([]byte{}, uint64(1)<<34-9, uint16(900), byte(0), byte(0x31))
	f.Fuzz(func(t *testing.T, seed []byte, offset uint64, n uint16, kind, keys byte) {
		var s [32]byte
		copy(s[:], seed)
		rnd := rand.New(rand.NewChaCha8(s))
		for level = range bestLevel + 1 {
			checkRing(t, rings[kind%4], 0, offset, int(n%4096), int(kind>>2), randomKeys(rnd, int(keys&7)), randomKeys(rnd, int(keys>>4&7)), rnd)
		}
		level = bestLevel
	})
}
