package nn

import (
	"math"
	"math/rand/v2"
	"testing"
)

// One example alone adds at most clip, whatever the layers: inputs, parameters and
// clip norms of sizes far apart, rows of a sequence that cancel.
func TestClippedGradSumBoundOfEveryKind(t *testing.T) {
	clipped := 0
	for name, s := range specs() {
		p := compile(t, s, Options{Batch: 1, Seed: 2})
		if p.mixes != "" {
			continue
		}
		r := rand.New(rand.NewPCG(31, 32))
		start := stored(t, p)
		sum, norms, w := make([]float32, p.NumParams()), make([]float64, 1), make([]float32, p.NumParams())
		for range 60 {
			b := randomBatch(r, s, 1)
			if p.graph.nodes[0].layer.Kind != Embedding {
				scale := float32(math.Ldexp(1, r.IntN(60)-30))
				for i := range b.X {
					b.X[i] *= scale
				}
				if half := len(b.X) / 2; r.IntN(2) == 0 {
					for i := range half {
						b.X[half+i] = -b.X[i]
					}
				}
			}
			scale := float32(math.Ldexp(1, r.IntN(20)-10))
			for i, v := range start {
				w[i] = v * scale
			}
			if err := p.Load(w); err != nil {
				t.Fatal(err)
			}
			clip := math.Ldexp(1+r.Float64(), r.IntN(60)-50)
			if _, err := p.ClippedGradSum(sum, norms, b, clip); err != nil {
				t.Fatal(err)
			}
			var square float64
			for _, g := range sum {
				square += float64(g) * float64(g)
			}
			if norm := math.Sqrt(square); !(norm <= clip) {
				t.Errorf("%s, clip %v: norm %v (before: %v)", name, clip, norm, norms[0])
				break
			}
			if norms[0] > clip && !math.IsInf(norms[0], 1) {
				clipped++
			}
		}
	}
	if clipped < 1000 {
		t.Errorf("only %d clipped", clipped)
	}
}

// Rows that cancel exactly leave what their float32 sum rounds, which grows with the
// rows and is scaled up with the example: it counts too.
func TestClippedGradSumBoundOfCancellingRows(t *testing.T) {
	for _, rows := range []int{64, 1024, 4096} {
		seq := []int{rows, 1}
		h := 1
		for h*h < rows {
			h *= 2
		}
		dense := Layer{Kind: Dense, Units: 1}
		pool := Layer{Kind: GlobalAvgPool}
		for name, s := range map[string]Spec{
			"dense":      {Shape: seq, Layers: []Layer{dense, pool}},
			"conv":       {Shape: []int{h, h, 1}, Layers: []Layer{{Kind: Conv2D, Units: 1, Kernel: [2]int{1, 1}}, pool}},
			"rnn":        {Shape: seq, Layers: []Layer{{Kind: RNN, Units: 2}, dense, pool}},
			"lstm":       {Shape: seq, Layers: []Layer{{Kind: LSTM, Units: 2}, dense, pool}},
			"gru":        {Shape: seq, Layers: []Layer{{Kind: GRU, Units: 2}, dense, pool}},
			"residual":   {Shape: seq, Layers: []Layer{{Kind: Residual, Body: []Layer{dense}}, pool}},
			"layer norm": {Shape: seq, Layers: []Layer{{Kind: Dense, Units: 3}, {Kind: LayerNorm}, dense, pool}},
			"group norm": {Shape: seq, Layers: []Layer{{Kind: Dense, Units: 4}, {Kind: GroupNorm, Groups: 2}, dense, pool}},
			"attention":  {Shape: seq, Layers: []Layer{{Kind: Dense, Units: 2}, {Kind: Attention, Heads: 1}, dense, pool}},
			"embedding":  {Shape: []int{rows}, Layers: []Layer{{Kind: Embedding, Vocab: 2, Units: 1}, dense, pool}},
		} {
			if name == "attention" && rows > 1024 {
				continue
			}
			s.Inputs, s.Loss = size(s.Shape), MAE
			p := compile(t, s, Options{Batch: 1, Seed: 1})
			x := make([]float32, s.Inputs)
			if name != "embedding" {
				n := len(x) - 3
				x[0] = 0x1p50
				for i := range n {
					x[1+i] = 0.65 * 0x1p26
				}
				x[n+1], x[n+2] = -0x1p50, -float32(n)*(0.65*0x1p26)
			}
			sum, norms := make([]float32, p.NumParams()), make([]float64, 1)
			if _, err := p.ClippedGradSum(sum, norms, Batch{X: x, Targets: []float32{-1e30}}, 1); err != nil {
				t.Fatal(err)
			}
			var square float64
			for _, g := range sum {
				square += float64(g) * float64(g)
			}
			if norm := math.Sqrt(square); !(norm <= 1) {
				t.Errorf("%s, %d rows: norm %v at clip 1 (before: %v)", name, rows, norm, norms[0])
			}
		}
	}
}

// Errors that scaling makes subnormal round by half of the least one, row after row.
func TestClippedGradSumBoundOfSubnormalErrors(t *testing.T) {
	const rows = 1 << 14
	s := Spec{Inputs: rows, Shape: []int{rows, 1}, Layers: []Layer{{Kind: Dense, Units: 1, NoBias: true}, {Kind: GlobalAvgPool}}, Loss: MAE}
	p := compile(t, s, Options{Batch: 1})
	r := rand.New(rand.NewPCG(33, 34))
	for _, e := range []int{40, 49, 51, 62, 63} {
		for range 40 {
			x := make([]float32, rows)
			v := float32(math.Ldexp(1+r.Float64(), e))
			for i := range x {
				x[i] = v
			}
			clip := math.Ldexp(1, -64+r.IntN(30))
			sum, norms := make([]float32, 1), make([]float64, 1)
			if _, err := p.ClippedGradSum(sum, norms, Batch{X: x, Targets: []float32{-1e30}}, clip); err != nil {
				t.Fatal(err)
			}
			if norm := math.Abs(float64(sum[0])); !(norm <= clip) {
				t.Fatalf("inputs of 2^%d, clip %v: norm %v (before: %v)", e, clip, norm, norms[0])
			}
		}
	}
}
