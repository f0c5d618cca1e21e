package nn

import (
	"fmt"
	"math"

	"tacit/nn/internal/kernel"
)

// batchNormKind: per channel c (the last axis), over the N values that a batch has of
// it, all examples and positions,
//
//	μ = (1/N) Σ x     v = (1/N) Σ (x−μ)²     x̂ = (x−μ)/√(v+ε)     y = γ_c·x̂ + β_c
//	∂x = γ_c/√(v+ε) · (δ − (1/N) Σ δ − x̂·(1/N) Σ δ·x̂)
//	∂γ_c = Σ δ·x̂       ∂β_c = Σ δ
//
// while training; otherwise μ and v are the running statistics and ∂x = δ·γ_c/√(v+ε)
// (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, Alg. 1 and 2). A step
// that succeeds moves them, with momentum m and the variance by N−1 as torch does:
//
//	running_mean ← (1−m)·running_mean + m·μ     running_var ← (1−m)·running_var + m·v·N/(N−1)
//
// One value alone has no variance: then v = 0 and running_var stays. It is
// torch.nn.BatchNorm1d and BatchNorm2d without the counter num_batches_tracked.
var batchNormKind = kind{
	name: BatchNorm, fields: []string{"local", "epsilon", "momentum"},
	mixes: "normalises each example by the others of its batch, so no gradient belongs to one of them: use a group_norm",
	shape: func(l *Layer, in []int) ([]int, error) {
		if m := l.Momentum; !(m >= 0 && m <= 1) {
			return nil, fmt.Errorf("momentum is %v, want above 0 to 1, or 0 for %v", m, defaultMomentum)
		}
		return in, l.checkEpsilon()
	},
	params: func(_ *Layer, in []int) []param {
		c := in[len(in)-1:]
		return []param{
			{name: "weight", shape: c, kind: Weight, init: initial{rule: ones}},
			{name: "bias", shape: c, kind: Bias},
			{name: "running_mean", shape: c, kind: Buffer},
			{name: "running_var", shape: c, kind: Buffer, init: initial{rule: ones}},
		}
	},
	build: func(c *compiler, n *node) op {
		b := &batchNorm{channels: n.in[len(n.in)-1], at: n.entries[0].Offset, epsilon: n.layer.epsilon(), momentum: n.layer.Momentum}
		if b.momentum == 0 {
			b.momentum = defaultMomentum
		}
		b.positions = size(n.in) / b.channels
		for i, s := range []*[]float32{&b.gamma, &b.beta, &b.runningMean, &b.runningVar} {
			*s = c.weights(n.entries[i])
		}
		b.part, b.exact = c.takeDoubles(2*c.batch*b.channels), c.takeDoubles(b.channels)
		for _, s := range []*[]float32{&b.mean, &b.inverse, &b.nextMean, &b.nextVar, &b.sum, &b.dot, &b.shiftSum, &b.shiftDot, &b.factor} {
			*s = c.take(b.channels)
		}
		return b
	},
}

// Defaults and limits of the norms. The least epsilon keeps 1/√ε·x̂ finite.
const (
	defaultMomentum = 0.1
	defaultEpsilon  = 1e-5
	minEpsilon      = 1e-12
)

func (l *Layer) epsilon() float64 {
	if l.Epsilon == 0 {
		return defaultEpsilon
	}
	return l.Epsilon
}

func (l *Layer) checkEpsilon() error {
	if e := l.Epsilon; e != 0 && !(e >= minEpsilon && e <= 1) { // written so that NaN fails
		return fmt.Errorf("epsilon is %v, want %v to 1, or 0 for %v", e, minEpsilon, defaultEpsilon)
	}
	return nil
}

// batchNorm sums in float64: over the positions of each example, then over the
// examples' sums, both ascending; all else is float32.
type batchNorm struct {
	channels, positions int
	epsilon, momentum   float64
	relu                bool // y = max(y, 0) follows
	told                bool // backward gets the errors before the ReLU
	at                  int  // offset of γ in the flat vector; β and the running statistics follow

	// All are (channels).
	gamma, beta             []float32
	runningMean, runningVar []float32
	mean, inverse           []float32 // μ and 1/√(v+ε) of the last forward pass
	nextMean, nextVar       []float32 // the running statistics after the step
	sum, dot                []float32 // Σ δ and Σ δ·x̂ of the last backward pass
	shiftSum, shiftDot      []float32 // the same over the values counted; 0 where μ and v are the running ones
	factor                  []float32 // γ/√(v+ε)

	part  []float64 // (batch, 2·channels): each example's sums
	exact []float64 // (channels): μ
}

func (*batchNorm) whole() {}

func (b *batchNorm) rectify() bool {
	b.relu = true
	return true
}

func (b *batchNorm) forward(y, x []float32, n int, w *work) { b.run(y, x, nil, n, w) }

// run is forward, and with relu y = max(y + plus, 0); plus may be nil.
func (b *batchNorm) run(y, x, plus []float32, n int, w *work) {
	b.gather(x, n, w)
	size, rows := b.positions*b.channels, w.n*b.positions
	y, x = own(y, size, w), own(x, size, w)
	if plus != nil {
		plus = own(plus, size, w)
	}
	if b.relu {
		kernel.ColNormReLU(y, x, plus, b.channels, rows, b.mean, b.inverse, b.gamma, b.beta)
	} else {
		kernel.ColNorm(y, x, b.channels, rows, b.mean, b.inverse, b.gamma, b.beta)
	}
}

