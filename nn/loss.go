package nn

import (
	"fmt"
	"math"
	"strings"
)

// meanScale returns what makes the batch's sum of losses their mean LossSum/Weight.
func (p *Program) meanScale(b Batch, n int) float32 {
	w := p.spec.ClassWeights
	if w == nil {
		return 1 / float32(n)
	}
	var sum float64
	for _, l := range b.Labels {
		sum += w[l]
	}
	return float32(float64(p.rows) / sum)
}

// exampleLoss writes the error ∂/∂z of scale·ℓ_i at the last layer's output and returns
// example i's Metrics: of a sequence every step is a prediction, and ℓ_i is their mean.
func (p *Program) exampleLoss(b Batch, i int, scale float32) Metrics {
	last := p.net.last()
	z, d := last.y[i*last.out:][:last.out], last.dy[i*last.out:][:last.out]
	switch p.spec.Loss {
	case MSE:
		return meanSquared(d, z, b.Targets[i*last.out:][:last.out], scale)
	case MAE:
		return meanAbsolute(d, z, b.Targets[i*last.out:][:last.out], scale)
	case Huber:
		return huber(d, z, b.Targets[i*last.out:][:last.out], p.spec.delta(), scale)
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

// Limits of a loss's options: within them no product or quotient of one with
// another is infinite or zero.
const (
	minClassWeight, maxClassWeight = 1e-6, 1e6
	minDelta, maxDelta             = 1e-30, 1e30
)

// delta is Delta, or its default.
func (s *Spec) delta() float64 {
	if s.Delta == 0 {
		return 1
	}
	return s.Delta
}

// checkLoss reports what is wrong with the loss and its options for a network
// whose last layer gives shape out.
func (s *Spec) checkLoss(last *node, bad func(format string, a ...any)) {
	out := last.out
	classes := out[len(out)-1]
	where := fmt.Sprintf("layer %s (%s)", last.path, last.layer.Kind)
	entropy := s.Loss == BinaryCrossEntropy || s.Loss == CrossEntropy
	switch s.Loss {
	case BinaryCrossEntropy, CrossEntropy:
		if k := last.layer.Kind; k == Sigmoid || k == Softmax {
			bad("%s: %s takes logits, so the last layer must not be a %s (the loss applies the sigmoid or softmax)", where, s.Loss, k)
		}
		if s.Loss == BinaryCrossEntropy && classes != 1 {
			bad("%s: shape %s does not fit %s, want [1]", where, shape(out), s.Loss)
		}
		if s.Loss == CrossEntropy && classes < 2 {
			bad("%s: shape %s does not fit %s, want at least [2]", where, shape(out), s.Loss)
		}
		if len(out) > 2 {
			bad("%s: shape %s does not fit %s, want [classes] or [steps, classes]", where, shape(out), s.Loss)
		}
	case MSE, MAE, Huber:
	case Cox:
		if size(out) != 1 {
			bad("%s: shape %s does not fit %s, want [1]", where, shape(out), s.Loss)
		}
	default:
		bad("unknown loss %q, want one of %s%s", s.Loss, strings.Join(Losses(), ", "), hint(s.Loss, Losses()))
		return
	}
	if s.Loss == BinaryCrossEntropy {
		classes = 2
	}
	switch {
	case !entropy && s.ClassWeights != nil:
		bad("%s has no class weights", s.Loss)
	case s.ClassWeights != nil && len(s.ClassWeights) != classes:
		bad("%d class weights, want %d", len(s.ClassWeights), classes)
	}
	for i, w := range s.ClassWeights {
		if !(w >= minClassWeight && w <= maxClassWeight) { // written so that NaN fails
			bad("the weight of class %d is %v, want %v to %v", i, w, minClassWeight, maxClassWeight)
			break // the others may be a million
		}
	}
	if v := s.LabelSmoothing; v != 0 && (!entropy || !(v > 0 && v < 1)) {
		bad("label smoothing is %v, want from 0 to below 1, and only with an entropy", v)
	}
	if v := s.Delta; v != 0 && (s.Loss != Huber || !(v >= minDelta && v <= maxDelta)) {
		bad("delta is %v, want %v to %v, and only with %s", v, minDelta, maxDelta, Huber)
	}
}

// checkTargets reports targets that a loss cannot take. A NaN of the others shows as
// a loss.
func (p *Program) checkTargets(t []float32) error {
	if p.spec.Loss != Cox {
		return nil
	}
	for i := 0; i < len(t); i += 2 {
		if time := t[i]; time-time != 0 {
			return fmt.Errorf("nn: the time of example %d is %v, want a finite number", i/2, time)
		}
		if event := t[i+1]; event != 0 && event != 1 {
			return fmt.Errorf("nn: the event of example %d is %v, want 0 (censored) or 1", i/2, event)
		}
	}
	return nil
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
	return Metrics{Examples: 1, Weight: 1, LossSum: l / float64(o)}
}

// meanAbsolute: ℓ = (1/O) Σ_j |z_j − t_j|, δ_j = sign(z_j − t_j)·scale/O, 0 where
// they are equal.
func meanAbsolute(d, z, target []float32, scale float32) Metrics {
	o := float32(len(z))
	k := scale / o
	var l float64
	for j, v := range z {
		e := v - target[j]
		l += math.Abs(float64(e))
		switch {
		case e > 0:
			d[j] = k
		case e < 0:
			d[j] = -k
		default:
			d[j] = 0
		}
	}
	return Metrics{Examples: 1, Weight: 1, LossSum: l / float64(o)}
}

// huber, with e = z_j − t_j and the threshold D (Huber 1964,
// https://doi.org/10.1214/aoms/1177703732): ℓ = (1/O) Σ_j of e²/2 where |e| < D and
// D·(|e| − D/2) elsewhere, δ_j = e·scale/O between ±D·scale/O.
func huber(d, z, target []float32, threshold float64, scale float32) Metrics {
	o := float32(len(z))
	k := scale / o
	t := float32(threshold)
	var l float64
	for j, v := range z {
		e := v - target[j]
		if a := math.Abs(float64(e)); a < threshold {
			l += float64(float64(0.5*a) * a)
		} else {
			l += float64(threshold * (a - float64(0.5*threshold)))
		}
		d[j] = max(-t, min(e, t)) * k
	}
	return Metrics{Examples: 1, Weight: 1, LossSum: l / float64(o)}
}
