package plan

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tacit/id"
	"tacit/nn"
)

func TestSegments(t *testing.T) {
	p := mustParse(t, minimal, "data.max_examples=500", "federation.max_branches=10", "federation.clip=2")
	want := map[Task][]Segment{
		Statistics: {
			{SegStatN, 0, 1, 500, 1 << 18}, {SegStatSum, 1, 1, 500, 1 << 18}, {SegStatSumSq, 2, 1, 500, 1 << 18},
		},
		Train: {
			{SegUpdate, 0, 2, 2, 1 << 26}, {SegWeight, 2, 1, 1, 1 << 27}, {SegLoss, 3, 1, 8000, 1 << 14},
			{SegExamples, 4, 1, 500, 1 << 18}, {SegCorrect, 5, 1, 500, 1 << 18},
			{SegClampedUpdate, 6, 1, 2, 1 << 26}, {SegClampedLoss, 7, 1, 500, 1 << 18},
		},
		Evaluate: {
			{SegLoss, 0, 1, 8000, 1 << 14}, {SegExamples, 1, 1, 500, 1 << 18}, {SegCorrect, 2, 1, 500, 1 << 18},
			{SegTruePositive, 3, 1, 500, 1 << 18}, {SegFalsePositive, 4, 1, 500, 1 << 18}, {SegFalseNegative, 5, 1, 500, 1 << 18},
			{SegClampedLoss, 6, 1, 500, 1 << 18},
		},
	}
	dims := map[Task]int{Statistics: 3, Train: 8, Evaluate: 7, Task(0): 0, Task(4): 0}
	for task, segments := range want {
		if got := p.Segments(task); !slices.Equal(got, segments) {
			t.Errorf("%v: %v\nwant %v", task, got, segments)
		}
	}
	for task, d := range dims {
		if got := p.Dim(task); got != d {
			t.Errorf("%v: dimension %d, want %d", task, got, d)
		}
	}
	full := &Contribution{Update: []float64{1}, N: []float64{1}, Sum: []float64{1}, SumSq: []float64{1}}
	for _, segments := range want {
		for _, s := range segments {
			if full.Segment(s.Name) == nil {
				t.Errorf("a contribution has no segment %s", s.Name)
			}
		}
	}
	if full.Segment("other") != nil {
		t.Error("a contribution has a segment that does not exist")
	}
}

// The scale against its definition, in exact arithmetic: no sum of n coordinates
// at their bound leaves the signed range, and twice the scale would break that or
// come within rounding of it.
func TestScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, MaxBranches).Draw(t, "n")
		bound := math.Ldexp(rapid.Float64Range(1, 2).Draw(t, "mantissa"), rapid.IntRange(-20, 40).Draw(t, "exponent"))
		ring := rapid.SampledFrom([]int{16, 32, 48}).Draw(t, "ring")
		s := scaleFor(n, bound, ring)
		if frac, _ := math.Frexp(s); frac != 0.5 {
			t.Fatalf("%v is no power of two", s)
		}
		total := func(s float64) *big.Float { // n·⌈bound·s⌉
			x := new(big.Float).SetPrec(200).SetFloat64(math.Ceil(bound * s))
			return x.Mul(x, big.NewFloat(float64(n)))
		}
		half := new(big.Float).SetFloat64(math.Ldexp(1, ring-1))
		if total(s).Cmp(half) >= 0 {
			t.Fatalf("%d coordinates of %v at scale %v wrap around %d bits", n, bound, s, ring)
		}
		if total(2*s).Cmp(half) < 0 {
			t.Fatalf("scale %v would do as well as %v", 2*s, s)
		}
	})
	// 3·10922.5 is below 2^15, but each coordinate rounds up to 10923.
	if got := scaleFor(3, 10922.5, 16); got != 0.5 {
		t.Errorf("3 coordinates of 10922.5 in 16 bits at scale %v, want 0.5", got)
	}
	if got := scaleFor(128, 1, 32); got != 1<<23 {
		t.Errorf("128 coordinates of 1 at scale %v, want 2^23: at 2^24 their sum is 2^31", got)
	}
}

