package kernel

import "math"

// Sums over a vector run side by side in 16 float64, element j in the (j mod 16)-th, and
// are added up by halves: the same on every machine.
type lanes16 [16]float64

func (s *lanes16) total() float64 {
	for w := 8; w > 0; w /= 2 {
		for i := range w {
			s[i] += s[i+w]
		}
	}
	return s[0]
}

// Dot returns Σ_j a_j·b_j in float64; the products are exact. b has at least a's length.
func Dot(a, b []float32) float64 {
	var s lanes16
	b = b[:len(a)]
	n := blocksOf(len(a))
	if n > 0 {
		dotLoop(n, &a[0], &b[0], &s[0])
	}
	for j := n; j < len(a); j++ {
		s[j&15] += float64(float64(a[j]) * float64(b[j]))
	}
	return s.total()
}

// SumSquares returns Σ_j a_j² in float64; the squares are exact, and the sum of float32
// squares cannot overflow.
func SumSquares(a []float32) float64 { return Dot(a, a) }

// Sum returns Σ_j a_j in float64.
func Sum(a []float32) float64 {
	var s lanes16
	n := blocksOf(len(a))
	if n > 0 {
		sumLoop(n, &a[0], &s[0])
	}
	for j := n; j < len(a); j++ {
		s[j&15] += float64(a[j])
	}
	return s.total()
}

// Deviation returns Σ_j (a_j − mean)² in float64.
func Deviation(a []float32, mean float64) float64 {
	var s lanes16
	n := blocksOf(len(a))
	if n > 0 {
		deviationLoop(n, &a[0], mean, &s[0])
	}
	for j := n; j < len(a); j++ {
		d := float64(a[j]) - mean
		s[j&15] += float64(d * d)
	}
	return s.total()
}

// RowErrors returns Σ_j δ_j·γ_j and Σ_j δ_j·γ_j·x̂_j in float64, with x̂ = (x − mean)·inverse
// in float32; the products δ·γ are exact.
func RowErrors(dy, gamma, x []float32, mean, inverse float32) (sum, dot float64) {
	var s, d lanes16
	gamma, x = gamma[:len(dy)], x[:len(dy)]
	n := blocksOf(len(dy))
	if n > 0 {
		rowErrorsLoop(n, &dy[0], &gamma[0], &x[0], mean, inverse, &s[0], &d[0])
	}
	for j := n; j < len(dy); j++ {
		e := float64(float64(dy[j]) * float64(gamma[j]))
		s[j&15] += e
		d[j&15] += float64(e * float64(float32((x[j]-mean)*inverse)))
	}
	return s.total(), d.total()
}

// Greatest returns the greatest magnitude in a, 0 where it is empty, a NaN where there
// is one.
func Greatest(a []float32) float32 {
	var s [16]float32
	n := blocksOf(len(a))
	if n > 0 {
		greatestLoop(n, &a[0], &s[0])
	}
	var most uint32 // patterns of magnitudes order as they do, a NaN above all
	for _, v := range s {
		most = max(most, math.Float32bits(v))
	}
	for _, v := range a[n:] {
		most = max(most, math.Float32bits(v)&^(1<<31))
	}
	return math.Float32frombits(most)
}

// Max returns the greatest number in a, which is not empty, or a NaN where there is one.
func Max(a []float32) float32 {
	m := a[0]
	if len(a) < 16 {
		for _, v := range a[1:] {
			m = greater(m, v)
		}
		return m
	}
	var s [16]float32
	for l := range s {
		s[l] = m
	}
	n := blocksOf(len(a))
	if n > 0 {
		mostLoop(n, &a[0], &s[0])
	}
	for i, v := range a[n:] {
		s[i%16] = greater(s[i%16], v)
	}
	for _, v := range s {
		m = greater(m, v)
	}
	return m
}

// greater returns v where it is greater than m or a NaN, else m.
func greater(m, v float32) float32 {
	if v > m || v != v {
		return v
	}
	return m
}

// The functions below work on the columns of matrices with rows of ld values, of which
// the first len of their per-column arguments; float64 sums run down the rows.

// ColSum adds to s_j the sum of column j of x.
func ColSum(s []float64, x []float32, ld, rows int) {
	if rows <= 0 || len(s) == 0 {
		return
	}
	_ = x[(rows-1)*ld+len(s)-1]
	n := blocksOf(len(s))
	for j := 0; j < n; j += 16 {
		colSumLoop(rows, &x[j], ld, &s[j])
	}
	if n == len(s) {
		return
	}
	for r := range rows {
		for j, v := range x[r*ld:][n:len(s)] {
			s[n+j] += float64(v)
		}
	}
}

// ColSquare adds to s_j the sum of (x − mean_j)² over column j.
func ColSquare(s []float64, x []float32, ld, rows int, mean []float64) {
	if rows <= 0 || len(s) == 0 {
		return
	}
	mean = mean[:len(s)]
	_ = x[(rows-1)*ld+len(s)-1]
	n := blocksOf(len(s))
	for j := 0; j < n; j += 16 {
		colSquareLoop(rows, &x[j], ld, &mean[j], &s[j])
	}
	if n == len(s) {
		return
	}
	for r := range rows {
		for j, v := range x[r*ld:][n:len(s)] {
			d := float64(v) - mean[n+j]
			s[n+j] += float64(d * d)
		}
	}
}

