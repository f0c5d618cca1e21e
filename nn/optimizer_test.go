package nn

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tacit/nn/internal/kernel"
)

// rules has every optimizer with every option.
func rules() map[string]Optimizer {
	cosine := Schedule{Kind: ScheduleCosine, Warmup: 3, Total: 20, Min: 1e-4}
	return map[string]Optimizer{
		"sgd":                   NewSGD(0.05, 0),
		"sgd, decay":            {Kind: SGD, LR: 0.05, WeightDecay: 0.1},
		"momentum":              NewSGD(0.05, 0.9),
		"momentum, decay, clip": {Kind: SGD, LR: 0.05, Momentum: 0.8, WeightDecay: 0.02, ClipNorm: 0.3},
		"nesterov":              {Kind: SGD, LR: 0.05, Momentum: 0.9, Nesterov: true},
		"nesterov, step":        {Kind: SGD, LR: 0.05, Momentum: 0.9, Nesterov: true, WeightDecay: 0.01, Schedule: Schedule{Kind: ScheduleStep, Every: 4, Gamma: 0.5}},
		"adam":                  NewAdam(0.01),
		"adam, decay":           {Kind: Adam, LR: 0.01, Beta1: 0.8, Beta2: 0.99, Epsilon: 1e-6, WeightDecay: 0.1},
		"adamw":                 NewAdamW(0.01),
		"adamw, clip, cosine":   {Kind: AdamW, LR: 0.02, Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, WeightDecay: 0.1, ClipNorm: 0.5, Schedule: cosine},
		"rmsprop":               NewRMSProp(0.01),
		"rmsprop, all":          {Kind: RMSProp, LR: 0.01, Alpha: 0.9, Momentum: 0.7, Epsilon: 1e-6, WeightDecay: 0.05},
		"adagrad":               NewAdagrad(0.05),
		"adagrad, decay":        {Kind: Adagrad, LR: 0.05, Epsilon: 1e-8, WeightDecay: 0.05, Schedule: Schedule{Warmup: 6}},
	}
}

