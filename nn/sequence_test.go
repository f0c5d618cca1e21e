package nn

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"tacit/nn/internal/kernel"
)

// Differences of the whole loss cannot judge truncation, which leaves a part of the
// gradient out on purpose. Differences of the loss in which the states that cross a
// multiple of Truncate are held constant can: they are what is left.
func TestTruncate(t *testing.T) {
	for _, k := range []string{RNN, LSTM, GRU} {
		for _, truncate := range []int{1, 2, 3, 4} {
			for _, last := range []bool{false, true} {
				s := Spec{Inputs: 10, Shape: []int{5, 2}, Loss: MSE, Layers: []Layer{{Kind: k, Units: 3, Depth: 2, Truncate: truncate, Last: last}}}
				r := rand.New(rand.NewPCG(31, 32))
				p := compile(t, s, Options{Batch: 3, Seed: 33})
				b := randomBatch(r, s, 3)
				if _, err := p.Gradient(b); err != nil {
					t.Fatal(err)
				}
				w, x, y, detach := widen(stored(t, p)), widen(b.X), widen(b.Targets), refDetach{}
				n := p.graph.nodes[0]
				mean := func() float64 {
					var own [][]float64
					for _, e := range n.entries {
						own = append(own, w[e.Offset:][:e.Len])
					}
					return refMean(s, refLosses(s, refTruncated(n, own, x, 3, detach), nil, y, 3), nil)
				}
				mean() // fills detach
				want := make([]float64, len(w))
				for i, old := range w {
					const h = 1e-5
					w[i] = old + h
					up := mean()
					w[i] = old - h
					want[i] = (up - mean()) / (2 * h)
					w[i] = old
				}
				near(t, fmt.Sprintf("%s, truncate %d, last %v", k, truncate, last), p.Grad(), want, 1e-6)
			}
		}
	}
}

// Truncation past the last step changes no bit; truncation before it changes the
// gradient and not the loss. Clipped sums truncate alike.
func TestTruncateGradient(t *testing.T) {
	for _, k := range []string{RNN, LSTM, GRU} {
		s := Spec{Inputs: 10, Shape: []int{5, 2}, Loss: CrossEntropy, Layers: []Layer{{Kind: k, Units: 9, Depth: 2}, {Kind: Dense, Units: 3}}}
		b := randomBatch(rand.New(rand.NewPCG(34, 35)), s, 3)
		gradient := func(truncate int) (string, float64) {
			s.Layers[0].Truncate = truncate
			p := compile(t, s, Options{Batch: 3, Seed: 36})
			m, err := p.Gradient(b)
			if err != nil {
				t.Fatal(err)
			}
			g := append([]float32(nil), p.Grad()...)
			sum, norms := make([]float32, len(g)), make([]float64, 3)
			if _, err := p.ClippedGradSum(sum, norms, b, 1e9); err != nil {
				t.Fatal(err)
			}
			for i := range sum {
				sum[i] /= 3
			}
			near(t, k, sum, widen(g), 1e-6)
			return digest(g), m.Loss()
		}
		whole, loss := gradient(0)
		for truncate := 1; truncate < 8; truncate++ {
			g, l := gradient(truncate)
			if l != loss || (g == whole) != (truncate >= 5) {
				t.Errorf("%s, truncate %d of 5: gradient %s, whole %s; loss %v, %v", k, truncate, g, whole, l, loss)
			}
		}
	}
}

