package nn

import (
	"strings"
	"testing"
)

// Behind a flattened image torch has its values in another order. Both paths of a
// residual know it, or the network is refused.
func TestFlattenedImageThroughResidual(t *testing.T) {
	dense := func(n int) Layer { return Layer{Kind: Dense, Units: n} }
	spec := func(r Layer) Spec {
		return Spec{Inputs: 12, Shape: []int{2, 3, 2}, Layers: []Layer{{Kind: Flatten}, r, dense(2)}, Loss: CrossEntropy}
	}
	l, err := spec(Layer{Kind: Residual, Body: []Layer{{Kind: Tanh}, dense(4)}, Shortcut: []Layer{dense(4)}}).Layout()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l[:4] {
		if e.Kind != Weight {
			continue
		}
		flat, out := make([]float32, l.Len()), make([]float32, e.Len)
		for i := range flat {
			flat[i] = float32(i - e.Offset)
		}
		if err := e.ToTorch(out, flat); err != nil {
			t.Fatal(err)
		}
		// torch's second column is channel 0 of the second place: our third row.
		if e.Shape[0] != 12 || out[0] != 0 || out[1] != 8 {
			t.Errorf("%s: %v", e.Name, out[:3])
		}
	}
	err = spec(Layer{Kind: Residual, Body: []Layer{dense(12)}}).Validate()
	if err == nil || !strings.Contains(err.Error(), "put a dense layer between the flatten and it") {
		t.Errorf("an identity beside a dense layer: %v", err)
	}
	if err := spec(Layer{Kind: Residual, Body: []Layer{{Kind: Tanh}}}).Validate(); err != nil {
		t.Error(err)
	}
}
