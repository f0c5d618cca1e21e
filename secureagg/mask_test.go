package secureagg

import (
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tacit/id"
	"tacit/secureagg/internal/ctr"
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

// tileWords is a length that the loops pass in several calls.
const tileWords = 4096

func oneMask(key *secret, subtract bool) *masks {
	m := newMasks(1)
	m.add(key, subtract)
	return m
}

func seedMask(z *element, ctx id.Ctx, subtract bool) *masks {
	m := newMasks(1)
	m.addSeed(z, ctx, subtract)
	return m
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
		oneMask(&key, false).apply(dst, uint64(from))
		if !slices.Equal(dst, want) {
			t.Fatalf("words %d to %d differ from AES-CTR", from, from+n)
		}
		oneMask(&key, true).apply(dst, uint64(from))
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
	streams := newMasks(len(keys))
	for i := range keys {
		streams.add(&keys[i], i%2 == 1)
		for k, v := range keystreamWords(keys[i][:], 0, d) {
			if i%2 == 1 {
				v = -v
			}
			want[k] += v
		}
	}
	streams.apply(got, 0)
	if !slices.Equal(got, want) {
		t.Error("several streams do not add up")
	}
	if s := fmt.Sprintf("%v %+v %#v", streams, streams, streams.keys); strings.Contains(s, "1") {
		t.Errorf("the keys print as %.100s", s)
	}
	streams.erase()
	if slices.ContainsFunc(streams.keys, func(k ctr.Key) bool { return k != ctr.Key{} }) {
		t.Error("keys are left behind")
	}
}

func TestSeedStreamsDependOnCtxAndSeed(t *testing.T) {
	a, b := smallElement(1), smallElement(2)
	seen := make(map[uint32]bool)
	for _, s := range []*masks{seedMask(&a, id.Ctx{1}, false), seedMask(&a, id.Ctx{2}, false), seedMask(&b, id.Ctx{1}, false)} {
		v := make([]uint32, 1)
		s.apply(v, 0)
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

// BenchmarkMask is a report's share of the work: a million words, a self mask and those
// of 99 partners, whose keys it derives and expands.
func BenchmarkMask(b *testing.B) {
	x := make([]uint32, 1_000_000)
	b.SetBytes(int64(100 * 4 * len(x)))
	for b.Loop() {
		m := newMasks(100)
		for i := range 100 {
			z := smallElement(uint8(i))
			m.addSeed(&z, id.Ctx{1}, i < 50)
		}
		m.apply(x, 0)
		m.erase()
	}
}
