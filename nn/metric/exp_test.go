package metric

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestExp(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for range 100_000 {
		x := r.Float64() * 709
		if got, want := exp(x), math.Exp(x); math.Abs(got-want) > 2*(math.Nextafter(want, math.Inf(1))-want) {
			t.Fatalf("exp(%v) is %v, want %v", x, got, want)
		}
	}
	if exp(0) != 1 || !math.IsInf(exp(710), 1) || !math.IsInf(exp(math.Inf(1)), 1) || exp(math.NaN()) == exp(math.NaN()) {
		t.Error("an end is wrong")
	}
	// Fixed bits, on every machine.
	if got := math.Float64bits(exp(1.7)); got != 0x4015e552770df8a6 {
		t.Errorf("exp(1.7) has bits %#x", got)
	}
}
