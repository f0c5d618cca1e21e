package metric

import "math"

// exp returns e^x for x ≥ 0 with an error below 1 ulp, +∞ where it exceeds
// float64, NaN of NaN. math.Exp differs between architectures.
//
// It is FreeBSD's e_exp.c (Sun Microsystems 1993), as in Go's math.exp, with each
// product kept from fusing.
func exp(x float64) float64 {
	const (
		ln2hi = 6.93147180369123816490e-01
		ln2lo = 1.90821492927058770002e-10
		log2e = 1.44269504088896338700e+00
		p1    = 1.66666666666666657415e-01
		p2    = -2.77777777770155933842e-03
		p3    = 6.61375632143793436117e-05
		p4    = -1.65339022054652515390e-06
		p5    = 4.13813679705723846039e-08
	)
	switch {
	case x != x:
		return x
	case x > 709.782712893383973096:
		return math.Inf(1)
	}
	k := math.Floor(float64(log2e*x) + 0.5)
	hi := x - float64(k*ln2hi)
	lo := float64(k * ln2lo)
	r := hi - lo
	t := float64(r * r)
	c := r - float64(t*(p1+float64(t*(p2+float64(t*(p3+float64(t*(p4+float64(t*p5)))))))))
	y := 1 - ((lo - float64(r*c)/(2-c)) - hi)
	return math.Ldexp(y, int(k))
}
