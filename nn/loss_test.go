package nn

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// lossSpecs have every loss with every option.
func lossSpecs() map[string]Spec {
	net := func(out int) []Layer {
		return []Layer{{Kind: Dense, Units: 6}, {Kind: Tanh}, {Kind: Dense, Units: out}}
	}
	sequence := func(out int) Spec { return Spec{Inputs: 12, Shape: []int{3, 4}, Layers: net(out)} }
	with := func(s Spec, loss string, weights []float64, smoothing float64) Spec {
		s.Loss, s.ClassWeights, s.LabelSmoothing = loss, weights, smoothing
		return s
	}
	table := func(out int) Spec { return Spec{Inputs: 5, Layers: net(out)} }
	two, four := []float64{0.3, 2.5}, []float64{1.5, 0.2, 3, 1}
	return map[string]Spec{
		"mae":                             with(table(3), MAE, nil, 0),
		"mae of a sequence":               with(sequence(2), MAE, nil, 0),
		"huber":                           with(table(3), Huber, nil, 0),
		"huber, delta":                    {Inputs: 5, Layers: net(2), Loss: Huber, Delta: 0.37},
		"cox":                             with(table(1), Cox, nil, 0),
		"cox, linear":                     {Inputs: 3, Layers: []Layer{{Kind: Dense, Units: 1, NoBias: true}}, Loss: Cox},
		"classes, weights":                with(table(4), CrossEntropy, four, 0),
		"classes, smoothing":              with(table(4), CrossEntropy, nil, 0.15),
		"classes, both":                   with(table(4), CrossEntropy, four, 0.15),
		"two classes, both":               with(table(2), CrossEntropy, two, 0.2),
		"binary, weights":                 with(table(1), BinaryCrossEntropy, two, 0),
		"binary, smoothing":               with(table(1), BinaryCrossEntropy, nil, 0.2),
		"binary, both":                    with(table(1), BinaryCrossEntropy, two, 0.2),
		"sequence of classes, weights":    with(sequence(4), CrossEntropy, four, 0),
		"sequence of classes, smoothing":  with(sequence(4), CrossEntropy, nil, 0.1),
		"sequence of classes, both":       with(sequence(4), CrossEntropy, four, 0.1),
		"sequence of binary labels":       with(sequence(1), BinaryCrossEntropy, nil, 0),
		"sequence of binary labels, both": with(sequence(1), BinaryCrossEntropy, two, 0.3),
	}
}

// refLosses gives each example's loss ℓ_i for outputs z; refMean joins them as the
// spec's mean loss does. Under Cox an event's term stands for its example's, so that
// their mean is the loss.
func refLosses(s Spec, z []float64, labels []int32, targets []float64, batch int) []float64 {
	out := len(z) / batch
	losses := make([]float64, batch)
	if s.Loss == Cox {
		return refCox(z, targets)
	}
	for i := range batch {
		v := z[i*out:][:out]
		if s.Loss == BinaryCrossEntropy || s.Loss == CrossEntropy {
			rows := len(labels) / batch
			c := out / rows
			for r := range rows {
				losses[i] += refEntropy(s, v[r*c:][:c], labels[i*rows+r]) / float64(rows)
			}
			continue
		}
		for j, y := range v {
			d := math.Abs(y - targets[i*out+j])
			switch s.Loss {
			case MSE:
				d *= d
			case MAE:
			case Huber:
				delta := s.Delta
				if delta == 0 {
					delta = 1
				}
				if d <= delta {
					d = d * d / 2
				} else {
					d = delta * (d - delta/2)
				}
			default:
				panic("no reference of loss " + s.Loss)
			}
			losses[i] += d / float64(out)
		}
	}
	return losses
}

func refEntropy(s Spec, z []float64, label int32) float64 {
	if s.Loss == BinaryCrossEntropy {
		z = []float64{0, z[0]}
	}
	sum, all := 0.0, 0.0
	for _, v := range z {
		sum += math.Exp(v)
	}
	for c, v := range z {
		w := 1.0
		if s.ClassWeights != nil {
			w = s.ClassWeights[c]
		}
		if int32(c) == label {
			all += (1 - s.LabelSmoothing) * w * (math.Log(sum) - v)
		}
		all += s.LabelSmoothing / float64(len(z)) * w * (math.Log(sum) - v)
	}
	return all
}

// refCox is the formula: a sum over the risk set for each event.
func refCox(z, targets []float64) []float64 {
	n := len(z)
	losses, events := make([]float64, n), 0.0
	for i := range n {
		if targets[2*i+1] != 1 {
			continue
		}
		events++
		risk := 0.0
		for j := range n {
			if targets[2*j] >= targets[2*i] {
				risk += math.Exp(z[j])
			}
		}
		losses[i] = math.Log(risk) - z[i]
	}
	for i := range losses {
		if events > 0 {
			losses[i] *= float64(n) / events
		}
	}
	return losses
}

