package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// math's functions are good to 1 ulp themselves, so that two are the bound here.
func TestExp64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	worst := 0.0
	for range 1_000_000 {
		x := -math.Ldexp(r.Float64(), r.IntN(60)-49)
		if x < -708 {
			continue
		}
		want := math.Exp(x)
		d := math.Abs(Exp64(x)-want) / (math.Nextafter(want, 2) - want)
		if worst = max(worst, d); d > 2 {
			t.Fatalf("Exp64(%v) = %v, want %v", x, Exp64(x), want)
		}
	}
	t.Logf("worst: %v ulp", worst)
	for range 100_000 {
		x := r.Float64() * 709
		if got, want := Exp64(x), math.Exp(x); math.Abs(got-want) > 2*(math.Nextafter(want, math.Inf(1))-want) {
			t.Fatalf("Exp64(%v) = %v, want %v", x, got, want)
		}
	}
	// Fixed bits, on every machine.
	if got := math.Float64bits(Exp64(1.7)); got != 0x4015e552770df8a6 {
		t.Errorf("Exp64(1.7) has bits %#x", got)
	}
	for x, want := range map[float64]float64{0: 1, math.Copysign(0, -1): 1, -708.1: 0, math.Inf(-1): 0, -0x1p-1074: 1, 710: math.Inf(1), math.Inf(1): math.Inf(1)} {
		if got := Exp64(x); got != want {
			t.Errorf("Exp64(%v) = %v, want %v", x, got, want)
		}
	}
	if x := Exp64(math.NaN()); x == x {
		t.Error("a NaN became a number")
	}
}

func TestCosPi(t *testing.T) {
	for i := range 1 << 20 {
		x := float64(i) / (1<<20 - 1)
		if got, want := CosPi(x), math.Cos(math.Pi*x); math.Abs(got-want) > 0x1p-51 {
			t.Fatalf("CosPi(%v) = %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, 0.5: 0, 1: -1} {
		if got := CosPi(x); got != want {
			t.Errorf("CosPi(%v) = %v, want %v", x, got, want)
		}
	}
	if got := CosPi(1.0 / 3); math.Abs(got-0.5) > 0x1p-53 {
		t.Errorf("CosPi(1/3) = %v", got)
	}
}

// Bits that must never change: models trained with them are hashed.
func TestDoubleBits(t *testing.T) {
	var sum uint64
	for i := range 1000 {
		sum = sum*0x9e3779b97f4a7c15 + math.Float64bits(Exp64(-float64(i)*0.737))
		sum = sum*0x9e3779b97f4a7c15 + math.Float64bits(CosPi(float64(i)/999))
	}
	if want := uint64(0x7b8b7594573b0d25); sum != want {
		t.Errorf("bits %#x, want %#x", sum, want)
	}
}
