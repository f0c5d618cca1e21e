package kernel

import "math"

// Each function below works element by element; the slices after the first have at
// least its length and may be the same slice, else they must not overlap. The loops in
// Go are the meaning of the loops over vectors.

// ReLU writes y = max(x, 0); a NaN passes.
func ReLU(y, x []float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		reluLoop(n, &y[0], &x[0])
	}
	for j := n; j < len(y); j++ {
		v := x[j]
		if v <= 0 {
			v = 0
		}
		y[j] = v
	}
}

// ReLUBack writes ∂x = δ where y > 0, else 0.
func ReLUBack(dx, dy, y []float32) {
	dy, y = dy[:len(dx)], y[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		reluBackLoop(n, &dx[0], &dy[0], &y[0])
	}
	for j := n; j < len(dx); j++ {
		if y[j] > 0 {
			dx[j] = dy[j]
		} else {
			dx[j] = 0
		}
	}
}

// Add writes y = a + b.
func Add(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		addLoop(n, &y[0], &a[0], &b[0])
	}
	for j := n; j < len(y); j++ {
		y[j] = a[j] + b[j]
	}
}

// Scale writes y = f·x.
func Scale(y, x []float32, f float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		scaleLoop(n, &y[0], &x[0], f)
	}
	for j := n; j < len(y); j++ {
		y[j] = x[j] * f
	}
}

// ExpMinus writes y = e^(x−m).
func ExpMinus(y, x []float32, m float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		expLoop(n, &y[0], &x[0], m)
	}
	for j := n; j < len(y); j++ {
		y[j] = Exp(x[j] - m)
	}
}

// Div writes y = x/d.
func Div(y, x []float32, d float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		divLoop(n, &y[0], &x[0], d)
	}
	for j := n; j < len(y); j++ {
		y[j] = x[j] / d
	}
}

// SoftmaxBack writes ∂x = y·(δ − dot)·f.
func SoftmaxBack(dx, dy, y []float32, dot, f float32) {
	dy, y = dy[:len(dx)], y[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		softmaxBackLoop(n, &dx[0], &dy[0], &y[0], dot, f)
	}
	for j := n; j < len(dx); j++ {
		dx[j] = float32(y[j]*float32(dy[j]-dot)) * f
	}
}

// SigmoidOf writes y = 1/(1 + e^−x), as Sigmoid.
func SigmoidOf(y, x []float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		sigmoidLoop(n, &y[0], &x[0])
	}
	for j := n; j < len(y); j++ {
		y[j] = Sigmoid(x[j])
	}
}

// TanhOf writes y = tanh x, as Tanh.
func TanhOf(y, x []float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		tanhLoop(n, &y[0], &x[0])
	}
	for j := n; j < len(y); j++ {
		y[j] = Tanh(x[j])
	}
}

// TanhBack writes ∂x = δ·(1 − y²).
func TanhBack(dx, dy, y []float32) {
	dy, y = dy[:len(dx)], y[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		tanhBackLoop(n, &dx[0], &dy[0], &y[0])
	}
	for j := n; j < len(dx); j++ {
		dx[j] = dy[j] * FMA(-y[j], y[j], 1)
	}
}

// LeakyReLU writes y = x where x > 0, else slope·x.
func LeakyReLU(y, x []float32, slope float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		leakyLoop(n, &y[0], &x[0], slope)
	}
	for j := n; j < len(y); j++ {
		v := x[j]
		if !(v > 0) { // a NaN passes
			v *= slope
		}
		y[j] = v
	}
}

// LeakyReLUBack writes ∂x = δ where x > 0, else slope·δ.
func LeakyReLUBack(dx, dy, x []float32, slope float32) {
	dy, x = dy[:len(dx)], x[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		leakyBackLoop(n, &dx[0], &dy[0], &x[0], slope)
	}
	for j := n; j < len(dx); j++ {
		if x[j] > 0 {
			dx[j] = dy[j]
		} else {
			dx[j] = dy[j] * slope
		}
	}
}

// SiLU writes y = x·σ(x).
func SiLU(y, x []float32) {
	x = x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		siluLoop(n, &y[0], &x[0])
	}
	for j := n; j < len(y); j++ {
		y[j] = x[j] * Sigmoid(x[j])
	}
}

