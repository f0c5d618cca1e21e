package nn

import (
	"fmt"
	"math"
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
		for _, s := range []*[]float32{&b.mean, &b.inverse, &b.nextMean, &b.nextVar, &b.sum, &b.dot} {
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

// batchNorm sums in float64, in the order of examples and positions, a block of
// channels at a time; all else is float32.
type batchNorm struct {
	channels, positions int
	epsilon, momentum   float64
	at                  int // offset of γ in the flat vector; β and the running statistics follow

	// All are (channels).
	gamma, beta             []float32
	runningMean, runningVar []float32
	mean, inverse           []float32 // μ and 1/√(v+ε) of the last forward pass
	nextMean, nextVar       []float32 // the running statistics after the step
	sum, dot                []float32 // Σ δ and Σ δ·x̂ of the last backward pass
	train                   bool      // what the last forward pass was for
}

func (b *batchNorm) forward(y, x []float32, n int, m *mode) {
	b.train = m.train
	if b.train {
		b.measure(x, n*b.positions)
	} else {
		copy(b.mean, b.runningMean)
		for c, v := range b.runningVar {
			b.inverse[c] = inverseRoot(float64(v), b.epsilon)
		}
	}
	for r := range n * b.positions {
		out := y[r*b.channels:][:b.channels]
		for c, v := range x[r*b.channels:][:b.channels] {
			out[c] = float32(b.gamma[c]*hat(v, b.mean[c], b.inverse[c])) + b.beta[c]
		}
	}
}

// hat returns x̂.
func hat(x, mean, inverse float32) float32 { return float32((x - mean) * inverse) }

// inverseRoot returns 1/√(v+ε).
func inverseRoot(v, epsilon float64) float32 { return float32(1 / math.Sqrt(v+epsilon)) }

// measure takes the statistics of x (rows, channels) and prepares the running ones.
func (b *batchNorm) measure(x []float32, rows int) {
	n := float64(rows)
	for c := 0; c < b.channels; c += block {
		w := min(block, b.channels-c)
		var mean, square [block]float64
		for r := range rows {
			for j, v := range x[r*b.channels+c:][:w] {
				mean[j] += float64(v)
			}
		}
		for j := range w {
			mean[j] /= n
		}
		for r := range rows {
			for j, v := range x[r*b.channels+c:][:w] {
				d := float64(v) - mean[j]
				square[j] += float64(d * d)
			}
		}
		for j := range w {
			k := c + j
			b.mean[k], b.inverse[k] = float32(mean[j]), inverseRoot(square[j]/n, b.epsilon)
			b.nextMean[k] = b.moved(b.runningMean[k], mean[j])
			b.nextVar[k] = b.runningVar[k]
			if rows > 1 {
				b.nextVar[k] = b.moved(b.runningVar[k], square[j]/(n-1))
			}
		}
	}
}

// moved returns a running statistic after a batch with v. What float32 cannot hold
// becomes its greatest number, so that later batches can bring it back.
func (b *batchNorm) moved(old float32, v float64) float32 {
	return float32(min(float64((1-b.momentum)*float64(old))+float64(b.momentum*v), math.MaxFloat32))
}

func (b *batchNorm) backward(dx, dy, x, _ []float32, n int) {
	rows := n * b.positions
	for c := 0; c < b.channels; c += block {
		w := min(block, b.channels-c)
		var sum, dot [block]float64
		mean, inverse := b.mean[c:][:w], b.inverse[c:][:w]
		for r := range rows {
			in := x[r*b.channels+c:][:w]
			for j, e := range dy[r*b.channels+c:][:w] {
				sum[j] += float64(e)
				dot[j] += float64(float64(e) * float64(hat(in[j], mean[j], inverse[j])))
			}
		}
		for j := range w {
			b.sum[c+j], b.dot[c+j] = float32(sum[j]), float32(dot[j])
		}
	}
	if dx == nil {
		return
	}
	count := float32(rows)
	for r := range rows {
		in, out := x[r*b.channels:][:b.channels], dx[r*b.channels:][:b.channels]
		for c, e := range dy[r*b.channels:][:b.channels] {
			if b.train {
				e = float32(e-b.sum[c]/count) - float32(hat(in[c], b.mean[c], b.inverse[c])*float32(b.dot[c]/count))
			}
			out[c] = float32(b.gamma[c]*b.inverse[c]) * e
		}
	}
}

func (b *batchNorm) grad(g, _, _ []float32, _ int) {
	g = g[b.at:][:4*b.channels]
	copy(g, b.dot)
	copy(g[b.channels:], b.sum)
	clear(g[2*b.channels:])
}

// norm2 cannot tell: the kind's mixes says why.
func (b *batchNorm) norm2([]float32, []float32, int) float64 { return math.Inf(1) }

func (b *batchNorm) scale(int, float32) {}

func (b *batchNorm) commit() {
	copy(b.runningMean, b.nextMean)
	copy(b.runningVar, b.nextVar)
}
