package nn

import (
	"fmt"
	"math"
)

// ClipMargin is the part of the clip norm that ClippedGradSum keeps in reserve
// for its own rounding: examples are clipped to clip·(1 − ClipMargin).
const ClipMargin = 0x1p-10

// MinClip and MaxClip are the least and greatest clip norm of ClippedGradSum.
const (
	MinClip = 0x1p-64
	MaxClip = 0x1p64
)

const (
	maxInput  = 0x1p64 // of ‖x‖₂ at a Dense
	maxExcess = 0x1p64 // of ‖g‖₂ over the clip norm
)

// ClippedGradSum writes to dst (NumParams values) the sum over the batch of each
// example's gradient g_i = ∂ℓ_i/∂params, scaled down where it is longer than
// clip:
//
//	dst = Σ_i g_i · min(1, clip·(1 − ClipMargin)/‖g_i‖₂)
//
// and to norms[i] the norm ‖g_i‖₂ before clipping. It is a sum, never a mean. n
// may be 0: an empty draw gives zeros. clip is MinClip to MaxClip. The parameters,
// Grad and the optimizer stay.
//
// A non-finite example adds exactly zero to dst, is left out of the Metrics and
// has norm +Inf. It is one whose loss is NaN or infinite, whose input to some
// Dense is longer than 2^64, or whose norm exceeds 2^64·clip.
//
// No gradient of one example is ever formed. In a Dense layer an example's weight
// gradient is the outer product of its input x and error δ, so the squared norm
// over weight and bias is ‖δ‖²·(‖x‖² + 1) (Goodfellow 2015,
// https://arxiv.org/abs/1510.01799), summed over the layers in float64; the
// scaled errors then give the sum in one matrix product a layer.
//
// What example i adds, before the sum itself rounds, has norm at most clip. The
// norm's relative error is below 2^-52·(d + layers) ≤ 2^-31, d the widest layer. The
// factor and the scaled errors are rounded by 2^-24 of themselves, or where a scaled
// error is subnormal by 2^-150, which times ‖x‖ ≤ 2^64 is at most √d·2^-86 ≤ 2^-12·clip
// a layer at d = 2^20. ClipMargin covers these. Adding n examples in float32 rounds
// each element by at most n·2^-24 of the sum of its terms' magnitudes.
func (p *Program) ClippedGradSum(dst []float32, norms []float64, b Batch, clip float64) (Metrics, error) {
	n, err := p.check(b, 0)
	if err != nil {
		return Metrics{}, err
	}
	if len(dst) != len(p.params) {
		return Metrics{}, fmt.Errorf("nn: clipped sum: dst has shape [%d], want [%d]", len(dst), len(p.params))
	}
	if len(norms) != n {
		return Metrics{}, fmt.Errorf("nn: clipped sum: norms have shape [%d], want [%d]", len(norms), n)
	}
	if !(clip >= MinClip && clip <= MaxClip) {
		return Metrics{}, fmt.Errorf("nn: clipped sum: clip is %v, want %v to %v", clip, MinClip, MaxClip)
	}
	x := p.input[:len(b.X)] // a copy: rows of non-finite examples are cleared below
	copy(x, b.X)
	p.forward(x, n)
	for i := range n {
		norms[i] = p.exampleLoss(b, i, 1).LossSum // for the moment
	}
	p.backward(n)
	var m Metrics
	for i := range n {
		loss := norms[i]
		norms[i] = p.ghostNorm(x, i)
		if loss-loss != 0 || !(norms[i] <= float64(maxExcess*clip)) { // NaN too
			norms[i] = math.Inf(1)
			p.clearExample(x, i)
			continue
		}
		// The same loss and error again, now that the example counts.
		m.Add(p.exampleLoss(b, i, 1))
		p.scaleExample(i, clip, norms[i])
	}
	p.accumulate(dst, x, n)
	return m, nil
}

// ghostNorm returns ‖g_i‖₂ from example i's inputs and errors of each Dense, +Inf
// where an input is longer than maxInput.
func (p *Program) ghostNorm(x []float32, i int) float64 {
	var sum float64
	for k := range p.layers {
		l := &p.layers[k]
		if l.kind == Dense {
			xx := sumSquares(x[i*l.in:][:l.in])
			if !(xx <= maxInput*maxInput) {
				return math.Inf(1)
			}
			sum += float64(sumSquares(l.delta[i*l.out:][:l.out]) * (1 + xx))
		}
		x = l.y
	}
	return math.Sqrt(sum)
}

// sumSquares returns Σ_j v_j² in float64, j ascending. The squares are exact; the
// sum of float32 squares cannot overflow.
func sumSquares(v []float32) float64 {
	var s float64
	for _, x := range v {
		s += float64(float64(x) * float64(x))
	}
	return s
}

// scaleExample multiplies example i's errors by its clip factor. Each layer's
// gradient is linear in its own error, so scaling them all scales the gradient.
func (p *Program) scaleExample(i int, clip, norm float64) {
	limit := float64(clip * (1 - ClipMargin))
	if norm <= limit {
		return
	}
	f := float32(limit / norm)
	for k := range p.layers {
		l := &p.layers[k]
		if l.kind == Dense {
			for j, v := range l.delta[i*l.out:][:l.out] {
				l.delta[i*l.out+j] = v * f
			}
		}
	}
}

// clearExample removes example i from the sums over examples: 0·NaN would be
// NaN, so its inputs are cleared with its errors.
func (p *Program) clearExample(x []float32, i int) {
	for k := range p.layers {
		l := &p.layers[k]
		clear(x[i*l.in:][:l.in])
		clear(l.delta[i*l.out:][:l.out])
		x = l.y
	}
}
