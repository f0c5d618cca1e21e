package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// normSpecs stand in specs: every norm on every shape, inside and first.
func normSpecs() map[string]Spec {
	dense := func(n int) Layer { return Layer{Kind: Dense, Units: n} }
	out := map[string]Spec{
		"batch norm of features": {Inputs: 4, Loss: CrossEntropy, Layers: []Layer{dense(6), {Kind: BatchNorm}, {Kind: Tanh}, dense(3)}},
		"batch norm first":       {Inputs: 4, Loss: MSE, Layers: []Layer{{Kind: BatchNorm, Epsilon: 0.01, Momentum: 0.5}, dense(2)}},
		"batch norm of a sequence": {Inputs: 12, Shape: []int{4, 3}, Loss: CrossEntropy,
			Layers: []Layer{dense(5), {Kind: BatchNorm}, {Kind: Tanh}, {Kind: BatchNorm}, dense(2)}},
		"batch norm of images": {Inputs: 40, Shape: []int{5, 4, 2}, Loss: CrossEntropy, Layers: []Layer{
			{Kind: Conv2D, Units: 3, Kernel: [2]int{2, 2}, NoBias: true}, {Kind: BatchNorm}, {Kind: Tanh},
			{Kind: Residual, Body: []Layer{{Kind: Conv2D, Units: 3, Kernel: [2]int{3, 3}, Padding: [2]int{1, 1}}, {Kind: BatchNorm}}},
			{Kind: Flatten}, {Kind: BatchNorm}, dense(2)}},
		"batch norm of many channels": {Inputs: 3, Loss: MSE, Layers: []Layer{dense(71), {Kind: BatchNorm}, dense(2)}},
		"group norm of features":      {Inputs: 4, Loss: CrossEntropy, Layers: []Layer{dense(6), {Kind: GroupNorm, Groups: 2}, {Kind: Tanh}, dense(3)}},
		"group norm first":            {Inputs: 6, Loss: MSE, Layers: []Layer{{Kind: GroupNorm, Groups: 1, Epsilon: 0.01}, dense(2)}},
		"group norm of a sequence": {Inputs: 12, Shape: []int{4, 3}, Loss: CrossEntropy,
			Layers: []Layer{dense(6), {Kind: GroupNorm, Groups: 3}, {Kind: Tanh}, {Kind: GroupNorm, Groups: 6}, dense(2)}},
		"group norm of images": {Inputs: 40, Shape: []int{5, 4, 2}, Loss: CrossEntropy, Layers: []Layer{
			{Kind: Conv2D, Units: 4, Kernel: [2]int{2, 2}}, {Kind: GroupNorm, Groups: 2}, {Kind: Tanh},
			{Kind: Residual, Body: []Layer{{Kind: Conv2D, Units: 4, Kernel: [2]int{3, 3}, Padding: [2]int{1, 1}}, {Kind: GroupNorm, Groups: 4}}},
			{Kind: GlobalAvgPool}, dense(2)}},
		"group norm of many channels": {Inputs: 3, Loss: MSE, Layers: []Layer{dense(140), {Kind: GroupNorm, Groups: 2}, dense(2)}},
	}
	return out
}

// refBatchNorm normalises by the batch, as training does.
func refBatchNorm(n *node, w [][]float64, x []float64, _ int) []float64 {
	c := n.in[len(n.in)-1]
	rows := len(x) / c
	mean, variance := make([]float64, c), make([]float64, c)
	for i, v := range x {
		mean[i%c] += v / float64(rows)
	}
	for i, v := range x {
		variance[i%c] += (v - mean[i%c]) * (v - mean[i%c]) / float64(rows)
	}
	return refNormalise(n, w, x, func(i int) (float64, float64) { return mean[i%c], variance[i%c] })
}

// refNormalise is a norm whose value i has the mean and variance that stat gives.
func refNormalise(n *node, w [][]float64, x []float64, stat func(i int) (mean, variance float64)) []float64 {
	c := n.in[len(n.in)-1]
	epsilon := n.layer.Epsilon
	if epsilon == 0 {
		epsilon = 1e-5
	}
	y := make([]float64, len(x))
	for i, v := range x {
		mean, variance := stat(i)
		y[i] = w[0][i%c]*(v-mean)/math.Sqrt(variance+epsilon) + w[1][i%c]
	}
	return y
}

