package nn

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestLayout(t *testing.T) {
	s := MLP(13, []int{8}, 1)
	s.Layers[2].Local = true
	l, err := s.Layout()
	if err != nil {
		t.Fatal(err)
	}
	want := Layout{
		{"0.weight", []int{13, 8}, 0, 104, Weight, false, nil, []int{1, 0}, nil}, {"0.bias", []int{8}, 104, 8, Bias, false, nil, nil, nil},
		{"2.weight", []int{8, 1}, 112, 8, Weight, true, nil, []int{1, 0}, nil}, {"2.bias", []int{1}, 120, 1, Bias, true, nil, nil, nil},
	}
	if !reflect.DeepEqual(l, want) || l.Len() != 121 || s.NumParams() != 121 || s.Outputs() != 1 {
		t.Errorf("%+v, %d, %d", l, l.Len(), s.NumParams())
	}
	for name, s := range specs() {
		l, err := s.Layout()
		if err != nil {
			t.Fatal(name, err)
		}
		next := 0
		for _, e := range l {
			n := 1
			for _, d := range e.Shape {
				n *= d
			}
			if e.Offset != next || e.Len != n {
				t.Errorf("%s: %+v begins at %d, want %d", name, e, e.Offset, next)
			}
			next += n
		}
		if next != s.NumParams() {
			t.Errorf("%s: %d parameters, layout %d", name, s.NumParams(), next)
		}
	}
	if _, err := (Spec{}).Layout(); err == nil || (Layout{}).Len() != 0 {
		t.Error("a layout of nothing")
	}
}

func TestSpecValidate(t *testing.T) {
	d := func(n int) Layer { return Layer{Kind: Dense, Units: n} }
	for _, c := range []struct {
		spec Spec
		want []string
	}{
		{Spec{}, []string{"inputs is 0", "0 layers, want 1 to 1024"}},
		{Spec{Inputs: 3, Layers: make([]Layer, 1025), Loss: MSE}, []string{"1025 layers"}},
		{Spec{Inputs: -3, Layers: []Layer{d(1)}, Loss: MSE}, []string{"inputs is -3"}},
		{Spec{Inputs: 3, Layers: []Layer{d(0), {Kind: "relo"}}, Loss: MSE}, []string{"layer 0 (dense): units is 0", `layer 1: unknown kind "relo", want one of dense, `, `(did you mean "relu"?)`}},
		{Spec{Inputs: 3, Layers: []Layer{d(1 << 21)}, Loss: MSE}, []string{"units is 2097152, want 1 to 1048576"}},
		{Spec{Inputs: 1 << 20, Layers: []Layer{d(1 << 20)}, Loss: MSE}, []string{"parameters, want at most"}},
		{Spec{Inputs: 3, Layers: []Layer{{Kind: Dense, Units: 2, Init: "ones"}}, Loss: MSE}, []string{`unknown init "ones"`}},
		{Spec{Inputs: 3, Layers: []Layer{d(4), {Kind: ReLU, Units: 5, Init: "zeros", Local: true}}, Loss: MSE}, []string{"layer 1 (relu): has no units, got 5", "no parameters to init with \"zeros\"", "no parameters to keep local"}},
		{Spec{Inputs: 3, Layers: []Layer{d(2), {Kind: Softmax}}, Loss: CrossEntropy}, []string{"layer 1 (softmax): cross_entropy takes logits"}},
		{Spec{Inputs: 3, Layers: []Layer{d(2)}, Loss: BinaryCrossEntropy}, []string{"layer 0 (dense): shape [2] does not fit binary_cross_entropy, want [1]"}},
		{Spec{Inputs: 3, Layers: []Layer{d(1)}, Loss: CrossEntropy}, []string{"layer 0 (dense): shape [1] does not fit cross_entropy"}},
		{Spec{Inputs: 3, Layers: []Layer{d(1)}, Loss: "hinge"}, []string{`unknown loss "hinge", want one of binary_cross_entropy, cross_entropy, mse`}},
		{Spec{Inputs: 3, Layers: []Layer{{Kind: ReLU}}, Loss: MSE}, []string{"no layer has parameters"}},
	} {
		err := c.spec.Validate()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %v", want, err)
			}
		}
		if b, err := AppendSpec([]byte("x"), c.spec); err == nil || string(b) != "x" {
			t.Errorf("AppendSpec takes %+v", c.spec)
		}
	}
	for name, s := range specs() {
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	// Logits through an identity: w = 1, b = 0.
	p := compile(t, LogReg(1), Options{Batch: 8})
	if err := p.Load([]float32{1, 0}); err != nil {
		t.Fatal(err)
	}
	m, err := p.Evaluate(Batch{X: []float32{2, 3, -1, 4, 0, -5, -6, 7}, Labels: []int32{1, 0, 1, 1, 1, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	if m.TruePositive != 3 || m.FalsePositive != 1 || m.FalseNegative != 2 || m.Correct != 5 || m.Examples != 8 {
		t.Errorf("%+v", m) // a logit of 0 predicts label 0
	}
	if f1 := m.F1(); math.Abs(f1-6.0/9) > 1e-15 {
		t.Errorf("F1 %v", f1)
	}
	two := m
	two.Add(m)
	if two.Examples != 16 || two.F1() != m.F1() || two.Accuracy() != m.Accuracy() || two.Loss() != m.Loss() || two.Accuracy() != 0.625 {
		t.Errorf("%+v", two)
	}
	var none Metrics
	if none.Loss() == none.Loss() || none.Accuracy() == none.Accuracy() || none.F1() == none.F1() {
		t.Error("metrics of nothing are numbers")
	}
	// Far out the binary loss is |z| or 0, not an overflow.
	m, err = p.Evaluate(Batch{X: []float32{1e4, -1e4, 1e4}, Labels: []int32{0, 1, 1}})
	if err != nil || m.LossSum != 2e4 {
		t.Errorf("%v, %v", m.LossSum, err)
	}
	// Ties between classes go to the first; a NaN is never correct.
	c := compile(t, MLP(1, nil, 3), Options{Batch: 8})
	if err := c.Load([]float32{0, 0, 0, 1, 1, 1}); err != nil {
		t.Fatal(err)
	}
	m, err = c.Evaluate(Batch{X: []float32{0, 0, float32(math.NaN())}, Labels: []int32{0, 1, 0}})
	if err != nil || m.Correct != 1 || m.Examples != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := compile(t, MLP(1, nil, 2), Options{Batch: 1}).Evaluate(Batch{X: []float32{float32(math.NaN())}, Labels: []int32{1}}); err != nil || m.FalseNegative != 1 || m.Correct != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}
