package kernel

import "math"

// Exp returns e^x. Its error is at most 1 ulp where the result is normal and at
// most half the least subnormal more below that. Exp(−∞) = 0, Exp(+∞) = +∞,
// Exp(NaN) = NaN.
//
// x = n·ln 2 + r with |r| ≤ ½ ln 2, e^r by the polynomial of Cephes' expf
// (Moshier, https://netlib.org/cephes), then scaled by 2^n.
func Exp(x float32) float32 {
	const (
		log2e = 1.44269504088896341
		ln2hi = 0.693359375     // 9 bits: n·ln2hi is exact
		ln2lo = -2.12194440e-4  // ln 2 − ln2hi
		magic = 12582912        // 1.5·2^23: adding it rounds to an integer
		least = float32(-104.0) // e^least < 2^-150, rounds to zero
		most  = float32(89.0)   // e^most > MaxFloat32
	)
	if x != x {
		return x
	}
	x = max(least, min(x, most))
	n := FMA(x, log2e, magic) - magic
	r := FMA(n, -ln2hi, x)
	r = FMA(n, -ln2lo, r)
	p := float32(1.9875691500e-4)
	p = FMA(p, r, 1.3981999507e-3)
	p = FMA(p, r, 8.3334519073e-3)
	p = FMA(p, r, 4.1665795894e-2)
	p = FMA(p, r, 1.6666665459e-1)
	p = FMA(p, r, 5.0000001201e-1)
	y := FMA(p, float32(r*r), r) + 1
	// Two factors: 2^n alone may be subnormal or infinite while the result is
	// not. The first product is exact.
	k := int32(n)
	h := k >> 1
	return float32(float32(y*pow2(h)) * pow2(k-h))
}

// pow2 returns 2^n for −126 ≤ n ≤ 127.
func pow2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// Sigmoid returns 1/(1 + e^−x), with an error of at most 3 ulp where the result is
// normal. It is computed from e^−|x|, so that it does not overflow; far left it
// falls with e^x to zero, far right it is 1.
func Sigmoid(x float32) float32 {
	e := Exp(-abs(x))
	if x >= 0 {
		return 1 / (1 + e)
	}
	return e / (1 + e)
}

// Tanh returns the hyperbolic tangent, odd and within [−1, 1], with an error of
// at most 2 ulp.
//
// Below 0.625 it is x + x³·P(x²) with the polynomial of Cephes' tanhf, above
// 1 − 2/(e^2|x| + 1).
func Tanh(x float32) float32 {
	a := abs(x)
	var y float32
	if a < 0.625 {
		z := float32(a * a)
		p := float32(-5.70498872745e-3)
		p = FMA(p, z, 2.06390887954e-2)
		p = FMA(p, z, -5.37397155531e-2)
		p = FMA(p, z, 1.33314422036e-1)
		p = FMA(p, z, -3.33332819422e-1)
		y = FMA(float32(p*z), a, a)
	} else {
		y = 1 - 2/(Exp(2*a)+1)
	}
	return math.Float32frombits(math.Float32bits(y)&^(1<<31) | math.Float32bits(x)&(1<<31))
}

// Sqrt returns the correctly rounded square root: rounding float64's to float32
// is harmless, as 53 ≥ 2·24 + 2 (Figueroa 1995,
// https://doi.org/10.1145/221332.221334).
func Sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// Log returns the natural logarithm in float64, with an error below 1 ulp. It
// serves losses, one per example; parameters never depend on it.
//
// It is FreeBSD's e_log.c (Sun Microsystems 1993), as in Go's math.log, with each
// product kept from fusing.
func Log(x float64) float64 {
	const (
		ln2hi = 6.93147180369123816490e-01
		ln2lo = 1.90821492927058770002e-10
		l1    = 6.666666666666735130e-01
		l2    = 3.999999999940941908e-01
		l3    = 2.857142874366239149e-01
		l4    = 2.222219843214978396e-01
		l5    = 1.818357216161805012e-01
		l6    = 1.531383769920937332e-01
		l7    = 1.479819860511658591e-01
	)
	switch {
	case x != x || x > math.MaxFloat64:
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	f, e := math.Frexp(x) // pure integer work in Go on every machine
	if f < math.Sqrt2/2 {
		f *= 2
		e--
	}
	f--
	k := float64(e)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	t1 := float64(s2 * (l1 + float64(s4*(l3+float64(s4*(l5+float64(s4*l7)))))))
	t2 := float64(s4 * (l2 + float64(s4*(l4+float64(s4*l6)))))
	r := t1 + t2
	half := float64(0.5 * float64(f*f))
	return float64(k*ln2hi) - ((half - (float64(s*(half+r)) + float64(k*ln2lo))) - f)
}

// Log1p returns ln(1 + u) for 0 ≤ u ≤ 1, with an absolute error below 2^-52.
func Log1p(u float32) float64 {
	v := float64(u)
	if v < 0x1p-26 {
		return v - float64(0.5*float64(v*v))
	}
	return Log(1 + v) // 1 + v rounds by less than 2^-53
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
