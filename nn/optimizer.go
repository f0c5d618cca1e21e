package nn

import (
	"fmt"
	"math"

	"tacit/nn/internal/kernel"
)

// optimizer is an Optimizer with its state. Each operation below is one float32
// operation, rounded once; constants are rounded to float32 from float64. Moments
// that decay below float32's normal range become zero: subnormals are slow and
// carry nothing.
//
// SGD (torch.optim.SGD without dampening):
//
//	v ← momentum·v + g        (v = g in the first step, as v starts at zero)
//	w ← w − lr·v              (momentum 0: w ← w − lr·g, no state)
//
// Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, Alg. 1, in torch's
// order of operations), t counting steps from 1:
//
//	m ← β₁·m + (1−β₁)·g       v ← β₂·v + ((1−β₂)·g)·g
//	w ← w − (lr/(1−β₁ᵗ)) · (m / (√v/√(1−β₂ᵗ) + ε))
type optimizer struct {
	Optimizer
	m, v   []float32
	b1, b2 float64 // β₁ᵗ and β₂ᵗ, by repeated multiplication
}

// moments returns how many vectors of state the rule needs.
func (o Optimizer) moments() int {
	switch {
	case o.Kind == Adam:
		return 2
	case o.Kind == SGD && o.Momentum != 0:
		return 1
	}
	return 0
}

func newOptimizer(o Optimizer, take func(int) []float32, n int) optimizer {
	out := optimizer{Optimizer: o}
	if o.moments() > 0 {
		out.v = take(n)
	}
	if o.moments() > 1 {
		out.m = take(n)
	}
	return out
}

// ResetOptimizer forgets momentum and moments, as before the first step.
func (p *Program) ResetOptimizer() {
	clear(p.opt.m)
	clear(p.opt.v)
	p.opt.b1, p.opt.b2 = 1, 1
}

// SetLearningRate changes the rate of the steps that follow; the optimizer's
// state stays.
func (p *Program) SetLearningRate(lr float64) error {
	o := p.opt.Optimizer
	o.LR = lr
	if err := o.Validate(); err != nil {
		return fmt.Errorf("nn: set learning rate: %w", err)
	}
	p.opt.Optimizer = o
	return nil
}

func (o *optimizer) update(w, g []float32) {
	switch {
	case o.Kind == Adam:
		o.adam(w, g)
	case o.Momentum != 0:
		o.momentum(w, g)
	default:
		lr := float32(o.LR)
		g = g[:len(w)]
		for i := range w {
			w[i] -= float32(lr * g[i])
		}
	}
}

func (o *optimizer) momentum(w, g []float32) {
	lr, mu := float32(o.LR), float32(o.Momentum)
	g, v := g[:len(w)], o.v[:len(w)]
	for i := range w {
		t := flush(float32(mu*v[i]) + g[i])
		v[i] = t
		w[i] -= float32(lr * t)
	}
}

func (o *optimizer) adam(w, g []float32) {
	o.b1 = float64(o.b1 * o.Beta1)
	o.b2 = float64(o.b2 * o.Beta2)
	step := float32(o.LR / (1 - o.b1))
	root := float32(math.Sqrt(1 - o.b2))
	b1, c1 := float32(o.Beta1), float32(1-o.Beta1)
	b2, c2 := float32(o.Beta2), float32(1-o.Beta2)
	eps := float32(o.Epsilon)
	g, m, v := g[:len(w)], o.m[:len(w)], o.v[:len(w)]
	for i := range w {
		mi := flush(float32(b1*m[i]) + float32(c1*g[i]))
		vi := flush(float32(b2*v[i]) + float32(float32(c2*g[i])*g[i]))
		m[i], v[i] = mi, vi
		d := float32(kernel.Sqrt(vi)/root) + eps
		w[i] -= float32(step * float32(mi/d))
	}
}

// flush returns x, or +0 where x is subnormal.
func flush(x float32) float32 {
	if math.Float32bits(x)&0x7f800000 == 0 {
		return 0
	}
	return x
}
