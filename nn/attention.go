package nn

import (
	"fmt"
	"math"

	"tacit/nn/internal/kernel"
)

// attentionKind: multi-head self-attention over a sequence x of t steps of e values
// (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, 3.2). With H heads of
// d = e/H values,
//
//	[Q|K|V] = x·W_in + b_in                    (t,3e), each head d adjacent columns of each third
//	P_h = softmax_rows(Q_h·K_hᵀ/√d)            (t,t); causal: row r has only columns 0 … r
//	O_h = P_h·V_h       y = [O_1|…|O_H]·W_out + b_out
//
// and backward, with δ at y and ∘ by elements,
//
//	∂O = δ·W_outᵀ       ∂V_h = P_hᵀ·∂O_h       ∂P_h = ∂O_h·V_hᵀ
//	∂S_h = P_h ∘ (∂P_h − rowsum(∂P_h ∘ P_h))/√d        ∂Q_h = ∂S_h·K_h      ∂K_h = ∂S_hᵀ·Q_h
//	∂x = [∂Q|∂K|∂V]·W_inᵀ     ∂W_in = xᵀ·[∂Q|∂K|∂V]    ∂W_out = Oᵀ·δ      biases: the sums of rows
//
// It is torch.nn.MultiheadAttention(e, H, batch_first=True) as a module of one input,
// with the weights as [in][out].
var attentionKind = kind{
	name: Attention, fields: []string{"init", "local", "heads", "causal"},
	shape: func(l *Layer, in []int) ([]int, error) {
		if err := wantAxes(in, 2, "[steps, values]"); err != nil {
			return nil, err
		}
		t, e := in[0], in[1]
		if l.Heads < 1 || e%l.Heads != 0 {
			return nil, fmt.Errorf("%d heads do not divide %d values", l.Heads, e)
		}
		if 3*e > MaxUnits {
			return nil, fmt.Errorf("%d values, want at most %d", e, MaxUnits/3)
		}
		if t > MaxValues/t || l.Heads > MaxValues/(t*t) {
			return nil, fmt.Errorf("%d heads over %d steps have more than %d weights of attention", l.Heads, t, MaxValues)
		}
		return in, nil
	},
	params: func(l *Layer, in []int) []param {
		e := in[1]
		xavier := initial{uniform, math.Sqrt(6 / float64(e+3*e))} // of the whole [3e][e], as torch has it
		return []param{
			param{name: "in_proj_weight", shape: []int{e, 3 * e}, kind: Weight, init: l.weightInit(e, 3*e, xavier)}.transposed(),
			{name: "in_proj_bias", shape: []int{3 * e}, kind: Bias},
			param{name: "out_proj.weight", shape: []int{e, e}, kind: Weight, init: l.weightInit(e, e, fanInUniform(e))}.transposed(),
			{name: "out_proj.bias", shape: []int{e}, kind: Bias},
		}
	},
	build: func(c *compiler, n *node) op {
		t, e := n.in[0], n.in[1]
		a := &attention{steps: t, width: e, heads: n.layer.Heads, causal: n.layer.Causal, at: n.entries[0].Offset}
		a.depth = e / a.heads
		a.root = float32(1 / math.Sqrt(float64(a.depth)))
		for i, s := range []*[]float32{&a.wIn, &a.bIn, &a.wOut, &a.bOut} {
			*s = c.weights(n.entries[i])
		}
		rows := c.batch * t
		a.qkv, a.dqkv, a.o = c.take(rows*3*e), c.take(rows*3*e), c.take(rows*e)
		if weights := int64(rows) * int64(a.heads*t); c.counting { // may be more than an int holds
			c.nf = saturated(c.nf, weights)
		} else {
			a.p = c.take(int(weights))
		}
		share := c.share * t
		c.scratch(share*e + max(backwardScratch(share, e, 3*e), backwardScratch(share, e, e), t*t+t*a.depth))
		return a
	},
}

type attention struct {
	steps, width, heads, depth int // t, e, H, d
	causal                     bool
	root                       float32 // 1/√d
	at                         int     // offset of W_in in the flat vector; the others follow
	wIn, bIn, wOut, bOut       []float32
	qkv, dqkv                  []float32 // (batch, t, 3e)
	o                          []float32 // (batch, t, e)
	p                          []float32 // (batch, H, t, t)
}

// attentionBlock is how many rows of P one product makes. Causal rows need only the
// columns up to their own, so a product stops at the block's last row; the terms
// beyond a row's own are zeros, which add nothing.
const attentionBlock = 32

