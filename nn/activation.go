package nn

import "tacit/nn/internal/kernel"

// reluKind: y = max(x, 0); ∂x = δ where y > 0, else 0.
var reluKind = kind{name: ReLU, shape: sameShape, build: func(*compiler, *node) op { return relu{} }}

type relu struct{}

func (relu) forward(y, x []float32, _ int, _ *mode) {
	for j, v := range x[:len(y)] {
		if v <= 0 { // a NaN passes
			v = 0
		}
		y[j] = v
	}
}

func (relu) backward(dx, dy, _, y []float32, _ int) {
	if dx == nil {
		return
	}
	for j, v := range y {
		if v > 0 {
			dx[j] = dy[j]
		} else {
			dx[j] = 0
		}
	}
}

// tanhKind: y = tanh x; ∂x = δ·(1 − y²).
var tanhKind = kind{name: Tanh, shape: sameShape, build: func(*compiler, *node) op { return tanh{} }}

type tanh struct{}

func (tanh) forward(y, x []float32, _ int, _ *mode) {
	for j, v := range x[:len(y)] {
		y[j] = kernel.Tanh(v)
	}
}

func (tanh) backward(dx, dy, _, y []float32, _ int) {
	if dx == nil {
		return
	}
	for j, v := range y {
		dx[j] = dy[j] * kernel.FMA(-v, v, 1)
	}
}

// sigmoidKind: y = 1/(1+e^−x); ∂x = δ·y·(1 − y).
var sigmoidKind = kind{name: Sigmoid, shape: sameShape, build: func(*compiler, *node) op { return sigmoid{} }}

type sigmoid struct{}

func (sigmoid) forward(y, x []float32, _ int, _ *mode) {
	for j, v := range x[:len(y)] {
		y[j] = kernel.Sigmoid(v)
	}
}

func (sigmoid) backward(dx, dy, _, y []float32, _ int) {
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

func (s softmaxOp) forward(y, x []float32, _ int, _ *mode) { softmax(y, x, len(y)/s.width, s.width) }

func (s softmaxOp) backward(dx, dy, _, y []float32, _ int) {
	if dx != nil {
		softmaxBackward(dx, dy, y, len(y)/s.width, s.width)
	}
}

// softmax computes y_j = e^(x_j−m) / Σ_k e^(x_k−m) for each of n rows of c
// values, m the row's greatest; the sum is in ascending k. y may be x.
func softmax(y, x []float32, n, c int) {
	for i := range n {
		softmaxRow(y[i*c:][:c], x[i*c:][:c])
	}
}

// softmaxRow is softmax of one row. It returns m and the sum.
func softmaxRow(y, x []float32) (m, sum float32) {
	m = x[0]
	for _, v := range x[1:] {
		if v > m || v != v {
			m = v
		}
	}
	for j, v := range x {
		e := kernel.Exp(v - m)
		y[j] = e
		sum += e
	}
	for j := range y {
		y[j] /= sum
	}
	return m, sum
}

// softmaxBackward computes ∂x_j = y_j·(δ_j − Σ_k δ_k·y_k) for each of n rows of
// c values, the sum in ascending k by FMA from +0.
func softmaxBackward(dx, dy, y []float32, n, c int) {
	for i := range n {
		d, v, out := dy[i*c:][:c], y[i*c:][:c], dx[i*c:][:c]
		var dot float32
		for j := range v {
			dot = kernel.FMA(d[j], v[j], dot)
		}
		for j := range v {
			out[j] = v[j] * float32(d[j]-dot)
		}
	}
}