// SiLUBack writes ∂x = δ·σ(x)·(1 + x·(1 − σ(x))).
func SiLUBack(dx, dy, x []float32) {
	dy, x = dy[:len(dx)], x[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		siluBackLoop(n, &dx[0], &dy[0], &x[0])
	}
	for j := n; j < len(dx); j++ {
		s := Sigmoid(x[j])
		dx[j] = dy[j] * float32(s*FMA(x[j], 1-s, 1))
	}
}

// GELU writes phi = Φ(x) and y = x·Φ(x).
func GELU(y, phi, x []float32) {
	phi, x = phi[:len(y)], x[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		geluLoop(n, &y[0], &phi[0], &x[0])
	}
	for j := n; j < len(y); j++ {
		phi[j] = NormalCDF(x[j])
		y[j] = x[j] * phi[j]
	}
}

// GELUBack writes ∂x = δ·(Φ(x) + x·φ(x)), with GELU's phi.
func GELUBack(dx, dy, phi, x []float32) {
	dy, phi, x = dy[:len(dx)], phi[:len(dx)], x[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		geluBackLoop(n, &dx[0], &dy[0], &phi[0], &x[0])
	}
	const density = 0.398942280401432678 // 1/√(2π)
	for j := n; j < len(dx); j++ {
		v := x[j]
		d := float32(density * Exp(float32(-0.5*float32(v*v))))
		dx[j] = dy[j] * FMA(v, d, phi[j])
	}
}

// NormalCDF returns Φ(x) = (1 + erf(x/√2))/2, with an absolute error below 2^-23.
func NormalCDF(x float32) float32 {
	const invSqrt2 = 0.707106781186547524
	return float32(0.5 * float32(1+Erf(float32(x*invSqrt2))))
}

// LSTM is a step of long short-term memory: it turns the sums i, f, g, o into gates,
//
//	i, f, o ← σ     g ← tanh     c = f∘was + i∘g     tc = tanh c     h = o∘tc
func LSTM(h, i, f, g, o, c, tc, was []float32) {
	w := len(h)
	i, f, g, o, c, tc, was = i[:w], f[:w], g[:w], o[:w], c[:w], tc[:w], was[:w]
	n := lanesOf(w)
	if n > 0 {
		lstmLoop(n, &h[0], &i[0], &f[0], &g[0], &o[0], &c[0], &tc[0], &was[0])
	}
	for j := n; j < w; j++ {
		i[j], f[j] = Sigmoid(i[j]), Sigmoid(f[j])
		g[j], o[j] = Tanh(g[j]), Sigmoid(o[j])
		c[j] = FMA(f[j], was[j], float32(i[j]*g[j]))
		tc[j] = Tanh(c[j])
		h[j] = o[j] * tc[j]
	}
}

// LSTMBack puts the errors at the sums in the gates' place and moves carry, the error at
// c, a step back.
func LSTMBack(i, f, g, o, tc, was, dh, carry []float32) {
	w := len(dh)
	i, f, g, o, tc, was, carry = i[:w], f[:w], g[:w], o[:w], tc[:w], was[:w], carry[:w]
	n := lanesOf(w)
	if n > 0 {
		lstmBackLoop(n, &i[0], &f[0], &g[0], &o[0], &tc[0], &was[0], &dh[0], &carry[0])
	}
	for j := n; j < w; j++ {
		d, gi, gf, gg, gout, t := dh[j], i[j], f[j], g[j], o[j], tc[j]
		dc := FMA(float32(d*gout), FMA(-t, t, 1), carry[j])
		i[j] = float32(dc*gg) * float32(gi*(1-gi))
		f[j] = float32(dc*was[j]) * float32(gf*(1-gf))
		g[j] = float32(dc*gi) * FMA(-gg, gg, 1)
		o[j] = float32(d*t) * float32(gout*(1-gout))
		carry[j] = dc * gf
	}
}

