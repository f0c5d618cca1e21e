package nn

import (
	"fmt"
	"math"
)

// groupNormKind: per example and group of adjacent channels (the last axis), over the
// N values that the example has of the group at all its positions,
//
//	μ = (1/N) Σ x     v = (1/N) Σ (x−μ)²     x̂ = (x−μ)/√(v+ε)     y = γ_c·x̂ + β_c
//	∂x = (δ·γ_c − (1/N) Σ δ·γ − x̂·(1/N) Σ δ·γ·x̂) / √(v+ε)
//	∂γ_c = Σ δ·x̂       ∂β_c = Σ δ      (over examples and positions)
//
// (Wu and He 2018, https://arxiv.org/abs/1803.08494). It is torch.nn.GroupNorm with
// the channels last.
var groupNormKind = kind{
	name: GroupNorm, fields: []string{"local", "groups", "epsilon"},
	shape: func(l *Layer, in []int) ([]int, error) {
		c := in[len(in)-1]
		if l.Groups < 1 || c%l.Groups != 0 {
			return nil, fmt.Errorf("%d groups do not divide %d channels", l.Groups, c)
		}
		return in, l.checkEpsilon()
	},
	params: func(_ *Layer, in []int) []param {
		c := in[len(in)-1:]
		return []param{{name: "weight", shape: c, kind: Weight, init: initial{rule: ones}}, {name: "bias", shape: c, kind: Bias}}
	},
	build: func(c *compiler, n *node) op {
		g := &groupNorm{channels: n.in[len(n.in)-1], groups: n.layer.Groups, epsilon: n.layer.epsilon(), at: n.entries[0].Offset}
		g.positions = size(n.in) / g.channels
		g.gamma, g.beta = c.weights(n.entries[0]), c.weights(n.entries[1])
		g.mean, g.inverse = c.take(c.batch*g.groups), c.take(c.batch*g.groups)
		return g
	},
}

// groupNorm sums in float64, in the order of positions and channels; all else is
// float32.
type groupNorm struct {
	channels, positions, groups int
	epsilon                     float64
	at                          int       // offset of γ in the flat vector; β follows
	gamma, beta                 []float32 // (channels)
	mean, inverse               []float32 // (batch, groups): μ and 1/√(v+ε) of the last forward pass
}

func (g *groupNorm) forward(y, x []float32, n int, wk *work) {
	w := g.channels / g.groups
	first := wk.lo * g.groups
	count := float64(w * g.positions)
	for k := range n * g.groups {
		i, c := k/g.groups, k%g.groups*w
		at := i*g.positions*g.channels + c
		var sum, square float64
		for r := range g.positions {
			for _, v := range x[at+r*g.channels:][:w] {
				sum += float64(v)
			}
		}
		mean := sum / count
		for r := range g.positions {
			for _, v := range x[at+r*g.channels:][:w] {
				d := float64(v) - mean
				square += float64(d * d)
			}
		}
		m, inverse := float32(mean), inverseRoot(square/count, g.epsilon)
		g.mean[first+k], g.inverse[first+k] = m, inverse
		gamma, beta := g.gamma[c:][:w], g.beta[c:][:w]
		for r := range g.positions {
			out := y[at+r*g.channels:][:w]
			for j, v := range x[at+r*g.channels:][:w] {
				out[j] = float32(gamma[j]*hat(v, m, inverse)) + beta[j]
			}
		}
	}
}

func (g *groupNorm) backward(dx, dy, x, _ []float32, n int, wk *work) {
	if dx == nil {
		return
	}
	w := g.channels / g.groups
	first := wk.lo * g.groups
	count := float64(w * g.positions)
	for k := range n * g.groups {
		i, c := k/g.groups, k%g.groups*w
		at := i*g.positions*g.channels + c
		m, inverse, gamma := g.mean[first+k], g.inverse[first+k], g.gamma[c:][:w]
		var sum, dot float64
		for r := range g.positions {
			in := x[at+r*g.channels:][:w]
			for j, e := range dy[at+r*g.channels:][:w] {
				d := float64(float64(e) * float64(gamma[j]))
				sum += d
				dot += float64(d * float64(hat(in[j], m, inverse)))
			}
		}
		a, b := float32(sum/count), float32(dot/count)
		for r := range g.positions {
			in, out := x[at+r*g.channels:][:w], dx[at+r*g.channels:][:w]
			for j, e := range dy[at+r*g.channels:][:w] {
				d := float32(float32(e*gamma[j])-a) - float32(hat(in[j], m, inverse)*b)
				out[j] = float32(d * inverse)
			}
		}
	}
}

func (g *groupNorm) grad(dst, dy, x []float32, n int, wk *work) {
	lo, hi := wk.share(g.channels, 8)
	for c := lo; c < hi; c += block {
		var s normSums
		w := min(block, hi-c)
		for i := range n {
			g.sums(&s, dy[i*g.positions*g.channels:], x[i*g.positions*g.channels:], i, c, w)
		}
		s.write(dst[g.at+c:][:w], dst[g.at+g.channels+c:][:w])
	}
}

// normSums are Σ δ and Σ δ·x̂ of a block of channels, and the sums of magnitudes.
type normSums struct{ sum, dot, absSum, absDot [block]float64 }

// add adds δ and δ·x̂ to channel j.
func (s *normSums) add(j int, e, hat float64) {
	d := float64(e * hat)
	s.sum[j] += e
	s.dot[j] += d
	s.absSum[j] += math.Abs(e)
	s.absDot[j] += math.Abs(d)
}

// write writes ∂γ and ∂β of the block's channels.
func (s *normSums) write(gamma, beta []float32) {
	for j := range gamma {
		gamma[j], beta[j] = float32(s.dot[j]), float32(s.sum[j])
	}
}

// squares adds the squares of the block's w channels, and those of the magnitudes.
func (s *normSums) squares(sum, abs *float64, w int) {
	for j := range w {
		*sum += float64(s.sum[j]*s.sum[j]) + float64(s.dot[j]*s.dot[j])
		*abs += float64(s.absSum[j]*s.absSum[j]) + float64(s.absDot[j]*s.absDot[j])
	}
}

// sums adds to s those of example i's channels c … c+w−1; dy and x begin at the example.
func (g *groupNorm) sums(s *normSums, dy, x []float32, i, c, w int) {
	var mean, inverse [block]float32
	for j := range w {
		k := i*g.groups + (c+j)/(g.channels/g.groups)
		mean[j], inverse[j] = g.mean[k], g.inverse[k]
	}
	for r := range g.positions {
		in := x[r*g.channels+c:][:w]
		for j, e := range dy[r*g.channels+c:][:w] {
			s.add(j, float64(e), float64(hat(in[j], mean[j], inverse[j])))
		}
	}
}

// norm2 is Σ_c (∂γ_c² + ∂β_c²) of one example with the margin of outerNorm2, whose S
// is here the norm of the sums of magnitudes: what the roundings of the scaled errors
// can come to.
func (g *groupNorm) norm2(dy, x []float32, i int, _ *work) float64 {
	var sum, abs float64
	for c := 0; c < g.channels; c += block {
		var s normSums
		w := min(block, g.channels-c)
		g.sums(&s, dy, x, i, c, w)
		s.squares(&sum, &abs, w)
	}
	return withRounding(sum, math.Sqrt(abs), 0)
}

// scale: the statistics of an example that is dropped may be anything.
func (g *groupNorm) scale(i int, f float32) {
	if f == 0 {
		clear(g.mean[i*g.groups:][:g.groups])
		clear(g.inverse[i*g.groups:][:g.groups])
	}
}