// refMean is the spec's mean loss over a batch: Σ ℓ_i / n, or by the weights of the
// labels' classes.
func refMean(s Spec, losses []float64, labels []int32) float64 {
	sum := 0.0
	for _, l := range losses {
		sum += l
	}
	if s.ClassWeights == nil {
		return sum / float64(len(losses))
	}
	rows, weight := float64(len(labels)/len(losses)), 0.0
	for _, l := range labels {
		weight += s.ClassWeights[l]
	}
	return sum * rows / weight
}

func TestEveryLossIsJudged(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range specs() {
		seen[s.Loss] = true
	}
	for _, l := range Losses() {
		if !seen[l] {
			t.Errorf("%s stands in no spec of the tests", l)
		}
	}
}

// Class weights and smoothing of nothing leave the loss and its error as they are,
// bit by bit.
func TestUnitWeights(t *testing.T) {
	for name, s := range specs() {
		if s.Loss != CrossEntropy && s.Loss != BinaryCrossEntropy || s.ClassWeights != nil || s.LabelSmoothing != 0 {
			continue
		}
		g, err := s.graph()
		if err != nil {
			t.Fatal(err)
		}
		weighted := s
		weighted.ClassWeights = slices.Repeat([]float64{1}, max(2, g.out[len(g.out)-1]))
		o := Options{Batch: 7, Seed: 1}
		p, q := compile(t, s, o), compile(t, weighted, o)
		b := randomBatch(rand.New(rand.NewPCG(1, 2)), s, 7)
		m1, err1 := p.Gradient(b)
		m2, err2 := q.Gradient(b)
		if err1 != nil || err2 != nil || m1 != m2 || digest(p.Grad()) != digest(q.Grad()) {
			t.Errorf("%s: %+v, %+v, %v, %v", name, m1, m2, err1, err2)
		}
	}
}

// A binary entropy is the cross entropy of the logits 0 and z.
func TestBinaryIsTwoClasses(t *testing.T) {
	for _, o := range []Spec{{}, {ClassWeights: []float64{0.3, 2.5}}, {LabelSmoothing: 0.2}, {ClassWeights: []float64{4, 0.5}, LabelSmoothing: 0.7}} {
		one, two := o, o
		one.Inputs, one.Layers, one.Loss = 1, []Layer{{Kind: Dense, Units: 1, NoBias: true}}, BinaryCrossEntropy
		two.Inputs, two.Layers, two.Loss = 1, []Layer{{Kind: Dense, Units: 2, NoBias: true}}, CrossEntropy
		p, q := compile(t, one, Options{Batch: 64}), compile(t, two, Options{Batch: 64})
		if err := p.Load([]float32{1}); err != nil {
			t.Fatal(err)
		}
		if err := q.Load([]float32{0, 1}); err != nil {
			t.Fatal(err)
		}
		b := Batch{X: []float32{0, 1, -1, 3, -3, 20, -20, 80, -80}, Labels: []int32{0, 1, 0, 0, 1, 1, 0, 0, 1}}
		m1, err1 := p.Gradient(b)
		m2, err2 := q.Gradient(b)
		if err1 != nil || err2 != nil || math.Abs(m1.Loss()-m2.Loss()) > 1e-6*m1.Loss() || m1.Correct != m2.Correct || m1.Weight != m2.Weight {
			t.Errorf("%+v, %+v, %v, %v", m1, m2, err1, err2)
		}
		near(t, "grad", p.Grad(), widen(q.Grad()[1:]), 1e-6)
	}
}

// Metrics of parts add to those of the whole, and so do their weights.
func TestWeightedMetricsAdd(t *testing.T) {
	s := lossSpecs()["classes, both"]
	p := compile(t, s, Options{Batch: 8})
	b := randomBatch(rand.New(rand.NewPCG(3, 4)), s, 8)
	all, err := p.Evaluate(b)
	if err != nil {
		t.Fatal(err)
	}
	var sum Metrics
	weight := 0.0
	for i := range 8 {
		m, err := p.Evaluate(row(s, b, i))
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(m)
		weight += s.ClassWeights[b.Labels[i]]
	}
	if sum != all || all.Weight != weight || all.Examples != 8 {
		t.Errorf("%+v, %+v, weight %v", sum, all, weight)
	}
	losses := make([]float64, 8)
	if m, err := p.Losses(losses, b); err != nil || m != all {
		t.Errorf("%+v, %+v, %v", m, all, err)
	}
}