// forward: every sum in ascending order from +0, one FMA a term; K is divided by √d
// before Q·Kᵀ.
func (a *attention) forward(y, x []float32, n int, w *work) {
	t, e, d := a.steps, a.width, a.depth
	kernel.Gemm(n*t, 3*e, e, x, e, 1, a.wIn, 3*e, a.qkv[w.lo*t*3*e:], 3*e)
	addRows(a.qkv[w.lo*t*3*e:][:n*t*3*e], a.bIn, n*t)
	keys := w.tmp[:d*t] // K_hᵀ/√d
	for k := w.lo * a.heads; k < (w.lo+n)*a.heads; k++ {
		q, key, v, o := a.head(k)
		transposeRows(keys, key, 3*e, t, d, a.root)
		p := a.p[k*t*t:][:t*t]
		for r := 0; r < t; r += attentionBlock {
			rows, cols := a.block(r)
			kernel.Gemm(rows, cols, d, q[r*3*e:], 3*e, 1, keys, t, p[r*t:], t)
			for i := r; i < r+rows; i++ {
				row := p[i*t:][:t]
				if a.causal {
					clear(row[i+1:])
					row = row[:i+1]
				}
				softmaxRow(row, row)
			}
			kernel.Gemm(rows, d, cols, p[r*t:], t, 1, v, 3*e, o[r*e:], e)
		}
	}
	kernel.Gemm(n*t, e, e, a.o[w.lo*t*e:], e, 1, a.wOut, e, y, e)
	addRows(y, a.bOut, n*t)
}

// head returns where example k/H's head k mod H begins in Q, K, V (rows of 3e) and O
// (rows of e).
func (a *attention) head(k int) (q, key, v, o []float32) {
	i, h := k/a.heads, k%a.heads*a.depth
	q = a.qkv[i*a.steps*3*a.width+h:]
	return q, q[a.width:], q[2*a.width:], a.o[i*a.steps*a.width+h:]
}

// block returns the rows of P from r on that are made at once, and their columns.
func (a *attention) block(r int) (rows, cols int) {
	rows = min(attentionBlock, a.steps-r)
	if a.causal {
		return rows, r + rows
	}
	return rows, a.steps
}

// transposeRows writes dst[j·m + i] = f·src[i·ld + j] for m rows of n values.
func transposeRows(dst, src []float32, ld, m, n int, f float32) {
	kernel.TransposeRows(dst, m, src, ld, m, n)
	if f != 1 {
		kernel.Scale(dst[:m*n], dst[:m*n], f)
	}
}

func (a *attention) backward(dx, dy, _, _ []float32, n int, w *work) {
	t, e, d := a.steps, a.width, a.depth
	rows := n * t
	errs, tmp := w.tmp[:rows*e], w.tmp[rows*e:] // ∂O (n,t,e)
	denseBackward(errs, dy, a.wOut, rows, e, e, tmp)
	ds, values := tmp[:t*t], tmp[t*t:][:d*t] // ∂S_h, V_hᵀ
	for k := w.lo * a.heads; k < (w.lo+n)*a.heads; k++ {
		q, key, v, _ := a.head(k)
		i, h := k/a.heads, k%a.heads*d
		do := errs[(i-w.lo)*t*e+h:]
		dq := a.dqkv[i*t*3*e+h:]
		dk, dv := dq[e:], dq[2*e:]
		p := a.p[k*t*t:][:t*t]
		transposeRows(values, v, 3*e, t, d, 1)
		for r := 0; r < t; r += attentionBlock {
			rows, cols := a.block(r)
			kernel.Gemm(rows, cols, d, do[r*e:], e, 1, values, t, ds[r*t:], t)
			for i := r; i < r+rows; i++ {
				width := cols
				if a.causal {
					width = i + 1
					clear(ds[i*t+width:][:cols-width])
				}
				row := ds[i*t:][:width]
				softmaxBackward(row, row, p[i*t:][:width], 1, width, a.root)
			}
			kernel.Gemm(rows, d, cols, ds[r*t:], t, 1, key, 3*e, dq[r*3*e:], 3*e)
		}
		for c := 0; c < t; c += attentionBlock { // columns of P: steps that are attended to
			cols, from := min(attentionBlock, t-c), 0
			if a.causal {
				from = c
			}
			kernel.Gemm(cols, d, t-from, p[from*t+c:], 1, t, do[from*e:], e, dv[c*3*e:], 3*e)
			kernel.Gemm(cols, d, t-from, ds[from*t+c:], 1, t, q[from*3*e:], 3*e, dk[c*3*e:], 3*e)
		}
	}
	if dx != nil {
		denseBackward(dx, a.dqkv[w.lo*t*3*e:], a.wIn, rows, e, 3*e, tmp)
	}
}

func (a *attention) grad(g, dy, x []float32, n int, w *work) {
	e, rows := a.width, n*a.steps
	denseGrad(g[a.at:], x, e, a.dqkv, 3*e, rows, true, w)
	denseGrad(g[a.at+3*e*e+3*e:], a.o, e, dy, e, rows, true, w)
}

func (a *attention) norm2(dy, x []float32, i int, _ *work) float64 {
	t, e := a.steps, a.width
	return outerNorm2(x, e, a.dqkv[i*t*3*e:], 3*e, t, true) + outerNorm2(a.o[i*t*e:], e, dy, e, t, true)
}

func (a *attention) scale(i int, f float32) {
	t, e := a.steps, a.width
	d := a.dqkv[i*t*3*e:][:t*3*e]
	if f == 0 {
		clear(d)
		clear(a.o[i*t*e:][:t*e])
		return
	}
	kernel.Scale(d, d, f)
}
