package nn

import (
	"math"

	"tacit/nn/internal/kernel"
)

// meanLoss adds the batch's Metrics to m and writes the error of the mean loss. It
// returns the first example whose loss is not finite, or −1.
func (p *Program) meanLoss(m *Metrics, b Batch, n int) int {
	return p.loss(m, b, n, 1/float32(n))
}

// loss adds the Metrics of the batch's n examples to m and writes the error
// ∂/∂z of scale·Σ_i ℓ_i at the last layer's output. It returns the first example
// whose loss is not finite, or −1.
func (p *Program) loss(m *Metrics, b Batch, n int, scale float32) int {
	bad := -1
	for i := range n {
		one := p.exampleLoss(b, i, scale)
		if bad < 0 && one.LossSum-one.LossSum != 0 { // NaN or infinite
			bad = i
		}
		m.Add(one)
	}
	return bad
}

// exampleLoss is loss for example i alone. It returns its Metrics: of a sequence
// every step is a prediction, and ℓ_i is their mean.
func (p *Program) exampleLoss(b Batch, i int, scale float32) Metrics {
	last := p.net.last()
	z, d := last.y[i*last.out:][:last.out], last.dy[i*last.out:][:last.out]
	if p.spec.Loss == MSE {
		return meanSquared(d, z, b.Targets[i*last.out:][:last.out], scale)
	}
	if p.rows == 1 {
		return p.entropy(d, z, b.Labels[i], scale)
	}
	c := last.out / p.rows
	var m Metrics
	for r := range p.rows {
		m.Add(p.entropy(d[r*c:][:c], z[r*c:][:c], b.Labels[i*p.rows+r], scale/float32(p.rows)))
	}
	return m
}

// entropy is the loss of one prediction against one label.
func (p *Program) entropy(d, z []float32, label int32, scale float32) Metrics {
	if p.spec.Loss == BinaryCrossEntropy {
		return binaryCrossEntropy(d, z, label, scale)
	}
	return crossEntropy(d, z, label, scale)
}

// binaryCrossEntropy: ℓ = ln(1 + e^z) − t·z = max(z,0) − t·z + ln(1 + e^−|z|),
// δ = (σ(z) − t)·scale. Label 1 is predicted where σ(z) > ½, that is z > 0.
func binaryCrossEntropy(d, z []float32, label int32, scale float32) Metrics {
	v := z[0]
	d[0] = float32(kernel.Sigmoid(v)-float32(label)) * scale
	a := float32(math.Abs(float64(v)))
	l := kernel.Log1p(kernel.Exp(-a))
	if (v > 0) != (label == 1) || v != v {
		l += float64(a) // the wrong side, or NaN
	}
	m := Metrics{Examples: 1, LossSum: l}
	m.count(label, v > 0, v == v)
	return m
}

// crossEntropy: ℓ = ln Σ_k e^(z_k−m) − (z_t − m), m the greatest logit,
// δ_j = (softmax(z)_j − [j = t])·scale. The predicted class is the first of the
// greatest logits.
func crossEntropy(d, z []float32, label int32, scale float32) Metrics {
	m, sum := softmaxRow(d, z)
	l := kernel.Log(float64(sum)) - float64(z[label]-m)
	best := 0
	for j, v := range z {
		if v > z[best] {
			best = j
		}
	}
	d[label] -= 1
	for j := range d {
		d[j] *= scale
	}
	out := Metrics{Examples: 1, LossSum: l}
	if len(z) == 2 {
		out.count(label, best == 1, l == l)
	} else if l == l && int32(best) == label {
		out.Correct = 1
	}
	return out
}

// meanSquared: ℓ = (1/O) Σ_j (z_j − t_j)², δ_j = 2·(z_j − t_j)·scale/O.
func meanSquared(d, z, target []float32, scale float32) Metrics {
	o := float32(len(z))
	k := 2 * scale / o
	var l float64
	for j, v := range z {
		e := v - target[j]
		l += float64(float64(e) * float64(e))
		d[j] = e * k
	}
	return Metrics{Examples: 1, LossSum: l / float64(o)}
}