// gather takes the statistics of x (n, positions, channels), or the running ones, and
// prepares the running ones' change.
func (b *batchNorm) gather(x []float32, n int, w *work) {
	lo, hi := w.share(b.channels, 8)
	if !w.train {
		copy(b.mean[lo:hi], b.runningMean[lo:hi])
		for c, v := range b.runningVar[lo:hi] {
			b.inverse[lo+c] = inverseRoot(float64(v), b.epsilon)
		}
		w.team.Meet()
		return
	}
	rows := n * b.positions
	count := float64(rows)
	for i := w.lo; i < w.lo+w.n; i++ {
		sum := b.part[i*b.channels:][:b.channels]
		clear(sum)
		kernel.ColSum(sum, x[i*b.positions*b.channels:], b.channels, b.positions)
	}
	w.team.Meet()
	for c := lo; c < hi; c++ {
		b.exact[c] = b.total(n, b.channels, c) / count
		b.mean[c] = float32(b.exact[c])
		b.nextMean[c] = b.moved(b.runningMean[c], b.exact[c])
	}
	w.team.Meet()
	for i := w.lo; i < w.lo+w.n; i++ {
		square := b.part[i*b.channels:][:b.channels]
		clear(square)
		kernel.ColSquare(square, x[i*b.positions*b.channels:], b.channels, b.positions, b.exact)
	}
	w.team.Meet()
	for c := lo; c < hi; c++ {
		square := b.total(n, b.channels, c)
		b.inverse[c] = inverseRoot(square/count, b.epsilon)
		b.nextVar[c] = b.runningVar[c]
		if rows > 1 {
			b.nextVar[c] = b.moved(b.runningVar[c], square/(count-1))
		}
	}
	w.team.Meet()
}

// total returns the sum of element c of the n examples' parts, which are width apart.
func (b *batchNorm) total(n, width, c int) float64 {
	var s float64
	for i := range n {
		s += b.part[i*width+c]
	}
	return s
}

// hat returns x̂.
func hat(x, mean, inverse float32) float32 { return float32((x - mean) * inverse) }

// inverseRoot returns 1/√(v+ε).
func inverseRoot(v, epsilon float64) float32 { return float32(1 / math.Sqrt(v+epsilon)) }

// moved returns a running statistic after a batch with v. What float32 cannot hold
// becomes its greatest number, so that later batches can bring it back.
func (b *batchNorm) moved(old float32, v float64) float32 {
	return float32(min(float64((1-b.momentum)*float64(old))+float64(b.momentum*v), math.MaxFloat32))
}

// gatherErrors sums δ and δ·x̂, and with relu clears δ in dy where y is 0.
func (b *batchNorm) gatherErrors(dy, x, y []float32, n int, w *work) {
	size := b.positions * b.channels
	for i := w.lo; i < w.lo+w.n; i++ {
		part := b.part[2*i*b.channels:][:2*b.channels]
		clear(part)
		at := i * size
		if b.relu && !b.told {
			kernel.ReLUBack(dy[at:][:size], dy[at:], y[at:])
		}
		kernel.ColErrors(part[:b.channels], part[b.channels:], dy[at:], x[at:], b.channels, b.positions, b.mean, b.inverse)
	}
	w.team.Meet()
	lo, hi := w.share(b.channels, 8)
	for c := lo; c < hi; c++ {
		b.sum[c], b.dot[c] = float32(b.total(n, 2*b.channels, c)), float32(b.total(n, 2*b.channels, b.channels+c))
		count := float32(n * b.positions)
		b.factor[c], b.shiftSum[c], b.shiftDot[c] = float32(b.gamma[c]*b.inverse[c]), 0, 0
		if w.train {
			b.shiftSum[c], b.shiftDot[c] = b.sum[c]/count, b.dot[c]/count
		}
	}
	w.team.Meet()
}

func (b *batchNorm) backward(dx, dy, x, y []float32, n int, w *work) {
	b.gatherErrors(dy, x, y, n, w)
	if dx == nil {
		return
	}
	size := b.positions * b.channels
	kernel.ColBack(own(dx, size, w), own(dy, size, w), own(x, size, w), b.channels, w.n*b.positions, b.mean, b.inverse, b.shiftSum, b.shiftDot, b.factor)
}

func (b *batchNorm) grad(g, _, _ []float32, _ int, w *work) {
	if w.id != 0 {
		return
	}
	g = g[b.at:][:4*b.channels]
	copy(g, b.dot)
	copy(g[b.channels:], b.sum)
	clear(g[2*b.channels:])
}

// norm2 cannot tell: the kind's mixes says why.
func (b *batchNorm) norm2([]float32, []float32, int, *work) float64 { return math.Inf(1) }

func (b *batchNorm) scale(int, float32) {}

func (b *batchNorm) commit() {
	copy(b.runningMean, b.nextMean)
	copy(b.runningVar, b.nextVar)
}
