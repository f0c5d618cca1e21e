package nn

import (
	"fmt"
	"math"

	"tacit/nn/internal/kernel"
)

// denseKind: y = x·w + b over the last axis, for each of an example's rows:
//
//	y_rj = Σ_k x_rk·w_kj + b_j      ∂x = δ·wᵀ      ∂w = xᵀ·δ      ∂b_j = Σ_r δ_rj
//
// It is torch.nn.Linear with the weight as [in][out].
var denseKind = kind{
	name:   Dense,
	fields: []string{"units", "init", "local", "no_bias"},
	shape: func(l *Layer, in []int) ([]int, error) {
		if err := bounded("units", l.Units, 1, MaxUnits); err != nil {
			return nil, err
		}
		out := append([]int{}, in...)
		out[len(out)-1] = l.Units
		return out, nil
	},
	params: func(l *Layer, in []int) []param {
		k := in[len(in)-1]
		w := param{name: "weight", shape: []int{k, l.Units}, kind: Weight, init: l.weightInit(k, l.Units, fanInUniform(k))}.transposed()
		if l.NoBias {
			return []param{w}
		}
		return []param{w, {name: "bias", shape: []int{l.Units}, kind: Bias, init: l.otherInit(fanInUniform(k))}}
	},
	build: func(c *compiler, n *node) op {
		d := &dense{in: n.in[len(n.in)-1], out: n.layer.Units, w: c.weights(n.entries[0]), at: n.entries[0].Offset}
		d.rows = size(n.in) / d.in
		if !n.layer.NoBias {
			d.b, d.bias = c.weights(n.entries[1]), true
		}
		c.scratch(max(min(max(panel, d.out), d.in*d.out), d.out))
		if rows := c.batch * d.rows; c.workers > 1 && rows*(d.in+d.out) <= d.in*d.out && d.out >= leastColumns*c.workers {
			c.scratch(rows * (d.in + d.out))
			return wideDense{d}
		}
		c.scratch(backwardScratch(c.share*d.rows, d.in, d.out))
		return d
	},
}

type dense struct {
	in, out, rows int
	w, b          []float32 // (in,out), (out)
	bias          bool
	at            int // offset of w in the flat vector; b follows
}

// forward: each sum over in, k ascending from +0, one FMA a term, then the bias.
func (d *dense) forward(y, x []float32, n int, _ *work) {
	rows := n * d.rows
	kernel.Gemm(rows, d.out, d.in, x, d.in, 1, d.w, d.out, y, d.out)
	if d.bias {
		addRows(y, d.b, rows)
	}
}

// addRows adds b to each of the rows of y.
func addRows(y, b []float32, rows int) {
	if len(b) == 1 {
		for i, v := range y[:rows] {
			y[i] = v + b[0]
		}
		return
	}
	for i := range rows {
		row := y[i*len(b):][:len(b)]
		kernel.Add(row, row, b)
	}
}

// repeat returns b as often as fits wide, b itself if that is once: for addAll.
func repeat(wide, b []float32) []float32 {
	n := len(wide) / len(b)
	if n < 2 {
		return b
	}
	for i := range n {
		copy(wide[i*len(b):], b)
	}
	return wide[:n*len(b)]
}

// addAll adds what repeat returned to all of y's rows.
func addAll(y, repeated []float32) {
	for len(y) > 0 {
		part := y[:min(len(y), len(repeated))]
		kernel.Add(part, part, repeated[:len(part)])
		y = y[len(part):]
	}
}

func (d *dense) backward(dx, dy, _, _ []float32, n int, w *work) {
	if dx != nil {
		denseBackward(dx, dy, d.w, n*d.rows, d.in, d.out, w.tmp)
	}
}

// denseBackward computes ∂x = δ·wᵀ, each sum over out, ascending. Whichever is less is
// transposed: the weights, or the errors, and then it runs as (∂x)ᵀ = w·δᵀ. dx is
// (n,in), dy (n,out), w (in,out); tmp is scratch of backwardScratch.
func denseBackward(dx, dy, w []float32, n, in, out int, tmp []float32) {
	if in*out <= n*(in+out) {
		wT := tmp[:in*out]
		kernel.Transpose(wT, w, in, out)
		kernel.Gemm(n, in, out, dy, out, 1, wT, in, dx, in)
		return
	}
	dyT, dxT := tmp[:n*out], tmp[n*out:][:n*in]
	kernel.Transpose(dyT, dy, n, out)
	kernel.Gemm(in, n, out, w, out, 1, dyT, n, dxT, n)
	kernel.Transpose(dx, dxT, in, n)
}

// backwardScratch is what denseBackward takes for at most n rows.
func backwardScratch(n, in, out int) int { return min(n*(in+out), in*out) }

