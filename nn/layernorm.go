package nn

import (
	"math"

	"tacit/nn/internal/kernel"
)

// layerNormKind: for each row of C values along the last axis,
//
//	μ = (1/C) Σ x     v = (1/C) Σ (x−μ)²     x̂ = (x−μ)/√(v+ε)     y = γ_c·x̂ + β_c
//	∂x = (δ·γ_c − (1/C) Σ δ·γ − x̂·(1/C) Σ δ·γ·x̂) / √(v+ε)
//	∂γ_c = Σ δ·x̂       ∂β_c = Σ δ      (over examples and rows)
//
// (Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450). It is torch.nn.LayerNorm
// of the last axis.
var layerNormKind = kind{
	name: LayerNorm, fields: []string{"local", "epsilon"},
	shape: func(l *Layer, in []int) ([]int, error) { return in, l.checkEpsilon() },
	params: func(_ *Layer, in []int) []param {
		c := in[len(in)-1:]
		return []param{{name: "weight", shape: c, kind: Weight, init: initial{rule: ones}}, {name: "bias", shape: c, kind: Bias}}
	},
	build: func(c *compiler, n *node) op {
		l := &layerNorm{width: n.in[len(n.in)-1], epsilon: n.layer.epsilon(), at: n.entries[0].Offset}
		l.rows = size(n.in) / l.width
		l.gamma, l.beta = c.weights(n.entries[0]), c.weights(n.entries[1])
		l.mean, l.inverse = c.take(c.batch*l.rows), c.take(c.batch*l.rows)
		return l
	},
}

// layerNorm sums in float64, along a row in lanes, over rows in their order; all else is
// float32.
type layerNorm struct {
	width, rows   int // C; rows of one example
	epsilon       float64
	at            int       // offset of γ in the flat vector; β follows
	gamma, beta   []float32 // (C)
	mean, inverse []float32 // (batch, rows): μ and 1/√(v+ε) of the last forward pass
}

func (l *layerNorm) forward(y, x []float32, n int, w *work) {
	first := w.lo * l.rows
	count := float64(l.width)
	for r := range n * l.rows {
		in, out := x[r*l.width:][:l.width], y[r*l.width:][:l.width]
		mean := kernel.Sum(in) / count
		m, inverse := float32(mean), inverseRoot(kernel.Deviation(in, mean)/count, l.epsilon)
		l.mean[first+r], l.inverse[first+r] = m, inverse
		kernel.RowNorm(out, in, l.gamma, l.beta, m, inverse)
	}
}

func (l *layerNorm) backward(dx, dy, x, _ []float32, n int, w *work) {
	if dx == nil {
		return
	}
	first := w.lo * l.rows
	count := float64(l.width)
	for r := range n * l.rows {
		in, errs, out := x[r*l.width:][:l.width], dy[r*l.width:][:l.width], dx[r*l.width:][:l.width]
		m, inverse := l.mean[first+r], l.inverse[first+r]
		sum, dot := kernel.RowErrors(errs, l.gamma, in, m, inverse)
		kernel.RowBack(out, errs, in, l.gamma, m, inverse, float32(sum/count), float32(dot/count))
	}
}

func (l *layerNorm) grad(g, dy, x []float32, n int, wk *work) {
	lo, hi := wk.share(l.width, 16)
	for c := lo; c < hi; c += block {
		var sum, dot [block]float64
		w := min(block, hi-c)
		kernel.ColRowErrors(sum[:w], dot[:w], dy[c:], x[c:], l.width, n*l.rows, l.mean, l.inverse)
		for j := range w {
			g[l.at+c+j], g[l.at+l.width+c+j] = float32(dot[j]), float32(sum[j])
		}
	}
}

// sums adds to s those of example i's columns c … c+w−1; dy and x begin at the example.
func (l *layerNorm) sums(s *normSums, dy, x []float32, i, c, w int) {
	for r := range l.rows {
		m, inverse := l.mean[i*l.rows+r], l.inverse[i*l.rows+r]
		in := x[r*l.width+c:][:w]
		for j, e := range dy[r*l.width+c:][:w] {
			s.add(j, float64(e), float64(hat(in[j], m, inverse)))
		}
	}
}

// norm2 is groupNorm's: Σ_c (∂γ_c² + ∂β_c²) of one example with the margin that the
// roundings of scaled errors can come to.
func (l *layerNorm) norm2(dy, x []float32, i int, _ *work) float64 {
	var sum, abs float64
	for c := 0; c < l.width; c += block {
		var s normSums
		w := min(block, l.width-c)
		l.sums(&s, dy, x, i, c, w)
		s.squares(&sum, &abs, w)
	}
	return withRounding(sum, math.Sqrt(abs), 0)
}

// scale: the statistics of an example that is dropped may be anything.
func (l *layerNorm) scale(i int, f float32) {
	if f == 0 {
		clear(l.mean[i*l.rows:][:l.rows])
		clear(l.inverse[i*l.rows:][:l.rows])
	}
}
