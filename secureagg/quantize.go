package secureagg

import "math"

// Quantize writes round-half-even(scale·v) as two's complement words of ℤ_2^32 and
// returns how many coordinates it had to clamp to ±bound. dst and v have the same
// length; bound is in units of v; NaN becomes 0 and counts as clamped. Clamping
// never moves two inputs further apart (SECAGG 2.7).
func Quantize(dst []uint32, v []float64, scale, bound float64) (clamped int) {
	_ = dst[:len(v)]
	limit := math.Min(math.Floor(scale*bound), math.MaxInt32)
	for i, x := range v {
		q := math.RoundToEven(scale * x)
		switch {
		case q > limit:
			q = limit
			clamped++
		case q < -limit:
			q = -limit
			clamped++
		case q != q:
			q = 0
			clamped++
		}
		dst[i] = uint32(int32(q))
	}
	return clamped
}

// Dequantize reads sums of quantized words as signed numbers and divides by scale.
func Dequantize(dst []float64, sum []uint32, scale float64) {
	_ = dst[:len(sum)]
	for i, q := range sum {
		dst[i] = float64(int32(q)) / scale
	}
}
