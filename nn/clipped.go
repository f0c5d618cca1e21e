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

const maxExcess = 0x1p64 // of ‖g‖₂ over the clip norm

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
// layer is longer than 2^64 (over r rows, one of them longer than 2^64/r), or whose
// norm exceeds 2^64·clip; a convolution's gradient that overflows float32 does too.
//
// No gradient of one example is held but a convolution's, in scratch. In a Dense layer an example's weight gradient is,
// where it meets the layer once, the outer product of its input x and error δ, so the squared norm
// over weight and bias is ‖δ‖²·(‖x‖² + 1) (Goodfellow 2015,
// https://arxiv.org/abs/1510.01799), summed over the layers in float64; the
// scaled errors then give the sum in one matrix product a layer.
//
// What example i adds, before the sum itself rounds, has norm at most clip. The
// norm's relative error is below 2^-52·(d + layers) ≤ 2^-31, d the widest layer. The
// factor and the scaled errors are rounded by 2^-24 of themselves, or where a scaled
// error is subnormal by 2^-150, which times ‖x‖ ≤ 2^64 is at most √d·2^-86 ≤ 2^-12·clip
// a layer at d = 2^20. ClipMargin covers these. Where an example meets a layer's
// parameters in many rows (positions, steps), its float32 sum over them is rounded too,
// and rows that cancel leave only that: the norm is then an upper bound that counts it
// (withRounding), by up to rows·2^-24 of the sum of the rows' lengths, in a convolution
// twice that.
//
// Sums run on from example to example: those of n examples of that many rows round each
// element by at most n·rows·2^-24 of the sum of its terms' magnitudes. That, which
// changes when an example comes or goes, is for the caller's sensitivity to allow for.
func (p *Program) ClippedGradSum(dst []float32, norms []float64, b Batch, clip float64) (Metrics, error) {
	if p.mixes != "" {
		return Metrics{}, fmt.Errorf("nn: clipped sum: %s", p.mixes)
	}
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
	p.run(task{do: (*Program).shareClipped, batch: Batch{X: x, Labels: b.Labels, Targets: b.Targets}, n: n, train: true, scale: 1, norms: norms, clip: clip, dst: dst})
	return p.metrics(n), nil
}

func (p *Program) shareClipped(w *work) {
	t := &p.now
	x, in := t.batch.X, p.spec.Inputs
	p.net.forward(x, w)
	p.losses(w)
	p.net.backward(nil, x, w)
	limit := float64(t.clip * (1 - ClipMargin))
	for i := w.lo; i < w.lo+w.n; i++ {
		norm, loss := math.Sqrt(p.net.norm2(x, i, w)), p.each[i].LossSum
		switch {
		case loss-loss != 0 || !(norm <= float64(maxExcess*t.clip)): // NaN too
			norm = math.Inf(1)
			p.each[i] = Metrics{}
			clear(x[i*in:][:in])
			p.net.drop(i)
		case norm > limit:
			p.net.scale(i, float32(limit/norm))
		}
		t.norms[i] = norm
	}
	w.team.Meet()
	p.net.grad(t.dst, x, w, false)
}
