package nn

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// dropoutNet is a Dense, a Dropout and another Dense.
func dropoutNet(rate float64) Spec {
	return Spec{Inputs: 4, Layers: []Layer{{Kind: Dense, Units: 6}, {Kind: Tanh}, {Kind: Dropout, Rate: rate}, {Kind: Dense, Units: 3}}, Loss: MSE}
}

// masks returns what each dropout of p multiplies by in the step after so many, for
// width values of n examples.
func masks(p *Program, step uint64, n, width int) [][]float32 {
	ones := make([]float32, n*width)
	for i := range ones {
		ones[i] = 1
	}
	var out [][]float32
	for _, u := range p.net.units {
		if d, ok := u.op.(*dropout); ok {
			y := make([]float32, len(ones))
			w := alone(n, true, nil)
			w.step = step
			d.forward(y, ones, n, w)
			out = append(out, y)
		}
	}
	return out
}

// The share of zeros lies within five standard deviations of the binomial
// distribution, as do coincidences of neighbours, steps, layers and seeds: which
// values pass is as good as independent.
func TestDropoutRate(t *testing.T) {
	const n = 400_000
	for _, rate := range []float64{0.05, 0.1, 0.5, 0.8, 0.99} {
		s := Spec{Inputs: 3, Layers: []Layer{{Kind: Dense, Units: 3}, {Kind: Dropout, Rate: rate}, {Kind: Dropout, Rate: rate}}, Loss: MSE}
		p, q := compile(t, s, Options{Batch: 1, Seed: 7}), compile(t, s, Options{Batch: 1, Seed: 8})
		both := masks(p, 5, n, 1)
		first, second := both[0], both[1]
		keep := float32(1 / (1 - rate))
		zeros := 0
		for _, v := range first {
			if v == 0 {
				zeros++
			} else if v != keep {
				t.Fatalf("rate %v: %v passes, want %v", rate, v, keep)
			}
		}
		if d := math.Sqrt(n * rate * (1 - rate)); math.Abs(float64(zeros)-n*rate) > 5*d {
			t.Errorf("rate %v: %d of %d are zero", rate, zeros, n)
		}
		together := func(what string, a, b []float32) {
			t.Helper()
			count := 0
			for i := range a {
				if a[i] == 0 && b[i] == 0 {
					count++
				}
			}
			m := float64(len(a))
			if d := math.Sqrt(m * rate * rate * (1 - rate*rate)); math.Abs(float64(count)-m*rate*rate) > 6*d {
				t.Errorf("rate %v: %d of %v zero in both of %s, want %v ± %v", rate, count, m, what, m*rate*rate, d)
			}
		}
		together("neighbours", first[1:], first[:n-1])
		together("values 8 apart", first[8:], first[:n-8])
		together("values 64 apart", first[64:], first[:n-64])
		together("layers", first, second)
		together("steps", first, masks(p, 6, n, 1)[0])
		together("steps 2^32 apart", first, masks(p, 5+1<<32, n, 1)[0])
		together("seeds", first, masks(q, 5, n, 1)[0])
		if again := masks(p, 5, n, 1)[0]; digest(again) != digest(first) {
			t.Errorf("rate %v: the same step drops others", rate)
		}
	}
}

