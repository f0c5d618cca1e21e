package strategy

import (
	"fmt"
	"math"

	"tacit/plan"
)

// SumError means that the opened sum cannot be the sum of honest, unclamped
// contributions: the round is to be aborted and nothing is committed.
type SumError struct {
	Segment string
	Reason  string
}

func (e *SumError) Error() string {
	return fmt.Sprintf("strategy: segment %s: %s", e.Segment, e.Reason)
}

// Metrics are what a round's sum says beside the model. In a train round they are
// of the model that the branches received, over their training rows; in the
// evaluate round of the final model, over their test rows.
type Metrics struct {
	Task plan.Task

	Examples, Correct                          uint64
	TruePositive, FalsePositive, FalseNegative uint64 // evaluate, binary target
	LossSum                                    float64
	ClampedUpdate, ClampedLoss                 uint64  // coordinates and losses that were cut to their bound
	Weight                                     float64 // Σ w/w_max of the branches
	UpdateNorm                                 float64 // L2 norm of the model's change

	Constant []string // statistics: features that vary too little to be told from rounding; they are ignored
}

// Accuracy returns the share of correct answers, NaN without examples.
func (m *Metrics) Accuracy() float64 { return float64(m.Correct) / float64(m.Examples) }

// Loss returns the mean loss, NaN without examples.
func (m *Metrics) Loss() float64 { return m.LossSum / float64(m.Examples) }

// F1 returns the harmonic mean of precision and recall, NaN without positives.
func (m *Metrics) F1() float64 {
	return 2 * float64(m.TruePositive) / float64(2*m.TruePositive+m.FalsePositive+m.FalseNegative)
}

// Initial returns the record and state before the first round.
func Initial(p *plan.Plan) (*Record, State, error) {
	s, err := For(p)
	if err != nil {
		return nil, nil, err
	}
	params, err := p.InitialParams()
	if err != nil {
		return nil, nil, fmt.Errorf("strategy: %w", err)
	}
	st := s.Start(p)
	return &Record{Params: params, State: st.Hash()}, st, nil
}

// Next computes what follows rec when the round of task opens to sum, the
// branches' masked vectors added up in ℤ_2^32. It returns a new record and state
// (after an evaluate round the same ones) and changes none of its arguments.
//
// The error is a [*SumError] where the sum cannot be honest (abort the round), a
// [*StateError] where st is not the state of rec (stop the run), and any other
// where the arguments do not fit p.
func Next(p *plan.Plan, rec *Record, st State, task plan.Task, sum []uint32) (*Record, State, Metrics, error) {
	fail := func(err error) (*Record, State, Metrics, error) { return nil, nil, Metrics{}, err }
	s, err := For(p)
	if err != nil {
		return fail(err)
	}
	if err := rec.CheckPlan(p); err != nil {
		return fail(err)
	}
	if st.Hash() != rec.State {
		return fail(&StateError{Reason: "the strategy's state is not the one that the model record names"})
	}
	// A statistics round comes once and first; a federated plan cannot train
	// without it.
	if has := rec.Standardisation != nil; p.Data.Standardise == plan.Federated && has == (task == plan.Statistics) {
		return fail(fmt.Errorf("strategy: a %v round, but the record's standardisation is present: %v", task, has))
	}
	if task == plan.Statistics && p.Data.Standardise != plan.Federated {
		return fail(fmt.Errorf("strategy: a statistics round, but the plan says standardise: %s", p.Data.Standardise))
	}
	segments := p.Segments(task)
	if segments == nil || len(sum) != p.Dim(task) {
		return fail(fmt.Errorf("strategy: a sum of %d coordinates, a %v round has %d", len(sum), task, p.Dim(task)))
	}
	o := opened{p: p, sum: sum, segments: segments}
	m := o.metrics(task)
	if o.err != nil {
		return fail(o.err)
	}
	switch task {
	case plan.Statistics:
		std, err := o.standardisation(&m)
		if err != nil {
			return fail(err)
		}
		return &Record{Params: rec.Params, Standardisation: std, State: rec.State}, st, m, nil
	case plan.Train:
		update := o.floats(plan.SegUpdate)
		next, params, err := s.Apply(st, rec.Params, Aggregate{Kind: Delta, Update: update, Divisor: m.Weight})
		if err != nil {
			return fail(err)
		}
		m.UpdateNorm = distance(params, rec.Params)
		return &Record{Params: params, Standardisation: rec.Standardisation, State: next.Hash()}, next, m, nil
	default:
		return rec, st, m, nil
	}
}

// opened reads segments of a sum; the first thing that cannot be is kept in err.
type opened struct {
	p        *plan.Plan
	sum      []uint32
	segments []plan.Segment
	err      error
}

func (o *opened) segment(name string) (plan.Segment, bool) {
	for _, s := range o.segments {
		if s.Name == name {
			return s, true
		}
	}
	return plan.Segment{}, false
}