func TestWeightShare(t *testing.T) {
	for _, c := range []struct {
		weights  string
		examples int
		want     float64
		bad      bool
	}{
		{"examples", 0, 0, false}, {"examples", 100, 0.5, false}, {"examples", 200, 1, false}, {"examples", 201, 0, true}, {"examples", -1, 0, true},
		{"batches", 0, 0, false}, {"batches", 1, 0.02, false}, {"batches", 199, 1, false}, {"batches", 200, 1, false},
		{"uniform", 0, 0, false}, {"uniform", 1, 1, false}, {"uniform", 200, 1, false},
	} {
		p := mustParse(t, minimal, "data.max_examples=200", "training.batch=4", "federation.weights="+c.weights)
		if got, err := p.WeightShare(c.examples); got != c.want || (err != nil) != c.bad {
			t.Errorf("%s of %d: %v, %v; want %v", c.weights, c.examples, got, err, c.want)
		}
	}
	p := mustParse(t, minimal, "federation.weight_max=50")
	if w, err := p.WeightShare(50); w != 1 || err != nil {
		t.Errorf("50 of at most 50: %v, %v", w, err)
	}
	if w, err := p.WeightShare(51); w != 0 || err == nil {
		t.Errorf("51 of at most 50: %v, %v", w, err)
	}
}

func TestClampLoss(t *testing.T) {
	p := mustParse(t, minimal)
	for _, c := range []struct {
		in, out float64
		cut     bool
	}{{0, 0, false}, {1, 1, false}, {16, 16, false}, {16.1, 16, true}, {-1e-9, 0, true}, {math.Inf(1), 16, true}, {math.Inf(-1), 0, true}, {math.NaN(), 16, true}} {
		if out, cut := p.ClampLoss(c.in); out != c.out || cut != c.cut {
			t.Errorf("%v: %v, %v; want %v, %v", c.in, out, cut, c.out, c.cut)
		}
	}
}

func TestTasks(t *testing.T) {
	for _, c := range []struct {
		set         []string
		first, last uint64
		tasks       string
	}{
		{nil, 0, 3, "statistics train train evaluate"},
		{[]string{"data.standardise=site"}, 1, 3, "- train train evaluate"},
		{[]string{"evaluation.final=false"}, 0, 2, "statistics train train -"},
	} {
		p := mustParse(t, minimal, append(c.set, "federation.rounds=2")...)
		got := ""
		for r := range uint64(4) {
			task, ok := p.Task(r)
			word := "-"
			if ok {
				word = task.String()
				if back, err := ParseTask(word); back != task || err != nil {
					t.Errorf("%s reads back as %v, %v", word, back, err)
				}
			}
			got += word + " "
		}
		if got != c.tasks+" " || p.FirstRound() != c.first || p.LastRound() != c.last {
			t.Errorf("%v: %sfrom %d to %d, want %s from %d to %d", c.set, got, p.FirstRound(), p.LastRound(), c.tasks, c.first, c.last)
		}
	}
	if _, err := ParseTask("Train"); err == nil {
		t.Error(`"Train" is a task`)
	}
}

