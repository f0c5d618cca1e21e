package nn

import (
	"fmt"
	"math"
	"slices"

	"tacit/nn/internal/kernel"
)

// flattenKind: any shape becomes one axis, in row-major order ([height][width]
// [channels] of an image). The error passes as it is.
var flattenKind = kind{
	name:  Flatten,
	shape: func(_ *Layer, in []int) ([]int, error) { return []int{size(in)}, nil },
	build: func(*compiler, *node) op { return identity{} },
}

type identity struct{}

func (identity) forward(y, x []float32, _ int, _ *work) { copy(y, x) }

func (identity) backward(dx, dy, _, _ []float32, _ int, _ *work) {
	if dx != nil {
		copy(dx, dy)
	}
}

// residualKind: y = body(x) + shortcut(x), the shortcut being x itself where it has
// no layers; ∂x is the sum of both paths' errors (He et al. 2015,
// https://arxiv.org/abs/1512.03385).
//
// In torch it is a module with two Sequentials, body and shortcut.
var residualKind = kind{
	name: Residual, fields: []string{"body", "shortcut"},
	build: func(c *compiler, n *node) op {
		r := &residual{body: c.chain(n.body), shortcut: c.chain(n.shortcut), in: size(n.in), out: size(n.out), x: make([][]float32, c.workers)}
		r.dx = c.take(c.batch * r.in)
		if r.body.first == len(r.body.units) && r.shortcut.first == len(r.shortcut.units) {
			return r
		}
		return trainedResidual{r}
	},
}

type residual struct {
	body, shortcut chain
	in, out        int
	dx             []float32   // (batch, in), the body's part
	norm           *batchNorm  // the body's last op where that adds the shortcut and rectifies the sum, else nil
	x              [][]float32 // each worker's view of the last forward pass's x, (total, in)
}

func (*residual) whole() {}

func (r *residual) errors() []float32 { return r.body.last().dy }

// own returns the values of w's examples, each of so many.
func own(x []float32, size int, w *work) []float32 { return x[w.lo*size:][:w.n*size] }

func (r *residual) rectify() bool {
	if b, ok := r.body.last().op.(*batchNorm); ok && !b.relu {
		r.norm, b.relu, b.told = b, true, true
	}
	return r.norm != nil
}

func (r *residual) forward(y, x []float32, n int, w *work) {
	r.x[w.id] = x
	if r.norm != nil {
		lead := chain{units: r.body.units[:len(r.body.units)-1]}
		r.norm.run(y, lead.forward(x, w), r.shortcut.forward(x, w), n, w)
		return
	}
	b, s := r.body.forward(x, w), r.shortcut.forward(x, w)
	kernel.Add(own(y, r.out, w), own(b, r.out, w), own(s, r.out, w))
}

// backward: dy is the errors of the body's last unit too.
func (r *residual) backward(dx, dy, x, y []float32, _ int, w *work) {
	if r.norm != nil {
		errs := own(dy, r.out, w)
		kernel.ReLUBack(errs, errs, own(y, r.out, w))
	}
	if len(r.shortcut.units) > 0 {
		copy(own(r.shortcut.last().dy, r.out, w), own(dy, r.out, w))
	}
	if dx == nil {
		r.body.backward(nil, x, w)
		if len(r.shortcut.units) > 0 {
			r.shortcut.backward(nil, x, w)
		}
		return
	}
	r.body.backward(r.dx, x, w)
	sum, part := own(dx, r.in, w), own(r.dx, r.in, w)
	if len(r.shortcut.units) > 0 {
		r.shortcut.backward(dx, x, w)
		kernel.Add(sum, sum, part)
	} else {
		kernel.Add(sum, own(dy, r.in, w), part)
	}
}

// trainedResidual is a residual with parameters inside.
type trainedResidual struct{ *residual }

func (r trainedResidual) grad(g, _, x []float32, _ int, w *work) {
	r.body.grad(g, x, w, false)
	r.shortcut.grad(g, x, w, false)
}

func (r trainedResidual) norm2(_, _ []float32, i int, w *work) float64 {
	return r.body.norm2(r.x[w.id], i, w) + r.shortcut.norm2(r.x[w.id], i, w)
}

func (r trainedResidual) scale(i int, f float32) {
	if f == 0 {
		r.body.drop(i)
		r.shortcut.drop(i)
		return
	}
	r.body.scale(i, f)
	r.shortcut.scale(i, f)
}

func (r trainedResidual) commit() {
	r.body.commit()
	r.shortcut.commit()
}

// dropoutKind: while training, each value is zero with probability p = Rate and
// else divided by 1 − p; otherwise y = x (Srivastava et al. 2014, in torch's inverted
// form). ∂x = δ/(1 − p) where the value passed, else 0.
//
// Which values pass is a function of the Program's seed, the steps taken, the
// layer's place and the value's index: SplitMix64 of a key and the index, so that
// a run that restarts at a step drops what it would have dropped. It hides nothing.
var dropoutKind = kind{
	name: Dropout, fields: []string{"rate"},
	mixes: "drops by an example's place in the batch: one example more or less would change what the others give",
	shape: func(l *Layer, in []int) ([]int, error) {
		if !(l.Rate >= 0 && l.Rate < 1) {
			return nil, fmt.Errorf("rate is %v, want 0 to below 1", l.Rate)
		}
		return in, nil
	},
	build: func(c *compiler, n *node) op {
		d := &dropout{width: size(n.in), limit: uint64(math.Ldexp(n.layer.Rate, 53)), keep: float32(1 / (1 - n.layer.Rate)), key: c.seed}
		for _, b := range []byte(n.path) {
			d.key = splitMix(d.key ^ uint64(b))
		}
		return d
	},
}

type dropout struct {
	width int    // values of an example
	limit uint64 // of 2^53: numbers below it drop
	keep  float32
	key   uint64
}

func (d *dropout) forward(y, x []float32, _ int, w *work) { d.apply(y, x, w) }

func (d *dropout) backward(dx, dy, _, _ []float32, _ int, w *work) {
	if dx != nil {
		d.apply(dx, dy, w)
	}
}

// apply drops from x what the step drops, which is the same before and after.
func (d *dropout) apply(y, x []float32, w *work) {
	if !w.train {
		copy(y, x)
		return
	}
	key := splitMix(d.key^w.step) + uint64(w.lo*d.width)
	for j, v := range x[:len(y)] {
		if splitMix(key+uint64(j))>>11 < d.limit {
			y[j] = 0
		} else {
			y[j] = v * d.keep
		}
	}
}

// splitMix is one step of SplitMix64 (Steele, Lea, Flood 2014,
// https://doi.org/10.1145/2714064.2660195).
func splitMix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// cloneLayers returns layers that share nothing with those given.
func cloneLayers(layers []Layer) []Layer {
	out := slices.Clone(layers)
	for i := range out {
		out[i].Body, out[i].Shortcut = cloneLayers(out[i].Body), cloneLayers(out[i].Shortcut)
	}
	return out
}
