package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is a·b + c by math/big, for finite operands: 600 bits hold the sum of
// any two of 2^-298 … 2^256 exactly.
func exactFMA(a, b, c float32) float32 {
	x := new(big.Float).SetPrec(600).SetFloat64(float64(a))
	x.Mul(x, new(big.Float).SetFloat64(float64(b)))
	x.Add(x, new(big.Float).SetFloat64(float64(c)))
	if x.Sign() == 0 { // big.Float's own rules for the sign of zero differ
		return float32(float64(a)*float64(b) + float64(c))
	}
	f, _ := x.Float32()
	return f
}

func same(a, b float32) bool {
	if a != a || b != b {
		return a != a && b != b
	}
	return math.Float32bits(a) == math.Float32bits(b)
}

// operands draws float32s that meet: patterns uniform in bits, few mantissa bits
// near one exponent, subnormals, and the corners of the range.
func operand(r *rand.Rand) float32 {
	corner := []uint32{0, 1, 2, 0x7fffff, 0x800000, 0x800001, 0x7f7fffff, 0x3f800000, 0x3f800001, 0x3f7fffff, 0x33800000, 0x34000000}
	sign := r.Uint32() & (1 << 31)
	switch r.IntN(6) {
	case 0:
		for {
			if u := r.Uint32(); u&0x7f800000 != 0x7f800000 {
				return math.Float32frombits(u)
			}
		}
	case 1:
		return math.Float32frombits(sign | corner[r.IntN(len(corner))])
	case 2: // subnormal
		return math.Float32frombits(sign | r.Uint32()>>9)
	case 3: // few bits set: sums that land on halfway points
		return math.Float32frombits(sign | uint32(127-30+r.IntN(60))<<23 | r.Uint32()&(r.Uint32()&r.Uint32()&0x7fffff))
	case 4: // long runs of ones and zeros
		m := uint32(1)<<r.IntN(24) - 1
		return math.Float32frombits(sign | uint32(1+r.IntN(254))<<23 | m)
	default:
		return math.Float32frombits(sign | uint32(127-14+r.IntN(28))<<23 | r.Uint32()>>9)
	}
}

func TestFMAExact(t *testing.T) {
	n := 300_000
	if testing.Short() {
		n = 50_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		a, b, c := operand(r), operand(r), operand(r)
		if r.IntN(3) == 0 { // c near −a·b: cancellation
			c = -a * b
			if c != c || math.IsInf(float64(c), 0) {
				continue
			}
			c = math.Float32frombits(math.Float32bits(c) + uint32(r.IntN(3)))
			if c != c || math.IsInf(float64(c), 0) {
				continue
			}
		}
		if got, want := FMA(a, b, c), exactFMA(a, b, c); !same(got, want) {
			t.Fatalf("FMA(%x, %x, %x) = %x (%08x), want %x (%08x)", a, b, c, got, math.Float32bits(got), want, math.Float32bits(want))
		}
		if got, want := fmaOdd(a, b, c), exactFMA(a, b, c); !same(got, want) {
			t.Fatalf("fmaOdd(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
}

// Sums that float64 rounds onto a halfway point of float32 are where rounding
// twice goes wrong. The test builds them, for normal and subnormal results, and
// makes sure that the naive form fails on some: otherwise it would test nothing.
func TestFMADoubleRounding(t *testing.T) {
	naiveWrong := 0
	check := func(a, b, c float32) {
		t.Helper()
		want := exactFMA(a, b, c)
		if got := FMA(a, b, c); !same(got, want) {
			t.Fatalf("FMA(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
		if float32(math.FMA(float64(a), float64(b), float64(c))) != want {
			naiveWrong++
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		// Odd multiples of 2^-12 above 1: the product ends in 2^-24, halfway
		// between two float32 when it is below 2. c lies under float64's last bit.
		a := 1 + float32(2*r.IntN(1<<10)+1)*0x1p-12
		b := 1 + float32(2*r.IntN(1<<10)+1)*0x1p-12
		c := math.Float32frombits(r.Uint32()&(1<<31) | uint32(1+r.IntN(127-55))<<23 | r.Uint32()>>9)
		scale := math.Float32frombits(uint32(127-r.IntN(20)) << 23)
		check(a, b, c)
		check(-a, b*scale, c)
		check(a, b, math.Float32frombits(r.Uint32()&(1<<31|0x7fffff))) // subnormal c
		// (2^46 + 1) = 8384513 · 8392705: half an ulp of c and a bit 46 below it,
		// for c near 1 and for subnormal c.
		sign := float32(1 - 2*r.IntN(2))
		check(sign*8384513*0x1p-35, 8392705*0x1p-35, 1+float32(r.IntN(1<<23))*0x1p-23)
		check(sign*8384513*0x1p-98, 8392705*0x1p-98, math.Float32frombits(r.Uint32()&(1<<31|0x7fffff)))
	}
	if naiveWrong == 0 {
		t.Fatal("no case on which rounding twice is wrong: the test tests nothing")
	}
	t.Logf("rounding twice would be wrong on %d cases", naiveWrong)
}

func TestFMASpecial(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	max := float32(math.MaxFloat32)
	negZero := math.Float32frombits(1 << 31)
	for _, c := range []struct{ a, b, c, want float32 }{
		{inf, 1, 1, inf}, {inf, 0, 1, nan}, {inf, 1, -inf, nan}, {1, 1, -inf, -inf},
		{nan, 1, 1, nan}, {1, nan, 1, nan}, {0, 0, nan, nan},
		{max, max, -inf, -inf}, {max, max, 0, inf}, {-max, max, 0, -inf}, {max, 1, max, inf},
		{max, 1, -max, 0}, {1, negZero, negZero, negZero}, {1, negZero, 0, 0}, {0, 5, negZero, 0},
		{0x1p-149, 0x1p-1, 0, 0}, {0x1p-149, -0x1p-1, 0, negZero}, {0x1p-149, 0x1.8p-1, 0, 0x1p-149},
		{0x1p-149, 0x1p-149, 0x1p-149, 0x1p-149}, {0x1p-149, 0x1p-149, 0, 0},
		{max, 1, 0x1p103, inf}, {max, 1, 0x1.fffffep102, max},
	} {
		if got := FMA(c.a, c.b, c.c); !same(got, c.want) {
			t.Errorf("FMA(%x, %x, %x) = %x, want %x", c.a, c.b, c.c, got, c.want)
		}
	}
}

func BenchmarkFMA(b *testing.B) {
	x, acc := float32(1.0001), float32(0)
	for b.Loop() {
		acc = FMA(x, 0.3, acc)
	}
	sink = acc
}

var sink float32