// floats returns the segment's sums in their own unit. A ring word is a signed
// integer; dividing by a power of two is exact.
func (o *opened) floats(name string) []float64 {
	s, ok := o.segment(name)
	if !ok {
		return nil
	}
	out := make([]float64, s.Length)
	for i, v := range o.sum[s.Offset:][:s.Length] {
		out[i] = float64(int32(v)) / s.Scale
	}
	return out
}

func (o *opened) refuse(segment, format string, args ...any) {
	if o.err == nil {
		o.err = &SumError{Segment: segment, Reason: fmt.Sprintf(format, args...)}
	}
}

// amount returns the one value of a segment that cannot be negative, and 0 for a
// segment that the task has not.
func (o *opened) amount(name string) float64 {
	s, ok := o.segment(name)
	if !ok {
		return 0
	}
	v := o.floats(name)[0]
	if v < 0 || v > s.Bound*float64(o.p.Federation.MaxBranches) {
		o.refuse(name, "%v is not from 0 to %v", v, s.Bound*float64(o.p.Federation.MaxBranches))
	}
	return v
}

// count is amount for whole numbers.
func (o *opened) count(name string) uint64 {
	v := o.amount(name)
	if v != math.Trunc(v) {
		o.refuse(name, "%v is not a whole number", v)
	}
	if o.err != nil {
		return 0
	}
	return uint64(v)
}

func (o *opened) metrics(task plan.Task) Metrics {
	m := Metrics{Task: task}
	if task == plan.Statistics {
		return m
	}
	m.Examples = o.count(plan.SegExamples)
	m.Correct = o.count(plan.SegCorrect)
	m.LossSum = o.amount(plan.SegLoss)
	m.ClampedLoss = o.count(plan.SegClampedLoss)
	m.TruePositive = o.count(plan.SegTruePositive)
	m.FalsePositive = o.count(plan.SegFalsePositive)
	m.FalseNegative = o.count(plan.SegFalseNegative)
	if m.Correct > m.Examples {
		o.refuse(plan.SegCorrect, "%d of %d examples", m.Correct, m.Examples)
	}
	if m.ClampedLoss > m.Examples {
		o.refuse(plan.SegClampedLoss, "%d of %d examples", m.ClampedLoss, m.Examples)
	}
	if wrong := m.FalsePositive + m.FalseNegative; m.TruePositive > m.Correct || wrong > m.Examples ||
		o.has(plan.SegFalsePositive) && wrong != m.Examples-m.Correct {
		o.refuse(plan.SegTruePositive, "%d true positives and %d wrong answers among %d examples with %d correct", m.TruePositive, wrong, m.Examples, m.Correct)
	}
	if task == plan.Evaluate && m.Examples == 0 {
		o.refuse(plan.SegExamples, "no branch has a test row")
	}
	if task == plan.Train {
		m.ClampedUpdate = o.count(plan.SegClampedUpdate)
		m.Weight = o.amount(plan.SegWeight)
		if m.Weight == 0 {
			o.refuse(plan.SegWeight, "the branches weigh nothing")
		}
	}
	return m
}

func (o *opened) has(name string) bool {
	_, ok := o.segment(name)
	return ok
}

// standardisation turns the three statistics into mean and deviation. Sums were
// rounded to 1/scale at each branch, so that Σ(u−mean)² is known to about
// 2·n_max/scale: |δΣu²| ≤ n_max/(2·scale), and δ((Σu)²/n) ≤ mean·n_max/scale with
// mean ≤ 1. A feature that varies less is constant.
func (o *opened) standardisation(m *Metrics) (*plan.Standardisation, error) {
	n, sum, sumSq := o.floats(plan.SegStatN), o.floats(plan.SegStatSum), o.floats(plan.SegStatSumSq)
	s, _ := o.segment(plan.SegStatSumSq)
	branches := float64(o.p.Federation.MaxBranches)
	names := o.p.Data.StatNames()
	slack := branches / s.Scale // rounding of all branches, with room
	for i := range n {
		switch {
		case n[i] < 1 || n[i] > branches*s.Bound || n[i] != math.Trunc(n[i]):
			o.refuse(plan.SegStatN, "feature %q has %v values", names[i], n[i])
		case sum[i] < -slack || sum[i] > n[i]+slack:
			o.refuse(plan.SegStatSum, "feature %q adds up to %v over %v values from 0 to 1", names[i], sum[i], n[i])
		case sumSq[i] < -slack || sumSq[i] > sum[i]+slack:
			// u² ≤ u on [0, 1].
			o.refuse(plan.SegStatSumSq, "feature %q has squares of %v over a sum of %v", names[i], sumSq[i], sum[i])
		}
	}
	if o.err != nil {
		return nil, o.err
	}
	std, err := plan.NewStandardisation(n, sum, sumSq, 2*slack)
	if err != nil {
		return nil, &SumError{Segment: plan.SegStatSum, Reason: err.Error()}
	}
	for i, v := range std.Std {
		if v == 0 {
			m.Constant = append(m.Constant, names[i])
		}
	}
	m.Examples = uint64(n[0])
	return std, nil
}

// distance returns |a−b|, in index order.
func distance(a, b []float32) float64 {
	var sum float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += float64(d * d)
	}
	return math.Sqrt(sum)
}
