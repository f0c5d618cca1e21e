package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// randomSpec draws a small network: whatever layers fit behind each other, in any order.
func randomSpec(r *rand.Rand) Spec {
	s := Spec{Loss: MSE}
	switch r.IntN(5) {
	case 0:
		s.Shape = []int{1 + r.IntN(40)}
	case 1:
		s.Shape = []int{1 + r.IntN(9), 1 + r.IntN(12)}
	case 2, 3:
		s.Shape = []int{1 + r.IntN(9), 1 + r.IntN(9), 1 + r.IntN(5)}
	default:
		s.Shape = []int{1 + r.IntN(9)}
		s.Layers = []Layer{{Kind: Embedding, Vocab: 1 + r.IntN(9), Units: 1 + r.IntN(9)}}
	}
	s.Inputs = size(s.Shape)
	for range 40 {
		if s.Layers = append(s.Layers, randomLayer(r, 2)); len(s.Layers) > 7 || fits(s) != nil {
			s.Layers = s.Layers[:len(s.Layers)-1]
		}
	}
	if r.IntN(2) == 0 {
		s.Layers = append(s.Layers, Layer{Kind: Flatten}, Layer{Kind: Dense, Units: 1 + r.IntN(3)})
	}
	for range 10 {
		try := s
		if try.Loss = Losses()[r.IntN(len(Losses()))]; try.Loss == CrossEntropy && r.IntN(2) == 0 {
			try.LabelSmoothing = 0.1
		}
		if try.Validate() == nil {
			return try
		}
	}
	return s
}

// fits is Validate, but that a network may have no parameters yet.
func fits(s Spec) error {
	s.Layers = append([]Layer{}, s.Layers...)
	if s.Layers[0].Kind != Embedding {
		s.Layers = append(s.Layers, Layer{Kind: Dense, Units: 1})
	}
	return s.Validate()
}

func randomLayer(r *rand.Rand, depth int) Layer {
	l := Layer{Kind: LayerKinds()[r.IntN(len(LayerKinds()))]}
	switch l.Kind {
	case Flatten, GlobalAvgPool, GlobalMaxPool: // these end an image or a sequence
		if r.IntN(4) > 0 {
			l.Kind = Conv2D
		}
	}
	pair := func(least, most int) [2]int {
		return [2]int{least + r.IntN(most-least+1), least + r.IntN(most-least+1)}
	}
	for _, f := range LayerFields(l.Kind) {
		switch f {
		case "units":
			l.Units = 1 + r.IntN(20)
			if r.IntN(4) == 0 {
				l.Units = 1 + r.IntN(70)
			}
		case "no_bias":
			l.NoBias = r.IntN(3) == 0
		case "kernel":
			l.Kernel = pair(1, 4)
		case "stride":
			if r.IntN(2) == 0 {
				l.Stride = pair(1, 3)
			}
		case "padding":
			if r.IntN(2) == 0 {
				l.Padding = pair(0, 3)
			}
		case "dilation":
			if r.IntN(4) == 0 {
				l.Dilation = pair(1, 2)
			}
		case "groups":
			l.Groups = 1 + r.IntN(3)
		case "depth":
			l.Depth = r.IntN(3)
		case "last":
			l.Last = r.IntN(2) == 0
		case "truncate":
			l.Truncate = r.IntN(3)
		case "heads":
			l.Heads = 1 + r.IntN(3)
		case "causal":
			l.Causal = r.IntN(2) == 0
		case "rate":
			l.Rate = 0.5
		case "body", "shortcut":
			var layers []Layer
			for range r.IntN(4) {
				if depth > 0 {
					layers = append(layers, randomLayer(r, depth-1))
				}
			}
			if f == "body" {
				l.Body = layers
			} else if r.IntN(2) == 0 {
				l.Shortcut = layers
			}
		}
	}
	return l
}

// Networks of any layers: steps, gradients, clipped sums, predictions and gradients of
// inputs are the same bits with any number of workers; a damaged example moves nothing, is
// named alike, and leaves a clipped sum finite; the canonical bytes give the network back.
func TestRandomNetworks(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(71, seed))
		s := randomSpec(r)
		g, err := s.graph()
		if err != nil {
			continue
		}
		g.each(func(n *node) { seen[n.kind.name]++ })
		bytes, err := AppendSpec(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseSpec(bytes); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%d: %+v was read as %+v, %v", seed, s, back, err)
		}
		batch := 1 + r.IntN(9)
		o := Options{Batch: batch, Seed: seed, Optimizer: NewAdam(0.01)}
		if r.IntN(2) == 0 {
			o.Optimizer = NewSGD(0.01, 0)
		}
		run := func(threads int) string {
			r := rand.New(rand.NewPCG(72, seed))
			p := inThreads(t, s, o, threads)
			var out []string
			note := func(v []float32, more ...any) { out = append(out, digest(v), fmt.Sprint(more...)) }
			for _, n := range []int{batch, 1 + r.IntN(batch)} {
				b := randomBatch(r, s, n)
				m, err := p.Step(b)
				note(stored(t, p), m, err)
				m, err = p.Gradient(b)
				note(p.Grad(), m, err)
				y := make([]float32, n*s.Outputs())
				err = p.Predict(y, b.X)
				note(y, err)
				if s.Layers[0].Kind != Embedding {
					dx := make([]float32, len(b.X))
					err = p.InputGradient(dx, b.X, 0)
					note(dx, err)
					b.X[r.IntN(len(b.X))] = float32(math.NaN())
					before := digest(stored(t, p))
					_, err = p.Step(b)
					if err == nil || digest(stored(t, p)) != before {
						t.Errorf("%d: a NaN: %v", seed, err)
					}
					note(nil, err)
				}
				if p.mixes == "" {
					sum, norms := make([]float32, p.NumParams()), make([]float64, n)
					m, err := p.ClippedGradSum(sum, norms, b, 0.1)
					if nonFinite(sum) >= 0 {
						t.Errorf("%d: a clipped sum that is not finite: %+v", seed, s)
					}
					note(sum, norms, m, err)
				}
			}
			return fmt.Sprint(out)
		}
		want := run(1)
		for _, threads := range []int{2, 3, 5} {
			if got := run(threads); got != want {
				t.Errorf("%d: %d threads give other bits than one: %+v\n%s\n%s", seed, threads, s, want, got)
			}
		}
	}
	for _, k := range LayerKinds() {
		if seen[k] < 5 {
			t.Errorf("%d layers of kind %s: the draw has lost it", seen[k], k)
		}
	}
}
