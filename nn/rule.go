package nn

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Optimizer kinds.
const (
	SGD     = "sgd"
	Adam    = "adam"
	AdamW   = "adamw"
	RMSProp = "rmsprop"
	Adagrad = "adagrad"
)

// Optimizer describes the update rule of Program.Step as data; Program
// documents the formulas. Fields that its Kind does not use are zero.
type Optimizer struct {
	Kind        string   // SGD, Adam, AdamW, RMSProp or Adagrad
	LR          float64  // > 0
	Momentum    float64  // SGD, RMSProp: 0 ≤ Momentum < 1
	Nesterov    bool     // SGD: look ahead along the momentum
	WeightDecay float64  // ≥ 0: added to the gradient as decay·w; AdamW shrinks w itself
	Beta1       float64  // Adam, AdamW: 0 ≤ Beta1 < 1, usually 0.9
	Beta2       float64  // Adam, AdamW: 0 ≤ Beta2 < 1, usually 0.999
	Epsilon     float64  // Adam, AdamW, RMSProp, Adagrad: > 0
	Alpha       float64  // RMSProp: 0 ≤ Alpha < 1, usually 0.99
	ClipNorm    float64  // > 0: a longer mean gradient is scaled to this L2 norm first; 0: never
	Schedule    Schedule // of the learning rate; the zero Schedule keeps LR
}

// Optimizers returns the names an Optimizer.Kind may have, in a fixed order.
func Optimizers() []string { return []string{SGD, Adam, AdamW, RMSProp, Adagrad} }

// NewSGD returns stochastic gradient descent with momentum (0 for none).
func NewSGD(lr, momentum float64) Optimizer {
	return Optimizer{Kind: SGD, LR: lr, Momentum: momentum}
}

// NewAdam returns Adam with torch's defaults: β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
func NewAdam(lr float64) Optimizer {
	return Optimizer{Kind: Adam, LR: lr, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
}

// NewAdamW returns AdamW with torch's defaults: Adam's, and a weight decay of 0.01.
func NewAdamW(lr float64) Optimizer {
	return Optimizer{Kind: AdamW, LR: lr, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}
}

// NewRMSProp returns RMSProp with torch's defaults: α = 0.99, ε = 1e-8.
func NewRMSProp(lr float64) Optimizer {
	return Optimizer{Kind: RMSProp, LR: lr, Alpha: 0.99, Epsilon: 1e-8}
}

// NewAdagrad returns Adagrad with torch's default ε = 1e-10.
func NewAdagrad(lr float64) Optimizer {
	return Optimizer{Kind: Adagrad, LR: lr, Epsilon: 1e-10}
}

// leastEpsilon is the least ε: it stays a normal float32, so that 0/(√0 + ε) is 0.
const leastEpsilon = 1e-30

// Validate reports every problem of the Optimizer at once (errors.Join).
func (o Optimizer) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf("nn: optimizer: "+format, a...)) }
	// Written so that NaN fails.
	if !(o.LR > 0 && o.LR <= math.MaxFloat32) {
		bad("lr is %v, want a positive number", o.LR)
	}
	fraction := func(name string, v float64) {
		if !(v >= 0 && v < 1) {
			bad("%s is %v, want 0 ≤ %s < 1", name, v, name)
		}
	}
	unused := func(name string, v float64) {
		if v != 0 {
			bad("%s has no %s, got %v", o.Kind, name, v)
		}
	}
	var momentum, betas, epsilon, alpha bool // which fields the kind has
	switch o.Kind {
	case SGD:
		momentum = true
	case Adam, AdamW:
		betas, epsilon = true, true
	case RMSProp:
		momentum, epsilon, alpha = true, true, true
	case Adagrad:
		epsilon = true
	default:
		bad("unknown kind %q, want one of %s%s", o.Kind, strings.Join(Optimizers(), ", "), hint(o.Kind, Optimizers()))
		return errors.Join(errs...)
	}
	check := func(has bool, name string, v float64) {
		if has {
			fraction(name, v)
		} else {
			unused(name, v)
		}
	}
	check(momentum, "momentum", o.Momentum)
	check(betas, "beta1", o.Beta1)
	check(betas, "beta2", o.Beta2)
	check(alpha, "alpha", o.Alpha)
	switch {
	case !epsilon:
		unused("epsilon", o.Epsilon)
	case !(o.Epsilon >= leastEpsilon && o.Epsilon <= 1):
		bad("epsilon is %v, want %v ≤ epsilon ≤ 1", o.Epsilon, leastEpsilon)
	}
	switch {
	case o.Nesterov && o.Kind != SGD:
		bad("%s has no nesterov", o.Kind)
	case o.Nesterov && o.Momentum == 0:
		bad("nesterov looks ahead along a momentum: set one")
	}
	if !(o.WeightDecay >= 0 && o.WeightDecay <= math.MaxFloat32) {
		bad("weight decay is %v, want 0 or a positive number", o.WeightDecay)
	} else if o.Kind == AdamW && o.LR*o.WeightDecay > 1 {
		bad("lr·weight decay is %v, above 1: adamw would turn the weights' signs", o.LR*o.WeightDecay)
	}
	if o.ClipNorm != 0 && !(o.ClipNorm >= MinClip && o.ClipNorm <= MaxClip) {
		bad("clip norm is %v, want %v to %v, or 0 for none", o.ClipNorm, MinClip, MaxClip)
	}
	o.Schedule.check(o.LR, bad)
	return errors.Join(errs...)
}
