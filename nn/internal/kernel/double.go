package kernel

import "math"

// Exp64 returns e^x in float64 with an error below 1 ulp; below −708, where it would
// be subnormal, it is 0, and +∞ where it exceeds float64. Exp64(NaN) = NaN.
//
// It is FreeBSD's e_exp.c (Sun Microsystems 1993), as in Go's math.exp, with each
// product kept from fusing.
func Exp64(x float64) float64 {
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
	case x < -708:
		return 0
	case x > 709.782712893383973096:
		return math.Inf(1)
	}
	k := int(float64(log2e*x) + math.Copysign(0.5, x))
	hi := x - float64(float64(k)*ln2hi)
	lo := float64(float64(k) * ln2lo)
	r := hi - lo
	t := float64(r * r)
	c := r - float64(t*(p1+float64(t*(p2+float64(t*(p3+float64(t*(p4+float64(t*p5)))))))))
	y := 1 - ((lo - float64(r*c)/(2-c)) - hi)
	return math.Ldexp(y, k) // exact
}

// CosPi returns cos(π·x) for 0 ≤ x ≤ 1, with an error below 2^-52. It is −1, 0 and 1
// exactly where the cosine is.
//
// The argument is folded into a quarter, where cos and sin are FreeBSD's k_cos.c and
// k_sin.c (Sun Microsystems 1993), with each product kept from fusing.
func CosPi(x float64) float64 {
	const (
		s1 = -1.66666666666666324348e-01
		s2 = 8.33333333332248946124e-03
		s3 = -1.98412698298579493134e-04
		s4 = 2.75573137070700676789e-06
		s5 = -2.50507602534068634195e-08
		s6 = 1.58969099521155010221e-10
		c1 = 4.16666666666666019037e-02
		c2 = -1.38888888888741095749e-03
		c3 = 2.48015872894767294178e-05
		c4 = -2.75573143513906633035e-07
		c5 = 2.08757232129817482790e-09
		c6 = -1.13596475577881948265e-11
	)
	if x > 0.5 {
		return -CosPi(1 - x)
	}
	if x > 0.25 { // cos(π·x) = sin(π·(½ − x)), the difference being exact
		y := float64(math.Pi * (0.5 - x))
		z := float64(y * y)
		r := s2 + float64(z*(s3+float64(z*(s4+float64(z*(s5+float64(z*s6)))))))
		return y + float64(float64(z*y)*(s1+float64(z*r)))
	}
	y := float64(math.Pi * x)
	z := float64(y * y)
	r := float64(z * (c1 + float64(z*(c2+float64(z*(c3+float64(z*(c4+float64(z*(c5+float64(z*c6)))))))))))
	h := float64(0.5 * z)
	w := 1 - h
	return w + ((1 - w - h) + float64(z*r))
}
