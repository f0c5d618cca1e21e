package nn

import (
	"errors"
	"fmt"
	"math"

	"tacit/nn/internal/kernel"
)

// optimizer is an Optimizer with its state. Each operation below is one float32
// operation, rounded once, in torch's order; constants are rounded to float32 from
// float64. Moments that decay below float32's normal range become zero: subnormals
// are slow and carry nothing. Buffers have no gradient and stay as they are.
//
// η is Schedule.Rate of the steps taken. g is the gradient of the mean loss, first
// clipped (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, as
// torch.nn.utils.clip_grad_norm_), ‖g‖₂ in float64 over pieces in Layout order:
//
//	g ← g·min(1, ClipNorm/(‖g‖₂ + 1e-6))
//
// then, but for AdamW, with the decay of the weights (λ = WeightDecay):
//
//	g ← g + λ·w
//
// SGD (torch.optim.SGD without dampening), μ = Momentum:
//
//	v ← μ·v + g               (v = g in the first step, as v starts at zero)
//	w ← w − η·v               (μ = 0: w ← w − η·g, no state)
//	w ← w − η·(g + μ·v)       (Nesterov; Sutskever et al. 2013)
//
// Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, Alg. 1), t counting
// steps from 1:
//
//	m ← β₁·m + (1−β₁)·g       v ← β₂·v + ((1−β₂)·g)·g
//	w ← w − (η/(1−β₁ᵗ)) · (m / (√v/√(1−β₂ᵗ) + ε))
//
// AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101): the same
// after
//
//	w ← w·(1 − η·λ)
//
// RMSProp (Tieleman and Hinton 2012, lecture 6.5):
//
//	v ← α·v + ((1−α)·g)·g
//	w ← w − (η·g)/(√v + ε)
//	m ← μ·m + g/(√v + ε),  w ← w − η·m     (with momentum)
//
// Adagrad (Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html):
//
//	v ← v + g·g
//	w ← w − (η·g)/(√v + ε)
type optimizer struct {
	Optimizer
	m, v   []float32
	b1, b2 float64  // β₁ᵗ and β₂ᵗ, by repeated multiplication
	spans  [][2]int // of the flat vector: what is trained, from and to, at most a piece at a time
	rest   []int    // the spans with parameters of layers that do not descend

	// Of the step at hand.
	n1, n2 float64 // the next β₁ᵗ and β₂ᵗ
	rate   float64
	parts  []float64 // of each span: Σ g²
	failed bool
}

// piece bounds a span: how many parameters one worker sums or moves at a time.
const piece = 1 << 13

// moments returns how many vectors of state the rule needs.
func (o Optimizer) moments() int {
	switch {
	case o.Kind == Adam, o.Kind == AdamW, o.Kind == RMSProp && o.Momentum != 0:
		return 2
	case o.Kind == RMSProp, o.Kind == Adagrad, o.Kind == SGD && o.Momentum != 0:
		return 1
	}
	return 0
}

func newOptimizer(o Optimizer, c *compiler, l Layout) optimizer {
	out := optimizer{Optimizer: o}
	if o.moments() > 0 {
		out.v = c.take(l.Len())
	}
	if o.moments() > 1 {
		out.m = c.take(l.Len())
	}
	for _, e := range l {
		if e.Kind == Buffer {
			continue
		}
		from, to := e.Offset, e.Offset+e.Len
		for ; to-from > piece; from += piece {
			out.spans = append(out.spans, [2]int{from, from + piece})
		}
		out.spans = append(out.spans, [2]int{from, to})
	}
	out.parts = c.takeDoubles(len(out.spans))
	return out
}

// ResetOptimizer forgets momentum and moments, as before the first step.
func (p *Program) ResetOptimizer() {
	clear(p.opt.m)
	clear(p.opt.v)
	p.opt.b1, p.opt.b2 = 1, 1
}

// SetLearningRate changes the rate of the steps that follow, which a Schedule goes on
// to change; the optimizer's state stays.
func (p *Program) SetLearningRate(lr float64) error {
	o := p.opt.Optimizer
	o.LR = lr
	if err := o.Validate(); err != nil {
		return fmt.Errorf("nn: set learning rate: %w", err)
	}
	p.opt.Optimizer = o
	return nil
}

var errGradient = errors.New("a gradient is not finite")

// split notes which spans belong to layers that do not descend.
func (o *optimizer) split(net *chain) {
	own := map[int]bool{} // offsets of entries that descend
	for i := range net.units {
		if u := &net.units[i]; u.descend != nil {
			for _, e := range u.node.entries {
				for at := e.Offset; at < e.Offset+e.Len; at += piece {
					own[at] = true
				}
			}
		}
	}
	for i, s := range o.spans {
		if !own[s[0]] {
			o.rest = append(o.rest, i)
		}
	}
}

