package nn

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// specs has every layer under every loss that it may stand under, as the first,
// an inner and, where allowed, the last layer; widths cross the kernels' edges.
func specs() map[string]Spec {
	out := map[string]Spec{
		"logreg":        LogReg(13),
		"mlp binary":    MLP(13, []int{19, 6}, 1),
		"mlp classes":   MLP(9, []int{33}, 5),
		"mlp wide":      MLP(40, []int{56, 48}, 3),
		"dense classes": {Inputs: 3, Layers: []Layer{{Kind: Dense, Units: 2}}, Loss: CrossEntropy},
	}
	out["residual"] = Spec{Inputs: 5, Layers: []Layer{
		{Kind: Dense, Units: 4},
		{Kind: Residual, Body: []Layer{{Kind: Dense, Units: 6}, {Kind: Tanh}, {Kind: Dense, Units: 4}}},
		{Kind: Residual, Body: []Layer{{Kind: ReLU}, {Kind: Residual, Body: []Layer{{Kind: Dense, Units: 3}}, Shortcut: []Layer{{Kind: Dense, Units: 3}}}}, Shortcut: []Layer{{Kind: Dense, Units: 3}, {Kind: Tanh}}},
		{Kind: Flatten}, {Kind: Dense, Units: 3}}, Loss: CrossEntropy}
	out["residual first"] = Spec{Inputs: 4, Layers: []Layer{{Kind: Residual, Body: []Layer{{Kind: Dense, Units: 4}}}, {Kind: Residual, Body: []Layer{{Kind: Tanh}}}, {Kind: Dense, Units: 2}}, Loss: MSE}
	for _, k := range []string{ReLU, Tanh, Sigmoid, Softmax} {
		out[k+" inner, classes"] = Spec{Inputs: 5, Layers: []Layer{{Kind: Dense, Units: 7}, {Kind: k}, {Kind: Dense, Units: 4}}, Loss: CrossEntropy}
		out[k+" inner, binary"] = Spec{Inputs: 5, Layers: []Layer{{Kind: Dense, Units: 17}, {Kind: k}, {Kind: k}, {Kind: Dense, Units: 1}}, Loss: BinaryCrossEntropy}
		out[k+" last, mse"] = Spec{Inputs: 4, Layers: []Layer{{Kind: Dense, Units: 6}, {Kind: k}}, Loss: MSE}
		out[k+" over a sequence, classes"] = Spec{Inputs: 15, Shape: []int{3, 5}, Layers: []Layer{{Kind: Dense, Units: 6}, {Kind: k}, {Kind: Dense, Units: 3, NoBias: true}}, Loss: CrossEntropy}
		out[k+" first, mse"] = Spec{Inputs: 4, Layers: []Layer{{Kind: k}, {Kind: Dense, Units: 3}}, Loss: MSE}
	}
	maps.Copy(out, sequenceSpecs())
	maps.Copy(out, attentionSpecs())
	maps.Copy(out, activationSpecs())
	maps.Copy(out, imageSpecs())
	maps.Copy(out, normSpecs())
	maps.Copy(out, lossSpecs())
	return out
}

func randomBatch(r *rand.Rand, s Spec, n int) Batch {
	b := Batch{X: make([]float32, n*s.Inputs)}
	for i := range b.X {
		b.X[i] = float32(r.NormFloat64())
		if l := s.Layers[0]; l.Kind == Embedding {
			b.X[i] = float32(r.IntN(l.Vocab))
		}
	}
	switch s.Loss {
	case MSE, MAE, Huber:
		b.Targets = make([]float32, n*s.Outputs())
		for i := range b.Targets {
			b.Targets[i] = float32(r.NormFloat64())
		}
		return b
	case Cox: // every second an event, at times of which some are the same
		b.Targets = make([]float32, n*2)
		for i := range n {
			b.Targets[2*i], b.Targets[2*i+1] = float32(r.IntN(n/2+1)), float32(i%2)
		}
		return b
	}
	g, err := s.graph()
	if err != nil {
		panic(err)
	}
	classes := max(2, g.out[len(g.out)-1])
	b.Labels = make([]int32, n*max(1, size(g.out[:len(g.out)-1])))
	for i := range b.Labels {
		b.Labels[i] = int32(r.IntN(classes))
	}
	return b
}

