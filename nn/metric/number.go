package metric

import (
	"fmt"
	"math"
)

// number sums deviations d = (y − Reference)/(High − Low) of the targets and
// errors e = |f − y|/(High − Low) of the predictions, for each output.
type number struct {
	above, below, square   []sum // Σ max(d,0), Σ max(−d,0), Σ d²
	errAbsolute, errSquare []sum // Σ e, Σ e²
}

func (s *Set) observeNumber(pred, targets []float32) {
	o, width := s.target.Outputs, s.target.High-s.target.Low
	for i := 0; i < len(pred); i += o {
		usable := true
		for _, f := range pred[i:][:o] {
			usable = usable && f-f == 0 // neither NaN nor infinite
		}
		if !usable {
			s.unusable.count()
		}
		for j := range o {
			y := float64(targets[i+j])
			s.number.target(j, s.cut((y-s.target.Reference)/width, 1))
			e := s.target.ErrorBound
			if usable {
				e = s.cut(math.Abs(float64(pred[i+j])-y)/width, e)
			}
			s.number.errAbsolute[j].add(e)
			s.number.errSquare[j].add(float64(e * e))
		}
	}
}

func (n number) target(output int, d float64) {
	if d < 0 {
		n.below[output].add(-d)
	} else {
		n.above[output].add(d)
	}
	n.square[output].add(float64(d * d))
}

// cut returns x within ±bound, and counts if it was not.
func (s *Set) cut(x, bound float64) float64 {
	if x > bound || x < -bound {
		s.clamped.count()
		return math.Copysign(bound, x)
	}
	return x
}

// leastSpread is the variance of a target, as a share of its mean square from the
// Reference, below which it is taken for constant: with 24-bit targets it is their
// rounding.
const leastSpread = 0x1p-40

// r2 is 1 − Σ(f−y)²/Σ(y−ȳ)² with Σ(y−ȳ)² = Σd² − (Σd)²/n, NaN for targets that do
// not differ.
func (n number) r2(name string, output int, examples float64) Value {
	d := n.above[output].float() - n.below[output].float()
	square := n.square[output].float()
	spread := square - div(float64(d*d), examples)
	if !(spread > float64(square*leastSpread)) { // NaN too
		return Value{Name: name, Value: math.NaN()}
	}
	return Value{Name: name, Value: 1 - n.errSquare[output].float()/spread, Weight: examples}
}

func (s *Set) numberValues() []Value {
	n, width := s.examples.float(), s.target.High-s.target.Low
	outputs := float64(s.target.Outputs)
	var absolute, square sum
	r2 := make([]Value, s.target.Outputs)
	for j := range r2 {
		absolute.merge(s.number.errAbsolute[j])
		square.merge(s.number.errSquare[j])
		r2[j] = s.number.r2(fmt.Sprintf("r2.%d", j), j, n)
	}
	mse := loss("mse", square.float(), float64(n*outputs))
	mse.Value = float64(float64(mse.Value*width) * width)
	rmse := mse
	rmse.Name, rmse.Value = "rmse", math.Sqrt(mse.Value)
	mae := loss("mae", absolute.float(), float64(n*outputs))
	mae.Value = float64(mae.Value * width)
	v := []Value{mse, rmse, mae}
	if len(r2) == 1 {
		r2[0].Name = "r2"
		return append(v, r2[0])
	}
	return append(append(v, mean("r2", r2)), r2...)
}