func refGroupNorm(n *node, w [][]float64, x []float64, _ int) []float64 {
	c, example := n.in[len(n.in)-1], size(n.in)
	wide := c / n.layer.Groups
	group := func(i int) int { return i/example*n.layer.Groups + i%c/wide }
	values := map[int][]float64{}
	for i, v := range x {
		values[group(i)] = append(values[group(i)], v)
	}
	type pair struct{ mean, variance float64 }
	stats := map[int]pair{}
	for k, all := range values {
		var p pair
		for _, v := range all {
			p.mean += v / float64(len(all))
		}
		for _, v := range all {
			p.variance += (v - p.mean) * (v - p.mean) / float64(len(all))
		}
		stats[k] = p
	}
	return refNormalise(n, w, x, func(i int) (float64, float64) { p := stats[group(i)]; return p.mean, p.variance })
}

// refEval is refChain as the network is used after training: with running statistics.
func refEval(nodes []*node, params, x []float64, batch int) []float64 {
	old := refLayers[BatchNorm]
	defer func() { refLayers[BatchNorm] = old }()
	refLayers[BatchNorm] = func(n *node, w [][]float64, x []float64, _ int) []float64 {
		c := n.in[len(n.in)-1]
		return refNormalise(n, w, x, func(i int) (float64, float64) { return w[2][i%c], w[3][i%c] })
	}
	return refChain(nodes, params, x, batch)
}

// perturbed returns p with parameters off their beginnings: γ = 1 and β = 0 hide
// mistakes. Variances stay above zero.
func perturbed(t *testing.T, s Spec, o Options) *Program {
	t.Helper()
	p := compile(t, s, o)
	r := rand.New(rand.NewPCG(41, 42))
	w := stored(t, p)
	for _, e := range p.Layout() {
		for i := range w[e.Offset:][:e.Len] {
			w[e.Offset+i] += float32(r.Float64()*0.8 - 0.4)
		}
	}
	if err := p.Load(w); err != nil {
		t.Fatal(err)
	}
	return p
}

// Running statistics move by a step that succeeds and by nothing else; prediction uses
// them, and a batch does not matter to it.
func TestBatchNormStatistics(t *testing.T) {
	s := Spec{Inputs: 2, Loss: MSE, Layers: []Layer{{Kind: BatchNorm, Momentum: 0.25}, {Kind: Dense, Units: 1}}}
	p := compile(t, s, Options{Batch: 4, Optimizer: NewAdam(1e-3)})
	stats := func() []float32 { return stored(t, p)[4:8] }
	if got := stats(); !slices.Equal(got, []float32{0, 0, 1, 1}) {
		t.Fatalf("%v at first", got)
	}
	// Means 2 and 1, variances by n−1 of 20/3 and 16/3.
	good := Batch{X: []float32{-1, -1, 1, 3, 3, -1, 5, 3}, Targets: make([]float32, 4)}
	nan := float32(math.NaN())
	bad := Batch{X: append([]float32{nan}, good.X[1:]...), Targets: good.Targets}
	odd := Batch{X: good.X, Targets: []float32{0, nan, 0, 0}}
	still := func(what string, err error, fails bool) {
		t.Helper()
		if (err != nil) != fails || !slices.Equal(stats(), []float32{0, 0, 1, 1}) {
			t.Errorf("%s: %v, statistics %v", what, err, stats())
		}
	}
	_, err := p.Step(bad)
	still("a step with a NaN", err, true)
	_, err = p.Step(odd)
	still("a step whose loss is NaN", err, true)
	_, err = p.Gradient(good)
	still("a gradient", err, false)
	_, err = p.Evaluate(good)
	still("an evaluation", err, false)
	still("a prediction", p.Predict(make([]float32, 4), good.X), false)
	still("an input gradient", p.InputGradient(make([]float32, 8), good.X, 0), false)
	if _, err := p.Step(good); err != nil {
		t.Fatal(err)
	}
	near(t, "statistics", stats(), []float64{0.5, 0.25, 0.75 + 0.25*20/3, 0.75 + 0.25*16/3}, 1e-7)
	for i, g := range p.Grad()[4:8] {
		if g != 0 {
			t.Errorf("a gradient of running statistic %d: %v", i, g)
		}
	}
	// Of one value there is no variance: the mean moves alone, the output is β.
	if _, err := p.Step(Batch{X: []float32{8, -8}, Targets: []float32{1}}); err != nil {
		t.Fatal(err)
	}
	near(t, "statistics of one", stats(), []float64{0.375 + 2, 0.1875 - 2, 0.75 + 0.25*20/3, 0.75 + 0.25*16/3}, 1e-7)
	for i, g := range p.Grad()[:2] {
		if g != 0 {
			t.Errorf("∂γ_%d = %v of one value", i, g)
		}
	}
	// Huge values overflow no statistic for good.
	huge := Batch{X: []float32{1e30, -1e30, -1e30, 1e30}, Targets: make([]float32, 2)}
	if _, err := p.Step(huge); err != nil {
		t.Fatal(err)
	}
	if i := nonFinite(stats()); i >= 0 {
		t.Errorf("statistics %v", stats())
	}
	if _, err := p.Step(good); err != nil {
		t.Fatal(err)
	}
	p.Init(1)
	if !slices.Equal(stats(), []float32{0, 0, 1, 1}) {
		t.Error("Init leaves statistics")
	}
}