// coxProgram gives its input as its output.
func coxProgram(t testing.TB, batch int) *Program {
	p := compile(t, Spec{Inputs: 1, Layers: []Layer{{Kind: Dense, Units: 1, NoBias: true}}, Loss: Cox}, Options{Batch: batch})
	if err := p.Load([]float32{1}); err != nil {
		t.Fatal(err)
	}
	return p
}

// Loss and error against the formula, its derivative written out for each output:
// many sizes, many ties, no ties, and outputs that overflow when taken alone.
func TestCox(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for trial := range 400 {
		n := 1 + r.IntN(70)
		p := coxProgram(t, n)
		b := Batch{X: make([]float32, n), Targets: make([]float32, 2*n)}
		spread := []float64{1, 8, 200}[trial%3] // e^200 is no float32
		for i := range n {
			b.X[i] = float32(r.NormFloat64() * spread)
			b.Targets[2*i], b.Targets[2*i+1] = float32(r.IntN(1+n*(trial%4)))-3, float32(r.IntN(2))
		}
		z, y := widen(b.X), widen(b.Targets)
		events := 0.0
		for i := range n {
			events += y[2*i+1]
		}
		loss, grad := 0.0, make([]float64, n)
		for i := range n {
			if y[2*i+1] == 0 {
				continue
			}
			most, risk := math.Inf(-1), 0.0
			for j := range n {
				if y[2*j] >= y[2*i] {
					most = max(most, z[j])
				}
			}
			for j := range n {
				if y[2*j] >= y[2*i] {
					risk += math.Exp(z[j] - most)
				}
			}
			loss += (math.Log(risk) + most - z[i]) / events
			grad[i] -= 1 / events
			for j := range n {
				if y[2*j] >= y[2*i] {
					grad[j] += math.Exp(z[j]-most) / risk / events
				}
			}
		}
		m, err := p.Gradient(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.Examples != int64(n) || m.Weight != events || math.Abs(m.Loss()-loss) > 1e-12*(1+loss) || m.LossSum < 0 {
			t.Fatalf("%+v, want a loss of %v over %v events", m, loss, events)
		}
		near(t, "error", p.net.last().dy[:n], grad, 1e-7)
		// The same rows in parts, too many for one pass.
		if some, err := coxProgram(t, 1+n/3).Evaluate(b); err != nil || some != m {
			t.Fatalf("in parts %+v, want %+v (%v)", some, m, err)
		}
	}
}

// A batch in which nothing happens says nothing.
func TestCoxWithoutEvents(t *testing.T) {
	p := compile(t, Spec{Inputs: 2, Layers: []Layer{{Kind: Dense, Units: 1}}, Loss: Cox}, Options{Batch: 4, Optimizer: NewSGD(1, 0)})
	before := digest(stored(t, p))
	p.grad[0] = 7
	m, err := p.Step(Batch{X: make([]float32, 6), Targets: []float32{1, 0, 2, 0, 3, 0}})
	if err != nil || m.Loss() != 0 || m.Weight != 0 || m.Examples != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	if digest(stored(t, p)) != before {
		t.Error("the parameters moved")
	}
	// It adds nothing to a batch in which something does.
	some, err := p.Evaluate(Batch{X: []float32{1, 2, 3, 4}, Targets: []float32{1, 1, 2, 0}})
	if err != nil {
		t.Fatal(err)
	}
	want := some.Loss()
	if some.Add(m); some.Loss() != want {
		t.Errorf("loss %v, want %v", some.Loss(), want)
	}
}

func TestCoxErrors(t *testing.T) {
	p := compile(t, Spec{Inputs: 1, Layers: []Layer{{Kind: Dense, Units: 1}}, Loss: Cox}, Options{Batch: 4, Optimizer: NewSGD(1, 0)})
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		targets []float32
		want    string
	}{
		{[]float32{1, 1}, "targets have shape [2], want [2,2]"},
		{[]float32{1, 1, 2, 2}, "the event of example 1 is 2, want 0 (censored) or 1"},
		{[]float32{1, nan, 2, 0}, "the event of example 0 is NaN"},
		{[]float32{1, 0.5, 2, 0}, "the event of example 0 is 0.5"},
		{[]float32{1, 1, inf, 0}, "the time of example 1 is +Inf, want a finite number"},
		{[]float32{nan, 1, 1, 0}, "the time of example 0 is NaN"},
	} {
		b := Batch{X: make([]float32, 2), Targets: c.targets}
		for _, err := range []error{second(p.Step(b)), second(p.Evaluate(b))} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		}
	}
	b := Batch{X: make([]float32, 1), Targets: []float32{1, 1}}
	for _, err := range []error{second(p.ClippedGradSum(make([]float32, 2), make([]float64, 1), b, 1)), second(p.Losses(make([]float64, 1), b))} {
		if err == nil || !strings.Contains(err.Error(), "cox loss compares examples") {
			t.Error(err)
		}
	}
}