// leastColumns is how many columns of its own a worker must have for products in full
// tiles.
var leastColumns = 64

// wideDense is a dense layer of more weights than a batch has values. Of these a worker
// computes and moves the columns of its own, which stay in its cache from step to step,
// for all examples.
type wideDense struct{ *dense }

func (wideDense) whole() {}

// columns returns those of w.
func (d wideDense) columns(w *work) (lo, hi int) { return w.share(d.out, 16) }

func (d wideDense) forward(y, x []float32, n int, w *work) {
	w.team.Meet() // x is of all workers
	rows := n * d.rows
	if lo, hi := d.columns(w); lo < hi {
		kernel.Gemm(rows, hi-lo, d.in, x, d.in, 1, d.w[lo:], d.out, y[lo:], d.out)
		for r := 0; d.bias && r < rows; r++ {
			row := y[r*d.out:][lo:hi]
			kernel.Add(row, row, d.b[lo:hi])
		}
	}
	w.team.Meet()
}

// backward computes the errors of an equal part of the inputs: (∂x)ᵀ = w·δᵀ.
func (d wideDense) backward(dx, dy, _, _ []float32, n int, w *work) {
	if dx == nil {
		return
	}
	w.team.Meet()
	rows := n * d.rows
	if lo, hi := w.share(d.in, 16); lo < hi {
		dyT, dxT := w.tmp[:rows*d.out], w.tmp[rows*d.out:][:rows*(hi-lo)]
		kernel.Transpose(dyT, dy, rows, d.out)
		kernel.Gemm(hi-lo, rows, d.out, d.w[lo*d.out:], d.out, 1, dyT, rows, dxT, rows)
		kernel.TransposeRows(dx[lo:], d.in, dxT, rows, hi-lo, rows)
	}
	w.team.Meet()
}

func (d wideDense) descend(o *optimizer, params, dy, x []float32, n int, w *work) {
	lo, hi := d.columns(w)
	if lo == hi {
		return
	}
	cols := hi - lo
	step := max(1, panel/cols)
	for k := 0; k < d.in; k += step {
		rows := min(step, d.in-k)
		g := w.tmp[:rows*cols]
		kernel.Gemm(rows, cols, n*d.rows, x[k:], 1, d.in, dy[lo:], d.out, g, cols)
		for r := range rows {
			o.move(params, g[r*cols:][:cols], d.at+(k+r)*d.out+lo)
		}
	}
	d.descendBias(o, params, dy, n, lo, hi, w)
}

func (d *dense) grad(g, dy, x []float32, n int, w *work) {
	denseGrad(g[d.at:], x, d.in, dy, d.out, n*d.rows, d.bias, w)
}

func (d *dense) terms(n int) int { return n * d.rows }

// panel is how many values of a gradient descend computes at a time: they stay in the
// second-level cache.
const panel = 1 << 16

func (d *dense) descend(o *optimizer, params, dy, x []float32, n int, w *work) {
	step := max(1, panel/d.out)
	if step > 16 {
		step &^= 15
	}
	for lo, hi := w.share(d.in, 8); lo < hi; lo += step {
		rows := min(step, hi-lo)
		g := w.tmp[:rows*d.out]
		kernel.Gemm(rows, d.out, n*d.rows, x[lo:], 1, d.in, dy, d.out, g, d.out)
		o.move(params, g, d.at+lo*d.out)
	}
	lo, hi := w.share(d.out, 16)
	d.descendBias(o, params, dy, n, lo, hi, w)
}

func (d *dense) descendBias(o *optimizer, params, dy []float32, n, lo, hi int, w *work) {
	if !d.bias || lo == hi {
		return
	}
	g := w.tmp[:hi-lo]
	sumRows(g, dy[lo:], n*d.rows, d.out)
	o.move(params, g, d.at+d.in*d.out+lo)
}

// denseGrad writes w's share of ∂w = xᵀ·δ to the first in·out of g, and with bias of
// ∂b = Σ_r δ_r to the out after them. x is (rows,in), dy (rows,out).
func denseGrad(g, x []float32, in int, dy []float32, out, rows int, bias bool, w *work) {
	if lo, hi := w.share(in, 8); lo < hi {
		kernel.Gemm(hi-lo, out, rows, x[lo:], 1, in, dy, out, g[lo*out:], out)
	}
	if bias {
		sumShare(g[in*out:][:out], dy, rows, out, w)
	}
}

// sumShare writes w's share of the columns' sums of dy (rows, ld) to db.
func sumShare(db, dy []float32, rows, ld int, w *work) {
	if lo, hi := w.share(len(db), 16); lo < hi {
		sumRows(db[lo:hi], dy[lo:], rows, ld)
	}
}