func compile(t testing.TB, s Spec, o Options) *Program {
	t.Helper()
	p, err := Compile(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The gradient against central differences of the float64 reference. With
// h = 1e-5 the differences are good to about 1e-9 (h² and 1e-16/h); the tolerance
// is float32's.
func TestFiniteDifferences(t *testing.T) {
	for name, s := range specs() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(11, 12))
			p := compile(t, s, Options{Batch: 6, Seed: 3})
			b := randomBatch(r, s, 5)
			m, err := p.Gradient(b)
			if err != nil {
				t.Fatal(err)
			}
			flat := make([]float32, p.NumParams())
			if err := p.Store(flat); err != nil {
				t.Fatal(err)
			}
			w, x, y := widen(flat), widen(b.X), widen(b.Targets)
			mean := func() float64 {
				return refMean(s, reference(s, w, x, b.Labels, y), b.Labels)
			}
			near(t, "loss", []float32{float32(m.Loss())}, []float64{mean()}, 1e-6)
			want := make([]float64, len(w))
			nonzero := 0
			for i := range w {
				const h = 1e-5
				old := w[i]
				w[i] = old + h
				up := mean()
				w[i] = old - h
				want[i] = (up - mean()) / (2 * h)
				w[i] = old
				if math.Abs(want[i]) > 1e-6 {
					nonzero++
				}
			}
			if nonzero < len(w)/4 {
				t.Fatalf("%d of %d derivatives are not zero", nonzero, len(w))
			}
			near(t, "grad", p.Grad(), want, 1e-6)
		})
	}
}

// ClippedGradSum against per-example gradients taken one by one.
func TestClippedGradSum(t *testing.T) {
	for name, s := range specs() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(13, 14))
			p := compile(t, s, Options{Batch: 9, Seed: 5})
			if p.mixes != "" {
				t.Skip(p.mixes)
			}
			single := compile(t, s, Options{Batch: 1, Seed: 5})
			const n = 9
			b := randomBatch(r, s, n)
			for _, clip := range []float64{0.05, 0.7, 1e9} {
				sum, norms := make([]float32, p.NumParams()), make([]float64, n)
				m, err := p.ClippedGradSum(sum, norms, b, clip)
				if err != nil {
					t.Fatal(err)
				}
				want := make([]float64, len(sum))
				clipped := 0
				for i := range n {
					one, err := single.Gradient(row(s, b, i))
					if err != nil {
						t.Fatal(err)
					}
					unit := one.Weight / float64(p.rows) // what the mean was divided by
					norm := 0.0
					for _, g := range single.Grad() {
						norm += float64(g) * float64(g)
					}
					norm = unit * math.Sqrt(norm)
					// Over an example's rows the norm is a bound, larger by some 2^-24 a row of
					// the rows' lengths.
					if norms[i] < norm*(1-1e-6) || norms[i] > norm*(1+3e-5) {
						t.Fatalf("norm[%d] = %v, want %v", i, norms[i], norm)
					}
					norm = norms[i] // what clips
					f := 1.0
					if c := clip * (1 - ClipMargin); norm > c {
						f = c / norm
						clipped++
					}
					for j, g := range single.Grad() {
						want[j] += f * unit * float64(g)
					}
				}
				if (clip < 0.1 && clipped < n/2) || (clip > 1e6 && clipped != 0) {
					t.Fatalf("clip %v: %d of %d clipped", clip, clipped, n)
				}
				near(t, "sum", sum, want, 3e-6)
				if all, err := p.Evaluate(b); err != nil || all != m {
					t.Fatalf("metrics %+v, want %+v (%v)", m, all, err)
				}
			}
		})
	}
}

func row(s Spec, b Batch, i int) Batch {
	out := Batch{X: b.X[i*s.Inputs:][:s.Inputs]}
	if b.Targets != nil {
		o := s.Outputs()
		out.Targets = b.Targets[i*o:][:o]
	} else {
		rows := len(b.Labels) / (len(b.X) / s.Inputs)
		out.Labels = b.Labels[i*rows:][:rows]
	}
	return out
}