// At the edges of the pieces, and far out.
func TestAbsoluteLosses(t *testing.T) {
	for _, c := range []struct {
		loss        string
		delta, e    float64
		value, grad float64
	}{
		{MAE, 0, 2.5, 2.5, 1}, {MAE, 0, -2.5, 2.5, -1}, {MAE, 0, 0, 0, 0}, {MAE, 0, 1e30, float64(float32(1e30)), 1},
		{Huber, 0, 0.5, 0.125, 0.5}, {Huber, 0, 1, 0.5, 1}, {Huber, 0, -3, 2.5, -1}, {Huber, 0, 0, 0, 0},
		{Huber, 2, 1, 0.5, 1}, {Huber, 2, -2, 2, -2}, {Huber, 2, 4, 6, 2}, {Huber, 0.5, 0x1p100, 0x1p99 - 0.125, 0.5},
	} {
		p := compile(t, Spec{Inputs: 1, Layers: []Layer{{Kind: Dense, Units: 1, NoBias: true}}, Loss: c.loss, Delta: c.delta}, Options{Batch: 1})
		if err := p.Load([]float32{1}); err != nil {
			t.Fatal(err)
		}
		m, err := p.Gradient(Batch{X: []float32{float32(c.e)}, Targets: []float32{0}})
		if d := p.net.last().dy[0]; err != nil || m.LossSum != c.value || d != float32(c.grad) {
			t.Errorf("%s(%v), delta %v: %v, error %v, want %v, %v (%v)", c.loss, c.e, c.delta, m.LossSum, d, c.value, c.grad, err)
		}
	}
}

func TestLossOptionsValidate(t *testing.T) {
	nan := math.NaN()
	table := func(out int, loss string, weights []float64, smoothing, delta float64) Spec {
		return Spec{Inputs: 3, Layers: []Layer{{Kind: Dense, Units: out}}, Loss: loss, ClassWeights: weights, LabelSmoothing: smoothing, Delta: delta}
	}
	for _, c := range []struct {
		s    Spec
		want string
	}{
		{table(2, Cox, nil, 0, 0), "layer 0 (dense): shape [2] does not fit cox, want [1]"},
		{table(2, MSE, []float64{1, 1}, 0, 0), "mse has no class weights"},
		{table(2, MSE, []float64{}, 0, 0), "mse has no class weights"},
		{table(3, CrossEntropy, []float64{1, 1}, 0, 0), "2 class weights, want 3"},
		{table(3, CrossEntropy, []float64{}, 0, 0), "0 class weights, want 3"},
		{table(1, BinaryCrossEntropy, []float64{1}, 0, 0), "1 class weights, want 2"},
		{table(2, CrossEntropy, []float64{1, 0}, 0, 0), "the weight of class 1 is 0, want 1e-06 to 1e+06"},
		{table(2, CrossEntropy, []float64{nan, 1}, 0, 0), "the weight of class 0 is NaN"},
		{table(2, CrossEntropy, []float64{1, 1e-9}, 0, 0), "the weight of class 1 is 1e-09"},
		{table(2, CrossEntropy, []float64{math.Inf(1), 1}, 0, 0), "the weight of class 0 is +Inf"},
		{table(2, CrossEntropy, nil, 1, 0), "label smoothing is 1, want from 0 to below 1"},
		{table(2, CrossEntropy, nil, -0.1, 0), "label smoothing is -0.1"},
		{table(2, CrossEntropy, nil, nan, 0), "label smoothing is NaN"},
		{table(2, MAE, nil, 0.1, 0), "label smoothing is 0.1"},
		{table(2, MAE, nil, 0, 1), "delta is 1, want 1e-30 to 1e+30, and only with huber"},
		{table(2, Huber, nil, 0, -1), "delta is -1"},
		{table(2, Huber, nil, 0, nan), "delta is NaN"},
		{table(2, Huber, nil, 0, 1e-40), "delta is 1e-40"},
	} {
		if err := c.s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// A Program shares no slice with the Spec it was made from.
func TestSpecIsCopied(t *testing.T) {
	s := lossSpecs()["sequence of classes, both"]
	p := compile(t, s, Options{Batch: 2})
	s.ClassWeights[0], s.Shape[0] = -1, 99
	if want := lossSpecs()["sequence of classes, both"]; !reflect.DeepEqual(p.Spec(), want) {
		t.Errorf("%+v", p.Spec())
	}
}
