package kernel

import (
	"math"
	"testing"
)

// ulps is |got − want| in units of the last place of want, as a normal float32
// or, below that range, of the least subnormal.
func ulps(got float32, want float64) float64 {
	_, e := math.Frexp(want)
	unit := math.Ldexp(1, max(e-24, -149))
	return math.Abs(float64(got)-want) / unit
}

// The stated bounds, over float32 patterns of every exponent and sign. The
// stride is odd: every residue of the low bits occurs.
func TestElementaryBounds(t *testing.T) {
	stride := uint64(2003)
	if testing.Short() {
		stride = 20011
	}
	for _, f := range []struct {
		name  string
		f     func(float32) float32
		want  func(float64) float64
		bound float64
	}{
		{"Exp", Exp, math.Exp, 1},
		{"Sigmoid", Sigmoid, func(x float64) float64 {
			if x < 0 {
				e := math.Exp(x)
				return e / (1 + e)
			}
			return 1 / (1 + math.Exp(-x))
		}, 3},
		{"Tanh", Tanh, math.Tanh, 2},
		{"Erf", Erf, math.Erf, 1.1},
	} {
		worst, at := 0.0, float32(0)
		for u := uint64(0); u < 1<<32; u += stride {
			x := math.Float32frombits(uint32(u))
			if x != x {
				continue
			}
			got, want := f.f(x), f.want(float64(x))
			if want > math.MaxFloat32 || math.IsInf(float64(got), 0) {
				if !math.IsInf(float64(got), 1) || want < math.MaxFloat32*(1-0x1p-24) {
					t.Fatalf("%s(%x) = %v, want %v", f.name, x, got, want)
				}
				continue
			}
			if d := ulps(got, want); d > worst || d != d {
				worst, at = d, x
			}
		}
		t.Logf("%s: worst error %.3f ulp at %x", f.name, worst, at)
		if !(worst <= f.bound) {
			t.Errorf("%s: error %.3f ulp at %x, documented %v", f.name, worst, at, f.bound)
		}
	}
}

func TestElementarySpecial(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	negZero := math.Float32frombits(1 << 31)
	for _, c := range []struct {
		name    string
		f       func(float32) float32
		x, want float32
	}{
		{"Exp", Exp, 0, 1}, {"Exp", Exp, negZero, 1}, {"Exp", Exp, inf, inf}, {"Exp", Exp, -inf, 0}, {"Exp", Exp, nan, nan},
		{"Exp", Exp, math.MaxFloat32, inf}, {"Exp", Exp, -math.MaxFloat32, 0},
		{"Sigmoid", Sigmoid, 0, 0.5}, {"Sigmoid", Sigmoid, inf, 1}, {"Sigmoid", Sigmoid, -inf, 0}, {"Sigmoid", Sigmoid, nan, nan},
		{"Tanh", Tanh, 0, 0}, {"Tanh", Tanh, negZero, negZero}, {"Tanh", Tanh, inf, 1}, {"Tanh", Tanh, -inf, -1}, {"Tanh", Tanh, nan, nan},
		{"Tanh", Tanh, 0x1p-149, 0x1p-149}, {"Tanh", Tanh, -20, -1},
		{"Erf", Erf, 0, 0}, {"Erf", Erf, negZero, negZero}, {"Erf", Erf, inf, 1}, {"Erf", Erf, -inf, -1}, {"Erf", Erf, nan, nan},
		{"Erf", Erf, 0x1p-149, 0x1p-149}, {"Erf", Erf, -0x1p-148, -0x1p-148}, {"Erf", Erf, 0x1p-130, 0x1.20dd7p-130}, {"Erf", Erf, -math.MaxFloat32, -1},
		{"Sqrt", Sqrt, 2, 1.41421356}, {"Sqrt", Sqrt, -1, nan}, {"Sqrt", Sqrt, 0x1p-149, 0x1.6a09e6p-75},
	} {
		if got := c.f(c.x); !same(got, c.want) {
			t.Errorf("%s(%v) = %v (%08x), want %v", c.name, c.x, got, math.Float32bits(got), c.want)
		}
	}
}

// Bits that must never change: models trained with them are hashed.
func TestElementaryBits(t *testing.T) {
	sum := uint32(2166136261)
	add := func(v float32) {
		if v != v {
			v = 0
		}
		sum = (sum ^ math.Float32bits(v)) * 16777619
	}
	all := func(x float32) {
		add(Exp(x))
		add(Sigmoid(x))
		add(Tanh(x))
		add(float32(Log(float64(x))))
	}
	for u := uint64(0); u < 1<<32; u += 1000003 {
		all(math.Float32frombits(uint32(u)))
	}
	for i := -20_000; i <= 20_000; i++ { // where they bend
		all(float32(i) / 1000)
	}
	const want = uint32(0xb54d8a4b)
	if sum != want {
		t.Errorf("digest %#08x, want %#08x", sum, want)
	}
	sum = 2166136261
	for u := uint64(0); u < 1<<32; u += 1000003 {
		add(Erf(math.Float32frombits(uint32(u))))
	}
	for i := -20_000; i <= 20_000; i++ {
		add(Erf(float32(i) / 4000))
	}
	const erf = uint32(0x7d563ba1)
	if sum != erf {
		t.Errorf("digest of Erf %#08x, want %#08x", sum, erf)
	}
}

func TestLog(t *testing.T) {
	check := func(x float64) {
		got, want := Log(x), math.Log(x)
		if !(math.Abs(got-want) <= math.Abs(want)*0x1p-51) && got != want && !(got != got && want != want) {
			t.Fatalf("Log(%x) = %x, want %x", x, got, want)
		}
	}
	for _, x := range []float64{0, 1, 2, math.E, 0x1p-1022, math.MaxFloat64, math.Inf(1), math.Inf(-1), -1, math.NaN(), 1 + 0x1p-52, 1 - 0x1p-53} {
		check(x)
	}
	if got := Log(0x1p-1074); got != -0x1.74385446d71c3p+09 { // math.Log of amd64 is off on subnormals
		t.Fatalf("Log(0x1p-1074) = %x", got)
	}
	for i := range 200_000 {
		check(math.Exp(float64(i-100_000) / 300))
		check(1 + float64(i)*0x1p-30)
	}
	for u := uint32(0); u <= 0x3f800000; u += 3001 {
		x := math.Float32frombits(u)
		if got, want := Log1p(x), math.Log1p(float64(x)); !(math.Abs(got-want) <= 0x1p-52) {
			t.Fatalf("Log1p(%x) = %x, want %x", x, got, want)
		}
	}
}

func BenchmarkExp(b *testing.B) {
	for b.Loop() {
		sink = Exp(sink*0 - 1.5)
	}
}
