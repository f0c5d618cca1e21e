package explain

import (
	"errors"
	"fmt"
	"math"
)

// Summary is sums over examples of what each group of features is attributed.
// Summaries of several branches add; the mean is taken of the total.
type Summary struct {
	Groups   []Group
	Examples int64
	Signed   []float64 // per group: Σ of attributions, those of a group's features added
	Absolute []float64 // per group: Σ of the absolute values of these, per example
}

// Summarize sums attributions a (n, inputs): Attributions.Values, or one of Gradients.
func Summarize(a []float64, inputs int, groups []Group) (*Summary, error) {
	if inputs < 1 || len(a)%inputs != 0 {
		return nil, fmt.Errorf("explain: attributions have shape [%d], want [n,%d]", len(a), inputs)
	}
	if err := check(groups, inputs); err != nil {
		return nil, err
	}
	s := &Summary{Groups: groups, Signed: make([]float64, len(groups)), Absolute: make([]float64, len(groups))}
	for i := 0; i < len(a); i += inputs {
		for g, group := range groups {
			var v float64
			for _, f := range group.Features {
				v += a[i+f]
			}
			s.Signed[g] += v
			s.Absolute[g] += math.Abs(v)
		}
		s.Examples++
	}
	return s, nil
}

// Add adds o's sums to s's. Other groups are an error and s stays.
func (s *Summary) Add(o *Summary) error {
	if !same(s.Groups, o.Groups) || len(s.Signed) != len(o.Signed) || len(s.Absolute) != len(o.Absolute) {
		return errors.New("explain: add: the sums are of other groups")
	}
	s.Examples += o.Examples
	for g := range s.Signed {
		s.Signed[g] += o.Signed[g]
		s.Absolute[g] += o.Absolute[g]
	}
	return nil
}

// Share is a group's part in the model's answers.
type Share struct {
	Group    Group
	Signed   float64 // mean attribution, NaN without examples
	Absolute float64 // mean absolute attribution, NaN without examples
}

// Shares returns the means, in the order of the groups.
func (s *Summary) Shares() []Share {
	out := make([]Share, len(s.Groups))
	n := float64(s.Examples)
	for g, group := range s.Groups {
		out[g] = Share{group, s.Signed[g] / n, s.Absolute[g] / n}
	}
	return out
}