// GRU is a step of a gated recurrent unit: it turns the sums r, z, c into gates,
//
//	r, z ← σ     c ← tanh(c + r∘q)     h = (1 − z)∘c + z∘prev
func GRU(h, r, z, c, q, prev []float32) {
	w := len(h)
	r, z, c, q, prev = r[:w], z[:w], c[:w], q[:w], prev[:w]
	n := lanesOf(w)
	if n > 0 {
		gruLoop(n, &h[0], &r[0], &z[0], &c[0], &q[0], &prev[0])
	}
	for j := n; j < w; j++ {
		r[j], z[j] = Sigmoid(r[j]), Sigmoid(z[j])
		c[j] = Tanh(FMA(r[j], q[j], c[j]))
		h[j] = FMA(z[j], prev[j]-c[j], c[j])
	}
}

// GRUBack puts the errors at the sums in the gates' place, that of q in q's, and moves
// carry, the error at h, a step back.
func GRUBack(r, z, c, q, prev, dh, carry []float32) {
	w := len(dh)
	r, z, c, q, prev, carry = r[:w], z[:w], c[:w], q[:w], prev[:w], carry[:w]
	n := lanesOf(w)
	if n > 0 {
		gruBackLoop(n, &r[0], &z[0], &c[0], &q[0], &prev[0], &dh[0], &carry[0])
	}
	for j := n; j < w; j++ {
		gr, gz, gn := r[j], z[j], c[j]
		d := dh[j] + carry[j]
		dn := float32(d*(1-gz)) * FMA(-gn, gn, 1)
		r[j] = float32(dn*q[j]) * float32(gr*(1-gr))
		z[j] = float32(d*(prev[j]-gn)) * float32(gz*(1-gz))
		c[j] = dn
		q[j] = dn * gr
		carry[j] = d * gz
	}
}

// Flush returns x, or +0 where x is subnormal.
func Flush(x float32) float32 {
	if math.Float32bits(x)&0x7f800000 == 0 {
		return 0
	}
	return x
}

// MaxTap goes on to tap of a window's values: best is the greatest so far, the first of
// equal ones, a NaN before any number and a later NaN before an earlier, and taken the
// tap that gave it.
func MaxTap(best, taken, x []float32, tap float32) {
	taken, x = taken[:len(best)], x[:len(best)]
	n := lanesOf(len(best))
	if n > 0 {
		maxTapLoop(n, &best[0], &taken[0], &x[0], tap)
	}
	for j := n; j < len(best); j++ {
		if v := x[j]; v > best[j] || v != v {
			best[j], taken[j] = v, tap
		}
	}
}

// SpreadTap adds δ to ∂x where tap was taken.
func SpreadTap(dx, dy, taken []float32, tap float32) {
	dy, taken = dy[:len(dx)], taken[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		spreadTapLoop(n, &dx[0], &dy[0], &taken[0], tap)
	}
	for j := n; j < len(dx); j++ {
		var e float32
		if taken[j] == tap {
			e = dy[j]
		}
		dx[j] += e
	}
}

// RowNorm writes y = γ·x̂ + β with x̂ = (x − mean)·inverse.
func RowNorm(y, x, gamma, beta []float32, mean, inverse float32) {
	x, gamma, beta = x[:len(y)], gamma[:len(y)], beta[:len(y)]
	n := lanesOf(len(y))
	if n > 0 {
		rowNormLoop(n, &y[0], &x[0], &gamma[0], &beta[0], mean, inverse)
	}
	for j := n; j < len(y); j++ {
		y[j] = float32(gamma[j]*float32((x[j]-mean)*inverse)) + beta[j]
	}
}

// RowBack writes ∂x = ((δ·γ − a) − x̂·b)·inverse.
func RowBack(dx, dy, x, gamma []float32, mean, inverse, a, b float32) {
	dy, x, gamma = dy[:len(dx)], x[:len(dx)], gamma[:len(dx)]
	n := lanesOf(len(dx))
	if n > 0 {
		rowBackLoop(n, &dx[0], &dy[0], &x[0], &gamma[0], mean, inverse, a, b)
	}
	for j := n; j < len(dx); j++ {
		hat := float32((x[j] - mean) * inverse)
		d := float32(float32(dy[j]*gamma[j])-a) - float32(hat*b)
		dx[j] = float32(d * inverse)
	}
}