// Bits that must never change: a run goes on elsewhere with the same masks.
func TestDropoutBits(t *testing.T) {
	p := compile(t, dropoutNet(0.3), Options{Batch: 1, Seed: 42})
	if got, want := digest(masks(p, 1000, 100, 1)[0]), "b291b80d109aa1c8"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// Where nothing is trained, dropout is the identity.
func TestDropoutOff(t *testing.T) {
	p := compile(t, dropoutNet(0.5), Options{Batch: 4, Seed: 3})
	s := dropoutNet(0.5)
	s.Layers[2] = Layer{Kind: Flatten} // which changes nothing
	q := compile(t, s, Options{Batch: 4, Seed: 3})
	b := randomBatch(rand.New(rand.NewPCG(1, 2)), s, 4)
	if digest(stored(t, p)) != digest(stored(t, q)) {
		t.Fatal("dropout draws initial numbers")
	}
	for step := range uint64(3) {
		p.SetStep(step)
		y1, y2 := make([]float32, 12), make([]float32, 12)
		m1, err1 := p.Evaluate(b)
		m2, err2 := q.Evaluate(b)
		if err1 != nil || err2 != nil || m1 != m2 {
			t.Errorf("%+v, %+v", m1, m2)
		}
		if p.Predict(y1, b.X) != nil || q.Predict(y2, b.X) != nil || digest(y1) != digest(y2) {
			t.Error("predictions differ")
		}
		d1, d2 := make([]float32, 16), make([]float32, 16)
		if p.InputGradient(d1, b.X, 1) != nil || q.InputGradient(d2, b.X, 1) != nil || digest(d1) != digest(d2) {
			t.Error("input gradients differ")
		}
		m, err := p.Gradient(b)
		if err != nil || m == m1 {
			t.Errorf("training drops nothing: %+v (%v)", m, err)
		}
	}
}

// A step's gradient is that of the network with the step's mask, against central
// differences in float64; the next step has another mask, and one restarted at a
// step the same.
func TestDropoutGradient(t *testing.T) {
	s := dropoutNet(0.4)
	const n = 5
	p := compile(t, s, Options{Batch: n, Seed: 3, Optimizer: NewSGD(1, 0)})
	b := randomBatch(rand.New(rand.NewPCG(11, 12)), s, n)
	seen := map[string]uint64{}
	for _, step := range []uint64{0, 1, 2, 1 << 40} {
		p.SetStep(step)
		mask := masks(p, step, n, 6)[0]
		if other, ok := seen[digest(mask)]; ok {
			t.Errorf("steps %d and %d drop the same values", other, step)
		}
		seen[digest(mask)] = step
		nodes := p.graph.nodes
		w, x, y := widen(stored(t, p)), widen(b.X), widen(b.Targets)
		mean := func() float64 {
			h := refChain(nodes[:2], w, x, n)
			for i := range h {
				h[i] *= float64(mask[i])
			}
			return refMean(s, refLosses(s, refChain(nodes[3:], w, h, n), nil, y, n), nil)
		}
		m, err := p.Gradient(b)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "loss", []float32{float32(m.Loss())}, []float64{mean()}, 1e-6)
		want := make([]float64, len(w))
		for i := range w {
			const h = 1e-5
			old := w[i]
			w[i] = old + h
			up := mean()
			w[i] = old - h
			want[i] = (up - mean()) / (2 * h)
			w[i] = old
		}
		near(t, "grad", p.Grad(), want, 1e-6)
		got := digest(p.Grad())
		before := stored(t, p)
		if _, err := p.Step(b); err != nil {
			t.Fatal(err)
		}
		for j, v := range stored(t, p) {
			w[j] = float64(before[j]) - float64(v)
		}
		near(t, "the step", narrow(w), want, 1e-6) // by a rate of 1: Step's mask is Gradient's
		if err := p.Load(before); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Gradient(b); err != nil || digest(p.Grad()) == got {
			t.Errorf("the next step has the same mask (%v)", err)
		}
		p.SetStep(step)
		if _, err := p.Gradient(b); err != nil || digest(p.Grad()) != got {
			t.Errorf("a step done again has another mask (%v)", err)
		}
	}
}

// Which values drop depends on an example's place in the batch: without the first
// example all others' gradients change, so no clipped sum is given.
func TestDropoutIsNotClipped(t *testing.T) {
	p := compile(t, dropoutNet(0.4), Options{Batch: 2})
	b := randomBatch(rand.New(rand.NewPCG(13, 14)), p.Spec(), 2)
	_, err := p.ClippedGradSum(make([]float32, p.NumParams()), make([]float64, 2), b, 1)
	if err == nil || !strings.Contains(err.Error(), "(dropout) drops by an example's place in the batch") {
		t.Error(err)
	}
}

// Whole training runs have the bits they had when the digests were written.
func TestDropoutRuns(t *testing.T) {
	for _, c := range []struct {
		s    Spec
		want string
	}{
		{dropoutNet(0.25), "70b53a0bce00a3d1"},
		{Spec{Inputs: 5, Layers: []Layer{{Kind: Dropout, Rate: 0.1}, {Kind: Dense, Units: 8}, {Kind: ReLU},
			{Kind: Residual, Body: []Layer{{Kind: Dropout, Rate: 0.5}, {Kind: Dense, Units: 8}, {Kind: Dropout, Rate: 0.5}}}, {Kind: Dense, Units: 3}}, Loss: CrossEntropy}, "385c58cfc5111ad0"},
	} {
		o := Options{Batch: 16, Seed: 42, Optimizer: NewAdam(0.01)}
		got := digest(trainRun(t, c.s, o, 30))
		if got != c.want {
			t.Errorf("digest %s, want %s", got, c.want)
		}
		if digest(trainRun(t, c.s, o, 30)) != got {
			t.Error("two runs of one seed differ")
		}
	}
}