// An example whose numbers turn NaN inside the network leaves nothing behind: not in
// the sum, not in the next call.
func TestDamagedSequence(t *testing.T) {
	nan := float32(math.NaN())
	for _, k := range []string{RNN, LSTM, GRU} {
		s := Spec{Inputs: 4, Loss: CrossEntropy, Layers: []Layer{{Kind: Embedding, Vocab: 6, Units: 3}, {Kind: Positional}, {Kind: k, Units: 5, Depth: 2}, {Kind: Dense, Units: 3}}}
		p := compile(t, s, Options{Batch: 5, Seed: 37})
		b := randomBatch(rand.New(rand.NewPCG(38, 39)), s, 5)
		for i := range b.X {
			b.X[i] = float32(int(b.X[i]) % 5) // id 5 is the damaged one's
		}
		b.X[2*4+1] = 5
		clean := stored(t, p)
		w := append([]float32(nil), clean...)
		w[5*3+1] = nan
		if err := p.Load(w); err != nil {
			t.Fatal(err)
		}
		sum, norms := make([]float32, p.NumParams()), make([]float64, 5)
		m, err := p.ClippedGradSum(sum, norms, b, 0.5)
		if err != nil || !math.IsInf(norms[2], 1) || m.Examples != 16 {
			t.Fatalf("%s: norms %v, %d predictions, %v", k, norms, m.Examples, err)
		}
		less := Batch{X: append(append([]float32(nil), b.X[:8]...), b.X[12:]...), Labels: append(append([]int32(nil), b.Labels[:8]...), b.Labels[12:]...)}
		want := make([]float32, len(sum))
		if _, err := p.ClippedGradSum(want, norms[:4], less, 0.5); err != nil {
			t.Fatal(err)
		}
		if digest(sum) != digest(want) {
			t.Errorf("%s: not the sum without the example", k)
		}
		if _, err := p.ClippedGradSum(sum, norms, b, 0.5); err != nil {
			t.Fatal(err)
		}
		if err := p.Load(clean); err != nil {
			t.Fatal(err)
		}
		fresh := compile(t, s, Options{Batch: 5, Seed: 37})
		if err := errors.Join(second(p.Gradient(b)), second(fresh.Gradient(b))); err != nil || digest(p.Grad()) != digest(fresh.Grad()) {
			t.Errorf("%s: the damage stayed (%v)", k, err)
		}
	}
}

// A layer writes the rows of the examples it is given, and no others.
func TestSequenceGuards(t *testing.T) {
	const guard = float32(-12345.5)
	guarded := func(n int) ([]float32, func() bool) {
		all := make([]float32, n+32)
		for i := range all {
			all[i] = guard
		}
		return all[16 : 16+n], func() bool {
			for i, v := range all {
				if v != guard && (i < 16 || i >= 16+n) {
					return false
				}
			}
			return true
		}
	}
	layers := []Layer{{Kind: Embedding, Vocab: 3, Units: 9}, {Kind: Positional}}
	for _, k := range []string{RNN, LSTM, GRU} {
		layers = append(layers, Layer{Kind: k, Units: 9, Depth: 2}, Layer{Kind: k, Units: 3, Last: true})
	}
	for _, l := range layers {
		s := Spec{Inputs: 15, Shape: []int{5, 3}, Loss: MSE, Layers: []Layer{l}}
		if l.Kind == Embedding {
			s = Spec{Inputs: 5, Loss: MSE, Layers: []Layer{l}}
		}
		const batch, n = 7, 4
		p := compile(t, s, Options{Batch: batch, Seed: 40, Threads: 1})
		op := p.net.units[0].trained
		var inner [][]float32 // values of one example follow each other
		if r, ok := op.(*recurrence); ok {
			for _, l := range r.layers {
				inner = append(inner, l.g, l.kept, l.prev, l.out)
			}
		}
		for _, v := range inner {
			for j := len(v) / batch * n; j < len(v); j++ {
				v[j] = guard
			}
		}
		x := randomBatch(rand.New(rand.NewPCG(41, 42)), s, n).X
		y, yIntact := guarded(n * s.Outputs())
		dx, dxIntact := guarded(len(x))
		g, gIntact := guarded(p.NumParams())
		dy := make([]float32, len(y))
		for j := range dy {
			dy[j] = float32(j%5) - 2
		}
		w := alone(n, true, p.works[0].tmp)
		op.forward(y, x, n, w)
		op.backward(dx, dy, x, y, n, w)
		op.norm2(dy[:len(dy)/n], x[:len(x)/n], 0, w)
		op.scale(n-1, 0.5)
		op.grad(g, dy, x, n, w)
		op.scale(n-1, 0)
		if !yIntact() || !dxIntact() || !gIntact() {
			t.Errorf("%+v wrote outside its output", l)
		}
		for _, v := range [][]float32{y, dx, g} {
			for j, x := range v {
				if x == guard {
					t.Fatalf("%+v left value %d unwritten", l, j)
				}
			}
		}
		for _, v := range inner {
			for j := len(v) / batch * n; j < len(v); j++ {
				if v[j] != guard {
					t.Fatalf("%+v wrote to an example that was not given", l)
				}
			}
		}
	}
}

