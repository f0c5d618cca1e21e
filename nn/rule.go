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

// Schedule describes how the learning rate changes with the steps taken.
type Schedule struct {
	Kind   string  // "": constant; "step"; "cosine"
	Warmup int     // steps of linear rise to LR at the start
	Every  int     // step: steps between two falls
	Gamma  float64 // step: factor of each fall, 0 < Gamma ≤ 1
	Min    float64 // cosine: the last rate
	Total  int     // cosine: steps until Min, Warmup included
}

// Optimizers returns the names an Optimizer.Kind may have, in a fixed order.
func Optimizers() []string { return []string{SGD, Adam} }

// NewSGD returns stochastic gradient descent with momentum (0 for none).
func NewSGD(lr, momentum float64) Optimizer {
	return Optimizer{Kind: SGD, LR: lr, Momentum: momentum}
}

// NewAdam returns Adam with torch's defaults: β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
func NewAdam(lr float64) Optimizer {
	return Optimizer{Kind: Adam, LR: lr, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
}

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
	switch o.Kind {
	case SGD:
		fraction("momentum", o.Momentum)
		unused("beta1", o.Beta1)
		unused("beta2", o.Beta2)
		unused("epsilon", o.Epsilon)
	case Adam:
		unused("momentum", o.Momentum)
		fraction("beta1", o.Beta1)
		fraction("beta2", o.Beta2)
		if !(o.Epsilon > 0 && o.Epsilon <= 1) {
			bad("epsilon is %v, want 0 < epsilon ≤ 1", o.Epsilon)
		}
	default:
		bad("unknown kind %q, want one of %s", o.Kind, strings.Join(Optimizers(), ", "))
	}
	return errors.Join(errs...)
}
