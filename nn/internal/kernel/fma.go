package kernel

import "math"

// minNormal32 is the float64 pattern of 2^-126, float32's least normal number.
const minNormal32 = uint64(1023-126) << 52

// FMA returns a·b + c rounded once to float32, ties to even, for all operands:
// what a hardware fused multiply-add gives, on every machine.
//
// The product of two float32 is exact in float64. Its sum with c is rounded to
// float64 first; rounding that to float32 is the correct result unless the
// float64 lies exactly halfway between two float32, because halfway points are
// themselves float64 and rounding keeps order. Only those, and results below
// float32's normal range (where halfway points lie elsewhere), take the slow
// path. (float32(math.FMA(a, b, c)) would round twice.)
func FMA(a, b, c float32) float32 {
	s := float64(a)*float64(b) + float64(c) // the product is exact: fused or not, the same
	u := math.Float64bits(s) &^ (1 << 63)
	if u&(1<<29-1) != 1<<28 && u-1 >= minNormal32-1 { // u = 0 wraps: zero is exact
		return float32(s)
	}
	return fmaOdd(a, b, c)
}

// fmaOdd rounds a·b + c to odd in float64: an inexact sum becomes whichever of
// its two float64 neighbours has an odd last bit. Rounding that to float32 is
// correct for every target of at most 53 − 2 bits, subnormals included
// (Boldo and Melquiond 2008, https://doi.org/10.1109/TC.2007.70819).
func fmaOdd(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	z := float64(c)
	s := float64(p) + z
	if math.IsInf(s, 0) || s != s {
		return float32(s)
	}
	// TwoSum (Knuth): p + z = s + e exactly. Nothing under- or overflows here:
	// p lies in 2^-298 … 2^256 or is zero.
	t := s - p
	e := (p - (s - t)) + (z - t)
	if e == 0 {
		return float32(s)
	}
	u := math.Float64bits(s)
	if u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return float32(math.Float64frombits(u))
}
