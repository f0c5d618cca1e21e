package metric

// scores counts examples by truth (0: negative, 1: positive) and bin of their
// score: bin b of B holds b/B ≤ p < (b+1)/B, the last one also p = 1. Behind the
// bins stands the count of unusable scores: as positives they lie below every
// score, as negatives above, so that they lose every comparison.
//
// A threshold sees only the bins. With P_b and N_b positives and negatives in bin b
// and P, N of all, the order within a bin decides P_b·N_b of P·N pairs, which count
// ½ each, so that the area under the curve of unbinned scores is within
//
//	½ Σ_b P_b·N_b / (P·N)
//
// of auc: a bound that the histogram itself states, and 0 where no bin holds both.
// Scores that only tie within their bin have no error at all.
type scores struct {
	bins int
	n    []sum // 2 × (bins + 1)
}

func (s scores) count(truth int, p float64) {
	b := min(int(float64(p*float64(s.bins))), s.bins-1)
	s.n[truth*(s.bins+1)+b].count()
}

func (s scores) unusable(truth int) { s.n[truth*(s.bins+1)+s.bins].count() }

// auc is the Mann-Whitney statistic: pairs (positive, negative) in the right order
// and half of those in one bin, of all pairs.
func (s scores) auc(name string) Value {
	negative, positive := s.n[:s.bins+1], s.n[s.bins+1:]
	pairs := float64(total(negative) * total(positive))
	var right, same, below float64
	for b := range s.bins {
		p, n := positive[b].float(), negative[b].float()
		right += float64(p * below)
		same += float64(p * n)
		below += n
	}
	return Value{Name: name, Value: div(right+same/2, pairs), Weight: pairs, Error: orZero(same/2, pairs)}
}

// averagePrecision is Σ_b (R_b − R_b+1)·P_b from the highest bin down: recall won
// at a threshold times precision there. Were bin b resolved, its positives would have a
// precision of at least (T+1)/(T+1+F+N_b) each, negatives first, and at most
// (T+P_b)/(T+P_b+F), positives first, with T and F positives and negatives above;
// Error is the distance to these.
func (s scores) averagePrecision(name string) Value {
	negative, positive := s.n[:s.bins+1], s.n[s.bins+1:]
	all := total(positive)
	if total(negative) == 0 {
		all = 0 // one class only: no curve
	}
	var t, least, v, most float64
	f := negative[s.bins].float() // unusable: above all
	for b := s.bins - 1; b >= 0; b-- {
		p, n := positive[b].float(), negative[b].float()
		if p > 0 {
			least += float64(p * ((t + 1) / (t + 1 + f + n)))
			v += float64(p * ((t + p) / (t + p + f + n)))
			most += float64(p * ((t + p) / (t + p + f)))
		}
		t, f = t+p, f+n
	}
	return Value{Name: name, Value: div(v, all), Weight: all, Error: orZero(max(most-v, v-least), all)}
}