func TestCheckCharter(t *testing.T) {
	for _, c := range []struct {
		charter id.Charter
		set     string
		want    string
	}{
		{id.Charter{MinCohort: 5}, "seed=1", ""},
		{id.Charter{MinCohort: 4, AllowSmall: true}, "federation.min_branches=4", ""},
		{id.Charter{MinCohort: 6}, "seed=1", "federation.min_branches is 5; the charter asks for at least 6 branches\n        raise it: a plan cannot loosen the charter"},
		{id.Charter{MinCohort: 3}, "federation.min_branches=4", "federation.min_branches is 4; the charter does not allow cohorts below 5"},
		{id.Charter{MinCohort: 5, ModelFamilies: []string{"linear", "mlp"}}, "seed=1", "the charter does not allow the model family \"logreg\"\n        it allows linear or mlp"},
	} {
		got := ""
		if err := mustParse(t, minimal, c.set).CheckCharter(&c.charter); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}

func TestConfigDependsOnWhatItNames(t *testing.T) {
	base := mustParse(t, minimal)
	seen := map[id.ConfigHash]string{}
	add := func(what string, h id.ConfigHash) {
		if other, ok := seen[h]; ok {
			t.Errorf("%s and %s have one configuration", what, other)
		}
		seen[h] = what
	}
	add("statistics", base.Config(Statistics))
	add("train", base.Config(Train))
	add("evaluate", base.Config(Evaluate))
	for _, set := range []string{
		"federation.max_branches=64", "federation.clip=1", "federation.weights=batches", "federation.weight_max=10", "data.max_examples=99",
		"data.on_missing=drop_row", "data.standardise=none", "training.optimizer=adam", "training.learning_rate=0.5", "training.momentum=0.5",
		"training.batch=7", "training.steps=7", "evaluation.loss_bound=7", "data.target.positive_values=[no]",
		"training.weight_decay=0.5", "training.clip_norm=0.5", "training.schedule.warmup=7",
		"data.source=ward",
	} {
		add(set, mustParse(t, minimal, set).Config(Train))
	}
	more := func(set ...string) { add(fmt.Sprint(set), mustParse(t, minimal, set...).Config(Train)) }
	more("training.momentum=0.5", "training.nesterov=true")
	more("training.schedule.kind=step", "training.schedule.every=7")
	more("training.schedule.kind=step", "training.schedule.every=8")
	more("training.schedule.kind=step", "training.schedule.every=7", "training.schedule.gamma=0.5")
	more("training.schedule.kind=cosine")
	more("training.schedule.kind=cosine", "training.schedule.total=50")
	more("training.schedule.kind=cosine", "training.schedule.min=0.001")
	more("training.optimizer=rmsprop")
	more("training.optimizer=rmsprop", "training.alpha=0.5")
	more("training.optimizer=adam", "training.epsilon=0.5")
	more("model.class_weights=[1, 2]")
	more("model.label_smoothing=0.1")
	more("model.family=mlp", "model.hidden=[2]", "model.dropout=0.1")
	for _, set := range []string{"model.loss=mse", "model.loss=mae", "model.loss=huber", "data.series.length=5", "data.series.horizon=2", "data.series.stride=2"} {
		add("a series with "+set, mustParse(t, seriesPlan, set).Config(Train))
	}
	add("a series with another delta", mustParse(t, seriesPlan, "model.loss=huber", "model.huber_delta=2").Config(Train))
	for _, set := range []string{"model.units=3", "model.depth=2", "model.family=gru", "data.text.stride=2", "data.text.unknown=skip"} {
		add("text with "+set, mustParse(t, textPlan, set).Config(Train))
	}
	for _, set := range []string{"model.family=cnn", "model.family=resnet", "data.classes=[cat, dog, cow]", "data.image.width=10"} {
		add("images with "+set, mustParse(t, imagesPlan, set).Config(Train))
	}
	for _, layers := range []string{"{kind: conv2d, units: 2, kernel: 3}", "{kind: conv2d, units: 2, kernel: 3, padding: 1}", "{kind: residual, body: [{kind: dense, units: 3}]}", "{kind: residual, body: [{kind: dense, units: 3}, relu]}"} {
		add("images by "+layers, mustParse(t, imagesPlan, "model.family=layers", "model.layers=["+layers+", flatten, {kind: dense, units: 3}]").Config(Train))
	}
	// The name, the seed and deadlines are in the plan's hash, not here.
	for _, set := range []string{"name=other", "seed=9", "federation.start_grace=1s", "evaluation.final=false", "training.epochs=3", "training.validation=0.1"} {
		if mustParse(t, minimal, set).Config(Train) != base.Config(Train) {
			t.Errorf("%s changes the configuration of a round", set)
		}
	}
}

func TestSpec(t *testing.T) {
	src := edit(t, minimal, "type: binary, positive_values: [yes]", "type: class")
	src = edit(t, src, "[no, yes]", "[no, perhaps, yes]")
	p := mustParse(t, src, "model.family=mlp", "model.hidden=[4, 3]", "model.activation=tanh")
	want := fmt.Sprint(nn.Spec{Inputs: 1, Loss: nn.CrossEntropy, Layers: []nn.Layer{{Kind: nn.Dense, Units: 4}, {Kind: nn.Tanh}, {Kind: nn.Dense, Units: 3}, {Kind: nn.Tanh}, {Kind: nn.Dense, Units: 3}}})
	if got := fmt.Sprint(p.Spec()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a, err := p.InitialParams()
	if err != nil || len(a) != p.NumParams() || p.NumParams() != 8+15+12 {
		t.Fatalf("%d initial parameters of %d, %v", len(a), p.NumParams(), err)
	}
	b, _ := mustParse(t, minimal, "seed=1").InitialParams()
	c, _ := mustParse(t, minimal, "seed=2").InitialParams()
	d, _ := mustParse(t, minimal, "seed=1").InitialParams()
	if slices.Equal(b, c) || !slices.Equal(b, d) {
		t.Error("initial parameters are not a function of the seed")
	}
}

func TestStandardisation(t *testing.T) {
	s, err := NewStandardisation([]float64{4, 4, 1}, []float64{2, 1, 0.5}, []float64{1.5, 0.25, 0.25}, 1e-9)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Mean, []float64{0.5, 0.25, 0.5}) || !slices.Equal(s.Std, []float64{math.Sqrt(0.5 / 3), 0, 0}) {
		t.Errorf("got %+v", s)
	}
	got := make([]float32, 3)
	s.Apply(got, []float64{1, 1, 0})
	if want := float32(0.5 / (math.Sqrt(0.5/3) + 1e-9)); got[0] != want || got[1] != 0 || got[2] != 0 {
		t.Errorf("applied: %v, want [%v 0 0]", got, want)
	}
	(*Standardisation)(nil).Apply(got, []float64{1, 0.25, 0})
	if !slices.Equal(got, []float32{1, 0.25, 0}) {
		t.Errorf("none applied: %v", got)
	}
	for what, in := range map[string][3][]float64{
		"no values":         {{0}, {0}, {0}},
		"NaN values":        {{math.NaN()}, {0}, {0}},
		"infinite sum":      {{1}, {math.Inf(1)}, {0}},
		"NaN squares":       {{1}, {0}, {math.NaN()}},
		"different lengths": {{1, 1}, {1}, {1}},
	} {
		if s, err := NewStandardisation(in[0], in[1], in[2], 0); err == nil || s != nil {
			t.Errorf("%s: got %v, %v", what, s, err)
		}
	}
	for what, s := range map[string]*Standardisation{
		"too short":          {Mean: []float64{1}, Std: []float64{1}},
		"negative deviation": {Mean: []float64{1, 1}, Std: []float64{1, -1}},
		"NaN":                {Mean: []float64{1, math.NaN()}, Std: []float64{1, 1}},
		"infinite":           {Mean: []float64{1, 1}, Std: []float64{1, math.Inf(1)}},
	} {
		if s.Validate(2) == nil {
			t.Errorf("%s: is fine", what)
		}
	}
}

func TestFeatures(t *testing.T) {
	p := mustParse(t, `tacit: plan/v1
name: order
data:
  columns:
    - {name: c, type: categorical, values: [x, 1.50, z], drop_first: true}
    - {name: n, type: numeric, min: 0, max: 1}
    - {name: y, type: numeric, min: 0, max: 4}
    - {name: u, use: false}
    - {name: d, type: categorical, values: [p, q]}
    - {name: m, type: numeric, min: 0, max: 1}
  target: {column: y, type: binary, positive: "> 0"}
model: {family: logreg}
`)
	if got := fmt.Sprint(p.Data.FeatureNames()); got != "[n m c=1.5 c=z d=p d=q]" {
		t.Errorf("features %s", got)
	}
}

func TestParseNumber(t *testing.T) {
	for s, want := range map[string]float64{"0": 0, "-0": 0, "1": 1, "+1": 1, "-2.5": -2.5, ".5": 0.5, "5.": 5, "1e3": 1000, "1E-2": 0.01} {
		if got, ok := ParseNumber(s); !ok || got != want || math.Signbit(got) != math.Signbit(want) {
			t.Errorf("%q: %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", " 1", "1 ", "inf", "-Inf", "nan", "0x10", "1_000", "1,5", "1e999", "e", "--1", "١"} {
		if got, ok := ParseNumber(s); ok || got != 0 {
			t.Errorf("%q is the number %v", s, got)
		}
	}
}

func TestPositiveRule(t *testing.T) {
	for rule, want := range map[string]string{"> 1": "001", ">=1": "011", "< 1": "100", "<= 1.0": "110", "==1": "010", "!= 1": "101"} {
		r, err := ParsePositiveRule(rule)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
		}
		got := ""
		for _, x := range []float64{0, 1, 2} {
			if r.Match(x) {
				got += "1"
			} else {
				got += "0"
			}
		}
		if got != want {
			t.Errorf("%s of 0, 1, 2: %s, want %s", rule, got, want)
		}
	}
	for _, rule := range []string{"", "1", ">", "> x", "=> 1", "= 1", "> nan", ">> 1"} {
		if r, err := ParsePositiveRule(rule); err == nil {
			t.Errorf("%q is the rule %v", rule, r)
		}
	}
}
