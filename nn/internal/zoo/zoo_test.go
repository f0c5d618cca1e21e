package zoo

import (
	"slices"
	"testing"

	"tacit/nn"
)

func TestEveryKindAndLoss(t *testing.T) {
	kinds, losses, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, n := range Nets() {
		if names[n.Name] {
			t.Errorf("two networks are called %s", n.Name)
		}
		names[n.Name] = true
		losses[n.Spec.Loss] = true
		layers, err := n.Spec.Describe()
		if err != nil {
			t.Fatal(n.Name, err)
		}
		for _, l := range layers {
			kinds[l.Kind] = true
		}
		p, err := n.Program()
		if err != nil {
			t.Fatal(n.Name, err)
		}
		y := make([]float32, Examples*n.Spec.Outputs())
		if err := p.Predict(y, n.X); err != nil {
			t.Fatal(n.Name, err)
		}
		if slices.Min(y) == slices.Max(y) {
			t.Errorf("%s: all outputs are %v", n.Name, y[0])
		}
	}
	for _, k := range nn.LayerKinds() {
		if !kinds[k] {
			t.Errorf("no network has a %s", k)
		}
	}
	for _, l := range nn.Losses() {
		if !losses[l] {
			t.Errorf("no network has loss %s", l)
		}
	}
}