// Training has the bits it had when the digests were written, on every machine and
// with every build tag, as in TestTrainingBits.
func TestSequenceBits(t *testing.T) {
	want := map[string]string{RNN: "c796920b2ea409a2", LSTM: "a87c0941d7b6bf73", GRU: "80ba1d02751c9d6b"}
	for k, want := range want {
		s := Spec{Inputs: 9, Loss: CrossEntropy, Layers: []Layer{{Kind: Embedding, Vocab: 13, Units: 10}, {Kind: Positional}, {Kind: k, Units: 19, Depth: 2, Truncate: 4}, {Kind: Dense, Units: 13}}}
		o := Options{Batch: 16, Seed: 42, Optimizer: NewAdam(0.01)}
		if got := digest(trainRun(t, s, o, 20)); got != want {
			t.Errorf("%s: digest %s, want %s", k, got, want)
		}
	}
}

// A network learns what only a state can carry: the first of six ids.
func TestSequenceLearns(t *testing.T) {
	for _, k := range []string{RNN, LSTM, GRU} {
		s := Spec{Inputs: 6, Loss: CrossEntropy, Layers: []Layer{{Kind: Embedding, Vocab: 4, Units: 6}, {Kind: k, Units: 12, Last: true}, {Kind: Dense, Units: 4}}}
		p := compile(t, s, Options{Batch: 32, Seed: 1, Optimizer: NewAdam(0.02)})
		r := rand.New(rand.NewPCG(46, 47))
		draw := func(n int) Batch {
			b := randomBatch(r, s, n)
			for i := range b.Labels {
				b.Labels[i] = int32(b.X[6*i])
			}
			return b
		}
		for range 200 {
			if _, err := p.Step(draw(32)); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := p.Evaluate(draw(400)); err != nil || m.Accuracy() < 0.95 {
			t.Errorf("%s: accuracy %v (%v)", k, m.Accuracy(), err)
		}
	}
}

func TestSequenceLayout(t *testing.T) {
	l, err := Spec{Inputs: 4, Loss: MSE, Layers: []Layer{{Kind: Embedding, Vocab: 11, Units: 5}, {Kind: Positional, Local: true}, {Kind: GRU, Units: 2, Depth: 2}}}.Layout()
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		name        string
		shape, that []int // ours, torch's
		kind        ParamKind
		local       bool
	}
	var got []entry
	for _, e := range l {
		got = append(got, entry{e.Name, e.Shape, e.TorchShape(), e.Kind, e.Local})
	}
	want := []entry{
		{"0.weight", []int{11, 5}, []int{11, 5}, Weight, false},
		{"1.weight", []int{4, 5}, []int{4, 5}, Weight, true},
		{"2.weight_ih_l0", []int{5, 6}, []int{6, 5}, Weight, false},
		{"2.weight_hh_l0", []int{2, 6}, []int{6, 2}, Weight, false},
		{"2.bias_ih_l0", []int{6}, []int{6}, Bias, false},
		{"2.bias_hh_l0", []int{6}, []int{6}, Bias, false},
		{"2.weight_ih_l1", []int{2, 6}, []int{6, 2}, Weight, false},
		{"2.weight_hh_l1", []int{2, 6}, []int{6, 2}, Weight, false},
		{"2.bias_ih_l1", []int{6}, []int{6}, Bias, false},
		{"2.bias_hh_l1", []int{6}, []int{6}, Bias, false},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestSequenceInit(t *testing.T) {
	s := Spec{Inputs: 40, Loss: MSE, Layers: []Layer{{Kind: Embedding, Vocab: 50, Units: 30}, {Kind: Positional}, {Kind: LSTM, Units: 25}, {Kind: LSTM, Units: 2, Init: InitZeros}}}
	p := compile(t, s, Options{Batch: 1, Seed: 43})
	v := stored(t, p)
	for i, e := range p.Layout() {
		var sq, most float64
		for _, x := range v[e.Offset:][:e.Len] {
			sq, most = sq+float64(x)*float64(x), math.Max(most, math.Abs(float64(x)))
		}
		deviation := math.Sqrt(sq / float64(e.Len))
		want := 1 / math.Sqrt(3*25) // uniform in ±1/√25
		switch {
		case i == 0:
			want = 1
		case i == 1:
			want = 0.02
		case i >= 6:
			want = 0
		case most > 0.2:
			t.Errorf("%s reaches %v", e.Name, most)
		}
		if math.Abs(deviation-want) > 4*want/math.Sqrt(float64(e.Len)) {
			t.Errorf("%s: deviation %v, want %v", e.Name, deviation, want)
		}
	}
}

func TestSequenceErrors(t *testing.T) {
	lstm := Layer{Kind: LSTM, Units: 3}
	with := func(change func(*Layer)) []Layer {
		l := lstm
		change(&l)
		return []Layer{l}
	}
	for _, c := range []struct {
		shape  []int
		layers []Layer
		want   string
	}{
		{[]int{4, 2}, []Layer{{Kind: Embedding, Vocab: 3, Units: 2}}, "layer 0 (embedding): takes [steps] of token ids, got shape [4,2]"},
		{[]int{4}, []Layer{{Kind: Embedding, Units: 2}}, "layer 0 (embedding): vocab is 0, want 1 to 1048576"},
		{[]int{4}, []Layer{{Kind: Embedding, Vocab: 3}}, "layer 0 (embedding): units is 0"},
		{[]int{4}, []Layer{{Kind: Dense, Units: 4}, {Kind: Embedding, Vocab: 3, Units: 2}}, "layer 1 (embedding): takes token ids, which no layer gives: it must be the first layer"},
		{[]int{4}, []Layer{{Kind: Residual, Body: []Layer{{Kind: Embedding, Vocab: 3, Units: 2}}}}, "layer 0.body.0 (embedding): takes token ids"},
		{[]int{4}, []Layer{{Kind: Positional}}, "layer 0 (positional): takes [steps, features], got shape [4]"},
		{[]int{8}, []Layer{lstm}, "layer 0 (lstm): takes [steps, features], got shape [8]"},
		{[]int{2, 2, 2}, []Layer{lstm}, "got shape [2,2,2]"},
		{[]int{4, 2}, with(func(l *Layer) { l.Units = 0 }), "units is 0"},
		{[]int{4, 2}, with(func(l *Layer) { l.Depth = 65 }), "depth is 65, want 0 to 64"},
		{[]int{4, 2}, with(func(l *Layer) { l.Depth = -1 }), "depth is -1"},
		{[]int{4, 2}, with(func(l *Layer) { l.Truncate = -1 }), "truncate is -1"},
		{[]int{4, 2}, with(func(l *Layer) { l.NoBias = true }), "has no no_bias"},
		{[]int{1 << 20, 1}, with(func(l *Layer) { l.Units, l.Last = 17, true }), "more than 16777216 values"},
	} {
		err := Spec{Inputs: size(c.shape), Shape: c.shape, Layers: c.layers, Loss: MSE}.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	// No size overflows: the memory is counted and refused.
	huge := Spec{Inputs: 1 << 20, Shape: []int{1 << 20, 1}, Loss: MSE}
	for range MaxLayers {
		huge.Layers = append(huge.Layers, Layer{Kind: GRU, Units: 1, Depth: maxDepth})
	}
	if _, err := Compile(huge, Options{Batch: MaxBatch}); err == nil || !strings.Contains(err.Error(), "use a smaller batch") {
		t.Errorf("a network beyond all memory: %v", err)
	}
}

// Every way into a Program names the id that is no row of the table.
func TestTokenIDs(t *testing.T) {
	s := Spec{Inputs: 3, Loss: MSE, Layers: []Layer{{Kind: Embedding, Vocab: 5, Units: 2}}}
	p := compile(t, s, Options{Batch: 2, Optimizer: NewSGD(0.1, 0)})
	before := digest(stored(t, p))
	y, dx := make([]float32, 12), make([]float32, 6)
	for v, ok := range map[float32]bool{
		0: true, 4: true, float32(math.Copysign(0, -1)): true,
		5: false, -1: false, 0.5: false, 3.9999998: false, 1e30: false,
		float32(math.NaN()): false, float32(math.Inf(1)): false, float32(math.Inf(-1)): false,
	} {
		b := Batch{X: []float32{0, 1, 2, 3, v, 0}, Targets: make([]float32, 12)}
		for name, err := range map[string]error{
			"predict":  p.Predict(y, b.X),
			"forward":  second(p.Forward(b.X)),
			"evaluate": second(p.Evaluate(b)),
			"gradient": second(p.Gradient(b)),
			"clipped":  second(p.ClippedGradSum(make([]float32, p.NumParams()), make([]float64, 2), b, 1)),
		} {
			if ok != (err == nil) || (!ok && !strings.Contains(err.Error(), fmt.Sprintf("token id %v at position 1 of example 1, want a whole number from 0 to 4", v))) {
				t.Errorf("%s with id %v: %v", name, v, err)
			}
		}
		if !ok && second(p.Step(b)) == nil {
			t.Errorf("a step with id %v", v)
		}
	}
	if digest(stored(t, p)) != before {
		t.Error("a refused step changed the parameters")
	}
	if p.InputGradient(dx, make([]float32, 6), 0) == nil {
		t.Error("ids have an input gradient")
	}
}

// The norm of an embedding's gradient is that of the summed rows, and where errors of
// one id cancel it is larger by rounding alone.
func TestEmbeddingNorm(t *testing.T) {
	s := Spec{Inputs: 9, Loss: MSE, Layers: []Layer{{Kind: Embedding, Vocab: 4, Units: 70}}}
	p := compile(t, s, Options{Batch: 1})
	e := p.net.units[0].op.(*embedding)
	r := rand.New(rand.NewPCG(44, 45))
	for range 50 {
		x, dy := randomBatch(r, s, 1).X, make([]float32, 9*70)
		var lengths float64
		for j := range dy {
			dy[j] = float32(r.NormFloat64())
			if j >= 70 && r.IntN(2) == 0 {
				dy[j] = -dy[j-70] // cancels where ids repeat
			}
		}
		rows := make([]float64, 4*70)
		for j, d := range dy {
			rows[int(x[j/70])*70+j%70] += float64(d)
		}
		var want float64
		for _, v := range rows {
			want += v * v
		}
		for s := range 9 {
			lengths += math.Sqrt(kernel.SumSquares(dy[s*70:][:70]))
		}
		got := math.Sqrt(e.norm2(dy, x, 0, alone(1, true, nil)))
		if want = math.Sqrt(want); got < want*(1-1e-14) || got > want*(1+1e-14)+13*0x1.01p-24*lengths {
			t.Fatalf("norm %v, want %v", got, want)
		}
		for id, head := range e.head {
			if head != 0 {
				t.Fatalf("the list of id %d stands", id)
			}
		}
	}
}

func BenchmarkSequence(b *testing.B) {
	lm := func(kind string) Spec {
		return Spec{Inputs: 64, Loss: CrossEntropy, Layers: []Layer{{Kind: Embedding, Vocab: 65, Units: 128}, {Kind: kind, Units: 128}, {Kind: Dense, Units: 65}}}
	}
	for _, k := range []string{RNN, LSTM, GRU} {
		b.Run(k+"-128x64-65", func(b *testing.B) {
			s := lm(k)
			p := compile(b, s, Options{Batch: 32, Optimizer: NewSGD(0.01, 0)})
			batch := randomBatch(rand.New(rand.NewPCG(1, 1)), s, 32)
			for b.Loop() {
				if _, err := p.Step(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
