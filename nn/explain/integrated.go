package explain

import (
	"fmt"
	"math"
)

// Attributions are the integrated gradients of n examples.
type Attributions struct {
	Values     []float64 // (n, inputs)
	Sum        []float64 // (n): Σ of an example's Values
	Difference []float64 // (n): z(x) − z(baseline), which Sum would be of the exact integral
}

// Integrated returns the integrated gradients of an output for each row of x (n,
// inputs) from the baseline (inputs), with o.Steps = m points in the middles of equal
// parts (Sundararajan, Taly, Yan 2017, eq. 3, which takes their ends):
//
//	a_i = (x_i − b_i)/m · Σ_k=1…m ∂z/∂x_i (b + (k − ½)/m·(x − b))
//
// For a twice differentiable z the error falls with 1/m²; a kink on the way adds one
// that falls with 1/m. The baseline is an example without what is to be explained: the
// means of a table, a black image. A value, output or gradient that is not finite is an
// error that names the row.
func Integrated(m Model, x, baseline []float32, o Options) (*Attributions, error) {
	inputs := len(baseline)
	o, err := o.resolve(inputs, len(x))
	if err != nil {
		return nil, err
	}
	for i, v := range baseline {
		if v-v != 0 {
			return nil, fmt.Errorf("explain: value %d of the baseline is %v", i, v)
		}
	}
	for i, v := range x {
		if v-v != 0 {
			return nil, notFinite(i / inputs)
		}
	}
	out := &Attributions{Values: make([]float64, len(x))}
	if out.Difference, err = outputs(m, x, inputs, o); err != nil {
		return nil, err
	}
	origin, err := outputs(m, baseline, inputs, o)
	if err != nil {
		return nil, fmt.Errorf("explain: of the baseline: %w", err)
	}
	batch := min(o.Batch, o.Steps)
	points, dx := make([]float32, batch*inputs), make([]float32, batch*inputs)
	for row := range out.Difference {
		out.Difference[row] -= origin[0]
		from, a := x[row*inputs:][:inputs], out.Values[row*inputs:][:inputs]
		for k := 0; k < o.Steps; k += batch {
			n := min(batch, o.Steps-k)
			for p := range n {
				along := (float64(k+p) + 0.5) / float64(o.Steps)
				for i, b := range baseline {
					way := float64(from[i]) - float64(b)
					points[p*inputs+i] = float32(float64(b) + float64(along*way))
				}
			}
			if err := m.InputGradient(dx[:n*inputs], points[:n*inputs], o.Output); err != nil {
				return nil, err
			}
			for i, g := range dx[:n*inputs] {
				a[i%inputs] += float64(g)
			}
		}
		var sum float64
		for i, g := range a {
			a[i] = float64((float64(from[i])-float64(baseline[i]))*g) / float64(o.Steps)
			sum += a[i]
		}
		if sum-sum != 0 {
			return nil, notFinite(row)
		}
		out.Sum = append(out.Sum, sum)
	}
	return out, nil
}

// Gap returns Σ|Sum − Difference| as a share of Σ|Difference|: 0 where the
// attributions are complete. Above some percent more steps are due. It is NaN
// where no output differs from the baseline's.
func (a *Attributions) Gap() float64 {
	var gap, all float64
	for i, d := range a.Difference {
		gap += math.Abs(a.Sum[i] - d)
		all += math.Abs(d)
	}
	if all == 0 {
		return math.NaN()
	}
	return gap / all
}
