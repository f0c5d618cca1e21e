package nn

import (
	"math"

	"tacit/nn/internal/kernel"
)

// entropy is the loss of one prediction against one label y, of C classes with
// weights w and with label smoothing ε (Szegedy et al. 2015,
// https://arxiv.org/abs/1512.00567) as in torch.nn.functional.cross_entropy:
//
//	ℓ = Σ_c q_c·(−ln p_c)      q_c = (1−ε)·w_y·[c = y] + (ε/C)·w_c
//	δ_j = p_j·Σ_c q_c − q_j
//
// and a batch's mean is Σ_i ℓ_i / Σ_i w_{y_i}. BinaryCrossEntropy is the same with
// C = 2, p_1 = σ(z) and p_0 = σ(−z): without weights ln(1+e^z) − t·z with
// t = y·(1−ε) + ε/2. The Metrics' Weight is w_y.
func (p *Program) entropy(d, z []float32, label int32, scale float32) Metrics {
	s := &p.spec
	weight := 1.0
	if s.ClassWeights != nil {
		weight = s.ClassWeights[label]
	}
	var m Metrics
	switch {
	case s.LabelSmoothing != 0 && s.Loss == BinaryCrossEntropy:
		m = s.smoothBinary(d, z, label, scale)
	case s.LabelSmoothing != 0:
		m = s.smoothCross(d, z, label, scale)
	default:
		if s.ClassWeights != nil {
			scale = float32(weight * float64(scale))
		}
		if s.Loss == BinaryCrossEntropy {
			m = binaryCrossEntropy(d, z, label, scale)
		} else {
			m = crossEntropy(d, z, label, scale)
		}
		m.LossSum *= weight
	}
	m.Weight = weight
	return m
}

// binaryCrossEntropy: ℓ = ln(1 + e^z) − t·z = max(z,0) − t·z + ln(1 + e^−|z|),
// δ = (σ(z) − t)·scale. Label 1 is predicted where σ(z) > ½, that is z > 0.
func binaryCrossEntropy(d, z []float32, label int32, scale float32) Metrics {
	v := z[0]
	return binaryOf(d, v, kernel.Sigmoid(v), kernel.Exp(-float32(math.Abs(float64(v)))), label, scale)
}

// binaryOf is binaryCrossEntropy of z = v with sigma = σ(v) and e = e^−|v|.
func binaryOf(d []float32, v, sigma, e float32, label int32, scale float32) Metrics {
	d[0] = float32(sigma-float32(label)) * scale
	l := kernel.Log1p(e)
	if (v > 0) != (label == 1) || v != v {
		l += math.Abs(float64(v)) // the wrong side, or NaN
	}
	m := Metrics{Examples: 1, LossSum: l}
	m.count(label, v > 0, v == v)
	return m
}

// binaryLosses is losses under the plain BinaryCrossEntropy of one output.
func (p *Program) binaryLosses(w *work) {
	last := p.net.last()
	z, d, e := last.y[w.lo:][:w.n], last.dy[w.lo:][:w.n], w.tmp[:w.n]
	kernel.SigmoidOf(d, z)
	for j, v := range z {
		e[j] = -float32(math.Abs(float64(v)))
	}
	kernel.ExpMinus(e, e, 0)
	for j, v := range z {
		one := binaryOf(d[j:], v, d[j], e[j], p.now.batch.Labels[w.lo+j], p.now.scale)
		one.Weight = 1
		if w.badLoss < 0 && one.LossSum-one.LossSum != 0 { // NaN or infinite
			w.badLoss = w.lo + j
		}
		p.each[w.lo+j] = one
	}
}

// crossEntropy: ℓ = ln Σ_k e^(z_k−m) − (z_t − m), m the greatest logit,
// δ_j = (softmax(z)_j − [j = t])·scale. The predicted class is the first of the
// greatest logits.
func crossEntropy(d, z []float32, label int32, scale float32) Metrics {
	m, sum := softmaxRow(d, z)
	l := kernel.Log(float64(sum)) - float64(z[label]-m)
	d[label] -= 1
	for j := range d {
		d[j] *= scale
	}
	return classified(z, label, l)
}

// classified returns the Metrics of one prediction among classes.
func classified(z []float32, label int32, loss float64) Metrics {
	best := 0
	for j, v := range z {
		if v > z[best] {
			best = j
		}
	}
	out := Metrics{Examples: 1, LossSum: loss}
	if len(z) == 2 {
		out.count(label, best == 1, loss == loss)
	} else if loss == loss && int32(best) == label {
		out.Correct = 1
	}
	return out
}

// share returns q_c for one of so many classes.
func (s *Spec) share(c, label, classes int) float64 {
	w, own := 1.0, 1.0
	if s.ClassWeights != nil {
		w, own = s.ClassWeights[c], s.ClassWeights[label]
	}
	q := float64(s.LabelSmoothing/float64(classes)) * w
	if c == label {
		q = float64(q) + float64((1-s.LabelSmoothing)*own)
	}
	return q
}

// smoothBinary is binaryCrossEntropy with smoothing and weights.
func (s *Spec) smoothBinary(d, z []float32, label int32, scale float32) Metrics {
	v := z[0]
	q0, q1 := s.share(0, int(label), 2), s.share(1, int(label), 2)
	e := float64(q0*float64(kernel.Sigmoid(v))) - float64(q1*float64(kernel.Sigmoid(-v)))
	d[0] = float32(e * float64(scale))
	near := kernel.Log1p(kernel.Exp(-float32(math.Abs(float64(v)))))
	l0, l1 := near+float64(max(v, 0)), near+float64(max(-v, 0)) // ln(1+e^v), ln(1+e^−v)
	m := Metrics{Examples: 1, LossSum: float64(q0*l0) + float64(q1*l1)}
	m.count(label, v > 0, v == v)
	return m
}

// smoothCross is crossEntropy with smoothing and weights.
func (s *Spec) smoothCross(d, z []float32, label int32, scale float32) Metrics {
	m, sum := softmaxRow(d, z)
	log := kernel.Log(float64(sum))
	var l, all float64
	for c, v := range z {
		q := s.share(c, int(label), len(z))
		l += float64(q * (log - (float64(v) - float64(m))))
		all += q
	}
	for c, p := range d {
		e := float64(float64(p)*all) - s.share(c, int(label), len(z))
		d[c] = float32(e * float64(scale))
	}
	return classified(z, label, l)
}