func TestOptimizerValidate(t *testing.T) {
	for name, o := range rules() {
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, k := range Optimizers() {
		found := false
		for _, o := range rules() {
			found = found || o.Kind == k
		}
		if !found {
			t.Errorf("%s stands in no rule of the tests", k)
		}
	}
	nan, inf := math.NaN(), math.Inf(1)
	adam := func(change func(*Optimizer)) Optimizer {
		o := NewAdam(0.01)
		change(&o)
		return o
	}
	scheduled := func(s Schedule) Optimizer {
		o := NewSGD(0.1, 0)
		o.Schedule = s
		return o
	}
	for _, c := range []struct {
		o    Optimizer
		want string
	}{
		{Optimizer{}, `unknown kind "", want one of sgd, adam, adamw, rmsprop, adagrad`},
		{Optimizer{Kind: "adan", LR: 1}, `(did you mean "adam"?)`},
		{NewSGD(0, 0), "lr is 0, want a positive number"},
		{NewSGD(-1, 0), "lr is -1"},
		{NewSGD(nan, 0), "lr is NaN"},
		{NewSGD(inf, 0), "lr is +Inf"},
		{NewSGD(1, 1), "momentum is 1, want 0 ≤ momentum < 1"},
		{NewSGD(1, -0.1), "momentum is -0.1"},
		{NewSGD(1, nan), "momentum is NaN"},
		{Optimizer{Kind: SGD, LR: 1, Beta1: 0.9}, "sgd has no beta1, got 0.9"},
		{Optimizer{Kind: SGD, LR: 1, Beta2: 0.9}, "sgd has no beta2"},
		{Optimizer{Kind: SGD, LR: 1, Epsilon: 1}, "sgd has no epsilon, got 1"},
		{Optimizer{Kind: SGD, LR: 1, Alpha: 1}, "sgd has no alpha, got 1"},
		{Optimizer{Kind: SGD, LR: 1, Nesterov: true}, "nesterov looks ahead along a momentum"},
		{adam(func(o *Optimizer) { o.Epsilon = 0 }), "epsilon is 0, want 1e-30 ≤ epsilon ≤ 1"},
		{adam(func(o *Optimizer) { o.Epsilon = nan }), "epsilon is NaN"},
		{adam(func(o *Optimizer) { o.Epsilon = 1e-40 }), "epsilon is 1e-40"},
		{adam(func(o *Optimizer) { o.Beta1 = 1 }), "beta1 is 1"},
		{adam(func(o *Optimizer) { o.Beta2 = nan }), "beta2 is NaN"},
		{adam(func(o *Optimizer) { o.Momentum = 0.9 }), "adam has no momentum, got 0.9"},
		{adam(func(o *Optimizer) { o.Nesterov = true }), "adam has no nesterov"},
		{adam(func(o *Optimizer) { o.Alpha = 0.9 }), "adam has no alpha"},
		{Optimizer{Kind: RMSProp, LR: 1, Alpha: 1, Epsilon: 1e-8}, "alpha is 1, want 0 ≤ alpha < 1"},
		{Optimizer{Kind: RMSProp, LR: 1}, "epsilon is 0"},
		{Optimizer{Kind: RMSProp, LR: 1, Epsilon: 1e-8, Beta1: 0.9}, "rmsprop has no beta1"},
		{Optimizer{Kind: Adagrad, LR: 1, Epsilon: 1e-8, Alpha: 0.9}, "adagrad has no alpha"},
		{Optimizer{Kind: Adagrad, LR: 1, Epsilon: 1e-8, Momentum: 0.9}, "adagrad has no momentum"},
		{adam(func(o *Optimizer) { o.WeightDecay = -1 }), "weight decay is -1, want 0 or a positive number"},
		{adam(func(o *Optimizer) { o.WeightDecay = nan }), "weight decay is NaN"},
		{Optimizer{Kind: AdamW, LR: 0.5, Epsilon: 1e-8, WeightDecay: 3}, "lr·weight decay is 1.5, above 1"},
		{adam(func(o *Optimizer) { o.ClipNorm = -1 }), "clip norm is -1"},
		{adam(func(o *Optimizer) { o.ClipNorm = nan }), "clip norm is NaN"},
		{adam(func(o *Optimizer) { o.ClipNorm = inf }), "clip norm is +Inf"},
		{scheduled(Schedule{Kind: "cosin"}), `schedule: unknown kind "cosin", want one of step, cosine or none (did you mean "cosine"?)`},
		{scheduled(Schedule{Kind: "constant"}), "(constant is the empty name, warmup a field)"},
		{scheduled(Schedule{Warmup: -1}), "schedule: warmup is -1"},
		{scheduled(Schedule{Kind: ScheduleStep, Gamma: 0.5}), "schedule: every is 0"},
		{scheduled(Schedule{Kind: ScheduleStep, Every: 3}), "schedule: gamma is 0, want 0 < gamma ≤ 1"},
		{scheduled(Schedule{Kind: ScheduleStep, Every: 3, Gamma: 1.1}), "schedule: gamma is 1.1"},
		{scheduled(Schedule{Kind: ScheduleStep, Every: 3, Gamma: nan}), "schedule: gamma is NaN"},
		{scheduled(Schedule{Kind: ScheduleStep, Every: 3, Gamma: 1, Min: 0.1}), "schedule: step has no min, got 0.1"},
		{scheduled(Schedule{Kind: ScheduleStep, Every: 3, Gamma: 1, Total: 9}), "schedule: step has no total, got 9"},
		{scheduled(Schedule{Kind: ScheduleCosine, Total: 5, Warmup: 5}), "schedule: total is 5, want above warmup (5)"},
		{scheduled(Schedule{Kind: ScheduleCosine}), "schedule: total is 0"},
		{scheduled(Schedule{Kind: ScheduleCosine, Total: 5, Min: 0.2}), "schedule: min is 0.2, want 0 to lr (0.1)"},
		{scheduled(Schedule{Kind: ScheduleCosine, Total: 5, Min: nan}), "schedule: min is NaN"},
		{scheduled(Schedule{Kind: ScheduleCosine, Total: 5, Every: 2}), "schedule: cosine has no every, got 2"},
		{scheduled(Schedule{Kind: ScheduleCosine, Total: 5, Gamma: 2}), "schedule: cosine has no gamma, got 2"},
		{scheduled(Schedule{Every: 2}), "schedule: a constant one has no every, got 2"},
	} {
		if err := c.o.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
	if err := (Optimizer{Kind: SGD, LR: -1, Momentum: 2, Beta1: 1, ClipNorm: -1}).Validate(); strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not every problem at once: %v", err)
	}
}

// Whole training runs have the bits they had when the digests were written.
func TestRuleBits(t *testing.T) {
	for name, want := range map[string]string{
		"sgd, decay":            "dfee9f22a5be72b7",
		"momentum, decay, clip": "1009d5bfbc3953de",
		"nesterov":              "da16740415c16bb5",
		"nesterov, step":        "76b134c68fcd20a5",
		"adam, decay":           "9d27c9cffad73a6c",
		"adamw":                 "6d263a51df4dbeb7",
		"adamw, clip, cosine":   "b9de1239c9144417",
		"rmsprop":               "2fa50d656fe833f6",
		"rmsprop, all":          "b201b46221d47f77",
		"adagrad":               "78a40ca49f76a603",
		"adagrad, decay":        "766e0c7fd8f926db",
	} {
		o := Options{Batch: 16, Seed: 42, Optimizer: rules()[name]}
		if got := digest(trainRun(t, MLP(11, []int{23, 9}, 4), o, 40)); got != want {
			t.Errorf("%s: digest %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"mae": "cf34cf778909ad8f", "huber": "2add6bc65f348ab3", "cox": "6279f9e284c1b491", "classes, both": "6c6a206bd6ce8726", "binary, both": "5447cb335e2d5e05", "sequence of classes, both": "26a3cd0f8118d013", "sequence of binary labels, both": "1bce9695925c0cd5",
	} {
		o := Options{Batch: 16, Seed: 42, Optimizer: NewSGD(0.1, 0.9)}
		if got := digest(trainRun(t, lossSpecs()[name], o, 40)); got != want {
			t.Errorf("%s: digest %s, want %s", name, got, want)
		}
	}
}

func TestOptimizerState(t *testing.T) {
	s := LogReg(4)
	r := rand.New(rand.NewPCG(2, 2))
	b, other := randomBatch(r, s, 4), randomBatch(r, s, 3)
	for name, o := range rules() {
		if o.moments() == 0 {
			continue
		}
		o.Schedule = Schedule{} // the same rate twice
		p := compile(t, s, Options{Batch: 4, Optimizer: o})
		start := stored(t, p)
		step := func() string {
			if _, err := p.Step(b); err != nil {
				t.Fatal(err)
			}
			return digest(stored(t, p))
		}
		first := step()
		p.ResetOptimizer()
		_, err := p.Step(other)
		if err := errors.Join(err, p.Load(start)); err != nil {
			t.Fatal(err)
		}
		if step() == first {
			t.Errorf("%s: Load cleared the state", name)
		}
		if err := p.Load(start); err != nil {
			t.Fatal(err)
		}
		p.ResetOptimizer()
		if step() != first {
			t.Errorf("%s: ResetOptimizer left state", name)
		}
		// At rate 1e-30 the parameters stand still.
		if err := p.SetLearningRate(1e-30); err != nil {
			t.Fatal(err)
		}
		if before := digest(stored(t, p)); step() != before {
			t.Errorf("%s: SetLearningRate has no effect", name)
		}
		if p.SetLearningRate(0) == nil || p.SetLearningRate(math.NaN()) == nil {
			t.Errorf("%s: a bad rate is taken", name)
		}
	}
	for x, want := range map[float32]float32{0x1p-127: 0, -0x1p-149: 0, 0x1p-126: 0x1p-126, -1: -1} {
		if got := kernel.Flush(x); got != want {
			t.Errorf("kernel.Flush(%x) = %x", x, got)
		}
	}
}

// A run that goes on from a checkpoint takes the same steps, at the same rates.
func TestRulesResume(t *testing.T) {
	s := MLP(5, []int{7}, 3)
	for name, o := range rules() {
		r := rand.New(rand.NewPCG(8, 9))
		p := compile(t, s, Options{Batch: 4, Optimizer: o})
		q := compile(t, s, Options{Batch: 4, Optimizer: o, Seed: 99})
		for i := range 12 {
			if i == 5 {
				if err := errors.Join(q.Load(stored(t, p)), q.LoadState(p.AppendState(nil))); err != nil {
					t.Fatal(name, err)
				}
			}
			b := randomBatch(r, s, 4)
			if _, err := p.Step(b); err != nil {
				t.Fatal(name, err)
			}
			if i >= 5 {
				if _, err := q.Step(b); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		if digest(stored(t, p)) != digest(stored(t, q)) || !bytes.Equal(p.AppendState(nil), q.AppendState(nil)) {
			t.Errorf("%s: another run after the checkpoint", name)
		}
	}
}

func TestRulesDoNotAllocate(t *testing.T) {
	for _, s := range []Spec{MLP(5, []int{7}, 3), lossSpecs()["cox"], lossSpecs()["sequence of classes, both"], lossSpecs()["binary, both"], lossSpecs()["huber"]} {
		for name, o := range rules() {
			p := compile(t, s, Options{Batch: 32, Optimizer: o})
			b := randomBatch(rand.New(rand.NewPCG(1, 1)), s, 31)
			if a := testing.AllocsPerRun(5, func() {
				if _, err := p.Step(b); err != nil {
					t.Fatal(err)
				}
			}); a != 0 {
				t.Errorf("%s, %s: %v allocations a step", s.Loss, name, a)
			}
		}
	}
}

// A longer gradient is scaled to ClipNorm over all parameters together, a shorter
// one keeps its bits.
func TestClipNorm(t *testing.T) {
	s := MLP(6, []int{5}, 3)
	b := randomBatch(rand.New(rand.NewPCG(5, 5)), s, 8)
	run := func(clip float64) (moved []float64, grad []float32) {
		p := compile(t, s, Options{Batch: 8, Seed: 3, Optimizer: Optimizer{Kind: SGD, LR: 1, ClipNorm: clip}})
		before := stored(t, p)
		if _, err := p.Gradient(b); err != nil {
			t.Fatal(err)
		}
		grad = slices.Clone(p.Grad())
		if _, err := p.Step(b); err != nil {
			t.Fatal(err)
		}
		for i, v := range stored(t, p) {
			moved = append(moved, float64(before[i])-float64(v))
		}
		return moved, grad
	}
	free, grad := run(0)
	norm := 0.0
	for _, g := range grad {
		norm += float64(g) * float64(g)
	}
	norm = math.Sqrt(norm)
	if !(norm > 0.1) {
		t.Fatalf("norm %v", norm)
	}
	for _, clip := range []float64{norm / 7, norm * 0.999, norm * 1.001, norm * 100} {
		moved, again := run(clip)
		if digest(again) != digest(grad) {
			t.Error("Grad is clipped")
		}
		factor := min(1, clip/(norm+1e-6))
		near(t, "moved", narrow(moved), scaled(free, factor), 2e-7)
		if same := digest(narrow(moved)) == digest(narrow(free)); same != (clip > norm) {
			t.Errorf("clip %v of a norm %v: same bits %v", clip, norm, same)
		}
	}
}

func scaled(v []float64, f float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = x * f
	}
	return out
}

// What a forward pass has found (running statistics) is no weight: it does not decay,
// and no rule moves it.
func TestBuffersStay(t *testing.T) {
	s := Spec{Inputs: 4, Layers: []Layer{{Kind: Dense, Units: 6, NoBias: true}, {Kind: BatchNorm}, {Kind: ReLU}, {Kind: BatchNorm}, {Kind: Dense, Units: 2}}, Loss: CrossEntropy}
	b := randomBatch(rand.New(rand.NewPCG(6, 7)), s, 9)
	var want []float32
	for name, o := range rules() {
		o.Schedule = Schedule{}
		p := compile(t, s, Options{Batch: 9, Seed: 3, Optimizer: o})
		before := stored(t, p)
		if _, err := p.Step(b); err != nil {
			t.Fatal(name, err)
		}
		after := stored(t, p)
		var got []float32
		for _, e := range p.Layout() {
			if e.Kind == Buffer {
				got = append(got, after[e.Offset:][:e.Len]...)
			} else if digest(after[e.Offset:][:e.Len]) == digest(before[e.Offset:][:e.Len]) {
				t.Errorf("%s: %s stays", name, e.Name)
			}
		}
		if want == nil {
			want = got
		}
		if len(got) != 24 || digest(got) != digest(want) {
			t.Errorf("%s: buffers %v, want %v", name, got, want)
		}
	}
	o := newOptimizer(NewAdam(1), &compiler{floats: make([]float32, 16), doubles: make([]float64, 3)}, Layout{
		{Offset: 0, Len: 2, Kind: Weight}, {Offset: 2, Len: 1, Kind: Bias}, {Offset: 3, Len: 4, Kind: Buffer}, {Offset: 7, Len: 1, Kind: Weight}})
	if fmt.Sprint(o.spans) != "[[0 2] [2 3] [7 8]]" {
		t.Errorf("spans %v", o.spans)
	}
}

// A batch that is refused leaves everything as it was: parameters, moments, running
// statistics and the count of steps.
func TestRefusedStepChangesNothing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	s := Spec{Inputs: 3, Layers: []Layer{{Kind: Dense, Units: 4}, {Kind: BatchNorm}, {Kind: Dropout, Rate: 0.2}, {Kind: Dense, Units: 2}}, Loss: MSE}
	for name, o := range rules() {
		p := compile(t, s, Options{Batch: 4, Seed: 3, Optimizer: o})
		r := rand.New(rand.NewPCG(6, 7))
		for range 3 {
			if _, err := p.Step(randomBatch(r, s, 4)); err != nil {
				t.Fatal(err)
			}
		}
		params, state := digest(stored(t, p)), p.AppendState(nil)
		for _, v := range []float32{nan, inf, -inf} {
			for _, input := range []bool{true, false} {
				b := randomBatch(r, s, 4)
				if input {
					b.X[2*3] = v
				} else {
					b.Targets[2*2+1] = v
				}
				var bad *NonFiniteError
				if _, err := p.Step(b); !errors.As(err, &bad) || *bad != (NonFiniteError{Example: 2, Step: 3, Input: input}) {
					t.Fatalf("%s: %v", name, err)
				}
				want := map[bool]string{true: "after 3 steps: example 2 of the batch has a feature that", false: "after 3 steps: example 2 of the batch has a loss that"}[input]
				if !strings.Contains(bad.Error(), want) {
					t.Errorf("%v, want %q", bad, want)
				}
				if digest(stored(t, p)) != params || !bytes.Equal(p.AppendState(nil), state) {
					t.Fatalf("%s, %v: a refused step changed something", name, v)
				}
			}
		}
	}
	// A finite loss with a gradient that is not cannot be clipped.
	p := compile(t, Spec{Inputs: 1, Layers: []Layer{{Kind: Dense, Units: 1}}, Loss: MSE}, Options{Batch: 1, Optimizer: Optimizer{Kind: SGD, LR: 1, Momentum: 0.5, ClipNorm: 1}})
	if err := p.Load([]float32{1, 0}); err != nil {
		t.Fatal(err)
	}
	state := p.AppendState(nil)
	_, err := p.Step(Batch{X: []float32{1e25}, Targets: []float32{0}})
	if err == nil || !strings.Contains(err.Error(), "nn: after 0 steps: the gradient of the batch is not finite") {
		t.Error(err)
	}
	if v := stored(t, p); v[0] != 1 || v[1] != 0 || !bytes.Equal(p.AppendState(nil), state) {
		t.Error("a refused step changed something")
	}
}

// A finite loss may have a gradient that is not: no parameter, buffer or moment moves,
// and the batch is named at once, with or without a clip norm.
func TestInfiniteGradientMovesNothing(t *testing.T) {
	s := Spec{Inputs: 2, Layers: []Layer{{Kind: Dense, Units: 3}, {Kind: BatchNorm}, {Kind: Dense, Units: 1}}, Loss: MSE}
	for _, o := range []Optimizer{NewSGD(0.1, 0.9), NewAdam(0.1), NewAdagrad(0.1)} {
		p := compile(t, s, Options{Batch: 4, Seed: 1, Optimizer: o})
		good := Batch{X: []float32{1, 2, 3, 5}, Targets: []float32{1, 2}}
		if _, err := p.Step(good); err != nil {
			t.Fatal(err)
		}
		params, state := digest(stored(t, p)), string(p.AppendState(nil))
		_, err := p.Step(Batch{X: []float32{1, 2, 3, 5}, Targets: []float32{3e38, -3e38}})
		var nan *NonFiniteError
		if !errors.As(err, &nan) || nan.Step != 1 || nan.Input || nan.Example >= 0 {
			t.Errorf("%s: %v", o.Kind, err)
		}
		if digest(stored(t, p)) != params || string(p.AppendState(nil)) != state {
			t.Errorf("%s: something moved", o.Kind)
		}
	}
}
