package metric

import "math"

// calibration counts usable predictions by their confidence: under Binary p, which
// is correct where the label is 1, else the greatest p, correct where its class is
// the label (Guo et al. 2017, https://arxiv.org/abs/1706.04599, eq. 3, but with
// bins closed on the left and the last one on both sides).
type calibration struct {
	n, correct, confidence []sum
}

func (c calibration) count(p float64, correct bool) {
	b := min(int(float64(p*float64(len(c.n)))), len(c.n)-1)
	c.n[b].count()
	if correct {
		c.correct[b].count()
	}
	c.confidence[b].add(p)
}

// value is Σ_b n_b/n·|correct_b/n_b − confidence_b/n_b|, in which n_b cancels; an
// unusable prediction has a gap of 1.
func (c calibration) value(unusable float64) Value {
	gap := unusable
	for b := range c.n {
		gap += math.Abs(c.correct[b].float() - c.confidence[b].float())
	}
	return loss("calibration_error", gap, total(c.n)+unusable)
}

// Reliability is one bin of the calibration histogram.
type Reliability struct {
	Count      int64
	Confidence float64 // mean, NaN without predictions
	Correct    float64 // share, NaN without predictions
}

// Reliability returns the bins of the calibration error, from confidence 0 to 1;
// nil if the Target has none.
func (s *Set) Reliability() []Reliability {
	var out []Reliability
	for b, n := range s.calibration.n {
		out = append(out, Reliability{
			Count:      int64(n.whole),
			Confidence: div(s.calibration.confidence[b].float(), n.float()),
			Correct:    div(s.calibration.correct[b].float(), n.float()),
		})
	}
	return out
}
