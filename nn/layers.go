package nn

import "tacit/nn/internal/kernel"

// forward computes every layer's output for the n rows of x and returns the
// last, (n, Outputs).
func (p *Program) forward(x []float32, n int) []float32 {
	for i := range p.layers {
		l := &p.layers[i]
		y := l.y[:n*l.out]
		switch l.kind {
		case Dense:
			dense(y, x, p.params[l.w:l.b], p.params[l.b:][:l.out], n, l.in, l.out)
		case ReLU:
			for j, v := range x[:len(y)] {
				if v <= 0 { // a NaN passes
					v = 0
				}
				y[j] = v
			}
		case Tanh:
			for j, v := range x[:len(y)] {
				y[j] = kernel.Tanh(v)
			}
		case Sigmoid:
			for j, v := range x[:len(y)] {
				y[j] = kernel.Sigmoid(v)
			}
		case Softmax:
			softmax(y, x, n, l.out)
		}
		x = y
	}
	return x
}

// backward carries the error from the last layer's output, where loss put it,
// down to the output of the first layer with parameters.
func (p *Program) backward(n int) {
	for i := len(p.layers) - 1; i > p.first; i-- {
		l := &p.layers[i]
		y, dy := l.y[:n*l.out], l.delta[:n*l.out]
		dx := p.layers[i-1].delta[:n*l.in]
		switch l.kind {
		case Dense:
			denseBackward(dx, dy, p.params[l.w:l.b], n, l.in, l.out, p.dyT, p.dxT)
		case ReLU:
			for j, v := range y {
				if v > 0 {
					dx[j] = dy[j]
				} else {
					dx[j] = 0
				}
			}
		case Tanh: // δ·(1 − y²)
			for j, v := range y {
				dx[j] = dy[j] * kernel.FMA(-v, v, 1)
			}
		case Sigmoid: // δ·y·(1 − y)
			for j, v := range y {
				dx[j] = dy[j] * float32(v*(1-v))
			}
		case Softmax:
			softmaxBackward(dx, dy, y, n, l.out)
		}
	}
}

// accumulate writes to grad, in Layout order, the parameters' gradients for the
// errors that backward left. x is the network's input, (n, Inputs).
func (p *Program) accumulate(grad, x []float32, n int) {
	for i := range p.layers {
		l := &p.layers[i]
		if l.kind == Dense {
			denseGrad(grad[l.w:l.b], grad[l.b:][:l.out], x, l.delta[:n*l.out], n, l.in, l.out)
		}
		x = l.y[:n*l.out]
	}
}

// dense computes y = x·w + b: each sum over in, k ascending from +0, one FMA a
// term, then the bias. x is (n,in), w (in,out), b (out), y (n,out).
func dense(y, x, w, b []float32, n, in, out int) {
	kernel.Gemm(n, out, in, x, in, 1, w, out, y, out)
	for i := range n {
		row := y[i*out:][:out]
		for j, v := range b {
			row[j] += v
		}
	}
}

// denseBackward computes ∂x = δ·wᵀ, each sum over out, ascending. It runs as
// (∂x)ᵀ = w·δᵀ, so that the weights are read as they lie. dx is (n,in), dy (n,out),
// w (in,out); dyT and dxT are scratch of at least n·out and n·in.
func denseBackward(dx, dy, w []float32, n, in, out int, dyT, dxT []float32) {
	kernel.Transpose(dyT, dy, n, out)
	kernel.Gemm(in, n, out, w, out, 1, dyT, n, dxT, n)
	kernel.Transpose(dx, dxT, in, n)
}

// denseGrad computes ∂w = xᵀ·δ and ∂b_j = Σ_i δ_ij, both sums over the examples
// in ascending order. dw is (in,out), db (out), x (n,in), dy (n,out).
func denseGrad(dw, db, x, dy []float32, n, in, out int) {
	kernel.Gemm(in, out, n, x, 1, in, dy, out, dw, out)
	clear(db)
	for i := range n {
		for j, v := range dy[i*out:][:out] {
			db[j] += v
		}
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
