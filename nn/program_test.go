package nn

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func digest(v []float32) string {
	h := sha256.New()
	for _, x := range v {
		h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func stored(t testing.TB, p *Program) []float32 {
	t.Helper()
	v := make([]float32, p.NumParams())
	if err := p.Store(v); err != nil {
		t.Fatal(err)
	}
	return v
}

// trainRun trains for steps batches of varying size and returns the parameters.
func trainRun(t testing.TB, s Spec, o Options, steps int) []float32 {
	t.Helper()
	r := rand.New(rand.NewPCG(21, 22))
	p := compile(t, s, o)
	for i := range steps {
		if _, err := p.Step(randomBatch(r, s, 1+(i*5)%o.Batch)); err != nil {
			t.Fatal(err)
		}
	}
	return stored(t, p)
}

// Whole training runs have the bits they had when the digests were written, on
// every machine and with every build tag. A change here changes the models that
// federations have hashed.
func TestTrainingBits(t *testing.T) {
	for _, c := range []struct {
		name string
		spec Spec
		opt  Optimizer
		want string
	}{
		{"logreg, sgd", LogReg(13), NewSGD(0.05, 0), "9740e203f30d5325"},
		{"mlp, momentum", MLP(13, []int{32, 16}, 1), NewSGD(0.02, 0.9), "3d5a2785c7f0918d"},
		{"mlp classes, adam", MLP(20, []int{37, 18}, 5), NewAdam(0.01), "fb9a958a9a275de8"},
		{"tanh sigmoid softmax, adam", Spec{Inputs: 7, Layers: []Layer{{Kind: Dense, Units: 21}, {Kind: Tanh}, {Kind: Dense, Units: 9}, {Kind: Sigmoid}, {Kind: Dense, Units: 4}, {Kind: Softmax}}, Loss: MSE}, NewAdam(0.01), "ab1ce28292becaa7"},
	} {
		o := Options{Batch: 16, Seed: 42, Optimizer: c.opt}
		got := digest(trainRun(t, c.spec, o, 60))
		if again := digest(trainRun(t, c.spec, o, 60)); again != got {
			t.Errorf("%s: two runs of one seed differ", c.name)
		}
		o.Batch = 40 // the compiled size is not part of the result
		r := rand.New(rand.NewPCG(21, 22))
		p := compile(t, c.spec, o)
		for i := range 60 {
			if _, err := p.Step(randomBatch(r, c.spec, 1+(i*5)%16)); err != nil {
				t.Fatal(err)
			}
		}
		if digest(stored(t, p)) != got {
			t.Errorf("%s: Options.Batch changes the result", c.name)
		}
		o.Seed++
		if digest(stored(t, compile(t, c.spec, o))) == digest(stored(t, compile(t, c.spec, Options{Batch: 1, Seed: 42}))) {
			t.Errorf("%s: two seeds give one initialisation", c.name)
		}
		if got != c.want {
			t.Errorf("%s: digest %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTraining(t *testing.T) {
	// A line that no single feature gives away, and XOR, which no line solves.
	r := rand.New(rand.NewPCG(23, 24))
	var x []float32
	var line, xor []int32
	for range 400 {
		a, b := r.Float32()*2-1, r.Float32()*2-1
		x = append(x, a, b)
		bit := func(v bool) int32 {
			if v {
				return 1
			}
			return 0
		}
		line = append(line, bit(a+b > 0))
		xor = append(xor, bit((a > 0) != (b > 0)))
	}
	for _, c := range []struct {
		name   string
		spec   Spec
		labels []int32
		least  float64
	}{
		{"line", LogReg(2), line, 0.97},
		{"xor", MLP(2, []int{16}, 1), xor, 0.95},
		{"xor, two classes", MLP(2, []int{16}, 2), xor, 0.95},
	} {
		p := compile(t, c.spec, Options{Batch: 16, Seed: 1, Optimizer: NewAdam(0.02)})
		for range 60 {
			for i := 0; i < 400; i += 16 {
				j := min(i+16, 400)
				if _, err := p.Step(Batch{X: x[2*i : 2*j], Labels: c.labels[i:j]}); err != nil {
					t.Fatal(err)
				}
			}
		}
		m, err := p.Evaluate(Batch{X: x, Labels: c.labels})
		if err != nil || m.Examples != 400 || m.Accuracy() < c.least || m.F1() < c.least-0.02 {
			t.Errorf("%s: accuracy %.3f, F1 %.3f, want %.2f (%v)", c.name, m.Accuracy(), m.F1(), c.least, err)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for name, s := range specs() {
		for _, o := range []Optimizer{NewSGD(0.01, 0), NewSGD(0.01, 0.9), NewAdam(0.01)} {
			p := compile(t, s, Options{Batch: 8, Optimizer: o})
			b := randomBatch(rand.New(rand.NewPCG(1, 1)), s, 7)
			sum, norms, pred := make([]float32, p.NumParams()), make([]float64, 7), make([]float32, 7*s.Outputs())
			if a := testing.AllocsPerRun(20, func() {
				if _, err := p.Step(b); err != nil {
					t.Fatal(err)
				}
				if p.mixes == "" {
					if _, err := p.ClippedGradSum(sum, norms, b, 1); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := p.Evaluate(b); err != nil {
					t.Fatal(err)
				}
				if err := p.Predict(pred, b.X); err != nil {
					t.Fatal(err)
				}
				p.ResetOptimizer()
			}); a != 0 {
				t.Errorf("%s, %s: %v allocations a step", name, o.Kind, a)
			}
		}
	}
}

func TestArena(t *testing.T) {
	for name, s := range specs() {
		for _, o := range []Optimizer{{}, NewSGD(0.01, 0), NewSGD(0.01, 0.9), NewAdam(0.01)} {
			opts := Options{Batch: 3, Optimizer: o, Threads: 1}
			want, err := ArenaBytes(s, opts)
			if err != nil {
				t.Fatal(err)
			}
			p := compile(t, s, opts)
			if p.ArenaBytes() != want {
				t.Errorf("%s: %d bytes, foretold %d", name, p.ArenaBytes(), want)
			}
			// Each byte has an owner: what was counted is what is taken.
			c := &compiler{batch: 3, workers: 1, share: 3, floats: make([]float32, len(p.arena)), ints: make([]int32, len(p.ints)), doubles: make([]float64, len(p.doubles))}
			(&Program{spec: p.spec, graph: p.graph}).lay(c, o)
			if int64(len(c.floats)) != c.scratchLen+padding || len(c.ints) != 0 || len(c.doubles) != 0 {
				t.Errorf("%s: %d floats, of them %d scratch, and %d ints are left over", name, len(c.floats), c.scratchLen, len(c.ints))
			}
		}
	}
}

func TestNonFinite(t *testing.T) {
	for name, s := range specs() {
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			p := compile(t, s, Options{Batch: 4, Optimizer: NewAdam(0.01)})
			before := stored(t, p)
			b := randomBatch(rand.New(rand.NewPCG(3, 3)), s, 4)
			b.X[2*s.Inputs+1] = v
			var bad *NonFiniteError
			_, err := p.Step(b)
			ids := s.Layers[0].Kind == Embedding // refuses the row by its own name: TestTokenIDs
			if err == nil || ids == errors.As(err, &bad) || (!ids && bad.Example != 2) {
				t.Fatalf("%s, %v: %v", name, v, err)
			}
			if digest(stored(t, p)) != digest(before) {
				t.Fatalf("%s: a refused step changed the parameters", name)
			}
			if err := errors.Join(second(p.Evaluate(b)), p.Predict(make([]float32, 4*s.Outputs()), b.X)); ids != (err != nil) {
				t.Fatal(err)
			}
			// Parameters that have diverged: nothing panics, the loss says so.
			for i := range before {
				before[i] = v
			}
			if err := p.Load(before); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Step(randomBatch(rand.New(rand.NewPCG(3, 3)), s, 4)); s.Layers[len(s.Layers)-1].Kind == Dense && !errors.As(err, &bad) {
				t.Errorf("%s, parameters %v: %v", name, v, err)
			}
		}
	}
	// A target may be the damaged one.
	s := specs()["tanh last, mse"]
	p := compile(t, s, Options{Batch: 4, Optimizer: NewAdam(0.01)})
	b := randomBatch(rand.New(rand.NewPCG(3, 3)), s, 4)
	b.Targets[1*s.Outputs()] = float32(math.NaN())
	var bad *NonFiniteError
	if _, err := p.Step(b); !errors.As(err, &bad) || bad.Example != 1 {
		t.Fatal(err)
	}
}

func TestPredictAndEvaluateAnySize(t *testing.T) {
	for name, s := range specs() {
		r := rand.New(rand.NewPCG(4, 4))
		b := randomBatch(r, s, 23)
		big, small := compile(t, s, Options{Batch: 64}), compile(t, s, Options{Batch: 4})
		o := s.Outputs()
		y1, y2 := make([]float32, 23*o), make([]float32, 23*o)
		if err := errors.Join(big.Predict(y1, b.X), small.Predict(y2, b.X)); err != nil {
			t.Fatal(err)
		}
		if digest(y1) != digest(y2) {
			t.Errorf("%s: Predict depends on Options.Batch", name)
		}
		m1, err1 := big.Evaluate(b)
		m2, err2 := small.Evaluate(b)
		if err := errors.Join(err1, err2); err != nil || m1 != m2 || m1.Examples != int64(23*big.rows) {
			t.Errorf("%s: %+v, %+v, %v", name, m1, m2, err)
		}
		if s.Loss == CrossEntropy {
			c := o / big.rows
			for i := range 23 * big.rows {
				sum := 0.0
				for _, v := range y1[i*c:][:c] {
					sum += float64(v)
				}
				if math.Abs(sum-1) > 1e-6 {
					t.Errorf("%s: probabilities sum to %v", name, sum)
				}
			}
		}
	}
}

func TestBatchErrors(t *testing.T) {
	bin := compile(t, LogReg(3), Options{Batch: 2, Optimizer: NewSGD(1, 0)})
	cls := compile(t, MLP(3, nil, 4), Options{Batch: 2, Optimizer: NewSGD(1, 0)})
	mse := compile(t, Spec{Inputs: 3, Layers: []Layer{{Kind: Dense, Units: 2}, {Kind: Tanh}}, Loss: MSE}, Options{Batch: 2, Optimizer: NewSGD(1, 0)})
	x := func(n int) []float32 { return make([]float32, n) }
	for _, c := range []struct {
		p    *Program
		b    Batch
		want string
	}{
		{bin, Batch{X: x(4), Labels: []int32{0}}, "layer 0 (dense): x has shape [4], want [n,3]"},
		{bin, Batch{}, "batch of 0 examples"},
		{bin, Batch{X: x(9), Labels: make([]int32, 3)}, "batch of 3 examples, compiled for 1 to 2"},
		{bin, Batch{X: x(6), Labels: make([]int32, 3)}, "labels have shape [3], want [2]"},
		{bin, Batch{X: x(6), Labels: []int32{0, 2}}, "label 2 of example 1 is out of range, want 0 to 1"},
		{bin, Batch{X: x(6), Labels: []int32{-1, 0}}, "label -1 of example 0"},
		{bin, Batch{X: x(6), Labels: []int32{0, 0}, Targets: x(2)}, "takes labels, got 2 targets"},
		{cls, Batch{X: x(3), Labels: []int32{4}}, "label 4 of example 0 is out of range, want 0 to 3"},
		{mse, Batch{X: x(6), Targets: x(3)}, "targets have shape [3], want [2,2] for layer 1 (tanh)"},
		{mse, Batch{X: x(6), Targets: x(4), Labels: []int32{1}}, "takes targets, got 1 labels"},
	} {
		before := digest(stored(t, c.p))
		_, err := c.p.Step(c.b)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if digest(stored(t, c.p)) != before {
			t.Errorf("%q: parameters changed", c.want)
		}
	}
	if _, err := compile(t, LogReg(3), Options{Batch: 2}).Step(Batch{X: x(3), Labels: []int32{0}}); err == nil {
		t.Error("Step without an optimizer")
	}
	good := Batch{X: x(3), Labels: []int32{0}}
	for _, err := range []error{
		bin.Load(x(3)), bin.Store(x(5)), bin.Predict(x(2), x(3)), bin.Predict(x(1), x(4)),
		second(bin.Forward(x(9))), second(bin.Forward(x(2))),
		second(bin.ClippedGradSum(x(3), make([]float64, 1), good, 1)),
		second(bin.ClippedGradSum(x(4), make([]float64, 2), good, 1)),
		second(bin.ClippedGradSum(x(4), make([]float64, 1), good, 0)),
		second(bin.ClippedGradSum(x(4), make([]float64, 1), good, math.NaN())),
		second(bin.ClippedGradSum(x(4), make([]float64, 1), good, math.Inf(1))),
	} {
		if err == nil {
			t.Error("want an error")
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestCompileErrors(t *testing.T) {
	_, err := Compile(Spec{Inputs: 0, Layers: []Layer{{Kind: "dens", Units: 3}}, Loss: "x"}, Options{Device: "gpu", Optimizer: Optimizer{Kind: "sgd"}})
	for _, want := range []string{"inputs is 0", `layer 0: unknown kind "dens"`, `unknown loss "x"`, "batch is 0", `unknown device "gpu"`, "lr is 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	// The halo of the errors of a tall image under a wide kernel is 64 GiB.
	halo := Spec{Inputs: 2048, Shape: []int{2048, 1, 1}, Loss: MSE, Layers: []Layer{
		{Kind: Dense, Units: 1}, {Kind: Conv2D, Units: 2048, Kernel: [2]int{1, 4095}, Padding: [2]int{0, 2047}}}}
	for name, c := range map[string]struct {
		spec  Spec
		batch int
	}{"activations": {MLP(1<<14, []int{1 << 13}, 1), MaxBatch}, "a halo": {halo, 1}} {
		if _, err := Compile(c.spec, Options{Batch: c.batch}); err == nil || !strings.Contains(err.Error(), "use a smaller batch") {
			t.Errorf("an arena beyond the limit, of %s: %v", name, err)
		}
	}
}

func TestStepDoesNotKeepTheBatch(t *testing.T) {
	s := MLP(5, []int{6}, 3)
	p := compile(t, s, Options{Batch: 4, Optimizer: NewSGD(0.1, 0.9)})
	b := randomBatch(rand.New(rand.NewPCG(6, 6)), s, 4)
	x := append([]float32(nil), b.X...)
	if _, err := p.Step(b); err != nil {
		t.Fatal(err)
	}
	norms := make([]float64, 4)
	b.X[0] = float32(math.NaN())
	x[0] = b.X[0]
	if _, err := p.ClippedGradSum(make([]float32, p.NumParams()), norms, b, 1); err != nil {
		t.Fatal(err)
	}
	if digest(x) != digest(b.X) {
		t.Error("the caller's rows were written")
	}
}

func BenchmarkStep(b *testing.B) {
	for name, s := range map[string]Spec{"logreg-30": LogReg(30), "mlp-30-64-32-1": MLP(30, []int{64, 32}, 1), "mlp-784-512-512-10": MLP(784, []int{512, 512}, 10)} {
		b.Run(name, func(b *testing.B) {
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
