package nn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tacit/nn/internal/team"
)

// alone returns the work of one worker that has all n examples, with so much scratch.
func alone(n int, train bool, tmp []float32) *work {
	return &work{train: train, total: n, n: n, of: 1, tmp: tmp, team: team.New(1)}
}

// inThreads makes a small network take so many workers, which it would not for speed.
func inThreads(t *testing.T, s Spec, o Options, threads int) *Program {
	t.Helper()
	work, columns := leastWork, leastColumns
	defer func() { leastWork, leastColumns = work, columns }()
	leastWork, leastColumns = 1, 1
	o.Threads = threads
	p := compile(t, s, o)
	if want := min(threads, o.Batch); p.Threads() != want {
		t.Fatalf("%d workers, want %d", p.Threads(), want)
	}
	return p
}

// A result depends on no number of threads: whole training runs of every kind of layer,
// loss and optimizer give the same bits, and so do clipped sums, predictions and the
// gradients of inputs.
func TestThreadsGiveTheSameBits(t *testing.T) {
	if u := inThreads(t, specs()["mlp wide"], Options{Batch: 7}, 2).net.units; !u[0].whole || !u[2].whole {
		t.Error("its dense layers are not split by columns")
	}
	for name, s := range specs() {
		run := func(threads int) string {
			const batch = 7
			r := rand.New(rand.NewPCG(51, 52))
			o := NewAdam(0.01)
			o.ClipNorm, o.WeightDecay = 0.5, 0.01
			p := inThreads(t, s, Options{Batch: batch, Seed: 9, Optimizer: o}, threads)
			var out []string
			for _, n := range []int{7, 5, 1, 7} {
				b := randomBatch(r, s, n)
				m, err := p.Step(b)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				out = append(out, digest(stored(t, p)), fmt.Sprint(m))
				if _, err := p.Gradient(b); err != nil {
					t.Fatal(err)
				}
				out = append(out, digest(p.Grad()))
				y := make([]float32, n*s.Outputs())
				if err := p.Predict(y, b.X); err != nil {
					t.Fatal(err)
				}
				out = append(out, digest(y))
				if p.mixes == "" {
					sum, norms := make([]float32, p.NumParams()), make([]float64, n)
					m, err := p.ClippedGradSum(sum, norms, b, 0.1)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, digest(sum), fmt.Sprint(norms, m))
				}
				if s.Layers[0].Kind != Embedding {
					dx := make([]float32, len(b.X))
					if err := p.InputGradient(dx, b.X, 0); err != nil {
						t.Fatal(err)
					}
					out = append(out, digest(dx))
				}
			}
			return fmt.Sprint(slices.Concat(out, []string{digest(p.opt.m), digest(p.opt.v)}))
		}
		want := run(1)
		for _, threads := range []int{2, 3, 7} {
			if got := run(threads); got != want {
				t.Errorf("%s: %d threads give other bits than one", name, threads)
			}
		}
	}
}

// A step whose layers move their own parameters gives the bits of one that holds the
// gradient first, which a clip norm asks for. Where the magnitudes prove nothing a
// finite gradient is held and moves the weights all the same (one that is not finite:
// TestInfiniteGradientMovesNothing).
func TestDescendingBits(t *testing.T) {
	for name, s := range specs() {
		for rule, o := range rules() {
			if o.ClipNorm != 0 {
				continue
			}
			run := func(clip float64, threads int) string {
				o.ClipNorm = clip
				p := inThreads(t, s, Options{Batch: 5, Seed: 2, Optimizer: o}, threads)
				r := rand.New(rand.NewPCG(53, 54))
				for range 3 {
					if _, err := p.Step(randomBatch(r, s, 5)); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
				return digest(stored(t, p)) + digest(p.opt.m) + digest(p.opt.v)
			}
			if want := run(1e19, 1); run(0, 1) != want || run(0, 2) != want {
				t.Errorf("%s, %s: other bits", name, rule)
			}
		}
	}
	p := compile(t, Spec{Inputs: 2, Layers: []Layer{{Kind: Dense, Units: 1}}, Loss: MAE}, Options{Batch: 2, Optimizer: NewSGD(1, 0)})
	x := []float32{3e38, 0, 3e38, 0}
	if err := p.Load([]float32{0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	before := digest(stored(t, p))
	if _, err := p.Step(Batch{X: x, Targets: []float32{0, 0}}); err != nil { // 3e38 as the mean: finite, though unproven
		t.Error(err)
	}
	if digest(stored(t, p)) == before {
		t.Error("a finite gradient moved nothing")
	}
}
