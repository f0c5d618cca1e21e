package explain

import (
	"fmt"
	"math"
)

// MaxSteps bounds Options.Steps.
const MaxSteps = 1 << 16

// Model gives outputs and their gradients, as nn's Program does.
type Model interface {
	// Forward returns the outputs for x (n, inputs), all of one length per example.
	// The next call may overwrite them.
	Forward(x []float32) ([]float32, error)

	// InputGradient writes to dx (n, inputs) for each example ∂z/∂x of output z; with
	// a sequence of outputs z is the sum over its positions.
	InputGradient(dx, x []float32, output int) error
}

// Options say what is explained.
type Options struct {
	Output int // which output: a class; 0 where there is one
	Width  int // outputs of one position where the model gives a sequence; 0: all outputs are of one
	Batch  int // most examples of one call of the Model, default 1: its compiled batch
	Steps  int // Integrated: points of the integral, default 64
}

func (o Options) resolve(inputs, values int) (Options, error) {
	if o.Batch == 0 {
		o.Batch = 1
	}
	if o.Steps == 0 {
		o.Steps = 64
	}
	switch {
	case inputs < 1 || values%inputs != 0:
		return o, fmt.Errorf("explain: rows have shape [%d], want [n,%d]", values, inputs)
	case o.Batch < 1:
		return o, fmt.Errorf("explain: batch is %d, want at least 1", o.Batch)
	case o.Steps < 1 || o.Steps > MaxSteps:
		return o, fmt.Errorf("explain: steps is %d, want 1 to %d", o.Steps, MaxSteps)
	case o.Width < 0 || o.Output < 0 || o.Width > 0 && o.Output >= o.Width:
		return o, fmt.Errorf("explain: output is %d of %d", o.Output, o.Width)
	}
	o.Batch = min(o.Batch, max(values/inputs, o.Steps)) // what is not there needs no room
	return o, nil
}

// Gradients are of one output for each of n examples, (n, inputs).
type Gradients struct {
	Absolute   []float64 // |∂z/∂x|: saliency
	TimesInput []float64 // ∂z/∂x·x
}

// Saliency returns the gradients of an output at each row of x (n, inputs). A gradient
// that is not finite is an error that names the row.
func Saliency(m Model, x []float32, inputs int, o Options) (Gradients, error) {
	o, err := o.resolve(inputs, len(x))
	if err != nil {
		return Gradients{}, err
	}
	out := Gradients{make([]float64, len(x)), make([]float64, len(x))}
	dx := make([]float32, min(o.Batch*inputs, len(x)))
	for i := 0; i < len(x); i += len(dx) {
		part := x[i:min(i+len(dx), len(x))]
		if err := m.InputGradient(dx[:len(part)], part, o.Output); err != nil {
			return Gradients{}, err
		}
		for j, g := range dx[:len(part)] {
			if g-g != 0 {
				return Gradients{}, notFinite((i + j) / inputs)
			}
			out.Absolute[i+j] = math.Abs(float64(g))
			out.TimesInput[i+j] = float64(g) * float64(part[j])
		}
	}
	return out, nil
}

func notFinite(row int) error {
	return fmt.Errorf("explain: row %d has a value, an output or a gradient that is not finite", row)
}

// outputs returns the explained output of each row of x.
func outputs(m Model, x []float32, inputs int, o Options) ([]float64, error) {
	var out []float64
	for i := 0; i < len(x); i += o.Batch * inputs {
		part := x[i:min(i+o.Batch*inputs, len(x))]
		n := len(part) / inputs
		z, err := m.Forward(part)
		if err != nil {
			return nil, err
		}
		if len(z)%n != 0 {
			return nil, fmt.Errorf("explain: the model gave %d outputs for %d examples", len(z), n)
		}
		per := len(z) / n
		width := o.Width
		if width == 0 {
			width = per
		}
		if o.Output >= width || per%width != 0 {
			return nil, fmt.Errorf("explain: output %d of %d: the model gives %d for an example", o.Output, width, per)
		}
		for e := range n {
			var v float64
			for j := e*per + o.Output; j < (e+1)*per; j += width {
				v += float64(z[j])
			}
			if v-v != 0 {
				return nil, notFinite(i/inputs + e)
			}
			out = append(out, v)
		}
	}
	return out, nil
}
