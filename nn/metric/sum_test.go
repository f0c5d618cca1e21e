package metric

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSumIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 1000 {
		// Multiples of 2⁻⁶⁴ up to 2⁵³ pass through unchanged.
		x := math.Ldexp(float64(r.Uint64()>>11), r.IntN(65)-64)
		if x > maxCoordinate {
			continue
		}
		if got := sumOf(x).float(); got != x {
			t.Fatalf("%v became %v", x, got)
		}
	}
	var s sum
	for range 1 << 12 {
		s.add(0x1p-64)
		s.add(1 - 0x1p-53)
	}
	// 4096·(1 − 2⁻⁵³ + 2⁻⁶⁴) = 4096 − 2⁻⁴¹ + 2⁻⁵².
	if want := (sum{1<<12 - 1, math.MaxUint64 - 1<<23 + 1<<12 + 1}); s != want {
		t.Errorf("the sum is %+v, want %+v", s, want)
	}
	if got := sumOf(0x1p-65); got != (sum{}) {
		t.Errorf("2⁻⁶⁵ became %+v", got)
	}
	if got := sumOf(math.Nextafter(1, 0)).float(); got != math.Nextafter(1, 0) {
		t.Errorf("the greatest number below 1 became %v", got)
	}
}
