package kernel

import "math"

// Erf returns the error function 2/√π·∫₀ˣ e^(−t²) dt, odd and within [−1, 1], with
// an error below 1.1 ulp (1.055 is the greatest of all floats in 0.25 … 4).
//
// Below 0.9375 it is x + x·P(x²), above 1 − e^(−|x|·(1 + Q(|x|))). P approximates
// erf(x)/x − 1 and Q −ln(erfc x)/x − 1; both are minimax fits by reweighted least
// squares on Chebyshev points, with errors of 2^-30 of the result.
func Erf(x float32) float32 {
	a := abs(x)
	var y float32
	switch {
	case a < 0.9375:
		z := float32(a * a)
		p := float32(8.2674618170131e-05)
		p = FMA(p, z, -8.118075202219188e-4)
		p = FMA(p, z, 5.198829807341099e-3)
		p = FMA(p, z, -2.685849741101265e-2)
		p = FMA(p, z, 1.128367930650711e-1)
		p = FMA(p, z, -3.7612631916999817e-1)
		p = FMA(p, z, 1.2837916612625122e-1)
		y = FMA(p, a, a)
	case a < 4: // erfc 4 < 2^-25: from there on 1 is nearest
		q := float32(1.2150416296208277e-05)
		q = FMA(q, a, -3.3198739402e-4)
		q = FMA(q, a, 3.679727902635932e-3)
		q = FMA(q, a, -2.3840725421905518e-2)
		q = FMA(q, a, 1.0632801055908203e-1)
		q = FMA(q, a, 6.350963115692139e-1)
		q = FMA(q, a, 1.2866200506687164e-1)
		y = 1 - Exp(-FMA(q, a, a))
	case x != x:
		return x
	default:
		y = 1
	}
	return math.Float32frombits(math.Float32bits(y)&^(1<<31) | math.Float32bits(x)&(1<<31))
}
