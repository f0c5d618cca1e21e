package plan

import (
	"errors"
	"fmt"
	"math"
)

// Names of segments.
const (
	SegUpdate        = "update"
	SegWeight        = "weight"
	SegLoss          = "metrics.loss"
	SegExamples      = "metrics.examples"
	SegCorrect       = "metrics.correct"
	SegTruePositive  = "metrics.true_positive"
	SegFalsePositive = "metrics.false_positive"
	SegFalseNegative = "metrics.false_negative"
	SegClampedUpdate = "counts.clamped_update"
	SegClampedLoss   = "counts.clamped_loss"
	SegStatN         = "stat.n"
	SegStatSum       = "stat.sum"
	SegStatSumSq     = "stat.sumsq"
)

// Segment is a run of coordinates of the masked vector that share a bound and a
// scale. Only the update may be clamped to its bound; a branch whose other
// values exceed theirs takes no part in the round.
type Segment struct {
	Name   string
	Offset int // of the first coordinate
	Length int
	Bound  float64 // on the size of one branch's coordinate
	Scale  float64 // power of two
}

// Segments returns what a branch adds to the sum in a round of task t, in order;
// nil for an unknown task. p must be valid.
func (p *Plan) Segments(t Task) []Segment {
	out, err := p.segments(t)
	if err != nil {
		return nil
	}
	return out
}

// Dim returns the length of the masked vector of task t.
func (p *Plan) Dim(t Task) int {
	segments := p.Segments(t)
	if len(segments) == 0 {
		return 0
	}
	last := segments[len(segments)-1]
	return last.Offset + last.Length
}

func (p *Plan) segments(t Task) ([]Segment, error) {
	var out []Segment
	var errs []error
	offset := 0
	// least is the smallest scale at which the segment is still worth sending.
	add := func(name string, length int, bound, least float64) {
		scale := scaleFor(p.Federation.MaxBranches, bound, p.Aggregation.Ring)
		if scale < least {
			errs = append(errs, fmt.Errorf("%d branches × %v (segment %s) do not fit the %d-bit sum at a useful scale: %v, want at least %v",
				p.Federation.MaxBranches, bound, name, p.Aggregation.Ring, scale, least))
		}
		out = append(out, Segment{Name: name, Offset: offset, Length: length, Bound: bound, Scale: scale})
		offset += length
	}
	examples := float64(p.Data.MaxExamples)
	labels := examples * float64(p.Data.LabelsPerExample()) // answers that metrics count
	switch t {
	case Statistics:
		width := p.Data.StatWidth()
		add(SegStatN, width, examples, 1)
		add(SegStatSum, width, examples, 16)
		add(SegStatSumSq, width, examples, 16)
	case Train:
		d := p.NumParams()
		add(SegUpdate, d, p.Federation.Clip, 1024/p.Federation.Clip)
		add(SegWeight, 1, 1, 1024)
		add(SegLoss, 1, labels*p.Evaluation.LossBound, 1)
		add(SegExamples, 1, labels, 1)
		if p.Data.Labelled() {
			add(SegCorrect, 1, labels, 1)
		}
		add(SegClampedUpdate, 1, float64(d), 1)
		add(SegClampedLoss, 1, labels, 1)
	case Evaluate:
		add(SegLoss, 1, labels*p.Evaluation.LossBound, 1)
		add(SegExamples, 1, labels, 1)
		if p.Data.Labelled() {
			add(SegCorrect, 1, labels, 1)
		}
		if p.Data.Target.Type == Binary {
			add(SegTruePositive, 1, labels, 1)
			add(SegFalsePositive, 1, labels, 1)
			add(SegFalseNegative, 1, labels, 1)
		}
		add(SegClampedLoss, 1, labels, 1)
	default:
		return nil, fmt.Errorf("plan: %v", t)
	}
	return out, errors.Join(errs...)
}

