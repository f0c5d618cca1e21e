package secureagg

import (
	"crypto/aes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tacit/id"
)

// keystreamWords is the mask by crypto/aes's block function alone.
func keystreamWords(key []byte, from, n int) []uint32 {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	w := make([]uint32, n)
	var ctr, out [16]byte
	for i := range w {
		binary.BigEndian.PutUint64(ctr[8:], uint64(from+i)/4)
		block.Encrypt(out[:], ctr[:])
		w[i] = binary.LittleEndian.Uint32(out[(from+i)%4*4:])
	}
	return w
}

func TestMaskStreamIsCTRFromAnyWord(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 60 {
		var key secret
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		from, n := r.IntN(20000), r.IntN(3*tileWords)
		if trial < 10 {
			from, n = trial, trial%5
		}
		if trial == 11 {
			from = 1 << 33 // beyond a 32-bit counter
		}
		const guard = 0xdeadbeef
		buf := make([]uint32, n+2)
		buf[0], buf[n+1] = guard, guard
		dst := buf[1 : n+1]
		want := keystreamWords(key[:], from, n)
		for i := range dst {
			dst[i] = r.Uint32()
			want[i] += dst[i]
		}
		before := slices.Clone(dst)
		applyMasks(dst, []maskStream{newMaskStream(&key, uint64(from), false)})
		if !slices.Equal(dst, want) {
			t.Fatalf("words %d to %d differ from AES-CTR", from, from+n)
		}
		applyMasks(dst, []maskStream{newMaskStream(&key, uint64(from), true)})
		if !slices.Equal(dst, before) || buf[0] != guard || buf[n+1] != guard {
			t.Fatal("adding and subtracting do not cancel, or reach too far")
		}
	}
}

func TestMasksOfManyStreamsMeetTiles(t *testing.T) {
	var keys []secret
	for i := range 5 {
		keys = append(keys, secret{byte(i)})
	}
	d := 2*tileWords + 3
	got, want := make([]uint32, d), make([]uint32, d)
	var streams []maskStream
	for i := range keys {
		streams = append(streams, newMaskStream(&keys[i], 0, i%2 == 1))
		for k, v := range keystreamWords(keys[i][:], 0, d) {
			if i%2 == 1 {
				v = -v
			}
			want[k] += v
		}
	}
	applyMasks(got, streams)
	if !slices.Equal(got, want) {
		t.Error("several streams do not add up")
	}
}

func TestSeedStreamsDependOnCtxAndSeed(t *testing.T) {
	a, b := smallElement(1), smallElement(2)
	seen := make(map[uint32]bool)
	for _, s := range []maskStream{seedStream(&a, id.Ctx{1}, 0, false), seedStream(&a, id.Ctx{2}, 0, false), seedStream(&b, id.Ctx{1}, 0, false)} {
		v := make([]uint32, 1)
		applyMasks(v, []maskStream{s})
		seen[v[0]] = true
	}
	if len(seen) != 3 {
		t.Error("two streams begin alike")
	}
}

func TestVectorBytes(t *testing.T) {
	y := []uint32{1, 0x01020304, math.MaxUint32}
	b := vectorBytes(y)
	if !slices.Equal(b, []byte{1, 0, 0, 0, 4, 3, 2, 1, 255, 255, 255, 255}) || !slices.Equal(parseVector(b), y) || VectorHash(y) != hashBytes(b) {
		t.Errorf("the vector's bytes are %x", b)
	}
	long := make([]uint32, 5000)
	long[4999] = 7
	if VectorHash(long) != hashBytes(vectorBytes(long)) {
		t.Error("a long vector hashes differently")
	}
}

func TestQuantize(t *testing.T) {
	v := []float64{0, 0.5, 1.5, -0.5, -1.5, 3, -3, math.NaN(), math.Inf(1), math.Inf(-1), 1e300}
	got := make([]uint32, len(v))
	clamped := Quantize(got, v, 1, 2)
	want := []int32{0, 0, 2, 0, -2, 2, -2, 0, 2, -2, 2}
	for i := range want {
		if int32(got[i]) != want[i] {
			t.Errorf("%v becomes %d, want %d", v[i], int32(got[i]), want[i])
		}
	}
	if clamped != 6 {
		t.Errorf("%d clamped, want 6", clamped)
	}
	back := make([]float64, 2)
	Dequantize(back, []uint32{8, uint32(0xfffffff8)}, 4)
	if back[0] != 2 || back[1] != -2 {
		t.Errorf("dequantized to %v", back)
	}
}

func BenchmarkApplyMasks(b *testing.B) {
	x := make([]uint32, 1<<20)
	key := secret{1}
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		applyMasks(x, []maskStream{newMaskStream(&key, 0, false)})
	}
}