// Inside a residual too, commit is reached.
func TestBatchNormInResidual(t *testing.T) {
	s := normSpecs()["batch norm of images"]
	p := compile(t, s, Options{Batch: 4, Optimizer: NewSGD(0.1, 0)})
	b := randomBatch(rand.New(rand.NewPCG(43, 44)), s, 4)
	before := stored(t, p)
	if _, err := p.Step(b); err != nil {
		t.Fatal(err)
	}
	after := stored(t, p)
	for _, e := range p.Layout() {
		if e.Kind == Buffer && slices.Equal(after[e.Offset:][:e.Len], before[e.Offset:][:e.Len]) {
			t.Errorf("%s stayed", e.Name)
		}
	}
}

func TestBatchNormIsRefusedUnderClipping(t *testing.T) {
	for name, s := range normSpecs() {
		p := compile(t, s, Options{Batch: 4})
		b := randomBatch(rand.New(rand.NewPCG(45, 46)), s, 4)
		_, err := p.ClippedGradSum(make([]float32, p.NumParams()), make([]float64, 4), b, 1)
		if !strings.HasPrefix(name, "batch") {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "(batch_norm) normalises each example by the others of its batch") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Per-example gradients of group norms with γ and β off their beginnings, and an
// example whose statistics are not finite: it adds nothing.
func TestGroupNormClipped(t *testing.T) {
	for name, s := range normSpecs() {
		if !strings.HasPrefix(name, "group") {
			continue
		}
		p, one := perturbed(t, s, Options{Batch: 5}), perturbed(t, s, Options{Batch: 1})
		b := randomBatch(rand.New(rand.NewPCG(47, 48)), s, 5)
		b.X[2*s.Inputs] = float32(math.Inf(1))
		sum, norms := make([]float32, p.NumParams()), make([]float64, 5)
		const clip = 0.3
		if _, err := p.ClippedGradSum(sum, norms, b, clip); err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(sum))
		for i := range 5 {
			if i == 2 {
				if !math.IsInf(norms[i], 1) {
					t.Errorf("%s: norm %v of an infinite example", name, norms[i])
				}
				continue
			}
			if _, err := one.Gradient(row(s, b, i)); err != nil {
				t.Fatal(err)
			}
			square := 0.0
			for _, g := range one.Grad() {
				square += float64(g) * float64(g)
			}
			near(t, name+": norm", narrow(norms[i:i+1]), []float64{math.Sqrt(square)}, 3e-6)
			for j, g := range one.Grad() {
				want[j] += float64(g) * min(1, clip*(1-ClipMargin)/math.Sqrt(square))
			}
		}
		near(t, name, sum, want, 3e-6)
	}
}

// The running statistics stay finite, and a group norm, with values near the ends of
// float32; equal values give β.
func TestNormExtremes(t *testing.T) {
	for _, l := range []Layer{{Kind: BatchNorm}, {Kind: GroupNorm, Groups: 1}} {
		o, n, params, w := guardedOp(t, []int{3, 2}, l, 2, 2)
		for _, e := range n.entries[1:2] {
			params[e.Offset], params[e.Offset+1] = 7, -9
		}
		y := make([]float32, 12)
		o.forward(y, slices.Repeat([]float32{3e38}, 12), w.n, w)
		if !slices.Equal(y, slices.Repeat([]float32{7, -9}, 6)) {
			t.Errorf("%s of equal values: %v", l.Kind, y)
		}
		o.forward(y, slices.Repeat([]float32{1.5e38, -1.5e38, -1.5e38, 1.5e38}, 3), w.n, w)
		if nonFinite(y) >= 0 {
			t.Errorf("%s of great values: %v", l.Kind, y)
		}
	}
}
