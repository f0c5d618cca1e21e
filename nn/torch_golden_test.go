package nn

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// torchCase is one network of testdata/golden: what PyTorch computed in float64.
type torchCase struct {
	Name      string
	Spec      Spec
	Optimizer Optimizer
	Params    map[string][]float64 // torch's names and order
	Steps     []struct {
		X, Targets []float64
		Labels     []int32
		Logits     []float64
		Loss       float64
		Norms      []float64            // of each example's gradient; absent where examples mix
		Grad       map[string][]float64 // first step only
		Params     map[string][]float64 // after the first and the last step
	}
	Eval struct{ X, Logits []float64 }
}

// tolerance of values against PyTorch's in float64, relative to 1 + |value|: what
// float32 costs in sums of at most some hundred terms of order one, carried on by a
// few steps of training.
const tolTorch = 4e-6

func torchCases(t *testing.T) map[string][]torchCase {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) < 1 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	out := map[string][]torchCase{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var g struct{ Cases []torchCase }
		d := json.NewDecoder(bytes.NewReader(raw))
		if err := d.Decode(&g); err != nil || len(g.Cases) == 0 {
			t.Fatalf("%s: %d cases, %v", f, len(g.Cases), err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = g.Cases
	}
	return out
}

// fromTorch returns the flat vector of tensors in torch's names and order.
func fromTorch(t *testing.T, l Layout, tensors map[string][]float64) []float32 {
	t.Helper()
	flat := make([]float32, l.Len())
	for _, e := range l {
		v, ok := tensors[e.Name]
		if !ok && e.Kind == Buffer {
			continue // gradients have none
		}
		if !ok {
			t.Fatalf("torch has no tensor %s", e.Name)
		}
		if err := e.FromTorch(flat, narrow(v)); err != nil {
			t.Fatal(err)
		}
	}
	return flat
}

func TestTorch(t *testing.T) {
	for file, cases := range torchCases(t) {
		for _, c := range cases {
			t.Run(file+"/"+c.Name, func(t *testing.T) { c.run(t) })
		}
	}
}

func (c torchCase) run(t *testing.T) {
	p, err := Compile(c.Spec, Options{Batch: 4, Optimizer: c.Optimizer})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Load(fromTorch(t, p.Layout(), c.Params)); err != nil {
		t.Fatal(err)
	}
	if len(c.Steps) < 3 {
		t.Fatalf("%d steps", len(c.Steps))
	}
	worst := 0.0
	check := func(what string, got []float32, want []float64) {
		t.Helper()
		worst = max(worst, near(t, what, got, want, tolTorch))
	}
	sum := make([]float32, p.NumParams())
	for i, s := range c.Steps {
		b := Batch{X: narrow(s.X), Labels: s.Labels}
		if s.Targets != nil {
			b.Targets = narrow(s.Targets)
		}
		if s.Norms != nil {
			norms := make([]float64, len(s.Norms))
			if _, err := p.ClippedGradSum(sum, norms, b, 1); err != nil {
				t.Fatal(err)
			}
			near(t, "norms", narrow(norms), s.Norms, 2e-5) // upper bounds, by what a sum over rows may round
		}
		n := len(b.X) / c.Spec.Inputs
		p.run(task{do: (*Program).shareForward, batch: b, n: n, train: true})
		check("logits", p.net.last().y[:n*p.outputs], s.Logits)
		if s.Grad != nil {
			if _, err := p.Gradient(b); err != nil {
				t.Fatal(err)
			}
			check("grad", p.Grad(), widen(fromTorch(t, p.Layout(), s.Grad)))
		}
		m, err := p.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		check("loss", []float32{float32(m.Loss())}, []float64{s.Loss})
		if s.Params != nil {
			check("params", stored(t, p), widen(fromTorch(t, p.Layout(), s.Params)))
		} else if i == len(c.Steps)-1 {
			t.Fatal("no trained parameters")
		}
	}
	z, err := p.Forward(narrow(c.Eval.X))
	if err != nil {
		t.Fatal(err)
	}
	check("eval", z, c.Eval.Logits)
	t.Logf("worst: %.2g", worst)
}

// Where python3-torch is installed, the scripts give the numbers that are stored.
func TestTorchScripts(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import torch").Run(); err != nil {
		if os.Getenv("TACIT_REQUIRE_TORCH") == "1" {
			t.Fatal("python3-torch is not installed: apt-get install python3-torch")
		}
		t.Skip("python3-torch is not installed: apt-get install python3-torch")
	}
	scripts, err := filepath.Glob("testdata/golden/*.py")
	if err != nil || len(scripts) < 2 {
		t.Fatal(scripts, err)
	}
	for _, s := range scripts {
		if filepath.Base(s) == "common.py" {
			continue
		}
		t.Run(filepath.Base(s), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(python, filepath.Base(s))
			cmd.Dir = filepath.Dir(s)
			cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "PYTHONDONTWRITEBYTECODE=1")
			made, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			stored, err := os.ReadFile(strings.TrimSuffix(s, ".py") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			if err := json.Unmarshal(made, &a); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(stored, &b); err != nil {
				t.Fatal(err)
			}
			if where := differ(a, b, ""); where != "" {
				t.Errorf("%s now gives other numbers: %s", s, where)
			}
		})
	}
}

// differ returns where two JSON values differ by more than float64's rounding in
// another order of summation, "" where they do not. The version of torch may differ.
func differ(a, b any, at string) string {
	switch a := a.(type) {
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok || len(a) != len(m) {
			return at
		}
		for k, v := range a {
			if where := differ(v, m[k], at+"."+k); where != "" && k != "torch" {
				return where
			}
		}
	case []any:
		l, ok := b.([]any)
		if !ok || len(a) != len(l) {
			return at
		}
		for i, v := range a {
			if where := differ(v, l[i], at); where != "" {
				return where
			}
		}
	case float64:
		f, ok := b.(float64)
		if d := a - f; !ok || !(d <= 1e-9*(1+max(f, -f)) && -d <= 1e-9*(1+max(f, -f))) {
			return at
		}
	default:
		if a != b {
			return at
		}
	}
	return ""
}
