package plan

import (
	"fmt"
	"math"
)

// Epsilon is added to every standard deviation before it divides.
const Epsilon = 1e-9

// Standardisation holds mean and standard deviation of u = (x−min)/(max−min),
// one each per feature that [Schema.StatWidth] counts.
type Standardisation struct {
	Mean, Std []float64
}

// NewStandardisation computes mean and standard deviation (with n−1) per feature
// from count, sum and sum of squares. A feature whose squared deviations add up
// to no more than resolution is taken as constant: its Std is 0, so that rounding
// in the sums is not blown up into a signal.
//
// Every step is one float64 operation in a fixed order and no product is fused
// into a sum (the conversions forbid it), so all machines get the same bits.
func NewStandardisation(n, sum, sumSq []float64, resolution float64) (*Standardisation, error) {
	if len(sum) != len(n) || len(sumSq) != len(n) {
		return nil, fmt.Errorf("plan: statistics of %d, %d and %d features", len(n), len(sum), len(sumSq))
	}
	s := &Standardisation{Mean: make([]float64, len(n)), Std: make([]float64, len(n))}
	for i := range n {
		// Written so that NaN fails.
		if !(n[i] >= 1) || math.IsInf(n[i], 0) {
			return nil, fmt.Errorf("plan: feature %d has %v values, want at least 1", i, n[i])
		}
		mean := float64(sum[i] / n[i])
		deviations := float64(sumSq[i] - float64(float64(sum[i]*sum[i])/n[i]))
		if !(math.Abs(mean) <= math.MaxFloat64) || math.IsNaN(deviations) {
			return nil, fmt.Errorf("plan: feature %d has no finite mean", i)
		}
		s.Mean[i] = mean + 0 // never −0
		if n[i] > 1 && deviations > resolution {
			s.Std[i] = math.Sqrt(float64(deviations / float64(n[i]-1)))
		}
	}
	return s, nil
}

// Apply standardises one example: dst[i] = (u[i]−Mean[i])/(Std[i]+Epsilon), and 0
// where Std is 0. dst and u have one value per feature, or whole rows of them: the
// features of a series' rows, the channels of an image's pixels. A nil s leaves u
// as it is.
func (s *Standardisation) Apply(dst []float32, u []float64) {
	f := 0 // the feature of u[i]
	for i, v := range u {
		switch {
		case s == nil:
			dst[i] = float32(v)
			continue
		case s.Std[f] == 0:
			dst[i] = 0
		default:
			dst[i] = float32(float64(v-s.Mean[f]) / float64(s.Std[f]+Epsilon))
		}
		if f++; f == len(s.Mean) {
			f = 0
		}
	}
}

// Validate reports why s cannot standardise so many features.
func (s *Standardisation) Validate(width int) error {
	if len(s.Mean) != width || len(s.Std) != width {
		return fmt.Errorf("plan: standardisation of %d means and %d deviations, want %d", len(s.Mean), len(s.Std), width)
	}
	for i := range s.Mean {
		if math.IsNaN(s.Mean[i]) || math.IsInf(s.Mean[i], 0) || !(s.Std[i] >= 0) || math.IsInf(s.Std[i], 0) {
			return fmt.Errorf("plan: standardisation of feature %d is not finite", i)
		}
	}
	return nil
}
