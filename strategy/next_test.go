package strategy

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tacit/plan"
)

const small = `tacit: plan/v1
name: small
data:
  max_examples: 100
  columns:
    - {name: a, type: numeric, min: 0, max: 10}
    - {name: b, type: numeric, min: -1, max: 1}
    - {name: y, type: categorical, values: [no, yes]}
  target: {column: y, type: binary, positive_values: [yes]}
model: {family: logreg}
federation: {rounds: 2, max_branches: 8, min_branches: 3}
training: {batch: 4}
`

func smallPlan(t testing.TB) *plan.Plan {
	t.Helper()
	p, err := plan.Parse([]byte(small), "small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// add puts v, in units, into the named segment of sum.
func add(p *plan.Plan, task plan.Task, sum []uint32, name string, v ...float64) {
	for _, s := range p.Segments(task) {
		if s.Name == name {
			for i := range v {
				sum[s.Offset+i] += uint32(int32(math.RoundToEven(v[i] * s.Scale)))
			}
			return
		}
	}
	panic(name)
}

func statistics(p *plan.Plan) []uint32 {
	sum := make([]uint32, p.Dim(plan.Statistics))
	// u of a: 0, 0.5, 1, 0.5; of b: 0.25 four times.
	add(p, plan.Statistics, sum, plan.SegStatN, 4, 4)
	add(p, plan.Statistics, sum, plan.SegStatSum, 2, 1)
	// The squares of b are one ring word too many: rounding, not variation.
	add(p, plan.Statistics, sum, plan.SegStatSumSq, 1.5, 0.25+1.0/(1<<21))
	return sum
}

func trainSum(p *plan.Plan) []uint32 {
	sum := make([]uint32, p.Dim(plan.Train))
	add(p, plan.Train, sum, plan.SegUpdate, 0.5, -1, 0.25)
	add(p, plan.Train, sum, plan.SegWeight, 0.5)
	add(p, plan.Train, sum, plan.SegLoss, 12.5)
	add(p, plan.Train, sum, plan.SegExamples, 50)
	add(p, plan.Train, sum, plan.SegCorrect, 30)
	return sum
}

// TestZeroSumStillMakesAModelOfItsOwn: a round that changes no parameter leads to
// another record all the same, because no agent reports on one model twice.
func TestZeroSumStillMakesAModelOfItsOwn(t *testing.T) {
	var st State
	seen := map[string]bool{State(nil).Hash().String(): true}
	for range 3 {
		next, params, err := FedAvg{}.Apply(st, []float32{1, 2}, Aggregate{Delta, []float64{0, 0}, 1})
		if err != nil || params[0] != 1 || params[1] != 2 {
			t.Fatalf("%v, %v", params, err)
		}
		if seen[next.Hash().String()] {
			t.Fatal("two rounds end in one state")
		}
		seen[next.Hash().String()] = true
		st = next
	}
}

func TestNext(t *testing.T) {
	p := smallPlan(t)
	r0, st, err := Initial(p)
	if err != nil {
		t.Fatal(err)
	}
	before := r0.AppendBinary(nil)
	r1, st, m, err := Next(p, r0, st, plan.Statistics, statistics(p))
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{0.5, 0.25}; !slices.Equal(r1.Standardisation.Mean, want) {
		t.Errorf("mean %v, want %v", r1.Standardisation.Mean, want)
	}
	if want := []float64{math.Sqrt(0.5 / 3), 0}; !slices.Equal(r1.Standardisation.Std, want) {
		t.Errorf("deviation %v, want %v", r1.Standardisation.Std, want)
	}
	if !slices.Equal(m.Constant, []string{"b"}) || m.Examples != 4 {
		t.Errorf("metrics %+v, want b constant and 4 examples", m)
	}
	if r1.Hash() == r0.Hash() {
		t.Error("the standardisation is not in the hash")
	}

	r2, st, m, err := Next(p, r1, st, plan.Train, trainSum(p))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range []float64{1, -2, 0.5} { // update / weight
		if want := float32(float64(r1.Params[i]) + d); r2.Params[i] != want {
			t.Errorf("parameter %d: %v, want %v", i, r2.Params[i], want)
		}
	}
	if m.Loss() != 0.25 || m.Accuracy() != 0.6 || m.Weight != 0.5 || math.Abs(m.UpdateNorm-math.Sqrt(5.25)) > 1e-6 {
		t.Errorf("metrics %+v", m)
	}

	sum := make([]uint32, p.Dim(plan.Evaluate))
	for name, v := range map[string]float64{plan.SegExamples: 20, plan.SegCorrect: 15, plan.SegTruePositive: 9, plan.SegFalsePositive: 3, plan.SegFalseNegative: 2, plan.SegLoss: 10, plan.SegClampedLoss: 1} {
		add(p, plan.Evaluate, sum, name, v)
	}
	r3, _, m, err := Next(p, r2, st, plan.Evaluate, sum)
	if err != nil {
		t.Fatal(err)
	}
	if r3.Hash() != r2.Hash() || m.Accuracy() != 0.75 || m.F1() != 18.0/23 || m.ClampedLoss != 1 {
		t.Errorf("evaluate: %+v, record %v from %v", m, r3.Hash(), r2.Hash())
	}
	if !bytes.Equal(r0.AppendBinary(nil), before) {
		t.Error("Next changed the record it was given")
	}
}

func TestNextRefuses(t *testing.T) {
	p := smallPlan(t)
	r0, st, err := Initial(p)
	if err != nil {
		t.Fatal(err)
	}
	r1, _, _, err := Next(p, r0, st, plan.Statistics, statistics(p))
	if err != nil {
		t.Fatal(err)
	}
	evaluate := make([]uint32, p.Dim(plan.Evaluate))
	with := func(task plan.Task, base []uint32, name string, v ...float64) []uint32 {
		sum := slices.Clone(base)
		add(p, task, sum, name, v...)
		return sum
	}
	bump := func(name string) []uint32 { // one ring word more: no whole number any longer
		sum := trainSum(p)
		for _, s := range p.Segments(plan.Train) {
			if s.Name == name {
				sum[s.Offset]++
			}
		}
		return sum
	}
	site := smallPlan(t)
	site.Data.Standardise = plan.SiteWise
	if err := site.Resolve(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    *plan.Plan
		rec  *Record
		st   State
		task plan.Task
		sum  []uint32
		want string
	}{
		{p, r0, st, plan.Train, trainSum(p), "strategy: a train round, but the record's standardisation is present: false"},
		{p, r1, st, plan.Statistics, statistics(p), "strategy: a statistics round, but the record's standardisation is present: true"},
		{site, r0, st, plan.Statistics, statistics(p), "strategy: a statistics round, but the plan says standardise: site"},
		{site, r1, st, plan.Train, trainSum(p), "strategy: a record with standardisation, the plan says standardise: site"},
		{p, r1, st, plan.Task(9), nil, "strategy: a sum of 0 coordinates, a task(9) round has 0"},
		{p, r1, st, plan.Train, trainSum(p)[1:], "strategy: a sum of 8 coordinates, a train round has 9"},
		{p, &Record{Params: []float32{1}, State: r1.State}, st, plan.Train, trainSum(p), "strategy: a record of 1 parameters, the plan's model has 3"},
		{p, r1, State{1}, plan.Train, trainSum(p), "strategy: the strategy's state is not the one that the model record names"},
		{p, r1, st, plan.Train, with(plan.Train, trainSum(p), plan.SegWeight, -0.5), "strategy: segment weight: the branches weigh nothing"},
		{p, r1, st, plan.Train, with(plan.Train, trainSum(p), plan.SegWeight, -1), "strategy: segment weight: -0.5 is not from 0 to 8"},
		{p, r1, st, plan.Train, with(plan.Train, trainSum(p), plan.SegWeight, 8), "strategy: segment weight: 8.5 is not from 0 to 8"},
		{p, r1, st, plan.Train, with(plan.Train, trainSum(p), plan.SegCorrect, 21), "strategy: segment metrics.correct: 51 of 50 examples"},
		{p, r1, st, plan.Train, with(plan.Train, trainSum(p), plan.SegExamples, 800), "strategy: segment metrics.examples: 850 is not from 0 to 800"},
		{p, r1, st, plan.Train, with(plan.Train, trainSum(p), plan.SegClampedUpdate, -1), "strategy: segment counts.clamped_update: -1 is not from 0 to 24"},
		{p, r1, st, plan.Train, with(plan.Train, trainSum(p), plan.SegClampedLoss, 51), "strategy: segment counts.clamped_loss: 51 of 50 examples"},
		{p, r1, st, plan.Train, bump(plan.SegExamples), "strategy: segment metrics.examples: 50.00000047683716 is not a whole number"},
		{p, r1, st, plan.Evaluate, evaluate, "strategy: segment metrics.examples: no branch has a test row"},
		{p, r1, st, plan.Evaluate, with(plan.Evaluate, with(plan.Evaluate, evaluate, plan.SegExamples, 5), plan.SegFalsePositive, 2), "strategy: segment metrics.true_positive: 0 true positives and 2 wrong answers among 5 examples with 0 correct"},
		{p, r0, st, plan.Statistics, with(plan.Statistics, statistics(p), plan.SegStatN, 0, -4), `strategy: segment stat.n: feature "b" has 0 values`},
		{p, r0, st, plan.Statistics, with(plan.Statistics, statistics(p), plan.SegStatSum, 3), `strategy: segment stat.sum: feature "a" adds up to 5 over 4 values from 0 to 1`},
		{p, r0, st, plan.Statistics, with(plan.Statistics, statistics(p), plan.SegStatSumSq, 1), `strategy: segment stat.sumsq: feature "a" has squares of 2.5 over a sum of 2`},
	} {
		rec, state, _, err := Next(c.p, c.rec, c.st, c.task, c.sum)
		if err == nil || err.Error() != c.want || rec != nil || state != nil {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
		var sumError *SumError
		if isSegment := bytes.Contains([]byte(c.want), []byte(": segment ")); errors.As(err, &sumError) != isSegment {
			t.Errorf("%v: a SumError: %v", err, !isSegment)
		}
	}
}

func TestFedAvgRefuses(t *testing.T) {
	global := []float32{1}
	for _, c := range []struct {
		s    State
		a    Aggregate
		want string
	}{
		{State{1}, Aggregate{Delta, []float64{1}, 1}, "strategy: fedavg's state has 8 bytes, got 1"},
		{nil, Aggregate{GradientSum, []float64{1}, 1}, "strategy: fedavg averages deltas, not a gradientSum"},
		{nil, Aggregate{Delta, []float64{1, 2}, 1}, "strategy: an update of 2 coordinates for 1 parameters"},
		{nil, Aggregate{Delta, []float64{1}, 0}, "strategy: fedavg divides by 0"},
		{nil, Aggregate{Delta, []float64{1}, math.NaN()}, "strategy: fedavg divides by NaN"},
		{nil, Aggregate{Delta, []float64{1e39}, 1}, "strategy: parameter 0 leaves the range of float32"},
	} {
		if _, next, err := (FedAvg{}).Apply(c.s, global, c.a); err == nil || err.Error() != c.want || next != nil {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// The weighted mean of deltas, from its definition in other words.
func TestFedAvgIsTheWeightedMean(t *testing.T) {
	p := smallPlan(t)
	rapid.Check(t, func(t *rapid.T) {
		branches := rapid.IntRange(3, 8).Draw(t, "branches")
		rec := &Record{Params: make([]float32, 3), Standardisation: &plan.Standardisation{Mean: make([]float64, 2), Std: make([]float64, 2)}, State: State(nil).Hash()}
		sum := make([]uint32, p.Dim(plan.Train))
		var want [3]float64
		var weights float64
		for range branches {
			n := rapid.IntRange(1, 100).Draw(t, "examples")
			w, err := p.WeightShare(n)
			if err != nil {
				t.Fatal(err)
			}
			weights += float64(n)
			var update []float64
			for i := range want {
				d := rapid.Float64Range(-5, 5).Draw(t, "delta")
				want[i] += float64(n) * d
				update = append(update, d*w)
			}
			add(p, plan.Train, sum, plan.SegUpdate, update...)
			add(p, plan.Train, sum, plan.SegWeight, w)
		}
		next, _, m, err := Next(p, rec, nil, plan.Train, sum)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got := float64(next.Params[i]); math.Abs(got-want[i]/weights) > 1e-3 {
				t.Fatalf("parameter %d: %v, want %v (%+v)", i, got, want[i]/weights, m)
			}
		}
	})
}

// Whatever the ring holds, Next returns an error or a sound record.
func FuzzNext(f *testing.F) {
	p := smallPlan(f)
	r0, st, err := Initial(p)
	if err != nil {
		f.Fatal(err)
	}
	r1, _, _, err := Next(p, r0, st, plan.Statistics, statistics(p))
	if err != nil {
		f.Fatal(err)
	}
	pack := func(sum []uint32) (b []byte) {
		for _, v := range sum {
			b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		}
		return b
	}
	f.Add(uint8(1), pack(statistics(p)))
	f.Add(uint8(2), pack(trainSum(p)))
	f.Add(uint8(3), pack(make([]uint32, p.Dim(plan.Evaluate))))
	f.Fuzz(func(t *testing.T, task uint8, b []byte) {
		sum := make([]uint32, p.Dim(plan.Task(task)))
		for i := range sum {
			for j := range 4 {
				if k := 4*i + j; k < len(b) {
					sum[i] |= uint32(b[k]) << (8 * j)
				}
			}
		}
		rec := r1
		if plan.Task(task) == plan.Statistics {
			rec = r0
		}
		next, _, m, err := Next(p, rec, st, plan.Task(task), sum)
		if err != nil {
			return
		}
		if _, err := ParseRecord(next.AppendBinary(nil)); err != nil {
			t.Errorf("an unsound record: %v", err)
		}
		if err := next.CheckPlan(p); err != nil {
			t.Error(err)
		}
		_ = fmt.Sprint(m)
	})
}