// count returns how many spans a step moves by a gradient that is held, and index which
// the i-th of them is.
func (o *optimizer) count(descending bool) int {
	if descending {
		return len(o.rest)
	}
	return len(o.spans)
}

func (o *optimizer) index(i int, descending bool) int {
	if descending {
		return o.rest[i]
	}
	return i
}

// begin prepares the step that follows step others; end makes it count.
func (o *optimizer) begin(step uint64) {
	o.rate = o.Schedule.Rate(o.LR, step)
	o.n1, o.n2 = o.b1, o.b2
	if o.Kind == Adam || o.Kind == AdamW {
		o.n1, o.n2 = float64(o.b1*o.Beta1), float64(o.b2*o.Beta2)
	}
	o.failed = false
}

func (o *optimizer) end() { o.b1, o.b2 = o.n1, o.n2 }

// sums adds up w's share of Σ g².
func (o *optimizer) sums(g []float32, w *work, descending bool) {
	lo, hi := w.share(o.count(descending), 1)
	for i := lo; i < hi; i++ {
		k := o.index(i, descending)
		o.parts[k] = kernel.SumSquares(g[o.spans[k][0]:o.spans[k][1]])
	}
}

// factor returns what ClipNorm asks for once every worker's sums are there, 1 without
// one, or errGradient where the gradient is not finite: then nothing may move.
func (o *optimizer) factor(descending bool) (float32, error) {
	var sum float64
	for i := range o.count(descending) {
		sum += o.parts[o.index(i, descending)]
	}
	if sum-sum != 0 {
		return 0, errGradient
	}
	if o.ClipNorm == 0 {
		return 1, nil
	}
	return float32(min(1, o.ClipNorm/(math.Sqrt(sum)+1e-6))), nil
}

// update moves w's share of the parameters along g, scaled by factor.
func (o *optimizer) update(params, g []float32, factor float32, w *work, descending bool) {
	s := kernel.Slope{Factor: factor, Decay: float32(o.WeightDecay)}
	lo, hi := w.share(o.count(descending), 1)
	for i := lo; i < hi; i++ {
		p := o.spans[o.index(i, descending)]
		o.span(params[p[0]:p[1]], g[p[0]:p[1]], p[0], s)
	}
}

// move is update without a clip norm for the parameters from offset at on, whose
// gradient is g.
func (o *optimizer) move(params, g []float32, at int) {
	o.span(params[at:][:len(g)], g, at, kernel.Slope{Factor: 1, Decay: float32(o.WeightDecay)})
}

// span is update for the parameters from offset at on.
func (o *optimizer) span(w, g []float32, at int, s kernel.Slope) {
	var m, v []float32
	if o.v != nil {
		v = o.v[at:][:len(w)]
	}
	if o.m != nil {
		m = o.m[at:][:len(w)]
	}
	lr, mu, eps := float32(o.rate), float32(o.Momentum), float32(o.Epsilon)
	alpha, rest := float32(o.Alpha), float32(1-o.Alpha)
	switch {
	case o.Kind == Adam:
		o.adam(w, g, m, v, s)
	case o.Kind == AdamW:
		kernel.Scale(w, w, float32(1-float64(o.rate*o.WeightDecay)))
		s.Decay = 0
		o.adam(w, g, m, v, s)
	case o.Kind == RMSProp && o.Momentum != 0:
		kernel.RMSPropMomentum(w, g, m, v, lr, alpha, rest, mu, eps, s)
	case o.Kind == RMSProp:
		kernel.RMSProp(w, g, v, lr, alpha, rest, eps, s)
	case o.Kind == Adagrad:
		kernel.Adagrad(w, g, v, lr, eps, s)
	case o.Momentum != 0 && o.Nesterov:
		kernel.Nesterov(w, g, v, lr, mu, s)
	case o.Momentum != 0:
		kernel.Momentum(w, g, v, lr, mu, s)
	default:
		kernel.SGD(w, g, lr, s)
	}
}

func (o *optimizer) adam(w, g, m, v []float32, s kernel.Slope) {
	kernel.Adam(w, g, m, v, float32(o.Beta1), float32(1-o.Beta1), float32(o.Beta2), float32(1-o.Beta2),
		float32(o.rate/(1-o.n1)), float32(math.Sqrt(1-o.n2)), float32(o.Epsilon), s)
}