// ColErrors adds to sum_j the sum of δ, and to dot_j that of δ·x̂, over column j, with
// x̂ = (x − mean_j)·inverse_j in float32.
func ColErrors(sum, dot []float64, dy, x []float32, ld, rows int, mean, inverse []float32) {
	if rows <= 0 || len(sum) == 0 {
		return
	}
	c := len(sum)
	dot, mean, inverse = dot[:c], mean[:c], inverse[:c]
	_, _ = dy[(rows-1)*ld+c-1], x[(rows-1)*ld+c-1]
	n := blocksOf(c)
	for j := 0; j < n; j += 16 {
		colErrorsLoop(rows, &dy[j], &x[j], ld, &mean[j], &inverse[j], &sum[j], &dot[j])
	}
	if n == c {
		return
	}
	for r := range rows {
		for j := n; j < c; j++ {
			e := float64(dy[r*ld+j])
			hat := float32((x[r*ld+j] - mean[j]) * inverse[j])
			sum[j] += e
			dot[j] += float64(e * float64(hat))
		}
	}
}

// ColRowErrors is ColErrors with x̂ = (x − mean_r)·inverse_r in row r.
func ColRowErrors(sum, dot []float64, dy, x []float32, ld, rows int, mean, inverse []float32) {
	if rows <= 0 || len(sum) == 0 {
		return
	}
	c := len(sum)
	dot, mean, inverse = dot[:c], mean[:rows], inverse[:rows]
	_, _ = dy[(rows-1)*ld+c-1], x[(rows-1)*ld+c-1]
	n := blocksOf(c)
	for j := 0; j < n; j += 16 {
		colRowErrorsLoop(rows, &dy[j], &x[j], ld, &mean[0], &inverse[0], &sum[j], &dot[j])
	}
	if n == c {
		return
	}
	for r := range rows {
		for j := n; j < c; j++ {
			e := float64(dy[r*ld+j])
			hat := float32((x[r*ld+j] - mean[r]) * inverse[r])
			sum[j] += e
			dot[j] += float64(e * float64(hat))
		}
	}
}

// ColNorm writes y = gamma_j·x̂ + beta_j.
func ColNorm(y, x []float32, ld, rows int, mean, inverse, gamma, beta []float32) {
	colNorm(y, x, nil, ld, rows, mean, inverse, gamma, beta, false)
}

// ColNormReLU writes y = max(gamma_j·x̂ + beta_j + plus, 0); plus may be nil.
func ColNormReLU(y, x, plus []float32, ld, rows int, mean, inverse, gamma, beta []float32) {
	colNorm(y, x, plus, ld, rows, mean, inverse, gamma, beta, true)
}

func colNorm(y, x, plus []float32, ld, rows int, mean, inverse, gamma, beta []float32, relu bool) {
	c := len(mean)
	if rows <= 0 || c == 0 {
		return
	}
	inverse, gamma, beta = inverse[:c], gamma[:c], beta[:c]
	last := (rows-1)*ld + c
	y, x = y[:last], x[:last]
	if plus != nil {
		plus = plus[:last]
	}
	n := blocksOf(c)
	for j := 0; j < n; j += 16 {
		switch {
		case plus != nil:
			colNormPlusReLULoop(rows, &y[j], &x[j], &plus[j], ld, &mean[j], &inverse[j], &gamma[j], &beta[j])
		case relu:
			colNormReLULoop(rows, &y[j], &x[j], ld, &mean[j], &inverse[j], &gamma[j], &beta[j])
		default:
			colNormLoop(rows, &y[j], &x[j], ld, &mean[j], &inverse[j], &gamma[j], &beta[j])
		}
	}
	if n == c {
		return
	}
	for r := range rows {
		for j := n; j < c; j++ {
			at := r*ld + j
			hat := float32((x[at] - mean[j]) * inverse[j])
			v := float32(gamma[j]*hat) + beta[j]
			if plus != nil {
				v += plus[at]
			}
			if relu && v <= 0 {
				v = 0
			}
			y[at] = v
		}
	}
}

// ColBack writes ∂x = factor_j·((δ − a_j) − x̂·b_j).
func ColBack(dx, dy, x []float32, ld, rows int, mean, inverse, a, b, factor []float32) {
	c := len(mean)
	if rows <= 0 || c == 0 {
		return
	}
	inverse, a, b, factor = inverse[:c], a[:c], b[:c], factor[:c]
	_, _, _ = dx[(rows-1)*ld+c-1], dy[(rows-1)*ld+c-1], x[(rows-1)*ld+c-1]
	n := blocksOf(c)
	for j := 0; j < n; j += 16 {
		colBackLoop(rows, &dx[j], &dy[j], &x[j], ld, &mean[j], &inverse[j], &a[j], &b[j], &factor[j])
	}
	if n == c {
		return
	}
	for r := range rows {
		for j := n; j < c; j++ {
			hat := float32((x[r*ld+j] - mean[j]) * inverse[j])
			dx[r*ld+j] = factor[j] * float32(float32(dy[r*ld+j]-a[j])-float32(hat*b[j]))
		}
	}
}
