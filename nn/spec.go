package nn

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Layer kinds.
const (
	Dense   = "dense"   // y = x·w + b
	ReLU    = "relu"    // y = max(x, 0)
	Tanh    = "tanh"    // y = tanh(x)
	Sigmoid = "sigmoid" // y = 1/(1+e^−x)
	Softmax = "softmax" // y_j = e^x_j / Σ_k e^x_k, over one example's values
)

// Losses. Both entropies take logits: the last layer is a Dense, and the
// sigmoid or softmax is part of the loss.
const (
	BinaryCrossEntropy = "binary_cross_entropy" // one output, labels 0 and 1
	CrossEntropy       = "cross_entropy"        // one output a class, sparse labels
	MSE                = "mse"                  // mean squared error over an example's outputs
)

// Initialisers of a layer with parameters.
const (
	InitUniform = ""      // weights and bias uniform in ±1/√fan_in, torch.nn.Linear's default
	InitZeros   = "zeros" // every parameter zero
)

// Optimizer kinds.
const (
	SGD  = "sgd"
	Adam = "adam"
)

// Limits of a Spec, far above what a branch trains and low enough that no size
// computed from one overflows.
const (
	MaxLayers = 1024
	MaxUnits  = 1 << 20
	MaxParams = 1 << 28
)

// Spec describes a network as data: the features of an example, the layers in
// order and the loss. It holds no parameters. The zero Spec is invalid.
type Spec struct {
	Inputs int // features per example, 1 … MaxUnits
	Layers []Layer
	Loss   string // BinaryCrossEntropy, CrossEntropy or MSE
}

// Layer is one step of a Spec. Fields that its Kind does not use are zero.
type Layer struct {
	Kind  string
	Units int    // Dense: outputs, 1 … MaxUnits
	Init  string // Dense: InitUniform or InitZeros
	Local bool   // parameters stay at the branch: marked in the Layout, never averaged
}

// Optimizer describes the update rule of Program.Step as data; Program
// documents the formulas. Fields that its Kind does not use are zero.
type Optimizer struct {
	Kind     string  // SGD or Adam
	LR       float64 // > 0
	Momentum float64 // SGD: 0 ≤ Momentum < 1
	Beta1    float64 // Adam: 0 ≤ Beta1 < 1, usually 0.9
	Beta2    float64 // Adam: 0 ≤ Beta2 < 1, usually 0.999
	Epsilon  float64 // Adam: > 0, usually 1e-8
}

// LayerKinds returns the names a Layer.Kind may have, in a fixed order.
func LayerKinds() []string { return []string{Dense, ReLU, Tanh, Sigmoid, Softmax} }

// Losses returns the names a Spec.Loss may have, in a fixed order.
func Losses() []string { return []string{BinaryCrossEntropy, CrossEntropy, MSE} }

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

// LogReg returns logistic regression: one Dense of one unit under
// BinaryCrossEntropy.
func LogReg(inputs int) Spec {
	return Spec{Inputs: inputs, Layers: []Layer{{Kind: Dense, Units: 1}}, Loss: BinaryCrossEntropy}
}

// MLP returns a multilayer perceptron: a Dense and a ReLU for each hidden
// width, then a Dense of outputs units. The loss is BinaryCrossEntropy for one
// output and CrossEntropy for more.
func MLP(inputs int, hidden []int, outputs int) Spec {
	s := Spec{Inputs: inputs, Loss: CrossEntropy}
	for _, h := range hidden {
		s.Layers = append(s.Layers, Layer{Kind: Dense, Units: h}, Layer{Kind: ReLU})
	}
	s.Layers = append(s.Layers, Layer{Kind: Dense, Units: outputs})
	if outputs == 1 {
		s.Loss = BinaryCrossEntropy
	}
	return s
}

// Outputs returns the values that the last layer gives per example, 0 without
// layers.
func (s Spec) Outputs() int {
	if len(s.Layers) == 0 {
		return 0
	}
	n := s.Inputs
	for _, l := range s.Layers {
		if l.Kind == Dense {
			n = l.Units
		}
	}
	return n
}

// NumParams returns the length of the flat parameter vector. It is meaningful
// for a Spec that Validate accepts.
func (s Spec) NumParams() int {
	total, in := 0, s.Inputs
	for _, l := range s.Layers {
		if l.Kind == Dense {
			total += in*l.Units + l.Units
			in = l.Units
		}
	}
	return total
}

// Validate reports every problem of the Spec at once (errors.Join), each
// naming its layer by index and kind.
func (s Spec) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf("nn: "+format, a...)) }
	if s.Inputs < 1 || s.Inputs > MaxUnits {
		bad("inputs is %d, want 1 to %d", s.Inputs, MaxUnits)
	}
	if n := len(s.Layers); n < 1 || n > MaxLayers {
		bad("%d layers, want 1 to %d", n, MaxLayers)
		return errors.Join(errs...)
	}
	in, total := s.Inputs, int64(0)
	for i, l := range s.Layers {
		name := fmt.Sprintf("layer %d (%s)", i, l.Kind)
		switch l.Kind {
		case Dense:
			if l.Units < 1 || l.Units > MaxUnits {
				bad("%s: units is %d, want 1 to %d", name, l.Units, MaxUnits)
			} else if in >= 1 && in <= MaxUnits {
				total += int64(in)*int64(l.Units) + int64(l.Units)
			}
			if l.Init != InitUniform && l.Init != InitZeros {
				bad("%s: unknown init %q, want %q or none", name, l.Init, InitZeros)
			}
			in = l.Units
		case ReLU, Tanh, Sigmoid, Softmax:
			if l.Units != 0 {
				bad("%s: has no units, got %d; its shape is [%d] → [%d]", name, l.Units, in, in)
			}
			if l.Init != "" {
				bad("%s: has no parameters to init with %q", name, l.Init)
			}
			if l.Local {
				bad("%s: has no parameters to keep local", name)
			}
		default:
			bad("layer %d: unknown kind %q, want one of %s", i, l.Kind, strings.Join(LayerKinds(), ", "))
		}
	}
	if total > MaxParams {
		bad("%d parameters, want at most %d", total, MaxParams)
	}
	if total == 0 && len(errs) == 0 {
		bad("no layer has parameters")
	}
	last := s.Layers[len(s.Layers)-1]
	lastName := fmt.Sprintf("layer %d (%s)", len(s.Layers)-1, last.Kind)
	switch s.Loss {
	case BinaryCrossEntropy, CrossEntropy:
		if last.Kind != Dense {
			bad("%s: %s takes logits, so the last layer must be dense (the loss applies the sigmoid or softmax)", lastName, s.Loss)
		}
		if s.Loss == BinaryCrossEntropy && in != 1 {
			bad("%s: shape [%d] does not fit %s, want [1]", lastName, in, s.Loss)
		}
		if s.Loss == CrossEntropy && in < 2 {
			bad("%s: shape [%d] does not fit %s, want at least [2]", lastName, in, s.Loss)
		}
	case MSE:
	default:
		bad("unknown loss %q, want one of %s", s.Loss, strings.Join(Losses(), ", "))
	}
	return errors.Join(errs...)
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
