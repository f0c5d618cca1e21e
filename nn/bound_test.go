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