// scaleFor returns the largest power of two s with n·⌈bound·s⌉ < 2^(ring−1), so
// that no sum of n quantized coordinates leaves the signed range. (Without noise;
// with it 12σ is to be added to the left side.) ⌈⌉ covers the rounding of a
// coordinate at its bound.
func scaleFor(n int, bound float64, ring int) float64 {
	half := math.Ldexp(1, ring-1)
	fits := func(s float64) bool { return float64(n)*math.Ceil(bound*s) < half }
	_, e := math.Frexp(half / (float64(n) * bound)) // half/(n·bound) < 2^e
	s := math.Ldexp(1, e)
	for !fits(s) && s > 0 {
		s /= 2
	}
	return s
}

func (p *Plan) checkSegments(bad func(key, message, hint string)) {
	for _, t := range []Task{Statistics, Train, Evaluate} {
		if t == Statistics && p.Data.Standardise != Federated {
			continue
		}
		if _, err := p.segments(t); err != nil {
			bad("federation.max_branches", err.Error(), "lower federation.max_branches or data.max_examples")
			return
		}
	}
}

// Contribution is one branch's part of a round before it is quantized. Fields
// that the task has no segment for are ignored.
type Contribution struct {
	Update  []float64 // (local − global)·Weight, clipped
	Weight  float64   // see [Plan.WeightShare]
	LossSum float64   // of losses after [Plan.ClampLoss]

	Examples, Correct                          int64
	TruePositive, FalsePositive, FalseNegative int64
	ClampedUpdate, ClampedLoss                 int64

	N, Sum, SumSq []float64 // per feature, of u = (x−min)/(max−min)
}

// Segment returns the coordinates of the named segment; nil for an unknown name.
// SegClampedUpdate is to be asked for after the update was quantized.
func (c *Contribution) Segment(name string) []float64 {
	count := func(n int64) []float64 { return []float64{float64(n)} }
	switch name {
	case SegUpdate:
		return c.Update
	case SegWeight:
		return []float64{c.Weight}
	case SegLoss:
		return []float64{c.LossSum}
	case SegExamples:
		return count(c.Examples)
	case SegCorrect:
		return count(c.Correct)
	case SegTruePositive:
		return count(c.TruePositive)
	case SegFalsePositive:
		return count(c.FalsePositive)
	case SegFalseNegative:
		return count(c.FalseNegative)
	case SegClampedUpdate:
		return count(c.ClampedUpdate)
	case SegClampedLoss:
		return count(c.ClampedLoss)
	case SegStatN:
		return c.N
	case SegStatSum:
		return c.Sum
	case SegStatSumSq:
		return c.SumSq
	}
	return nil
}

// WeightShare returns w/w_max for a branch with so many training examples, or an
// error when it would weigh more than the plan allows.
func (p *Plan) WeightShare(examples int) (float64, error) {
	if examples < 0 || examples > p.Data.MaxExamples {
		return 0, fmt.Errorf("plan: %d examples; data.max_examples is %d", examples, p.Data.MaxExamples)
	}
	w := 1.0
	switch p.Federation.Weights {
	case ByExamples:
		w = float64(examples)
	case ByBatches:
		w = float64((examples + p.Training.Batch - 1) / p.Training.Batch)
	}
	if examples == 0 {
		return 0, nil
	}
	if w > p.Federation.WeightMax {
		return 0, fmt.Errorf("plan: the branch weighs %v; federation.weight_max is %v", w, p.Federation.WeightMax)
	}
	return w / p.Federation.WeightMax, nil
}

// ClampLoss limits one example's loss to [0, evaluation.loss_bound] and reports
// whether it had to; NaN becomes the bound.
func (p *Plan) ClampLoss(loss float64) (float64, bool) {
	switch bound := p.Evaluation.LossBound; {
	case loss >= 0 && loss <= bound:
		return loss, false
	case loss < 0:
		return 0, true
	default:
		return bound, true
	}
}
