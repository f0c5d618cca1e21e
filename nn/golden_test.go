package nn

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

type goldenFile struct {
	Torch string       `json:"torch"`
	Cases []goldenCase `json:"cases"`
}

type goldenCase struct {
	Name      string  `json:"name"`
	Inputs    int     `json:"inputs"`
	Layers    [][]any `json:"layers"`
	Loss      string  `json:"loss"`
	Optimizer struct {
		Kind     string  `json:"kind"`
		LR       float64 `json:"lr"`
		Momentum float64 `json:"momentum"`
	} `json:"optimizer"`
	Params []float64 `json:"params"`
	Steps  []struct {
		X       []float64 `json:"x"`
		Labels  []int32   `json:"labels"`
		Targets []float64 `json:"targets"`
		Logits  []float64 `json:"logits"`
		LossSum float64   `json:"loss_sum"`
		Norms   []float64 `json:"norms"`
		Grad    []float64 `json:"grad"`   // first step only
		Params  []float64 `json:"params"` // after the update; first and last step only
	} `json:"steps"`
}

// PyTorch's numbers, made in float64 by testdata/make_golden.py from float32
// inputs: the tolerances are what float32 costs us. Values are of order 1 and
// sums have at most 18 terms, so a logit or gradient is off by a few 2^-24; five
// steps carry that on. Adam divides by √v, which makes of a gradient's relative
// error an absolute one of lr times it.
const (
	tolForward = 5e-7
	tolParams  = 5e-7
)

func loadGolden(t *testing.T) []goldenCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenFile
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Cases) < 10 {
		t.Fatalf("%d golden cases, want at least 10", len(g.Cases))
	}
	return g.Cases
}

func (c goldenCase) spec() Spec {
	s := Spec{Inputs: c.Inputs, Loss: c.Loss}
	for _, l := range c.Layers {
		s.Layers = append(s.Layers, Layer{Kind: l[0].(string), Units: int(l[1].(float64))})
	}
	return s
}

func (c goldenCase) optimizer() Optimizer {
	if c.Optimizer.Kind == Adam {
		return NewAdam(c.Optimizer.LR)
	}
	return NewSGD(c.Optimizer.LR, c.Optimizer.Momentum)
}

func (c goldenCase) batch(i int) Batch {
	s := c.Steps[i]
	b := Batch{X: narrow(s.X), Labels: s.Labels}
	if s.Targets != nil {
		b.Targets = narrow(s.Targets)
	}
	return b
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// near checks |got − want| ≤ tol·(1 + |want|) for each element and returns the
// greatest quotient.
func near(t *testing.T, what string, got []float32, want []float64, tol float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		d := math.Abs(float64(got[i])-want[i]) / (1 + math.Abs(want[i]))
		if !(d <= tol) {
			t.Fatalf("%s[%d] = %v, want %v (off by %.2g, tolerance %.2g)", what, i, got[i], want[i], d, tol)
		}
		worst = max(worst, d)
	}
	return worst
}

func TestGolden(t *testing.T) {
	for _, c := range loadGolden(t) {
		t.Run(c.Name, func(t *testing.T) {
			p, err := Compile(c.spec(), Options{Batch: 4, Optimizer: c.optimizer()})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Load(narrow(c.Params)); err != nil {
				t.Fatal(err)
			}
			if len(c.Steps) < 5 {
				t.Fatalf("%d steps", len(c.Steps))
			}
			params := make([]float32, p.NumParams())
			var forward, trained float64
			for i, s := range c.Steps {
				b := c.batch(i)
				z, err := p.Forward(b.X)
				if err != nil {
					t.Fatal(err)
				}
				forward = max(forward, near(t, "logits", z, s.Logits, tolForward))
				norms := make([]float64, len(s.Norms))
				if _, err := p.ClippedGradSum(params, norms, b, 1); err != nil {
					t.Fatal(err)
				}
				near(t, "norms", narrow(norms), s.Norms, tolForward)
				if s.Grad != nil {
					if _, err := p.Gradient(b); err != nil {
						t.Fatal(err)
					}
					forward = max(forward, near(t, "grad", p.Grad(), s.Grad, tolForward))
				}
				m, err := p.Step(b)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "loss", []float32{float32(m.LossSum)}, []float64{s.LossSum}, tolForward)
				if s.Params != nil {
					if err := p.Store(params); err != nil {
						t.Fatal(err)
					}
					trained = max(trained, near(t, "params", params, s.Params, tolParams))
				}
			}
			t.Logf("worst: forward and gradient %.2g, trained parameters %.2g", forward, trained)
		})
	}
}