// A damaged example moves the sum not at all: it has the bits of the sum without
// that row.
func TestClippedGradSumDamagedRow(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for name, s := range specs() {
		for _, v := range []float32{inf, -inf, nan, math.MaxFloat32, 0x1p65} {
			r := rand.New(rand.NewPCG(15, 16))
			p := compile(t, s, Options{Batch: 5, Seed: 6})
			if p.mixes != "" {
				continue
			}
			b := randomBatch(r, s, 5)
			sum, norms := make([]float32, p.NumParams()), make([]float64, 5)
			b.X[2*s.Inputs] = v
			m, err := p.ClippedGradSum(sum, norms, b, 0.5)
			if s.Layers[0].Kind == Embedding {
				if err == nil {
					t.Errorf("%s: token id %v is taken", name, v)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, g := range sum {
				if g-g != 0 {
					t.Fatalf("%s with %v: sum[%d] = %v", name, v, i, g)
				}
			}
			// A layer may bound the value (tanh of +Inf): then the example stays.
			// A Dense does not, nor does a cell, whose norm counts what it is given.
			if !slices.Contains([]string{Dense, RNN, LSTM, GRU}, s.Layers[0].Kind) {
				continue
			}
			if !math.IsInf(norms[2], 1) || m.Examples != int64(4*p.rows) {
				t.Errorf("%s with %v: norm %v, %d examples, want +Inf, 4 examples", name, v, norms[2], m.Examples)
			}
			want, o := make([]float32, p.NumParams()), s.Outputs()
			less := Batch{X: append(append([]float32(nil), b.X[:2*s.Inputs]...), b.X[3*s.Inputs:]...)}
			if b.Targets != nil {
				less.Targets = append(append([]float32(nil), b.Targets[:2*o]...), b.Targets[3*o:]...)
			} else {
				rows := len(b.Labels) / 5
				less.Labels = append(append([]int32(nil), b.Labels[:2*rows]...), b.Labels[3*rows:]...)
			}
			if _, err := p.ClippedGradSum(want, norms[:4], less, 0.5); err != nil {
				t.Fatal(err)
			}
			if digest(sum) != digest(want) {
				t.Errorf("%s with %v: not the sum without the row", name, v)
			}
		}
	}
}

// One example alone adds at most clip, however far out it lies: long inputs with
// small errors, and the reverse, down to where scaled errors are subnormal.
func TestClippedGradSumBound(t *testing.T) {
	s := Spec{Inputs: 6, Layers: []Layer{{Kind: Dense, Units: 5}}, Loss: MSE}
	p := compile(t, s, Options{Batch: 1})
	r := rand.New(rand.NewPCG(17, 18))
	sum, norms := make([]float32, p.NumParams()), make([]float64, 1)
	clipped, dropped := 0, 0
	for range 20_000 {
		xs, ys := math.Ldexp(1, r.IntN(140)-70), math.Ldexp(1, r.IntN(140)-70)
		b := randomBatch(r, s, 1)
		for i := range b.X {
			b.X[i] *= float32(xs)
		}
		for i := range b.Targets {
			b.Targets[i] *= float32(ys)
		}
		w := stored(t, p)
		for i := range w {
			w[i] = float32(r.NormFloat64() * ys / xs / 10)
		}
		if err := p.Load(w); err != nil {
			t.Fatal(err)
		}
		clip := math.Ldexp(1+r.Float64(), r.IntN(126)-64)
		if _, err := p.ClippedGradSum(sum, norms, b, clip); err != nil {
			t.Fatal(err)
		}
		var square float64
		for _, g := range sum {
			square += float64(g) * float64(g)
		}
		if norm := math.Sqrt(square); norm > clip {
			t.Fatalf("clip %v: norm %v (before: %v)", clip, norm, norms[0])
		}
		switch {
		case math.IsInf(norms[0], 1):
			dropped++
		case norms[0] > clip:
			clipped++
		}
	}
	if clipped < 1000 || dropped < 100 {
		t.Fatalf("%d clipped, %d dropped: too few to test anything", clipped, dropped)
	}
}

func TestClippedGradSumEmpty(t *testing.T) {
	p := compile(t, LogReg(3), Options{Batch: 2})
	sum := []float32{1, 2, 3, 4}
	m, err := p.ClippedGradSum(sum, nil, Batch{}, 1)
	if err != nil || m != (Metrics{}) {
		t.Fatal(m, err)
	}
	for _, v := range sum {
		if v != 0 {
			t.Fatal(sum)
		}
	}
}