// sumRows writes to db the sum of the rows of dy, ld apart, in ascending order from +0.
func sumRows(db, dy []float32, rows, ld int) {
	clear(db)
	if len(db) == 1 {
		for i := range rows {
			db[0] += dy[i*ld]
		}
		return
	}
	for i := range rows {
		kernel.Add(db, db, dy[i*ld:][:len(db)])
	}
}

func (d *dense) norm2(dy, x []float32, _ int, _ *work) float64 {
	return outerNorm2(x, d.in, dy, d.out, d.rows, d.bias)
}

func (d *dense) scale(int, float32) {}

// maxInput bounds ‖x‖₂ at a layer whose norm is judged.
const maxInput = 0x1p64

// outerNorm2 returns the squared Frobenius norm of G = Σ_r x_rᵀ·δ_r, and with bias
// that of Σ_r δ_r added: the gradient of a dense map that one example meets rows
// times. x is (rows,in), dy (rows,out). One row is +Inf where ‖x‖ > 2^64.
//
// One row needs no gradient: ‖G‖ = ‖x‖·‖δ‖ (Goodfellow 2015,
// https://arxiv.org/abs/1510.01799). More rows take the smaller of two ways, both in
// float64: ‖G‖² = Σ_rs (x_r·x_s)(δ_r·δ_s), the ghost norm (Li et al. 2022,
// https://arxiv.org/abs/2110.05679), or G itself, a row of it at a time. Terms of
// either may cancel while the roundings, here and where grad adds them up in float32,
// do not; so the result is withRounding's upper bound with S = Σ_r ‖x_r‖·‖δ_r‖, and the
// rows of an example are bounded together: +Inf where some ‖x_r‖ > 2^64/rows.
func outerNorm2(x []float32, in int, dy []float32, out, rows int, bias bool) float64 {
	if rows == 1 {
		xx := kernel.SumSquares(x[:in])
		if !(xx <= maxInput*maxInput) {
			return math.Inf(1)
		}
		if bias {
			xx = 1 + xx
		}
		return float64(kernel.SumSquares(dy[:out]) * xx)
	}
	one := 0.0
	if bias {
		one = 1
	}
	var s float64
	for r := range rows {
		xx := kernel.SumSquares(x[r*in:][:in])
		if !(xx <= longest(rows)) {
			return math.Inf(1)
		}
		s += math.Sqrt(float64(kernel.SumSquares(dy[r*out:][:out]) * (one + xx)))
	}
	var sum float64
	if rows*(in+out)/2 <= in*out {
		for r := range rows {
			for q := range r + 1 {
				t := float64((one + kernel.Dot(x[r*in:][:in], x[q*in:][:in])) * kernel.Dot(dy[r*out:][:out], dy[q*out:][:out]))
				if q < r {
					t *= 2
				}
				sum += t
			}
		}
	} else {
		var v [64]float64
		for k := range in + int(one) {
			for j := 0; j < out; j += len(v) {
				w := min(len(v), out-j)
				clear(v[:w])
				for r := range rows {
					xr := 1.0
					if k < in {
						xr = float64(x[r*in+k])
					}
					for c, e := range dy[r*out+j:][:w] {
						v[c] += float64(xr * float64(e))
					}
				}
				for _, e := range v[:w] {
					sum += float64(e * e)
				}
			}
		}
	}
	return withRounding(sum, s, rows)
}

// longest bounds ‖x_r‖² where an example has so many rows: the roundings of subnormal
// errors add up over them.
func longest(rows int) float64 {
	l := maxInput / float64(rows)
	return float64(l * l)
}

// withRounding returns an upper bound of the squared norm of what grad adds for one
// example: of terms x_r·δ_r whose exact sum has the squared norm sum, while their
// lengths add up to s. Terms may cancel, their roundings do not. A float32 sum of so
// many terms is off by at most γ·s with γ = m/(1−m), m = terms·2^-24 (Higham 2002,
// https://doi.org/10.1137/1.9780898718027, §3.1); four more units stand for the
// factor, the scaled errors and this function. So many terms that γ is no bound give
// +Inf. Sums that grad takes in float64 have no terms to count.
func withRounding(sum, s float64, terms int) float64 {
	m := float64(terms+4) * 0x1p-24
	if m >= 0.5 {
		return math.Inf(1)
	}
	norm := math.Sqrt(max(sum, 0)+float64(0x1p-48*float64(s*s))) + float64(float64(m/(1-m))*s)
	return float64(norm * norm)
}

// wantAxes reports a shape that has not the axes a layer needs.
func wantAxes(in []int, n int, names string) error {
	if len(in) != n {
		return fmt.Errorf("takes %s, got shape %s", names, shape(in))
	}
	return nil
}
