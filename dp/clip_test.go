package dp

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactNormAtMost reports whether Σ v_i² ≤ c², computed without rounding.
func exactNormAtMost[F ~float32 | ~float64](v []F, c float64) bool {
	sum, sq := new(big.Rat), new(big.Rat)
	for _, x := range v {
		sq.SetFloat64(float64(x))
		sum.Add(sum, sq.Mul(sq, sq))
	}
	limit := new(big.Rat).SetFloat64(c)
	return sum.Cmp(limit.Mul(limit, limit)) <= 0
}

func clipCase[F ~float32 | ~float64](t *testing.T, r *rand.Rand, draw func() float64) {
	t.Helper()
	v := make([]F, 1+r.IntN(60))
	for i := range v {
		v[i] = F(draw())
	}
	old := append([]F(nil), v...)
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	length := math.Sqrt(square)
	// Around the vector's own length, where rounding decides, and anywhere.
	c := length * (1 + (r.Float64()-0.5)*0x1p-18)
	if r.IntN(2) == 0 {
		c = math.Exp(r.NormFloat64() * 3)
	}
	c = min(max(c, MinClip), MaxClip)
	norm, factor, err := ClipL2(v, c)
	if err != nil {
		t.Fatal(err)
	}
	if !exactNormAtMost(v, c) {
		t.Fatalf("longer than %v after clipping %v", c, old)
	}
	if math.Abs(norm-length) > 1e-13*length {
		t.Fatalf("norm %v, want %v", norm, length)
	}
	want := 1.0
	if norm > c*(1-ClipMargin) {
		want = c * (1 - ClipMargin) / norm
	}
	if math.Abs(factor-want) > 1e-15*want {
		t.Fatalf("factor %v, want %v", factor, want)
	}
	for i := range v {
		if factor == 1 && v[i] != old[i] {
			t.Fatal("changed by factor 1")
		}
		if d := math.Abs(float64(v[i]) - factor*float64(old[i])); d > 0x1p-24*math.Abs(float64(v[i]))+0x1p-150 {
			t.Fatalf("v[%d] = %v, want %v", i, v[i], factor*float64(old[i]))
		}
	}
}

func TestClipL2Bound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		scale := math.Exp(r.NormFloat64() * 6)
		draw := func() float64 { return r.NormFloat64() * scale }
		clipCase[float32](t, r, draw)
		clipCase[float64](t, r, draw)
		clipCase[float32](t, r, func() float64 { return scale }) // all roundings alike
	}
}

// Without the margin the bound would not hold: the test above can fail.
func TestClipL2MarginIsNeeded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		v := make([]float32, 30)
		var sum float64
		for i := range v {
			v[i] = float32(r.NormFloat64())
			sum += float64(v[i]) * float64(v[i])
		}
		for i := range v {
			v[i] = float32(float64(v[i]) / math.Sqrt(sum))
		}
		if !exactNormAtMost(v, 1) {
			return
		}
	}
	t.Error("plain scaling never exceeded the bound")
}

func TestClipL2NotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for i := range 5 {
			v := []float64{1, -2, 3, -4, 5}
			v[i] = bad
			norm, factor, err := ClipL2(v, 1)
			if !errors.Is(err, ErrNotFinite) || factor != 0 || norm <= 1e300 {
				t.Errorf("%v at %d: %v, %v, %v", bad, i, norm, factor, err)
			}
			for _, x := range v {
				if math.Float64bits(x) != 0 {
					t.Errorf("%v at %d leaves %v", bad, i, v)
				}
			}
		}
	}
	v := []float64{math.MaxFloat64, math.MaxFloat64}
	if norm, _, err := ClipL2(v, 1); !errors.Is(err, ErrNotFinite) || !math.IsInf(norm, 1) || v[0] != 0 {
		t.Errorf("a length beyond float64: %v, %v, %v", norm, v, err)
	}
}

func TestClipL2Edges(t *testing.T) {
	for _, c := range []float64{0, -1, math.NaN(), math.Inf(1), MinClip / 2, MaxClip * 2} {
		v := []float32{3, 4}
		if _, _, err := ClipL2(v, c); err == nil || v[0] != 3 || v[1] != 4 {
			t.Errorf("clip norm %v: %v, %v", c, v, err)
		}
	}
	if norm, factor, err := ClipL2([]float32(nil), 1); norm != 0 || factor != 1 || err != nil {
		t.Error(norm, factor, err)
	}
	if norm, factor, err := ClipL2(make([]float64, 4), 1); norm != 0 || factor != 1 || err != nil {
		t.Error(norm, factor, err)
	}
	v := []float64{3, 4}
	if norm, factor, err := ClipL2(v, 1); norm != 5 || factor != (1-0x1p-20)/5 || err != nil || math.Abs(v[0]-0.6) > 1e-6 {
		t.Error(norm, factor, err, v)
	}
	if norm, factor, err := ClipL2([]float64{0x1p901}, 1); norm != 0x1p901 || factor != 0 || !errors.Is(err, ErrNotFinite) {
		t.Error(norm, factor, err)
	}
	far := []float64{0x1p900}
	if _, _, err := ClipL2(far, MinClip); err != nil || !exactNormAtMost(far, MinClip) || far[0] < MinClip*(1-0x1p-19) {
		t.Error(far, err)
	}
	// Squares that over- or underflow.
	big := []float64{3e200, -4e200}
	if norm, _, err := ClipL2(big, 1); err != nil || math.Abs(norm-5e200) > 1e187 || math.Abs(big[1]+0.8) > 1e-6 {
		t.Error(norm, err, big)
	}
	tiny := []float64{3e-310, 4e-310, math.SmallestNonzeroFloat64}
	if norm, factor, err := ClipL2(tiny, 1); err != nil || math.Abs(norm-5e-310) > 1e-320 || factor != 1 {
		t.Error(norm, factor, err)
	}
	if norm, _, err := ClipL2([]float64{math.SmallestNonzeroFloat64}, 1); err != nil || norm != math.SmallestNonzeroFloat64 {
		t.Error(norm, err)
	}
}

func TestClipL2NoAllocations(t *testing.T) {
	v := make([]float32, 1000)
	if a := testing.AllocsPerRun(10, func() {
		for i := range v {
			v[i] = float32(i)
		}
		if _, _, err := ClipL2(v, 1); err != nil {
			t.Fatal(err)
		}
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
}
