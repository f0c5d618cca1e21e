package nn

import (
	"fmt"

	"tacit/nn/internal/kernel"
)

// reluKind: y = max(x, 0); ∂x = δ where y > 0, else 0.
var reluKind = kind{name: ReLU, shape: sameShape, build: func(*compiler, *node) op { return relu{} }}

type relu struct{}

func (relu) forward(y, x []float32, _ int, _ *work) { kernel.ReLU(y, x) }

func (relu) backward(dx, dy, _, y []float32, _ int, _ *work) {
	if dx != nil {
		kernel.ReLUBack(dx, dy, y)
	}
}

// leakyReLUKind: y = x where x > 0, else slope·x; ∂x = δ where x > 0, else slope·δ
// (Maas, Hannun, Ng 2013).
var leakyReLUKind = kind{
	name: LeakyReLU, fields: []string{"slope"},
	shape: func(l *Layer, in []int) ([]int, error) {
		if s := l.Slope; s != 0 && !(s >= 0x1p-24 && s <= 1) { // written so that NaN fails
			return nil, fmt.Errorf("slope is %v, want %v to 1, or 0 for %v", s, 0x1p-24, defaultSlope)
		}
		return in, nil
	},
	build: func(_ *compiler, n *node) op { return leakyReLU{float32(n.layer.slope())} },
}

const defaultSlope = 0.01

func (l *Layer) slope() float64 {
	if l.Slope == 0 {
		return defaultSlope
	}
	return l.Slope
}

type leakyReLU struct{ slope float32 }

func (l leakyReLU) forward(y, x []float32, _ int, _ *work) { kernel.LeakyReLU(y, x, l.slope) }

func (l leakyReLU) backward(dx, dy, x, _ []float32, _ int, _ *work) {
	if dx != nil {
		kernel.LeakyReLUBack(dx, dy, x, l.slope)
	}
}

// geluKind: y = x·Φ(x) with Φ(x) = (1 + erf(x/√2))/2, the standard normal
// distribution function; ∂x = δ·(Φ(x) + x·φ(x)) with φ(x) = e^(−x²/2)/√(2π)
// (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, not its
// approximation by tanh).
var geluKind = kind{name: GELU, shape: sameShape, build: func(c *compiler, n *node) op {
	return &gelu{size(n.in), c.take(c.batch * size(n.in))}
}}

type gelu struct {
	size int
	phi  []float32 // (batch, size): Φ of the last forward pass, which backward needs too
}

func (g *gelu) forward(y, x []float32, _ int, w *work) { kernel.GELU(y, own(g.phi, g.size, w), x) }

func (g *gelu) backward(dx, dy, x, _ []float32, _ int, w *work) {
	if dx != nil {
		kernel.GELUBack(dx, dy, own(g.phi, g.size, w), x)
	}
}

// siluKind: y = x·σ(x); ∂x = δ·σ(x)·(1 + x·(1 − σ(x))) (Elfwing, Uchibe, Doya 2017,
// https://arxiv.org/abs/1702.03118).
var siluKind = kind{name: SiLU, shape: sameShape, build: func(*compiler, *node) op { return silu{} }}

type silu struct{}

func (silu) forward(y, x []float32, _ int, _ *work) { kernel.SiLU(y, x) }

func (silu) backward(dx, dy, x, _ []float32, _ int, _ *work) {
	if dx != nil {
		kernel.SiLUBack(dx, dy, x)
	}
}

// tanhKind: y = tanh x; ∂x = δ·(1 − y²).
var tanhKind = kind{name: Tanh, shape: sameShape, build: func(*compiler, *node) op { return tanh{} }}

type tanh struct{}

func (tanh) forward(y, x []float32, _ int, _ *work) { kernel.TanhOf(y, x) }

func (tanh) backward(dx, dy, _, y []float32, _ int, _ *work) {
	if dx != nil {
		kernel.TanhBack(dx, dy, y)
	}
}

// sigmoidKind: y = 1/(1+e^−x); ∂x = δ·y·(1 − y).
var sigmoidKind = kind{name: Sigmoid, shape: sameShape, build: func(*compiler, *node) op { return sigmoid{} }}

type sigmoid struct{}

func (sigmoid) forward(y, x []float32, _ int, _ *work) { kernel.SigmoidOf(y, x) }

func (sigmoid) backward(dx, dy, _, y []float32, _ int, _ *work) {
	if dx == nil {
		return
	}
	for j, v := range y {
		dx[j] = dy[j] * float32(v*(1-v))
	}
}

// softmaxKind: y_j = e^x_j / Σ_k e^x_k over the last axis; ∂x_j = y_j·(δ_j − Σ_k δ_k·y_k).
var softmaxKind = kind{name: Softmax, shape: sameShape, build: func(_ *compiler, n *node) op {
	return softmaxOp{n.in[len(n.in)-1]}
}}

type softmaxOp struct{ width int }

func (s softmaxOp) forward(y, x []float32, _ int, _ *work) { softmax(y, x, len(y)/s.width, s.width) }

func (s softmaxOp) backward(dx, dy, _, y []float32, _ int, _ *work) {
	if dx != nil {
		softmaxBackward(dx, dy, y, len(y)/s.width, s.width, 1)
	}
}

// softmax computes y_j = e^(x_j−m) / Σ_k e^(x_k−m) for each of n rows of c
// values, m the row's greatest; the sum is kernel.Sum's, rounded once. y may be x.
func softmax(y, x []float32, n, c int) {
	for i := range n {
		softmaxRow(y[i*c:][:c], x[i*c:][:c])
	}
}

// softmaxRow is softmax of one row. It returns m and the sum.
func softmaxRow(y, x []float32) (m, sum float32) {
	m = kernel.Max(x)
	kernel.ExpMinus(y, x, m)
	sum = float32(kernel.Sum(y))
	kernel.Div(y, y, sum)
	return m, sum
}

// softmaxBackward computes ∂x_j = y_j·(δ_j − Σ_k δ_k·y_k)·f for each of n rows of c
// values, the sum kernel.Dot's, rounded once.
func softmaxBackward(dx, dy, y []float32, n, c int, f float32) {
	for i := range n {
		d, v, out := dy[i*c:][:c], y[i*c:][:c], dx[i*c:][:c]
		dot := float32(kernel.Dot(d, v))
		kernel.SoftmaxBack(out, d, v, dot, f)
	}
}
