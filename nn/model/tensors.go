package model

import (
	"fmt"
	"slices"
	"strings"

	"tacit/nn"
	"tacit/nn/safetensors"
)

// Tensors returns the parameters flat, in nn's Layout, as torch's state_dict has them.
func Tensors(layout nn.Layout, flat []float32) ([]safetensors.Tensor, error) {
	if len(flat) != layout.Len() {
		return nil, fmt.Errorf("model: %d parameters, the network has %d", len(flat), layout.Len())
	}
	var out []safetensors.Tensor
	for _, e := range layout {
		t := safetensors.Tensor{Name: e.Name, Shape: e.TorchShape(), Data: make([]float32, e.Len)}
		if err := e.ToTorch(t.Data, flat); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// Flat returns the parameters, in nn's Layout, of tensors as torch's state_dict has
// them, in any order. Counters of batch norms are passed over.
func Flat(layout nn.Layout, tensors []safetensors.Tensor) ([]float32, error) {
	byName := map[string]*safetensors.Tensor{}
	for i := range tensors {
		byName[tensors[i].Name] = &tensors[i]
	}
	var bad problems
	flat := make([]float32, layout.Len())
	known := map[string]bool{}
	for _, e := range layout {
		known[e.Name] = true
		if base, ok := strings.CutSuffix(e.Name, ".running_mean"); ok {
			known[base+".num_batches_tracked"] = true
		}
		t, ok := byName[e.Name]
		want := e.TorchShape()
		switch {
		case !ok:
			bad.add("the file has no tensor %s, of shape %s", e.Name, shape(want))
		case t.Ints != nil:
			bad.add("tensor %s is of int64 in the file, want float32", e.Name)
		case !slices.Equal(t.Shape, want):
			hint := ""
			if slices.Equal(t.Shape, e.Shape) {
				hint = " (it stands [in][out]; torch keeps [out][in])"
			}
			bad.add("tensor %s has shape %s in the file, %s in this network%s", e.Name, shape(t.Shape), shape(want), hint)
		default:
			if err := e.FromTorch(flat, t.Data); err != nil {
				return nil, err
			}
		}
	}
	for _, t := range tensors {
		if !known[t.Name] {
			bad.add("tensor %q of the file, of shape %s, is none of this network's", t.Name, shape(t.Shape))
		}
	}
	if err := bad.join(); err != nil {
		return nil, err
	}
	return flat, nil
}

// shape is a shape as errors print it.
func shape(s []int) string { return strings.ReplaceAll(fmt.Sprint(s), " ", ",") }
